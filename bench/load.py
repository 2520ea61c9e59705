"""A raw-socket AMQP load generator, cheap enough not to be what is measured.

One publisher process and one consumer process a queue. Publishers send blocks of frames that were
encoded beforehand; consumers count deliveries by their fixed size (``bench.frames``). All workers
are connected, and the consumers consume, before the start event; the clock runs from that event to
the last delivery. Owns sockets and processes of the load; does not start brokers.

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
import signal
import socket
import sys
import time
from multiprocessing.synchronize import Event
from typing import Literal

from bench import frames
from bench.frames import PeerFault

BLOCK_MESSAGES_MAX = 200
BLOCK_BYTES_MAX = 65536
READ_BYTES = 1 << 20

Role = Literal["publisher", "consumer"]
Pipe = multiprocessing.connection.Connection


class LoadError(Exception):
    """The load could not be run to its end; one line for the user."""


@dataclasses.dataclass(frozen=True)
class Load:
    """What to send where. Counts are per queue, sizes in bytes; ``confirm``: the window, 0: off."""

    port: int
    host: str = "127.0.0.1"
    consume_port: int = 0  # 0: the same
    count: int = 200_000
    size: int = 16
    confirm: int = 0
    persistent: bool = False
    durable: bool = False
    ack: bool = False
    prefetch: int = 0
    queues: int = 1
    prefix: str = "load"
    timeout_s: float = 30.0

    def queue_names(self) -> list[str]:
        """The queues of this load."""
        return [f"{self.prefix}-{number}" for number in range(self.queues)]


@dataclasses.dataclass(frozen=True)
class Figures:
    """What a load measured. ``publish_per_s`` is of confirmed messages where confirms are on."""

    messages: int
    publish_per_s: int
    consume_per_s: int
    duration_s: float
    client_cpu_s: float


@dataclasses.dataclass(frozen=True)
class _Report:
    role: Role
    ended_at_s: float
    cpu_s: float


class Connection:
    """One AMQP connection with channel 1 open; requests wait for their reply."""

    def __init__(self, host: str, port: int, timeout_s: float) -> None:
        self.where = f"{host}:{port}"
        self._timeout_s = timeout_s
        self.buffer = bytearray()
        try:
            self.socket = socket.create_connection((host, port), timeout=timeout_s)
        except OSError as error:
            raise LoadError(f"cannot connect to {self.where}: {error}") from None
        try:
            self._handshake()
        except BaseException:
            self.socket.close()
            raise

    def _handshake(self) -> None:
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.call(frames.PROTOCOL_HEADER, frames.CONNECTION_START)
        tune = self.call(frames.start_ok("guest", "guest"), frames.CONNECTION_TUNE)
        self.frame_max = frames.frame_max_of(tune)
        self.send(frames.tune_ok(tune))
        self.call(frames.connection_open("/"), frames.CONNECTION_OPEN_OK)
        opening = frames.method(frames.CHANNEL, frames.CHANNEL_OPEN, b"\x00")
        self.call(opening, frames.CHANNEL_OPEN_OK)

    def send(self, data: bytes) -> None:
        """Send all of ``data``; where the broker has hung up, say what it said."""
        try:
            self.socket.sendall(data)
        except TimeoutError:
            raise LoadError(f"{self.where} did not take bytes for {self._timeout_s:g} s") from None
        except OSError as error:
            raise self._lost(error) from None

    def _lost(self, error: OSError) -> Exception:
        """A send failed: the reason may be waiting among the received bytes."""
        try:
            while data := self.socket.recv(READ_BYTES):
                self.buffer += data
        except OSError:
            pass
        at = 0
        try:
            while size := frames.next_frame(self.buffer, at, len(self.buffer)):
                if frames.method_id_at(self.buffer, at) in (
                    frames.CONNECTION_CLOSE,
                    frames.CHANNEL_CLOSE,
                ):
                    return frames.fault_at(self.buffer, at)
                at += size
        except PeerFault as fault:
            return fault
        return LoadError(f"connection to {self.where} lost: {error}")

    def receive_into(self, target: memoryview) -> int:
        """Bytes received into ``target``, at least one."""
        try:
            size = self.socket.recv_into(target)
        except TimeoutError:
            raise LoadError(f"nothing from {self.where} for {self._timeout_s:g} s") from None
        except OSError as error:
            raise LoadError(f"connection to {self.where} lost: {error}") from None
        if not size:
            raise LoadError(f"connection to {self.where} ended without a close method")
        return size

    def call(self, request: bytes, reply: frames.MethodId) -> bytes:
        """Send ``request`` and return the encoded arguments of the method ``reply``."""
        self.send(request)
        chunk = memoryview(bytearray(65536))
        while True:
            while not (size := frames.next_frame(self.buffer, 0, len(self.buffer))):
                self.buffer += chunk[: self.receive_into(chunk)]
            whole = bytes(self.buffer[:size])
            fault = frames.fault_at(whole, 0)
            method_id = frames.method_id_at(whole, 0)
            del self.buffer[:size]
            if method_id == reply:
                return whole[11:-1]
            if whole[0] != frames.FRAME_HEARTBEAT and method_id not in frames.NOTICES:
                raise fault

    def close(self) -> None:
        """Close politely: wait for close-ok, reading past whatever still comes."""
        try:
            self.socket.sendall(
                frames.method(0, frames.CONNECTION_CLOSE, b"\x00\xc8\x00" + b"\x00\x00\x00\x00")
            )
            ok = frames.method(0, frames.CONNECTION_CLOSE_OK)
            tail = b""
            while data := self.socket.recv(READ_BYTES):
                tail = (tail + data)[-len(ok) :]
                if tail == ok:
                    break
        except OSError:
            pass
        self.socket.close()


def declare_queues(load: Load) -> None:
    """Delete and declare the queues of ``load`` through its publish port, empty and new."""
    connection = Connection(load.host, load.port, load.timeout_s)
    for queue in load.queue_names():
        connection.call(frames.queue_delete(queue), frames.QUEUE_DELETE_OK)
        declare = frames.queue_declare(queue, durable=load.durable)
        connection.call(declare, frames.QUEUE_DECLARE_OK)
    connection.close()


def delete_queues(load: Load) -> None:
    """Delete the queues of ``load``."""
    connection = Connection(load.host, load.port, load.timeout_s)
    for queue in load.queue_names():
        connection.call(frames.queue_delete(queue), frames.QUEUE_DELETE_OK)
    connection.close()


def _publish(load: Load, queue: str, pipe: Pipe, start: Event) -> float:
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
        select = frames.method(frames.CHANNEL, frames.CONFIRM_SELECT, b"\x00")
        connection.call(select, frames.CONFIRM_SELECT_OK)
    data = one * block
    _wait_for_start(load, pipe, start)
    if load.confirm:
        _publish_confirmed(load, connection, one, data, block)
    else:
        for _ in range(load.count // block):
            connection.send(data)
        if rest := load.count % block:
            connection.send(one * rest)
        # The reply to a synchronous method on the channel proves that all of it was read.
        passive = frames.queue_declare(queue, passive=True)
        connection.call(passive, frames.QUEUE_DECLARE_OK)
    ended_at_s = time.perf_counter()
    connection.close()
    return ended_at_s


def _publish_confirmed(
    load: Load, connection: Connection, one: bytes, data: bytes, block: int
) -> None:
    counter = frames.ConfirmCounter()
    buffer = connection.buffer
    chunk = memoryview(bytearray(262144))
    sent = 0
    while counter.confirmed < load.count:
        while sent < load.count and sent - counter.confirmed + block <= load.confirm:
            batch = min(block, load.count - sent)
            connection.send(data if batch == block else one * batch)
            sent += batch
        buffer += chunk[: connection.receive_into(chunk)]
        del buffer[: counter.take(buffer, len(buffer))]
        if counter.confirmed > sent:
            raise PeerFault(f"broker confirmed {counter.confirmed} of {sent} publishes")


def _consume(load: Load, queue: str, pipe: Pipe, start: Event) -> float:
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
    while counter.counted < load.count:
        before = counter.counted
        end += connection.receive_into(view[end : end + READ_BYTES])
        done = counter.take(buffer, end)
        view[: end - done] = bytes(view[done:end])
        end -= done
        if load.ack and counter.counted > before:
            connection.send(frames.basic_ack(counter.counted, multiple=True))
    ended_at_s = time.perf_counter()
    if counter.counted != load.count:
        raise PeerFault(f"{counter.counted} deliveries of {load.count} publishes")
    connection.close()
    return ended_at_s


def _wait_for_start(load: Load, pipe: Pipe, start: Event) -> None:
    pipe.send("ready")
    if not start.wait(load.timeout_s):
        raise LoadError("the start never came")


def _work(role: Role, load: Load, queue: str, pipe: Pipe, start: Event) -> None:
    """Body of a worker process: its last word on the pipe is a report or one line of text."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends us
    try:
        work = _publish if role == "publisher" else _consume
        ended_at_s = work(load, queue, pipe, start)
        usage = resource.getrusage(resource.RUSAGE_SELF)
        pipe.send(_Report(role, ended_at_s, usage.ru_utime + usage.ru_stime))
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


