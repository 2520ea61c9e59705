"""What happens to a client's link: it gets a server, bytes pass both ways, both links end together.

Owns the life of sessions from `LinkOpened` to the log line. The bytes of a relaying session do not
come here: `JoinLinks` has the driver pass them, untouched, at the pace of the slower side, and
`LinksMeasured` tells what has passed.
Health is `checks`', the choice of a server `backends`'.

A session goes HELD (only over `maxconn`) -> CONNECTING -> RELAYING -> ENDING. A connect that
fails is tried again as HAProxy does it (src/backend.c, `back_handle_st_cer`): up to `retries`
times; on another server at once when `option redispatch` and round robin allow it; else on the
same one, after a pause of one second or `timeout connect` if that is less, or without a pause if
it was the timeout.

A half-close is passed on. The idle timeout is the smaller of `timeout client` and `timeout server`,
since in a relay every byte is activity on both sides; whose fault it was is told by the smaller, or
by who took no bytes. When it may be over, the links are measured, and then it is decided.

Termination states are HAProxy's (configuration.txt 8.5): `--` both sides ended in order,
`CD`/`SD` the link to client/server broke, `cD`/`sD` idle timeout, `SC` no connection or no
server, `sC` connect timeout, `CC` client gone while connecting.

Invariants: every session ends with both links closed, one log line at most, and its place under
`maxconn` given to the next held; a session has at most one timer.
"""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_address

from rabbitry.balancer.backends import Backend
from rabbitry.balancer.configuration.model import Global
from rabbitry.balancer.link_options import server_link_options
from rabbitry.balancer.servers import Server
from rabbitry.balancer.session import Frontend, Phase, Session
from rabbitry.machine import (
    Address,
    CancelTimer,
    CloseLink,
    Effect,
    FinishLink,
    JoinLinks,
    Measure,
    MeasureLinks,
    OpenLink,
    PauseReading,
    Report,
    ResumeReading,
    SendBytes,
    SetTimer,
)

EARLY_SIZE_BYTES_MAX = 64 * 1024
"""What a client may send before a server is connected; then it is not read until one is."""

RETRY_PAUSE_US = 1_000_000
"""HAProxy's pause before it tries the same server again, unless `timeout connect` is shorter."""


