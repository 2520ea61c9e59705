"""The rules of a whole run, in one process and spread over two workers by pytest-xdist."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
PATIENCE_S = 180
WAYS = pytest.mark.parametrize("workers", ["0", "2"])
SKIPS = "import pytest\n@pytest.mark.skip(reason='a reason')\ndef test_it(): pass\n"
SAYS = "def test_it(say):\n say('a line')\ndef test_other(say):\n say('one more'); assert 0\n"
HANGS = """
import asyncio, subprocess, threading, time
import pytest, uvloop
from support import deadline

deadline.DEADLINE_S, deadline.AGAIN_S = 1.0, 0.3

@pytest.fixture
def before():
    threading.Event().wait()

@pytest.fixture
def after():
    yield
    threading.Event().wait()

def test_setup(before): pass

def test_thread():
    thread = threading.Thread(target=time.sleep, args=(9,), name="sleeper", daemon=True)
    thread.start()
    thread.join()

def test_process():
    with subprocess.Popen(["sleep", "9"]) as process:
        try:
            process.communicate()
        finally:
            process.kill()

@pytest.mark.parametrize("kind", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_loop(kind):
    async def hang():
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.Event().wait()
    with asyncio.Runner(loop_factory=kind) as runner:
        runner.run(hang())

def test_caught():
    with pytest.raises(SystemExit):
        threading.Event().wait()

@pytest.mark.deadline(20)
def test_more():
    time.sleep(1.5)

def test_teardown(after): pass

def test_last(): pass
"""
CRASHES = "import os\ndef test_it(): os._exit(0)\ndef test_other(): pass\n"


def run(place: Path, text: str, *options: str) -> subprocess.CompletedProcess[str]:
    """A run of its own, under tests/conftest.py, of a file with this text."""
    (place / "test_it.py").write_text(text)
    (place / "pytest.ini").write_text("[pytest]\n")
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-rs",
        "-p",
        "conftest",
        *options,
        "test_it.py",
    ]
    paths = os.pathsep.join([str(TESTS), os.environ.get("PYTHONPATH", "")])
    return subprocess.run(
        command,
        cwd=place,
        env=os.environ | {"PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_S,
    )


@WAYS
def test_a_run_that_executed_nothing_is_no_success(tmp_path: Path, workers: str) -> None:
    done = run(tmp_path, SKIPS, "-n", workers)
    assert "a reason" in done.stdout
    assert done.returncode == pytest.ExitCode.NO_TESTS_COLLECTED
    assert run(tmp_path, SKIPS + "def test_that(): pass\n", "-n", workers).returncode == 0


@WAYS
def test_what_tests_have_to_say_stands_before_the_last_line(tmp_path: Path, workers: str) -> None:
    done = run(tmp_path, SAYS, "-n", workers)
    *lines, last = done.stdout.splitlines()
    assert {"a line", "one more"} <= set(lines)
    assert last.startswith("1 failed, 1 passed")
    assert done.returncode == pytest.ExitCode.TESTS_FAILED


def test_a_worker_that_crashes_is_a_failure(tmp_path: Path) -> None:
    done = run(tmp_path, CRASHES, "-n", "2")
    assert "crashed while running 'test_it.py::test_it'" in done.stdout
    assert done.stdout.splitlines()[-1].startswith("1 failed, 1 passed")
    assert done.returncode == pytest.ExitCode.TESTS_FAILED


@WAYS
def test_what_hangs_fails_where_it_stands_and_the_rest_is_run(tmp_path: Path, workers: str) -> None:
    done = run(tmp_path, HANGS, "-n", workers)
    said = done.stdout.splitlines()
    assert said[-1].startswith("5 failed, 3 passed"), done.stdout
    assert " 2 errors " in said[-1]
    for part, name in (("setup", "setup"), ("call", "thread"), ("teardown", "teardown")):
        line = f"{part} of test_it.py::test_{name} has not ended after 1 s"
        assert any(line in each for each in said), (line, done.stdout)
    assert "thread sleeper:" in said
    assert any(each.endswith(" sleep 9 ") for each in said)


def test_workers_do_not_record_transcripts(tmp_path: Path) -> None:
    done = run(tmp_path, SKIPS, "-n", "2", "--record-transcripts")
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert "--record-transcripts" in done.stderr
