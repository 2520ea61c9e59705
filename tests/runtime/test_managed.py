"""A managed process is started again when it dies, but not when it was killed on purpose."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from rabbitry.runtime.managed import ManagedProcess
from rabbitry.runtime.processes import Child

Run = Callable[[Coroutine[Any, Any, Any]], Any]

SERVES = """
import os, sys
os.write(int(sys.argv[-1]), b'{"ready": {}}\\n')
sys.stdin.read()
"""
LINGERS = """
import os, signal, sys
signal.signal(signal.SIGTERM, signal.SIG_IGN)
os.write(int(sys.argv[-1]), b'{"ready": {}}\\n')
sys.stdin.read()
"""


class Spawner:
    """Starts children and lets a test wait for the next one."""

    def __init__(self, tmp_path: Path, program: str = SERVES) -> None:
        self._program = program
        self._log = tmp_path / "x.log"
        self.spawned: asyncio.Queue[Child] = asyncio.Queue()
        self.refuse = 0

    def __call__(self) -> Child:
        if self.refuse:
            self.refuse -= 1
            raise OSError(11, "Resource temporarily unavailable")
        child = Child("x", [sys.executable, "-S", "-c", self._program], log=self._log)
        self.spawned.put_nowait(child)
        return child


def test_one_that_dies_is_started_again_until_it_is_stopped(run: Run, tmp_path: Path) -> None:
    async def main() -> None:
        spawn = Spawner(tmp_path)
        deaths: list[str] = []
        process = ManagedProcess("x", 5672, spawn, deaths.append)
        process.keep_running()
        for _ in range(3):
            child = await spawn.spawned.get()
            await child.ready
            assert process.pid == child.pid
            process.joined.set()
            child.signal(signal.SIGKILL)
            await child.exited
        last = await spawn.spawned.get()
        assert not process.joined.is_set(), "a process that has died is no member any more"
        await last.ready
        await process.stop(grace_s=10)
        assert last.exited.result() == -signal.SIGTERM
        assert process.pid is None
        assert spawn.spawned.empty()
        assert deaths == ["x", "x", "x"], "its orderly end is no death"

    run(main())


def test_one_that_was_killed_stays_down_until_it_is_started(run: Run, tmp_path: Path) -> None:
    async def main() -> None:
        spawn = Spawner(tmp_path)
        process = ManagedProcess("x", 5672, spawn)
        process.keep_running()
        first = await spawn.spawned.get()
        process.killed = True
        first.signal(signal.SIGKILL)
        await first.exited
        for _ in range(10):
            await asyncio.sleep(0)
        assert process.pid is None
        assert spawn.spawned.empty()
        process.start()
        assert (await spawn.spawned.get()).pid == process.pid
        assert not process.killed
        await process.stop(grace_s=10)

    run(main())


def test_one_that_is_restarted_is_another_when_that_is_done(run: Run, tmp_path: Path) -> None:
    async def main() -> None:
        spawn = Spawner(tmp_path)
        deaths: list[str] = []
        process = ManagedProcess("x", 5672, spawn, deaths.append)
        process.keep_running()
        for count in range(1, 4):
            child = await spawn.spawned.get()
            await child.ready
            process.joined.set()
            await process.restart(grace_s=10)
            assert process.child is not child
            assert (process.alive, process.killed) == (True, False)
            assert not process.joined.is_set(), "whoever waits for it does not see the last"
            assert deaths == ["x"] * count
        await process.child.ready
        await process.stop(grace_s=10)

    run(main())


def test_one_that_is_killed_while_it_is_restarted_stays_down(run: Run, tmp_path: Path) -> None:
    async def main() -> None:
        spawn = Spawner(tmp_path, program=LINGERS)
        process = ManagedProcess("x", 5672, spawn)
        process.keep_running()
        child = await spawn.spawned.get()
        await child.ready
        restart = asyncio.ensure_future(process.restart(grace_s=10))
        await asyncio.sleep(0)
        process.killed = True
        child.signal(signal.SIGKILL)
        await restart
        assert (process.pid, process.killed) == (None, True)
        assert spawn.spawned.empty()
        process.start()
        await (await spawn.spawned.get()).ready
        await process.stop(grace_s=0)

    run(main())


def test_a_system_that_cannot_start_a_process_is_asked_again(
    run: Run, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.setattr("rabbitry.runtime.managed.SPAWN_AGAIN_S", 0.001)

    async def main() -> None:
        spawn = Spawner(tmp_path)
        process = ManagedProcess("x", 5672, spawn)
        process.keep_running()
        first = await spawn.spawned.get()
        spawn.refuse = 3
        first.signal(signal.SIGKILL)
        await spawn.spawned.get()
        assert spawn.refuse == 0
        await process.stop(grace_s=10)

    run(main())
