"""A machine that joins each client's link with one to a server, and a driver that runs it."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import AsyncIterator
from itertools import count
from typing import Any

from support.toy_machine import Toy

from rabbitry.machine import (
    Address,
    CloseLink,
    Effect,
    Event,
    FinishLink,
    JoinLinks,
    LinkClosed,
    LinkFinished,
    LinkOpened,
    LinkOptions,
    LinksMeasured,
    Measure,
    OpenLink,
    PauseReading,
)
from rabbitry.runtime.driver import Driver
from rabbitry.runtime.joining_hand import JoiningHand
from rabbitry.runtime.tls import TlsSettings

RESETTING = b"\1\0\0\0\0\0\0\0"
"""SO_LINGER that makes `close` reset the link."""


class Relaying(Toy):
    """Records all events; the ends of one link end the other."""

    def __init__(self, server: Address, options: LinkOptions | None = None) -> None:
        super().__init__(self.relay)
        self.server = server
        self.options = options
        self.other: dict[int, int] = {}
        self._numbers = count(-1, -1)

    def relay(self, event: Event, now: int) -> list[Effect]:
        match event:
            case LinkOpened(link, "front"):
                server = next(self._numbers)
                self.other |= {link: server, server: link}
                return [PauseReading(link), OpenLink(server, self.server, self.options, link)]
            case LinkOpened(link):
                return [JoinLinks(self.other[link], link)]
            case LinkFinished(link):
                return [FinishLink(self.other[link])]
            case LinkClosed(link):
                return [CloseLink(self.other[link])]
        return []

    def measured(self) -> dict[int, Measure]:
        """Return what was last told of each link."""
        kinds = LinksMeasured | LinkFinished | LinkClosed
        told = [event for event in self.events if isinstance(event, kinds)]
        return {each.link: each for event in told for each in event.measures}


@contextlib.asynccontextmanager
async def relaying(
    options: LinkOptions | None = None,
    front: tuple[str, int] = ("127.0.0.1", 0),
    back: tuple[str, int] | None = None,
    tls: TlsSettings | None = None,
    hand: JoiningHand | None = None,
) -> AsyncIterator[tuple[Relaying, Driver, Address, socket.socket]]:
    """Relay to a listening socket of the test, which is `back` or any of loopback."""
    family = socket.AF_UNIX if back is not None else socket.AF_INET
    with socket.socket(family) as server:
        server.bind(back[0] if back is not None else ("127.0.0.1", 0))
        server.listen()
        server.setblocking(False)
        name: Any = server.getsockname()
        address = Address(*back) if back is not None else Address(*name)
        machine = Relaying(address, options)
        driver = Driver(machine, hand=hand or JoiningHand())
        driver.start()
        try:
            yield machine, driver, await driver.listen("front", *front, tls), server
        finally:
            await driver.close(0.5)
