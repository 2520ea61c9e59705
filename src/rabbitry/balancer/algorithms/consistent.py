"""`hash-type consistent` and `balance random`: servers on a ring, clients beside them.

A translation of src/lb_chash.c. Each server has as many points on a ring of 2^32 as its effective
weight; a client's hash goes to the nearest point. When a server comes or goes only its own clients
move. `random(n)` draws n points and takes the server with fewer sessions for its weight.

Invariants: a server's points depend on its id and weight alone.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import Generic

from rabbitry.balancer.algorithms.hashes import full_hash, hash_of_address
from rabbitry.balancer.algorithms.pool import EFFECTIVE_WEIGHT_MAX, Member, Pool

_MASK = 0xFFFFFFFF
_SEED = 2463534242  # HAProxy's own first state of its xorshift (src/tools.c)


class _Ring(Generic[Member]):
    """The points of the servers in turn."""

    is_dynamic = True

    def __init__(self, pool: Pool[Member], balance_factor_percent: int = 0) -> None:
        self._pool = pool
        self._factor = balance_factor_percent
        self._place()

    def _place(self) -> None:
        points: list[tuple[int, int, Member]] = []
        for order, server in enumerate(self._pool.in_turn):
            first = server.number * EFFECTIVE_WEIGHT_MAX
            points += [
                (full_hash((first + nth) & _MASK), order, server)
                for nth in range(server.effective_weight)
            ]
        points.sort(key=lambda point: point[:2])
        self._keys = [point[0] for point in points]
        self._owners = [point[2] for point in points]

    def nearest(self, value: int, avoid: Member | None) -> Member | None:
        """Return the server nearest to `value`, going on from `avoid` and, where loads are
        bounded, from those that have more than their share (`chash_get_server_hash`)."""
        sole = self._pool.sole_backup
        if sole is not None:
            return sole
        if not self._keys:
            return None
        after = bisect_left(self._keys, value) % len(self._keys)
        at = after
        if ((value - self._keys[after - 1]) & _MASK) <= ((self._keys[after] - value) & _MASK):
            at = (after - 1) % len(self._keys)
        for _ in range(2 * len(self._keys)):
            server = self._owners[at]
            if server is not avoid and (not self._factor or self._is_eligible(server)):
                return server
            at = (at + 1) % len(self._keys)
        return self._owners[at]

    def _is_eligible(self, server: Member) -> bool:
        """Whether a server has less than its share (consistent hashing with bounded loads)."""
        candidates = self._pool.in_turn
        served = sum(each.served for each in candidates)
        total = self._pool.total_weight
        slots = ((served + 1) * self._factor + 99) // 100
        each_weight, rest = divmod(slots, total)
        before = 0
        for each in candidates:
            if each is server:
                break
            before += each.effective_weight
        own = server.effective_weight
        share = own * each_weight + ((before + own) * rest) // total - (before * rest) // total
        return server.served < max(share, 1)

    def changed(self, server: Member) -> None:
        """Place the points anew."""
        self._place()

    def moved(self, server: Member) -> None:
        """Sessions are looked at when it matters."""

    def removed(self, server: Member) -> None:
        """It is not usable any more, so it has no points already."""


class SourceByRing(_Ring[Member]):
    """The same client reaches the same server; others keep theirs when a server comes or goes."""

    def __init__(self, pool: Pool[Member], avalanche: bool, balance_factor_percent: int) -> None:
        super().__init__(pool, balance_factor_percent)
        self._avalanche = avalanche

    def choose(self, avoid: Member | None, source: bytes) -> Member | None:
        """Return the server nearest to the client's address."""
        if len(self._pool.in_turn) == 1:
            return self.nearest(0, avoid)
        return self.nearest(hash_of_address(source, self._avalanche), avoid)


class Random(_Ring[Member]):
    """The least loaded of some drawn at random."""

    def __init__(self, pool: Pool[Member], draws: int) -> None:
        super().__init__(pool)
        self._draws = draws
        self._state = _SEED

    def choose(self, avoid: Member | None, source: bytes) -> Member | None:
        """Return the best of the draws; None if it is full: then the session queues up."""
        best: Member | None = None
        for _ in range(self._draws):
            drawn = self.nearest(self._draw(), avoid)
            if drawn is None:
                break
            if best is None or (
                drawn.served * best.effective_weight <= best.served * drawn.effective_weight
            ):
                best = drawn
        if best is not None and not best.has_room:
            return None
        return best

    def _draw(self) -> int:
        """Return the next of 2^32 pseudo-random numbers (xorshift): good enough to spread load."""
        state = self._state
        state ^= (state << 13) & _MASK
        state ^= state >> 17
        state ^= (state << 5) & _MASK
        self._state = state
        return state
