"""Processes of the balancer's load: started clean, ready before anything is measured, ended surely.

Owns how a load's function becomes a process, its counter that the measuring process reads while it
runs, and its pipe: the worker says "ready", may say what it found, and ends when its pipe closes.
What they do is in `bench.pump`, `bench.handshakes`, `bench.round_trips` and `bench.sessions`.

Invariant: nothing waits for ever; what goes wrong is `LoadError`, one line.
"""

from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import multiprocessing
import multiprocessing.connection
import signal
from collections.abc import Callable, Iterator
from multiprocessing import sharedctypes
from multiprocessing.process import BaseProcess
from typing import Any

from bench.connection import LoadError

TIMEOUT_S = 30.0
Pipe = multiprocessing.connection.Connection


class Counter:
    """A count that one worker keeps and others read. One writer: there is no lock."""

    def __init__(self) -> None:
        self._cell: Any = sharedctypes.RawValue(ctypes.c_uint64, 0)

    def add(self, count: int) -> None:
        """Count more, or, negative, fewer."""
        self._cell.value += count

    @property
    def value(self) -> int:
        """How many so far."""
        return int(self._cell.value)


@dataclasses.dataclass(frozen=True)
class Worker:
    """A running process of the load. `counter` counts what it is there for."""

    name: str
    process: BaseProcess
    pipe: Pipe
    counter: Counter

    def word(self, timeout_s: float = TIMEOUT_S) -> Any:
        """What it says next; `LoadError` where it fails, or says nothing in time."""
        try:
            if not self.pipe.poll(timeout_s):
                raise LoadError(f"{self.name} said nothing for {timeout_s:g} s")
            word = self.pipe.recv()
        except (EOFError, OSError):
            raise LoadError(f"{self.name} ended without a word") from None
        if isinstance(word, LoadError):
            raise word
        return word

    def check(self) -> None:
        """`LoadError` where it has failed meanwhile."""
        if self.pipe.poll():
            self.word()

    def end(self) -> None:
        """Close its pipe, which ends it; kill it where that does not help."""
        self.pipe.close()
        self.process.join(TIMEOUT_S)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()


Work = Callable[..., None]
"""Called with the worker's end of the pipe, its counter, and what `started` was given."""


def _run(name: str, work: Work, pipe: Pipe, counter: Counter, given: tuple[Any, ...]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the measuring process ends its workers
    with contextlib.suppress(BrokenPipeError):
        try:
            work(pipe, counter, *given)
        except LoadError as error:
            pipe.send(error)
        except OSError as error:
            pipe.send(LoadError(f"{name}: {error}"))


@contextlib.contextmanager
def started(name: str, work: Work, *given: Any) -> Iterator[Worker]:
    """Run `work` in a process of its own while the context lasts."""
    # Spawned, not forked: the caller has threads, and a clean child is a cheap child.
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    counter = Counter()
    process = context.Process(target=_run, args=(name, work, theirs, counter, given), daemon=True)
    process.start()
    theirs.close()
    worker = Worker(name, process, ours, counter)
    try:
        yield worker
    finally:
        worker.end()
