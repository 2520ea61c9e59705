"""`balance leastconn` and `balance first`: who has fewest sessions, or the first with room.

Translations of src/lb_fwlc.c and src/lb_fas.c. In `leastconn` servers are sorted by
`(sessions + 1) / weight`, idle ones first of all; among equals the one that has waited longest
since its key changed, which makes it round robin under low load. In `first` they are sorted by id.

Invariants: the order among equals depends on the order of events only.
"""

from __future__ import annotations

from typing import Generic

from rabbitry.balancer.algorithms.pool import EFFECTIVE_WEIGHT_MAX, Member, Pool


class LeastConn(Generic[Member]):
    """The server with the fewest sessions for its weight, queued ones included."""

    is_dynamic = True

    def __init__(self, pool: Pool[Member]) -> None:
        self._pool = pool
        self._came = 0
        self._keys: dict[int, tuple[int, int]] = {}
        for server in pool.servers:
            if server.is_usable:
                self._keys[server.number] = self._key(server)

    def _key(self, server: Member) -> tuple[int, int]:
        self._came += 1
        return self._load(server), self._came

    @staticmethod
    def _load(server: Member) -> int:
        sessions = server.served + server.queued
        if not sessions:
            return 0
        return (sessions + 1) * EFFECTIVE_WEIGHT_MAX // max(server.effective_weight, 1)

    def choose(self, avoid: Member | None, source: bytes) -> Member | None:
        """Return the least loaded server with room for one more, in its queue at least."""
        sole = self._pool.sole_backup
        if sole is not None:
            return sole
        candidates = sorted(self._pool.in_turn, key=lambda each: self._keys[each.number])
        avoided: Member | None = None
        for server in candidates:
            if server.has_room_in_queue:
                if server is not avoid:
                    return server
                avoided = server
        return avoided

    def changed(self, server: Member) -> None:
        """A server came, went or changed its weight: it queues up behind its equals."""
        if server.is_usable:
            self._keys[server.number] = self._key(server)
        else:
            self._keys.pop(server.number, None)

    def moved(self, server: Member) -> None:
        """Its sessions have changed: it queues up behind its new equals."""
        key = self._keys.get(server.number)
        if key is not None and key[0] != self._load(server):
            self._keys[server.number] = self._key(server)

    def removed(self, server: Member) -> None:
        """Forget a server that is gone for good."""
        self._keys.pop(server.number, None)


class First(Generic[Member]):
    """The server with the lowest id that has room."""

    is_dynamic = True

    def __init__(self, pool: Pool[Member]) -> None:
        self._pool = pool

    def choose(self, avoid: Member | None, source: bytes) -> Member | None:
        """Return the first server with room for one more."""
        sole = self._pool.sole_backup
        if sole is not None:
            return sole
        avoided: Member | None = None
        for server in sorted(self._pool.in_turn, key=lambda each: each.number):
            if server.has_room:
                if server is not avoid:
                    return server
                avoided = server
        return avoided

    def changed(self, server: Member) -> None:
        """The pool knows."""

    def moved(self, server: Member) -> None:
        """Room is asked for when it matters."""

    def removed(self, server: Member) -> None:
        """Nothing is remembered of it."""
