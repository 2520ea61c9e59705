"""What the balancer of `rabbitry up` is told of nodes beside their health, as HAProxy asks agents.

Owns the words, and one port for each node. An agent check connects, says nothing unless it is told
to, and reads a line (configuration.txt 5.2, "agent-check"). Here nothing is read: the line goes out
at once and the link is closed, so that whatever a stranger sends or leaves out holds nothing open.

Invariants: the first word is always "up", and none that administers ever comes. Whether a node
serves is for the health check to find, which is quicker; whether it is drained is the operator's,
and `rabbitry restart`'s: an agent that said "ready" would undo it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from functools import partial
from typing import cast

from rabbitry.machine import Address, Report
from rabbitry.runtime.listeners import ListenFailed
from rabbitry.runtime.status import low_on


class Troubles:
    """What keeps clients waiting, as the coordinator reports it."""

    def __init__(self) -> None:
        self._alarms: dict[str, list[str]] = {}
        self._catalog = False

    def heard(self, report: Report) -> None:
        """Take a report of the coordinator; most are of other things."""
        details = report.details
        if report.what == "alarms of node":
            self._alarms[details["node"]] = details["alarms"]
        elif report.what == "node left":
            self._alarms.pop(details["node"], None)
        elif report.what == "the catalog cannot be written: declarations and failovers wait":
            self._catalog = True
        elif report.what == "the catalog can be written again":
            self._catalog = False

    def line(self, node: str) -> bytes:
        """Return the line about a node. HAProxy keeps 127 bytes of it."""
        told = []
        if alarms := self._alarms.get(node):
            told.append(f"{low_on(alarms)}: publishers wait")
        if self._catalog:
            told.append("the catalog cannot be written: declarations wait")
        return f"up # {'; '.join(told)}\n".encode() if told else b"up\n"


class AlarmAgents:
    """Answers agent checks, from `open` to `close`."""

    def __init__(self, line: Callable[[str], bytes]) -> None:
        """`line` returns what is said of the node of this name."""
        self._line = line
        self._servers: list[asyncio.Server] = []

    async def open(self, host: str, nodes: Iterable[str]) -> dict[str, Address]:
        """Listen for each node, on a port that is free; return where. Raises `ListenFailed`."""
        places = {}
        loop = asyncio.get_running_loop()
        for node in nodes:
            try:
                server = await loop.create_server(partial(_Once, self._line, node), host, 0)
            except OSError as error:
                raise ListenFailed(f"cannot listen on {host}: {error.strerror}") from None
            self._servers.append(server)
            places[node] = Address(host, server.sockets[0].getsockname()[1])
        return places

    def close(self) -> None:
        """Answer nobody any more."""
        for server in self._servers:
            server.close()


class _Once(asyncio.Protocol):
    """Says its line to whoever connects, and ends."""

    def __init__(self, line: Callable[[str], bytes], node: str) -> None:
        self._line = line
        self._node = node

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        peer = cast("asyncio.Transport", transport)  # uvloop's is one by its methods only
        peer.write(self._line(self._node))
        peer.close()
