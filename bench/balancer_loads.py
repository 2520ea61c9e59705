"""The loads of the balancer's comparison: what stands behind it, what goes through, what is read.

Owns the pairing of a backend with its clients, the window of time that is measured, and the reading
of counters and of the balancer's CPU at both ends of that window. Each load is a context: while it
lasts its backend is there, and `Ready.measure` may be called again and again, with one balancer's
port after the other, or with the backend's own port for the load without a balancer.
"""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable, Iterator, Sequence

from bench import handshakes, load, pump, rabbitmq, rabbitry, round_trips, sessions, workers
from bench.balancers import SESSIONS, Watched, sessions_that_fit
from bench.connection import LoadError
from bench.load import Load
from bench.processes import SideError
from bench.pump import End
from bench.timing import percentile
from bench.workers import Worker

STREAMS = 4
CLIENTS = 4
"""Processes that shake hands."""

WARM_UP_S = 0.3
WINDOW_S = 1.4
RATE = 1000
ROUND_TRIPS = 2500
MEBIBYTE = 1 << 20


class Missing(SideError):
    """What a load needs is not installed; one line."""


@dataclasses.dataclass(frozen=True)
class Measure:
    """One run: the figure in the row's unit, and the balancer's CPU seconds for `amount`.

    `second` is the row's second figure, where it has one; `note` says what was not as asked for.
    """

    value: float
    cpu_s: float
    amount: float
    second: float | None = None
    note: str = ""


@dataclasses.dataclass(frozen=True)
class Ready:
    """A backend that stands, and how to load it through a port."""

    port: int
    measure: Callable[[int, Watched], Measure]


def _rate(counted: Sequence[Worker], watching: Sequence[Worker], watched: Watched) -> Measure:
    """Counts of `counted` per second over the window; the amount is the count."""
    time.sleep(WARM_UP_S)
    before, cpu_s, began_s = _total(counted), watched.cpu_s(), time.perf_counter()
    time.sleep(WINDOW_S)
    count, passed_s = _total(counted) - before, time.perf_counter() - began_s
    cpu_s = watched.cpu_s() - cpu_s
    for worker in watching:
        worker.check()
    if not count:
        raise LoadError(f"nothing came through in {WINDOW_S:g} s")
    return Measure(count / passed_s, cpu_s, count)


def _total(counted: Sequence[Worker]) -> int:
    return sum(worker.counter.value for worker in counted)


@contextlib.contextmanager
def bulk(write_bytes: int, both_ways: bool) -> Iterator[Ready]:
    """Streams written full in blocks; MB (10^6 bytes) a second that arrive, either way."""
    near = End(write_bytes, drains=both_ways)
    far = End(write_bytes if both_ways else 0, drains=True)
    with workers.started("backend", pump.serve, far) as backend:

        def measure(port: int, watched: Watched) -> Measure:
            with workers.started("client", pump.connect, port, STREAMS, near) as client:
                client.word()
                found = _rate([backend, client], [backend, client], watched)
                return Measure(found.value / 1e6, found.cpu_s, found.amount / 1e9)

        yield Ready(backend.word(), measure)


@contextlib.contextmanager
def messages(size: int, count: int, of_rabbitmq: bool = False) -> Iterator[Ready]:
    """Transient messages through one broker's queue, neither confirmed nor acknowledged.

    Raises `Missing` without RabbitMQ.
    """
    if of_rabbitmq and (reason := rabbitmq.missing()):
        raise Missing(reason)
    with rabbitmq.running(1) if of_rabbitmq else rabbitry.running(1) as broker:

        def measure(port: int, watched: Watched) -> Measure:
            work = Load(port=port, count=count, size=size, prefix="bench")
            load.declare_queues(dataclasses.replace(work, port=broker.ports[0]))
            cpu_s = watched.cpu_s()
            figures = load.run(work, declare=False)
            cpu_s = watched.cpu_s() - cpu_s
            return Measure(figures.consume_per_s, cpu_s, figures.messages / 1e6)

        yield Ready(broker.ports[0], measure)


@contextlib.contextmanager
def new_connections(prepared: bool) -> Iterator[Ready]:
    """Connections with the whole handshake: to a Rabbitry node, or to a prepared backend."""
    with contextlib.ExitStack() as stack:
        if prepared:
            port = stack.enter_context(workers.started("backend", handshakes.answer)).word()
        else:
            port = stack.enter_context(rabbitry.running(1)).ports[0]

        def measure(port: int, watched: Watched) -> Measure:
            with contextlib.ExitStack() as leaving:
                clients = [
                    leaving.enter_context(workers.started("client", handshakes.repeat, port))
                    for _ in range(CLIENTS)
                ]
                for client in clients:
                    client.word()
                found = _rate(clients, clients, watched)
                return dataclasses.replace(found, amount=found.amount / 1000)

        yield Ready(port, measure)


@contextlib.contextmanager
def latency() -> Iterator[Ready]:
    """Round trips of a small message, one at a time; p50 and p99 in microseconds."""
    with workers.started("backend", round_trips.echo) as backend:

        def measure(port: int, watched: Watched) -> Measure:
            given = (port, ROUND_TRIPS, RATE)
            with workers.started("client", round_trips.ping, *given) as client:
                client.word()
                cpu_s = watched.cpu_s()
                seconds: list[float] = client.word()
                cpu_s = watched.cpu_s() - cpu_s
            p50, p99 = (percentile(seconds, part) * 1e6 for part in (0.5, 0.99))
            return Measure(p50, cpu_s, len(seconds) / 1000, p99)

        yield Ready(backend.word(), measure)


@contextlib.contextmanager
def idle_sessions() -> Iterator[Ready]:
    """Sessions that do nothing: MiB (PSS) of the balancer, and KiB that each has added."""
    count = sessions_that_fit()
    with workers.started("backend", sessions.hold) as backend:

        def measure(port: int, watched: Watched) -> Measure:
            _until_none(backend)
            before, cpu_s = watched.pss_bytes(), watched.cpu_s()
            given = (port, count, backend.counter)
            with workers.started("client", sessions.open_all, *given) as client:
                client.word(3 * workers.TIMEOUT_S)
                after, cpu_s = watched.pss_bytes(), watched.cpu_s() - cpu_s
            grown_kib = (after - before) / 1024 / count
            note = f"{count}: no more open files" if count < SESSIONS else ""
            return Measure(after / MEBIBYTE, cpu_s, count / 1000, grown_kib, note)

        yield Ready(backend.word(), measure)


def _until_none(backend: Worker) -> None:
    """Until the sessions of the balancer before have left the backend."""
    until_s = time.monotonic() + workers.TIMEOUT_S
    while backend.counter.value:
        if time.monotonic() > until_s:
            raise LoadError(f"{backend.counter.value} sessions have not left the backend")
        time.sleep(0.01)  # the count is shared memory: nothing tells of its change
