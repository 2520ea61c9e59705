"""Tests of the HTTP server on real sockets."""

from __future__ import annotations

import asyncio
import signal
from typing import Any

import pytest

from rabbitry.console.http_server import serve
from rabbitry.machine import Address
from rabbitry.runtime.listeners import ListenFailed

ANYWHERE = Address("127.0.0.1", 0)


async def application(scope: Any, receive: Any, send: Any) -> None:
    headers = [(b"content-length", b"2")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"ok"})


async def get(address: Address) -> bytes:
    reader, writer = await asyncio.open_connection(address.host, address.port)
    writer.write(b"GET / HTTP/1.0\r\n\r\n")
    answer = await reader.read()
    writer.close()
    return answer


def test_serves_at_once_and_frees_its_port() -> None:
    async def main() -> None:
        server = await serve(application, "page", ANYWHERE)
        assert server.address.port != 0
        assert (await get(server.address)).endswith(b"\r\n\r\nok")
        await server.close()
        again = await serve(application, "page", server.address)
        assert again.address == server.address
        await again.close()

    asyncio.run(main())


def test_a_port_in_use_says_so() -> None:
    async def main() -> None:
        server = await serve(application, "page", ANYWHERE)
        with pytest.raises(ListenFailed, match=r"\(page\): Address already in use"):
            await serve(application, "page", server.address)
        await server.close()

    asyncio.run(main())


def test_signals_stay_the_processs() -> None:
    async def main() -> None:
        before = signal.getsignal(signal.SIGTERM)
        server = await serve(application, "page", ANYWHERE)
        assert signal.getsignal(signal.SIGTERM) is before
        await server.close()

    asyncio.run(main())
