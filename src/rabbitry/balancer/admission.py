"""Who is let in, and when: limits of the process, of a frontend and of a listener.

Owns `maxconn` of `global`, frontends and `bind` lines, `maxconnrate` and `maxsessrate`, `rate-limit
sessions`, frontends that an operator has disabled, and the PROXY header that a listener with
`accept-proxy` asks for first. Does not own what a session does once it is let in (`connecting`).

Where a limit is reached, a listener is paused, and clients wait in the system's backlog, as with
HAProxy (src/listener.c, `listener_accept`). Clients that were accepted before that took effect are
held here, unread and uncounted, in the order in which they came. Nobody is refused for a limit;
clients of a disabled frontend are.

Invariants: no limit is ever passed; a listener is paused exactly while a limit keeps it from
letting anybody in; whoever waits is let in as soon as the limits allow, the oldest first.
"""

from __future__ import annotations

from collections.abc import Mapping

from rabbitry.balancer.configuration.model import Global
from rabbitry.balancer.ending import Ending
from rabbitry.balancer.proxy_protocol import (
    ABORTED,
    EMPTY,
    TIMED_OUT,
    TRUNCATED,
    HeaderMistake,
    ProxyHeader,
    read_header,
)
from rabbitry.balancer.rates import Rate
from rabbitry.balancer.session import Listener, Phase, Session, Side
from rabbitry.balancer.session_table import SessionTable
from rabbitry.machine import (
    MICROSECONDS_PER_SECOND,
    Address,
    CancelTimer,
    PauseListening,
    PauseReading,
    ResumeListening,
    ResumeReading,
    SetTimer,
)

TIMER = "admission"
"""The name of the timer that fires when a rate has room again."""


