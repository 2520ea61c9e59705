"""bench.workers: a worker's word, its failure, its silence and its end."""

from __future__ import annotations

import pytest

from bench import workers
from bench.connection import LoadError
from bench.workers import Counter, Pipe


def count_down(pipe: Pipe, counter: Counter, count: int) -> None:
    """Count, say so, and end with the pipe."""
    counter.add(count)
    counter.add(-1)
    pipe.send("counted")
    pipe.poll(None)


def fail(pipe: Pipe, counter: Counter, how: str) -> None:
    """Fail in one of the ways a load does."""
    if how == "refused":
        raise ConnectionRefusedError(111, "Connection refused")
    raise LoadError("no answer")


def say_nothing(pipe: Pipe, counter: Counter) -> None:
    """Wait for the end."""
    pipe.poll(None)


@pytest.mark.processes
def test_a_worker_counts_and_ends_with_its_pipe() -> None:
    with workers.started("client", count_down, 8) as worker:
        assert worker.word() == "counted"
        assert worker.counter.value == 7
        worker.check()
    assert worker.process.exitcode == 0


@pytest.mark.processes
@pytest.mark.parametrize(
    ("how", "said"), [("refused", "client: .*Connection refused"), ("", "^no answer$")]
)
def test_a_failure_is_one_line(how: str, said: str) -> None:
    with workers.started("client", fail, how) as worker:
        worker.process.join(workers.TIMEOUT_S)
        with pytest.raises(LoadError, match=said):
            worker.check()
        with pytest.raises(LoadError, match="client ended without a word"):
            worker.word()


@pytest.mark.processes
def test_silence_is_not_waited_for_without_end() -> None:
    with (
        workers.started("client", say_nothing) as worker,
        pytest.raises(LoadError, match=r"client said nothing for 0\.1 s"),
    ):
        worker.word(0.1)
    assert worker.process.exitcode == 0
