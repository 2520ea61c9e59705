"""Tests of becoming somebody else, in processes of their own, and of the PID file."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from rabbitry.runtime.privileges import PrivilegesFailed, become, pid_file

BECOME = """
import os, sys
from rabbitry.runtime.privileges import become
become(sys.argv[1] or None, sys.argv[2] or None)
print(os.getuid(), os.geteuid(), os.getgid(), os.getgroups())
"""


def became(user: str, group: str) -> str:
    command = [sys.executable, "-c", BECOME, user, group]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.processes
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_root_becomes_somebody_for_good() -> None:
    assert became("nobody", "nogroup") == "65534 65534 65534 []"
    assert became("1234", "5678") == "1234 1234 5678 []"


def test_whoever_we_are_already_is_no_change() -> None:
    become(None, None)
    become(str(os.geteuid()), str(os.getegid()))


def test_an_unknown_name_is_told() -> None:
    with pytest.raises(PrivilegesFailed, match="nobody-of-this-name"):
        become("nobody-of-this-name", None)


def test_what_is_not_allowed_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(number: int) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "setuid", refuse)
    with pytest.raises(PrivilegesFailed, match="Operation not permitted; start it as root"):
        become("12345", None)


def test_the_pid_file_is_there_meanwhile(tmp_path: Path) -> None:
    path = tmp_path / "pid"
    with pid_file(str(path)):
        assert path.read_text() == f"{os.getpid()}\n"
    assert not path.exists()
    with pid_file(None):
        pass


def test_anothers_pid_file_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "pid"
    with pid_file(str(path)):
        path.write_text("1\n")
    assert path.read_text() == "1\n"


def test_one_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"), pid_file(str(tmp_path / "no" / "pid")):
        pass
