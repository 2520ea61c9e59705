"""bench.handshakes: the whole handshake against the prepared backend, and what a wrong one says."""

from __future__ import annotations

import socket
import threading

import pytest

from bench import frames, handshakes, workers
from bench.connection import LoadError
from bench.frames import PeerFault


def answer_once(data: bytes, requests: int = 1) -> int:
    """A listener that answers the first reads of one connection so and hangs up; its port."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with listener, listener.accept()[0] as peer:
            for _ in range(requests):
                peer.recv(65536)
            peer.sendall(data)

    threading.Thread(target=serve, daemon=True).start()
    return int(listener.getsockname()[1])


def test_a_connection_that_ends_too_early_is_one_line() -> None:
    with pytest.raises(LoadError, match=r"ended before method \(10, 10\)"):
        handshakes.shake_hands(answer_once(b""), handshakes.steps())


def test_another_method_is_told() -> None:
    close = frames.method(0, frames.CONNECTION_CLOSE, b"\x02\x16\x02no" + bytes(4))
    with pytest.raises(LoadError, match="broker closed the connection: 534 no"):
        handshakes.shake_hands(answer_once(close), handshakes.steps())


def test_what_is_no_frame_is_told() -> None:
    with pytest.raises(PeerFault, match="no frame begins with octet 72"):
        handshakes.shake_hands(answer_once(b"HTTP/1.1 400 Bad Request"), handshakes.steps())


@pytest.mark.processes
def test_connections_are_made_one_after_the_other() -> None:
    with workers.started("backend", handshakes.answer) as backend:
        with workers.started("client", handshakes.repeat, backend.word()) as client:
            assert client.word() == "ready"
            while client.counter.value < 20:
                client.check()
        assert backend.counter.value >= 20
