"""The listening sockets of a driver: binding them, accepting from them.

Accepts by itself instead of through `loop.create_server`, because of what that does when there are
no file descriptors left: uvloop drops the waiting links without a word, asyncio's loop writes a
hundred tracebacks. This one says so in one line, lets the links wait in the backlog, rests a second
and goes on.

Invariants: a listener hands over each accepted socket once, non-blocking; an error of `accept`
never ends a listener.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections.abc import Callable

from rabbitry.machine import Address
from rabbitry.runtime.links import set_up_socket

BACKLOG = 1024
"""Connections that the kernel holds for us; applications that reconnect all at once need room."""

ACCEPTS_PER_TURN_MAX = 64
"""Sockets taken in one turn of the loop: a flood of new links must not starve the others."""

REST_S = 1.0
"""How long a listener rests when the system has no file descriptor or memory for a socket."""

_OUT_OF_RESOURCES = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}


class ListenFailed(ValueError):
    """A port cannot be listened on; the text says which, for what, and why."""


class Listener:
    """One listening socket, accepting from the moment it is made until `close`."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        sock: socket.socket,
        accepted: Callable[[socket.socket], None],
        refused: Callable[[str], None],
    ) -> None:
        self._loop = loop
        self._sock = sock
        self._accepted = accepted
        self._refused = refused
        self._rest: asyncio.TimerHandle | None = None
        loop.add_reader(sock.fileno(), self._accept)

    def close(self) -> None:
        """Accept nothing more and free the port."""
        if self._rest is not None:
            self._rest.cancel()
        if self._sock.fileno() >= 0:
            self._loop.remove_reader(self._sock.fileno())
            self._sock.close()

    def _accept(self) -> None:
        for _ in range(ACCEPTS_PER_TURN_MAX):
            try:
                sock, _peer = self._sock.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                if error.errno in _OUT_OF_RESOURCES:
                    self._loop.remove_reader(self._sock.fileno())
                    self._rest = self._loop.call_later(REST_S, self._wake)
                self._refused(os.strerror(error.errno or 0))
                return
            try:
                set_up_socket(sock)
            except OSError:  # the peer is gone already
                sock.close()
                continue
            self._accepted(sock)

    def _wake(self) -> None:
        self._rest = None
        self._loop.add_reader(self._sock.fileno(), self._accept)


async def bind(loop: asyncio.AbstractEventLoop, what: str, host: str, port: int) -> socket.socket:
    """Return a listening socket on `host` and `port` (0: any free one), or raise `ListenFailed`."""
    place = Address(host, port)
    try:
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise ListenFailed(f"cannot listen on {place} ({what}): {error.strerror}") from None
    family, kind, protocol, _, address = found[0]
    sock = socket.socket(family, kind, protocol)
    try:
        sock.setblocking(False)
        # A node that starts again must get its port although old links linger in TIME_WAIT.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address)
        sock.listen(BACKLOG)
    except OSError as error:
        sock.close()
        why = os.strerror(error.errno) if error.errno else str(error)
        raise ListenFailed(f"cannot listen on {place} ({what}): {why}") from None
    return sock
