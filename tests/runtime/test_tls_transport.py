"""Tests of TLS whose directions end each on its own, between two of them over a socket pair."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import ssl
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any, cast

import pytest
from support.certificates import Certificates

from rabbitry.machine import LinkTls
from rabbitry.runtime.tls_transport import (
    HandshakeFailed,
    Sessions,
    TlsTransport,
    accept_tls,
    connect_tls,
)

Run = Callable[[Coroutine[Any, Any, Any]], Any]
HERE = LinkTls(sni="127.0.0.1")


class Heard(asyncio.Protocol):
    """A link that keeps what it hears, and leaves its own direction open."""

    def __init__(self) -> None:
        self.data = b""
        self.ended = asyncio.Event()
        self.lost = asyncio.Event()
        self.error: Exception | None = None
        self.grew = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(TlsTransport, transport)

    def data_received(self, data: bytes) -> None:
        self.data += data
        self.grew.set()

    def eof_received(self) -> bool:
        self.ended.set()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self.error = exc
        self.lost.set()

    async def until(self, size: int) -> None:
        while len(self.data) < size:
            self.grew.clear()
            await self.grew.wait()


def contexts(
    path: Path, newest: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3
) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    certificates = Certificates(path)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificates.cert, certificates.key)
    server.maximum_version = newest
    return server, certificates.client()


async def pair(server: ssl.SSLContext, client: ssl.SSLContext) -> tuple[Heard, Heard]:
    ours, theirs = socket.socketpair()
    for each in (ours, theirs):
        each.setblocking(False)
    one, other = Heard(), Heard()
    await asyncio.gather(
        accept_tls(ours, lambda: one, server, 5),
        connect_tls(theirs, lambda: other, client, HERE, 5),
    )
    return one, other


async def play(
    path: Path,
    story: Callable[[Heard, Heard], Awaitable[None]],
    newest: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3,
) -> None:
    one, other = await pair(*contexts(path, newest))
    try:
        await story(one, other)
    finally:
        one.transport.abort()
        other.transport.abort()
        await one.lost.wait()
        await other.lost.wait()


VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]


@pytest.mark.parametrize("newest", VERSIONS)
def test_an_answer_comes_after_the_goodbye_of_who_asked(
    run: Run, tmp_path: Path, newest: ssl.TLSVersion
) -> None:
    async def story(server: Heard, client: Heard) -> None:
        client.transport.write(b"question")
        client.transport.write_eof()
        client.transport.write(b"dropped: the end was said")
        await server.ended.wait()
        assert server.data == b"question"
        server.transport.write(b"answer" * 100_000)
        server.transport.write_eof()
        await client.until(600_000)
        await client.ended.wait()
        assert client.data == b"answer" * 100_000

    run(play(tmp_path, story, newest))


@pytest.mark.parametrize("newest", VERSIONS)
def test_goodbye_waits(run: Run, tmp_path: Path, newest: ssl.TLSVersion) -> None:
    """What has come and is not read yet must not be thrown away by our own goodbye."""

    async def story(server: Heard, client: Heard) -> None:
        server.transport.pause_reading()
        client.transport.write(b"x" * 300_000)
        await asyncio.sleep(0)  # some of it may come, and is not handed over
        server.transport.write(b"first")
        server.transport.write_eof()
        await client.until(5)
        assert server.data == b""
        server.transport.resume_reading()
        await server.until(300_000)
        await client.ended.wait()

    run(play(tmp_path, story, newest))


def test_an_end_below_without_a_goodbye_is_an_end(run: Run, tmp_path: Path) -> None:
    async def story(server: Heard, client: Heard) -> None:
        client.transport.write(b"last words")
        file = client.transport.get_extra_info("socket").fileno()
        with socket.socket(fileno=os.dup(file)) as below:
            below.shutdown(socket.SHUT_WR)
        await server.ended.wait()
        assert server.data == b"last words"
        server.transport.write(b"answer")
        await client.until(6)

    run(play(tmp_path, story))


def test_closing_sends_what_waits(run: Run, tmp_path: Path) -> None:
    async def story(server: Heard, client: Heard) -> None:
        server.transport.write(b"y" * 2_000_000)
        server.transport.close()
        assert server.transport.is_closing()
        await client.until(2_000_000)
        await client.ended.wait()

    run(play(tmp_path, story))


def test_a_pause_holds_what_comes(run: Run, tmp_path: Path) -> None:
    async def story(server: Heard, client: Heard) -> None:
        server.transport.pause_reading()
        assert not server.transport.is_reading()
        client.transport.write(b"z" * 100)
        client.transport.write_eof()
        server.transport.resume_reading()
        await server.until(100)
        await server.ended.wait()

    run(play(tmp_path, story))


def test_what_a_peer_shows_can_be_asked(run: Run, tmp_path: Path) -> None:
    async def story(server: Heard, client: Heard) -> None:
        assert server.transport.get_extra_info("peercert") is None
        assert client.transport.get_extra_info("peercert")["subject"]
        assert client.transport.get_write_buffer_size() == 0
        client.transport.set_write_buffer_limits(high=10, low=1)

    run(play(tmp_path, story))


def refused(run: Run, server_side: bool, path: Path, said: bytes, ends: bool) -> BaseException:
    """Let a peer say something in the handshake; return what comes of it."""
    server, client = contexts(path)

    async def main() -> BaseException:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        with contextlib.closing(theirs):
            theirs.sendall(said)
            if ends:
                theirs.shutdown(socket.SHUT_WR)
            try:
                if server_side:
                    await accept_tls(ours, Heard, server, 0.05)
                else:
                    await connect_tls(ours, Heard, client, HERE, 0.05)
            except OSError as error:
                return error.__cause__ or error
        raise AssertionError("the handshake was done")

    error: BaseException = run(main())
    return error


@pytest.mark.parametrize("server_side", [True, False])
def test_noise_is_refused(run: Run, tmp_path: Path, server_side: bool) -> None:
    assert isinstance(
        refused(run, server_side, tmp_path, b"GET / HTTP/1.1\r\n\r\n", False), ssl.SSLError
    )


def test_silence_and_an_early_end_are_told_apart(run: Run, tmp_path: Path) -> None:
    assert "took too long" in str(refused(run, True, tmp_path, b"", False))
    assert "closed in the TLS handshake" in str(refused(run, True, tmp_path, b"", True))


def test_an_unknown_authority_is_refused_on_both_sides(run: Run, tmp_path: Path) -> None:
    server, _ = contexts(tmp_path)
    (tmp_path / "other").mkdir()
    _, client = contexts(tmp_path / "other")

    async def main() -> None:
        ours, theirs = socket.socketpair()
        for each in (ours, theirs):
            each.setblocking(False)
        told = await asyncio.gather(
            accept_tls(ours, Heard, server, 5),
            connect_tls(theirs, Heard, client, HERE, 5),
            return_exceptions=True,
        )
        ours_failed, theirs_failed = told
        assert isinstance(ours_failed, ssl.SSLError)
        assert isinstance(theirs_failed, HandshakeFailed)
        assert str(theirs_failed).startswith(
            "certificate verify failed: unable to get local issuer"
        )

    run(main())


def test_a_server_with_another_name_is_refused(run: Run, tmp_path: Path) -> None:
    async def main() -> None:
        server, client = contexts(tmp_path)
        client.check_hostname = False
        for tls, good in (
            (LinkTls(verify_host="127.0.0.1"), True),
            (LinkTls(verify_host="other.test"), False),
            (LinkTls(verify_host="other.test", verify=False), True),
        ):
            ours, theirs = socket.socketpair()
            for sock in (ours, theirs):
                sock.setblocking(False)
            _, told = await asyncio.gather(
                accept_tls(ours, Heard, server, 5),
                connect_tls(theirs, Heard, client, tls, 5),
                return_exceptions=True,
            )
            assert (told is None) is good, told
            if not good:
                assert str(told) == "the server's certificate is not for other.test"

    run(main())


@pytest.mark.parametrize("newest", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_link_goes_on_with_the_session_of_the_one_before(
    run: Run, tmp_path: Path, newest: ssl.TLSVersion
) -> None:
    async def main() -> None:
        server, client = contexts(tmp_path, newest)
        sessions, resumed = Sessions(), []
        for place in ("a", "a", "b", "a"):
            ours, theirs = socket.socketpair()
            for sock in (ours, theirs):
                sock.setblocking(False)
            one, other = Heard(), Heard()
            await asyncio.gather(
                accept_tls(ours, lambda one=one: one, server, 5),  # type: ignore[misc]
                connect_tls(theirs, lambda other=other: other, client, HERE, 5, (sessions, place)),  # type: ignore[misc]
            )
            resumed.append(other.transport.get_extra_info("session_resumed"))
            assert one.transport.get_extra_info("session_resumed") is resumed[-1]
            one.transport.write(b"hello")
            one.transport.close()
            await other.ended.wait()
            other.transport.close()
            await other.lost.wait()
        assert resumed == [False, True, False, True]

    run(main())


def test_who_leaves_behind_its_first_word_has_failed(run: Run, tmp_path: Path) -> None:
    async def left(said: bytes) -> BaseException:
        server, _ = contexts(tmp_path)
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        with theirs:
            theirs.sendall(said)
            theirs.shutdown(socket.SHUT_WR)
            with pytest.raises(OSError) as raised:
                await accept_tls(ours, Heard, server, 5)
        return raised.value

    _, client = contexts(tmp_path)
    outgoing = ssl.MemoryBIO()
    with pytest.raises(ssl.SSLWantReadError):
        client.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="127.0.0.1").do_handshake()
    hello = outgoing.read()
    assert isinstance(run(left(hello)), ssl.SSLError)
    assert isinstance(run(left(hello[:20])), ConnectionResetError)
    assert isinstance(run(left(b"")), ConnectionResetError)


def test_a_server_that_leaves_the_handshake_is_told_of(run: Run, tmp_path: Path) -> None:
    async def main() -> None:
        _, client = contexts(tmp_path)
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        with theirs:
            theirs.shutdown(socket.SHUT_WR)
            with pytest.raises(HandshakeFailed, match="the peer has left its handshake"):
                await connect_tls(ours, Heard, client, HERE, 5)

    run(main())
