"""Tests of what a client of an HTTP server may take: time, and nothing more."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from rabbitry.balancer.configuration.model import BindLine
from rabbitry.balancer.page_requests import PageRequest
from rabbitry.balancer.statistics.columns import TYPE_FRONTEND
from rabbitry.balancer.statistics.http_use import HttpUse
from rabbitry.balancer.statistics.rows import StatisticsRow
from rabbitry.console.http_connection import HttpTimes, now_us
from rabbitry.console.http_server import HttpServer, serve
from rabbitry.machine import Address

ANYWHERE = BindLine(Address("127.0.0.1", 0))
QUICK = HttpTimes(request_s=0.2, idle_s=0.2)
PATIENCE_S = 10
BIG = b"x" * 20_000_000


async def application(scope: Any, receive: Any, send: Any) -> None:
    body = b""
    more = True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    answer = BIG if scope["path"] == "/big" else b"got " + body
    headers = [(b"content-length", str(len(answer)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": answer})


def with_server(
    script: Callable[[HttpServer], Coroutine[Any, Any, None]], times: HttpTimes = QUICK
) -> dict[str, int | str]:
    """Run the script; return what was counted."""
    use = HttpUse()

    async def main() -> None:
        server = await serve(application, "page", ANYWHERE, use=use, times=times)
        async with asyncio.timeout(PATIENCE_S):
            await script(server)
        await server.close()

    asyncio.run(main())
    row = StatisticsRow("page", "FRONTEND", TYPE_FRONTEND, "OPEN", "http")
    use.fill_front(row, now_us())
    return row.known()


async def read_all(server: HttpServer, *parts: bytes) -> bytes:
    """What comes of sending these parts, until the server closes."""
    reader, writer = await asyncio.open_connection(server.address.host, server.address.port)
    for part in parts:
        writer.write(part)
        await writer.drain()
    try:
        return await reader.read()
    finally:
        writer.close()


@pytest.mark.parametrize(
    ("sent", "answer"),
    [
        (b"", b"HTTP/1.1 408 "),
        (b"G", b"HTTP/1.1 408 "),
        (b"GET / HTTP/1.1\r\nHost: x\r\n", b"HTTP/1.1 408 "),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nhalf", b"HTTP/1.1 408 "),
    ],
)
def test_a_request_that_does_not_come_whole(sent: bytes, answer: bytes) -> None:
    async def script(server: HttpServer) -> None:
        got = await read_all(server, sent)
        assert got[: len(answer)] == answer

    counted = with_server(script)
    assert counted["hrsp_4xx"] == counted["ereq"] == 1
    assert counted["scur"] == 0


def test_who_has_an_answer_and_asks_no_more_is_let_go_without_a_word() -> None:
    async def script(server: HttpServer) -> None:
        got = await read_all(server, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert got.endswith(b"\r\n\r\ngot ")

    counted = with_server(script)
    assert (counted["hrsp_2xx"], counted["hrsp_4xx"], counted["ereq"]) == (1, 0, 0)


def test_of_each_request_is_told_once() -> None:
    """Times apart: what it was, who answered, with what, and how it ended."""
    told: list[PageRequest] = []
    all_told = asyncio.Event()

    def tell(request: PageRequest) -> None:
        told.append(request)
        if len(told) == 8:
            all_told.set()

    page = b"GET /a?b=c HTTP/1.1\r\nHost: x\r\n\r\n"

    async def main() -> None:
        server = await serve(application, "page", ANYWHERE, times=QUICK, tell=tell, number=3)
        for sent in (page, page + page, b"nonsense\r\n\r\n", b"GET /", b""):
            await read_all(server, sent)
        for sent in (b"", b"GET /"):
            _, writer = await asyncio.open_connection(server.address.host, server.address.port)
            writer.write(sent)
            await writer.drain()
            writer.close()
        async with asyncio.timeout(PATIENCE_S):
            await all_told.wait()
        await server.close()

    asyncio.run(main())
    seen = [(each.line, each.status, each.state, each.has_bytes) for each in told]
    got = (b"GET /a?b=c HTTP/1.1", 200, "SC", True)
    assert seen[:6] == [
        *(got, got, got),
        *((b"", 400, "PR", True), (b"", 408, "cR", True), (b"", 408, "cR", False)),
    ]
    assert sorted(seen[6:]) == [(b"", 400, "CR", False), (b"", 400, "CR", True)]
    first = told[0]
    assert (first.listener, first.front_sessions, first.is_tls) == (3, 1, False)
    assert first.client is not None
    assert first.client.startswith("127.0.0.1:")
    assert first.bytes_out > len(b"got ")
    assert told[3].receive_ms is None
    assert told[4].since_ms >= 100
    assert all(each.bytes_out == 0 for each in told[3:])


def test_bytes_now_and_then_win_no_time() -> None:
    async def script(server: HttpServer) -> None:
        reader, writer = await asyncio.open_connection(server.address.host, server.address.port)

        async def drip() -> None:
            while True:
                writer.write(b"x")
                await asyncio.sleep(0.02)

        dripping = asyncio.create_task(drip())
        assert (await reader.read()).startswith(b"HTTP/1.1 408 ")
        dripping.cancel()
        writer.close()

    with_server(script)


def test_a_reader_that_takes_nothing() -> None:
    async def script(server: HttpServer) -> None:
        reader, writer = await asyncio.open_connection(
            server.address.host, server.address.port, limit=1024
        )
        writer.write(b"GET /big HTTP/1.1\r\nHost: x\r\n\r\n")
        await reader.readexactly(10)
        await server.idle()
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await reader.readexactly(len(BIG))
        writer.close()

    assert with_server(script)["stot"] == 1


def test_a_slow_reader_gets_all() -> None:
    async def script(server: HttpServer) -> None:
        reader, writer = await asyncio.open_connection(server.address.host, server.address.port)
        writer.write(b"GET /big HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        got = 0
        while part := await reader.read(1_000_000):
            got += len(part)
            await asyncio.sleep(0.01)
        assert got > len(BIG)
        writer.close()

    with_server(script, HttpTimes(request_s=0.2, idle_s=0.5))


def test_requests_one_after_another_and_a_half_close() -> None:
    async def script(server: HttpServer) -> None:
        reader, writer = await asyncio.open_connection(server.address.host, server.address.port)
        for _ in range(3):
            writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi")
            assert (await reader.readuntil(b"got hi")).startswith(b"HTTP/1.1 200 OK\r\n")
        writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nho")
        writer.write_eof()
        assert (await reader.read()).endswith(b"got ho")
        writer.close()

    counted = with_server(script, HttpTimes())
    assert [counted[name] for name in ("stot", "req_tot", "hrsp_2xx")] == [
        1,
        4,
        4,
    ]
    assert counted["bin"] == 4 * len(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi")


def test_what_is_no_request() -> None:
    async def script(server: HttpServer) -> None:
        assert (await read_all(server, b"\x16\x03\x01\x00\r\n\r\n")).startswith(b"HTTP/1.1 400 ")
        head = b"GET / HTTP/1.1\r\nHost: " + b"x" * 100_000
        assert (await read_all(server, head)).startswith(b"HTTP/1.1 4")

    counted = with_server(script, HttpTimes())
    assert counted["ereq"] == counted["hrsp_4xx"] == 2


@pytest.mark.parametrize("cut", [0, 1, 6, 20])
def test_a_proxy_before_us_says_who_the_client_is(cut: int) -> None:
    async def say_who(scope: Any, receive: Any, send: Any) -> None:
        who = scope["client"][0].encode()
        headers = [(b"content-length", str(len(who)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": who})

    async def main() -> None:
        line = BindLine(Address("127.0.0.1", 0), accept_proxy=True)
        server = await serve(say_who, "page", line, times=HttpTimes())
        told = b"PROXY TCP4 10.1.2.3 10.0.0.1 5 6\r\nGET / HTTP/1.0\r\n\r\n"
        assert (await read_all(server, told[:cut], told[cut:])).endswith(b"\r\n\r\n10.1.2.3")
        reader, writer = await asyncio.open_connection(server.address.host, server.address.port)
        writer.write(b"GET / HTTP/1.0\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            assert await reader.read() == b""  # nothing is said to who does not say who he is
        writer.close()
        await server.close()

    asyncio.run(main())
