"""A long queue: what it costs to fill it, to keep it, to come back with it, to empty it.

Owns the scenario `backlog` of ``bench.run``, which runs alone too (``python -m bench.backlog``):
one node, one durable queue, persistent messages with confirms and nobody who consumes; then a
publisher and a consumer at the same time on the deep queue; then, in turns, publishing alone and
consuming alone on the deep queue and on a short one beside it; then SIGKILL, a new start until the
first delivery, and all of it consumed with acks. Every delivery is counted: a message that was
confirmed and is not there is an error.

Memory is read from ``/proc`` a few times a second. Pages of mapped files (RssFile) are page cache
that a store reads through, and stand beside what the process itself holds (RssAnon).
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from statistics import median
from typing import Protocol

from bench import frames, load, rabbitmq, rabbitry
from bench.connection import Connection, LoadError
from bench.frames import PeerFault
from bench.load import Load
from bench.processes import Memory, SideError, disk_usage_bytes, forget_pages, memory
from bench.scenarios import RABBITMQ, RABBITRY

MESSAGES = 1_000_000
SIZE = 1024
WINDOW = 2000
PREFETCH = 2000
THROUGH = 100_000
"""Messages published to and consumed from the queue while it is deep; at most a fifth of it."""

TURNS = 9
"""How often the deep queue and a short one take turns. What depth costs is told by the medians: a
disk that is written to all the time gets slower for both."""

TIMEOUT_S = 300.0
SAMPLE_S = 0.2
QUEUE = "backlog-0"
LAZY = "rabbitmq lazy"
"""RabbitMQ's classic queue with x-queue-mode lazy, which keeps no messages in memory."""

SIDES = (RABBITRY, RABBITMQ, LAZY)
MEBIBYTE = 1 << 20


class Node(Protocol):
    """One running node that can be killed and started again where it was."""

    directory: str
    ports: list[int]
    pids: dict[str, int]

    def start(self) -> None:
        """Start it; it need not serve when this returns."""

    def crash(self) -> None:
        """SIGKILL."""


@dataclasses.dataclass(frozen=True)
class Part:
    """Publishing or consuming all messages: messages a second, the most memory meanwhile.

    Of tenths, the first and the last: the queue is short in the first of publishing and in the last
    of consuming.
    """

    per_s: int
    first_tenth_per_s: int
    last_tenth_per_s: int
    memory_peak: Memory


@dataclasses.dataclass(frozen=True)
class Depth:
    """A deep queue beside a short one on the same node: messages a second, one figure a turn."""

    deep_publish_per_s: list[int]
    short_publish_per_s: list[int]
    deep_consume_per_s: list[int]
    short_consume_per_s: list[int]


@dataclasses.dataclass(frozen=True)
class Starts:
    """Starting the killed process again, until its first delivery, in seconds.

    ``cold_s``: when its files are not in the page cache, as after a loss of power.
    """

    warm_s: float
    cold_s: float
    memory: Memory


@dataclasses.dataclass(frozen=True)
class Backlog:
    """What one side did.

    ``through_per_s``: messages a second that came and went while the queue was deep;
    ``empty_start_s``: seconds from a start without the queue until a connection is open.
    """

    side: str
    messages: int
    published: Part
    deep_memory: Memory
    disk_bytes: int
    through_per_s: int
    depth: Depth
    starts: Starts
    empty_start_s: float
    consumed: Part


