"""Clients of a queue as its proxies see them: publishes, and consumers that keep what they got."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from rabbitry.broker.message import Message
from rabbitry.broker.ports import Lease, QueueHandle, QueueReply
from rabbitry.broker.queue import Consumer, Holder
from rabbitry.cluster.proxy import QueueProxy


@dataclass
class Receipt:
    """One publish: is it accepted?"""

    body: bytes
    accepted: bool = False
    refused: bool = False

    def rejected(self, first: int, count: int) -> None:
        assert (first, count) == (0, 1), "a publish of one message"
        assert not self.accepted and not self.refused, "settled already"
        self.refused = True

    def settled(self) -> None:
        assert not self.accepted, "accepted twice"
        self.accepted = True


@dataclass
class Delivery:
    """One message as a subscriber got it."""

    body: bytes
    redelivered: bool
    position: int
    lease: Lease


@dataclass
class Reader:
    """A consumer of a channel of its own; `unsettled` is what it has not settled."""

    proxy: QueueProxy
    consumer: Consumer
    on_delivery: Callable[[Reader, Delivery], None] = lambda _reader, _delivery: None
    wants_cancel: bool = False
    deliveries: list[Delivery] = field(default_factory=list)
    unsettled: list[Delivery] = field(default_factory=list)
    replies: list[QueueReply] = field(default_factory=list)
    cancels: int = 0

    @property
    def holder(self) -> Holder:
        return self.consumer.holder

    def deliver(
        self, lease: Lease, positions: Sequence[int], messages: list[Message], redelivered: bool
    ) -> None:
        for position, (_, body) in zip(positions, messages, strict=True):
            delivery = Delivery(body, redelivered, position, lease)
            self.deliveries.append(delivery)
            if not self.consumer.no_ack:
                self.unsettled.append(delivery)
            self.on_delivery(self, delivery)

    def cancelled(self) -> None:
        self.cancels += 1

    def failed_over(self) -> bool:
        return self.wants_cancel

    def owes(self, _handle: QueueHandle) -> list[tuple[int, list[int]]]:
        owed = [one.position for one in self.unsettled if not one.lease.void]
        return [(self.consumer.number, owed)] if owed else []

    def subscribe(self) -> None:
        self.proxy.lend_to(self.holder, self.owes)
        self.proxy.subscribe(self.consumer, self, self.replies.append)

    def settle(self, count: int) -> list[Delivery]:
        """Settle the oldest `count` deliveries; return them."""
        done, self.unsettled = self.unsettled[:count], self.unsettled[count:]
        for one in done:
            self.proxy.settle(one.lease, self.holder, [one.position])
        return done

    def requeue(self, count: int) -> None:
        done, self.unsettled = self.unsettled[:count], self.unsettled[count:]
        for one in done:
            self.proxy.requeue(one.lease, self.holder, [one.position])
