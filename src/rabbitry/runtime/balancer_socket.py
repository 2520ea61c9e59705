"""Speaks to a balancer's runtime socket: one command, one answer (management.txt 9.3).

Owns the socket and its time limit, and the commands by which `rabbitry up` takes a node out of the
balancer's rounds and puts it back. The socket is HAProxy's: it works with one of these as well.

Invariants: no command waits longer than `ANSWER_S`; a balancer that cannot be asked is an error of
one line, never an exception of the system.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

ANSWER_S = 5.0
"""How long a balancer has to answer: it is one step of its machine."""


class BalancerSilent(Exception):
    """The balancer could not be asked, or has refused; the text says which and why."""


async def ask_balancer(path: Path, command: str) -> str:
    """Give a command to the runtime socket at `path`; return its answer without the empty line.

    Raises `BalancerSilent`.
    """
    try:
        async with asyncio.timeout(ANSWER_S):
            reader, writer = await asyncio.open_unix_connection(str(path))
            try:
                writer.write(f"{command}\n".encode())
                answer = await reader.read()
            finally:
                writer.close()
    except TimeoutError:
        raise BalancerSilent(f"the balancer does not answer at {path}") from None
    except OSError as error:
        raise BalancerSilent(
            f"the balancer cannot be reached at {path}: {error.strerror}"
        ) from None
    return answer.decode(errors="replace").strip("\n")


class BalancerRounds:
    """The nodes of `rabbitry up` in the rounds of its balancer.

    `backends` are the sections whose servers are the nodes, each with what it appends to the name
    of a node to name its server.
    """

    def __init__(self, path: Path, backends: tuple[tuple[str, str], ...]) -> None:
        self._path = path
        self._backends = backends

    async def take_out(self, node: str) -> None:
        """No new connection goes to this node; those it has stay. Raises `BalancerSilent`."""
        await self._set_state(node, "drain")

    async def put_back(self, node: str) -> None:
        """New connections go to this node again, when it is up. Raises `BalancerSilent`."""
        await self._set_state(node, "ready")

    async def _set_state(self, node: str, state: str) -> None:
        for backend, suffix in self._backends:
            command = f"set server {backend}/{node}{suffix} state {state}"
            if answer := await ask_balancer(self._path, command):
                raise BalancerSilent(f"the balancer refuses `{command}`: {answer}")
