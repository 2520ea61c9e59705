"""Tests of becoming somebody else, in processes of their own, and of the PID file."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from rabbitry.runtime.privileges import (
    Identity,
    PrivilegesFailed,
    forbidden_file,
    identity_of,
    is_unknown,
    pid_file,
)

BECOME = """
import os, sys
from rabbitry.runtime.privileges import identity_of
identity = identity_of(sys.argv[1] or None, sys.argv[2] or None)
before = os.getresuid(), os.getresgid(), os.getgroups()
with identity.tried():
    tried = os.geteuid(), os.getegid(), os.getgroups()
assert (os.getresuid(), os.getresgid(), os.getgroups()) == before
changed = identity.is_another
identity.become()
assert (os.geteuid(), os.getegid(), os.getgroups()) == tried
print(os.getuid(), os.geteuid(), os.getgid(), os.getgroups(), changed)
"""


def became(user: str, group: str) -> str:
    command = [sys.executable, "-c", BECOME, user, group]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.processes
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_root_becomes_somebody_for_good() -> None:
    assert became("nobody", "nogroup") == "65534 65534 65534 [] True"
    assert became("1234", "5678") == "1234 1234 5678 [] True"


def test_whoever_we_are_already_is_no_change() -> None:
    before = os.getresuid(), os.getresgid(), os.getgroups()
    for identity in (identity_of(None, None), identity_of(str(os.geteuid()), str(os.getegid()))):
        assert not identity.is_another
        with identity.tried():
            identity.become()
        assert (os.getresuid(), os.getresgid(), os.getgroups()) == before


def test_an_unknown_name_is_told() -> None:
    with pytest.raises(PrivilegesFailed) as raised:
        identity_of("nobodyxx", None)
    assert str(raised.value) == (
        "cannot become user nobodyxx: there is no such user; "
        "name one that exists as 'user' in 'global'"
    )
    with pytest.raises(PrivilegesFailed, match="cannot become group nobodyxx: there is no such"):
        identity_of(None, "nobodyxx")
    assert is_unknown("user", "nobodyxx") and is_unknown("group", "nobodyxx")
    assert not any(is_unknown(word, name) for word in ("user", "group") for name in (None, "7"))


def test_what_is_not_allowed_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(number: int) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "setuid", refuse)
    text = (
        "cannot become user 12345: Operation not permitted; "
        "start it as root, or take the words out of 'global'"
    )
    with pytest.raises(PrivilegesFailed) as raised:
        identity_of("12345", None).become()
    assert str(raised.value) == text

    def refuse_another(number: int) -> None:
        if number == 12345:
            refuse(number)

    monkeypatch.setattr(os, "seteuid", refuse_another)
    with pytest.raises(PrivilegesFailed) as raised, identity_of("12345", None).tried():
        pytest.fail("it may not")
    assert str(raised.value) == text


def test_names_are_for_people() -> None:
    assert identity_of("12345", "678") == Identity(12345, 678, "user 12345 and group 678")


def test_a_file_of_this_program_that_may_not_be_used(monkeypatch: pytest.MonkeyPatch) -> None:
    assert forbidden_file() is None
    real_stat = os.stat
    forbidden = {"", pytest.__file__}

    def stat(file: str) -> os.stat_result:
        if file in forbidden:
            raise PermissionError(13, "Permission denied")
        return real_stat(file)

    monkeypatch.setattr(os, "stat", stat)
    assert forbidden_file() == pytest.__file__
    forbidden.add(sys.executable)
    assert forbidden_file() == sys.executable
    forbidden.clear()
    # What is in an archive, or gone since it was loaded, tells nothing of rights.
    monkeypatch.setattr(pytest, "__file__", "/none/archive.zip/it.py")
    assert forbidden_file() is None


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
