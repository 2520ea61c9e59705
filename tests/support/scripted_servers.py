"""Servers behind a balancer that do what a scenario says: greet, echo, refuse, hang, reset.

Owns `ScriptedServer` and the behaviours, each a function of what arrived; a thread for each
connection. Does not own what clients do (`scripted_links`).
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable

from support.scripted_links import PATIENCE_S, Link

Behaviour = Callable[["Arrival"], None]


class Arrival(Link):
    """A connection as its server sees it."""

    def __init__(self, sock: socket.socket, server: ScriptedServer) -> None:
        super().__init__(sock)
        self.server = server
        self.over = threading.Event()

    def wait(self) -> tuple[bytes, str]:
        """Wait until its handling is over; what came, and how the other end went."""
        assert self.over.wait(PATIENCE_S), f"{self.server.name}: a connection does not end"
        return self.received, self.ending


class ScriptedServer:
    """Listens at `port`, or at the Unix socket `path`, and behaves as told; may go and come again.

    `arrivals` has every connection in order, those of health checks too.
    """

    def __init__(
        self, name: str, behaviour: Behaviour | None, port: int, host: str = "127.0.0.1"
    ) -> None:
        self.name = name
        self.behaviour = behaviour
        self.port = port
        self.host = host
        self.arrivals: list[Arrival] = []
        self.released = threading.Event()
        self._listener: socket.socket | None = None
        self._fillers: list[socket.socket] = []
        self._changed = threading.Condition()

    @property
    def sessions(self) -> list[Arrival]:
        """The connections that sent something or ended in order: no bare health checks."""
        return [each for each in self.arrivals if each.received or each.ending != "rst"]

    def come(self) -> None:
        """Accept from now on."""
        if self._listener is not None:
            return
        listener = self._make_listener()
        listener.listen(128)
        self._listener = listener
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def go(self) -> None:
        """Refuse from now on; connections stay."""
        listener, self._listener = self._listener, None
        if listener is not None:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)  # else the thread's accept keeps it open
            listener.close()

    def hang(self) -> None:
        """Let connects go unanswered from now on: the kernel's queue is full."""
        self.go()
        self._listener = self._make_listener()
        self._listener.listen(0)
        for _ in range(8):
            filler = socket.socket()
            filler.settimeout(0.05)
            self._fillers.append(filler)
            try:
                filler.connect((self.host, self.port))
            except TimeoutError:
                return
        raise AssertionError("the kernel's queue does not fill")

    def arrival(self, index: int) -> Arrival:
        """Wait for the connection of this number."""
        with self._changed:
            came = self._changed.wait_for(lambda: len(self.arrivals) > index, PATIENCE_S)
        assert came, f"{self.name}: no connection number {index}"
        return self.arrivals[index]

    def close(self) -> None:
        """Stop, and end every connection."""
        self.released.set()
        self.go()
        for sock in [*self._fillers, *(each.sock for each in self.arrivals)]:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()

    def _make_listener(self) -> socket.socket:
        if self.host.startswith("/"):
            listener = socket.socket(socket.AF_UNIX)
            listener.bind(self.host)
            return listener
        listener = socket.socket(socket.AF_INET6 if ":" in self.host else socket.AF_INET)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((self.host, self.port))
        return listener

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            arrival = Arrival(sock, self)
            with self._changed:
                self.arrivals.append(arrival)
                self._changed.notify_all()
            threading.Thread(target=self._handle, args=(arrival,), daemon=True).start()

    def _handle(self, arrival: Arrival) -> None:
        assert self.behaviour is not None
        with contextlib.suppress(OSError):
            self.behaviour(arrival)
        arrival.close()
        arrival.over.set()


# --- behaviours -----------------------------------------------------------------------------------


def greets(arrival: Arrival) -> None:
    """Says its name, then echoes until the end."""
    arrival.send(arrival.server.name.encode() + b"\n")
    echoes(arrival)


def echoes(arrival: Arrival) -> None:
    """Sends back what comes."""
    while data := arrival.exactly(1):
        more = arrival.received[arrival._taken :]
        arrival._taken = len(arrival.received)
        arrival.send(data + more)


def listens(arrival: Arrival) -> None:
    """Reads, and says nothing."""
    arrival.rest()


def closes(arrival: Arrival) -> None:
    """Is gone at once."""


def says(data: bytes) -> Behaviour:
    """Sends `data` and closes."""

    def behaviour(arrival: Arrival) -> None:
        arrival.send(data)

    return behaviour


def answers(lines: dict[bytes, bytes]) -> Behaviour:
    """Answers each line that it knows; ends at one that it does not know."""

    def behaviour(arrival: Arrival) -> None:
        while (answer := lines.get(arrival.line().encode())) is not None:
            arrival.send(answer)

    return behaviour


def finishes(arrival: Arrival) -> None:
    """Says its name and that it will say no more, and goes on reading."""
    arrival.send(arrival.server.name.encode() + b"\n")
    arrival.finish()
    arrival.rest()


def closes_after(count: int) -> Behaviour:
    """Says its name, and closes when `count` bytes have come."""

    def behaviour(arrival: Arrival) -> None:
        arrival.send(arrival.server.name.encode() + b"\n")
        arrival.exactly(count)

    return behaviour


def resets_after(count: int) -> Behaviour:
    """Says its name, and resets when `count` bytes have come."""

    def behaviour(arrival: Arrival) -> None:
        arrival.send(arrival.server.name.encode() + b"\n")
        arrival.exactly(count)
        arrival.reset()

    return behaviour


def holds_on(arrival: Arrival) -> None:
    """Reads to the end, and does not end itself until it is released."""
    arrival.rest()
    arrival.server.released.wait(PATIENCE_S)


def reads_nothing(arrival: Arrival) -> None:
    """Says its name and reads nothing until it is released."""
    arrival.send(arrival.server.name.encode() + b"\n")
    arrival.server.released.wait(PATIENCE_S)


def reads_slowly(arrival: Arrival) -> None:
    """Reads a piece at a time with pauses, then says how much came."""
    count = 0
    while data := arrival.sock.recv(16384):
        count += len(data)
        time.sleep(0.001)
    arrival.send(f"{count}\n".encode())
