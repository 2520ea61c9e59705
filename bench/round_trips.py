"""How long a small message takes there and back: one at a time, at a rate that all sides keep.

Owns an echoing backend and a client with a few streams, whose turns come at fixed times; what it
finds is the seconds of each round trip. The clock is the client's alone.
"""

from __future__ import annotations

import select
import socket
import time

from bench.connection import LoadError
from bench.workers import TIMEOUT_S, Counter, Pipe

SIZE_BYTES = 64
STREAMS = 10
WARM_UP = 100
"""Round trips that are made first and not noted."""


def echo(pipe: Pipe, counter: Counter) -> None:
    """A worker: the backend. Says its port; counts the bytes it has sent back."""
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as listener, select.epoll() as poll:
        pipe.send(listener.getsockname()[1])
        poll.register(pipe.fileno(), select.EPOLLIN)
        poll.register(listener.fileno(), select.EPOLLIN)
        links: dict[int, socket.socket] = {}
        while True:
            for number, _ in poll.poll():
                if number == pipe.fileno():
                    return
                if number == listener.fileno():
                    taken = listener.accept()[0]
                    taken.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    links[taken.fileno()] = taken
                    poll.register(taken.fileno(), select.EPOLLIN)
                elif size := _send_back(links[number]):
                    counter.add(size)
                else:
                    poll.unregister(number)
                    links.pop(number).close()


def _send_back(link: socket.socket) -> int:
    try:
        data = link.recv(65536)
        link.sendall(data)
    except OSError:
        return 0
    return len(data)


def ping(pipe: Pipe, counter: Counter, port: int, count: int, rate: int) -> None:
    """A worker: `count` round trips, `rate` of them a second; says how many seconds each took."""
    links = []
    for _ in range(STREAMS):
        link = socket.create_connection(("127.0.0.1", port), TIMEOUT_S)
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        links.append(link)
    pipe.send("ready")
    message = b"x" * SIZE_BYTES
    seconds: list[float] = []
    began_at_s = time.perf_counter()
    for number in range(WARM_UP + count):
        wait_s = began_at_s + number / rate - time.perf_counter()
        if wait_s > 0:
            time.sleep(wait_s)
        link = links[number % STREAMS]
        sent_at_s = time.perf_counter()
        link.sendall(message)
        if link.recv(SIZE_BYTES, socket.MSG_WAITALL) != message:
            raise LoadError(f"port {port}: what came back is not what was sent")
        seconds.append(time.perf_counter() - sent_at_s)
        counter.add(1)
    for link in links:
        link.close()
    pipe.send(seconds[WARM_UP:])
