"""All that happens to sessions: each event goes to the room whose phase it is.

Owns the order of things: `admission` lets a client in, `connecting` finds it a server (through
`queueing`, where there is no place), `relaying` has it until both sides have ended, `ending` counts
it and tells of it; places that got free on the way are given away before a step is over. Does not
own the bytes: the driver moves those of joined links.

A session goes HELD -> (GREETING) -> QUEUED / CONNECTING / WAITING, in whatever order -> RELAYING ->
(FLUSHING) -> ENDED; it may end from any of them.

What others ask: `shut_down_sessions`, `requeue_sessions`, `take_queued_sessions` are asked by
`transitions`; `sessions`, `sessions_of`, `session_numbered`, `shut_down_session`, `limits_changed`
by commands.

Invariants: every session ends with both links closed, one log line at most, and its places under
all limits given to who waits for them; a session has at most one timer, of the earliest time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from rabbitry.balancer.admission import TIMER, Admission
from rabbitry.balancer.backends import Backend
from rabbitry.balancer.configuration.model import Global
from rabbitry.balancer.connecting import Connecting, Observe
from rabbitry.balancer.ending import Ending
from rabbitry.balancer.queueing import Queueing
from rabbitry.balancer.relaying import Relaying
from rabbitry.balancer.servers import Server
from rabbitry.balancer.session import Listener, Phase, Session
from rabbitry.balancer.session_table import SessionTable
from rabbitry.machine import Address, Effect, Measure

_WITHOUT_SERVER = (Phase.QUEUED, Phase.CONNECTING, Phase.WAITING)
_ENDED = Phase.ENDED
_WITH_SERVER = (Phase.RELAYING, Phase.FLUSHING)


class Relay:
    """All sessions of a balancer. Effects are appended to `out`; `observe` hears of connects."""

    def __init__(
        self,
        process: Global,
        listeners: Mapping[str, Listener],
        next_link: Callable[[], int],
        out: list[Effect],
    ) -> None:
        self.table = SessionTable(next_link, out)
        self.queueing = Queueing()
        self._ending = Ending(self.table)
        self.admission = Admission(process, listeners, self.table, self._ending)
        self.observe: Observe = _ignore
        self._connecting = Connecting(self.table, self.queueing, self._ending, self._observed)
        self._relaying = Relaying(self.table, self._ending)

    # --- events ---------------------------------------------------------------------------------

    def client_opened(
        self, listener: Listener, link: int, client: Address, local: Address | None, now: int
    ) -> None:
        """A client has come."""
        session = self.admission.arrived(listener, link, client, local, now)
        if session is not None and session.phase is not Phase.GREETING:
            self._connecting.request(session, now)
        self._settle(now, session)

    def server_opened(self, link: int, now: int) -> None:
        """A server is connected."""
        session = self.table.by_link.get(link)
        if session is not None and session.phase is Phase.CONNECTING:
            self._relaying.established(session, now)
            self._settle(now, session)
            if session.backend is not None and session.server is not None:
                self._observed(session.backend, session.server, True, now)

    def _observed(self, backend: Backend, server: Server, connected: bool, now: int) -> None:
        self.observe(backend, server, connected, now)

    def bytes_received(self, link: int, data: bytes, now: int) -> None:
        """A client's bytes before its session relays; those of a server cannot come before."""
        session = self.table.by_link.get(link)
        if session is None or link != session.client_side.link:
            return
        if session.phase is Phase.GREETING:
            if self.admission.greeted(session, data, now):
                self._connecting.request(session, now)
            self._settle(now, session)
        elif session.phase in _WITHOUT_SERVER:
            self._connecting.early_bytes(session, data, now)
        elif session.phase is Phase.HELD:
            session.early.append(data)  # read before reading was paused
            session.early_size += len(data)
            session.bytes_in += len(data)

    def last_bytes(self, link: int, data: bytes, now: int) -> None:
        """What a client said before it broke off, which is told next: no server is looked for."""
        session = self.table.by_link.get(link)
        if session is None or session.phase is not Phase.GREETING:
            self.bytes_received(link, data, now)
        elif self.admission.greeted(session, data, now):
            # Its header is whole. HAProxy has a stream now, that has asked for nothing (SC_ST_INI).
            self._ending.blame(session, "C", "R")
        self._settle(now, session)

    def link_finished(self, link: int, now: int) -> None:
        """One side will send no more."""
        session = self.table.by_link.get(link)
        if session is None:
            return
        if session.phase in _WITH_SERVER:
            self._relaying.finished(session, link, now)
        elif session.phase is Phase.GREETING:
            self.admission.greeting_ended(session, "", now)
        elif link == session.client_side.link:
            session.client_side.read_ended = True
            if session.phase in _WITHOUT_SERVER:
                self._connecting.client_finished(session, now)
        self._settle(now, session)

    def link_closed(self, link: int, reason: str, now: int, *, failed_here: bool = False) -> None:
        """A link is gone; `failed_here`: by a fault of ours."""
        session = self.table.by_link.get(link)
        if session is None:
            return
        if session.phase in _WITH_SERVER:
            self._relaying.closed(session, link, reason, now, failed_here=failed_here)
        elif link == session.server_side.link:
            del self.table.by_link[link]
            session.server_side.is_open = False
            self._connecting.failed(session, now, timed_out=False)
        else:
            self._client_closed(session, reason, now, failed_here=failed_here)
        self._settle(now, session)

    def _client_closed(self, session: Session, reason: str, now: int, *, failed_here: bool) -> None:
        """A client is gone before it had a server. HAProxy says CD of one that broke off."""
        session.client_side.is_open = False
        session.client_side.read_ended = session.client_side.write_ended = True
        if session.phase is Phase.HELD:
            self.admission.held_left(session)
        elif session.phase is Phase.GREETING:
            self.admission.greeting_ended(session, reason, now)
        else:
            if failed_here:
                self._ending.blame(session, "I", "-")
            elif reason:
                self._ending.blame(session, "C", "D")
            self._connecting.abandon(session, now)

    def measured(self, measures: Sequence[Measure], now: int) -> None:
        """The driver tells what has passed over joined links."""
        asked: dict[Session, None] | None = None
        for measure in measures:
            session = self.table.by_link.get(measure[0])
            if session is not None:
                self._relaying.measured(session, measure)
                if session.is_measured:
                    if asked is None:
                        asked = {}
                    asked[session] = None
        for session in asked or ():
            self._relaying.check_expiry(session, now)
            self._settle(now, session)

    def timer_fired(self, timer: str, now: int) -> None:
        """The time of a session has come, or of a rate."""
        session = self.table.by_timer.get(timer)
        if timer == TIMER:
            self.admission.timer_fired()
            self._settle(now)
        elif session is not None:
            session.timer_at = None
            self._expired(session, now)
            self._settle(now, session)

    def _expired(self, session: Session, now: int) -> None:
        if session.phase in _WITH_SERVER:
            self._relaying.expired(session)
        elif session.phase is Phase.GREETING:
            self.admission.greeting_expired(session, now)
        elif session.expires_at is not None and session.expires_at <= now:
            self._connecting.expired(session, now)
        elif (at := _silent_at(session)) is not None and at <= now:
            self._client_is_silent(session, now)

    def _client_is_silent(self, session: Session, now: int) -> None:
        """`timeout client` is over before there was a server: nothing more is wanted of it."""
        session.client_side.read_ended = True
        self._ending.blame(session, "c", "Q" if session.phase is Phase.QUEUED else "C")
        if session.phase is not Phase.CONNECTING:
            self._connecting.client_finished(session, now)

    # --- what others ask ------------------------------------------------------------------------

    @property
    def has_sessions(self) -> bool:
        """Whether there is any session, waiting ones included."""
        return bool(self.table.by_timer)

    def sessions_of(self, server: Server) -> list[Session]:
        """The sessions that have a place at this server."""
        return [
            each
            for each in self.table.by_timer.values()
            if each.has_place and each.server is server
        ]

    @property
    def sessions(self) -> list[Session]:
        """All sessions that were let in and live, the oldest first."""
        return [each for each in self.table.by_timer.values() if each.phase is not Phase.HELD]

    def session_numbered(self, number: int) -> Session | None:
        """The session of this number (`Session.number`), if it lives."""
        session = self.table.by_link.get(number)
        return session if session is not None and session.number == number else None

    def shut_down_session(self, session: Session, why: str, now: int) -> None:
        """End a session; `why` is the termination cause: K killed, D its server is down, U an
        active server is up again. One that has sent something but has no server yet ends when it
        has got one and that has what was sent, as HAProxy does it (`stream_shutdown`).
        Unlike there, one whose client has finished sending ends too.
        """
        self._shut_down(session, why, now)
        self._settle(now, session)

    def _shut_down(self, session: Session, why: str, now: int) -> None:
        if session.is_shut_down:
            return
        session.is_shut_down = True
        if session.phase is Phase.RELAYING:
            session.cause = why if session.cause == "-" else session.cause
            self._relaying.shut_down(session)
        elif session.phase in _WITHOUT_SERVER:
            session.cause = why if session.cause == "-" else session.cause
            self._connecting.client_finished(session, now)
        elif session.phase is Phase.GREETING:
            self.admission.greeting_ended(session, "", now)

    def shut_down_sessions(self, server: Server, why: str, now: int) -> int:
        """End all sessions that have a place at a server; return how many."""
        sessions = self.sessions_of(server)
        for session in sessions:
            self.shut_down_session(session, why, now)
        return len(sessions)

    def requeue_sessions(self, backend: Backend, server: Server, now: int) -> int:
        """Who waited for this server, which is going, looks for another; return how many."""
        sessions = self.queueing.let_go(server, backend)
        for session in sessions:
            self._connecting.dequeued(session, now)
            self._settle(now, session)
        return len(sessions)

    def take_queued_sessions(self, backend: Backend, server: Server, now: int) -> int:
        """A server that is up takes whom it can of those who wait for any; return how many."""
        sessions = self.queueing.grab(server, backend, now)
        for session in sessions:
            self._connecting.dequeued(session, now)
            self._settle(now, session)
        return len(sessions)

    def reloaded(self, process: Global, now: int) -> None:
        """Go on with other limits of the process; who waited for a place may have one now."""
        self.admission.limit(process)
        self._settle(now)

    def limits_changed(self, now: int, backend: Backend | None = None) -> None:
        """A `maxconn`, a rate or `Frontend.is_disabled` was changed: who waits may come in now.
        `backend`: the `maxconn` of its servers was.
        """
        if backend is not None:
            for server in backend.servers:
                self.table.freed[server] = backend
        self.admission.is_due = True
        self._settle(now)

    # --- together -------------------------------------------------------------------------------

    def _settle(self, now: int, changed: Session | None = None) -> None:
        """Give away what got free, until nothing is left to give; then set the timers."""
        ended = self._ending.ended
        if ended and not (self.table.freed or self.admission.is_due):
            for session in ended:
                self.admission.left(session)
            ended.clear()
        if ended or self.table.freed or self.admission.is_due:
            self._give_away(now)
        if changed is not None:
            self._set_timer(changed)

    def _give_away(self, now: int) -> None:
        touched: dict[Session, None] = {}
        while self._ending.ended or self.table.freed or self.admission.is_due:
            for session in self._ending.ended:
                self.admission.left(session)
            self._ending.ended.clear()
            for session in self._next_from_queues(now) if self.table.freed else ():
                self._connecting.dequeued(session, now)
                touched[session] = None
            for session in self.admission.review(now) if self.admission.is_due else ():
                if session.phase is not Phase.GREETING:
                    self._start(session, now)
                touched[session] = None
        for session in touched:
            self._set_timer(session)

    def _start(self, session: Session, now: int) -> None:
        """A session that was just let in looks for a server."""
        if session.client_side.read_ended and not session.early:
            self._connecting.client_finished(session, now)
        else:
            self._connecting.request(session, now)

    def _next_from_queues(self, now: int) -> list[Session]:
        sessions = []
        while self.table.freed:
            server, backend = next(iter(self.table.freed.items()))
            session = self.queueing.next_for(server, backend, now)
            if session is None:
                del self.table.freed[server]
            else:
                sessions.append(session)
        return sessions

    def _set_timer(self, session: Session) -> None:
        phase = session.phase
        if phase is _ENDED:
            return
        if phase in _WITH_SERVER:
            if not session.is_measured:
                self.table.set_timer(session, self._relaying.next_expiry(session))
            return
        at, silent_at = session.expires_at, _silent_at(session)
        if at is None or (silent_at is not None and silent_at < at):
            at = silent_at
        self.table.set_timer(session, at)


def _ignore(backend: Backend, server: Server, connected: bool, now: int) -> None:
    """Nobody observes."""


def _silent_at(session: Session) -> int | None:
    """When `timeout client` is over for a session that has no server yet."""
    side = session.client_side
    if side.read_ended or side.timeout_us is None or session.reading_paused:
        return None
    return side.active_at + side.timeout_us