def run(load: Load, *, declare: bool = True, run_timeout_s: float = 600.0) -> Figures:
    """Run ``load`` and return its figures; the queues are deleted afterwards.

    ``declare=False`` takes the queues as they are (declared by ``declare_queues``, so that the
    caller could look up where they live). Raises LoadError.
    """
    try:
        if declare:
            declare_queues(load)
        figures = _run_workers(load, run_timeout_s)
        delete_queues(load)
    except PeerFault as fault:
        raise LoadError(f"{load.host}:{load.port}: {fault}") from None
    return figures


def _run_workers(load: Load, run_timeout_s: float) -> Figures:
    # Spawned, not forked: the caller may have threads, and a clean child is a cheap child.
    context = multiprocessing.get_context("spawn")
    start = context.Event()
    processes = []
    pipes: list[Pipe] = []
    roles: tuple[Role, Role] = ("consumer", "publisher")
    try:
        for queue in load.queue_names():
            for role in roles:
                ours, theirs = context.Pipe(duplex=False)
                process = context.Process(
                    target=_work, args=(role, load, queue, theirs, start), daemon=True
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

    def ended_at_s(role: Role) -> float:
        return max(report.ended_at_s for report in reports if report.role == role)

    publish_s = ended_at_s("publisher") - started_at_s
    duration_s = ended_at_s("consumer") - started_at_s
    return Figures(
        messages=messages,
        publish_per_s=round(messages / publish_s),
        consume_per_s=round(messages / duration_s),
        duration_s=round(duration_s, 4),
        client_cpu_s=round(sum(report.cpu_s for report in reports), 2),
    )


def main(arguments: list[str] | None = None) -> int:
    """``python -m bench.load``: one JSON line, or one line of error and exit code 2."""
    parser = argparse.ArgumentParser(prog="python -m bench.load", description=__doc__)
    flags = ("persistent", "durable", "ack")
    for field in dataclasses.fields(Load):
        option = "--" + field.name.removesuffix("_s").replace("_", "-")
        if field.name in flags:
            parser.add_argument(option, action="store_true", dest=field.name)
        else:
            default = 5672 if field.name == "port" else field.default
            kind = type(default)
            parser.add_argument(option, type=kind, default=default, dest=field.name)
    load = Load(**vars(parser.parse_args(arguments)))
    try:
        figures = run(load)
    except LoadError as error:
        print(f"bench.load: {error}", file=sys.stderr)
        return 2
    print(json.dumps(dataclasses.asdict(load) | dataclasses.asdict(figures)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
