"""A raw-socket AMQP load generator, cheap enough not to be what is measured.

One consumer process and one or several publisher processes a queue. Publishers send blocks of
frames that were encoded beforehand; consumers count deliveries by their fixed size
(``bench.frames``). All workers are connected, and the consumers consume, before the start event;
the clock runs from that event to the last delivery. Owns the processes of the load; does not start
brokers.

Latency of a confirm: from the sending of a block to the moment when all of it, and all before it,
is confirmed. Under a full window that is the window's length, whoever the broker is; what a broker
needs by itself shows a load with ``rate``, which sends messages one by one.

Invariant: nothing waits for ever. Every socket has a timeout, every wait for a worker has one, and
whatever goes wrong ends as one line (LoadError; ``python -m bench.load`` then exits with 2).
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import multiprocessing
import multiprocessing.connection
import resource
import select
import signal
import sys
import time
from multiprocessing.synchronize import Event
from typing import Any, Literal

from bench import frames
from bench.connection import READ_BYTES, Connection, LoadError
from bench.frames import PeerFault
from bench.timing import TENTHS, Notes, percentile

BLOCK_MESSAGES_MAX = 200
BLOCK_BYTES_MAX = 65536

Role = Literal["publisher", "consumer"]
Pipe = multiprocessing.connection.Connection


@dataclasses.dataclass(frozen=True)
class Load:
    """What to send where. Counts are per queue, sizes in bytes.

    ``confirm``: the window of each publisher, 0: off; ``rate``: messages a second that each
    publisher sends at most, one by one, 0: as fast as the window allows; needs ``confirm``;
    ``deep``: the queue holds more than ``count``, what comes beyond it is not acknowledged.
    """

    port: int
    host: str = "127.0.0.1"
    consume_port: int = 0  # 0: the same
    count: int = 200_000
    size: int = 16
    confirm: int = 0
    persistent: bool = False
    durable: bool = False
    ack: bool = False
    deep: bool = False
    prefetch: int = 0
    queues: int = 1
    publishers: int = 1
    rate: int = 0
    queue_type: str = ""
    queue_mode: str = ""
    prefix: str = "load"
    timeout_s: float = 30.0

    def queue_names(self) -> list[str]:
        """The queues of this load."""
        return [f"{self.prefix}-{number}" for number in range(self.queues)]

    def queue_arguments(self) -> dict[str, str]:
        """The arguments that the queues are declared with."""
        given = {"x-queue-type": self.queue_type, "x-queue-mode": self.queue_mode}
        return {name: value for name, value in given.items() if value}

    def of_publisher(self, number: int) -> Load:
        """What is left of this for one of the publishers of a queue."""
        share, rest = divmod(self.count, self.publishers)
        return dataclasses.replace(self, count=share + (1 if number < rest else 0))


@dataclasses.dataclass(frozen=True)
class Figures:
    """What a load measured. ``publish_per_s`` is of confirmed messages where confirms are on.

    Rates of roles that did not work are 0. The tenths are rates of each tenth of the messages in
    turn, where one worker did them all.
    """

    messages: int
    publish_per_s: int
    consume_per_s: int
    duration_s: float
    client_cpu_s: float
    confirm_p50_ms: float | None = None
    confirm_p99_ms: float | None = None
    publish_tenths_per_s: list[int] = dataclasses.field(default_factory=list)
    consume_tenths_per_s: list[int] = dataclasses.field(default_factory=list)


@dataclasses.dataclass(frozen=True)
class _Report:
    role: Role
    ended_at_s: float
    cpu_s: float
    latencies_s: list[float] = dataclasses.field(default_factory=list)
    tenths_at_s: list[float] = dataclasses.field(default_factory=list)


def declare_queues(load: Load) -> None:
    """Delete and declare the queues of ``load`` through its publish port, empty and new."""
    connection = Connection(load.host, load.port, load.timeout_s)
    for queue in load.queue_names():
        connection.call(frames.queue_delete(queue), frames.QUEUE_DELETE_OK)
        declare = frames.queue_declare(
            queue, durable=load.durable, arguments=load.queue_arguments()
        )
        connection.call(declare, frames.QUEUE_DECLARE_OK)
    connection.close()


def delete_queues(load: Load) -> None:
    """Delete the queues of ``load``."""
    connection = Connection(load.host, load.port, load.timeout_s)
    for queue in load.queue_names():
        connection.call(frames.queue_delete(queue), frames.QUEUE_DELETE_OK)
    connection.close()


def _publish(load: Load, queue: str, pipe: Pipe, start: Event) -> Notes:
    connection = Connection(load.host, load.port, load.timeout_s)
    one = frames.publish(
        "",
        queue,
        b"x" * load.size,
        persistent=load.persistent,
        frame_max=connection.frame_max,
    )
    block = min(BLOCK_MESSAGES_MAX, max(1, BLOCK_BYTES_MAX // len(one)))
    if load.confirm:
        block = max(1, min(block, load.confirm // 2))
        select_confirms = frames.method(frames.CHANNEL, frames.CONFIRM_SELECT, b"\x00")
        connection.call(select_confirms, frames.CONFIRM_SELECT_OK)
    data = one * block
    _wait_for_start(load, pipe, start)
    notes = Notes(load.count)
    if load.rate:
        _publish_paced(load, connection, one, notes)
    elif load.confirm:
        _publish_confirmed(load, connection, one, data, block, notes)
    else:
        for _ in range(load.count // block):
            connection.send(data)
        if rest := load.count % block:
            connection.send(one * rest)
        # The reply to a synchronous method on the channel proves that all of it was read.
        passive = frames.queue_declare(queue, passive=True)
        connection.call(passive, frames.QUEUE_DECLARE_OK)
    notes.ended_at_s = time.perf_counter()
    connection.close()
    return notes


def _publish_confirmed(
    load: Load, connection: Connection, one: bytes, data: bytes, block: int, notes: Notes
) -> None:
    counter = frames.ConfirmCounter()
    chunk = memoryview(bytearray(262144))
    sent = 0
    while counter.confirmed < load.count:
        while sent < load.count and sent - counter.confirmed + block <= load.confirm:
            batch = min(block, load.count - sent)
            notes.latencies.sent(sent + batch, time.perf_counter())
            connection.send(data if batch == block else one * batch)
            sent += batch
        _take_confirms(connection, chunk, counter, sent, notes)


def _publish_paced(load: Load, connection: Connection, one: bytes, notes: Notes) -> None:
    counter = frames.ConfirmCounter()
    chunk = memoryview(bytearray(262144))
    began_at_s = time.perf_counter()
    sent = 0
    while counter.confirmed < load.count:
        now_s = time.perf_counter()
        wait_s = load.timeout_s
        if sent < load.count and sent - counter.confirmed < load.confirm:
            wait_s = began_at_s + sent / load.rate - now_s
            if wait_s <= 0:
                sent += 1
                notes.latencies.sent(sent, now_s)
                connection.send(one)
                continue
        if select.select([connection.socket], [], [], wait_s)[0]:
            _take_confirms(connection, chunk, counter, sent, notes)
        elif wait_s == load.timeout_s:
            raise LoadError(f"no confirm from {connection.where} for {wait_s:g} s")


def _take_confirms(
    connection: Connection,
    chunk: memoryview,
    counter: frames.ConfirmCounter,
    sent: int,
    notes: Notes,
) -> None:
    buffer = connection.buffer
    buffer += chunk[: connection.receive_into(chunk)]
    del buffer[: counter.take(buffer, len(buffer))]
    if counter.confirmed > sent:
        raise PeerFault(f"broker confirmed {counter.confirmed} of {sent} publishes")
    notes.latencies.confirmed(counter.confirmed_through, time.perf_counter())
    notes.progress.reached(counter.confirmed)


def _consume(load: Load, queue: str, pipe: Pipe, start: Event) -> Notes:
    connection = Connection(load.host, load.consume_port or load.port, load.timeout_s)
    if load.prefetch:
        connection.call(frames.basic_qos(load.prefetch), frames.BASIC_QOS_OK)
    consume = frames.basic_consume(queue, "bench", no_ack=not load.ack)
    connection.call(consume, frames.BASIC_CONSUME_OK)
    counter = frames.DeliveryCounter(load.size)
    buffer = bytearray(2 * READ_BYTES + load.size)
    view = memoryview(buffer)
    end = len(connection.buffer)
    view[:end] = connection.buffer
    _wait_for_start(load, pipe, start)
    notes = Notes(load.count)
    while counter.counted < load.count:
        before = counter.counted
        end += connection.receive_into(view[end : end + READ_BYTES])
        done = counter.take(buffer, end)
        view[: end - done] = bytes(view[done:end])
        end -= done
        if load.ack and counter.counted > before:
            acknowledged = min(counter.counted, load.count)
            connection.send(frames.basic_ack(acknowledged, multiple=True))
        notes.progress.reached(counter.counted)
    notes.ended_at_s = time.perf_counter()
    if counter.counted != load.count and not load.deep:
        raise PeerFault(f"{counter.counted} deliveries of {load.count} publishes")
    connection.close()
    return notes


def _wait_for_start(load: Load, pipe: Pipe, start: Event) -> None:
    pipe.send("ready")
    if not start.wait(load.timeout_s):
        raise LoadError("the start never came")


def _work(role: Role, load: Load, queue: str, pipe: Pipe, start: Event) -> None:
    """Body of a worker process: its last word on the pipe is a report or one line of text."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends us
    try:
        function = _publish if role == "publisher" else _consume
        notes = function(load, queue, pipe, start)
        usage = resource.getrusage(resource.RUSAGE_SELF)
        cpu_s = usage.ru_utime + usage.ru_stime
        latencies_s, tenths_at_s = notes.latencies.seconds, notes.progress.tenths_at_s
        pipe.send(_Report(role, notes.ended_at_s, cpu_s, latencies_s, tenths_at_s))
    except (LoadError, PeerFault) as error:
        pipe.send(f"{role} of {queue}: {error}")
    except Exception as error:
        pipe.send(f"{role} of {queue}: {type(error).__name__}: {error}")


