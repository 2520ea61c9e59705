"""A conversation with a balancer machine, for tests: events go in, effects are compared.

Owns a virtual clock and small words for events. Timers are kept, so that `pass_time` fires what a
driver would have fired, in order.
"""

from __future__ import annotations

from rabbitry.balancer.balancer import Balancer
from rabbitry.balancer.configuration.reader import parse
from rabbitry.balancer.statistics.rows import StatisticsRow
from rabbitry.machine import (
    Address,
    BytesReceived,
    CancelTimer,
    CloseLink,
    Effect,
    Event,
    LinkClosed,
    LinkFinished,
    LinkOpened,
    OpenLink,
    Report,
    SetTimer,
    Started,
    TimerFired,
)

CLIENT = Address("10.0.0.1", 40000)
MS = 1000


class Conversation:
    """A started balancer. Each method is one event and returns the effects without timers."""

    def __init__(self, text: str) -> None:
        self.balancer = Balancer(parse(text, "test.cfg"))
        self.now = 1_000_000
        self.timers: dict[str, int] = {}
        self.begun = self.take(Started())

    def take(self, event: Event) -> list[Effect]:
        effects: list[Effect] = []
        for effect in self.balancer.step(event, self.now):
            if isinstance(effect, SetTimer):
                self.timers[effect.timer] = effect.at
            elif isinstance(effect, CancelTimer):
                self.timers.pop(effect.timer, None)
            else:
                effects.append(effect)
        return effects

    def client(self, link: int, listener: str = "front") -> list[Effect]:
        return self.take(LinkOpened(link, listener, CLIENT))

    def connected(self, link: int) -> list[Effect]:
        return self.take(LinkOpened(link, "", Address("127.0.0.1", 1)))

    def bytes(self, link: int, data: bytes) -> list[Effect]:
        return self.take(BytesReceived(link, data))

    def finished(self, link: int) -> list[Effect]:
        return self.take(LinkFinished(link))

    def closed(self, link: int, reason: str = "") -> list[Effect]:
        return self.take(LinkClosed(link, reason))

    def pass_time(self, time_us: int) -> list[Effect]:
        """Let time pass; fire what is due on the way, each at its time."""
        until = self.now + time_us
        effects: list[Effect] = []
        while due := sorted((at, name) for name, at in self.timers.items() if at <= until):
            at, name = due[0]
            del self.timers[name]
            self.now = max(self.now, at)
            effects += self.take(TimerFired(name))
        self.now = until
        return effects

    def row(self, name: str) -> StatisticsRow:
        return next(row for row in self.balancer.statistics(self.now) if row.svname == name)


def opened(effects: list[Effect]) -> list[int]:
    """The links that are to be opened."""
    return [effect.link for effect in effects if isinstance(effect, OpenLink)]


def places(effects: list[Effect]) -> list[int]:
    """The ports to which links are to be opened."""
    return [effect.address.port for effect in effects if isinstance(effect, OpenLink)]


def closes(effects: list[Effect]) -> list[tuple[int, bool]]:
    """The links that are to be closed, and whether at once."""
    return [(effect.link, effect.abort) for effect in effects if isinstance(effect, CloseLink)]


def reports(effects: list[Effect]) -> list[Report]:
    """What people are told."""
    return [effect for effect in effects if isinstance(effect, Report)]
