"""What waits until it is safe: confirms to publishing nodes, the answer to a purge.

Owns the order in which they are released. Each waits for a number of the stream that all required
mirrors have to have stored, and for so much of what the store here was given. None overtakes
another: a confirm stands for all before it, so one for a transient message waits with those for
persistent ones before it, and for no others.
"""

from __future__ import annotations

from collections import deque
from typing import Protocol

from rabbitry.cluster.queue_records import Record
from rabbitry.cluster.queue_store import QueueStore
from rabbitry.cluster.replication import Replication


class ReleasingPort(Protocol):
    """What it needs of its node."""

    def tell_user(self, user: str, record: Record) -> None:
        """Send a record to the node that uses the queue, or hand it over where that is this one."""
        ...

    def accepted(self, queue: int, user: str, last: int) -> None:
        """Tell a publishing node that all through its number `last` is safe."""
        ...


class Releasing:
    """See the module. `store` is None for a queue of which nothing is kept."""

    def __init__(
        self, port: ReleasingPort, queue: int, replication: Replication, store: QueueStore | None
    ) -> None:
        self._port = port
        self._queue = queue
        self._replication = replication
        self._store = store
        self._waiting: deque[tuple[int, int, str, Record | int]] = deque()

    @property
    def at_once(self) -> bool:
        """Whether nothing ever has to wait: there is nobody to wait for."""
        return self._store is None and not self._replication.any_mirrors

    def add(self, user: str, what: Record | int) -> bool:
        """Have this wait for all that has happened so far; True: it may be released already."""
        store, sequence = self._store, self._replication.sequence
        written = store.written if store is not None else 0
        self._waiting.append((sequence, written, user, what))
        stored_here = store is None or store.is_durable
        return stored_here and self._replication.floors()[1] >= sequence

    def release(self) -> int:
        """Let go what need not wait any more; return through which number all hold the stream."""
        held, stored = self._replication.floors()
        durable = self._store.durable if self._store is not None else 0
        waiting = self._waiting
        accepted: dict[str, int] = {}
        while waiting and waiting[0][0] <= stored and waiting[0][1] <= durable:
            _, _, user, what = waiting.popleft()
            if isinstance(what, int):
                accepted[user] = what
            else:
                self._port.tell_user(user, what)
        for user, last in accepted.items():
            self._port.accepted(self._queue, user, last)
        return held
