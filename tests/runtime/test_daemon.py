"""Work that goes to the background: what the process that was started says, ends with, leaves."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

pytestmark = pytest.mark.processes

PATIENCE_S = 20.0
PROGRAM = """\
import os, signal, subprocess, sys
from rabbitry.runtime.daemon import in_background
def work(detach):
{work}
code = in_background(work)
print("this process goes on", flush=True)
sys.exit(code)
"""


def started(work: str, *, wait: bool = True) -> subprocess.Popen[str]:
    program = PROGRAM.format(work=textwrap.indent(textwrap.dedent(work).strip(), "    "))
    pipe = subprocess.PIPE
    return subprocess.Popen(
        [sys.executable, "-c", program], stdin=pipe, stdout=pipe, stderr=pipe, text=True
    )


def ended(work: str) -> tuple[int, list[str], list[str]]:
    """The exit code of the process that was started, and what is printed until nobody can."""
    process = started(work)
    out, error = process.communicate(timeout=PATIENCE_S)
    return process.returncode, out.splitlines(), error.splitlines()


def test_who_started_it_ends_with_0_when_it_serves(tmp_path: Path) -> None:
    """Also its children hold nothing of the terminal: else what is read here would not end."""
    told, done = tmp_path / "told", tmp_path / "done"
    os.mkfifo(told)
    os.mkfifo(done)
    work = f"""
        child = subprocess.Popen(["sleep", "60"])
        print("ready")
        detach()
        print("heard by nobody")
        files = [os.readlink(f"/proc/self/fd/{{each}}") for each in (0, 1, 2)]
        own = os.getsid(0) == os.getpid()
        open({str(told)!r}, "w").write(f"{{own}} {{files}} {{os.getpid()}}")
        open({str(done)!r}).read()
        child.kill()
        os._exit(0)
    """
    assert ended(work) == (0, ["ready", "this process goes on"], [])
    own, _, rest = told.read_text().partition(" ")
    assert own == "True"
    assert rest.startswith(f"{['/dev/null'] * 3} ")
    done.write_text("")


def test_what_fails_before_it_serves_is_told_as_without() -> None:
    work = """
        print("no port", file=sys.stderr)
        os._exit(2) if not sys.stderr.flush() else None
    """
    assert ended(work) == (2, ["this process goes on"], ["no port"])


def test_both_processes_go_on_with_the_code() -> None:
    assert ended("return 3") == (3, ["this process goes on"] * 2, [])


def test_a_process_that_was_killed_is_a_failure() -> None:
    code, _, error = ended("os.kill(os.getpid(), signal.SIGKILL)")
    assert code == 70
    assert error == ["rabbitry: it was killed by SIGKILL before it served"]


def test_ctrl_c_before_it_serves_ends_both(tmp_path: Path) -> None:
    begun, ending = tmp_path / "begun", tmp_path / "ending"
    os.mkfifo(begun)
    os.mkfifo(ending)
    process = started(f"""
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        open({str(begun)!r}, "w").close()
        try:
            signal.pause()
        finally:
            open({str(ending)!r}, "w").write("ended")
    """)
    begun.read_text()
    process.send_signal(signal.SIGINT)
    assert ending.read_text() == "ended"
    process.communicate(timeout=PATIENCE_S)
    assert process.returncode == -signal.SIGINT
