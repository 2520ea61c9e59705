"""Readiness of many sockets through one descriptor of the event loop.

Owns an epoll instance that the loop watches as a single file. A socket costs an entry of a
dictionary here (72 bytes), where `loop.add_reader` of uvloop costs it a handle (670 bytes) and a
system call more whenever what is waited for changes. (docs/decisions/0090)

Invariants: what a turn reports is about the socket that was watched when the turn began, since
sockets are closed through `close`, which keeps their numbers taken until the turn is over; one turn
reports at most `EVENTS_PER_TURN_MAX` sockets, so that timers and others have their turn.
"""

from __future__ import annotations

import asyncio
import select
import socket
from collections.abc import Callable
from time import monotonic_ns

EVENTS_PER_TURN_MAX = 256

Ready = Callable[[int], None]
"""Hears which of EPOLLIN, EPOLLOUT, EPOLLERR and EPOLLHUP are true of a socket."""


class Poller:
    """Watches sockets in the running loop until `stop`. `now` is the time of the turn, in µs."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.now = monotonic_ns() // 1000
        self._loop = loop
        self._epoll = select.epoll()
        self._ready: dict[int, Ready] = {}
        self._turning = False
        self._to_close: list[socket.SocketType] = []
        loop.add_reader(self._epoll.fileno(), self._turn)

    def watch(self, fd: int, mask: int, ready: Ready) -> None:
        """Tell `ready` whenever one of `mask` is true; EPOLLERR and EPOLLHUP always."""
        self._ready[fd] = ready
        self._epoll.register(fd, mask)

    def change(self, fd: int, mask: int) -> None:
        """Wait for these from now on."""
        self._epoll.modify(fd, mask)

    def forget(self, fd: int) -> None:
        """Tell nothing more of this socket, errors neither."""
        del self._ready[fd]
        self._epoll.unregister(fd)

    def close(self, sock: socket.SocketType) -> None:
        """Close a socket, watched or not."""
        # The system forgets a socket that is closed: we never keep a second descriptor of one.
        self._ready.pop(sock.fileno(), None)
        if self._turning:
            self._to_close.append(sock)
        else:
            sock.close()

    def stop(self) -> None:
        """Watch nothing any more."""
        if not self._epoll.closed:
            self._loop.remove_reader(self._epoll.fileno())
            self._epoll.close()
            self._ready.clear()

    def _turn(self) -> None:
        self._turning = True
        self.now = monotonic_ns() // 1000
        found = self._ready.get
        for fd, events in self._epoll.poll(0, EVENTS_PER_TURN_MAX):
            ready = found(fd)
            if ready is not None:
                try:
                    ready(events)
                except Exception as error:  # of one link: the others go on
                    what = {"message": "a link's socket was mishandled", "exception": error}
                    self._loop.call_exception_handler(what)
        self._turning = False
        if self._to_close:
            for sock in self._to_close:
                sock.close()
            self._to_close.clear()
