"""What a node does with what its store kept, before it joins the cluster.

Makes replicas of what is there, and says when it has. Only queues that need all their messages in
memory are read; others begin to serve at once, and read what they deliver. A value that
does not come as it was written ends the process: it has been verified at the start, so this is
damage in the middle of use; the next start finds it and says of which queue.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from rabbitry.broker.message import Routes
from rabbitry.broker.position_set import PositionSet
from rabbitry.cluster.chunks import chunk_key_of
from rabbitry.cluster.node_store import NodeStore
from rabbitry.cluster.replica import Replica
from rabbitry.machine import Value

# So many chunks are read at a time: they are in memory twice meanwhile.
CHUNKS_AT_ONCE: Final = 64


class Recovering:
    """Call `begin`; `found` gets each queue's replica, `done` is called once, at the end."""

    def __init__(
        self,
        store: NodeStore,
        routes: Routes,
        found: Callable[[int, Replica], None],
        done: Callable[[], None],
    ) -> None:
        self._store = store
        self._routes = routes
        self._found = found
        self._done = done
        self._left: list[int] = []

    def begin(self) -> None:
        """Read what there is, queue by queue."""
        self._left = sorted(self._store.kept, reverse=True)
        self._next_queue()

    def _next_queue(self) -> None:
        while self._left:
            queue = self._left.pop()
            store = self._store.queue(queue)
            ranges = store.ranges()
            kept = self._store.kept[queue]
            replica = Replica.of(kept)
            replica.positions = PositionSet(ranges)
            if ranges and kept.whole:
                self._read(queue, replica, store.chunk_keys(ranges[0][0], ranges[-1][1]))
                return
            self._found(queue, replica)
        self._store.when_durable(self._done)

    def _read(self, queue: int, replica: Replica, keys: list[bytes]) -> None:
        now, later = keys[:CHUNKS_AT_ONCE], keys[CHUNKS_AT_ONCE:]
        self._store.load(now, partial(self._take, queue, replica, now, later))

    def _take(
        self,
        queue: int,
        replica: Replica,
        keys: list[bytes],
        later: list[bytes],
        values: Sequence[Value | None],
    ) -> None:
        store = self._store.queue(queue)
        for key, value in zip(keys, values, strict=True):
            if value is None:
                self._store.fail(queue)
                return
            runs, expiries = store.messages_in(chunk_key_of(key), value, self._routes)
            for first, messages in runs:
                replica.messages.update(enumerate(messages, first))
            replica.expiries.update(expiries)
        if later:
            self._read(queue, replica, later)
        else:
            self._found(queue, replica)
            self._next_queue()
