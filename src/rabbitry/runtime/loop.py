"""The event loop of a process: uvloop where there is one, else asyncio's own.

Owns the choice and nothing else (decision 0004 has the reasons).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

Result = TypeVar("Result")


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    """Return what makes the event loop of this process."""
    try:
        import uvloop
    except ImportError:  # Windows has none, and a plain interpreter may be without it
        return asyncio.new_event_loop
    return uvloop.new_event_loop


def run(main: Coroutine[Any, Any, Result]) -> Result:
    """Run `main` on a new event loop to its end and return what it returns."""
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        return runner.run(main)
