"""What commands do to a running Rabbitry: its processes, and its coordinator.

Owns the carrying out of each request but `stop`, and the lines that say why one cannot be. What is
started, and the end of everything, are the supervisor's.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from rabbitry.runtime import control, operating
from rabbitry.runtime.control_server import Asker
from rabbitry.runtime.data_directory import Layout
from rabbitry.runtime.errors import EXIT_NOT_SO, UserError
from rabbitry.runtime.inspection import gather_status
from rabbitry.runtime.managed import ManagedProcess
from rabbitry.runtime.rebalancing import IF_LEFT, rebalance
from rabbitry.runtime.rolling_restart import GRACE_S, JOIN_S, RollingRestart, Rounds
from rabbitry.runtime.up_settings import UpSettings

_log = logging.getLogger("rabbitry")


class CommandDesk:
    """Carries out what commands ask for."""

    def __init__(
        self,
        settings: UpSettings,
        layout: Layout,
        ask: operating.Ask,
        nodes: dict[str, ManagedProcess],
        balancer: Callable[[], ManagedProcess | None],
        rounds: Rounds | None = None,
    ) -> None:
        """`ask` asks the coordinator; `nodes` may still be filled, `balancer` become one, of whose
        rounds a node is taken while it is restarted."""
        self._rounds = rounds
        self._settings = settings
        self._layout = layout
        self._ask = ask
        self._nodes = nodes
        self._balancer = balancer
        self._moving = ""  # what moves leadership at present: one thing at a time

    async def carry_out(self, request: control.Request, asker: Asker) -> dict[str, Any]:
        """Return the result of a request; raises `UserError`."""
        match request:
            case control.Status():
                found = await gather_status(
                    self._settings, self._layout, self._ask, self._nodes, self._balancer()
                )
                result: dict[str, Any] = msgspec.to_builtins(found)
                return result
            case control.Kill():
                return await self._kill(request)
            case control.Start():
                return await self._start(request.name)
            case control.Restart():
                return await self._restart(request, asker)
            case control.Rebalance():
                with self._alone("a rebalance"):
                    asker.if_left = IF_LEFT
                    return await rebalance(self._ask, self._nodes, asker)
            case control.Definitions():
                definitions: dict[str, Any] = await self._ask("definitions")
                return definitions
            case control.Operate():
                return await operating.carry_out(self._ask, request)
            case control.Stop():
                raise AssertionError("the supervisor's own")

    async def _kill(self, request: control.Kill) -> dict[str, Any]:
        node = self._node(request.name)
        pid = node.pid
        if pid is None:
            raise UserError(
                f"node {node.name} is not running; start it with `rabbitry start {node.name}`",
                EXIT_NOT_SO,
            )
        child = node.child
        if request.signal == "TERM" and child.stopped:
            raise UserError(
                f"node {node.name} (pid {pid}) is stopped and would not hear of it; "
                "let it go on with --signal CONT first, or use --signal KILL",
                EXIT_NOT_SO,
            )
        ends = request.signal in ("KILL", "TERM")
        if ends:
            node.killed = True
        child.signal(signal.Signals[f"SIG{request.signal}"])
        _log.info("signal sent node=%s pid=%s signal=%s", node.name, pid, request.signal)
        if ends:
            await asyncio.wait([child.exited], timeout=2 * GRACE_S)
            if child.alive:
                raise UserError(
                    f"node {node.name} (pid {pid}) is still ending; use --signal KILL", EXIT_NOT_SO
                )
        return {"node": node.name, "pid": pid}

    async def _start(self, name: str) -> dict[str, Any]:
        node = self._node(name)
        if node.alive and node.child.stopped:
            raise UserError(
                f"node {name} (pid {node.pid}) is stopped; "
                f"continue it with `rabbitry kill {name} --signal CONT`",
                EXIT_NOT_SO,
            )
        if node.alive and node.joined.is_set():
            raise UserError(f"node {name} is running already (pid {node.pid})", EXIT_NOT_SO)
        node.start()
        try:
            async with asyncio.timeout(JOIN_S):
                await node.joined.wait()
        except TimeoutError:
            log = self._layout.log(name)
            raise UserError(
                f"node {name} has not joined the cluster within {JOIN_S:.0f} s; see {log}",
                EXIT_NOT_SO,
            ) from None
        return {"node": name, "pid": node.pid}

    @contextlib.contextmanager
    def _alone(self, what: str) -> Iterator[None]:
        if self._moving:
            raise UserError(f"{self._moving} is under way already", EXIT_NOT_SO)
        self._moving = what
        try:
            yield
        finally:
            self._moving = ""

    async def _restart(self, request: control.Restart, asker: Asker) -> dict[str, Any]:
        chosen = [self._node(name) for name in request.names] or list(self._nodes.values())
        with self._alone("a restart"):
            rolling = RollingRestart(self._ask, self._nodes, asker, request.timeout_s, self._rounds)
            done = await rolling.run(chosen)
            if len(done) == len(self._nodes) > 1 and not asker.gone:
                # The first to be back leads everything, the last nothing; all are in sync.
                asker.if_left = f"{asker.if_left}; {IF_LEFT}"
                try:
                    evens = "`rabbitry rebalance`"
                    await rebalance(self._ask, self._nodes, asker, request.timeout_s, evens)
                except UserError as error:
                    asker.tell(f"who leads was not evened out: {error}")
        return {"nodes": done}

    def _node(self, name: str) -> ManagedProcess:
        if name not in self._nodes:
            raise UserError(f"there is no node {name}; there are {', '.join(self._nodes)}")
        return self._nodes[name]
