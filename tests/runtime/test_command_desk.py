"""What commands are told where what they ask for cannot be.

What they do where it can be is shown by `test_supervisor`, with a whole cluster.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, cast

import pytest
from support.restarting_nodes import Play

from rabbitry.runtime import control
from rabbitry.runtime.command_desk import CommandDesk
from rabbitry.runtime.control_server import Asker
from rabbitry.runtime.data_directory import Layout
from rabbitry.runtime.errors import UserError
from rabbitry.runtime.managed import ManagedProcess
from rabbitry.runtime.processes import Child
from rabbitry.runtime.up_settings import UpSettings

Run = Callable[[Coroutine[Any, Any, Any]], Any]


class NobodyListens(Asker):
    def __init__(self) -> None:
        pass

    def tell(self, line: str) -> None:
        pass

    @property
    def gone(self) -> bool:
        return False


STATUS = {"nodes": [], "queues": [], "catalog_trouble": ""}


async def ask(question: object) -> Any:
    return {"users": []} if question == "definitions" else STATUS


Test = Callable[[CommandDesk, ManagedProcess], Coroutine[Any, Any, Any]]

SERVES = """
import os, sys
os.write(int(sys.argv[-1]), b'{"ready": {}}\\n')
sys.stdin.read()
"""


def one_node(run: Run, tmp_path: Path, test: Test) -> None:
    async def main() -> None:
        def spawn() -> Child:
            child = Child("rabbit", [sys.executable, "-S", "-c", SERVES], log=tmp_path / "x.log")
            child.ready.add_done_callback(lambda ready: ready.exception() or node.joined.set())
            return child

        node = ManagedProcess("rabbit", 1, spawn)
        node.keep_running()
        settings = UpSettings(tmp_path, nodes=1)
        desk = CommandDesk(settings, Layout(tmp_path), ask, {"rabbit": node}, lambda: None)
        await test(desk, node)
        node.child.signal(signal.SIGCONT)
        await node.stop(grace_s=10)

    run(main())


def test_a_node_that_is_not_there(run: Run, tmp_path: Path) -> None:
    async def test(desk: CommandDesk, node: ManagedProcess) -> None:
        for request in (
            control.Kill("hare"),
            control.Start("hare"),
            control.Restart(["hare"], 1),
        ):
            with pytest.raises(UserError, match="there is no node hare; there are rabbit"):
                await desk.carry_out(request, NobodyListens())

    one_node(run, tmp_path, test)


def test_a_killed_node_is_down_when_it_is_answered(run: Run, tmp_path: Path) -> None:
    async def test(desk: CommandDesk, node: ManagedProcess) -> None:
        pid = node.pid
        done = await desk.carry_out(control.Kill("rabbit"), NobodyListens())
        assert done == {"node": "rabbit", "pid": pid}
        assert not node.alive
        with pytest.raises(UserError, match="is not running; start it with"):
            await desk.carry_out(control.Kill("rabbit"), NobodyListens())

    one_node(run, tmp_path, test)


def test_one_restart_at_a_time(run: Run, tmp_path: Path) -> None:
    async def test(desk: CommandDesk, node: ManagedProcess) -> None:
        await node.joined.wait()
        first = asyncio.create_task(desk.carry_out(control.Restart([], 20), NobodyListens()))
        await asyncio.sleep(0)
        with pytest.raises(UserError, match="a restart is under way already"):
            await desk.carry_out(control.Restart([], 20), NobodyListens())
        assert await first == {"nodes": ["rabbit"]}

    one_node(run, tmp_path, test)


class Evens(Play):
    """Two nodes, and a coordinator that evens out who leads, or refuses to."""

    refused = ""

    async def ask(self, question: Any) -> Any:
        if question == "leads":
            self.left_lines.append(self.if_left)
            return {"led": {"a": 1, "b": 1}, "left": {}}
        if question[0] != "rebalance":
            return await super().ask(question)
        self.asked.append(question)
        moved = [{"from": "a", "to": "b", "queues": 1}]
        even = {"moved": moved, "kept": {}, "led": {"a": 1, "b": 1}}
        return {"refused": self.refused} if self.refused else even

    async def carry_out(self, request: control.Request) -> Any:
        await asyncio.gather(*(node.joined.wait() for node in self.nodes.values()))
        settings, layout = UpSettings(self.data_dir, nodes=2), Layout(self.data_dir)
        self.desk = CommandDesk(settings, layout, self.ask, self.nodes, lambda: None)
        return await self.desk.carry_out(request, cast(Asker, self))

    def __init__(self, tmp_path: Path) -> None:
        super().__init__(tmp_path)
        self.data_dir = tmp_path
        self.left_lines: list[str] = []  # what one hears that leaves while it is evened out


def test_who_leads_is_evened_out_when_all_were_restarted(run: Run, tmp_path: Path) -> None:
    async def main() -> None:
        play = Evens(tmp_path)
        assert await play.carry_out(control.Restart([], 20)) == {"nodes": ["a", "b"]}
        assert play.asked[-1] == ("rebalance", [])
        assert play.lines[-2:] == ["a: 1 queue handed over (b 1)", "each node leads 1 now"]
        assert play.left_lines[0].startswith("a, b are restarted; who leads is evened out to the")
        await play.carry_out(control.Restart(["a"], 20))
        assert play.lines[-1] == "a: in sync"
        play.refused = "the catalog cannot be written"
        assert await play.carry_out(control.Restart([], 20)) == {"nodes": ["a", "b"]}
        assert play.lines[-1] == (
            "who leads was not evened out: the catalog cannot be written; nothing was handed over"
        )
        await play.end()

    run(main())


def test_a_restart_and_a_rebalance_keep_out_of_each_others_way(run: Run, tmp_path: Path) -> None:
    async def main() -> None:
        play = Evens(tmp_path)
        heard: list[str] = []

        async def meanwhile() -> None:
            for request in (control.Rebalance(), control.Restart([], 20)):
                with pytest.raises(UserError) as caught:
                    await play.desk.carry_out(request, NobodyListens())
                heard.append(str(caught.value))

        def told(line: str) -> None:
            play.on_line = lambda line: None
            tasks.append(asyncio.create_task(meanwhile()))

        tasks: list[asyncio.Task[None]] = []
        play.on_line = told
        await play.carry_out(control.Restart(["a"], 20))
        await asyncio.gather(*tasks)
        assert heard == ["a restart is under way already"] * 2
        done = await play.carry_out(control.Rebalance())
        assert play.left_lines[-1].startswith("who leads is evened out to the end")
        assert done["led"] == {"a": 1, "b": 1}
        await play.end()

    run(main())


def test_definitions_are_the_coordinators(run: Run, tmp_path: Path) -> None:
    async def test(desk: CommandDesk, node: ManagedProcess) -> None:
        assert await desk.carry_out(control.Definitions(), NobodyListens()) == {"users": []}

    one_node(run, tmp_path, test)
