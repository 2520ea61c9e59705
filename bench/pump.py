"""Bytes in bulk: streams that are written full and read empty, as cheaply as Python can.

Owns both ends of the streams: the backend that accepts and the client that connects, a process
each. Either end sends, drains, or does both. What is received is dropped in the kernel (`recv`
with MSG_TRUNC), what is sent is the same block again and again, so that the load takes little of
the cores it shares with the balancer; how much it can do without one is measured beside it.

Writes do not block: one that finds less room than a block is cut short, as a TCP stream allows.
"""

from __future__ import annotations

import dataclasses
import select
import socket

from bench.workers import TIMEOUT_S, Counter, Pipe

WRITES_IN_A_ROW_MAX = 16
"""So that one stream does not starve the others of the same process."""

DRAIN_BYTES = 1 << 20


@dataclasses.dataclass(frozen=True)
class End:
    """What one end does: blocks of how many bytes it sends (0: none), and whether it drains."""

    write_bytes: int
    drains: bool


class Pump:
    """All streams of one process. `counter` counts the bytes that were drained."""

    def __init__(self, end: End, counter: Counter, pipe: Pipe) -> None:
        self._end = end
        self._counter = counter
        self._pipe = pipe
        self._block = b"x" * end.write_bytes
        self._scratch = bytearray(DRAIN_BYTES)  # MSG_TRUNC wants room, and never touches it
        self._streams: dict[int, socket.socket] = {}
        self._poll = select.epoll()
        self._poll.register(pipe.fileno(), select.EPOLLIN)

    def add(self, stream: socket.socket) -> None:
        """Take part in a stream."""
        stream.setblocking(False)
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._streams[stream.fileno()] = stream
        wanted = select.EPOLLIN | (select.EPOLLOUT if self._block else 0)
        self._poll.register(stream.fileno(), wanted)

    def listen(self, listener: socket.socket) -> None:
        """Take part in whatever streams are opened to `listener`, until the pipe closes."""
        self._poll.register(listener.fileno(), select.EPOLLIN)
        self._run(listener)

    def run(self) -> None:
        """Send and drain until the pipe closes."""
        self._run(None)

    def _run(self, listener: socket.socket | None) -> None:
        listening = listener.fileno() if listener is not None else -1
        ending = self._pipe.fileno()
        while True:
            for number, events in self._poll.poll():
                if number == ending:
                    return
                if listener is not None and number == listening:
                    self.add(listener.accept()[0])
                elif not self._serve(self._streams[number], events):
                    self._poll.unregister(number)
                    self._streams.pop(number).close()

    def _serve(self, stream: socket.socket, events: int) -> bool:
        """Do what a stream is ready for; False: it is over."""
        try:
            if events & select.EPOLLOUT:
                for _ in range(WRITES_IN_A_ROW_MAX):
                    if stream.send(self._block) < len(self._block):
                        break
        except BlockingIOError:
            pass
        except OSError:
            return False
        if not events & ~select.EPOLLOUT:
            return True
        try:
            size = stream.recv_into(self._scratch, DRAIN_BYTES, socket.MSG_TRUNC)
        except BlockingIOError:
            return True
        except OSError:
            return False
        if self._end.drains:
            self._counter.add(size)
        return size > 0


def serve(pipe: Pipe, counter: Counter, end: End) -> None:
    """A worker: the backend. Says its port, then takes part in what is opened to it."""
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as listener:
        pump = Pump(end, counter, pipe)
        pipe.send(listener.getsockname()[1])
        pump.listen(listener)


def connect(pipe: Pipe, counter: Counter, port: int, streams: int, end: End) -> None:
    """A worker: the client. Opens its streams, says so, and pumps."""
    pump = Pump(end, counter, pipe)
    for _ in range(streams):
        pump.add(socket.create_connection(("127.0.0.1", port), TIMEOUT_S))
    pipe.send("ready")
    pump.run()
