"""A machine for the driver's tests, whose answers each test gives, and the ways to reach it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

from rabbitry.machine import (
    Address,
    Answer,
    Asked,
    BytesReceived,
    Effect,
    Event,
    FinishLink,
    LinkFinished,
    SendBytes,
)
from rabbitry.runtime.driver import Driver
from rabbitry.runtime.hand import Hand

Run = Callable[[Coroutine[Any, Any, Any]], Any]
Decide = Callable[[Event, int], list[Effect]]


# What has the links of drivers that `driving` makes; tests of other hands put theirs here.
make_hand: Callable[[], Hand] = Hand


class Toy:
    """Records all events, decides with a function, and lets a test wait for an event.

    The test commands it with `driver.ask([effect, ...])`, which carries these effects out.
    """

    def __init__(self, decide: Decide = lambda event, now: []) -> None:
        self.events: list[Event] = []
        self.times: list[int] = []
        self.depth = 0
        self._decide = decide
        self._changed = asyncio.Event()

    def step(self, event: Event, now: int) -> list[Effect]:
        assert self.depth == 0, "a step inside a step"
        self.depth += 1
        self.events.append(event)
        self.times.append(now)
        self._changed.set()
        try:
            if isinstance(event, Asked):
                return [*event.question, Answer(event.number, None)]
            return self._decide(event, now)
        finally:
            self.depth -= 1

    async def saw(self, kind: type[Any], count: int = 1) -> Any:
        """Wait for the event of this kind with this number; return it."""
        while len(found := [event for event in self.events if type(event) is kind]) < count:
            self._changed.clear()
            await self._changed.wait()
        return found[count - 1]

    def of(self, link: int) -> list[type[Event]]:
        """Return the kinds of all events of a link."""
        return [type(event) for event in self.events if getattr(event, "link", None) == link]


@contextlib.asynccontextmanager
async def driving(toy: Toy, **options: Any) -> AsyncIterator[tuple[Driver, Address]]:
    driver = Driver(toy, **{"hand": make_hand(), **options})
    driver.start()
    try:
        yield driver, await driver.listen("front", "127.0.0.1", 0)
    finally:
        await driver.close()


def echo(event: Event, now: int) -> list[Effect]:
    if isinstance(event, BytesReceived):
        return [SendBytes(event.link, event.data)]
    if isinstance(event, LinkFinished):
        return [FinishLink(event.link)]
    return []


async def connect(address: Address) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection(address.host, address.port)
