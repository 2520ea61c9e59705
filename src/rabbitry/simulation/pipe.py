"""One direction of a simulated link: bytes, in order, cut and delayed as chance has it.

Owns what is between a sender's `SendBytes` and its receiver's `BytesReceived`: flight and the
receiver's unread bytes are one queue here. Knows of hosts only what its two ends tell it.
Invariants: order is kept; nothing follows the end mark (a finish or a break); at most one wake-up
is scheduled for a pipe, and none while it cannot deliver - whoever removes the obstacle wakes it.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from enum import Enum
from random import Random
from typing import Protocol

from rabbitry.simulation.schedule import Schedule

HIGH_WATER_BYTES = 64 * 1024
LOW_WATER_BYTES = 16 * 1024


class Mark(Enum):
    """What can stand at the end of a pipe."""

    FINISH = "finish"
    BREAK = "break"


@dataclass
class LinkWeather:
    """How links behave by themselves, apart from faults. Times in microseconds.

    A link's base latency is drawn once between the two bounds; each send varies around it, and one
    in `1 / spike_probability` takes up to `spike_us` longer. `cut_probability` is how often a send
    arrives as several pieces; adjacent sends join by themselves when both can be read at once.
    """

    latency_us_min: int = 30
    latency_us_max: int = 400
    spike_probability: float = 0.005
    spike_us: int = 20_000
    cut_probability: float = 0.2
    connect_timeout_us: int = 3_000_000


class Receiver(Protocol):
    """What a pipe delivers to."""

    def obstacle(self) -> bool:
        """Tell whether nothing can be taken now: reading paused, host frozen, path partitioned."""
        ...

    def take_bytes(self, data: bytes) -> bool:
        """Take bytes that have arrived; False refuses them, and the sender hears of a reset."""
        ...

    def take_mark(self, mark: Mark, reason: str) -> None:
        """Take the end of the pipe."""
        ...


class Sender(Protocol):
    """Whom a pipe tells how it drains."""

    def drained(self) -> None:
        """Hear that fewer bytes wait than before."""
        ...

    def refused(self) -> None:
        """Hear that bytes reached an end that is gone."""
        ...


class Pipe:
    """The way from one end of a link to the other."""

    __slots__ = (
        "_broken",
        "_items",
        "_last_ready",
        "_random",
        "_schedule",
        "_waking",
        "_weather",
        "base_latency_us",
        "ended",
        "receiver",
        "sender",
        "stalled_until",
        "waiting_bytes",
    )

    def __init__(
        self, schedule: Schedule, random: Random, weather: LinkWeather, base_latency_us: int
    ) -> None:
        self._schedule = schedule
        self._random = random
        self._weather = weather
        self._items: deque[tuple[int, bytes | Mark, str]] = deque()
        self._last_ready = 0
        self._waking = False
        self._broken = False
        self.base_latency_us = base_latency_us
        self.ended = False
        self.stalled_until = 0
        self.waiting_bytes = 0
        self.sender: Sender
        self.receiver: Receiver

    def send(self, data: bytes) -> None:
        """Let bytes go on their way, whole or in pieces. After the end mark they vanish."""
        if self.ended:
            return
        self.waiting_bytes += len(data)
        random = self._random
        if len(data) > 1 and random.random() < self._weather.cut_probability:
            start = 0
            for cut in sorted(random.randint(1, len(data)) for _ in range(random.randint(1, 3))):
                self._append(data[start:cut])
                start = cut
            self._append(data[start:])
        else:
            self._append(data)
        self._wake_for_first()

    def finish(self) -> None:
        """Put the orderly end behind what was sent."""
        self._end(Mark.FINISH, "")

    def break_off(self, reason: str) -> None:
        """End the pipe by force: of what is under way an arbitrary prefix still arrives.

        A finish that has not been delivered yet is overtaken; one break is enough.
        """
        if self._broken:
            return
        self._broken = True
        self._keep_prefix(self._random.randint(0, self.waiting_bytes))
        self.ended = False
        self._end(Mark.BREAK, reason)

    def cut_short(self) -> None:
        """Let an arbitrary prefix arrive, and nothing after it: no end mark either."""
        if not self.ended:
            self._keep_prefix(self._random.randint(0, self.waiting_bytes))
            self.ended = True

    def discard(self) -> None:
        """Forget everything under way; nothing will ever arrive again."""
        self._items.clear()
        self.waiting_bytes = 0
        self.ended = True
        self._broken = True

    def wake(self) -> None:
        """Look again whether something can be delivered: an obstacle has gone."""
        if self._items and not self._waking:
            self._waking = True
            latency = self.base_latency_us
            self._schedule.at(max(self._items[0][0], self._schedule.now + latency), self._run)

    def stall(self, until: int) -> None:
        """Deliver nothing before `until` (microseconds)."""
        self.stalled_until = max(self.stalled_until, until)

    def _append(self, item: bytes | Mark, reason: str = "") -> None:
        if item == b"":
            return
        random = self._random
        chance = random.random()
        delay = int(self.base_latency_us * (0.5 + chance + chance * chance))
        if random.random() < self._weather.spike_probability:
            delay += random.randint(0, self._weather.spike_us)
        self._last_ready = max(self._last_ready, self._schedule.now + delay)
        self._items.append((self._last_ready, item, reason))

    def _end(self, mark: Mark, reason: str) -> None:
        if self.ended:
            return
        self._append(mark, reason)
        self.ended = True
        self._wake_for_first()

    def _keep_prefix(self, kept: int) -> None:
        """Drop all but the first `kept` of the waiting bytes."""
        items: deque[tuple[int, bytes | Mark, str]] = deque()
        left = kept
        for ready, item, reason in self._items:
            if left == 0 or not isinstance(item, bytes):
                break
            piece = item[:left]
            left -= len(piece)
            items.append((ready, piece, reason))
        self._items = items
        self.waiting_bytes = kept

    def _wake_for_first(self) -> None:
        if not self._waking and self._items:
            self._waking = True
            self._schedule.at(self._items[0][0], self._run)

    def _run(self) -> None:
        """Deliver what is ready, joined into one piece, then the end mark if that is next."""
        self._waking = False
        now = self._schedule.now
        items = self._items
        if not items:
            return
        if self.stalled_until > now:
            self._waking = True
            self._schedule.at(self.stalled_until, self._run)
            return
        if self.receiver.obstacle():
            return
        ready: list[bytes] = []
        while items and items[0][0] <= now:
            item = items[0][1]
            if not isinstance(item, bytes):
                break
            ready.append(item)
            items.popleft()
        if ready:
            data = ready[0] if len(ready) == 1 else b"".join(ready)
            self.waiting_bytes -= len(data)
            taken = self.receiver.take_bytes(data)
            self.sender.drained()
            if not taken:
                self.discard()
                self.sender.refused()
                return
        # Looked at anew: what the receiver did with the bytes may have emptied or ended the pipe.
        items = self._items
        if items and items[0][0] <= now and not ready:
            mark, reason = items.popleft()[1:]
            assert isinstance(mark, Mark)
            self.receiver.take_mark(mark, reason)
        self._wake_for_first()
