"""Copying a queue to a mirror in the background, chunk by chunk, while the queue serves.

A `Copier` keeps the messages as they are when the copying begins, and is told what is removed
afterwards: what has gone by then is not sent, and what goes later is removed again by the stream,
in which copies and removals stand in order. The next chunk goes out when the mirror has answered
the one before: a mirror that copies takes no more of the leader's time and of the link than one
chunk.
"""

from __future__ import annotations

from typing import Final

from rabbitry.broker.message import Message
from rabbitry.broker.queue import Queue
from rabbitry.cluster.queue_records import Range

CHUNK_MESSAGES_MAX: Final = 500
CHUNK_SIZE_BYTES_MAX: Final = 1_000_000


class Copier:
    """Reads the messages of `ranges` out of `queue`, in order of position."""

    def __init__(self, queue: Queue, ranges: list[Range]) -> None:
        self._ranges = list(reversed(ranges))
        self._queue = queue
        self._out = dict(queue.entries_out())
        # Lists are read at any place in no time, the queue's deques only at their ends.
        self._runs = queue.waiting_runs()
        self._run = 0  # which of them comes next: positions ascend
        self._removed: dict[int, None] = {}  # of those that are still to come
        self.sent_at = 0  # the stream's number of the last chunk

    @property
    def finished(self) -> bool:
        """Whether everything has been handed out."""
        return not self._ranges

    def removed(self, ranges: list[Range]) -> None:
        """Messages are no more."""
        if self._ranges:
            next_position = self._ranges[-1][0]
            for first, last in ranges:
                self._removed.update(dict.fromkeys(range(max(first, next_position), last + 1)))

    def next_chunk(self) -> list[tuple[int, bytes, bytes, int, bytes]]:
        """Return the next messages as (position, exchange, routing key, flags, content)."""
        chunk: list[tuple[int, bytes, bytes, int, bytes]] = []
        size_bytes = 0
        while self._ranges:
            first, last = self._ranges.pop()
            for position in range(first, last + 1):
                if len(chunk) >= CHUNK_MESSAGES_MAX or size_bytes >= CHUNK_SIZE_BYTES_MAX:
                    self._ranges.append((position, last))
                    return chunk
                message = self._find(position)
                if message is not None:
                    route, frames = message
                    entry = (position, route.exchange, route.routing_key, route.flags, frames)
                    chunk.append(entry)
                    size_bytes += len(frames)
        return chunk

    def expiries_of(self, chunk: list[tuple[int, bytes, bytes, int, bytes]]) -> list[Range]:
        """Return when messages of a chunk expire, as (position, time) for those that do."""
        expiries = self._queue.expiries
        return [(one[0], expiries[one[0]]) for one in chunk if one[0] in expiries]

    def _find(self, position: int) -> Message | None:
        if position in self._removed:
            del self._removed[position]
            return None
        runs = self._runs
        while self._run < len(runs) and position >= runs[self._run][0] + len(runs[self._run][1]):
            self._run += 1
        if self._run < len(runs) and position >= runs[self._run][0]:
            first, messages = runs[self._run]
            return messages[position - first]
        return self._out.get(position)
