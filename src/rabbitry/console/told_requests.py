"""What is to be told of the requests of one HTTP connection: their times, and who answered what.

Owns the clock of a connection (`ToldRequests`) and what an application notes beside its answer
(`Answer`, found by the request's ASGI scope). What becomes of it is `balancer.page_requests`'s.

Invariants: of each request, and of each client that made none, is told once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rabbitry.balancer.page_requests import INTERCEPTED, NOSRV, NOT_FOUND, PageRequest
from rabbitry.machine import Address

Tell = Callable[[PageRequest], None]


@dataclass(slots=True)
class Answer:
    """What is answered to a request so far. `server` is who answers, as in a log line."""

    server: str = NOSRV
    status: int = 0
    bytes_out: int = 0

    @property
    def state(self) -> str:
        """The termination state of a request that is answered so."""
        return NOT_FOUND if self.server == NOSRV else INTERCEPTED


def answer_of(scope: Any) -> Answer:
    """The answer to the request of this ASGI scope."""
    answer: Answer = scope.setdefault("rabbitry.answer", Answer())
    return answer


class ToldRequests:
    """The requests of one connection at the listener of this number; `tell` hears of each."""

    def __init__(self, tell: Tell, listener: int, *, is_tls: bool) -> None:
        self._tell = tell
        self._listener = listener
        self._is_tls = is_tls
        self._time = asyncio.get_running_loop().time
        self._since = self._time()
        self._first_byte_at: float | None = None
        self._whole_at: float | None = None
        self.is_first = True

    @property
    def has_begun(self) -> bool:
        """Whether something of a request has come."""
        return self._first_byte_at is not None

    def came(self) -> None:
        """Bytes have come."""
        if self._first_byte_at is None:
            self._first_byte_at = self._time()

    def whole(self) -> None:
        """The request has come, all of it."""
        self.came()  # it may have come together with the one before
        if self._whole_at is None:
            self._whole_at = self._time()

    def answered(self, connection: Any, sessions: int, state: str = "") -> None:
        """The request of this connection's scope has ended."""
        scope = connection.scope
        answer = answer_of(scope)
        query = scope["query_string"]
        target = scope["raw_path"] + (b"?" + query if query else b"")
        line = b"%b %b HTTP/%b" % (
            scope["method"].encode(),
            target,
            scope["http_version"].encode(),
        )
        answer.status = answer.status or 500
        self._end(connection, answer, state or answer.state, line, sessions)

    def unanswered(self, connection: Any, status: int, state: str, sessions: int) -> None:
        """What came is no request, or not all of one."""
        self._end(connection, Answer(status=status), state, b"", sessions)

    def _end(self, connection: Any, answer: Answer, state: str, line: bytes, sessions: int) -> None:
        now = self._time()
        first_byte_at = now if self._first_byte_at is None else self._first_byte_at
        receive_ms = None
        if line:
            receive_ms = _ms((now if self._whole_at is None else self._whole_at) - first_byte_at)
        self._tell(
            PageRequest(
                client=_text(connection.client),
                local=_text(connection.server) or "",
                listener=self._listener,
                is_tls=self._is_tls,
                server=answer.server,
                status=answer.status,
                bytes_out=answer.bytes_out,
                state=state,
                line=line,
                has_bytes=self.has_begun,
                receive_ms=receive_ms,
                total_ms=_ms(now - (first_byte_at if line else self._since)),
                since_ms=_ms(now - self._since),
                front_sessions=sessions,
            )
        )
        self._since = now
        self._first_byte_at = self._whole_at = None
        self.is_first = False


def _ms(time_s: float) -> int:
    return int(time_s * 1000)


def _text(place: tuple[str, int] | None) -> str | None:
    """An address in HAProxy's log lines: IPv6 without brackets; None for a Unix socket."""
    if place is None or not place[1]:
        return None
    return str(Address(*place)).replace("[", "").replace("]", "")
