"""Workers that die and cannot be started again, or are not ours to kill."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from typing import Any

import pytest
from support.toy_machine import Run, Toy, driving, echo

from rabbitry.machine import Report
from rabbitry.runtime import crew
from rabbitry.runtime.crew import Crew
from rabbitry.runtime.watchdog import CANNOT_START, DIED, STARTED_AGAIN

pytestmark = pytest.mark.processes


def test_a_worker_that_may_not_be_killed_is_reaped_when_it_has_ended(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> None:
        raise PermissionError(1, "Operation not permitted")

    async def main() -> None:
        hand = Crew(1)
        async with driving(Toy(echo), hand=hand):
            (worker,) = hand._alive()
            with monkeypatch.context() as patched:
                patched.setattr(worker.process, "kill", refuse)
                worker._channel._lose()  # as if it had closed its end, and lived on
            assert worker not in hand._alive()
            assert await asyncio.to_thread(worker.process.wait) == 0

    run(main())


def test_what_keeps_workers_from_starting_is_told_once(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crew, "RESTART_PAUSE_S", 0.001)
    start = subprocess.Popen
    refusals = 0

    async def main() -> None:
        reports = asyncio.Queue[Report]()
        starts = asyncio.Queue[None]()

        def try_it(*arguments: Any, **options: Any) -> Any:
            nonlocal refusals
            if refusals:
                refusals -= 1
                raise PermissionError(13, "Permission denied")
            starts.put_nowait(None)
            return start(*arguments, **options)

        monkeypatch.setattr(subprocess, "Popen", try_it)

        async def die() -> list[str]:
            """Have the worker killed and not started three times; return what is told."""
            nonlocal refusals
            (worker,) = hand._alive()
            refusals = 3
            os.kill(worker.process.pid, signal.SIGKILL)
            await starts.get()
            return [reports.get_nowait().what for _ in range(reports.qsize())]

        hand = Crew(1)
        async with driving(Toy(echo), hand=hand) as (driver, _):
            driver.reporters.append(reports.put_nowait)
            await starts.get()
            all_of_it = [DIED, CANNOT_START, STARTED_AGAIN]
            assert await die() == all_of_it
            assert await die() == []
            monkeypatch.setattr(crew, "STEADY_S", 0.0)  # it was well
            assert await die() == all_of_it

    run(main())
