"""What passes between a client and its server: both ways, each to its end, and for how long.

Owns a session from its connection to its end. The driver moves the bytes of joined links itself;
here stands what HAProxy's stream does with their ends (src/stream.c, `process_stream`;
src/stconn.c, `sc_app_shutr_conn`, `sc_app_shutw_conn`). Does not own what is counted and told
(`ending`).

- A side that has finished sending has ended reading; the other is told so (a half-close is passed
  on), and has `timeout client-fin` or `server-fin` from then on.
- A side that did nothing for its timeout, neither sent nor took a byte, is read no more, as if it
  had finished: state cD or sD. The session goes on until the other side finishes as well or is idle
  for too long itself. A side that took nothing of what waits for it is broken off, and all ends.
- Where bytes wait for the other side, a side may be silent: it is not read. Idle times are compared
  in milliseconds as HAProxy's; where both sides are due, it was the client.
- A link that breaks is the fault of its side (CD, SD), or ours if we lost it (ID, "internal
  error": neither side is counted as having aborted). The other gets what is under way to it; a
  server to which nothing is under way is broken off, as the client was.
- With `option nolinger` links are reset instead of closed, and a server has no half-close: it is
  broken off when its client has finished.
- A session that is shut down by us (K, D, U) is closed on both sides, after what is under way.

Invariants: a side that is over has no link, or one that is closing; a session whose two sides are
over has ended, or is FLUSHING and waits for the links to close.
"""

from __future__ import annotations

from rabbitry.balancer.ending import Ending
from rabbitry.balancer.session import Phase, Session, Side
from rabbitry.balancer.session_table import SessionTable
from rabbitry.machine import (
    CloseLink,
    FinishLink,
    JoinLinks,
    Measure,
    MeasureLinks,
    SendBytes,
)


