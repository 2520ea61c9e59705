"""New connections a second, each with the whole AMQP handshake and an orderly end.

Owns a client that opens one connection after the other from bytes prepared beforehand: protocol
header, start, start-ok, tune, tune-ok and open, open-ok, close, close-ok, and the end of the stream
that the broker then makes. Every answer is waited for, and looked at as far as its method. Several
clients run at once, a process each. And a backend that answers from prepared bytes too: it costs
less than any broker, so that behind it the balancer is what is measured.
"""

from __future__ import annotations

import select
import socket
import struct

from bench import frames
from bench.connection import LoadError
from bench.workers import TIMEOUT_S, Counter, Pipe

READ_BYTES = 65536
_CLOSE = frames.method(0, frames.CONNECTION_CLOSE, b"\x00\xc8\x00" + bytes(4))
_LIMITS = struct.pack(">HIH", 2047, 131072, 0)

Script = list[tuple[bytes, frames.MethodId]]


def steps() -> Script:
    """What a client sends, and the method that answers it."""
    return [
        (frames.PROTOCOL_HEADER, frames.CONNECTION_START),
        (frames.start_ok("guest", "guest"), frames.CONNECTION_TUNE),
        (frames.tune_ok(_LIMITS) + frames.connection_open("/"), frames.CONNECTION_OPEN_OK),
        (_CLOSE, frames.CONNECTION_CLOSE_OK),
    ]


def answers() -> list[bytes]:
    """What the prepared backend says to each step; start is as long as a broker's."""
    start = b"\x00\x09" + frames.longstr(bytes(400)) + frames.longstr(b"PLAIN AMQPLAIN")
    return [
        frames.method(0, frames.CONNECTION_START, start + frames.longstr(b"en_US")),
        frames.method(0, frames.CONNECTION_TUNE, _LIMITS),
        frames.method(0, frames.CONNECTION_OPEN_OK, b"\x00"),
        frames.method(0, frames.CONNECTION_CLOSE_OK),
    ]


def shake_hands(port: int, script: Script) -> None:
    """One connection from the first byte to the end; `LoadError` where an answer is another."""
    with socket.socket() as link:
        link.settimeout(TIMEOUT_S)
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        link.connect(("127.0.0.1", port))
        for request, answer in script:
            link.sendall(request)
            received = b""
            while not frames.next_frame(received, 0, len(received)):
                more = link.recv(READ_BYTES)
                if not more:
                    raise LoadError(f"port {port}: the connection ended before method {answer}")
                received += more
            if frames.method_id_at(received, 0) != answer:
                raise LoadError(f"port {port}: {frames.fault_at(received, 0)}")
        if link.recv(READ_BYTES):
            raise LoadError(f"port {port}: more bytes after close-ok")


def repeat(pipe: Pipe, counter: Counter, port: int) -> None:
    """A worker: handshakes one after the other until its pipe closes; counts them."""
    script = steps()
    try:
        shake_hands(port, script)
        pipe.send("ready")
        while not pipe.poll():
            shake_hands(port, script)
            counter.add(1)
    except frames.PeerFault as fault:
        raise LoadError(str(fault)) from None


def answer(pipe: Pipe, counter: Counter) -> None:
    """A worker: the prepared backend. Says its port; counts the connections it has served."""
    lengths = [len(request) for request, _ in steps()]
    due = [sum(lengths[: number + 1]) for number in range(len(lengths))]
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as listener, select.epoll() as poll:
        pipe.send(listener.getsockname()[1])
        poll.register(pipe.fileno(), select.EPOLLIN)
        poll.register(listener.fileno(), select.EPOLLIN)
        links: dict[int, _Answered] = {}
        while True:
            for number, _ in poll.poll():
                if number == pipe.fileno():
                    return
                if number == listener.fileno():
                    taken = listener.accept()[0]
                    links[taken.fileno()] = _Answered(taken, due, answers())
                    poll.register(taken.fileno(), select.EPOLLIN)
                elif not links[number].go_on():
                    poll.unregister(number)
                    links.pop(number).link.close()
                    counter.add(1)


class _Answered:
    """A connection of the prepared backend: which bytes are answered by what, and how far it is."""

    def __init__(self, link: socket.socket, due: list[int], said: list[bytes]) -> None:
        self.link = link
        self._left = list(zip(due, said, strict=True))
        self._received = 0

    def go_on(self) -> bool:
        """Take what is there and answer it; False: all is said, or the client is gone."""
        try:
            size = len(self.link.recv(READ_BYTES))
            self._received += size
            while self._left and self._received >= self._left[0][0]:
                self.link.send(self._left.pop(0)[1])
        except OSError:
            return False
        return size > 0 and bool(self._left)