class Peak:
    """The most of each kind of memory that a process held while this context was entered."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.memory = Memory()

    def __enter__(self) -> Peak:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        while True:
            now, most = memory(self._pid), self.memory
            self.memory = Memory(
                max(now.rss_bytes, most.rss_bytes),
                max(now.anon_bytes, most.anon_bytes),
                max(now.file_bytes, most.file_bytes),
            )
            if self._ended.wait(SAMPLE_S):
                return


def measure(side: str, node: Node, messages: int, size: int, say: Callable[[str], None]) -> Backlog:
    """Fill and use a queue of a running node, kill the node, start it, empty the queue.

    Raises LoadError, SideError, PeerFault.
    """
    work = Load(
        port=node.ports[0],
        count=messages,
        size=size,
        confirm=WINDOW,
        persistent=True,
        durable=True,
        ack=True,
        prefetch=PREFETCH,
        queue_mode="lazy" if side == LAZY else "",
        prefix="backlog",
        timeout_s=TIMEOUT_S,
    )
    load.declare_queues(work)
    published = _alone(work, "publisher", node)
    deep_memory, disk_bytes = memory(_pid(node)), disk_usage_bytes(node.directory)
    say(f"backlog: {side}, {messages:,} published: {published.per_s:,} msgs/s")
    flowing = dataclasses.replace(work, count=min(THROUGH, messages // 5), deep=True)
    through = _part(flowing, "publisher", "consumer")
    through_per_s = min(through.publish_per_s, through.consume_per_s)
    say(f"backlog: {side}, through the deep queue: {through_per_s:,} msgs/s")
    depth = _in_turns(work, flowing)
    say(f"backlog: {side}, deep beside short: {_beside(depth)}")
    starts = _starts(node, work)
    say(f"backlog: {side}, killed, delivers in {starts.warm_s:.1f} s, cold {starts.cold_s:.1f} s")
    consumed = _alone(work, "consumer", node)
    _check_depth(work, 0)
    say(f"backlog: {side}, consumed: {consumed.per_s:,} msgs/s")
    load.delete_queues(work)
    return Backlog(
        side=side,
        messages=messages,
        published=published,
        deep_memory=deep_memory,
        disk_bytes=disk_bytes,
        through_per_s=through_per_s,
        depth=depth,
        starts=starts,
        empty_start_s=round(_start_until_connected(node), 2),
        consumed=consumed,
    )


def _in_turns(work: Load, flowing: Load) -> Depth:
    """``flowing`` is of the deep queue. As many messages go into each queue as come out again."""
    short = dataclasses.replace(work, count=flowing.count, prefix="short")
    load.declare_queues(short)
    rates = Depth([], [], [], [])
    for turn in range(TURNS):
        queues = (
            (flowing, rates.deep_publish_per_s, rates.deep_consume_per_s),
            (short, rates.short_publish_per_s, rates.short_consume_per_s),
        )
        for queue, published, _ in queues if turn % 2 else queues[::-1]:
            published.append(_part(queue, "publisher").publish_per_s)
        for queue, _, consumed in queues if turn % 2 else queues[::-1]:
            consumed.append(_part(queue, "consumer").consume_per_s)
    load.delete_queues(short)
    return rates


def _alone(work: Load, role: load.Role, node: Node) -> Part:
    with Peak(_pid(node)) as peak:
        figures = _part(work, role)
    of_publisher = role == "publisher"
    tenths = figures.publish_tenths_per_s if of_publisher else figures.consume_tenths_per_s
    per_s = figures.publish_per_s if of_publisher else figures.consume_per_s
    return Part(per_s, tenths[0], tenths[-1], peak.memory)


def _starts(node: Node, work: Load) -> Starts:
    node.crash()
    warm_s = _start_until_first_delivery(node, work.size)
    held = memory(_pid(node))
    _check_depth(work, work.count)
    node.crash()
    forget_pages(node.directory)
    cold_s = _start_until_first_delivery(node, work.size)
    _check_depth(work, work.count)
    return Starts(round(warm_s, 2), round(cold_s, 2), held)


def _pid(node: Node) -> int:
    (pid,) = node.pids.values()
    return pid


def _part(work: Load, *roles: load.Role) -> load.Figures:
    return load.run(work, declare=False, delete=False, roles=roles, run_timeout_s=1800.0)


def _start_until_connected(node: Node) -> float:
    node.crash()
    began_s = time.perf_counter()
    node.start()
    connection = _connect(node.ports[0], began_s + TIMEOUT_S)
    seconds = time.perf_counter() - began_s
    connection.close()
    return seconds


def _start_until_first_delivery(node: Node, size: int) -> float:
    began_s = time.perf_counter()
    node.start()
    connection = _connect(node.ports[0], began_s + TIMEOUT_S)
    connection.call(frames.basic_qos(1), frames.BASIC_QOS_OK)
    connection.call(frames.basic_consume(QUEUE, "first", no_ack=False), frames.BASIC_CONSUME_OK)
    counter = frames.DeliveryCounter(size)
    buffer = connection.buffer
    chunk = memoryview(bytearray(65536))
    while not counter.counted:
        del buffer[: counter.take(buffer, len(buffer))]
        if not counter.counted:
            buffer += chunk[: connection.receive_into(chunk)]
    seconds = time.perf_counter() - began_s
    connection.close()
    return seconds


def _connect(port: int, until_s: float) -> Connection:
    while True:
        try:
            return Connection("127.0.0.1", port, TIMEOUT_S)
        except LoadError:
            if time.perf_counter() > until_s:
                raise
            time.sleep(0.01)  # a foreign process offers no event for "I listen now"


def _check_depth(work: Load, expected: int) -> None:
    """Raise LoadError unless ``expected`` messages wait. What was unacked is soon there again."""
    connection = Connection(work.host, work.port, work.timeout_s)
    until_s = time.monotonic() + TIMEOUT_S / 10
    while True:
        passive = frames.queue_declare(QUEUE, passive=True)
        depth = frames.message_count_of(connection.call(passive, frames.QUEUE_DECLARE_OK))
        if depth == expected or time.monotonic() > until_s:
            break
        time.sleep(0.05)
    connection.close()
    if depth != expected:
        raise LoadError(f"{depth} messages wait where {expected} have to")


def starter(side: str, options: tuple[str, ...]) -> AbstractContextManager[Node]:
    """One node of ``side``; ``options`` go to ours."""
    return rabbitmq.running(1) if side in (RABBITMQ, LAZY) else _our_node(options)


@contextlib.contextmanager
def _our_node(options: tuple[str, ...]) -> Iterator[Node]:
    with rabbitry.running(1, options=options) as node:
        assert isinstance(node, rabbitry.SingleNode)
        yield node


def compare(
    sides: list[str],
    messages: int,
    size: int,
    say: Callable[[str], None],
    options: tuple[str, ...] = (),
) -> tuple[list[Backlog], list[str]]:
    """One side after another, alone on the machine; results, and a line for each that failed."""
    found, errors = [], []
    for side in sides:
        say(f"backlog: starting {side}, 1 node")
        try:
            with starter(side, options) as node:
                found.append(measure(side, node, messages, size, say))
        except (SideError, LoadError, PeerFault) as error:
            errors.append(f"{side}: {error}")
            say(f"backlog: {side} failed: {error}")
    return found, errors


def table(found: list[Backlog]) -> str:
    """A line for each figure, a column for each side."""
    if not found:
        return ""
    lines = [f"{'backlog of ' + format(found[0].messages, ','):34}"]
    lines[0] += "".join(f"{one.side:>28}" for one in found)
    for name, text in _LINES:
        lines.append(f"{name:34}" + "".join(f"{text(one):>28}" for one in found))
    return "\n".join(lines)


def _rates(part: Part) -> str:
    return f"{part.per_s:,} ({part.first_tenth_per_s:,}..{part.last_tenth_per_s:,})"


def _beside(depth: Depth) -> str:
    """Ratios of medians: deep by short, publishing and consuming."""
    publishing = median(depth.deep_publish_per_s) / median(depth.short_publish_per_s)
    consuming = median(depth.deep_consume_per_s) / median(depth.short_consume_per_s)
    return f"{publishing:.2f} in, {consuming:.2f} out"


def _medians(deep: list[int], short: list[int]) -> str:
    return f"{median(deep):,.0f} / {median(short):,.0f}"


def _mebibytes(held: Memory) -> str:
    return f"{held.anon_bytes // MEBIBYTE} + {held.file_bytes // MEBIBYTE}"


_LINES: tuple[tuple[str, Callable[[Backlog], str]], ...] = (
    ("published/s (first..last tenth)", lambda one: _rates(one.published)),
    ("MiB anon + file, peak", lambda one: _mebibytes(one.published.memory_peak)),
    ("MiB anon + file, deep", lambda one: _mebibytes(one.deep_memory)),
    ("MiB on disk", lambda one: f"{one.disk_bytes // MEBIBYTE}"),
    ("in and out while deep/s", lambda one: f"{one.through_per_s:,}"),
    ("deep by short", lambda one: _beside(one.depth)),
    (
        "published/s, deep / short",
        lambda one: _medians(one.depth.deep_publish_per_s, one.depth.short_publish_per_s),
    ),
    (
        "consumed/s, deep / short",
        lambda one: _medians(one.depth.deep_consume_per_s, one.depth.short_consume_per_s),
    ),
    ("start to first delivery, s", lambda one: f"{one.starts.warm_s:.2f}"),
    ("the same, nothing in page cache", lambda one: f"{one.starts.cold_s:.2f}"),
    ("start when empty, s", lambda one: f"{one.empty_start_s:.2f}"),
    ("MiB anon + file, started", lambda one: _mebibytes(one.starts.memory)),
    ("consumed/s (first..last tenth)", lambda one: _rates(one.consumed)),
    ("MiB anon + file, peak", lambda one: _mebibytes(one.consumed.memory_peak)),
)


def main(arguments: list[str] | None = None) -> int:
    """``python -m bench.backlog``: 0, or 2 where a side failed."""
    parser = argparse.ArgumentParser(prog="python -m bench.backlog", description=__doc__)
    parser.add_argument("--messages", type=int, default=MESSAGES)
    parser.add_argument("--size", type=int, default=SIZE, help="bytes of a body")
    parser.add_argument("--only", choices=SIDES, action="append")
    parser.add_argument("--json", default="", help="file for everything measured")
    parser.add_argument("node_options", nargs="*", help="after --: options of `rabbitry node`")
    options = parser.parse_args(arguments)
    sides = options.only or list(SIDES)
    if reason := rabbitmq.missing():
        print(f"RabbitMQ's sides are left out: {reason}")
        sides = [side for side in sides if side == RABBITRY]
    found, errors = compare(
        sides,
        options.messages,
        options.size,
        lambda line: print(line, flush=True),
        tuple(options.node_options),
    )
    print(f"\n{table(found)}")
    if options.json:
        with open(options.json, "w") as file:
            json.dump([dataclasses.asdict(one) for one in found], file, indent=2)
    return 2 if errors else 0


if __name__ == "__main__":
    sys.exit(main())
