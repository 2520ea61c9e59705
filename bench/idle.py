"""What lies idle costs: memory of a node for each idle connection and for each empty queue.

Owns the one scenario that `make bench` prints after the loads: a `rabbitry node`, so many
connections that have logged in and do nothing, then so many queues. Where the limit on open files
is too low for all connections, what fits is measured, and the line says so.
"""

from __future__ import annotations

import contextlib
import resource
import time

from bench import frames, rabbitry
from bench.connection import Connection
from bench.processes import rss_bytes

CONNECTIONS = 10_000
QUEUES = 10_000
FILES_SPARED = 200
"""Open files that this process and the node need for other things."""

TIMEOUT_S = 30.0
KIBIBYTE = 1024


def connections_that_fit(wanted: int) -> int:
    """Raise the limit on open files as far as it goes; return how many connections fit then."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            soft = hard
    return wanted if soft == resource.RLIM_INFINITY else max(0, min(wanted, soft - FILES_SPARED))


def line(what: str, count: int, wanted: int, grown_bytes: int, seconds: float) -> str:
    """Return the line of the report for one kind of idle thing."""
    each = grown_bytes / KIBIBYTE / max(count, 1)
    short = f" (the limit on open files allows no more; wanted {wanted})" if count < wanted else ""
    return f"{count} {what}: {each:.1f} KiB each, made in {seconds:.1f} s{short}"


def measure(connections: int = CONNECTIONS, queues: int = QUEUES) -> list[str]:
    """Return the report's lines: memory of a node for each idle connection and queue."""
    fitting = connections_that_fit(connections)
    lines: list[str] = []
    with rabbitry.running(1) as node, contextlib.ExitStack() as leaving:
        pids, port = list(node.pids.values()), node.ports[0]
        first = Connection("127.0.0.1", port, TIMEOUT_S)
        leaving.callback(first.close)
        before, began = rss_bytes(pids), time.monotonic()
        for _ in range(fitting):
            # Dropped without a word at the end: saying goodbye ten thousand times is long.
            leaving.callback(Connection("127.0.0.1", port, TIMEOUT_S).socket.close)
        after, made = rss_bytes(pids), time.monotonic()
        lines.append(line("idle connections", fitting, connections, after - before, made - began))
        for number in range(queues):
            first.call(frames.queue_declare(f"idle-{number}"), frames.QUEUE_DECLARE_OK)
        grown, declared = rss_bytes(pids) - after, time.monotonic() - made
        lines.append(line("empty queues", queues, queues, grown, declared))
    return lines
