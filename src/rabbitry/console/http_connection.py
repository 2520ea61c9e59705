"""One client of an HTTP server: uvicorn's conversation, with limits in time and in numbers.

Owns the time a client may take: for a whole request, body included, from its connection or the
answer before on; and for reading an answer, as long as some of it is taken from time to time. Owns
the counting of connections, requests and bytes. The conversation itself is uvicorn's and h11's.

Invariants: a connection ends, whatever its client does or does not do; the server hears of its
end once.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from time import monotonic_ns
from typing import Any, Protocol

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from rabbitry.balancer.page_requests import ABORTED, BAD, LATE, LEFT
from rabbitry.balancer.proxy_protocol import HeaderMistake, read_header
from rabbitry.balancer.statistics.http_use import HttpUse
from rabbitry.console.told_requests import ToldRequests

_LATE = b"""HTTP/1.1 408 Request Time-out\r
content-length: 42\r
cache-control: no-cache\r
connection: close\r
content-type: text/plain\r
\r
Your request did not arrive in time here.
"""


@dataclass(frozen=True, slots=True)
class HttpTimes:
    """How long a client may take for a request, and be idle while it is answered."""

    request_s: float = 10.0
    idle_s: float = 10.0


class Server(Protocol):
    """Who has the connections."""

    def begun(self, connection: HttpConnection) -> None:
        """A client is there."""
        ...

    def ended(self, connection: HttpConnection) -> None:
        """One that has begun has ended."""
        ...


class HttpConnection(H11Protocol):
    """A connection of `server`. `use` counts it, `told` tells of its requests. `accept_proxy`: it
    begins with a PROXY header."""

    def __init__(
        self,
        config: uvicorn.Config,
        state: ServerState,
        times: HttpTimes,
        use: HttpUse,
        server: Server,
        told: ToldRequests,
        accept_proxy: bool = False,
    ) -> None:
        super().__init__(config, state, {})
        self._times = times
        self._use = use
        self._server = server
        self._head = b"" if accept_proxy else None
        self._told = told
        self._timer: asyncio.TimerHandle | None = None
        self._is_asked = False
        self._is_finished = False
        self._is_told = False  # of how it ends
        self._waiting_bytes = 0

    # --- what the transport tells ---------------------------------------------------------------

    def connection_made(self, transport: Any) -> None:
        """The client is there."""
        super().connection_made(transport)
        self._server.begun(self)
        self._use.opened(now_us())
        self._expect_request()

    def data_received(self, data: bytes) -> None:
        """Take bytes; whatever they are, the time for the whole request runs on."""
        self._use.bytes_in += len(data)
        self._told.came()
        if self._head is not None:
            data = self._without_header(data)
            if not data:
                return
        super().data_received(data)
        self._look()

    def _without_header(self, data: bytes) -> bytes:
        """What of these bytes is behind the PROXY header, which says who the client is."""
        assert self._head is not None
        self._head += data
        try:
            header = read_header(self._head)
        except HeaderMistake:
            self.transport.abort()
            return b""
        if header is None:
            return b""
        rest = self._head[header.size_bytes :]
        self._head = None
        if header.source is not None:
            self.client = (header.source.host, header.source.port)
        return rest

    def eof_received(self) -> bool | None:  # type: ignore[override]
        """The client sends no more: it still gets its answer."""
        self._is_finished = True
        return self._is_asked and self.scheme != "https"

    def connection_lost(self, exc: Exception | None) -> None:
        """It has ended."""
        super().connection_lost(exc)
        self._unset_keepalive_if_required()
        self._stop_timer()
        self._tell_of_what_it_broke_off()
        self._use.closed()
        self._server.ended(self)

    def _tell_of_what_it_broke_off(self) -> None:
        """The client has gone: what has become of the request that was under way, or never came."""
        sessions = self._use.open_now
        if self._is_asked:
            self._told.answered(self, sessions, ABORTED)
        elif not self._is_told and (self._told.has_begun or self._told.is_first):
            now = now_us()
            self._use.requested(now, is_bad=True)
            self._use.answered(400, now)
            self._told.unanswered(self, 400, LEFT, sessions)

    # --- what the conversation comes to ---------------------------------------------------------

    def send_400_response(self, msg: str) -> None:
        """Something has come that is no request."""
        now = now_us()
        self._use.requested(now, is_bad=True)
        self._use.answered(400, now)
        self._is_told = True
        self._told.unanswered(self, 400, BAD, self._use.open_now)
        super().send_400_response(msg)

    def on_response_complete(self) -> None:
        """The answer is handed over; the client has to take it, and may ask again."""
        self._told.answered(self, self._use.open_now)
        self._is_asked = False
        if self._is_finished:
            self._is_told = True
            self.transport.close()
        else:
            super().on_response_complete()
        self._expect_request()
        self._look()

    def end(self) -> None:
        """End it: at once, or when what is being answered is answered."""
        self._is_finished = True
        if not self._is_asked:
            self._is_told = True
            self.transport.close()

    # --- time -----------------------------------------------------------------------------------

    def _look(self) -> None:
        """Has the whole request come?"""
        whole = self.conn.their_state in (h11.DONE, h11.MUST_CLOSE, h11.CLOSED)
        if whole and self.conn.our_state is h11.SEND_RESPONSE and not self._is_asked:
            self._is_asked = True
            self._told.whole()
            self._waiting_bytes = 0
            self._stop_timer()
            self._look_at_reader()

    def _expect_request(self) -> None:
        self._stop_timer()
        self._waiting_bytes = self._unread_bytes()
        self._timer = self.loop.call_later(self._times.request_s, self._late)

    def _late(self) -> None:
        """The time for a request is over, or for taking some of the answer before."""
        self._timer = None
        if self._unread_bytes():
            self._look_at_reader()
            return
        wanted = self._told.has_begun or self._told.is_first
        if wanted and not self._is_told and not self.transport.is_closing():
            now = now_us()
            self._use.requested(now, is_bad=True)
            self._use.answered(408, now)
            self._is_told = True
            self._told.unanswered(self, 408, LATE, self._use.open_now)
            self.transport.write(_LATE)
        self._is_told = True
        self.transport.close()

    def _look_at_reader(self) -> None:
        """Go on only with a client that has taken something of its answer since last time."""
        self._timer = None
        waiting_bytes = self._unread_bytes()
        if waiting_bytes and waiting_bytes >= self._waiting_bytes > 0:
            self.transport.abort()
            return
        self._waiting_bytes = waiting_bytes
        again = self._look_at_reader if self._is_asked else self._late
        self._timer = self.loop.call_later(self._times.idle_s, again)

    def _unread_bytes(self) -> int:
        """What the client has not taken yet."""
        try:
            return self.transport.get_write_buffer_size()
        except AttributeError:  # asyncio: one with TLS that is closed already
            return 0

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def now_us() -> int:
    """Now, on the clock that machines are told."""
    return monotonic_ns() // 1000
