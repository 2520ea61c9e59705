"""Serves one ASGI application over HTTP inside a process that has other work as well.

Owns the sockets and the life of the server. Of uvicorn it uses the conversation with a client
(`http_connection`), not the server: sockets are accepted as all others of this process are, so
that a process out of descriptors says so and goes on; signals, logging and the exit code stay the
process's.

Invariants: once `serve` returns, requests are answered; after `close` the port is free; at no time
are there more than `connections_max` clients, others wait in the backlog.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any

import uvicorn
from uvicorn.server import ServerState

from rabbitry.balancer.configuration.model import BindLine
from rabbitry.balancer.statistics.http_use import HttpUse
from rabbitry.console.http_connection import HttpConnection, HttpTimes, now_us
from rabbitry.console.told_requests import Tell, ToldRequests, answer_of
from rabbitry.machine import Address
from rabbitry.runtime.binding import listen_options, tls_settings
from rabbitry.runtime.listeners import Listener, ListenFailed, bind
from rabbitry.runtime.tls import HANDSHAKE_S, Tls, TlsFailed

CLOSE_S = 1.0
"""How long a request under way may take to end when the server is closed."""

CONNECTIONS_MAX = 256
"""Clients of a page at once: people and scrapers are few, and the others' descriptors are not
theirs."""

HEAD_BYTES_MAX = 16_384
"""What the head of a request may have: HAProxy's buffer."""

Application = Callable[..., Awaitable[None]]

_log = logging.getLogger("rabbitry.console")


