"""A message, as cheaply as Python allows: a pair (route, frames).

`Route` is what the publisher said of where it goes: exchange and routing key, shared by all
messages of a run. `frames` are the content's header frame and body frames as they arrived (see
`rabbitry.wire.content`). A message is a plain tuple and not an object because one is made for every
publish: tuples of a run come out of `zip` at the speed of C.

A message gets its *position* from the queue it is in: a number that grows by one with each message
of that queue, never given twice, the same on the leader and on every mirror.
"""

from __future__ import annotations

from itertools import repeat
from typing import Final


class Route:
    """Where a publisher sent messages: exchange name and routing key, as raw bytes.

    `tail` is the end of a `basic.deliver` frame for such messages: both as short strings, and the
    end octet.
    """

    __slots__ = ("exchange", "routing_key", "tail")

    def __init__(self, exchange: bytes, routing_key: bytes) -> None:
        self.exchange = exchange
        self.routing_key = routing_key
        self.tail = (
            bytes((len(exchange),)) + exchange + bytes((len(routing_key),)) + routing_key + b"\xce"
        )


Message = tuple[Route, bytes]

ROUTES_KEPT_MAX: Final = 10_000


class Routes:
    """One `Route` for each exchange and routing key, so that caches can be keyed by it."""

    def __init__(self) -> None:
        self._known: dict[tuple[bytes, bytes], Route] = {}

    def get(self, exchange: bytes, routing_key: bytes) -> Route:
        """Return the route; it is forgotten, and made anew, when very many others came since."""
        key = (exchange, routing_key)
        route = self._known.get(key)
        if route is None:
            if len(self._known) >= ROUTES_KEPT_MAX:
                self._known.clear()
            route = self._known[key] = Route(exchange, routing_key)
        return route


def messages_of(route: Route, contents: list[bytes]) -> list[Message]:
    """Return the messages of a run of contents under one route."""
    return list(zip(repeat(route), contents))
