"""`balance roundrobin`: each server in turn, according to its weight, which may change at any time.

A translation of src/lb_fwrr.c (fast weighted round robin), so that sessions reach the servers in
HAProxy's order. Active servers and backups are two groups. In a group positions go round; every
server has its next position, `total weight / its weight` behind its last one. A round goes on in
the tree `current`, sorted by position; who has had all its turns goes to `next`, sorted by weight,
heavy ones first, which is the tree `init` of the following round.

Invariants: a usable server is in exactly one of the three trees, others are in none.
"""

from __future__ import annotations

from bisect import insort
from typing import Generic

from rabbitry.balancer.algorithms.pool import (
    EFFECTIVE_WEIGHT_MAX,
    USER_WEIGHT_MAX,
    WEIGHT_SCALE,
    Member,
    Pool,
)


class _Place(Generic[Member]):
    """Where a server stands. `weight` is the effective weight that the group reckons with."""

    __slots__ = ("key", "last", "next", "rest", "server", "tree", "weight")

    def __init__(self, server: Member) -> None:
        self.server = server
        self.weight = server.effective_weight if server.is_usable else 0
        self.tree: _Tree[Member] | None = None
        self.key = (0, 0)
        self.last = 0
        self.next = 0
        self.rest = 0

    def __lt__(self, other: _Place[Member]) -> bool:
        return self.key < other.key


class _Tree(Generic[Member]):
    """Places sorted by key, equal keys in the order they came (an ebtree)."""

    __slots__ = ("_came", "_places")

    def __init__(self) -> None:
        self._places: list[_Place[Member]] = []
        self._came = 0

    def first(self) -> _Place[Member] | None:
        return self._places[0] if self._places else None

    def add(self, place: _Place[Member], key: int) -> None:
        self._came += 1
        place.key = (key, self._came)
        place.tree = self
        insort(self._places, place)

    def remove(self, place: _Place[Member]) -> None:
        self._places.remove(place)


class _Group(Generic[Member]):
    """Active servers, or backups: their round."""

    def __init__(self, places: list[_Place[Member]]) -> None:
        self.current: _Tree[Member] = _Tree()
        self.init: _Tree[Member] = _Tree()
        self.next: _Tree[Member] = _Tree()
        weight = sum(place.weight for place in places)
        self.position = self.current_weight = self.next_weight = weight
        for place in places:
            if place.weight:
                self.init.add(place, EFFECTIVE_WEIGHT_MAX - place.weight)

    # --- places -----------------------------------------------------------------------------

    def take_out(self, place: _Place[Member]) -> None:
        if place.tree is not None:
            place.tree.remove(place)

    def make_ready(self, place: _Place[Member]) -> None:
        """Turn the position of a place into one of this round (`fwrr_get_srv`)."""
        if place.tree is self.init:
            place.next = place.rest = 0
        elif place.tree is self.next:
            place.next += self.current_weight
        elif place.tree is None:
            place.next = self.position

    def put_in(self, place: _Place[Member]) -> None:
        """Queue a place that is out of its tree, by its position (`fwrr_queue_srv`)."""
        beyond = place.next >= 2 * self.current_weight
        if beyond or place.next >= self.current_weight + self.next_weight:
            place.next -= self.current_weight
            self.next.add(place, EFFECTIVE_WEIGHT_MAX - place.server.effective_weight)
        else:
            finer = EFFECTIVE_WEIGHT_MAX + place.rest - place.server.effective_weight
            key = USER_WEIGHT_MAX * place.next + finer // WEIGHT_SCALE
            self.current.add(place, key)

    # --- rounds -----------------------------------------------------------------------------

    def first(self) -> _Place[Member] | None:
        """Whose turn it is (`fwrr_get_server_from_group`)."""
        current = self.current.first()
        if current is not None and current.weight and current.next <= self.position:
            return current
        fresh = self.init.first()
        if fresh is not None and fresh.weight:
            fresh.next = fresh.rest = 0
            return fresh
        return current

    def advance(self, place: _Place[Member]) -> None:
        """Give a place its turn: it is out of its tree, with its next position reckoned."""
        if not place.next:
            place.next = self.position
        place.last = place.next
        step, rest = divmod(self.next_weight, place.weight)
        place.next += step
        place.rest += rest
        if place.rest >= place.weight:
            place.rest -= place.weight
            place.next += 1
        self.take_out(place)
        self.position += 1

    def begin_round(self) -> None:
        self.init, self.next = self.next, self.init
        self.position = self.current_weight = self.next_weight


class RoundRobin(Generic[Member]):
    """Weighted round robin over a pool."""

    is_dynamic = True

    def __init__(self, pool: Pool[Member]) -> None:
        self._pool = pool
        self._places = {server.number: _Place(server) for server in pool.servers}
        self._active = _Group([each for each in self._all() if not each.server.is_backup])
        self._backups = _Group([each for each in self._all() if each.server.is_backup])

    def _all(self) -> list[_Place[Member]]:
        return list(self._places.values())

    def choose(self, avoid: Member | None, source: bytes) -> Member | None:
        """Return whose turn it is among those with room; None if none has any."""
        sole = self._pool.sole_backup
        if sole is not None:
            return sole
        group = self._active if self._pool.active else self._backups
        if not (self._pool.active or self._pool.backups):
            return None
        passed: list[_Place[Member]] = []
        avoided: _Place[Member] | None = None
        switched = False
        if not group.current_weight:
            group.position = group.current_weight = group.next_weight
        while True:
            place = group.first()
            if place is None:
                if switched:
                    place = avoided
                    break
                switched = True
                group.begin_round()
                continue
            group.advance(place)
            if place.server.has_room:
                if place.server is not avoid or avoided is not None:
                    break
                avoided = place
            passed.append(place)
        if place is not None:
            group.put_in(place)
        for each in reversed(passed):
            if each is place:
                continue
            if switched:
                group.init.add(each, EFFECTIVE_WEIGHT_MAX - each.server.effective_weight)
            else:
                group.put_in(each)
        return place.server if place is not None else None

    def changed(self, server: Member) -> None:
        """Give a server that came, went or changed its weight its place."""
        place = self._places.get(server.number)
        if place is None:
            place = self._places[server.number] = _Place(server)
            place.weight = 0
        group = self._backups if server.is_backup else self._active
        before, after = place.weight, server.effective_weight if server.is_usable else 0
        if before == after:
            return
        group.next_weight += after - before
        if not after:
            group.take_out(place)
            place.tree = None
        elif not before:
            group.make_ready(place)
            room = group.next_weight + group.current_weight - group.position
            place.next = group.position + max(room, 0) // after
            group.put_in(place)
        else:
            self._move(group, place, after)
        place.weight = after

    @staticmethod
    def _move(group: _Group[Member], place: _Place[Member], weight: int) -> None:
        group_init = place.tree is group.init
        group.make_ready(place)
        group.take_out(place)
        if group_init:
            group.init.add(place, EFFECTIVE_WEIGHT_MAX - weight)
            return
        step = group.next_weight // weight
        before = place.next
        place.next = min(place.last + step, before)
        place.rest = 0
        if place.next < group.position + 2:
            place.next = group.position + step
        group.put_in(place)

    def moved(self, server: Member) -> None:
        """Sessions do not matter here."""

    def removed(self, server: Member) -> None:
        """Forget a server that is gone for good; it is not usable any more."""
        self._places.pop(server.number, None)
