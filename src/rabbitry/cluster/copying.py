"""Copying a queue to a mirror in the background, chunk by chunk, while the queue serves.

A `Copier` remembers what one mirror lacks. Each chunk is read when it is sent, so what has been settled
since is left out, and what is settled later is removed again by the stream, in which copies and
removals stand in order. The next chunk goes out when the mirror has answered the one before: a
mirror that copies takes no more of the leader's time and memory than one chunk.
"""

from __future__ import annotations

from typing import Final

from rabbitry.broker.queue import Queue
from rabbitry.cluster.records import Range

CHUNK_MESSAGES_MAX: Final = 500
CHUNK_SIZE_BYTES_MAX: Final = 1_000_000


class Copier:
    """Reads the messages of `ranges` out of `queue`, in order of position."""

    def __init__(self, queue: Queue, ranges: list[Range]) -> None:
        self._queue = queue
        self._ranges = list(reversed(ranges))
        # A list is read at any place in no time, a deque only at its ends.
        self._ready = list(queue.ready)
        self._ready_head = queue.head
        self.sent_at = 0  # the stream's number of the last chunk

    @property
    def finished(self) -> bool:
        """Whether everything has been handed out."""
        return not self._ranges

    def next_chunk(self) -> list[tuple[int, bytes, bytes, bytes]]:
        """Return the next messages as (position, exchange, routing key, content)."""
        chunk: list[tuple[int, bytes, bytes, bytes]] = []
        size_bytes = 0
        queue = self._queue
        while self._ranges:
            first, last = self._ranges.pop()
            for position in range(first, last + 1):
                if len(chunk) >= CHUNK_MESSAGES_MAX or size_bytes >= CHUNK_SIZE_BYTES_MAX:
                    self._ranges.append((position, last))
                    return chunk
                if position >= queue.head:
                    message = self._ready[position - self._ready_head]
                else:
                    out = queue.find_out(position)
                    if out is None:
                        continue
                    message = out
                route, frames = message
                chunk.append((position, route.exchange, route.routing_key, frames))
                size_bytes += len(frames)
        return chunk
