"""Idle sessions: opened through the balancer, held, and never used.

Owns the backend that accepts and holds, and the client that opens, a process each, as either needs
as many open files as there are sessions.
"""

from __future__ import annotations

import contextlib
import select
import socket
import time

from bench.connection import LoadError
from bench.idle import connections_that_fit
from bench.workers import TIMEOUT_S, Counter, Pipe

FILES_MANY = 1 << 20
BEHIND_MAX = 64
"""Sessions that may be on their way to the backend: more would overflow queues of listeners."""


def hold(pipe: Pipe, counter: Counter) -> None:
    """A worker: the backend. Says its port; counts the connections that are open now."""
    connections_that_fit(FILES_MANY)  # raises the limit
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
                    links[taken.fileno()] = taken
                    poll.register(taken.fileno(), select.EPOLLIN)
                    counter.add(1)
                elif not _more(links[number]):
                    poll.unregister(number)
                    links.pop(number).close()
                    counter.add(-1)


def _more(link: socket.socket) -> bool:
    with contextlib.suppress(OSError):
        return bool(link.recv(65536))
    return False


def open_all(pipe: Pipe, counter: Counter, port: int, count: int, arrived: Counter) -> None:
    """A worker: opens `count` sessions, says so when all of them have arrived, and holds them."""
    fitting = connections_that_fit(count)
    if fitting < count:
        raise LoadError(f"the limit on open files allows {fitting} of {count} sessions")
    with contextlib.ExitStack() as leaving:
        until_s = time.monotonic() + 2 * TIMEOUT_S
        for number in range(count):
            _await_arrival(arrived, number - BEHIND_MAX, until_s)
            link = socket.create_connection(("127.0.0.1", port), TIMEOUT_S)
            leaving.callback(link.close)
            counter.add(1)
        _await_arrival(arrived, count, until_s)
        pipe.send("ready")
        pipe.poll(None)


def _await_arrival(arrived: Counter, count: int, until_s: float) -> None:
    while arrived.value < count:
        if time.monotonic() > until_s:
            raise LoadError(f"{arrived.value} sessions have reached the backend, not {count}")
        time.sleep(0.001)  # the backend's count is shared memory: nothing tells of its change