def _next_words(pipes: list[Pipe], timeout_s: float, what: str) -> list[tuple[Pipe, object]]:
    heard = multiprocessing.connection.wait(pipes, timeout_s)
    if not heard:
        raise LoadError(f"{what}: no worker said anything for {timeout_s:g} s")
    words: list[tuple[Pipe, object]] = []
    for pipe in pipes:
        if pipe in heard:
            try:
                words.append((pipe, pipe.recv()))
            except EOFError:
                raise LoadError(f"{what}: a worker process died") from None
    return words


def run(
    load: Load,
    *,
    declare: bool = True,
    delete: bool = True,
    roles: tuple[Role, ...] = ("consumer", "publisher"),
    run_timeout_s: float = 600.0,
) -> Figures:
    """Run ``load`` and return its figures; the queues are deleted afterwards.

    ``declare=False`` takes the queues as they are (declared by ``declare_queues``, so that the
    caller could look up where they live); ``delete=False`` leaves them; ``roles`` leaves workers
    out. Raises LoadError.
    """
    try:
        if declare:
            declare_queues(load)
        figures = _run_workers(load, roles, run_timeout_s)
        if delete:
            delete_queues(load)
    except PeerFault as fault:
        raise LoadError(f"{load.host}:{load.port}: {fault}") from None
    return figures


