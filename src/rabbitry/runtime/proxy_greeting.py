"""The PROXY header of a client that speaks TLS behind it (`accept-proxy` beside `ssl`).

Owns that the header, and not a byte more, is taken from a socket before its handshake begins. What
a header says, and what is no header, `balancer.proxy_protocol` knows and the machine decides: it
gets these bytes as the first ones of the link.

Invariants: what is no header is never followed by a handshake, nor a header by anything else.
"""

from __future__ import annotations

import asyncio
import socket

from rabbitry.balancer.proxy_protocol import HEADER_SIZE_BYTES_MAX, HeaderMistake, read_header


async def read_greeting(loop: asyncio.AbstractEventLoop, sock: socket.socket) -> tuple[bytes, bool]:
    """Read a header from a non-blocking socket; return what was read, and whether it is one.

    Where it is none, or the client says no more, what shows it may still be unread. Raises OSError.
    """
    came = b""
    while True:
        await _readable(loop, sock)
        try:
            seen = sock.recv(HEADER_SIZE_BYTES_MAX, socket.MSG_PEEK)
        except (BlockingIOError, InterruptedError):
            continue
        if not seen:
            return came, False
        try:
            header = read_header(came + seen)
        except HeaderMistake:
            return came, False
        # Taken from the socket even if more must come: it would be readable all the time.
        came += sock.recv(len(seen) if header is None else header.size_bytes - len(came))
        if header is not None:
            return came, True


async def _readable(loop: asyncio.AbstractEventLoop, sock: socket.socket) -> None:
    done = loop.create_future()

    def readable() -> None:
        if not done.done():
            done.set_result(None)

    loop.add_reader(sock.fileno(), readable)
    try:
        await done
    finally:
        loop.remove_reader(sock.fileno())
