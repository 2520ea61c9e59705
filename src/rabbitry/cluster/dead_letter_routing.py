"""From a queue that gives messages up to the queues that its dead letter exchange leads to.

Runs on the node of the queue's leader. What a dead letter looks like is `broker.dead_letters`; that
a message is not removed before its dead letter is safe is `cluster.dead_lettering`.

RabbitMQ: rabbit_dead_letter.erl publish/5. A missing exchange, nowhere to go, a cycle: the message
is dropped; so is one for which a queue there has no room.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from rabbitry.broker.dead_letters import DeadLetter, Reason, dead_letter
from rabbitry.broker.exchanges import Exchange
from rabbitry.broker.message import Message, Route
from rabbitry.broker.ports import QueueHandle
from rabbitry.cluster.catalog import QueueEntry
from rabbitry.wire.frames import content_properties
from rabbitry.wire.methods import BasicProperties


class RoutingPort(Protocol):
    """What is declared, as `broker.ports.BrokerPort` has it."""

    def find_exchange(self, virtual_host: str, name: str) -> Exchange | None:
        """Return the exchange, or None."""
        ...

    def route(
        self,
        virtual_host: str,
        exchange: Exchange,
        routing_keys: Sequence[str],
        properties: BasicProperties | None = None,
    ) -> list[QueueHandle] | None:
        """Return the queues that a message reaches, each once; None: tell its properties."""
        ...

    def intern_route(self, exchange: bytes, routing_key: bytes, flags: int) -> Route:
        """Return the one `Route` object for these (`flags` as in `Route`)."""
        ...


class _Receipt:
    """Counts the queues that must have their dead letters; begins with one for the counting."""

    def __init__(self, on_done: Callable[[], None]) -> None:
        self.remaining = 1
        self._on_done = on_done

    def rejected(self, first: int, count: int) -> None:
        """A queue is full: what it refuses is dropped."""

    def settled(self) -> None:
        """A queue has what was sent to it."""
        self.remaining -= 1
        if not self.remaining:
            self._on_done()


class DeadLetterRouter:
    """Publishes dead letters of queues led here. `now`: microseconds since 1970."""

    def __init__(self, port: RoutingPort, now: Callable[[], int]) -> None:
        self._port = port
        self._now = now

    def publish(
        self,
        entry: QueueEntry,
        reason: Reason,
        messages: list[Message],
        on_done: Callable[[], None],
    ) -> None:
        """Publish what a queue has given up.

        `on_done` is called, once, when all queues have accepted what they were sent.
        """
        declared, settings = entry.declared, entry.settings
        host = declared.virtual_host
        exchange = self._port.find_exchange(host, settings.dead_letter_exchange or "")
        receipt = _Receipt(on_done)
        if exchange is not None:
            own_key = settings.dead_letter_routing_key
            routing_key = None if own_key is None else own_key.encode("utf-8", "surrogateescape")
            time_s = self._now() // 1_000_000
            for message in messages:
                letter = dead_letter(declared.name, reason, message, time_s, routing_key)
                self._publish(host, exchange, letter, receipt)
        receipt.settled()

    def _publish(
        self, host: str, exchange: Exchange, letter: DeadLetter, receipt: _Receipt
    ) -> None:
        port = self._port
        keys = [key.decode("utf-8", "surrogateescape") for key in letter.routing_keys]
        queues = port.route(host, exchange, keys)
        if queues is None:
            properties, _ = BasicProperties.decode(content_properties(letter.frames), 0)
            queues = port.route(host, exchange, keys, properties) or []
        name = exchange.name.encode("utf-8", "surrogateescape")
        route = port.intern_route(name, letter.routing_keys[0], letter.flags)
        for queue in queues:
            if queue.name not in letter.cycling:
                receipt.remaining += 1
                queue.publish([(route, letter.frames)], receipt)
