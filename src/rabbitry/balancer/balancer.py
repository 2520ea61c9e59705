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

from dataclasses import dataclass

from rabbitry.balancer.checks import Checks
from rabbitry.balancer.configuration.model import BindLine, Configuration
from rabbitry.balancer.proxies import Proxies
from rabbitry.balancer.relay import Relay
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
    Report,
    SendBytes,
    Started,
    TimerFired,
    WritingPaused,
    WritingResumed,
)


@dataclass(frozen=True, slots=True)
class PlanReload:
    """Question: which listeners would this configuration open and close? (`ListenerChanges`)"""

    configuration: Configuration


@dataclass(frozen=True, slots=True)
class Reload:
    """Question: go on with this configuration; the listeners of its plan are open."""

    configuration: Configuration


class Balancer:
    """Balances links as `configuration` says. Answers `Asked("statistics")` with a list of
    `StatisticsRow`, `PlanReload` and `Reload` as they say, and every other question with None."""

    def __init__(self, configuration: Configuration) -> None:
        self._out: list[Effect] = []
        self._last_link = 0
        self._proxies = Proxies(configuration)
        self._relay = Relay(configuration.process.maxconn, self._next_link, self._out)
        self._transitions = Transitions(self._proxies.backends, self._relay, self._out)
        self._checks = Checks(self._proxies.backends, self._transitions, self._next_link, self._out)
        self._sessions = self._relay.links

    @property
    def listeners(self) -> list[tuple[str, BindLine]]:
        """Where to listen, each with its name."""
        return [(name, bind) for name, (bind, _) in self._proxies.listeners.items()]

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
        return rows_of(self._proxies.frontends, self._proxies.backends, now)

    def _take(self, event: Event, now: int) -> None:
        relay = self._relay
        match event:
            case Started():
                for backend in self._proxies.backends:
                    backend.started(now)
                self._checks.start(now)
            case LinkOpened(link, "", _):
                if not self._checks.link_opened(link, now):
                    relay.server_opened(link, now)
            case LinkOpened(link, listener, peer):
                relay.client_opened(self._proxies.frontend_of(listener), link, peer, now)
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
                self._out.append(Answer(number, self._answer(question, now)))
            case _:
                pass

    def _answer(self, question: object, now: int) -> object:
        match question:
            case "statistics":
                return self.statistics(now)
            case PlanReload(configuration):
                return self._proxies.plan(configuration)
            case Reload(configuration):
                self._reload(configuration, now)
        return None

    def _reload(self, configuration: Configuration, now: int) -> None:
        adopted = self._proxies.adopt(configuration, now)
        for backend, server in adopted.removed:
            self._checks.server_removed(backend, server)
            self._transitions.forget(server)
        for _, server in adopted.added:
            self._transitions.know(server)
        self._transitions.serve(self._proxies.backends, now)
        for backend, server in adopted.added:
            self._checks.server_added(backend, server, now)
        for backend, server, before in adopted.changed:
            self._checks.server_removed(backend, server)
            self._checks.server_added(backend, server, now)
            self._transitions.disabled_anew(server, before, now)
        self._relay.reloaded(configuration.process, now)
        for backend, server in adopted.removed:
            self._relay.requeue_sessions(backend, server, now)
        details = {
            "added": [server.key for _, server in adopted.added],
            "removed": [server.key for _, server in adopted.removed],
            "changed": [server.key for _, server, _ in adopted.changed],
        }
        self._out.append(Report("info", "configuration reloaded", details))
