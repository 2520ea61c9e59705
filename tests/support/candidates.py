"""Servers for tests of the balancing algorithms: what an algorithm sees of one, and settable."""

from __future__ import annotations

from dataclasses import dataclass

from rabbitry.balancer.algorithms.pool import WEIGHT_SCALE, Algorithm, Pool


@dataclass(eq=False)
class Seat:
    """A candidate. `weight` is the user's; `maxconn` 0 means no limit."""

    name: str
    number: int
    weight: int = 1
    is_backup: bool = False
    up: bool = True
    maxconn: int = 0
    served: int = 0
    queued: int = 0

    @property
    def is_usable(self) -> bool:
        return self.up and self.weight > 0

    @property
    def effective_weight(self) -> int:
        return self.weight * WEIGHT_SCALE

    @property
    def has_room(self) -> bool:
        return not self.maxconn or (not self.queued and self.served < self.maxconn)

    @property
    def has_room_in_queue(self) -> bool:
        return not self.maxconn or self.served + self.queued < self.maxconn


def seats(*weights: int, maxconn: int = 0) -> Pool[Seat]:
    """A pool of servers a, b, c ... with these weights."""
    made = [
        Seat("abcdefgh"[at], at + 1, weight, maxconn=maxconn) for at, weight in enumerate(weights)
    ]
    return Pool(made, all_backups=False)


def chosen(
    algorithm: Algorithm[Seat], count: int, *, hold: bool = False, avoid: Seat | None = None
) -> str:
    """The names of the next `count` choices; `hold`: each takes a place and keeps it."""
    names = ""
    for _ in range(count):
        seat = algorithm.choose(avoid, b"\x7f\x00\x00\x01")
        names += seat.name if seat is not None else "-"
        if hold and seat is not None:
            seat.served += 1
            algorithm.moved(seat)
    return names


def change(pool: Pool[Seat], algorithm: Algorithm[Seat], name: str, **what: object) -> None:
    """Change a server (`up`, `weight`, ...) and tell pool and algorithm."""
    seat = next(each for each in pool.servers if each.name == name)
    for word, value in what.items():
        setattr(seat, word, value)
    pool.recount()
    algorithm.changed(seat)
