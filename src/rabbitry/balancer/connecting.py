"""How a session gets a server: choice, place or queue, connection, retries, redispatch.

Owns a session from its admission until it has a connection, or none can be had. Does not own who
waits how long in which order (`queueing`), what passes over the connection (`relaying`) or how a
session ends (`ending`).

A translation of src/backend.c, `back_handle_st_req`, `back_try_conn_req` and `back_handle_st_cer`.
A connect that fails is tried again up to `retries` times. With `option redispatch` a retry goes
elsewhere if the server is not up, if it is this retry's turn, or if there is another active server
and the algorithm is not a hash. It waits one second before, or `timeout connect` if that is less:
not if it goes elsewhere and there is more than one active server, and not if the connect timed
out. The place at a server is kept during that pause.

What goes wrong first decides the termination state, unless the client leaves. A client that
finishes sending before it has sent anything, or anything with `option abortonclose`, has left.

Invariants: a session that is CONNECTING has one link to a server under way; one that is CONNECTING
or WAITING has a place at its server, or is about to choose one anew.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from ipaddress import ip_address

from rabbitry.balancer.backends import Backend
from rabbitry.balancer.ending import Ending
from rabbitry.balancer.link_options import server_link_options
from rabbitry.balancer.queueing import Queueing
from rabbitry.balancer.servers import Operating, Server
from rabbitry.balancer.session import Phase, Session, Side
from rabbitry.balancer.session_table import SessionTable
from rabbitry.machine import Address, OpenLink, PauseReading

EARLY_SIZE_BYTES_MAX = 64 * 1024
"""What a client may send before a server is connected; then it is not read until one is."""

RETRY_PAUSE_US = 1_000_000
"""HAProxy's pause before it tries the same server again, unless `timeout connect` is shorter."""


Observe = Callable[[Backend, Server, bool, int], None]
"""Hears of each connect whether it succeeded (`observe layer4`): backend, server, whether, now."""


