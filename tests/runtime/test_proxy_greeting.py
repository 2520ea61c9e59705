"""Tests of reading a PROXY header off a socket, and nothing behind it."""

from __future__ import annotations

import asyncio
import socket

import pytest
from support.toy_machine import Run

from rabbitry.runtime.proxy_greeting import read_greeting

LINE = b"PROXY TCP4 192.0.2.7 192.0.2.8 4321 5672\r\n"
LOCAL = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0"


def greet(run: Run, *pieces: bytes) -> tuple[tuple[bytes, bool], bytes]:
    """Send the pieces, each when the one before was taken, then an end; return what was made of
    them, and what is still to be read."""

    async def main() -> tuple[tuple[bytes, bool], bytes]:
        loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair()
        with ours, theirs:
            ours.setblocking(False)
            reading = loop.create_task(read_greeting(loop, ours))
            for piece in pieces[:-1]:
                theirs.send(piece)
                for _ in iter(lambda: _waits(ours), False):
                    await asyncio.sleep(0)
            theirs.send(pieces[-1])
            theirs.shutdown(socket.SHUT_WR)
            found = await reading
            ours.setblocking(True)
            return found, ours.recv(1000)

    found: tuple[tuple[bytes, bool], bytes] = run(main())
    return found


def _waits(sock: socket.socket) -> bool:
    try:
        return bool(sock.recv(1, socket.MSG_PEEK))
    except BlockingIOError:
        return False


@pytest.mark.parametrize("header", [LINE, LOCAL])
def test_what_stands_behind_a_header_stays(run: Run, header: bytes) -> None:
    assert greet(run, header + b"\x16\x03hello") == ((header, True), b"\x16\x03hello")


@pytest.mark.parametrize("header", [LINE, LOCAL])
def test_a_header_may_come_in_pieces(run: Run, header: bytes) -> None:
    assert greet(run, header[:5], header[5:9], header[9:] + b"x") == ((header, True), b"x")


def test_what_is_no_header_is_left_unread(run: Run) -> None:
    assert greet(run, b"\x16\x03hello") == ((b"", False), b"\x16\x03hello")
    assert greet(run, LINE[:9], b"X 1 2\r\n") == ((LINE[:9], False), b"X 1 2\r\n")


def test_an_end_within_a_header(run: Run) -> None:
    assert greet(run, LINE[:12]) == ((LINE[:12], False), b"")
