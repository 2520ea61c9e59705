"""Work that goes to the background: what the process that was started says, ends with, leaves."""

from __future__ import annotations

import select
import signal
import socket
import subprocess
import sys
import textwrap

import pytest

pytestmark = pytest.mark.processes

PATIENCE_S = 20.0
CTRL_C_IN_THE_FORK = """\
fork = os.fork
def interrupted():
    process = fork()
    if process:
        os.kill(os.getpid(), signal.SIGINT)
    return process
os.fork = interrupted
"""
PROGRAM = """\
import os, signal, subprocess, sys, time
from rabbitry.runtime.daemon import in_background
{before}
def work(detach):
{work}
code = in_background(work)
print("this process goes on", flush=True)
sys.exit(code)
"""


def started(work: str, before: str = "") -> subprocess.Popen[str]:
    program = PROGRAM.format(
        before=before, work=textwrap.indent(textwrap.dedent(work).strip(), "    ")
    )
    pipe = subprocess.PIPE
    return subprocess.Popen(
        [sys.executable, "-c", program], stdin=pipe, stdout=pipe, stderr=pipe, text=True
    )


def ended(work: str) -> tuple[int, list[str], list[str]]:
    """The exit code of the process that was started, and what is printed until nobody can."""
    process = started(work)
    out, error = process.communicate(timeout=PATIENCE_S)
    return process.returncode, out.splitlines(), error.splitlines()


def test_who_started_it_ends_with_0_when_it_serves() -> None:
    """Also its children hold nothing of the terminal: else what is read here would not end."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(PATIENCE_S)
        work = f"""
            import socket
            child = subprocess.Popen(["sleep", "60"])
            print("ready")
            detach()
            print("heard by nobody")
            files = [os.readlink(f"/proc/self/fd/{{each}}") for each in (0, 1, 2)]
            own = os.getsid(0) == os.getpid()
            link = socket.create_connection({listening.getsockname()})
            link.sendall(f"{{own}} {{files}}".encode())
            link.recv(1)
            child.kill()
            os._exit(0)
        """
        assert ended(work) == (0, ["ready", "this process goes on"], [])
        with listening.accept()[0] as link:
            link.settimeout(PATIENCE_S)
            assert link.recv(1000).decode() == f"True {['/dev/null'] * 3}"


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


def test_ctrl_c_before_it_serves_ends_both() -> None:
    process = started("""
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
        print("begun")
        signal.sigwait([signal.SIGTERM])
        print("ended")
        os._exit(0)
    """)
    assert process.stdout is not None
    assert select.select([process.stdout], [], [], PATIENCE_S)[0]
    assert process.stdout.readline() == "begun\n"
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=PATIENCE_S)
    assert (out, process.returncode) == ("ended\n", -signal.SIGINT)


def test_ctrl_c_ends_both_also_where_the_fork_has_not_returned_yet() -> None:
    """What is printed is read to its end: until the process in the background is gone too."""
    process = started(f"time.sleep({2 * PATIENCE_S})", before=CTRL_C_IN_THE_FORK)
    process.communicate(timeout=PATIENCE_S)
    assert process.returncode == -signal.SIGINT
