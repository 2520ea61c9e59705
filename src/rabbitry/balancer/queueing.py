"""Where sessions wait for a place: the queue of a backend, and one for each of its servers.

Owns who waits where, in which order they leave, and how many sessions a server may have now. Does
not own what they do then (`connecting`) or how long they wait (`relay` has the timers).

A translation of src/queue.c. A session waits for one server only if the algorithm leaves no choice
(`balance source`); else it waits in the backend's queue for whoever has a place first. Of the two
heads of queue the older one goes first. A server takes from the backend's queue only while it is
usable, and as a backup only while backups serve. `option redispatch` lets sessions leave the queue
of a server that is gone. A server without `maxconn` never takes from a queue, except when it
comes up.

Invariants: `served` of a server never passes `maxconn_now` because of this room; `queued` of
servers and backends is the length of their queues.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from rabbitry.balancer.backends import Backend
from rabbitry.balancer.servers import Operating, Server
from rabbitry.balancer.session import Session

_STARTING = Operating.STARTING
"""Looking up a member of an enumeration takes longer than all else that is asked of a server."""


@dataclass(slots=True)
class _Queue:
    """Sessions in the order in which they came, by number. `taken` counts those that were given a
    place: what the log tells as position is how many were, since one came, and itself.
    """

    sessions: dict[int, Session] = field(default_factory=dict)
    taken: int = 0

    @property
    def head(self) -> Session | None:
        return next(iter(self.sessions.values()), None)


class Queueing:
    """The queues of all backends."""

    def __init__(self) -> None:
        self._queues: dict[Server | Backend, _Queue] = {}

    @property
    def is_empty(self) -> bool:
        """Whether nobody waits anywhere."""
        return not any(queue.sessions for queue in self._queues.values())

    def _queue(self, whose: Server | Backend) -> _Queue:
        queue = self._queues.get(whose)
        if queue is None:
            queue = self._queues[whose] = _Queue()
        return queue

    # --- places ---------------------------------------------------------------------------------

    @staticmethod
    def reckon_places(backend: Backend, now: int) -> None:
        """Reckon how many sessions each server may have now; the algorithm looks at that."""
        for server in backend.servers:
            if server.operating is _STARTING or server.line.minconn is not None:
                server.reckon_places(backend.counters.sessions, backend.fullconn, now)

    @staticmethod
    def take_place(session: Session, backend: Backend, server: Server) -> None:
        """Reserve a place at a server that has one."""
        session.has_place = True
        server.served += 1
        backend.server_moved(server)

    @staticmethod
    def is_full(server: Server) -> bool:
        """Whether one more session has to wait for this server."""
        return bool(server.maxconn) and (server.queued > 0 or server.served >= server.maxconn_now)

    # --- coming and going -----------------------------------------------------------------------

    def join(self, session: Session, whose: Server | Backend, now: int) -> None:
        """Let a session wait for this server, or for any server of this backend."""
        queue = self._queue(whose)
        queue.sessions[session.number] = session
        session.queued_at = now
        session.queued_behind = queue.taken
        whose.queued += 1
        whose.queued_max = max(whose.queued_max, whose.queued)
        if isinstance(whose, Server) and session.backend is not None:
            session.backend.server_moved(whose)

    def leave(self, session: Session) -> bool:
        """Let a session wait no more, without a place; False if it waited for none."""
        whose = session.server if session.is_assigned else session.backend
        queue = None if whose is None else self._queues.get(whose)
        if whose is None or queue is None or session.number not in queue.sessions:
            return False
        self._leave(session, whose)
        return True

    def _leave(self, session: Session, whose: Server | Backend) -> None:
        queue = self._queue(whose)
        del queue.sessions[session.number]
        if not queue.sessions:
            del self._queues[whose]
        whose.queued -= 1
        position = queue.taken - session.queued_behind + 1
        if isinstance(whose, Backend):
            session.backend_queue_position += position
            return
        session.server_queue_position += position
        if session.backend is not None:
            session.backend.server_moved(whose)

    def next_for(self, server: Server, backend: Backend, now: int) -> Session | None:
        """Give the place that a server has free to who has waited longest for it; None: nobody
        has, or there is no place (`process_srv_queue`). Its `server` is this one from now on.
        """
        if not server.maxconn:
            return None
        server.reckon_places(backend.counters.sessions, backend.fullconn, now)
        if server.served >= server.maxconn_now:
            return None
        own = self._queue(server).head if server.queued else None
        shared = None
        if backend.queued and self._may_take_shared(server, backend):
            shared = self._queue(backend).head
        session = own or shared
        if own is not None and shared is not None:
            session = own if own.queued_at // 1000 <= shared.queued_at // 1000 else shared
        if session is None:
            return None
        self._take(session, server if session is own else backend)
        session.server = server
        session.is_assigned = True
        self.take_place(session, backend, server)
        return session

    def _take(self, session: Session, whose: Server | Backend) -> None:
        queue = self._queue(whose)
        self._leave(session, whose)
        queue.taken += 1

    @staticmethod
    def _may_take_shared(server: Server, backend: Backend) -> bool:
        """Whether it may serve those that wait for anybody."""
        judged = server.tracked or server
        if not judged.is_usable:
            return False
        return not server.is_backup or server in backend.in_turn

    # --- what a change of a server asks ---------------------------------------------------------

    def let_go(self, server: Server, backend: Backend) -> list[Session]:
        """Who waited for this server and may go elsewhere leaves its queue: all, with `option
        redispatch` or if the server is no more; else nobody (`pendconn_redistribute`).
        """
        may_go = backend.section.redispatch is not None or server not in backend.servers
        if not may_go or not server.queued:
            return []
        sessions = list(self._queue(server).sessions.values())
        for session in sessions:
            self._leave(session, server)
            session.is_assigned = False
        return sessions

    def grab(self, server: Server, backend: Backend, now: int) -> list[Session]:
        """As many of those that wait for anybody as a server can take that has come up
        (`pendconn_grab_from_px`). They have their places.
        """
        sessions: list[Session] = []
        if not server.is_usable or (server.is_backup and server not in backend.in_turn):
            return sessions
        server.reckon_places(backend.counters.sessions, backend.fullconn, now)
        while backend.queued and (not server.maxconn or server.served < server.maxconn_now):
            session = self._queue(backend).head
            assert session is not None  # `queued` is its length
            self._leave(session, backend)
            session.server = server
            session.is_assigned = True
            self.take_place(session, backend, server)
            sessions.append(session)
        return sessions