class HttpServer:
    """A server that serves at `address`, made by `serve`."""

    def __init__(
        self,
        application: Application,
        what: str,
        use: HttpUse,
        times: HttpTimes,
        connections_max: int,
        tls: Tls | None,
        tell: Tell,
    ) -> None:
        self.address = Address("", 0)
        self._what = what
        self._use = use
        self._times = times
        self._connections_max = connections_max
        self._tls = tls
        self._tell = tell
        self._loop = asyncio.get_running_loop()
        self._config = uvicorn.Config(
            _counting(application, use),
            http="h11",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
            proxy_headers=False,
            h11_max_incomplete_event_size=HEAD_BYTES_MAX,
            # The time that counts is `HttpTimes`': it has run since the answer before.
            timeout_keep_alive=int(times.request_s) + 1,
        )
        self._config.load()
        self._state = ServerState()
        self._connections: set[HttpConnection] = set()
        self._places = connections_max
        self._adoptions: set[asyncio.Task[None]] = set()
        self._listener: Listener | None = None
        self._path: Path | None = None
        self._accept_proxy = False
        self._number = 1
        self._none_left = asyncio.Event()

    async def listen(self, line: BindLine, number: int) -> None:
        """Begin to listen, as the listener of this number. Raises `ListenFailed`."""
        address = line.address
        self._number = number
        self._accept_proxy = line.accept_proxy
        options = listen_options(line, None)
        sock = await bind(self._loop, self._what, address.host, address.port, options)
        self.address = address
        if address.port or address.host[:1] not in ("/", "@"):
            self.address = Address(*sock.getsockname()[:2])
        elif address.host.startswith("/"):
            self._path = Path(address.host)
        self._listener = Listener(self._loop, sock, self._accepted, self._refused, options)

    def stop_listening(self) -> None:
        """Free the port at once; who is there stays."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        if self._path is not None:
            self._path.unlink(missing_ok=True)
            self._path = None

    async def close(self) -> None:
        """Free the port, then answer what is under way."""
        self.stop_listening()
        for task in list(self._adoptions):
            task.cancel()
        for connection in list(self._connections):
            connection.end()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_S):
                await self.idle()
        for connection in list(self._connections):
            connection.transport.abort()
        await asyncio.gather(*self._adoptions, *self._state.tasks, return_exceptions=True)

    def refuse(self, whether: bool) -> None:
        """Refuse who comes, or take them again; who is there stays."""
        if self._listener is not None:
            self._listener.refuse(whether)

    def renew_certificates(self) -> None:
        """Begin new connections with what the files of certificates hold now."""
        if self._tls is not None:
            self._tls.renew()

    @property
    def clients(self) -> int:
        """How many there are now."""
        return len(self._connections)

    async def idle(self) -> None:
        """Return when no client is left."""
        if self._connections:
            await self._none_left.wait()

    # --- clients --------------------------------------------------------------------------------

    def _accepted(self, sock: socket.socket) -> None:
        self._places -= 1
        if self._places <= 0 and self._listener is not None:
            self._listener.pause()
        task = self._loop.create_task(self._adopt(sock))
        self._adoptions.add(task)
        task.add_done_callback(self._adoptions.discard)

    async def _adopt(self, sock: socket.socket) -> None:
        try:
            context = self._tls.context() if self._tls is not None else None
            await self._loop.connect_accepted_socket(
                self._connection,
                sock,
                ssl=context,
                ssl_handshake_timeout=HANDSHAKE_S if context is not None else None,
            )
        except (OSError, ssl.SSLError):
            sock.close()
            self._place_left()
        except asyncio.CancelledError:
            sock.close()
            raise

    def _connection(self) -> HttpConnection:
        told = ToldRequests(self._tell, self._number, is_tls=self._tls is not None)
        return HttpConnection(
            self._config, self._state, self._times, self._use, self, told, self._accept_proxy
        )

    def begun(self, connection: HttpConnection) -> None:
        """A client is there."""
        self._connections.add(connection)
        self._none_left.clear()

    def ended(self, connection: HttpConnection) -> None:
        """A client has gone."""
        self._connections.discard(connection)
        if not self._connections:
            self._none_left.set()
        self._place_left()

    def _place_left(self) -> None:
        self._places += 1
        if self._places > 0 and self._listener is not None:
            self._listener.resume()

    def _refused(self, reason: str) -> None:
        _log.warning("cannot accept a client of %s: %s", self._what, reason)


async def serve(
    application: Application,
    what: str,
    line: BindLine,
    *,
    use: HttpUse | None = None,
    times: HttpTimes | None = None,
    connections_max: int = CONNECTIONS_MAX,
    number: int = 1,
    tell: Tell = lambda request: None,
) -> HttpServer:
    """Serve an ASGI `application` where `line` says (port 0: any free one); return when it answers.

    `what` names it in errors, `number` says which of its listeners this is; `tell` hears of each
    request. Raises `ListenFailed` of `rabbitry.runtime.listeners`.
    """
    tls = _tls_of(what, line)
    server = HttpServer(
        application, what, use or HttpUse(), times or HttpTimes(), connections_max, tls, tell
    )
    await server.listen(line, number)
    return server


def _tls_of(what: str, line: BindLine) -> Tls | None:
    def report(level: str, text: str, details: dict[str, object]) -> None:
        _log.log(logging.getLevelName(level.upper()), "%s of %s %s", text, what, details)

    if line.tls is not None and line.accept_proxy:
        raise ListenFailed(f"cannot listen for {what}: a page takes no accept-proxy with ssl")
    try:
        settings = tls_settings(line)
        return None if settings is None else Tls(settings, report)
    except TlsFailed as failure:
        raise ListenFailed(f"cannot listen for {what}: {failure}") from None


def _counting(application: Application, use: HttpUse) -> Application:
    """The application, its answers counted."""

    async def counted(scope: Any, receive: Any, send: Any) -> None:
        async def count(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                answer.status = message["status"]
                use.answered(answer.status, now_us())
                size = 19 + sum(
                    len(name) + len(value) + 4 for name, value in message.get("headers", ())
                )
            else:
                size = len(message.get("body", b"")) if scope["method"] != "HEAD" else 0
            use.bytes_out += size
            answer.bytes_out += size
            await send(message)

        answer = answer_of(scope)
        use.requested(now_us())
        await application(scope, receive, count)

    return counted
