"""Copying a queue to a mirror in the background, chunk by chunk, while the queue serves.

A `Copier` keeps the messages as they are when the copying begins, and is told what is removed
afterwards: what has gone by then is not sent, and what goes later is removed again by the stream,
in which copies and removals stand in order. What the store alone has is read from there when its
turn comes (`wanted`, `take`). The next chunk goes out when the mirror has answered the one before:
a mirror that copies takes no more of the leader's time and of the link than one chunk.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from rabbitry.broker.message import Message, MessagesAt
from rabbitry.broker.position_set import PositionSet
from rabbitry.broker.positions import within
from rabbitry.broker.queue import Queue
from rabbitry.cluster.queue_records import Range

CHUNK_MESSAGES_MAX: Final = 500
CHUNK_SIZE_BYTES_MAX: Final = 1_000_000


class Copier:
    """Reads the messages of `ranges` out of `queue`, in order of position."""

    def __init__(self, queue: Queue, ranges: list[Range]) -> None:
        # Some may have gone since the mirror was told of them.
        self._left = PositionSet(within(ranges, queue.ranges()))
        self._queue = queue
        self._out = dict(queue.entries_out())
        # Lists are read at any place in no time, the queue's deques only at their ends.
        self._runs = queue.waiting_runs()
        self._run = 0  # which of them comes next: positions ascend
        self._read: dict[int, Message] = {}  # from the store
        self._expiries: dict[int, int] = {}  # of these
        self._asked: Range | None = None
        self.sent_at = 0  # the stream's number of the last chunk
        # All has been handed out, and no chunk need follow. (One must, if the rest goes meanwhile.)
        self.finished = not self._left.count

    def removed(self, ranges: list[Range]) -> None:
        """Messages are no more."""
        self._left.remove(ranges)

    @property
    def reading(self) -> bool:
        """Whether something has been wanted and not taken yet."""
        return self._asked is not None

    def wanted(self) -> Range | None:
        """Return which positions have to be read from the store before there is a next chunk."""
        for first, last in self._left.first_ranges(1):
            if self._find(first) is None:
                end = min(last, first + CHUNK_MESSAGES_MAX - 1)
                runs = self._runs
                if self._run < len(runs):
                    end = min(end, runs[self._run][0] - 1)
                self._asked = first, end
                return self._asked
        return None

    def take(self, runs: Sequence[MessagesAt], expiries: dict[int, int]) -> None:
        """Take what was wanted: what of it is still held, with the times when it expires."""
        self._read = {at: one for first, held in runs for at, one in enumerate(held, first)}
        self._expiries = expiries
        if self._asked is not None:
            first, last = self._asked
            there = PositionSet([(first, last)])
            there.remove([(at, at + len(held) - 1) for at, held in runs])
            self._left.remove(there.ranges())
            self._asked = None

    def next_chunk(self) -> list[tuple[int, bytes, bytes, int, bytes]]:
        """Return the next messages as (position, exchange, routing key, flags, content)."""
        chunk: list[tuple[int, bytes, bytes, int, bytes]] = []
        size_bytes = 0
        through = 0
        for position in self._next_positions():
            message = self._find(position)
            if message is None or size_bytes >= CHUNK_SIZE_BYTES_MAX:
                break
            route, frames = message
            chunk.append((position, route.exchange, route.routing_key, route.flags, frames))
            size_bytes += len(frames)
            through = position
        self._left.remove([(0, through)])
        self.finished = not self._left.count
        return chunk

    def expiries_of(self, chunk: list[tuple[int, bytes, bytes, int, bytes]]) -> list[Range]:
        """Return when messages of a chunk expire, as (position, time) for those that do."""
        known, read = self._queue.expiries, self._expiries
        if not known and not read:
            return []
        dues = [(one[0], known.get(one[0], read.get(one[0]))) for one in chunk]
        return [(position, due) for position, due in dues if due is not None]

    def _next_positions(self) -> list[int]:
        found: list[int] = []
        for first, last in self._left.first_ranges(CHUNK_MESSAGES_MAX):
            found += range(first, min(last, first + CHUNK_MESSAGES_MAX - len(found) - 1) + 1)
            if len(found) == CHUNK_MESSAGES_MAX:
                break
        return found

    def _find(self, position: int) -> Message | None:
        runs = self._runs
        while self._run < len(runs) and position >= runs[self._run][0] + len(runs[self._run][1]):
            self._run += 1
        if self._run < len(runs) and position >= runs[self._run][0]:
            first, messages = runs[self._run]
            return messages[position - first]
        return self._out.get(position) or self._read.get(position)
