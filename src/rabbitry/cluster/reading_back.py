"""Reading messages of a queue back from the node's store."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rabbitry.broker.message import MessagesAt, Routes
from rabbitry.broker.positions import runs_within
from rabbitry.cluster.chunks import chunk_key_of
from rabbitry.cluster.node_store import NodeStore
from rabbitry.cluster.queue_store import QueueStore
from rabbitry.machine import Value

# What is held at some positions, ascending, and when those messages expire that do.
StoredMessages = tuple[list[MessagesAt], dict[int, int]]
OnRead = Callable[[StoredMessages], None]


def read_stored(
    store: NodeStore, queue: QueueStore, routes: Routes, first: int, last: int, then: OnRead
) -> None:
    """Read what is held, and durable, from position `first` to `last`.

    A value that does not come as it was written ends the process; `then` is not called.
    """
    keys = queue.chunk_keys(first, last)

    def loaded(values: Sequence[Value | None]) -> None:
        held: list[MessagesAt] = []
        expiries: dict[int, int] = {}
        for key, value in zip(keys, values, strict=True):
            chunk = chunk_key_of(key)
            if value is None:
                if queue.holds(chunk):
                    store.fail(queue.number)
                    return
                if queue.stored_within([(chunk.first, chunk.first + chunk.count - 1)]):
                    read_stored(store, queue, routes, first, last, then)  # merged since
                    return
                continue  # all of it has gone since it was asked for
            found, dues = queue.messages_in(chunk, value, routes)
            held += found
            expiries.update(dues)
        then((runs_within(held, first, last), expiries))

    if keys:
        store.load(keys, loaded)
    else:
        then(([], {}))
