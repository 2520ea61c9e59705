"""What follows when a server goes up or down, is taken out, drained, or given another weight.

Owns every change of a server's operating and administrative state, and what comes with it: the
algorithm hears of it, servers that track it follow, queued sessions find another place, sessions
are ended where the configuration asks for it, people are told in HAProxy's words (`log_lines`
renders the reports). A translation of src/server.c: `srv_set_stopped`, `srv_set_running`,
`srv_set_stopping`, `srv_set_admin_flag`, `srv_clr_admin_flag`, `srv_update_status`.

Does not own what checks find (`checks`) or who may ask for a change (`commands`).

Invariants: a server in maintenance is STOPPED, whatever its checks find; a server that tracks is
in its tracked server's state; a `slowstart` timer exists exactly while a server is STARTING.
"""

from __future__ import annotations

from typing import Protocol

from rabbitry.balancer.backends import Backend
from rabbitry.balancer.configuration.model import ServerLine
from rabbitry.balancer.servers import Admin, Check, Operating, Server
from rabbitry.machine import MICROSECONDS_PER_SECOND, CancelTimer, Effect, Report, SetTimer

WARMUP = "warmup "
"""How the names of slowstart timers begin; BACKEND/SERVER follows."""


class Sessions(Protocol):
    """What a change of a server asks of the room of sessions."""

    def shut_down_sessions(self, server: Server, why: str, now: int) -> int:
        """End all sessions of a server; `why` is HAProxy's termination cause: D (marked down), U
        (an active server is up again), K (killed by an operator). Returns how many."""
        ...

    def requeue_sessions(self, backend: Backend, server: Server, now: int) -> int:
        """Find another place for those that wait for this server; return how many."""
        ...

    def take_queued_sessions(self, backend: Backend, server: Server, now: int) -> int:
        """Give this server, which is up again, sessions that wait in the backend's queue; return
        how many."""
        ...


