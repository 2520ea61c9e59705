"""Through which position messages of a mirrored queue may go out, and what mirrors are told of it.

Owns the two ends that bound a delivery (see "seen before marked" in `cluster.leader`): what all
required mirrors know may go out (`announced`, when they have answered), and what they hold. A queue
that has no mirrors has no bound.

order is not position. In a queue with priorities messages go out by priority first, so what has
been announced is no prefix of what goes out, only of what was published: whatever has come by then
may go out, in any order. After a failover all of it is marked, more in vain than elsewhere. (Its
test is with those of `cluster.leader`.)
"""

from __future__ import annotations

from collections import deque
from typing import Final

from rabbitry.broker.queue import Queue

# How far ahead of the head deliveries may be announced.
WINDOW_MAX: Final = 4096


class Announcing:
    """Sets `deliver_through` of a leader's queue. `announced` is what mirrors were told last."""

    def __init__(self, queue: Queue) -> None:
        self.announced = 0
        self._queue = queue
        # What was announced and enqueued, each as (sequence, last position), until all required
        # mirrors know; then how far that goes.
        self._announcements: deque[tuple[int, int]] = deque()
        self._enqueued: deque[tuple[int, int]] = deque()
        self._known_through = 0
        self._held_through = 0

    def restore(self, seen_through: int) -> None:
        """Begin with what this node had as a mirror.

        What the other mirrors know of the last announcement is not sure, so nothing goes out before
        all have had `Begin`, which carries it.
        """
        self.announced = max(seen_through, self._queue.head - 1)
        self._queue.deliver_through = 0
        self._announcements.append((0, self.announced))
        self._enqueued.append((0, self._queue.next_position - 1))

    def catch_up(self) -> int:
        """Count as announced what has been out; return the last position announced."""
        self.announced = max(self.announced, self._queue.head - 1)
        return self.announced

    def enqueued(self, sequence: int) -> None:
        """Mirrors that have come to this number hold all that there is now."""
        self._enqueued.append((sequence, self._queue.next_position - 1))

    def sent(self, sequence: int) -> None:
        """Mirrors that have come to this number know what is announced."""
        self._announcements.append((sequence, self.announced))

    def advance(self, floor: int) -> None:
        """All required mirrors have come to this number of the stream."""
        while self._announcements and self._announcements[0][0] <= floor:
            self._known_through = self._announcements.popleft()[1]
        while self._enqueued and self._enqueued[0][0] <= floor:
            self._held_through = self._enqueued.popleft()[1]

    def limit(self, limited: bool) -> bool:
        """Set the limit that a queue with mirrors has, lift it from one without. True: changed."""
        queue = self._queue
        before = queue.deliver_through
        if not limited:
            self._announcements.clear()
            self._enqueued.clear()
            self.catch_up()
            queue.deliver_through = None
        else:
            if before is None:
                # So far this node alone counted, and it knows what it holds and has let out.
                self._known_through = self.catch_up()
                self._held_through = queue.next_position - 1
            queue.deliver_through = min(self._known_through, self._held_through)
        return queue.deliver_through != before

    def widen(self, gets: int) -> bool:
        """Announce further, where consumers or `gets` could soon take more. True: tell mirrors."""
        queue = self._queue
        if queue.deliver_through is None or not (queue.consumers or gets):
            return False
        wanted = min(gets + queue.consumers.credit(WINDOW_MAX), WINDOW_MAX)
        ahead = self.announced - queue.head + 1
        if not wanted or ahead > wanted // 2:
            return False
        self.announced = queue.head - 1 + wanted
        return True
