"""The balancer as a machine: events to the part they concern, bytes straight across.

Owns the dispatch, the numbers of links it opens, and the one path that must be quick: bytes of a
relaying session, which cost two dictionary look-ups and one `SendBytes`. Does not own sessions
(`relay`), health (`checks`), or the shape of the numbers (`statistics`).

What its driver is to do: listen at each of `listeners`, ask "statistics" for the rows of the page.
Sections with `mode http` are served by the process around it; here they have a row, no links.

Invariants: `step` never raises for anything a peer does; events of unknown links are ignored,
since a link may close while it is being closed here.
"""

from __future__ import annotations

from rabbitry.balancer.backends import Backend
from rabbitry.balancer.checks import Checks
from rabbitry.balancer.configuration.model import BindLine, Configuration
from rabbitry.balancer.relay import Relay
from rabbitry.balancer.session import Frontend
from rabbitry.balancer.statistics.gathering import rows_of
from rabbitry.balancer.statistics.rows import StatisticsRow
from rabbitry.balancer.transitions import Transitions
from rabbitry.machine import (
    Answer,
    Asked,
    BytesReceived,
    Effect,
    Event,
    LinkClosed,
    LinkFinished,
    LinkOpened,
    SendBytes,
    Started,
    TimerFired,
    WritingPaused,
    WritingResumed,
)


class Balancer:
    """Balances links as `configuration` says. Answers `Asked("statistics")` with a list of
    `StatisticsRow`, and every other question with None."""

    def __init__(self, configuration: Configuration) -> None:
        self._out: list[Effect] = []
        self._last_link = 0
        self._backends = [Backend(section) for section in configuration.backends]
        by_name = {backend.section.name: backend for backend in self._backends}
        self._frontends = [
            Frontend(section, by_name.get(section.default_backend or ""))
            for section in configuration.frontends
        ]
        self._by_listener: dict[str, Frontend] = {}
        self.listeners: list[tuple[str, BindLine]] = []
        for frontend in self._frontends:
            if frontend.section.mode == "http":
                continue
            for index, bind in enumerate(frontend.section.binds, start=1):
                name = frontend.section.name
                name = name if index == 1 else f"{name}/{index}"
                self.listeners.append((name, bind))
                self._by_listener[name] = frontend
        self._relay = Relay(configuration.process.maxconn, self._next_link, self._out)
        self._transitions = Transitions(self._backends, self._relay, self._out)
        self._checks = Checks(self._backends, self._transitions, self._next_link, self._out)
        self._sessions = self._relay.links

    def _next_link(self) -> int:
        self._last_link -= 1
        return self._last_link

    def step(self, event: Event, now: int) -> list[Effect]:
        """Take one event at `now` (microseconds) and return what shall happen, in order."""
        if type(event) is BytesReceived:
            link = event.link
            session = self._sessions.get(link)
            if session is not None and session.relaying:
                session.active_at = now
                if link == session.client_link:
                    session.bytes_in += len(event.data)
                    return [SendBytes(session.server_link, event.data)]
                session.bytes_out += len(event.data)
                return [SendBytes(session.client_link, event.data)]
            if session is not None:
                self._relay.early_bytes(session, link, event.data, now)
        else:
            self._take(event, now)
        effects = self._out[:]
        self._out.clear()
        return effects

    def statistics(self, now: int) -> list[StatisticsRow]:
        """The rows of HAProxy's statistics: for each section its front, servers, back."""
        return rows_of(self._frontends, self._backends, now)

    def _take(self, event: Event, now: int) -> None:
        relay = self._relay
        match event:
            case Started():
                for backend in self._backends:
                    backend.started(now)
                self._checks.start(now)
            case LinkOpened(link, "", _):
                if not self._checks.link_opened(link, now):
                    relay.server_opened(link, now)
            case LinkOpened(link, listener, peer):
                relay.client_opened(self._by_listener[listener], link, peer, now)
            case LinkFinished(link):
                relay.link_finished(link, now)
            case LinkClosed(link, reason):
                if not self._checks.link_closed(link, reason, now):
                    relay.link_closed(link, reason, now)
            case WritingPaused(link):
                relay.writing_paused(link)
            case WritingResumed(link):
                relay.writing_resumed(link)
            case TimerFired(timer):
                if not (
                    self._checks.timer_fired(timer, now)
                    or self._transitions.timer_fired(timer, now)
                ):
                    relay.timer_fired(timer, now)
            case Asked(number, question):
                answer = self.statistics(now) if question == "statistics" else None
                self._out.append(Answer(number, answer))
            case _:
                pass
