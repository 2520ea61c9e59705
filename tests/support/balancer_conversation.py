"""A conversation with a balancer machine, for tests: events go in, effects are compared.

Owns a virtual clock and small words for events. Timers are kept, so that `pass_time` fires what a
driver would have fired, in order. Links that were joined are joined: `bytes` of one returns what a
driver would send over the other, and measures are told when asked for and before the ends.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from rabbitry.balancer.balancer import Balancer
from rabbitry.balancer.configuration.model import Configuration
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
LOCAL = Address("10.0.0.9", 5672)
MS = 1000


def configured(
    text: str,
    *,
    front: dict[str, Any] | None = None,
    back: dict[str, Any] | None = None,
    bind: dict[str, Any] | None = None,
    process: dict[str, Any] | None = None,
    **servers: dict[str, Any],
) -> Configuration:
    """The configuration of `text`, with fields of its sections replaced: those of all frontends, of
    all backends, of all binds, of the process, and of servers by name.
    """
    read = parse(text, "test.cfg")
    proxies = []
    for frontend, backend in read.proxies:
        if frontend is not None:
            binds = tuple(replace(each, **(bind or {})) for each in frontend.binds)
            frontend = replace(frontend, binds=binds, **(front or {}))
        if backend is not None:
            lines = tuple(replace(each, **servers.get(each.name, {})) for each in backend.servers)
            backend = replace(backend, servers=lines, **(back or {}))
        proxies.append((frontend, backend))
    return replace(read, proxies=tuple(proxies), process=replace(read.process, **(process or {})))


class Conversation:
    """A started balancer. Each method is one event and returns the effects without timers."""

    def __init__(self, text: str | Configuration) -> None:
        configuration = parse(text, "test.cfg") if isinstance(text, str) else text
        self.balancer = Balancer(configuration)
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

    def settled(self) -> list[Effect]:
        """The effects of what was done to the balancer beside its events (a command)."""
        return self.take(LinkFinished(0))

    def measured(self, links: list[int], number: int = 0) -> list[Effect]:
        measures = [
            Measure(
                link, self.received.get(link, 0), self.active_at[link], self.waiting.get(link, 0)
            )
            for link in links
            if link in self.joined
        ]
        return self.take(LinksMeasured(measures, number))

    def client(self, link: int, listener: str = "front", client: Address = CLIENT) -> list[Effect]:
        return self.take(LinkOpened(link, listener, client, local=LOCAL))

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

    def relaying(self, link: int, data: bytes = b"") -> int:
        """A client comes, its server connects, it sends `data`; returns the server's link."""
        (server,) = opened(self.client(link))
        if data:
            self.bytes(link, data)
        self.connected(server)
        return server


def opened(effects: list[Effect]) -> list[int]:
    """The links that are to be opened."""
    return [effect.link for effect in effects if isinstance(effect, OpenLink)]


def places(effects: list[Effect]) -> list[int]:
    """The ports to which links are to be opened."""
    return [effect.address.port for effect in effects if isinstance(effect, OpenLink)]


def closes(effects: list[Effect]) -> list[tuple[int, bool]]:
    """The links that are to be closed, and whether at once."""
    return [(effect.link, effect.abort) for effect in effects if isinstance(effect, CloseLink)]


def states(effects: list[Effect]) -> list[str]:
    """The termination states of sessions that are told of."""
    return [
        str(report.details["state"])
        for report in reports(effects)
        if report.what == "session ended"
    ]


def reports(effects: list[Effect]) -> list[Report]:
    """What people are told."""
    return [effect for effect in effects if isinstance(effect, Report)]
