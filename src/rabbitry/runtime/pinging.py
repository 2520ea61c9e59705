"""The rounds in which a balancer's first process pings its workers, and the end of one that hangs.

Owns the timer, the kill and what is told of it; `watchdog` decides. What a worker's death means for
its links is `crew`'s, which hears of it when the channel ends.
"""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Callable, Mapping, Sequence
from time import monotonic_ns
from typing import Any, Generic, Protocol, TypeVar

from rabbitry.runtime.watchdog import CANNOT_KILL, HUNG, PING_INTERVAL_S, Rounds, Vigil

MICROSECONDS_PER_SECOND = 1_000_000


class Pinged(Protocol):
    """A worker."""

    process: subprocess.Popen[bytes]
    vigil: Vigil
    is_killed: bool

    @property
    def links(self) -> Mapping[int, object]:
        """What it carries."""
        ...

    @property
    def signs(self) -> int:
        """How often something has come of it."""
        ...

    def ping(self) -> None:
        """Ask for a sign of life."""
        ...


Worker = TypeVar("Worker", bound=Pinged)


class Pinging(Generic[Worker]):
    """Pings those who are `alive` until `end`. `silent` hears of each in every round in which it
    has not answered."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        alive: Callable[[], Sequence[Worker]],
        silent: Callable[[Worker], None],
        tell: Callable[[str, str, dict[str, Any]], None],
    ) -> None:
        self._loop = loop
        self._alive = alive
        self._silent = silent
        self._tell = tell
        self._rounds = Rounds()
        self._begin_round()

    def end(self) -> None:
        """Ping nobody any more."""
        self._next.cancel()

    def _begin_round(self) -> None:
        self._next = self._loop.call_later(PING_INTERVAL_S, self._begin_round)
        interval_us = int(PING_INTERVAL_S * MICROSECONDS_PER_SECOND)
        in_time = self._rounds.begin(monotonic_ns() // 1000, interval_us)
        for worker in self._alive():
            if worker.vigil.is_hung(worker.signs, in_time=in_time):
                self._kill(worker)
            worker.ping()
            if worker.vigil.is_silent(worker.signs):
                self._silent(worker)

    def _kill(self, worker: Worker) -> None:
        details: dict[str, object] = {"pid": worker.process.pid, "links": len(worker.links)}
        try:
            worker.process.kill()
        except OSError as error:
            self._tell("error", CANNOT_KILL, details | {"reason": str(error)})
            return
        worker.is_killed = True
        self._tell("error", HUNG, details | {"unanswered_pings": worker.vigil.unanswered})
