"""Fixtures of the runtime's tests: an event loop of each kind, and nothing that waits for ever."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import uvloop

PATIENCE_S = 20.0
"""Far more than anything here takes: a hang becomes a failure, never a hang of the whole run."""


@pytest.fixture(params=["uvloop", "asyncio"])
def run(request: pytest.FixtureRequest) -> Callable[[Coroutine[Any, Any, Any]], Any]:
    """Return a function that runs a coroutine to its end on one kind of event loop."""
    kind = uvloop.new_event_loop if request.param == "uvloop" else asyncio.new_event_loop

    def run_to_end(main: Coroutine[Any, Any, Any]) -> Any:
        async def bounded() -> Any:
            async with asyncio.timeout(PATIENCE_S):
                return await main

        with asyncio.Runner(loop_factory=kind) as runner:
            return runner.run(bounded())

    return run_to_end
