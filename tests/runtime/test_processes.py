"""Children: ready, failed, gone; each told once, and none left behind."""

from __future__ import annotations

import os
import resource
import signal
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from rabbitry.runtime.processes import Child, ChildFailed, ended, raise_open_files_limit

Run = Callable[[Coroutine[Any, Any, Any]], Any]

SAY_READY = """
import os, sys
file = int(sys.argv[sys.argv.index("--ready-fd") + 1])
line = sys.stdin.readline()
os.write(file, b'{"ready": {"settings": "' + line.strip().encode() + b'"}}\\n')
"""
UNTIL_STDIN_ENDS = "sys.stdin.read(); sys.exit(3)"
DEAF = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)"
FOR_EVER = "while 1: signal.pause()"


def child(tmp_path: Path, script: str) -> Child:
    arguments = [sys.executable, "-S", "-c", script]
    return Child("node x", arguments, settings=b"the pass word", log=tmp_path / "x.log")


def test_settings_go_in_and_readiness_comes_out(run: Run, tmp_path: Path) -> None:
    async def main() -> None:
        one = child(tmp_path, SAY_READY + UNTIL_STDIN_ENDS)
        assert await one.ready == {"settings": "the pass word"}
        assert one.alive
        assert not one.stopped
        assert b"pass word" not in proc(one, "cmdline") + proc(one, "environ")
        await one.stop(grace_s=10)
        assert one.exited.result() == -signal.SIGTERM
        assert not one.alive
        with pytest.raises(ProcessLookupError):
            os.kill(one.pid, 0)
        one.signal(signal.SIGKILL)  # gone: nothing happens

    run(main())


def proc(one: Child, name: str) -> bytes:
    return Path(f"/proc/{one.pid}/{name}").read_bytes()


def wait_for(pid: int, change: int) -> None:
    """Wait for a change of state of a child; of other children nothing is taken away."""
    os.waitid(os.P_PID, pid, change)


def test_one_that_was_ready_may_say_why_it_ends(run: Run, tmp_path: Path) -> None:
    async def main() -> None:
        say_why = '\nos.write(file, b\'{"failed": "its store is older"}\\n\')'
        one = child(tmp_path, SAY_READY + say_why)
        assert await one.ready == {"settings": "the pass word"}
        await one.exited
        assert one.last_word == "node x: its store is older"
        other = child(tmp_path, SAY_READY)
        await other.exited
        assert other.last_word == ""

    run(main())


def test_one_that_is_stopped_is_seen_and_ended_all_the_same(run: Run, tmp_path: Path) -> None:
    async def main() -> None:
        one = child(tmp_path, DEAF + SAY_READY + FOR_EVER)
        await one.ready
        one.signal(signal.SIGSTOP)
        wait_for(one.pid, os.WSTOPPED)
        assert one.stopped
        one.signal(signal.SIGCONT)
        wait_for(one.pid, os.WCONTINUED)
        assert not one.stopped
        one.signal(signal.SIGSTOP)
        await one.stop(grace_s=0.01)
        assert one.exited.result() == -signal.SIGKILL

    run(main())


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("import sys; sys.exit(3)", r"^node x: ended with exit code 3; its log is .*x\.log$"),
        ("print('first'); print('last words')", "^node x: last words; its log is "),
        ("import os; os.kill(os.getpid(), 9)", "^node x: killed by SIGKILL; its log is "),
        (
            'import os, sys; os.write(int(sys.argv[-1]), b\'{"failed": "port in use"}\\n\')',
            "^node x: port in use$",
        ),
        ("import os, sys; os.write(int(sys.argv[-1]), b'hello\\n')", "^node x: .* not understood"),
        ("import os, sys; os.close(int(sys.argv[-1]))", "^node x: ended with exit code 0"),
    ],
)
def test_one_that_fails_says_why(run: Run, tmp_path: Path, script: str, why: str) -> None:
    async def main() -> None:
        (tmp_path / "x.log").write_text("words of an earlier one\n")
        one = child(tmp_path, script)
        with pytest.raises(ChildFailed, match=why):
            await one.ready
        await one.exited

    run(main())


def test_ctrl_c_in_the_terminal_does_not_reach_it(run: Run, tmp_path: Path) -> None:
    async def main() -> None:
        one = child(tmp_path, SAY_READY + UNTIL_STDIN_ENDS)
        assert os.getpgid(one.pid) != os.getpgid(0)
        await one.stop(grace_s=10)

    run(main())


def test_a_program_that_is_not_there_leaves_nothing_open(run: Run, tmp_path: Path) -> None:
    async def main() -> None:
        before = len(os.listdir("/proc/self/fd"))
        with pytest.raises(FileNotFoundError):
            Child("x", ["/no/such/program"], log=tmp_path / "x.log")
        assert len(os.listdir("/proc/self/fd")) == before

    run(main())


def test_ends_are_told_in_words() -> None:
    assert ended(0) == "ended with exit code 0"
    assert ended(-9) == "killed by SIGKILL"
    assert ended(-200) == "ended with exit code -200"


def test_as_many_files_as_the_system_allows() -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(512, before[1]), before[1]))
        raise_open_files_limit()
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (before[1], before[1])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
