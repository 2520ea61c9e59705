"""How everything is: the words for the state of a node, and what `rabbitry status` shows.

Owns the shape of a status, the reading of a balancer's CSV page and the table. Pure: it is given
what is known and decides what to call it.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from typing import Any

import msgspec

COLOURS = {
    "running": "32",
    "UP": "32",
    "starting": "33",
    "stopped": "33",
    "hung": "31",
    "down": "31",
    "DOWN": "31",
    "killed": "31",
}
"""Colours of a terminal (SGR) for words of state: green is well, yellow waits, red is not well."""


class NodeStatus(msgspec.Struct):
    """One node. `pid` is None where no process runs; `state` is a word of `node_state`.

    `alarms` is what it is low on, while which nobody can publish: "memory", "disk".
    """

    name: str
    pid: int | None
    port: int
    state: str
    alarms: list[str] = []


class QueueStatus(msgspec.Struct):
    """One queue, as the coordinator knows it. `leader`, `mirrors`, `in_sync` are names of nodes.

    `messages` and `consumers` are None where its leader has not told them in time, `leader` is None
    or empty where there is none. `stored` are nodes whose processes have died and whose stores have
    all that was confirmed. `waits` is why nobody leads it at present, empty where somebody does.
    """

    vhost: str
    name: str
    leader: str | None
    mirrors: list[str]
    in_sync: list[str]
    messages: int | None
    consumers: int | None
    stored: list[str] = []
    waits: str = ""


class Backend(msgspec.Struct):
    """One server of the balancer; `state` and `sessions` as on its statistics page."""

    name: str
    state: str
    sessions: int


class BalancerStatus(msgspec.Struct):
    """The balancer. `state` is running, starting, stopped or down."""

    address: str
    statistics: str
    pid: int | None
    state: str
    backends: list[Backend]


class Status(msgspec.Struct):
    """What `rabbitry status --json` prints.

    `disk_bytes` is what the data directory takes, `free_bytes` what is free there.
    `catalog_trouble` is why nothing can be declared at present: the disk refuses the catalog. Empty
    where all is well.
    """

    data_dir: str
    pid: int
    nodes: list[NodeStatus]
    queues: list[QueueStatus]
    balancer: BalancerStatus
    catalog_trouble: str = ""
    disk_bytes: int = 0
    free_bytes: int = 0


def node_state(*, alive: bool, killed: bool, stopped: bool, known: str) -> str:
    """Return the word for the state of a node.

    `alive`: its process runs; `killed`: an operator ended it; `stopped`: by SIGSTOP; `known`: what
    the coordinator says of it ("running", "hung", "down"; "" if nothing). What the supervisor sees
    of the process itself counts for more than what the coordinator has heard from it lately.
    """
    if not alive:
        return "killed" if killed else "down"
    if stopped:
        return "stopped"
    return known if known in ("running", "hung") else "starting"


def low_on(alarms: Sequence[str]) -> str:
    """Return the words for what a node is low on; there is something."""
    return f"low on {' & '.join(alarms)}"


def backends_of(page: str) -> list[Backend]:
    """Return the servers that a CSV page of HAProxy's form names (management.txt 9.1).

    An unreadable page has none.
    """
    lines = page.lstrip("# ").splitlines()
    return [
        Backend(row["svname"], row["status"], int(row.get("scur") or 0))
        for row in csv.DictReader(lines)
        if row.get("svname") not in (None, "FRONTEND", "BACKEND") and row.get("status")
    ]


def table(status: Status, *, coloured: bool) -> str:
    """Return the status for people, with an end of line after each line."""
    alarms = any(node.alarms for node in status.nodes)
    nodes = [
        [
            node.name,
            str(node.pid or "-"),
            str(node.port),
            *([low_on(node.alarms) if node.alarms else "-"] if alarms else []),
            node.state,
        ]
        for node in status.nodes
    ]
    balancer = status.balancer
    backends = [
        [backend.name, str(backend.sessions), backend.state] for backend in balancer.backends
    ]
    parts = [
        _rows(
            ["node", "pid", "port", *(["alarms"] if alarms else []), "state"],
            nodes,
            {1, 2},
            coloured,
        ),
        _queues(status.queues, coloured) if status.queues else "no queues\n",
        _rows(
            ["balancer", "pid", "statistics", "state"],
            [[balancer.address, str(balancer.pid or "-"), balancer.statistics, balancer.state]],
            {1},
            coloured,
        ),
    ]
    if status.catalog_trouble:
        why = _printable(status.catalog_trouble)
        parts.insert(0, f"the catalog cannot be written, so that declarations wait: {why}\n")
    if backends:
        parts.append(_rows(["backend", "sessions", "state"], backends, {1}, coloured))
    size, free = shown_bytes(status.disk_bytes), shown_bytes(status.free_bytes)
    heads = ["data directory", "takes", "free"]
    parts.append(_rows(heads, [[status.data_dir, size, free]], {1, 2}, coloured))
    return "\n".join(parts)


def _queues(queues: list[QueueStatus], coloured: bool) -> str:
    waits = any(queue.waits for queue in queues)
    heads = ["vhost", "queue", "leader", "mirrors", "in sync", "messages", "consumers"]
    rows = [
        [
            queue.vhost,
            queue.name,
            queue.leader or "-",
            ", ".join(queue.mirrors) or "-",
            ", ".join(queue.in_sync) or "-",
            "-" if queue.messages is None else str(queue.messages),
            "-" if queue.consumers is None else str(queue.consumers),
            *([queue.waits or "-"] if waits else []),
        ]
        for queue in queues
    ]
    return _rows([*heads, *(["why nobody leads"] if waits else [])], rows, {5, 6}, coloured)


def shown_bytes(size: int) -> str:
    """Return a size for people."""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"


def _rows(heads: list[str], rows: list[list[str]], right: set[int], coloured: bool) -> str:
    """Align the cells in columns, those in `right` to the right."""
    printable = [[_printable(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(heads, *printable, strict=True)]
    lines = []
    for number, row in enumerate([heads, *printable]):
        cells = [
            cell.rjust(width) if index in right else cell.ljust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        line = "  ".join(cells).rstrip()
        if coloured and number == 0:
            line = f"\x1b[1m{line}\x1b[0m"
        elif coloured and row[-1] in COLOURS:
            line = f"{line[: -len(row[-1])]}\x1b[{COLOURS[row[-1]]}m{row[-1]}\x1b[0m"
        lines.append(line + "\n")
    return "".join(lines)


def _printable(cell: str) -> str:
    """A queue's name may hold anything, and must not steer the terminal."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in cell)


def from_reply(result: dict[str, Any]) -> Status:
    """Return the status that came as the result of a reply."""
    return msgspec.convert(result, Status)
