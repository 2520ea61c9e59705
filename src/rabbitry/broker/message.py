"""A message, as cheaply as Python allows: a pair (route, frames).

`Route` is what the publisher said of where it goes (exchange and routing key) and which properties
it carries, shared by all messages of a run. `frames` are the content's header frame and body frames
as they arrived (see `rabbitry.wire.content`). A message is a plain tuple and not an object because
one is made for every publish: tuples of a run come out of `zip` at the speed of C.

A message gets its *position* from the queue it is in: a number that grows by one with each message
of that queue, never given twice, the same on the leader and on every mirror.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import repeat
from typing import Final


class Route:
    """Where a publisher sent messages: exchange name and routing key, as raw bytes.

    `flags` is the property flags word of their header frames (`rabbitry.wire.methods`,
    `BasicProperties`): whoever asks whether messages have an expiration, say, need not look at
    them. `tail` is the end of a `basic.deliver` frame for such messages: both as short strings, and
    the end octet.
    """

    __slots__ = ("exchange", "flags", "routing_key", "tail")

    def __init__(self, exchange: bytes, routing_key: bytes, flags: int = 0) -> None:
        self.exchange = exchange
        self.flags = flags
        self.routing_key = routing_key
        self.tail = (
            bytes((len(exchange),)) + exchange + bytes((len(routing_key),)) + routing_key + b"\xce"
        )


Message = tuple[Route, bytes]
# Messages at consecutive positions, and the position of the first.
MessagesAt = tuple[int, Sequence[Message]]
# Messages of one route as they travel between nodes: exchange, routing key, flags, contents.
Run = tuple[bytes, bytes, int, list[bytes]]

ROUTES_KEPT_MAX: Final = 10_000


class Routes:
    """One `Route` for each exchange, routing key and flags, so that caches can be keyed by it."""

    def __init__(self) -> None:
        self._known: dict[tuple[bytes, bytes, int], Route] = {}

    def get(self, exchange: bytes, routing_key: bytes, flags: int = 0) -> Route:
        """Return the route; it is forgotten, and made anew, when very many others came since."""
        key = (exchange, routing_key, flags)
        route = self._known.get(key)
        if route is None:
            if len(self._known) >= ROUTES_KEPT_MAX:
                self._known.clear()
            route = self._known[key] = Route(exchange, routing_key, flags)
        return route

    def messages(self, run: Run) -> list[Message]:
        """Return the messages of a run."""
        exchange, routing_key, flags, contents = run
        return messages_of(self.get(exchange, routing_key, flags), contents)


def messages_of(route: Route, contents: list[bytes]) -> list[Message]:
    """Return the messages of a run of contents under one route."""
    return list(zip(repeat(route), contents))


def run_of(messages: list[Message]) -> Run:
    """Return messages, all of one route, as they travel."""
    route = messages[0][0]
    return route.exchange, route.routing_key, route.flags, [frames for _, frames in messages]