class Connecting:
    """Finds servers for sessions."""

    def __init__(
        self, table: SessionTable, queueing: Queueing, ending: Ending, observe: Observe
    ) -> None:
        self._observe = observe
        self._table = table
        self._queueing = queueing
        self._ending = ending

    # --- finding a server -----------------------------------------------------------------------

    def request(self, session: Session, now: int) -> None:
        """Find a server for it, a place in a queue, or the end (SC_ST_REQ)."""
        backend = session.backend
        if backend is None:
            self._ending.end(session, "S", "C", now)
            return
        if not session.is_assigned:
            self._choose(session, backend, now)
        server = session.server
        if server is None:
            if backend.in_turn:  # all are full
                self._wait_in_queue(session, backend, now)
            else:
                self._give_up(session, "S", "C", now)
            return
        if not session.has_place:
            if server.maxconn:
                server.reckon_places(backend.counters.sessions, backend.fullconn, now)
            if server.maxconn and self._queueing.is_full(server):
                if server.line.maxqueue and server.queued >= server.line.maxqueue:
                    self._give_up(session, "S", "Q", now)
                else:
                    self._wait_in_queue(session, server, now)
                return
            self._queueing.take_place(session, backend, server)
        session.wait_us = now - session.accepted_at
        backend.counters.last_session_at = now
        self.connect(session, now)

    def _choose(self, session: Session, backend: Backend, now: int) -> None:
        """Choose a server, another one than before if there is any; `server` None: none can."""
        before = session.server
        self._table.leave_server(session)
        self._queueing.reckon_places(backend, now)
        by_source = backend.section.balance.algorithm == "source"
        source = _packed(session.client) if by_source else b""
        session.server = backend.choose(before, source)
        session.is_assigned = session.server is not None
        if before is None:
            return
        if session.server is before:
            before.counters.retries += 1
            backend.counters.retries += 1
        else:
            session.redispatched = True
            before.counters.redispatches += 1
            backend.counters.redispatches += 1

    def _wait_in_queue(self, session: Session, whose: Server | Backend, now: int) -> None:
        backend = session.backend
        assert backend is not None
        session.phase = Phase.QUEUED
        self._queueing.join(session, whose, now)
        section = backend.section
        limit_us = section.timeout_queue_us or section.timeout_connect_us
        self._expire_in(session, limit_us, now)

    def dequeued(self, session: Session, now: int) -> None:
        """It has left its queue: for a place, or to choose anew."""
        session.expires_at = None
        if session.is_assigned:
            session.wait_us = now - session.accepted_at
            self.connect(session, now)
        else:
            self.request(session, now)

    # --- connecting -----------------------------------------------------------------------------

    def connect(self, session: Session, now: int) -> None:
        """Open a link to its server (SC_ST_ASS)."""
        server, backend = session.server, session.backend
        assert server is not None and backend is not None
        for counters in (server.counters, backend.counters):
            counters.connects_total += 1
        server.counters.assigned(now)
        session.is_counted = True
        session.phase = Phase.CONNECTING
        section = backend.section
        link = self._table.next_link()
        side = session.server_side
        if side.link:  # of a connect that has failed
            side = session.server_side = Side()
        side.link = link
        side.is_open = True
        side.timeout_us = section.timeout_tunnel_us or section.timeout_server_us
        side.fin_timeout_us = section.timeout_server_fin_us
        side.counts_alone = section.independent_streams
        side.is_abrupt = side.ends_whole = section.nolinger
        self._table.by_link[link] = session
        options = server_link_options(server.line, section.keepalive)
        if options is not None and options.tls is not None and server.line.send_proxy:
            # Before the handshake; without one it goes with the first bytes (`relaying`).
            options = replace(options, greeting=session.proxy_header())
        opening = OpenLink(link, server.address, options, beside=session.client_side.link)
        self._table.out.append(opening)
        self._expire_in(session, section.timeout_connect_us, now)

    def failed(self, session: Session, now: int, *, timed_out: bool) -> None:
        """A connect failed: refused, broken or (`timed_out`) without an answer (SC_ST_CER)."""
        server, backend = session.server, session.backend
        assert server is not None and backend is not None
        self._table.close_link(session.server_side, abort=True)
        session.expires_at = None
        session.failure = session.failure or ("s" if timed_out else "S", "C")
        self._observe(backend, server, False, now)
        # It may have been ended by that: its server is down, and `on-marked-down` ends sessions.
        if session.phase is not Phase.CONNECTING:
            return
        session.is_counted = False
        server.counters.sessions -= 1
        section = backend.section
        if session.retries >= section.retries:
            self._give_up(session, *session.failure, now)
            return
        session.retries += 1
        active = len(backend.active_usable)
        if self._may_go_elsewhere(session, server, backend):
            self._table.leave_server(session)
            session.is_assigned = False
            pauses = active <= 1
        else:
            server.counters.retries += 1
            backend.counters.retries += 1
            pauses = True
        if pauses and not timed_out:
            session.phase = Phase.WAITING
            limit_us = section.timeout_connect_us or RETRY_PAUSE_US
            self._expire_in(session, min(RETRY_PAUSE_US, limit_us), now)
        else:
            self._try_again(session, now)

    @staticmethod
    def _may_go_elsewhere(session: Session, server: Server, backend: Backend) -> bool:
        """Whether this retry chooses a server anew (`stream_choose_redispatch`)."""
        section = backend.section
        if section.redispatch is None:
            return False
        if server.operating in (Operating.STOPPED, Operating.STARTING):
            return True
        if _is_turn(section.redispatch, session.retries, section.retries):
            return True
        return len(backend.active_usable) > 1 and section.balance.algorithm != "source"

    def _try_again(self, session: Session, now: int) -> None:
        if session.is_assigned:
            self.connect(session, now)
        else:
            self.request(session, now)

    # --- what happens meanwhile -----------------------------------------------------------------

    def expired(self, session: Session, now: int) -> None:
        """The time of a queue, a connect or a pause is over."""
        session.expires_at = None
        if session.phase is Phase.CONNECTING:
            self.failed(session, now, timed_out=True)
        elif session.phase is Phase.WAITING:
            self._try_again(session, now)
        elif session.phase is Phase.QUEUED:
            self._leave_queue(session, now)
            self._give_up(session, *(session.failure or ("s", "Q")), now)

    def early_bytes(self, session: Session, data: bytes, now: int) -> None:
        """A client's bytes before a server is connected: they wait for it."""
        side = session.client_side
        if side.read_ended:
            return
        session.bytes_in += len(data)
        side.active_at = side.sent_at = now
        session.early.append(data)
        session.early_size += len(data)
        if session.early_size >= EARLY_SIZE_BYTES_MAX and not session.reading_paused:
            session.reading_paused = True
            self._table.out.append(PauseReading(side.link))

    def client_finished(self, session: Session, now: int) -> None:
        """The client will send no more, or nobody wants it to: it may have left."""
        abort_on_close = session.backend is not None and session.backend.section.abortonclose
        if not session.early or abort_on_close:
            self.abandon(session, now)

    def abandon(self, session: Session, now: int) -> None:
        """The client is not there any more: stop trying."""
        stage = "C"
        # One that was just let in has the phase, and waits for nobody yet.
        if session.phase is Phase.QUEUED and self._leave_queue(session, now):
            stage = "Q"
        self._ending.end(session, "C", stage, now, abort_server=True)

    def _leave_queue(self, session: Session, now: int) -> bool:
        if not self._queueing.leave(session):
            return False
        session.wait_us = now - session.accepted_at
        return True

    def _give_up(self, session: Session, cause: str, stage: str, now: int) -> None:
        """There is no connection to be had."""
        session.failure = session.failure or (cause, stage)
        if session.server is not None:
            session.server.counters.connect_errors += 1
        if session.backend is not None:
            session.backend.counters.connect_errors += 1
        self._ending.end(session, *session.failure, now)

    @staticmethod
    def _expire_in(session: Session, limit_us: int | None, now: int) -> None:
        session.expires_at = None if limit_us is None else now + limit_us


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
