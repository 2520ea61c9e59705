"""Tests of the HTTP server on real sockets."""

from __future__ import annotations

import asyncio
import errno
import signal
import socket
import ssl
from pathlib import Path
from typing import Any

import pytest
import trustme

from rabbitry.balancer.configuration.model import BindLine, BindTls
from rabbitry.console.http_connection import HttpTimes
from rabbitry.console.http_server import serve
from rabbitry.machine import Address
from rabbitry.runtime.listeners import ListenFailed

ANYWHERE = BindLine(Address("127.0.0.1", 0))
PATIENCE_S = 10


async def application(scope: Any, receive: Any, send: Any) -> None:
    headers = [(b"content-length", b"2")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"ok"})


async def get(address: Address, tls: ssl.SSLContext | None = None) -> bytes:
    if address.host.startswith("/"):
        reader, writer = await asyncio.open_unix_connection(address.host)
    else:
        reader, writer = await asyncio.open_connection(
            address.host, address.port, ssl=tls, server_hostname="localhost" if tls else None
        )
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
        again = await serve(application, "page", BindLine(server.address))
        assert again.address == server.address
        await again.close()

    asyncio.run(main())


def test_a_port_in_use_says_so() -> None:
    async def main() -> None:
        server = await serve(application, "page", ANYWHERE)
        with pytest.raises(ListenFailed, match=r"\(page\): Address already in use"):
            await serve(application, "page", BindLine(server.address))
        await server.close()

    asyncio.run(main())


def test_signals_stay_the_processs() -> None:
    async def main() -> None:
        before = signal.getsignal(signal.SIGTERM)
        server = await serve(application, "page", ANYWHERE)
        assert signal.getsignal(signal.SIGTERM) is before
        await server.close()

    asyncio.run(main())


def test_a_unix_socket(tmp_path: Path) -> None:
    async def main() -> None:
        path = tmp_path / "page"
        server = await serve(application, "page", BindLine(Address(str(path), 0), mode=0o600))
        assert path.stat().st_mode & 0o777 == 0o600
        assert (await get(server.address)).endswith(b"ok")
        await server.close()
        assert not path.exists()

    asyncio.run(main())


def test_tls(tmp_path: Path) -> None:
    authority = trustme.CA()
    pem = tmp_path / "page.pem"
    authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(str(pem))
    client = ssl.create_default_context()
    authority.configure_trust(client)

    async def main() -> None:
        line = BindLine(Address("127.0.0.1", 0), tls=BindTls((str(pem),)))
        server = await serve(application, "page", line)
        assert (await get(server.address, client)).endswith(b"ok")
        # Who speaks no TLS costs nobody else anything.
        reader, writer = await asyncio.open_connection(server.address.host, server.address.port)
        writer.write(b"GET / HTTP/1.0\r\n\r\n")
        assert not (await reader.read()).startswith(b"HTTP")
        writer.close()
        assert (await get(server.address, client)).endswith(b"ok")
        await server.close()
        missing = BindLine(line.address, tls=BindTls((str(tmp_path / "none.pem"),)))
        with pytest.raises(ListenFailed, match=r"none\.pem"):
            await serve(application, "page", missing)

    asyncio.run(main())


def test_silent_clients_take_no_more_than_their_places() -> None:
    async def main() -> None:
        times = HttpTimes(request_s=0.3, idle_s=0.3)
        server = await serve(application, "page", ANYWHERE, times=times, connections_max=3)
        address = server.address
        silent = [await asyncio.open_connection(address.host, address.port) for _ in range(9)]
        asked = asyncio.create_task(get(address))
        async with asyncio.timeout(PATIENCE_S):
            while not asked.done():
                assert server.clients <= 3
                await asyncio.wait([asked], timeout=0.01)
        assert asked.result().endswith(b"ok")
        for _, writer in silent:
            writer.close()
        await server.close()

    asyncio.run(main())


def test_a_server_refuses_for_a_while() -> None:
    async def main() -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            line = BindLine(Address("127.0.0.1", free.getsockname()[1]))
        server = await serve(application, "page", line)
        server.refuse(True)
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(server.address.host, server.address.port)
        server.refuse(False)
        _, writer = await asyncio.open_connection(server.address.host, server.address.port)
        writer.close()
        await server.close()

    asyncio.run(main())


def test_a_server_that_stops_listening_refuses_at_once_and_keeps_who_is_there() -> None:
    async def main() -> None:
        server = await serve(application, "page", ANYWHERE)
        reader, writer = await asyncio.open_connection(*_place(server.address))
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        await reader.readuntil(b"ok")
        with socket.socket() as late:
            server.stop_listening()  # no turn of the loop between this and the connect
            assert late.connect_ex(_place(server.address)) == errno.ECONNREFUSED
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert (await reader.read()).endswith(b"ok")
        writer.close()
        await server.close()

    asyncio.run(main())


def test_its_end_waits_for_what_is_under_way() -> None:
    async def main() -> None:
        go_on = asyncio.Event()

        async def slow(scope: Any, receive: Any, send: Any) -> None:
            asked.set()
            await go_on.wait()
            await application(scope, receive, send)

        asked = asyncio.Event()
        server = await serve(slow, "page", ANYWHERE)
        idle, idle_writer = await asyncio.open_connection(*_place(server.address))
        request = asyncio.create_task(get(server.address))
        await asked.wait()
        closing = asyncio.create_task(server.close())
        assert await idle.read() == b""
        go_on.set()
        assert (await request).endswith(b"ok")
        await closing
        idle_writer.close()

    asyncio.run(main())


def _place(address: Address) -> tuple[str, int]:
    return address.host, address.port
