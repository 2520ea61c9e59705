"""At a first start all nodes have to come; afterwards those that cannot keep nobody waiting."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from rabbitry.runtime import readiness
from rabbitry.runtime.data_directory import Layout
from rabbitry.runtime.managed import ManagedProcess
from rabbitry.runtime.processes import Child, ChildFailed
from rabbitry.runtime.readiness import all_joined, some_joined, unless_it_ends

Run = Callable[[Coroutine[Any, Any, Any]], Any]

JOINS = """
import os, sys
os.write(int(sys.argv[-1]), b'{"ready": {}}\\n')
sys.stdin.read()
"""
CANNOT = """
import os, sys
os.write(int(sys.argv[-1]), b'{"failed": "its port is taken"}\\n')
"""
ENDS = """
import os, sys
os.write(int(sys.argv[-1]), b'{"ready": {}}\\n')
os.write(int(sys.argv[-1]), b'{"failed": "its store is older"}\\n')
"""
HANGS = "import sys; sys.stdin.read()"


class Nodes:
    """Processes that join when they say that they are ready."""

    def __init__(self, tmp_path: Path, **programs: str) -> None:
        self.layout = Layout(tmp_path)
        self._log = tmp_path / "x.log"
        self.nodes: dict[str, ManagedProcess] = {}
        for name, program in programs.items():
            self.nodes[name] = self._node(name, program)

    def _node(self, name: str, program: str) -> ManagedProcess:
        def joined(ready: asyncio.Future[Any]) -> None:
            if not ready.exception() and program != ENDS:
                self.nodes[name].joined.set()

        def spawn() -> Child:
            child = Child(name, [sys.executable, "-S", "-c", program], log=self._log)
            child.ready.add_done_callback(joined)
            return child

        return ManagedProcess(name, 1, spawn)

    async def end(self) -> None:
        for node in self.nodes.values():
            await node.stop(grace_s=10)


def test_all_of_them(run: Run, tmp_path: Path) -> None:
    async def main() -> None:
        nodes = Nodes(tmp_path, a=JOINS, b=JOINS)
        await all_joined(nodes.nodes, nodes.layout, 20)
        assert await some_joined(nodes.nodes, nodes.layout, 20) == {}
        await nodes.end()
        for programs, why in (
            ({"a": JOINS, "b": CANNOT}, "b: its port is taken"),
            ({"a": JOINS, "b": ""}, "b: ended with exit code 0; its log is"),
        ):
            nodes = Nodes(tmp_path, **programs)
            with pytest.raises(ChildFailed, match=why):
                await all_joined(nodes.nodes, nodes.layout, 20)
            await nodes.end()
        nodes = Nodes(tmp_path, a=HANGS)
        with pytest.raises(ChildFailed, match="a did not serve within 0 s; logs: "):
            await all_joined(nodes.nodes, nodes.layout, 0.01)
        await nodes.end()

    run(main())


def test_those_that_come(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readiness, "LATE_S", 0.01)

    async def main() -> None:
        nodes = Nodes(tmp_path, a=JOINS, b=CANNOT, c=HANGS)
        await nodes.nodes["b"].child.exited
        log = nodes.layout.log("c")
        assert await some_joined(nodes.nodes, nodes.layout, 20) == {
            "b": "b: its port is taken",
            "c": f"c has not joined yet; its log is {log}",
        }
        await nodes.end()

    run(main())


def test_one_that_ends_while_it_joins_says_why(run: Run, tmp_path: Path) -> None:
    async def main() -> None:
        nodes = Nodes(tmp_path, a=JOINS, b=ENDS)
        await nodes.nodes["b"].child.exited
        await nodes.nodes["a"].joined.wait()
        why = {"b": "b: its store is older"}
        assert await some_joined(nodes.nodes, nodes.layout, 20) == why
        await nodes.end()

    run(main())


def test_none_that_comes(run: Run, tmp_path: Path) -> None:
    async def main() -> None:
        nodes = Nodes(tmp_path, a=CANNOT, b=CANNOT)
        with pytest.raises(ChildFailed, match="a: its port is taken"):
            await some_joined(nodes.nodes, nodes.layout, 20)
        await nodes.end()
        nodes = Nodes(tmp_path, a=CANNOT, b=HANGS)
        await nodes.nodes["a"].child.exited
        with pytest.raises(ChildFailed, match="a, b did not serve within 0 s"):
            await some_joined(nodes.nodes, nodes.layout, 0.2)
        await nodes.end()

    run(main())


def test_what_is_waited_for_unless_a_process_ends(run: Run, tmp_path: Path) -> None:
    async def main() -> None:
        nodes = Nodes(tmp_path, a=HANGS)
        done = asyncio.get_running_loop().create_future()
        done.set_result(None)
        await unless_it_ends(done, nodes.nodes["a"], nodes.layout)
        never = asyncio.get_running_loop().create_future()
        nodes.nodes["a"].child.signal(signal.SIGKILL)
        with pytest.raises(ChildFailed, match="a: killed by SIGKILL"):
            await unless_it_ends(never, nodes.nodes["a"], nodes.layout)
        assert never.cancelled()
        await nodes.end()

    run(main())
