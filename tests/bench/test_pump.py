"""bench.pump: what is sent is drained and counted, one way and both, in processes of its own."""

from __future__ import annotations

import multiprocessing
import socket
import threading

import pytest

from bench import pump, workers
from bench.pump import End, Pump
from bench.workers import Counter


def test_a_pump_counts_what_it_drains_and_drops_a_stream_that_ends() -> None:
    ours, theirs = multiprocessing.Pipe()
    counter = Counter()
    draining = Pump(End(0, drains=True), counter, theirs)
    listener = socket.create_server(("127.0.0.1", 0))
    with listener, socket.create_connection(listener.getsockname()) as stream:
        taken, _ = listener.accept()
        draining.add(taken)
        stream.sendall(b"x" * 300_000)
        stream.shutdown(socket.SHUT_WR)
        running = threading.Thread(target=draining.run, daemon=True)
        running.start()
        assert stream.recv(1) == b""  # the pump has closed it: all is drained
        ours.close()
        running.join()
    assert counter.value == 300_000


@pytest.mark.processes
@pytest.mark.parametrize("both_ways", [False, True])
def test_streams_are_pumped(both_ways: bool) -> None:
    far = End(4096 if both_ways else 0, drains=True)
    with workers.started("backend", pump.serve, far) as backend:
        given = (backend.word(), 2, End(4096, drains=both_ways))
        with workers.started("client", pump.connect, *given) as client:
            assert client.word() == "ready"
            while not backend.counter.value or (both_ways and not client.counter.value):
                backend.check()
                client.check()
        assert client.counter.value > 0 if both_ways else client.counter.value == 0
