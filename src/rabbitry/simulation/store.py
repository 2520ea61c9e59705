"""A host's store in the simulation: it keeps what was committed and forgets what was not.

Owns the durable keys of one host across crashes, the time that commits and loads take, and what
goes wrong with them (`StoreTrouble`, which the faults of a run set and take away).

Invariants: batches are atomic and become durable in the order in which they were handed over;
`Committed` comes after the batch is durable, never before; a commit that fails takes all with it
that was handed over after it and before the machine has heard so; a crash loses what was not
durable - of the batches under way any number from the front may have reached the disk, though
nobody was told. A damaged value is never given out; its key is named at the next start.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

from rabbitry.machine import BULK, Commit, Load, Started, Value
from rabbitry.simulation.schedule import Schedule

_COMMIT_US_MIN = 50
_COMMIT_US_MAX = 3_000
_LOAD_US_MIN = 10
_LOAD_US_MAX = 1_000
_TELLING_US_MAX = 1_000  # from a commit's failing until the machine may hear of it

FULL = "no space left on device"
BROKEN = "input/output error"


@dataclass
class StoreTrouble:
    """What is wrong with a store now. Times in microseconds; nothing is, as it is made.

    `failures` is how many commits from now on fail, one after the other; a `full` store refuses
    each that makes it larger.
    """

    commit_us_max: int = 0
    load_us_max: int = 0
    failures: int = 0
    full: bool = False

    def heal(self) -> None:
        """End all of it."""
        self.commit_us_max = self.load_us_max = self.failures = 0
        self.full = False


@dataclass(frozen=True)
class StoreListener:
    """Whom a store answers: the process that has it open."""

    committed: Callable[[int], None]
    loaded: Callable[[int, Sequence[Value | None]], None] = lambda load, values: None
    failed: Callable[[int, str], None] = lambda commit, reason: None


class SimulatedStore:
    """The store of one host. Whoever hears of a failed commit says so with `failure_heard`."""

    def __init__(self, schedule: Schedule, random: Random) -> None:
        self.trouble = StoreTrouble()
        self._schedule = schedule
        self._random = random
        self._durable: dict[bytes, bytes] = {}
        self._damaged: dict[bytes, None] = {}
        self._under_way: deque[Commit] = deque()
        self._last_due = 0
        self._boot = 0
        self._failed = False  # a commit has, and the machine has not heard
        self._listener = _NOBODY

    def open(self, listener: StoreListener) -> Started:
        """Start to serve a new process; return what the store kept, in key order."""
        self._boot += 1
        self._listener = listener
        self._failed = False
        kept = sorted(item for item in self._durable.items() if item[0] not in self._damaged)
        return Started(
            [item for item in kept if not item[0].startswith(BULK)],
            [key for key, _ in kept if key.startswith(BULK)],
            sorted(self._damaged),
        )

    def commit(self, commit: Commit) -> None:
        """Take a batch; it is durable, and answered, a moment later."""
        if self._failed:
            return  # handed over by a machine that is still to hear of the failure
        self._under_way.append(commit)
        due = self._schedule.now + self._random.randint(_COMMIT_US_MIN, _COMMIT_US_MAX)
        if self.trouble.commit_us_max:
            due += self._random.randint(0, self.trouble.commit_us_max)
        self._last_due = max(self._last_due, due)
        self._schedule.at(self._last_due, self._finish, self._boot, commit)

    def load(self, load: Load) -> None:
        """Read values as they are now; they are handed over a moment later.

        They are lent: the world takes them away when the step is done (`machine.Loaded`).
        """
        found = [None if key in self._damaged else self._durable.get(key) for key in load.keys]
        values = [None if value is None else memoryview(value) for value in found]
        delay_us = self._random.randint(_LOAD_US_MIN, _LOAD_US_MAX)
        if self.trouble.load_us_max:
            delay_us += self._random.randint(0, self.trouble.load_us_max)
        self._schedule.at(
            self._schedule.now + delay_us, self._finish_load, self._boot, load.load, values
        )

    def failure_heard(self) -> None:
        """The machine knows of the failure: what it hands over from now on is taken again."""
        self._failed = False

    def crash(self) -> None:
        """Lose what is under way, but for a prefix of the batches that chance lets through."""
        for _ in range(self._random.randint(0, len(self._under_way))):
            if self._refusal(self._under_way[0]):
                break
            self._apply(self._under_way.popleft())
        self._under_way.clear()
        self._last_due = 0
        self._boot += 1
        self._listener = _NOBODY

    def damage(self, random: Random, *, bulk: bool) -> bytes | None:
        """Flip bits in a value that chance picks, bulk or not; return its key, None if none is."""
        sound = [
            key
            for key in sorted(self._durable)
            if key.startswith(BULK) == bulk and key not in self._damaged
        ]
        if not sound:
            return None
        key = random.choice(sound)
        self._damaged[key] = None
        return key

    def contents(self) -> dict[bytes, bytes]:
        """Return all that is durable and sound, for checkers."""
        return {key: self._durable[key] for key in self._durable if key not in self._damaged}

    # --- what happens by itself -------------------------------------------------------------------

    def _finish_load(self, boot: int, load: int, values: Sequence[Value | None]) -> None:
        if boot == self._boot:
            self._listener.loaded(load, values)

    def _finish(self, boot: int, commit: Commit) -> None:
        # One that was dropped behind a failed one is not under way any more.
        if boot != self._boot or not self._under_way or self._under_way[0] is not commit:
            return
        reason = self._refusal(commit)
        if reason:
            self.trouble.failures -= reason == BROKEN
            self._under_way.clear()
            self._failed = True
            told_at = self._schedule.now + self._random.randint(0, _TELLING_US_MAX)
            self._schedule.at(told_at, self._tell_failure, boot, commit.commit, reason)
            return
        self._under_way.popleft()
        self._apply(commit)
        self._listener.committed(commit.commit)

    def _tell_failure(self, boot: int, commit: int, reason: str) -> None:
        if boot == self._boot:
            self._listener.failed(commit, reason)

    def _refusal(self, commit: Commit) -> str:
        """Return why this batch cannot be written now, empty if it can."""
        if self.trouble.failures:
            return BROKEN
        return FULL if self.trouble.full and self._growth_bytes(commit) > 0 else ""

    def _growth_bytes(self, commit: Commit) -> int:
        return sum(
            (0 if value is None else len(key) + len(value)) - self._size_bytes(key)
            for key, value in dict(commit.writes).items()
        )

    def _size_bytes(self, key: bytes) -> int:
        return len(key) + len(self._durable[key]) if key in self._durable else 0

    def _apply(self, commit: Commit) -> None:
        for key, value in commit.writes:
            self._damaged.pop(key, None)
            if value is None:
                self._durable.pop(key, None)
            else:
                self._durable[key] = value


# What answers nobody while no process has the store open.
_NOBODY = StoreListener(lambda commit: None)


def take_back(values: Sequence[Value | None]) -> None:
    """End the loan of values: who looks at one later fails (ValueError)."""
    for value in values:
        if isinstance(value, memoryview):
            value.release()
