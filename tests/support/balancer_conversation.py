"""A conversation with a balancer machine, for tests: events go in, effects are compared.

Owns a virtual clock and small words for events. Timers are kept, so that `pass_time` fires what a
driver would have fired, in order. Links that were joined are joined: `bytes` of one returns what a
driver would send over the other, and measures are told when asked for and before the ends.
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
    JoinLinks,
    LinkClosed,
    LinkFinished,
    LinkOpened,
    LinksMeasured,
    Measure,
    MeasureLinks,
    OpenLink,
    Report,
    SendBytes,
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
        self.joined: dict[int, int] = {}
        self.received: dict[int, int] = {}
        self.active_at: dict[int, int] = {}
        self.waiting: dict[int, int] = {}  # tests put here what a link's socket does not take
        self.begun = self.take(Started())

    def take(self, event: Event) -> list[Effect]:
        effects: list[Effect] = []
        for effect in self.balancer.step(event, self.now):
            if isinstance(effect, SetTimer):
                self.timers[effect.timer] = effect.at
            elif isinstance(effect, CancelTimer):
                self.timers.pop(effect.timer, None)
            elif isinstance(effect, JoinLinks):
                for one, other in ((effect.first, effect.second), (effect.second, effect.first)):
                    self.joined[one] = other
                    self.active_at[one] = self.now
            elif isinstance(effect, MeasureLinks):
                links = effect.links or list(self.joined)
                effects += self.measured(links, effect.number)
            else:
                effects.append(effect)
        return effects

    def measured(self, links: list[int], number: int = 0) -> list[Effect]:
        measures = [
            Measure(
                link, self.received.get(link, 0), self.active_at[link], self.waiting.get(link, 0)
            )
            for link in links
            if link in self.joined
        ]
        return self.take(LinksMeasured(measures, number))

    def client(self, link: int, listener: str = "front") -> list[Effect]:
        return self.take(LinkOpened(link, listener, CLIENT))

    def connected(self, link: int) -> list[Effect]:
        return self.take(LinkOpened(link, "", Address("127.0.0.1", 1)))

    def bytes(self, link: int, data: bytes) -> list[Effect]:
        if link not in self.joined:
            return self.take(BytesReceived(link, data))
        self.received[link] = self.received.get(link, 0) + len(data)
        self.active_at[link] = self.active_at[self.joined[link]] = self.now
        return [SendBytes(self.joined[link], data)]

    def finished(self, link: int) -> list[Effect]:
        return self._end(link, LinkFinished(link))

    def closed(self, link: int, reason: str = "") -> list[Effect]:
        return self._end(link, LinkClosed(link, reason))

    def _end(self, link: int, event: Event) -> list[Effect]:
        if link not in self.joined:
            return self.take(event)
        return self.measured([link, self.joined[link]]) + self.take(event)

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

    def rows(self) -> list[StatisticsRow]:
        self.measured(list(self.joined))
        return self.balancer.statistics(self.now)

    def row(self, name: str) -> StatisticsRow:
        return next(row for row in self.rows() if row.svname == name)


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