def _run_workers(load: Load, roles: tuple[Role, ...], run_timeout_s: float) -> Figures:
    # Spawned, not forked: the caller may have threads, and a clean child is a cheap child.
    context = multiprocessing.get_context("spawn")
    start = context.Event()
    processes = []
    pipes: list[Pipe] = []
    work: list[tuple[Role, Load]] = [("consumer", load)] if "consumer" in roles else []
    if "publisher" in roles:
        work += [("publisher", load.of_publisher(number)) for number in range(load.publishers)]
    try:
        for queue in load.queue_names():
            for role, part in work:
                ours, theirs = context.Pipe(duplex=False)
                process = context.Process(
                    target=_work, args=(role, part, queue, theirs, start), daemon=True
                )
                process.start()
                theirs.close()
                processes.append(process)
                pipes.append(ours)
        _await_all_ready(pipes, load.timeout_s)
        started_at_s = time.perf_counter()  # one monotonic clock for all processes of a machine
        start.set()
        reports = _await_reports(pipes, started_at_s + run_timeout_s)
        for process in processes:
            process.join(load.timeout_s)
    finally:
        for process in processes:
            if process.is_alive():
                process.kill()
                process.join()
    return _figures(load, reports, started_at_s)


def _await_all_ready(pipes: list[Pipe], timeout_s: float) -> None:
    waiting = list(pipes)
    while waiting:
        for pipe, word in _next_words(waiting, timeout_s, "before the start"):
            if word != "ready":
                raise LoadError(str(word))
            waiting.remove(pipe)


