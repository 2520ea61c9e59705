"""What the balancer of `rabbitry up` is told of nodes beside their health, as HAProxy asks agents.

Owns the words, those for the terminal as well, and one port for each node. An agent check connects,
says nothing unless it is told to, and reads a line (configuration.txt 5.2, "agent-check"). Here
nothing is read: the line goes out at once and the link is closed, so that whatever a stranger sends
or leaves out holds nothing open.

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

_CATALOG = "the catalog cannot be written: declarations wait"


SETTLE_S = 1.0
"""How long after a change people are told how it is then."""


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

    @property
    def alarms(self) -> str:
        """Who is low on what, and what waits for it, for people; empty where nobody is."""
        by_resources: dict[str, list[str]] = {}
        for node, alarms in sorted(self._alarms.items()):
            if alarms:
                by_resources.setdefault(low_on(alarms), []).append(node)
        low = [
            f"{', '.join(nodes)} {'is' if len(nodes) == 1 else 'are'} {low}"
            for low, nodes in by_resources.items()
        ]
        return f"{' and '.join(low)}: publishers wait, on all nodes" if low else ""

    @property
    def catalog(self) -> str:
        """That the catalog cannot be written, for people; empty if it can."""
        return f"{_CATALOG}, and so do failovers" if self._catalog else ""

    def line(self, node: str) -> bytes:
        """Return the line about a node. HAProxy keeps 127 bytes of it."""
        told = []
        if alarms := self._alarms.get(node):
            told.append(f"{low_on(alarms)}: publishers wait")
        if self._catalog:
            told.append(_CATALOG)
        return f"up # {'; '.join(told)}\n".encode() if told else b"up\n"


class Telling:
    """Tells people when words about a trouble have changed, and when there are none any more.

    A moment later: several nodes on one disk are one line, and what comes and goes at once is none.
    """

    def __init__(self, words: Callable[[], str], over: str, say: Callable[[str], None]) -> None:
        """`words` returns how it is now, empty where all is well; `over` is said of that."""
        self._words = words
        self._over = over
        self._say = say
        self._said = ""
        self._due: asyncio.TimerHandle | None = None

    def look(self) -> None:
        """Something may have changed."""
        if self._due is None and self._words() != self._said:
            self._due = asyncio.get_running_loop().call_later(SETTLE_S, self._tell)

    def close(self) -> None:
        """Tell no more."""
        if self._due is not None:
            self._due.cancel()

    def _tell(self) -> None:
        self._due = None
        words = self._words()
        if words != self._said:
            self._said = words
            self._say(words or self._over)


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
