"""bench.syncs: reading strace's table; counting what a process of our own syncs."""

from __future__ import annotations

import shutil
import subprocess
import sys

import pytest

from bench import syncs
from bench.load import Figures
from bench.processes import SideError
from bench.syncs import Syncs

TABLE = """\
% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
 87.64    1.179747          21     53712           writev
  2.54    0.034187         379        90         3 fsync
  0.00    0.000043          21        10           fdatasync
------ ----------- ----------- --------- --------- ----------------
100.00    1.346130          22     60348         3 total
"""
SYNC_TWICE = """\
import os, sys, tempfile
file = tempfile.TemporaryFile()
print('up', flush=True)
sys.stdin.readline()
os.fdatasync(file.fileno())
os.fsync(file.fileno())
print('done', flush=True)
sys.stdin.readline()
"""


def test_calls_are_read_from_the_table_with_and_without_errors() -> None:
    assert syncs.parse_calls(TABLE) == {"writev": 53712, "fsync": 90, "fdatasync": 10}


def test_the_text_says_syncs_and_confirms_for_each() -> None:
    figures = Figures(10_000, 5_000, 5_000, 2.0, 0.5)
    untraced = Figures(10_000, 8_000, 9_000, 1.0, 0.5)
    text = Syncs("rabbitmq", figures, untraced, syncs.parse_calls(TABLE), TABLE, 12_500_000).text()
    assert "10,000 confirmed in 2.0 s traced (5,000/s; untraced 8,000/s)" in text
    assert "100 syncs, 50 a second, 100 confirms for each; 1250 bytes written for a message" in text


def test_without_strace_one_line_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(SideError, match="apt install strace"):
        syncs._traced(1, lambda: Figures(0, 0, 0, 0.0, 0.0))

    def refuse(*_: object) -> Syncs:
        raise SideError("no strace")

    monkeypatch.setattr(syncs, "measure", refuse)
    assert syncs.main(["--only", "rabbitry"]) == 2
    assert capsys.readouterr().err == "bench.syncs: no strace\n"


@pytest.mark.processes
@pytest.mark.skipif(not shutil.which("strace"), reason="strace is not installed")
def test_a_process_that_syncs_twice_is_counted() -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", SYNC_TWICE],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin and process.stdout
    with process:
        assert process.stdout.readline() == "up\n"

        def work() -> Figures:
            assert process.stdin and process.stdout
            process.stdin.write("go\n")
            process.stdin.flush()
            assert process.stdout.readline() == "done\n"
            return Figures(0, 0, 0, 1.0, 0.0)

        _, table = syncs._traced(process.pid, work)
        process.kill()
    calls = syncs.parse_calls(table)
    assert (calls["fdatasync"], calls["fsync"]) == (1, 1)
