"""The end of a session: whose fault it was, what is counted for it, the line that tells of it.

Owns the termination state (configuration.txt 8.5), what is counted at the end, and the reports that
become log lines. Does not own when a session ends (`connecting`, `relaying`, `relay`) or the
wording (`log_lines`).

A session is over for its backend and its server when it is over for HAProxy: when both its sides
have ended. What still has to get out keeps it, its place and its line waiting (`Phase.FLUSHING`).

Invariants: every session that was let in ends here, once, with one line at most; its places under
all limits are free then.
"""

from __future__ import annotations

from rabbitry.balancer.configuration.model import FrontendSection
from rabbitry.balancer.session import Listener, Phase, Session
from rabbitry.balancer.session_table import SessionTable
from rabbitry.machine import Address, Report

_NOWHERE = str(Address("", 0))


class Ending:
    """Ends sessions. `ended` has those that have, for `admission` to count."""

    def __init__(self, table: SessionTable) -> None:
        self._table = table
        self.ended: list[Session] = []

    def blame(self, session: Session, cause: str, stage: str) -> None:
        """Note why a session ends, and count who broke it off, if nobody was named before."""
        if not session.blame(cause, stage):
            return
        if cause == "I":
            session.frontend.internal_errors += 1
        for whose in (session.backend, session.server):
            if whose is None:
                continue
            if cause == "I":
                whose.counters.internal_errors += 1
            elif cause in "Cc":
                whose.counters.client_aborts += 1
            elif cause in "Ss":
                whose.counters.server_aborts += 1

    def end(
        self, session: Session, cause: str, stage: str, now: int, *, abort_server: bool = False
    ) -> None:
        """End a session that never relayed: nobody is counted as having broken it off."""
        session.blame(cause, stage)
        self._table.close_link(session.server_side, abort=abort_server)
        self._table.close_link(session.client_side)
        self.finish(session, now)

    def finish(self, session: Session, now: int) -> None:
        """Both sides have ended and all is out: count it, tell of it, forget it."""
        assert session.phase is not Phase.ENDED
        session.phase = Phase.ENDED
        self._table.leave_server(session)
        self._table.remove(session)
        frontend, backend = session.frontend, session.backend
        if session.backend_counted and backend is not None:
            backend.counters.sessions -= 1
        frontend.bytes_in += session.bytes_in
        session.listener.bytes_in += session.bytes_in
        session.listener.bytes_out += session.bytes_out
        frontend.bytes_out += session.bytes_out
        self._count_bytes_and_times(session, now)
        section = frontend.section
        wanted = session.bytes_in or not section.dontlognull
        if section.dontlog_normal and not _is_remarkable(session):
            wanted = False
        if section.tcplog and wanted and not session.is_logged:
            self.tell(session, now)
        del frontend.sessions[session.number]
        self._table.admitted -= 1
        self.ended.append(session)

    @staticmethod
    def _count_bytes_and_times(session: Session, now: int) -> None:
        wait_us, connect_us = session.wait_us, session.connect_us
        for whose in (session.server, session.backend):
            if whose is None:
                continue
            whose.counters.bytes_in += session.bytes_in
            whose.counters.bytes_out += session.bytes_out
            if wait_us is not None and connect_us is not None:
                whose.counters.queue_times.add(wait_us // 1000)
                whose.counters.connect_times.add((connect_us - wait_us) // 1000)
                whose.counters.total_times.add((now - session.accepted_at) // 1000)

    # --- what people are told -------------------------------------------------------------------

    def tell(self, session: Session, now: int) -> None:
        """Report the session, at its end or (`option logasap`) when it is connected."""
        session.is_logged = True
        frontend, backend, server = session.frontend, session.backend, session.server
        wait_us, connect_us = session.wait_us, session.connect_us
        connect_ms = -1
        if wait_us is not None and connect_us is not None:
            connect_ms = connect_us // 1000 - wait_us // 1000
        details: dict[str, object] = {
            "client": client_text(session),
            # `~`: it came by TLS (configuration.txt 8.2.2, frontend_name).
            "frontend": frontend.section.name + "~" * (session.listener.bind.tls is not None),
            "backend": (backend or frontend).section.name,
            "server": server.name if server is not None else "<NOSRV>",
            "wait_ms": -1 if wait_us is None else wait_us // 1000,
            "connect_ms": connect_ms,
            "total_ms": (now - session.accepted_at) // 1000,
            "bytes_in": session.bytes_in,
            "bytes_out": session.bytes_out,
            "state": session.cause + session.stage,
            "process_sessions": self._table.admitted,
            "front_sessions": len(frontend.sessions),
            "back_sessions": backend.counters.sessions if backend is not None else 0,
            "server_sessions": server.counters.sessions if server is not None else 0,
            "retries": session.retries,
            "redispatched": session.redispatched,
            "server_queue": session.server_queue_position,
            "backend_queue": session.backend_queue_position,
            "soon": frontend.section.logasap,
        }
        section = frontend.section
        self._table.out.append(
            line_report("session ended", details, section, _is_remarkable(session))
        )

    def tell_connected(self, session: Session) -> None:
        """Report a client of a frontend without a log format: HAProxy tells only that it came."""
        section = session.frontend.section
        if section.tcplog or not section.log_targets:
            return
        listener = session.listener
        details: dict[str, object] = {
            "client": None if listener.is_unix else str_of(session.client),
            "local": str_of(session.local or listener.bind.address),
            "listener": listener.number,
            "frontend": section.name,
        }
        self._table.out.append(Report("info", "client connected", details))

    def tell_refused(self, session: Session, text: str, now: int, *, null: bool) -> None:
        """Report a client that did not say whom it is for. `null`: it said nothing at all."""
        section = session.frontend.section
        if not section.tcplog or (null and section.dontlognull):
            return
        listener = session.listener
        details: dict[str, object] = {
            "client": client_text(session),
            "frontend": section.name,
            "listener": listener.bind.name or str(listener.number),
            "text": text,
            "total_ms": (now - session.accepted_at) // 1000,
        }
        self._table.out.append(line_report("client refused", details, section, True))


def str_of(address: object) -> str:
    """An address in HAProxy's log lines: IPv6 without brackets."""
    return str(address).replace("[", "").replace("]", "")


def client_text(session: Session) -> str:
    """The client in HAProxy's log lines; one of a Unix socket has only the socket's number."""
    return name_of_client(session.listener, str(session.client))


def name_of_client(listener: Listener, client: str) -> str:
    """A client of this listener at this address, as `client_text` has it."""
    if listener.is_unix and (client == _NOWHERE or client[:1] in ("/", "@")):
        return f"unix:{listener.number}"
    return str_of(client)


def line_report(
    what: str, details: dict[str, object], section: FrontendSection, is_error: bool
) -> Report:
    """A line of a client; `option log-separate-errors` lifts what is no normal one to errors."""
    if is_error and section.log_separate_errors:
        return Report("error", what, details | {"severity": "err"})
    return Report("info", what, details)


def _is_remarkable(session: Session) -> bool:
    """Whether its line is wanted though normal ones are not (src/log.c, `strm_log`)."""
    return session.cause != "-" or session.redispatched or session.retries > 0
