"""From the result of a check to the server: its health, its state, what people are told.

Owns what HAProxy does between the end of a check and the change of the server (src/check.c:
`set_server_check_status`, `check_notify_failure`, `check_notify_success`, `check_notify_stopping`;
src/tcpcheck.c, the second half of `tcpcheck_agent_expect_reply`). Health's arithmetic is
`servers`', what follows from a change `transitions`'.

A health check and an agent must agree that a server is up; either can take it down. An agent that
is silent or says nothing of health changes nothing.

Invariants: a server in maintenance keeps the results of its checks, and its state.
"""

from __future__ import annotations

from rabbitry.balancer.backends import Backend
from rabbitry.balancer.checking.agents import Reply, maxconn_of, weight_of
from rabbitry.balancer.checking.results import WITH_CODE, Result
from rabbitry.balancer.servers import Admin, Check, Health, Operating, Server
from rabbitry.balancer.transitions import Transitions
from rabbitry.machine import Effect, Report


class Verdicts:
    """Carries results out. Effects are appended to `out`, those of `transitions` too."""

    def __init__(self, transitions: Transitions, out: list[Effect]) -> None:
        self._transitions = transitions
        self._out = out

    def health(
        self,
        backend: Backend,
        server: Server,
        found: Result,
        duration_us: int | None,
        now: int,
        final: bool = False,
    ) -> None:
        """A health check has ended. `final`: a failure is as good as `fall` of them."""
        health = server.health
        before = health.value
        if final and found.outcome == "failed" and health.passed:
            health.lift()
        check = _check(found, duration_us)
        if found.outcome == "neutral":
            health.check = check
            return
        previous = health.check.status
        health.take(found.outcome != "failed", check)
        self._log(backend, server, health, found, previous, before, "Health")
        shown = None if backend.section.log_health_checks else check
        if found.outcome == "failed":
            if not health.value:
                self._transitions.stop(server, now, shown)
        elif self._all_agree(server):
            if found.outcome == "conditional":
                self._transitions.finish(server, now, shown)
            else:
                self._transitions.run(server, now, shown)

    def agent(
        self, backend: Backend, server: Server, found: Result, duration_us: int | None, now: int
    ) -> None:
        """An agent check has ended without a reply."""
        health = server.agent
        previous = health.check.status
        health.check = _check(found, duration_us)
        if found.outcome != "neutral":
            self._log(backend, server, health, found, previous, health.value, "Agent")

    def agent_replied(
        self, backend: Backend, server: Server, reply: Reply, duration_us: int, now: int
    ) -> None:
        """An agent has answered: first what people want, then weight and limit, then health."""
        health = server.agent
        if reply.health_up is True:
            health.fill()
        elif reply.health_up is False:
            health.sink()
        self._administer(server, reply.administration, now)
        warning = self._weigh(backend, server, reply, now)
        found = reply.result(warning)
        self.agent(backend, server, found, duration_us, now)
        check = None if backend.section.log_health_checks else health.check
        if reply.health_up is False:
            self._transitions.stop(server, now, check)
        elif (
            reply.health_up
            and self._all_agree(server)
            and server.operating is not Operating.STOPPING
        ):
            self._transitions.run(server, now, check)

    def _administer(self, server: Server, wish: str, now: int) -> None:
        transitions = self._transitions
        if wish == "drain":
            transitions.set_admin(server, Admin.FORCED_DRAIN, now)
            transitions.clear_admin(server, Admin.FORCED_MAINT, now)
        elif wish == "maint":
            transitions.set_admin(server, Admin.FORCED_MAINT, now)
            transitions.clear_admin(server, Admin.FORCED_DRAIN, now)
        elif wish == "ready":
            transitions.clear_admin(server, Admin.FORCED_DRAIN, now)
            transitions.clear_admin(server, Admin.FORCED_MAINT, now)

    def _weigh(self, backend: Backend, server: Server, reply: Reply, now: int) -> str:
        """Change weight and limit as the agent says; return what was wrong with its words."""
        warning = ""
        if reply.weight is not None:
            dynamic = backend.weights_are_dynamic
            weight, warning = weight_of(reply.weight, server.initial_weight, dynamic)
            if weight is not None and weight != server.weight:
                self._transitions.set_weight(server, weight, now)
        if reply.maxconn is not None:
            maxconn, wrong = maxconn_of(reply.maxconn)
            warning = warning or wrong
            if maxconn is not None and maxconn != server.maxconn:
                self._transitions.set_maxconn(server, maxconn, now)
        return warning

    @staticmethod
    def _all_agree(server: Server) -> bool:
        """Whether nothing that is known speaks against its being up."""
        if server.admin & Admin.MAINT:
            return False
        if server.tracked is not None and server.tracked.operating is Operating.STOPPED:
            return False
        return all(each.passed for each in (server.health, server.agent) if each.enabled)

    def _log(
        self,
        backend: Backend,
        server: Server,
        health: Health,
        found: Result,
        previous: str,
        before: int,
        kind: str,
    ) -> None:
        """Tell of a check that is news, with `option log-health-checks`."""
        if not backend.section.log_health_checks:
            return
        if found.status == previous and health.value == before:
            return
        check = health.check
        passed = health.passed
        details: dict[str, object] = {
            "kind": kind,
            "proxy": backend.section.name,
            "server": server.name,
            "backup": server.is_backup,
            "severity": "notice",
            "conditionally": found.outcome == "conditional",
            "succeeded": found.outcome in ("passed", "conditional"),
            "status": found.status,
            "reason": found.description,
            "code": check.code,
            "info": check.info,
            "check_duration_ms": -1 if check.duration_us is None else check.duration_us // 1000,
            "health": health.value - health.rise + 1 if passed else health.value,
            "of": health.fall if passed else health.rise,
            "state": ("UP" if server.weight else "DRAIN") if passed else "DOWN",
        }
        self._out.append(Report("info", "check ended", details))


def _check(found: Result, duration_us: int | None) -> Check:
    code = found.code if found.status in WITH_CODE else None
    return Check(found.status, found.description, found.info, duration_us, code, found.remark)
