"""A host's store in the simulation: it keeps what was committed and forgets what was not.

Owns the durable keys of one host across crashes, and the time a commit takes. Invariants: batches
are atomic and become durable in the order in which they were handed over; `Committed` comes after
the batch is durable, never before; a crash loses what was not durable - of the batches under way
any number from the front may have reached the disk, though nobody was told.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from random import Random

from rabbitry.machine import BULK, Commit, Load, Started
from rabbitry.simulation.schedule import Schedule

_COMMIT_US_MIN = 50
_COMMIT_US_MAX = 3_000
_LOAD_US_MIN = 10
_LOAD_US_MAX = 1_000


class SimulatedStore:
    """The store of one host. `committed` is called with the number of each durable commit."""

    def __init__(self, schedule: Schedule, random: Random) -> None:
        self._schedule = schedule
        self._random = random
        self._durable: dict[bytes, bytes] = {}
        self._under_way: deque[Commit] = deque()
        self._last_due = 0
        self._boot = 0
        self._committed: Callable[[int], None] = _nobody_listens
        self._loaded: Callable[[int, list[bytes | None]], None] = _nobody_reads

    def open(
        self,
        committed: Callable[[int], None],
        loaded: Callable[[int, list[bytes | None]], None] | None = None,
    ) -> Started:
        """Start to serve a new process; return what the store kept, in key order."""
        self._boot += 1
        self._committed = committed
        self._loaded = loaded or _nobody_reads
        stored = sorted(item for item in self._durable.items() if not item[0].startswith(BULK))
        return Started(stored, sorted(key for key in self._durable if key.startswith(BULK)))

    def commit(self, commit: Commit) -> None:
        """Take a batch; it is durable, and answered, a moment later."""
        self._under_way.append(commit)
        due = self._schedule.now + self._random.randint(_COMMIT_US_MIN, _COMMIT_US_MAX)
        self._last_due = max(self._last_due, due)
        self._schedule.at(self._last_due, self._finish, self._boot)

    def load(self, load: Load) -> None:
        """Read values as they are now; they are handed over a moment later."""
        values = [self._durable.get(key) for key in load.keys]
        delay_us = self._random.randint(_LOAD_US_MIN, _LOAD_US_MAX)
        self._schedule.at(
            self._schedule.now + delay_us, self._finish_load, self._boot, load.load, values
        )

    def crash(self) -> None:
        """Lose what is under way, but for a prefix of the batches that chance lets through."""
        for _ in range(self._random.randint(0, len(self._under_way))):
            self._apply(self._under_way.popleft())
        self._under_way.clear()
        self._boot += 1
        self._committed = _nobody_listens
        self._loaded = _nobody_reads

    def _finish_load(self, boot: int, load: int, values: list[bytes | None]) -> None:
        if boot == self._boot:
            self._loaded(load, values)

    def _finish(self, boot: int) -> None:
        if boot == self._boot:
            commit = self._under_way.popleft()
            self._apply(commit)
            self._committed(commit.commit)

    def _apply(self, commit: Commit) -> None:
        for key, value in commit.writes:
            if value is None:
                self._durable.pop(key, None)
            else:
                self._durable[key] = value


def _nobody_listens(_commit: int) -> None:
    """What a store calls while no process has it open."""


def _nobody_reads(_load: int, _values: list[bytes | None]) -> None:
    """What a store calls while no process reads."""
