"""Health checks of all servers: who is checked, by what, and whose links and timers are checks'.

Owns the checkers (one for the health checks of a server, one for its agent), when each begins, and
the way of events to them. What checks say and mean is in `checking`.

A server that tracks another has no checks of its own (`transitions` lets it follow).

Invariants: a link or a timer of a check is known here until its end; so nobody else hears of it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from rabbitry.balancer.backends import Backend
from rabbitry.balancer.checking.amqp_checker import AmqpChecker
from rabbitry.balancer.checking.checker import Checker, Desk
from rabbitry.balancer.checking.observing import Observing
from rabbitry.balancer.checking.run_checker import RunChecker
from rabbitry.balancer.checking.schedule import apart, first_checks, interval_us
from rabbitry.balancer.checking.verdicts import Verdicts
from rabbitry.balancer.configuration.model import Global
from rabbitry.balancer.servers import Server
from rabbitry.balancer.transitions import Transitions
from rabbitry.machine import Answer, Effect, SetTimer

ENDING = "end of checks"
ENDING_LIMIT_US = 1_000_000
"""How long the end waits for servers to say goodbye; RabbitMQ warns of a client that does not."""


class _Known(NamedTuple):
    """The checkers of one server, and what their section said of checks when they were made."""

    checkers: list[Checker]
    made_for: tuple[object, ...]


def _checked_by(backend: Backend) -> tuple[object, ...]:
    section = backend.section
    return (
        section.check,
        section.check_steps,
        section.amqp_check,
        section.timeout_check_us,
        section.timeout_connect_us,
    )


class Checks:
    """Makes the checks of all backends. Effects are appended to `out`."""

    def __init__(
        self,
        backends: list[Backend],
        transitions: Transitions,
        next_link: Callable[[], int],
        out: list[Effect],
        process: Global | None = None,
    ) -> None:
        self._out = out
        self._backends = backends
        self._process = process or Global()
        verdicts = Verdicts(transitions, out)
        percent = self._process.spread_checks_percent
        self._desk = Desk(out, next_link, verdicts, apart(percent))
        self._observing = Observing(verdicts)
        self._by_timer: dict[str, Checker] = {}
        self._by_server: dict[Server, _Known] = {}
        self._ends: list[int] = []  # questions that wait for the end of all links

    def start(self, now: int) -> None:
        """Begin to check every server, one behind the other."""
        checkers: list[Checker] = []
        intervals_us: list[int] = []
        for backend in self._backends:
            for server in backend.servers:
                for checker in self._know(backend, server, now):
                    checkers.append(checker)
                    is_agent = checker.timer.startswith("agent")
                    line = server.line
                    intervals_us.append(line.agent_inter_us if is_agent else interval_us(server))
        for checker, begin_us in zip(
            checkers, first_checks(intervals_us, self._process), strict=True
        ):
            if begin_us:
                self._out.append(SetTimer(checker.timer, now + begin_us))
            else:
                checker.timer_fired(now)

    def server_added(self, backend: Backend, server: Server, now: int) -> None:
        """Check a server that has come."""
        for checker in self._know(backend, server, now):
            checker.timer_fired(now)

    def server_removed(self, server: Server, now: int) -> None:
        """Check a server no more; a check under way is given up."""
        known = self._by_server.pop(server, None)
        for checker in known.checkers if known is not None else ():
            if self._by_timer.get(checker.timer) is checker:
                del self._by_timer[checker.timer]
            checker.end(now)

    def reloaded(self, backends: list[Backend], process: Global, now: int) -> None:
        """Sections may have changed: check by what they say now those who stayed as they were."""
        self._process = process
        self._desk.apart = apart(process.spread_checks_percent)
        for backend in backends:
            for server in backend.servers:
                known = self._by_server.get(server)
                if known is not None and known.made_for != _checked_by(backend):
                    self.server_removed(server, now)
                    self.server_added(backend, server, now)

    def end(self, now: int, number: int) -> None:
        """Check nobody any more: the process is about to end. Answers the question of this number
        when all connections have ended in order, or `ENDING_LIMIT_US` have passed."""
        for server in list(self._by_server):
            self.server_removed(server, now)
        self._ends.append(number)
        if not self._answer_if_ended():
            self._out.append(SetTimer(ENDING, now + ENDING_LIMIT_US))

    def _answer_if_ended(self, late: bool = False) -> bool:
        if self._desk.by_link and not late:
            return False
        self._out += [Answer(number, None) for number in self._ends]
        self._ends.clear()
        return True

    def _know(self, backend: Backend, server: Server, now: int) -> list[Checker]:
        checkers: list[Checker] = []
        section = backend.section
        if server.line.check:
            if section.check == "amqp" and section.amqp_check is not None:
                login = section.amqp_check
                checkers.append(AmqpChecker(self._desk, backend, server, login, now))
            else:
                checkers.append(RunChecker(self._desk, backend, server))
        if server.line.agent_check:
            checkers.append(RunChecker(self._desk, backend, server, agent=True))
        for checker in checkers:
            self._by_timer[checker.timer] = checker
        if checkers:
            self._by_server[server] = _Known(checkers, _checked_by(backend))
        return checkers

    def judged(self, link: int) -> tuple[Backend, Server] | None:
        """Whom a link is to that is one of a check's."""
        checker = self._desk.by_link.get(link)
        return None if checker is None else checker.judges

    # --- events -----------------------------------------------------------------------------------

    def link_opened(self, link: int, now: int) -> bool:
        """A link is open. False if it is not one of a check."""
        checker = self._desk.by_link.get(link)
        if checker is None:
            return False
        checker.link_opened(link, now)
        return True

    def bytes_received(self, link: int, data: bytes, now: int) -> bool:
        """Bytes have come. False if the link is not one of a check."""
        checker = self._desk.by_link.get(link)
        if checker is None:
            return False
        checker.bytes_received(link, data, now)
        return True

    def link_finished(self, link: int, now: int) -> bool:
        """A peer will send no more. False if the link is not one of a check."""
        checker = self._desk.by_link.get(link)
        if checker is None:
            return False
        checker.link_finished(link, now)
        return True

    def link_closed(self, link: int, reason: str, now: int) -> bool:
        """A link is gone, or could not be opened. False if it is not one of a check."""
        checker = self._desk.by_link.pop(link, None)
        if checker is None:
            return False
        checker.link_closed(link, reason, now)
        if self._ends:
            self._answer_if_ended()
        return True

    def timer_fired(self, timer: str, now: int) -> bool:
        """A time has come. False if the timer is not one of a check."""
        if timer == ENDING:
            return self._answer_if_ended(late=True)
        checker = self._by_timer.get(timer)
        if checker is None:
            return False
        checker.timer_fired(now)
        return True

    def observed(self, backend: Backend, server: Server, connected: bool, now: int) -> None:
        """A session's connect to the server has succeeded or failed (`observe layer4`)."""
        if not server.line.observe:
            return
        hurry_at = self._observing.observed(backend, server, connected, now)
        if hurry_at is not None:
            known = self._by_server.get(server)
            for checker in known.checkers if known is not None else ():
                if checker.timer.startswith("check"):
                    checker.hurry(hurry_at)