class Relaying:
    """Relays sessions."""

    def __init__(self, table: SessionTable, ending: Ending) -> None:
        self._table = table
        self._ending = ending

    def established(self, session: Session, now: int) -> None:
        """The server is connected: send what has waited for it, and let all else pass."""
        server = session.server
        assert server is not None and session.backend is not None
        session.phase = Phase.RELAYING
        session.connect_us = now - session.accepted_at
        session.expires_at = None
        session.failure = None
        client, other = session.client_side, session.server_side
        other.active_at = other.sent_at = now
        section = session.backend.section
        if section.timeout_tunnel_us is not None:
            client.timeout_us = section.timeout_tunnel_us
            client.active_at = client.sent_at = now
        if server.line.send_proxy and server.line.tls is None:
            session.early.insert(0, session.proxy_header())
        if session.early:
            self._table.out.append(SendBytes(other.link, b"".join(session.early)))
            session.early.clear()
        session.bytes_before_join = session.bytes_in
        self._table.out.append(JoinLinks(client.link, other.link))
        frontend = session.frontend.section
        if frontend.logasap and frontend.tcplog:
            self._ending.tell(session, now)
        if session.is_shut_down:
            self._close_both(session, now)
        elif client.read_ended:
            self._tell_finished(other, client, now)
            self._end_if_over(session, now)

    # --- what the links tell --------------------------------------------------------------------

    def measured(self, session: Session, measure: Measure) -> None:
        """Take note of what a joined link has done."""
        link, bytes_received, active_at, bytes_waiting = measure
        side = session.client_side
        if link == side.link:
            session.bytes_in = session.bytes_before_join + bytes_received
        else:
            side = session.server_side
            session.bytes_out = bytes_received
        side.waiting_bytes = bytes_waiting
        if active_at > side.active_at:
            side.active_at = active_at
        if bytes_received != side.sent_bytes:
            side.sent_bytes = bytes_received
            side.sent_at = side.active_at  # as nearly as is known

    def finished(self, session: Session, link: int, now: int) -> None:
        """A side will send no more: tell the other."""
        side, other = self._sides(session, link)
        self._stop_reading(side, other, now)
        self._end_if_over(session, now)

    def closed(
        self, session: Session, link: int, reason: str, now: int, *, failed_here: bool = False
    ) -> None:
        """A side is gone: the other goes as well, once it has what is under way to it."""
        side, other = self._sides(session, link)
        was_over = side.is_over
        del self._table.by_link[link]
        side.is_open = False
        side.waiting_bytes = 0
        side.read_ended = side.write_ended = True
        is_client = side is session.client_side
        if reason and not was_over:
            cause = "I" if failed_here else "C" if is_client else "S"
            self._ending.blame(session, cause, "D")
            if not is_client:
                if not failed_here:
                    self._count_broken(session)
            elif not (other.is_over or other.waiting_bytes):
                self._table.close_link(other, abort=True)
        other.read_ended = other.write_ended = True
        self._end_if_over(session, now)

    @staticmethod
    def _count_broken(session: Session) -> None:
        for whose in (session.server, session.backend):
            if whose is not None:
                whose.counters.response_errors += 1

    def shut_down(self, session: Session) -> None:
        """End a session that relays, from our side, as soon as it is known what has passed."""
        self.expired(session)

    # --- idleness -------------------------------------------------------------------------------

    def next_expiry(self, session: Session) -> int | None:
        """When one of the sides has been idle for too long, as far as is known."""
        client, server = session.client_side, session.server_side
        first, at = _read_expiry(client, server), _read_expiry(server, client)
        if first is None or (at is not None and at < first):
            first = at
        if client.waiting_bytes or server.waiting_bytes:
            for at in (_write_expiry(client), _write_expiry(server)):
                if first is None or (at is not None and at < first):
                    first = at
        return first

    def expired(self, session: Session) -> None:
        """A side may have been idle for too long: ask what has passed."""
        session.is_measured = True
        links = [session.client_side.link, session.server_side.link]
        self._table.out.append(MeasureLinks(links))

    def check_expiry(self, session: Session, now: int) -> None:
        """What passed is known: end what was idle for too long, or is shut down."""
        session.is_measured = False
        if session.is_shut_down and session.phase is Phase.RELAYING:
            self._close_both(session, now)
            return
        client, server = session.client_side, session.server_side
        client_reads = _is_due(_read_expiry(client, server), now)
        server_reads = _is_due(_read_expiry(server, client), now)
        client_writes = _is_due(_write_expiry(client), now)
        server_writes = _is_due(_write_expiry(server), now)
        if not (client_reads or server_reads or client_writes or server_writes):
            return
        client_first = client_reads or not (server_reads or server_writes)
        stage = "L" if server.is_over else "D"
        self._ending.blame(session, "c" if client_first else "s", stage)
        if server_writes:
            self._break_off(server, client, now)
        if client_reads:
            self._stop_reading(client, server, now)
        if client_writes:
            self._break_off(client, server, now)
        if server_reads:
            self._stop_reading(server, client, now)
        self._end_if_over(session, now)

    # --- ends -----------------------------------------------------------------------------------

    @staticmethod
    def _sides(session: Session, link: int) -> tuple[Side, Side]:
        if link == session.client_side.link:
            return session.client_side, session.server_side
        return session.server_side, session.client_side

    def _stop_reading(self, side: Side, other: Side, now: int) -> None:
        side.read_ended = True
        self._tell_finished(other, side, now)

    def _tell_finished(self, side: Side, other: Side, now: int) -> None:
        if side.write_ended:
            return
        side.write_ended = True
        if side.ends_whole:
            self._stop_reading(side, other, now)
        elif side.is_open:
            self._table.out.append(FinishLink(side.link))
        if side.fin_timeout_us is not None:
            side.active_at = side.sent_at = now

    def _break_off(self, side: Side, other: Side, now: int) -> None:
        """A side takes nothing: it is gone for us."""
        self._table.close_link(side, abort=True)
        side.waiting_bytes = 0
        self._stop_reading(side, other, now)
        other.read_ended = True

    def _close_both(self, session: Session, now: int) -> None:
        client, server = session.client_side, session.server_side
        self._stop_reading(client, server, now)
        self._stop_reading(server, client, now)
        self._end_if_over(session, now)

    def _end_if_over(self, session: Session, now: int) -> None:
        """Close sides that are over; what waits for one keeps the session."""
        flushing = False
        for side in (session.server_side, session.client_side):
            if not (side.is_open and side.read_ended and side.write_ended):
                continue
            if not side.waiting_bytes:
                self._table.close_link(side, abort=side.is_abrupt)
                continue
            flushing = True
            if not side.is_closing:
                side.is_closing = True
                self._table.out.append(CloseLink(side.link))
        server_side = session.server_side
        if not server_side.is_over:
            return
        if not server_side.is_open:
            self._table.leave_server(session)
        if not session.client_side.is_over:
            return
        if flushing:
            session.phase = Phase.FLUSHING
        else:
            self._ending.finish(session, now)


def _read_expiry(side: Side, other: Side) -> int | None:
    """When a side has been silent for too long. Never while it is not read: what it has brought
    waits for the other.
    """
    timeout_us = side.timeout_us
    if side.write_ended and side.fin_timeout_us is not None:
        timeout_us = side.fin_timeout_us
    if side.read_ended or timeout_us is None:
        return None
    if other.waiting_bytes and not side.waiting_bytes:
        return None
    return (side.sent_at if side.counts_alone else side.active_at) + timeout_us


def _write_expiry(side: Side) -> int | None:
    """When a side has taken nothing for too long of what waits for it."""
    if not side.is_open or not side.waiting_bytes or side.timeout_us is None:
        return None
    return side.active_at + side.timeout_us


def _is_due(at: int | None, now: int) -> bool:
    return at is not None and at // 1000 <= now // 1000
