"""The loop runs a coroutine to its end, with uvloop or without."""

import asyncio
import sys

import pytest
import uvloop

from rabbitry.runtime.loop import loop_factory, run


async def running_loop() -> asyncio.AbstractEventLoop:
    return asyncio.get_running_loop()


def test_uvloop_where_there_is_one() -> None:
    assert isinstance(run(running_loop()), uvloop.Loop)


def test_asyncio_where_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvloop", None)
    assert loop_factory() is asyncio.new_event_loop
    assert not isinstance(run(running_loop()), uvloop.Loop)


def test_what_it_raises_is_raised() -> None:
    async def main() -> None:
        raise KeyError("x")

    with pytest.raises(KeyError):
        run(main())
