"""support.seeds: a failed seed says how to replay it, and its trace is written where it is kept."""

from __future__ import annotations

from pathlib import Path
from subprocess import CalledProcessError

import pytest
from support.seeds import lines_whatever_the_hashes, play

from rabbitry.simulation.trace import Trace
from rabbitry.simulation.world import SeedFailed


def fail() -> None:
    raise SeedFailed("seed 3 failed at 0")


def test_a_failure_says_how_to_replay_it_and_leaves_its_trace(tmp_path: Path) -> None:
    trace = Trace(keep=True)
    trace.note(0, "run", "began")
    with pytest.raises(pytest.fail.Exception, match=r"replay: .*simulation/test_x.py --seed 3$"):
        play(fail, "test_x.py --seed 3", trace, tmp_path)
    assert (tmp_path / "trace").read_text() == "0 run * began\n"


def test_a_trace_that_is_not_kept_is_not_written(tmp_path: Path) -> None:
    play(lambda: None, "test_x.py --seed 3", Trace(), tmp_path)
    assert not list(tmp_path.iterdir())


def test_lines_that_hang_on_hashes_are_told() -> None:
    assert lines_whatever_the_hashes("print(1); print(2)") == ["1", "2"]
    with pytest.raises(AssertionError):
        lines_whatever_the_hashes("print(hash('a'))")
    with pytest.raises(CalledProcessError):
        lines_whatever_the_hashes("no program")