class Relay:
    """All sessions of a balancer. Effects are appended to `out`; `links` finds a link's session."""

    def __init__(
        self, maxconn: int | None, next_link: Callable[[], int], out: list[Effect]
    ) -> None:
        self.links: dict[int, Session] = {}
        self.sessions = 0
        self._maxconn = maxconn
        self._next_link = next_link
        self._out = out
        self._by_timer: dict[str, Session] = {}
        self._held: dict[int, Session] = {}

    # --- events ---------------------------------------------------------------------------------

    def client_opened(self, frontend: Frontend, link: int, client: Address, now: int) -> None:
        """A client has come: admit it, or hold it while there are too many."""
        assert frontend.backend is not None  # else it has no listener
        session = Session(frontend, frontend.backend, link, client, now)
        self.links[link] = session
        self._by_timer[session.timer] = session
        if self._is_full(frontend):
            self._held[link] = session
            self._pause_client(session)
        else:
            self._admit(session, now)

    def server_opened(self, link: int, now: int) -> bool:
        """A server is connected: send what has waited for it. False if the link is not ours."""
        session = self.links.get(link)
        if session is None or session.phase is not Phase.CONNECTING or session.server is None:
            return session is not None
        session.phase = Phase.RELAYING
        session.relaying = True
        session.connected_at = session.active_at = now
        session.server.counters.connects_total += 1
        session.backend.counters.connects_total += 1
        if session.early:
            self._out.append(SendBytes(link, b"".join(session.early)))
            session.early.clear()
        if session.client_finished:
            self._out.append(FinishLink(link))
        session.client_reading_paused = False  # joining undoes it
        self._out.append(JoinLinks(session.client_link, link))
        idle_us = self._idle_us(session)
        if idle_us is None:
            self._out.append(CancelTimer(session.timer))
        else:
            self._out.append(SetTimer(session.timer, now + idle_us))
        return True

    def early_bytes(self, session: Session, link: int, data: bytes, now: int) -> None:
        """Bytes of a session that does not relay: keep a client's for the server to come."""
        if link != session.client_link or session.phase is Phase.ENDING:
            return
        session.bytes_in += len(data)
        session.active_at = now
        session.early.append(data)
        session.early_size += len(data)
        if session.early_size >= EARLY_SIZE_BYTES_MAX:
            self._pause_client(session)

    def link_finished(self, link: int, now: int) -> None:
        """One side will send no more: tell the other; end when both have said so."""
        session = self.links.get(link)
        if session is None or session.phase is Phase.ENDING:
            return
        session.active_at = now
        if link == session.client_link:
            session.client_finished = True
            other = session.server_link
        else:
            session.server_finished = True
            other = session.client_link
        if session.client_finished and session.server_finished:
            self._end(session, "-", "-", now)
        elif session.relaying:
            self._out.append(FinishLink(other))

    def link_closed(self, link: int, reason: str, now: int) -> None:
        """A link is gone: the other one goes too, unless a server can still be found."""
        session = self.links.pop(link, None)
        if session is None:
            return
        if link != session.client_link:
            session.server_closed = True
            if session.phase is Phase.CONNECTING:
                self._failed(session, "S", now)
            elif session.phase is Phase.RELAYING:
                self._end(session, *(("S", "D") if reason else ("-", "-")), now)
            else:
                self._forget_if_closed(session, now)
            return
        session.client_closed = True
        if session.phase is Phase.HELD:
            del self._held[link]
            self._by_timer.pop(session.timer)
        elif session.phase is Phase.RELAYING:
            self._end(session, *(("C", "D") if reason else ("-", "-")), now)
        elif session.phase is Phase.ENDING:
            self._forget_if_closed(session, now)
        else:
            self._end(session, "C", "C", now, abort_server=True)

    def links_measured(self, measures: list[Measure], now: int) -> None:
        """Hear what has passed over joined links; end sessions that prove to be idle."""
        for measure in measures:
            session = self.links.get(measure.link)
            if session is None:
                continue
            session.active_at = max(session.active_at, measure.active_at)
            if measure.link == session.client_link:
                session.bytes_in = session.early_size + measure.bytes_received
                session.client_waiting_bytes = measure.bytes_waiting
            else:
                session.bytes_out = measure.bytes_received
                session.server_waiting_bytes = measure.bytes_waiting
                if session.idle_asked and session.phase is Phase.RELAYING:
                    session.idle_asked = False
                    self._check_idle(session, now)

    def timer_fired(self, timer: str, now: int) -> None:
        """The connect timeout, the pause before a retry, or perhaps the idle timeout is over."""
        session = self._by_timer.get(timer)
        if session is None:
            return
        if session.phase is Phase.CONNECTING:
            self._out.append(CloseLink(session.server_link, abort=True))
            del self.links[session.server_link]
            session.server_closed = True
            self._failed(session, "s", now)
        elif session.phase is Phase.WAITING:
            self._try_again(session, now)
        elif session.phase is Phase.RELAYING:
            session.idle_asked = True
            self._out.append(MeasureLinks([session.client_link, session.server_link]))

    def reloaded(self, process: Global, now: int) -> None:
        """Go on with other limits of the process; who waited for a place may have one now."""
        self._maxconn = process.maxconn
        for _ in range(len(self._held)):
            self._admit_held(now)

    # --- what a change of a server asks ---------------------------------------------------------

    def shut_down_sessions(self, server: Server, why: str, now: int) -> int:
        """End all sessions of a server; `why` is the termination cause: D, U or K."""
        ended = [
            session
            for session in self.links.values()
            if session.server is server and session.phase is not Phase.ENDING
        ]
        # A session has two links: it is in the list twice, and ends once.
        for session in ended:
            if session.phase is not Phase.ENDING:
                self._end(session, why, "D" if session.relaying else "C", now)
        return len(ended) // 2

    def requeue_sessions(self, backend: Backend, server: Server, now: int) -> int:
        """Nobody waits for a server yet."""
        return 0

    def take_queued_sessions(self, backend: Backend, server: Server, now: int) -> int:
        """Nobody waits for a backend yet."""
        return 0

    # --- finding a server -----------------------------------------------------------------------

    def _is_full(self, frontend: Frontend) -> bool:
        if self._maxconn is not None and self.sessions >= self._maxconn:
            return True
        return len(frontend.sessions) >= frontend.section.maxconn

    def _admit(self, session: Session, now: int) -> None:
        frontend = session.frontend
        self.sessions += 1
        session.accepted_at = session.active_at = now
        frontend.sessions[session.client_link] = session
        frontend.sessions_total += 1
        frontend.sessions_max = max(frontend.sessions_max, len(frontend.sessions))
        frontend.rate.count(now)
        self._resume_client(session)
        server = session.backend.choose(source=_packed(session.client))
        if server is None:
            self._no_server(session, now)
        else:
            self._connect(session, server, now)

    def _no_server(self, session: Session, now: int) -> None:
        session.server = None
        session.backend.counters.connect_errors += 1
        self._end(session, "S", "C", now)

    def _connect(self, session: Session, server: Server, now: int) -> None:
        if not session.backend_counted:
            session.backend_counted = True
            session.backend.counters.assigned(now)
        server.counters.assigned(now)
        session.server_counted = True
        session.phase = Phase.CONNECTING
        session.server = server
        session.server_closed = False
        session.server_link = self._next_link()
        session.attempted_at = now
        self.links[session.server_link] = session
        options = server_link_options(server.line, session.backend.section.keepalive)
        self._out.append(
            OpenLink(session.server_link, server.address, options, session.client_link)
        )
        limit_us = session.backend.section.timeout_connect_us
        if limit_us is not None:
            self._out.append(SetTimer(session.timer, now + limit_us))

    def _failed(self, session: Session, cause: str, now: int) -> None:
        """A connect failed: refused or broken (`cause` S) or timed out (s)."""
        backend = session.backend
        section = backend.section
        server = session.server
        assert server is not None
        self._leave_server(session)
        if session.retries >= section.retries:
            server.counters.connect_errors += 1
            backend.counters.connect_errors += 1
            self._end(session, cause, "C", now)
            return
        session.retries += 1
        # HAProxy asks for two active servers here; one that is not this one is as good.
        others = any(each is not server for each in backend.in_turn)
        session.choose_again = section.redispatch is not None and (
            not server.is_up
            or others
            or _is_turn(section.redispatch, session.retries, section.retries)
        )
        if cause == "s" or (session.choose_again and others):
            self._try_again(session, now)
            return
        session.phase = Phase.WAITING
        pause_us = min(RETRY_PAUSE_US, section.timeout_connect_us or RETRY_PAUSE_US)
        self._out.append(SetTimer(session.timer, now + pause_us))

    def _try_again(self, session: Session, now: int) -> None:
        backend = session.backend
        before = session.server
        assert before is not None
        server = backend.choose(before, _packed(session.client)) if session.choose_again else before
        if server is None:
            self._no_server(session, now)
            return
        if server is before:
            before.counters.retries += 1
            backend.counters.retries += 1
        else:
            session.redispatched = True
            before.counters.redispatches += 1
            backend.counters.redispatches += 1
        self._connect(session, server, now)

    def _leave_server(self, session: Session) -> None:
        if session.server_counted and session.server is not None:
            session.server_counted = False
            session.server.counters.sessions -= 1

    # --- back-pressure and idleness -------------------------------------------------------------

    def _pause_client(self, session: Session) -> None:
        if not session.client_reading_paused:
            session.client_reading_paused = True
            self._out.append(PauseReading(session.client_link))

    def _resume_client(self, session: Session) -> None:
        if session.client_reading_paused:
            session.client_reading_paused = False
            self._out.append(ResumeReading(session.client_link))

    @staticmethod
    def _idle_us(session: Session) -> int | None:
        limits = (
            session.frontend.section.timeout_client_us,
            session.backend.section.timeout_server_us,
        )
        return min((limit for limit in limits if limit is not None), default=None)

    def _check_idle(self, session: Session, now: int) -> None:
        idle_us = self._idle_us(session)
        if idle_us is None:
            return
        ends_at = session.active_at + idle_us
        if now < ends_at:
            # Bytes do not touch the timer, they do not even come here; it looks after them instead.
            self._out.append(SetTimer(session.timer, ends_at))
            return
        cause = "c" if session.frontend.section.timeout_client_us == idle_us else "s"
        if session.client_waiting_bytes:
            cause = "c"
        elif session.server_waiting_bytes:
            cause = "s"
        # Who took no bytes for so long will not take the rest either.
        self._end(
            session,
            cause,
            "D",
            now,
            abort_client=session.client_waiting_bytes > 0,
            abort_server=session.server_waiting_bytes > 0,
        )

    # --- the end --------------------------------------------------------------------------------

    def _end(
        self,
        session: Session,
        cause: str,
        stage: str,
        now: int,
        abort_client: bool = False,
        abort_server: bool = False,
    ) -> None:
        """Close what is open of a session; it is forgotten when both links are closed."""
        if stage == "D":
            self._count_abort(session, cause)
        session.phase = Phase.ENDING
        session.relaying = False
        session.cause = cause
        session.stage = stage
        self._out.append(CancelTimer(session.timer))
        if not session.client_closed:
            self._out.append(CloseLink(session.client_link, abort=abort_client))
        if not session.server_closed:
            self._out.append(CloseLink(session.server_link, abort=abort_server))
        self._forget_if_closed(session, now)

    @staticmethod
    def _count_abort(session: Session, cause: str) -> None:
        for each in (session.backend.counters, session.server and session.server.counters):
            if each and cause == "C":
                each.client_aborts += 1
            elif each and cause == "S":
                each.server_aborts += 1

    def _forget_if_closed(self, session: Session, now: int) -> None:
        if not (session.client_closed and session.server_closed):
            return
        frontend = session.frontend
        backend = session.backend.counters
        self._leave_server(session)
        if session.backend_counted:
            backend.sessions -= 1
        frontend.bytes_in += session.bytes_in
        frontend.bytes_out += session.bytes_out
        if session.server is not None:
            self._count_server(session, session.server, now)
        section = frontend.section
        if section.tcplog and (session.bytes_in or not section.dontlognull):
            self._out.append(Report("info", "session ended", self._log_details(session, now)))
        del frontend.sessions[session.client_link]
        del self._by_timer[session.timer]
        self.sessions -= 1
        self._admit_held(now)

    @staticmethod
    def _count_server(session: Session, server: Server, now: int) -> None:
        for each in (server.counters, session.backend.counters):
            each.bytes_in += session.bytes_in
            each.bytes_out += session.bytes_out
            if session.connected_at is not None and session.attempted_at is not None:
                each.connect_times.add((session.connected_at - session.attempted_at) // 1000)
                each.total_times.add((now - session.accepted_at) // 1000)

    def _log_details(self, session: Session, now: int) -> dict[str, object]:
        attempted_at, connected_at = session.attempted_at, session.connected_at
        connect_ms = wait_ms = -1
        if attempted_at is not None:
            wait_ms = (attempted_at - session.accepted_at) // 1000
            if connected_at is not None:
                connect_ms = (connected_at - attempted_at) // 1000
        server = session.server
        return {
            "client": str(session.client),
            "frontend": session.frontend.section.name,
            "backend": session.backend.section.name,
            "server": server.name if server is not None else "<NOSRV>",
            "wait_ms": wait_ms,
            "connect_ms": connect_ms,
            "total_ms": (now - session.accepted_at) // 1000,
            "bytes_in": session.bytes_in,
            "bytes_out": session.bytes_out,
            "state": session.cause + session.stage,
            "process_sessions": self.sessions,
            "front_sessions": len(session.frontend.sessions),
            "back_sessions": session.backend.counters.sessions,
            "server_sessions": server.counters.sessions if server is not None else 0,
            "retries": session.retries,
            "redispatched": session.redispatched,
        }

    def _admit_held(self, now: int) -> None:
        """Give the place that was freed to the session that has waited longest for such a one."""
        for session in self._held.values():
            if not self._is_full(session.frontend):
                del self._held[session.client_link]
                self._admit(session, now)
                return


def _is_turn(redispatch: int, retries: int, retries_max: int) -> bool:
    """Whether this retry may go elsewhere: each n-th, or the n-th from the last if n < 0."""
    if redispatch > 0:
        return retries % redispatch == 0
    return retries % max(retries_max + 1 + redispatch, 1) == 0


def _packed(client: Address) -> bytes:
    """The client's IP address in bytes, as hashes want it; empty where it has none."""
    try:
        return ip_address(client.host).packed
    except ValueError:
        return b""
