"""One process that is to run: started, started again when it dies, unless it was killed on purpose.

Owns the life of one child over all its incarnations. When to start again is decided by `restarts`;
what the process is, by whoever gives `spawn`.

Invariants: at most one child at a time; a child that an operator killed stays down until `start`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from time import monotonic_ns

from rabbitry.runtime.processes import Child, ChildFailed, ended
from rabbitry.runtime.restarts import Restarts

SPAWN_AGAIN_S = 1.0
"""How long to wait when the system cannot start a process at all."""

_log = logging.getLogger("rabbitry")


class ManagedProcess:
    """The process `name`, serving on `port`; its owner sets `joined` while it does its work."""

    def __init__(
        self,
        name: str,
        port: int,
        spawn: Callable[[], Child],
        died: Callable[[str], None] = lambda name: None,
    ) -> None:
        """`died` is called with the name whenever its process has ended by itself or was killed."""

        self.name = name
        self.port = port
        self.killed = False  # by an operator: it stays down
        self.joined = asyncio.Event()
        self.child = spawn()
        self._restarting = False
        self._spawn = spawn
        self._died = died
        self._go_on = asyncio.Event()
        self._down = asyncio.Event()  # its end was noticed, and the next has not begun
        self._up = asyncio.Event()  # not so
        self._up.set()
        self._life: asyncio.Task[None] | None = None

    @property
    def alive(self) -> bool:
        """Whether a process runs."""
        return self.child.alive

    @property
    def pid(self) -> int | None:
        """The PID of the process that runs, if one does."""
        return self.child.pid if self.alive else None

    def keep_running(self) -> None:
        """From now on start it again when it dies."""
        self._life = asyncio.create_task(self._live(), name=f"keep {self.name} running")

    def start(self) -> None:
        """Start it now if it is down, whoever ended it."""
        self.killed = False
        self._go_on.set()

    async def restart(self, grace_s: float) -> None:
        """End it in order and start it again; return when that is done. After `keep_running`.

        Who is killed while it ends stays down.
        """
        self._restarting = True
        try:
            await self.child.stop(grace_s)
            await self._down.wait()
        finally:
            self._restarting = False
        if not self.killed:
            self.start()
            await self._up.wait()

    async def stop(self, grace_s: float) -> None:
        """End it for good; return when it is gone."""
        if self._life is not None:
            self._life.cancel()
            await asyncio.wait([self._life])
        await self.child.stop(grace_s)

    async def _live(self) -> None:
        restarts = Restarts()
        while True:
            started_at = monotonic_ns() // 1000
            # Shielded: cancelling this task must not cancel what others wait for, too.
            code = await asyncio.shield(self.child.exited)
            self.joined.clear()
            self._died(self.name)
            delay_us = restarts.died(started_at, monotonic_ns() // 1000)
            _log.warning(
                "process ended name=%s pid=%s how=%s", self.name, self.child.pid, ended(code)
            )
            self._go_on.clear()
            self._up.clear()
            self._down.set()
            with contextlib.suppress(TimeoutError):
                waits = self.killed or self._restarting
                async with asyncio.timeout(None if waits else delay_us / 1_000_000):
                    await self._go_on.wait()
            await self._start_again()
            self._down.clear()
            self._up.set()

    async def _start_again(self) -> None:
        while True:
            try:
                self.child = self._spawn()
                break
            except OSError as error:  # no more processes or files to be had, for the moment
                _log.error("cannot start process name=%s reason=%s", self.name, error)
                await asyncio.sleep(SPAWN_AGAIN_S)
        _log.info("process started name=%s pid=%s", self.name, self.child.pid)
        self.child.ready.add_done_callback(self._log_failure)

    def _log_failure(self, ready: asyncio.Future[dict[str, object]]) -> None:
        if not ready.cancelled() and isinstance(failure := ready.exception(), ChildFailed):
            _log.error("process failed to start: %s", failure)