class Transitions:
    """Changes the servers of all backends. Effects are appended to `out`."""

    def __init__(self, backends: list[Backend], sessions: Sessions, out: list[Effect]) -> None:
        self._sessions = sessions
        self._out = out
        self._backends = {backend.section.name: backend for backend in backends}
        self._by_timer: dict[str, Server] = {}
        for backend in backends:
            for server in backend.servers:
                self.know(server)
        for backend in backends:
            for server in backend.servers:
                self._track(server)

    def know(self, server: Server) -> None:
        """Take in a server; its backend holds it already."""
        self._by_timer[WARMUP + server.key] = server

    def serve(self, backends: list[Backend], now: int) -> None:
        """Go on with these backends: servers follow whom their lines track now."""
        self._backends.clear()
        self._backends.update((backend.section.name, backend) for backend in backends)
        servers = [server for backend in backends for server in backend.servers]
        for server in servers:
            server.tracked = None
            server.trackers.clear()
        for server in servers:
            self._track(server)
            if server.tracked is None:
                self.clear_admin(server, Admin.INHERITED_MAINT, now)
                self.clear_admin(server, Admin.INHERITED_DRAIN, now)

    def disabled_anew(self, server: Server, before: ServerLine, now: int) -> None:
        """Its line has changed: `disabled` is new, or is there no more."""
        if server.line.disabled and not before.disabled:
            self.set_admin(server, Admin.FORCED_MAINT, now)
        elif before.disabled and not server.line.disabled:
            self.clear_admin(server, Admin.FORCED_MAINT, now)

    def forget(self, server: Server) -> None:
        """Let go of a server that its backend holds no more."""
        if self._by_timer.get(WARMUP + server.key) is server:
            del self._by_timer[WARMUP + server.key]
            self._out.append(CancelTimer(WARMUP + server.key))
        if server.tracked is not None and server in server.tracked.trackers:
            server.tracked.trackers.remove(server)

    def _track(self, server: Server) -> None:
        if server.line.track is None:
            return
        backend_name, slash, name = server.line.track.rpartition("/")
        backend = self._backends[backend_name] if slash else self._backend(server)
        server.tracked = next(each for each in backend.servers if each.name == name)
        server.tracked.trackers.append(server)
        if server.tracked.admin & Admin.MAINT:
            server.admin |= Admin.INHERITED_MAINT
            server.operating = Operating.STOPPED
            self._backend(server).server_changed(server)

    def _backend(self, server: Server) -> Backend:
        return self._backends[server.key.rpartition("/")[0]]

    # --- what checks have found -----------------------------------------------------------------

    def stop(self, server: Server, now: int, check: Check | None = None, reason: str = "") -> None:
        """It is down: `check` found it, or `reason` says why."""
        if server.admin & Admin.MAINT or server.operating is Operating.STOPPED:
            return
        was_stopping = server.operating is Operating.STOPPING or bool(server.admin & Admin.DRAIN)
        server.operating = Operating.STOPPED
        server.changes.become(False, now)
        backend = self._changed(server, now)
        if server.line.on_marked_down == "shutdown-sessions":
            self._sessions.shut_down_sessions(server, "D", now)
        requeued = self._sessions.requeue_sessions(backend, server, now)
        severity = "notice" if was_stopping else "alert"
        self._tell("server is down", server, severity, requeued, check=check, reason=reason)
        self._tell_backend(backend, now)
        for tracker in server.trackers:
            self.stop(tracker, now)

    def run(self, server: Server, now: int, check: Check | None = None, reason: str = "") -> None:
        """It is up again."""
        if server.admin & Admin.MAINT:
            return
        if server.operating in (Operating.STARTING, Operating.RUNNING):
            return
        self._start(server, now)
        backend = self._changed(server, now)
        self._shut_down_backups(backend, server, now)
        taken = self._sessions.take_queued_sessions(backend, server, now)
        self._tell("server is up", server, "notice", taken, check=check, reason=reason)
        for tracker in server.trackers:
            self.run(tracker, now)

    def finish(
        self, server: Server, now: int, check: Check | None = None, reason: str = ""
    ) -> None:
        """It is stopping: it ends what it has and wants nothing new."""
        if server.admin & Admin.MAINT or server.operating is Operating.STOPPING:
            return
        server.operating = Operating.STOPPING
        server.changes.at = now
        backend = self._changed(server, now)
        requeued = self._sessions.requeue_sessions(backend, server, now)
        self._tell("server is stopping", server, "notice", requeued, check=check, reason=reason)
        self._tell_backend(backend, now)
        for tracker in server.trackers:
            self.finish(tracker, now)

    def _start(self, server: Server, now: int) -> None:
        """Make it run, through its `slowstart` if it has one."""
        server.changes.become(True, now)
        server.changes.at = now
        server.operating = Operating.RUNNING
        if server.line.slowstart_us:
            server.operating = Operating.STARTING
            self._set_warmup(server, now)

    def _set_warmup(self, server: Server, now: int) -> None:
        step_us = max(MICROSECONDS_PER_SECOND, (server.line.slowstart_us or 0) // 20)
        self._out.append(SetTimer(WARMUP + server.key, now + step_us))

    def timer_fired(self, timer: str, now: int) -> bool:
        """A step of a `slowstart` is over. False if the timer is not one of these."""
        server = self._by_timer.get(timer)
        if server is None:
            return False
        if server.operating is Operating.STARTING:
            backend = self._changed(server, now)
            self._sessions.take_queued_sessions(backend, server, now)
            if server.throttle_percent(now) is not None:  # the slowstart goes on
                self._set_warmup(server, now)
        return True

    # --- what people want -------------------------------------------------------------------

    def set_admin(self, server: Server, flag: Admin, now: int, cause: str = "") -> None:
        """Put it into maintenance or drain it (one flag); trackers inherit it."""
        if server.admin & flag:
            return
        group = Admin.MAINT if flag & Admin.MAINT else Admin.DRAIN
        had = server.admin & group
        if not had and group is Admin.MAINT:
            self._enter_maintenance(server, flag, now, cause)
        elif not had and not server.admin & Admin.MAINT:
            server.admin |= flag
            server.changes.at = now
            backend = self._changed(server, now)
            requeued = self._sessions.requeue_sessions(backend, server, now)
            forced = bool(flag & Admin.FORCED_DRAIN)
            self._tell("server is drained", server, "notice", requeued, cause=cause, forced=forced)
            self._tell_backend(backend, now)
        else:
            server.admin |= flag
        if had:
            return
        inherited = Admin.INHERITED_MAINT if group is Admin.MAINT else Admin.INHERITED_DRAIN
        for tracker in server.trackers:
            self.set_admin(tracker, inherited, now, cause)

    def _enter_maintenance(self, server: Server, flag: Admin, now: int, cause: str) -> None:
        was_up = server.is_up
        was_stopping = server.operating is Operating.STOPPING or bool(server.admin & Admin.DRAIN)
        server.admin |= flag
        server.health.sink()
        forced = bool(flag & Admin.FORCED_MAINT)
        if not was_up:
            self._tell(
                "server was down and enters maintenance",
                server,
                "notice",
                None,
                cause=cause,
                forced=forced,
            )
            return
        server.operating = Operating.STOPPED
        server.changes.become(False, now)
        backend = self._changed(server, now)
        if server.line.on_marked_down == "shutdown-sessions":
            self._sessions.shut_down_sessions(server, "D", now)
        requeued = self._sessions.requeue_sessions(backend, server, now)
        severity = "notice" if was_stopping else "alert"
        self._tell(
            "server enters maintenance", server, severity, requeued, cause=cause, forced=forced
        )
        self._tell_backend(backend, now)

    def clear_admin(self, server: Server, flag: Admin, now: int) -> None:
        """Take back one flag; it is ready when none is left. Trackers follow."""
        if not server.admin & flag:
            return
        group = Admin.MAINT if flag & Admin.MAINT else Admin.DRAIN
        server.admin &= ~flag
        if flag is Admin.FORCED_MAINT:
            server.admin &= ~Admin.CONFIGURED_MAINT
        forced = bool(flag & (Admin.FORCED_MAINT | Admin.FORCED_DRAIN))
        if server.admin & group:
            self._tell("server stays as it is", server, "notice", None, forced=forced, group=group)
            return
        if group is Admin.MAINT:
            self._leave_maintenance(server, now, forced)
        elif not server.admin & Admin.MAINT:
            server.changes.at = now
            backend = self._changed(server, now)
            self._tell("server leaves drain", server, "notice", None, forced=forced)
            self._sessions.take_queued_sessions(backend, server, now)
        inherited = Admin.INHERITED_MAINT if group is Admin.MAINT else Admin.INHERITED_DRAIN
        for tracker in server.trackers:
            self.clear_admin(tracker, inherited, now)

    def _leave_maintenance(self, server: Server, now: int, forced: bool) -> None:
        """Up at once unless something known speaks against it; checks decide from now on."""
        if server.health.enabled:
            server.health.lift()
        tracked = server.tracked
        down = tracked is not None and not tracked.is_up
        if server.agent.enabled and not server.agent.passed:
            down = True
        if not down:
            if tracked is not None and tracked.operating is Operating.STOPPING:
                server.operating = Operating.STOPPING
            else:
                self._start(server, now)
        backend = self._changed(server, now)
        self._tell("server leaves maintenance", server, "notice", None, forced=forced)
        self._shut_down_backups(backend, server, now)
        self._sessions.take_queued_sessions(backend, server, now)

    def set_weight(self, server: Server, weight: int, now: int) -> None:
        """Give it another weight (0 to 256): 0 drains it."""
        server.weight = weight
        backend = self._changed(server, now)
        self._sessions.take_queued_sessions(backend, server, now)
        self._tell_backend(backend, now)

    def set_maxconn(self, server: Server, maxconn: int, now: int) -> None:
        """Let it have so many sessions at once (0: no limit); those that wait may have a place."""
        if server.line.minconn in (None, server.maxconn):
            server.maxconn_now = maxconn
        server.maxconn = maxconn
        self._sessions.take_queued_sessions(self._backend(server), server, now)

    # --- together ---------------------------------------------------------------------------

    def _changed(self, server: Server, now: int) -> Backend:
        backend = self._backend(server)
        server.reckon_weight(backend.weights_are_dynamic, now)
        backend.server_changed(server)
        if backend.in_turn:
            backend.refresh(now)
        return backend

    def _shut_down_backups(self, backend: Backend, server: Server, now: int) -> None:
        if server.line.on_marked_up != "shutdown-backup-sessions":
            return
        if server.is_backup or not server.is_usable:
            return
        for each in backend.servers:
            if each.is_backup:
                self._sessions.shut_down_sessions(each, "U", now)

    def _tell(
        self,
        what: str,
        server: Server,
        severity: str,
        moved: int | None,
        *,
        check: Check | None = None,
        reason: str = "",
        cause: str = "",
        forced: bool = False,
        group: Admin = Admin.READY,
    ) -> None:
        backend = self._backend(server)
        duration_us = check.duration_us if check is not None else None  # of `observe`: none
        details: dict[str, object] = {
            "proxy": backend.section.name,
            "server": server.name,
            "backup": server.is_backup,
            "severity": severity,
            "up": server.is_up,
            "forced": forced,
            "drained": bool(server.admin & Admin.DRAIN),
            "group": "drain" if group is Admin.DRAIN else "maintenance",
            "via": server.line.track or "",
            "status": check.status if check is not None else "",
            "reason": check.description if check is not None else cause,
            "explanation": reason,
            "info": check.info if check is not None else "",
            "code": check.code if check is not None else None,
            "check_duration_ms": -1 if duration_us is None else duration_us // 1000,
            "active_left": len(backend.active_usable),
            "backups_left": len(backend.backup_usable),
            "sessions": server.counters.sessions,
            "moved": moved,
            "queued": server.queued,
        }
        level = "warning" if severity == "alert" or not server.is_up else "info"
        self._out.append(Report(level, what, details))

    def _tell_backend(self, backend: Backend, now: int) -> None:
        if backend.refresh(now):
            details = {"proxy": backend.section.name, "severity": "emerg"}
            self._out.append(Report("error", "proxy has no server available", details))
