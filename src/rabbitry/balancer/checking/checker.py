"""What all checkers of servers have in common: a timer, links of their own, a desk to write at.

Owns the shape (`Checker`) and the desk: the list of effects, the numbers of links, who owns which
link, and where results go. Decides nothing.

Invariants: a link belongs to its checker until `LinkClosed`, wanted or not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

from rabbitry.balancer.backends import Backend
from rabbitry.balancer.checking.targets import Target
from rabbitry.balancer.checking.verdicts import Verdicts
from rabbitry.balancer.servers import Server
from rabbitry.machine import Effect, OpenLink


class Checker(Protocol):
    """Makes one kind of check of one server, again and again."""

    @property
    def timer(self) -> str:
        """The name of its one timer."""
        ...

    @property
    def judges(self) -> tuple[Backend, Server]:
        """The server it checks, and of which backend."""
        ...

    def timer_fired(self, now: int) -> None:
        """Its time has come; the first time, it begins."""
        ...

    def hurry(self, at: int) -> None:
        """Begin the next check at this time if it is later than that."""
        ...

    def link_opened(self, link: int, now: int) -> None:
        """A link is open."""
        ...

    def bytes_received(self, link: int, data: bytes, now: int) -> None:
        """The server has sent bytes."""
        ...

    def link_finished(self, link: int, now: int) -> None:
        """The server has sent all it will send."""
        ...

    def link_closed(self, link: int, reason: str, now: int) -> None:
        """A link is gone."""
        ...

    def end(self, now: int) -> None:
        """Check no more; let go of links in order."""
        ...


@dataclass(slots=True)
class Desk:
    """Where checkers write. `apart` gives what `spread-checks` adds to a pause, in 65536ths."""

    out: list[Effect]
    next_link: Callable[[], int]
    verdicts: Verdicts
    apart: Iterator[int]
    by_link: dict[int, Checker] = field(default_factory=dict)

    def open(self, checker: Checker, target: Target) -> int:
        """Open a link for a checker; return its number."""
        link = self.next_link()
        self.by_link[link] = checker
        self.out.append(OpenLink(link, target.address, target.options))
        return link

    def spread(self, interval_us: int) -> int:
        """Return the pause of this check, a little more or less with `spread-checks`."""
        return interval_us + interval_us * next(self.apart) // 65536