def _await_reports(pipes: list[Pipe], until_s: float) -> list[_Report]:
    waiting, reports = list(pipes), []
    while waiting:
        left_s = max(0.0, until_s - time.perf_counter())
        for pipe, word in _next_words(waiting, left_s, "under load"):
            if not isinstance(word, _Report):
                raise LoadError(str(word))
            reports.append(word)
            waiting.remove(pipe)
    return reports


def _figures(load: Load, reports: list[_Report], started_at_s: float) -> Figures:
    messages = load.count * load.queues
    by_role: dict[Role, list[_Report]] = {"publisher": [], "consumer": []}
    for report in reports:
        by_role[report.role].append(report)

    def per_s(role: Role) -> int:
        ended = [report.ended_at_s for report in by_role[role]]
        return round(messages / (max(ended) - started_at_s)) if ended else 0

    def tenths_per_s(role: Role) -> list[int]:
        marks = by_role[role][0].tenths_at_s if len(by_role[role]) == 1 else []
        since = [started_at_s, *marks]
        pairs = zip(since, marks, strict=False)
        return [round(load.count / TENTHS / max(after - at, 1e-6)) for at, after in pairs]

    last: Role = "consumer" if by_role["consumer"] else "publisher"
    duration_s = max(report.ended_at_s for report in by_role[last]) - started_at_s
    latencies_s = [value for report in reports for value in report.latencies_s]
    return Figures(
        messages=messages,
        publish_per_s=per_s("publisher"),
        consume_per_s=per_s("consumer"),
        duration_s=round(duration_s, 4),
        client_cpu_s=round(sum(report.cpu_s for report in reports), 2),
        confirm_p50_ms=_milliseconds(latencies_s, 0.5),
        confirm_p99_ms=_milliseconds(latencies_s, 0.99),
        publish_tenths_per_s=tenths_per_s("publisher"),
        consume_tenths_per_s=tenths_per_s("consumer"),
    )


def _milliseconds(latencies_s: list[float], part: float) -> float | None:
    return round(percentile(latencies_s, part) * 1000, 2) if latencies_s else None


def main(arguments: list[str] | None = None) -> int:
    """``python -m bench.load``: one JSON line, or one line of error and exit code 2."""
    parser = argparse.ArgumentParser(prog="python -m bench.load", description=__doc__)
    flags = ("persistent", "durable", "ack", "deep")
    for field in dataclasses.fields(Load):
        option = "--" + field.name.removesuffix("_s").replace("_", "-")
        if field.name in flags:
            parser.add_argument(option, action="store_true", dest=field.name)
        else:
            default = 5672 if field.name == "port" else field.default
            kind = type(default)
            parser.add_argument(option, type=kind, default=default, dest=field.name)
    parser.add_argument("--role", choices=("publisher", "consumer"), help="only this one")
    parser.add_argument("--keep", action="store_true", help="take and leave the queue as it is")
    options: dict[str, Any] = vars(parser.parse_args(arguments))
    role, keep = options.pop("role"), options.pop("keep")
    roles: tuple[Role, ...] = (role,) if role else ("consumer", "publisher")
    load = Load(**options)
    if load.rate and not load.confirm:
        parser.error("--rate needs --confirm, the window")
    try:
        figures = run(load, declare=not keep, delete=not keep, roles=roles)
    except LoadError as error:
        print(f"bench.load: {error}", file=sys.stderr)
        return 2
    print(json.dumps(dataclasses.asdict(load) | dataclasses.asdict(figures)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
