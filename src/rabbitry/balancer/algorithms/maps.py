"""`balance static-rr` and `balance source` with `hash-type map-based`: a table of turns.

A translation of src/lb_map.c. The table has as many slots as the weights (divided by their greatest
common divisor) add up to; it is reckoned anew when a server comes or goes. `static-rr` walks
through it, `source` looks the client's address up in it.

Weights cannot change here but to 0 and back (`is_dynamic`), since there is no table for others.

Invariants: the table depends only on who is usable, and their weights and order.
"""

from __future__ import annotations

from functools import reduce
from math import gcd
from typing import Generic

from rabbitry.balancer.algorithms.hashes import hash_of_address
from rabbitry.balancer.algorithms.pool import WEIGHT_SCALE, Member, Pool


class _Map(Generic[Member]):
    """The table, and the walk through it."""

    is_dynamic = False

    def __init__(self, pool: Pool[Member]) -> None:
        self._pool = pool
        weights = [_user_weight(server) for server in pool.servers]
        self._divisor = reduce(gcd, weights, 0) or 1
        self._next = 0
        self._reckon()

    def _reckon(self) -> None:
        """Fill the table (`recalc_server_map`): the first server of equal merit is preferred."""
        servers = self._pool.in_turn
        shares = [_user_weight(server) // self._divisor for server in servers]
        total = sum(shares)
        scores = [0] * len(servers)
        self.table: list[Member] = []
        for _ in range(total):
            best, most = 0, -1
            for index, share in enumerate(shares):
                if total == 1:
                    break
                scores[index] += share
                merit = (scores[index] + total) // total
                if merit > most:
                    best, most = index, merit
            self.table.append(servers[best])
            scores[best] -= total

    def walk(self, avoid: Member | None) -> Member | None:
        """Return the next server of the table with room (`map_get_server_rr`)."""
        if not self.table:
            return None
        if self._next >= len(self.table):
            self._next = 0
        at = self._next
        avoided: tuple[Member, int] | None = None
        while True:
            server = self.table[at]
            at += 1
            if server.has_room:
                if server is not avoid:
                    self._next = at
                    return server
                avoided = (server, at)
            if at == len(self.table):
                at = 0
            if at == self._next:
                break
        if avoided is None:
            return None
        self._next = avoided[1]
        return avoided[0]

    def changed(self, server: Member) -> None:
        """Reckon the table anew."""
        self._reckon()

    def moved(self, server: Member) -> None:
        """Sessions do not matter here."""

    def removed(self, server: Member) -> None:
        """It is not usable any more, so the table is without it already."""


class StaticRoundRobin(_Map[Member]):
    """Each server in turn, by the table."""

    def choose(self, avoid: Member | None, source: bytes) -> Member | None:
        """Return whose turn it is among those with room."""
        return self.walk(avoid)


class SourceByMap(_Map[Member]):
    """The same client reaches the same server, until a server comes or goes."""

    def __init__(self, pool: Pool[Member], avalanche: bool) -> None:
        super().__init__(pool)
        self._avalanche = avalanche

    def choose(self, avoid: Member | None, source: bytes) -> Member | None:
        """Return the server of the client's address, whether it has room or not."""
        if not self.table:
            return None
        if len(self._pool.in_turn) == 1:
            return self.table[0]
        if not source:
            return self.walk(avoid)  # a client of a Unix socket
        return self.table[hash_of_address(source, self._avalanche) % len(self.table)]


def _user_weight(server: Member) -> int:
    return server.effective_weight // WEIGHT_SCALE
