"""Two nodes for `RollingRestart`: processes that do nothing, and a coordinator that is a table.

Owns the processes, the lines of progress and the balancer's rounds.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from rabbitry.runtime.balancer_socket import BalancerSilent
from rabbitry.runtime.control_server import Asker
from rabbitry.runtime.managed import ManagedProcess
from rabbitry.runtime.processes import Child
from rabbitry.runtime.rolling_restart import Queue, RollingRestart

SERVES = """
import os, sys
os.write(int(sys.argv[-1]), b'{"ready": {}}\\n')
sys.stdin.read()
"""


def queue(name: str, leader: str, mirrors: list[str], in_sync: list[str]) -> Queue:
    return {
        "vhost": "/",
        "name": name,
        "durable": True,
        "exclusive": False,
        "leader": leader,
        "mirrors": mirrors,
        "in_sync": in_sync,
    }


class Play:
    """Two nodes, a coordinator that is told what to say, and the lines of progress."""

    def __init__(self, tmp_path: Path) -> None:
        self.lines: list[str] = []
        self.asked: list[object] = []
        self.gone_after = 1_000
        self.if_left = ""
        self.queues = [queue("q", "a", ["b"], ["a", "b"])]
        self.alarms: dict[str, list[str]] = {}
        self.catalog_trouble = ""
        self.program = SERVES
        self.rounds: Rounds | None = None
        self.lags_when_back = False
        self.on_line: Callable[[str], None] = lambda line: None
        self.spawned: asyncio.Queue[str] = asyncio.Queue()
        self._log = tmp_path / "x.log"
        self.nodes: dict[str, ManagedProcess] = {}
        for name in ("a", "b"):
            self.nodes[name] = ManagedProcess(name, 1, lambda name=name: self._spawn(name))
            self.nodes[name].keep_running()

    def _spawn(self, name: str) -> Child:
        child = Child(name, [sys.executable, "-S", "-c", self.program], log=self._log)

        def joined(ready: asyncio.Future[Any]) -> None:
            if not ready.exception():
                self.nodes[name].joined.set()

        child.ready.add_done_callback(joined)
        self.spawned.put_nowait(name)
        return child

    @property
    def gone(self) -> bool:
        return len(self.lines) > self.gone_after

    def tell(self, line: str) -> None:
        self.lines.append(line)
        self.on_line(line)

    async def ask(self, question: Any) -> Any:
        if question == "status":
            nodes = [{"name": name, "alarms": self.alarms.get(name, [])} for name in self.nodes]
            trouble = self.catalog_trouble
            return {"nodes": nodes, "queues": self.queues, "catalog_trouble": trouble}
        self.asked.append(question)
        what, name = question
        assert what == "hand over"
        other = "b" if name == "a" else "a"
        in_sync = [other] if self.lags_when_back else [other, name]
        self.queues = [queue("q", other, [name], in_sync)]
        return None

    async def restart(self, *names: str, timeout_s: float = 20) -> list[str]:
        await asyncio.gather(*(node.joined.wait() for node in self.nodes.values()))
        return await self.rolling(timeout_s).run([self.nodes[name] for name in names])

    def rolling(self, timeout_s: float = 20) -> RollingRestart:
        return RollingRestart(self.ask, self.nodes, cast(Asker, self), timeout_s, self.rounds)

    async def end(self) -> None:
        for node in self.nodes.values():
            await node.stop(grace_s=10)


class Rounds:
    """A balancer that notes who is out of its rounds, or is silent."""

    def __init__(self, play: Play, silent: bool) -> None:
        self.play = play
        self.silent = silent
        self.heard: list[tuple[str, str, int | None]] = []

    async def take_out(self, node: str) -> None:
        if self.silent:
            raise BalancerSilent("the balancer does not answer")
        self.heard.append(("out", node, self.play.nodes[node].pid))

    async def put_back(self, node: str) -> None:
        if self.silent:
            raise BalancerSilent("the balancer does not answer")
        self.heard.append(("back", node, self.play.nodes[node].pid))
