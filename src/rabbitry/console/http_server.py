"""Serves one ASGI application over HTTP inside a process that has other work as well.

Owns the socket and the life of the server. uvicorn is made to keep out of what belongs to the
process: it installs no signal handlers, configures no logging, and never calls `sys.exit`.

Invariants: once `serve` returns, requests are answered; after `close` the port is free.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from typing import Any

import uvicorn

from rabbitry.machine import Address
from rabbitry.runtime.listeners import bind

CLOSE_S = 1
"""How long a request under way may take to end when the server is closed."""


class _Server(uvicorn.Server):
    """A uvicorn server that leaves signals alone and says when it serves."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.serving = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield  # SIGTERM and SIGINT are the process's

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.serving.set()


class HttpServer:
    """A server that serves at `address`, made by `serve`."""

    def __init__(self, address: Address, server: _Server, task: asyncio.Task[None]) -> None:
        self.address = address
        self._server = server
        self._task = task

    async def close(self) -> None:
        """Answer what is under way, then free the port."""
        self._server.should_exit = True
        await self._task


async def serve(application: Any, what: str, address: Address) -> HttpServer:
    """Serve an ASGI `application` at `address` (port 0: any free one); return when it answers.

    `what` names it in errors. Raises `ListenFailed` of `rabbitry.runtime.listeners`.
    """
    sock = await bind(asyncio.get_running_loop(), what, address.host, address.port)
    host, port = sock.getsockname()[:2]
    config = uvicorn.Config(
        application,
        http="h11",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=CLOSE_S,
    )
    server = _Server(config)
    task = asyncio.create_task(server.serve(sockets=[sock]))
    serving = asyncio.ensure_future(server.serving.wait())
    await asyncio.wait([task, serving], return_when=asyncio.FIRST_COMPLETED)
    if not serving.done():
        serving.cancel()
        await task  # it ended before it served: raises what was wrong
    return HttpServer(Address(host, port), server, task)
