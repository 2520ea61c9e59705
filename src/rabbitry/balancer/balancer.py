"""The balancer as a machine: events to the part they concern.

Owns the dispatch and the numbers of links it opens. Does not own sessions (`relay`), health
(`checks`), or the shape of the numbers (`statistics`). Bytes of sessions that relay do not come
here: the driver moves them between joined links, and a question that asks for numbers is answered
when what has passed was measured.

What its driver is to do: listen at each of `listeners`, ask "statistics" for the rows of the page.
Sections with `mode http` are served by the process around it; here they have a row, no links.

Invariants: `step` never raises for anything a peer does; events of unknown links are ignored,
since a link may close while it is being closed here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rabbitry.balancer.checks import Checks
from rabbitry.balancer.commands.page_form import apply_form
from rabbitry.balancer.commands.runner import run_line
from rabbitry.balancer.commands.showing import info_fields
from rabbitry.balancer.commands.terminal import Terminal
from rabbitry.balancer.commands.world import World
from rabbitry.balancer.configuration.model import BindLine, Configuration
from rabbitry.balancer.handshakes import COUNTED, refusal
from rabbitry.balancer.proxies import Proxies
from rabbitry.balancer.relay import Relay
from rabbitry.balancer.state_dump import dump
from rabbitry.balancer.statistics.gathering import rows_of
from rabbitry.balancer.statistics.process import Facts, ProcessCounters
from rabbitry.balancer.statistics.rows import StatisticsRow
from rabbitry.balancer.tls_use import TlsCounters
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
    LinksMeasured,
    MeasureLinks,
    Report,
    Started,
    TimerFired,
)


@dataclass(frozen=True, slots=True)
class PlanReload:
    """Question: which listeners would this configuration open and close? (`ListenerChanges`)"""

    configuration: Configuration


@dataclass(frozen=True, slots=True)
class Reload:
    """Question: go on with this configuration; the listeners of its plan are open."""

    configuration: Configuration


@dataclass(frozen=True, slots=True)
class EndChecks:
    """Question: check no server any more, for the process ends. Answered when what checks keep open
    has ended in order, a second later at the latest."""


@dataclass(frozen=True, slots=True)
class DumpStates:
    """Question: tell how all servers and sections are, in lines of the log."""


@dataclass(frozen=True, slots=True)
class AllSessionsEnded:
    """Question: tell when there is no session any more. The answer has to be waited for."""


@dataclass(frozen=True, slots=True)
class RuntimeLine:
    """Question: carry out this line of a runtime socket; the answer is the text to be sent."""

    terminal: Terminal
    line: str
    facts: Facts


@dataclass(frozen=True, slots=True)
class Numbers:
    """Question: all rows of the statistics, and the fields of `show info` by name. The answer is a
    pair of a list of `StatisticsRow` and a dict."""

    facts: Facts


@dataclass(frozen=True, slots=True)
class PageForm:
    """Question: do what this form of the statistics page says; the answer is DONE, PART, NONE or
    ERRP (`commands.page_form`)."""

    form: bytes


class Balancer:
    """Balances links as `configuration` says. Answers `Asked("statistics")` with a list of
    `StatisticsRow`; `PlanReload`, `Reload`, `RuntimeLine`, `Numbers` and `PageForm` as they say;
    and every other question with None."""

    def __init__(self, configuration: Configuration) -> None:
        self._out: list[Effect] = []
        self._last_link = 0
        self.proxies = Proxies(configuration)
        self.relay = Relay(
            configuration.process, self.proxies.listeners, self._next_link, self._out
        )
        self.transitions = Transitions(self.proxies.backends, self.relay, self._out)
        self.checks = Checks(
            self.proxies.backends,
            self.transitions,
            self._next_link,
            self._out,
            configuration.process,
        )
        self.relay.observe = self.checks.observed
        # By kind of event, since a session is a handful of them and looking for the case would be
        # much of what it costs.
        self._takes: dict[type[Event], Callable[[Any, int], None]] = {
            LinksMeasured: self._links_measured,
            LinkFinished: self._link_finished,
            LinkClosed: self._link_closed,
            LinkOpened: self._link_opened,
            BytesReceived: self._bytes_received,
            TimerFired: self._timer_fired,
            Started: self._started,
            Asked: self._asked,
        }
        self._measures = 0
        self._waiting_questions: dict[int, tuple[int, object]] = {}
        self._until_no_session: list[int] = []
        self._counters = ProcessCounters(configuration.process)
        self._world = World(
            self.proxies,
            self.transitions,
            self.checks,
            self.relay,
            self._counters,
            self._out,
            Facts(),
        )

    @property
    def listeners(self) -> list[tuple[str, BindLine]]:
        """Where to listen, each with its name."""
        return [(name, listener.bind) for name, listener in self.proxies.listeners.items()]

    @property
    def sessions_now(self) -> int:
        """How many sessions there are."""
        return self.relay.table.admitted

    def told_of_handshake(self, told: Report, now: int) -> Report | None:
        """What people are told of a client whose handshake failed, in place of what the edge tells:
        `listener` (its name), `peer` (an address), `text` and `total_ms`; None: nothing. It is
        counted.
        """
        details = told.details
        listener = self.proxies.listener_named(details["listener"])
        counters = (listener.tls, listener.frontend.tls)
        self._counters.tls.client_failed(counters, details["text"] in COUNTED, now)
        total_ms = int(details["total_ms"])  # as text, if a worker process told of it
        return refusal(listener, details["peer"], details["text"], total_ms)

    def _next_link(self) -> int:
        self._last_link -= 1
        return self._last_link

    def step(self, event: Event, now: int) -> list[Effect]:
        """Take one event at `now` (microseconds) and return what shall happen, in order."""
        take = self._takes.get(type(event))
        if take is not None:
            take(event, now)
        if self._until_no_session and not self.relay.has_sessions:
            self._out += [Answer(number, None) for number in self._until_no_session]
            self._until_no_session.clear()
        out = self._out
        effects = out[:]
        if effects:
            out.clear()
        return effects

    def statistics(self, now: int) -> list[StatisticsRow]:
        """The rows of HAProxy's statistics: for each section its front, servers, back."""
        proxies, sessions = self.proxies, self.relay.sessions
        return rows_of(
            proxies.frontends, proxies.backends, proxies.listeners.values(), sessions, now
        )

    # --- events ---------------------------------------------------------------------------------
    # Checks have links of their own, all of them opened here: their numbers are negative.

    def _links_measured(self, event: LinksMeasured, now: int) -> None:
        self.relay.measured(event.measures, now)
        if event.number:
            self._answer_measured(event.number, now)

    def _link_finished(self, event: LinkFinished, now: int) -> None:
        link = event.link
        if event.measures:
            self.relay.measured(event.measures, now)
        if link > 0 or not self.checks.link_finished(link, now):
            self.relay.link_finished(link, now)

    def _link_closed(self, event: LinkClosed, now: int) -> None:
        link = event.link
        if event.measures:
            self.relay.measured(event.measures, now)
        if event.in_handshake:
            self._counters.tls.server_failed(self._tls_counters(link))
        if event.data:
            self.relay.last_bytes(link, event.data, now)
        if link > 0 or not self.checks.link_closed(link, event.reason, now):
            self.relay.link_closed(link, event.reason, now, failed_here=event.failed_here)

    def _link_opened(self, event: LinkOpened, now: int) -> None:
        link = event.link
        if event.listener:
            self._counters.connection_opened(now)
            listener = self.proxies.listener_named(event.listener)
            if event.resumed is not None:
                counters = (listener.tls, listener.frontend.tls)
                self._counters.tls.client_done(counters, event.resumed, now)
            self.relay.client_opened(listener, link, event.peer, event.local, now)
            return
        if event.resumed is not None:
            self._counters.tls.server_done(self._tls_counters(link), event.resumed, now)
        if not self.checks.link_opened(link, now):
            self.relay.server_opened(link, now)

    def _tls_counters(self, link: int) -> tuple[TlsCounters, ...]:
        """Those of the server that a link is to, and of its backend."""
        judged = self.checks.judged(link)
        if judged is not None:
            backend, server = judged
            return server.tls, backend.tls
        session = self.relay.table.by_link.get(link)
        if session is None or session.backend is None or session.server is None:
            return ()
        return session.server.tls, session.backend.tls

    def _bytes_received(self, event: BytesReceived, now: int) -> None:
        link = event.link
        if link > 0 or not self.checks.bytes_received(link, event.data, now):
            self.relay.bytes_received(link, event.data, now)

    def _timer_fired(self, event: TimerFired, now: int) -> None:
        timer = event.timer
        if not (self.checks.timer_fired(timer, now) or self.transitions.timer_fired(timer, now)):
            self.relay.timer_fired(timer, now)

    def _started(self, event: Started, now: int) -> None:
        self._counters.started_at = now
        for backend in self.proxies.backends:
            backend.started(now)
        self.checks.start(now)

    def _asked(self, event: Asked, now: int) -> None:
        number, question = event.number, event.question
        if _tells_bytes(question):
            self._ask_measured(number, question)
        elif isinstance(question, EndChecks):
            self.checks.end(now, number)
        elif isinstance(question, AllSessionsEnded):
            self._until_no_session.append(number)
        else:
            self._out.append(Answer(number, self._answer(question, now)))

    def _ask_measured(self, number: int, question: object) -> None:
        """Answer a question when all links have been measured."""
        self._measures += 1
        self._waiting_questions[self._measures] = number, question
        self._out.append(MeasureLinks([], self._measures))

    def _answer_measured(self, measure: int, now: int) -> None:
        asked = self._waiting_questions.pop(measure, None)
        if asked is not None:
            number, question = asked
            self._out.append(Answer(number, self._answer(question, now)))

    def _answer(self, question: object, now: int) -> object:
        match question:
            case "statistics":
                return self.statistics(now)
            case PlanReload(configuration):
                return self.proxies.plan(configuration)
            case Reload(configuration):
                self._reload(configuration, now)
            case RuntimeLine(terminal, line, facts):
                self._world.facts = facts
                return run_line(self._world, terminal, line, now)
            case Numbers(facts):
                self._world.facts = facts
                rows = self._world.rows(now)
                fields = info_fields(self._world, now, rows)
                return rows, {field.name: field.value for field in fields}
            case DumpStates():
                self._out += dump(self.proxies)
            case PageForm(form):
                return apply_form(self._world, form, now)
        return None

    def _reload(self, configuration: Configuration, now: int) -> None:
        adopted = self.proxies.adopt(configuration, now)
        self._counters.frontends_left(adopted.left)
        for _, server in adopted.removed:
            self.checks.server_removed(server, now)
            self.transitions.forget(server)
        for _, server in adopted.added:
            self.transitions.know(server)
        self.transitions.serve(self.proxies.backends, now)
        for backend, server in adopted.added:
            self.checks.server_added(backend, server, now)
        for backend, server, before in adopted.changed:
            self.checks.server_removed(server, now)
            self.checks.server_added(backend, server, now)
            self.transitions.disabled_anew(server, before, now)
        self.checks.reloaded(self.proxies.backends, configuration.process, now)
        self.relay.reloaded(configuration.process, now)
        for backend, server in adopted.removed:
            self.relay.requeue_sessions(backend, server, now)
        details = {
            "added": [server.key for _, server in adopted.added],
            "removed": [server.key for _, server in adopted.removed],
            "changed": [server.key for _, server, _ in adopted.changed],
        }
        self._out.append(Report("info", "configuration reloaded", details))


def _tells_bytes(question: object) -> bool:
    """Whether an answer has counts of bytes in it, begins to count them anew, or ends sessions,
    whose log lines have them."""
    if isinstance(question, RuntimeLine):
        return any(word in question.line for word in ("show", "clear", "shutdown"))
    return question == "statistics" or isinstance(question, Numbers | PageForm)