class Admission:
    """Lets sessions in. `is_due`: something has changed since the last `review`."""

    def __init__(
        self,
        process: Global,
        listeners: Mapping[str, Listener],
        table: SessionTable,
        ending: Ending,
    ) -> None:
        self.limit(process)
        self.connection_rate = Rate()
        self.session_rate = Rate()
        self._listeners = listeners
        self._table = table
        self._ending = ending
        self._held: dict[int, Session] = {}
        self._held_at: dict[Listener, None] = {}  # also those that were closed since
        self._newest: Session | None = None
        self._is_pausing = False  # some listener
        self.is_due = True
        self._timer_at: int | None = None

    def limit(self, process: Global) -> None:
        """Let in as many as `process` says."""
        self.maxconn = process.maxconn
        self.connections_per_s = process.connections_per_s
        self.sessions_per_s = process.sessions_per_s
        self.is_due = True

    # --- coming ---------------------------------------------------------------------------------

    def arrived(
        self, listener: Listener, link: int, client: Address, local: Address | None, now: int
    ) -> Session | None:
        """A client has come: let it in and return its session, or hold it until `review` does."""
        section = listener.frontend.section
        side = Side(
            link,
            is_open=True,
            timeout_us=section.timeout_client_us,
            fin_timeout_us=section.timeout_client_fin_us,
            counts_alone=section.independent_streams,
            is_abrupt=section.nolinger,
        )
        backend = listener.frontend.backend
        session = Session(listener, backend, side, client, local, now, f"session {link}")
        self._table.add(session)
        # What nearly always is the case: nobody waits, and nothing has changed.
        if not (self._held or self.is_due) and self._wait_us(listener, now) == 0:
            self._let_in(session, now)
            self._review_listeners(now)
            self.is_due = False
            return session
        self._held[link] = self._newest = session
        listener.held += 1
        self.is_due = True
        self._held_at[listener] = None
        return None

    def review(self, now: int) -> list[Session]:
        """Let in whom the limits allow, and pause and resume listeners; return those who came in.
        Those who need not say first whom they are for can look for a server.
        """
        came_in = []
        self._refuse_held_of_disabled()
        while (session := self._next(now)) is not None:
            self._hold_no_more(session)
            self._let_in(session, now)
            if session.early and self._is_refused_for_early_bytes(session, now):
                continue
            came_in.append(session)
        newest, self._newest = self._newest, None
        if self._held and newest is not None and newest.phase is Phase.HELD:
            newest.reading_paused = True
            self._table.out.append(PauseReading(newest.client_side.link))
        self._review_listeners(now)
        self.is_due = False
        return came_in

    def _refuse_held_of_disabled(self) -> None:
        """Who waited at a frontend when it was disabled is refused, as who comes after."""
        if any(_refuses(listener) for listener in self._held_at):
            for session in [each for each in self._held.values() if _refuses(each.listener)]:
                self._table.close_link(session.client_side, abort=True)
                self.held_left(session)

    def _is_refused_for_early_bytes(self, session: Session, now: int) -> bool:
        """Take a header that came before reading was paused; whether it was none."""
        if session.phase is not Phase.GREETING:
            return False
        return not self.greeted(session, b"", now) and session.phase is not Phase.GREETING

    def _next(self, now: int) -> Session | None:
        """Who has waited longest of those who may come in."""
        if not self._held:
            return None
        open_ones = [listener for listener in self._held_at if self._wait_us(listener, now) == 0]
        if not open_ones:
            return None
        return next(each for each in self._held.values() if each.listener in open_ones)

    def _review_listeners(self, now: int) -> None:
        wake_at: int | None = None
        self._is_pausing = False
        for listener in self._listeners.values():
            wait_us = self._wait_us(listener, now)
            if wait_us:
                wake_at = now + wait_us if wake_at is None else min(wake_at, now + wait_us)
            is_paused = wait_us != 0 or listener.held > 0
            self._is_pausing = self._is_pausing or is_paused
            is_refusing = listener.frontend.is_disabled
            if is_paused != listener.is_paused or is_refusing != listener.is_refusing:
                listener.is_paused, listener.is_refusing = is_paused, is_refusing
                name = listener.name
                self._table.out.append(
                    PauseListening(name, is_refusing) if is_paused else ResumeListening(name)
                )
        if wake_at != self._timer_at:
            self._timer_at = wake_at
            out = self._table.out
            out.append(CancelTimer(TIMER) if wake_at is None else SetTimer(TIMER, wake_at))

    def timer_fired(self) -> None:
        """A rate has room again, or nearly: `review` will tell."""
        self._timer_at = None
        self.is_due = True

    def _wait_us(self, listener: Listener, now: int) -> int | None:
        """How long it must let nobody in: 0 it may, None until a session ends."""
        frontend = listener.frontend
        if frontend.is_disabled:
            return None
        if listener.bind.maxconn and listener.sessions >= listener.bind.maxconn:
            return None
        if len(frontend.sessions) >= frontend.maxconn:
            return None
        if self.maxconn is not None and self._table.admitted >= self.maxconn:
            return None
        if not (self.sessions_per_s or self.connections_per_s or frontend.sessions_per_s):
            return 0
        waits_us = (
            _until_room_us(self.session_rate, self.sessions_per_s, now),
            _until_room_us(self.connection_rate, self.connections_per_s, now),
            _until_room_us(frontend.rate, frontend.sessions_per_s, now),
        )
        return max(waits_us)

    def _let_in(self, session: Session, now: int) -> None:
        listener = session.listener
        frontend = listener.frontend
        listener.sessions += 1
        listener.sessions_total += 1
        if listener.sessions > listener.sessions_max:
            listener.sessions_max = listener.sessions
        self._table.admitted += 1
        frontend.sessions[session.number] = session
        if len(frontend.sessions) > frontend.sessions_max:
            frontend.sessions_max = len(frontend.sessions)
        frontend.connections_total += 1
        self.connection_rate.count(now)
        session.accepted_at = now
        session.client_side.active_at = session.client_side.sent_at = now
        if session.reading_paused:
            session.reading_paused = False
            self._table.out.append(ResumeReading(session.client_side.link))
        if listener.bind.accept_proxy:
            session.phase = Phase.GREETING
        else:
            self._begin(session, now)

    def _begin(self, session: Session, now: int) -> None:
        """It is known whom the session is for."""
        frontend, backend = session.frontend, session.backend
        frontend.sessions_total += 1
        self.is_due = True  # a rate may be at its limit now
        frontend.rate.count(now)
        self.session_rate.count(now)
        session.phase = Phase.QUEUED  # unless there is a server for it
        if backend is not None:
            session.backend_counted = True
            backend.counters.entered(now)
        self._ending.tell_connected(session)

    # --- PROXY headers --------------------------------------------------------------------------

    def greeted(self, session: Session, data: bytes, now: int) -> bool:
        """Bytes of a client whose header is awaited; True once it is complete. What stands behind
        it is the session's.
        """
        session.early.append(data)
        whole = b"".join(session.early)
        try:
            header = read_header(whole)
        except HeaderMistake as mistake:
            self._refuse(session, str(mistake), now)
            return False
        if header is None:
            return False
        self._take(session, header, whole[header.size_bytes :])
        session.client_side.active_at = session.client_side.sent_at = now
        self._begin(session, now)
        return True

    @staticmethod
    def _take(session: Session, header: ProxyHeader, rest: bytes) -> None:
        session.client = header.source or session.client
        session.local = header.destination or session.local
        session.early = [rest] if rest else []
        session.early_size = session.bytes_in = len(rest)

    def greeting_ended(self, session: Session, reason: str, now: int) -> None:
        """The client left before it said whom it is for. `reason`: the link broke."""
        if session.early:
            self._refuse(session, TRUNCATED, now)
        else:
            self._refuse(session, ABORTED if reason else EMPTY, now, null=True)

    def greeting_expired(self, session: Session, now: int) -> None:
        """It took too long."""
        self._refuse(session, TRUNCATED if session.early else TIMED_OUT, now)

    def _refuse(self, session: Session, text: str, now: int, *, null: bool = False) -> None:
        session.early.clear()
        self._ending.tell_refused(session, text, now, null=null)
        session.is_logged = True
        self._ending.end(session, "P", "R", now)

    # --- going ----------------------------------------------------------------------------------

    def left(self, session: Session) -> None:
        """A session that was let in has ended."""
        session.listener.sessions -= 1
        if self._held or self._is_pausing:  # else nobody waits for its place
            self.is_due = True

    def held_left(self, session: Session) -> None:
        """A client that was held has gone: nobody ever counted it."""
        self._hold_no_more(session)
        self.is_due = True
        session.phase = Phase.ENDED
        self._table.remove(session)

    def _hold_no_more(self, session: Session) -> None:
        del self._held[session.number]
        session.listener.held -= 1
        if not session.listener.held:
            del self._held_at[session.listener]


def _refuses(listener: Listener) -> bool:
    """Whether clients are refused; those of a Unix socket wait, for it cannot do otherwise."""
    return listener.frontend.is_disabled and not listener.is_unix


def _until_room_us(rate: Rate, limit: int | None, now: int) -> int:
    """How long until one more event keeps a rate within its limit (freq_ctr.h, `next_event_delay`);
    0 if it does now, or there is no limit.
    """
    if not limit or rate.per_second(now) < limit:
        return 0
    left_us = MICROSECONDS_PER_SECOND - now % MICROSECONDS_PER_SECOND
    current, previous = rate.counted(now)
    if current < limit:
        # The last second's share shrinks: it must be less than what this second leaves.
        return left_us - ((limit - current) * MICROSECONDS_PER_SECOND - 1) // previous
    wanted_us = (limit * MICROSECONDS_PER_SECOND - 1) // current
    return left_us + max(MICROSECONDS_PER_SECOND - wanted_us, 0)
