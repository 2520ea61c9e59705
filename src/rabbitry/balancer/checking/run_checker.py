"""Checks that have a beginning and an end: a connect, a script, a question to an agent.

Owns the life of each: when it begins, which link it has, when its time is over, and that the next
one follows. What is said is the run's (`scripts`, `agents`), what follows for the server
`verdicts`'.

As in HAProxy (src/check.c, `process_chk_conn`), the next check begins an interval after this one
ended; a link has `inter` (with `timeout check`, at most `timeout connect`) to open, and with
`timeout check` so long again once it is open. Health checks pause while a server is in
maintenance, agent checks do not.

A link is closed at once when its check is over, without waiting for the server to close too, as
HAProxy does; unless the script's last word might be lost by that, or it says `linger`.

Invariants: at most one check at a time, with at most one link that counts.
"""

from __future__ import annotations

from collections.abc import Callable

from rabbitry.balancer.backends import Backend
from rabbitry.balancer.checking.agents import AgentRun
from rabbitry.balancer.checking.checker import Desk
from rabbitry.balancer.checking.results import Connect, Run, Want
from rabbitry.balancer.checking.schedule import interval_us, opening_limit_us
from rabbitry.balancer.checking.scripts import PLAIN, ScriptRun, prepared
from rabbitry.balancer.checking.targets import Target, agent_target, health_target
from rabbitry.balancer.servers import Admin, Server
from rabbitry.machine import CancelTimer, CloseLink, SendBytes, SetTimer


class RunChecker:
    """Makes checks of one kind of a server: see `Checker`."""

    def __init__(
        self,
        desk: Desk,
        backend: Backend,
        server: Server,
        *,
        agent: bool = False,
    ) -> None:
        self._desk = desk
        self._backend = backend
        self._server = server
        self._agent = agent
        self._health = server.agent if agent else server.health
        self._inter_us = server.line.agent_inter_us if agent else server.line.inter_us
        self._gently = False
        self._make: Callable[[], Run] = self._ask_agent if agent else self._script()
        self._run: Run | None = None
        self._began_at = 0
        self._next_at = 0
        self._link = 0
        self._target: Target | None = None
        self._opening = False
        self.timer = f"{'agent' if agent else 'check'} {server.key}"

    def _script(self) -> Callable[[], Run]:
        section = self._backend.section
        script = prepared(section.check_steps) if section.check == "tcp-check" else PLAIN
        self._gently = script.gently
        line = self._server.line
        tls = line.check_tls is not None
        return lambda: ScriptRun(script, tls)

    def _ask_agent(self) -> Run:
        return AgentRun(self._server.line.agent_send, self._health.check.status)

    @property
    def judges(self) -> tuple[Backend, Server]:
        """The server it checks, and of which backend."""
        return self._backend, self._server

    # --- time ---------------------------------------------------------------------------------

    def timer_fired(self, now: int) -> None:
        """Time for a check, or over for the one under way."""
        if self._run is None:
            self._begin(now)
            return
        tls = self._target is not None and self._target.tls
        self._run.expired("L6TOUT" if tls else "L4TOUT")
        self._conclude(now, abort=True)

    def hurry(self, at: int) -> None:
        """Begin the next check at this time if it is later than that."""
        if self._run is None and at < self._next_at:
            self._set_next(at)

    def _set_next(self, at: int) -> None:
        self._next_at = at
        self._desk.out.append(SetTimer(self.timer, at))

    @property
    def _paused(self) -> bool:
        in_maintenance = bool(self._server.admin & Admin.MAINT)
        return not self._health.enabled or (in_maintenance and not self._agent)

    def _begin(self, now: int) -> None:
        if self._paused:
            self._set_next(now + self._inter_us)
            return
        self._began_at = now
        self._health.in_progress = True
        self._health.check.info = ""  # what the last one found is of no use now
        self._run = self._make()
        self._carry_out(self._run.begin(), now)

    # --- links --------------------------------------------------------------------------------

    def link_opened(self, link: int, now: int) -> None:
        """The link is open."""
        if link != self._link or self._run is None:
            return
        self._opening = False
        limit_us = self._backend.section.timeout_check_us
        if limit_us is not None:
            self._desk.out.append(SetTimer(self.timer, now + limit_us))
        self._carry_out(self._run.opened(), now)

    def bytes_received(self, link: int, data: bytes, now: int) -> None:
        """The server has sent bytes."""
        if link == self._link and self._run is not None:
            self._carry_out(self._run.received(data), now)

    def link_finished(self, link: int, now: int) -> None:
        """The server has sent all it will send."""
        if link == self._link and self._run is not None:
            self._carry_out(self._run.finished(), now)

    def link_closed(self, link: int, reason: str, now: int) -> None:
        """The link is gone."""
        if link != self._link:
            return
        self._link = 0
        run, target = self._run, self._target
        if run is None or target is None:
            return
        if self._opening or reason:
            status, text = target.failure(reason) if self._opening else ("SOCKERR", reason)
            run.broken(text, status)
            self._carry_out([], now)
        else:
            self._carry_out(run.finished(), now)

    def _carry_out(self, wants: list[Want], now: int) -> None:
        out = self._desk.out
        said: list[bytes] = []
        for want in wants:
            if isinstance(want, Connect):
                if said and self._link:
                    out.append(SendBytes(self._link, b"".join(said)))
                said.clear()
                self._connect(want, now)
            else:
                said.append(want.data)
        if said and self._link:
            out.append(SendBytes(self._link, b"".join(said)))
        run = self._run
        if run is not None and (run.result is not None or getattr(run, "reply", None)):
            self._conclude(now)

    def _connect(self, step: Connect, now: int) -> None:
        if self._link:
            self._desk.out.append(CloseLink(self._link))
        server = self._server
        self._target = agent_target(server) if self._agent else health_target(server, step)
        self._opening = True
        self._link = self._desk.open(self, self._target)
        limit_us = opening_limit_us(self._backend.section, self._inter_us)
        self._desk.out.append(SetTimer(self.timer, now + limit_us))

    # --- the end of a check -------------------------------------------------------------------

    def _conclude(self, now: int, abort: bool = False) -> None:
        run = self._run
        assert run is not None
        self._let_go(abort)
        verdicts = self._desk.verdicts
        duration_us = now - self._began_at
        backend, server = self._backend, self._server
        if not self._health.enabled:
            pass  # switched off meanwhile: what it found is not asked for
        elif isinstance(run, AgentRun):
            if run.reply is not None:
                verdicts.agent_replied(backend, server, run.reply, duration_us, now)
            elif run.result is not None:
                verdicts.agent(backend, server, run.result, duration_us, now)
        elif run.result is not None:
            verdicts.health(backend, server, run.result, duration_us, now)
        pause_us = self._inter_us if self._agent else interval_us(server)
        self._set_next(now + self._desk.spread(pause_us))

    def _let_go(self, abort: bool) -> None:
        self._run = None
        self._health.in_progress = False
        if self._link:
            at_once = abort or self._opening or not self._gently
            self._desk.out.append(CloseLink(self._link, abort=at_once))
            self._link = 0
        self._opening = False

    def end(self, now: int) -> None:
        """Check no more."""
        self._let_go(abort=True)
        self._desk.out.append(CancelTimer(self.timer))
