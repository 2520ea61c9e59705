"""A proxy alone: what it sends to its leaders is written down."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rabbitry.broker.message import Message, Route, Routes
from rabbitry.broker.ports import GetReply, Lease, QueueReply
from rabbitry.broker.queue import Consumer
from rabbitry.cluster.catalog import QueueEntry
from rabbitry.cluster.proxy import QueueProxy
from rabbitry.cluster.queue_records import (
    Claimed,
    Delivered,
    Record,
    Replied,
    Subscribe,
)
from rabbitry.cluster.records import QueueDeclared

ROUTE = Route(b"x", b"k")
HOLDER = ("here#1", 4)


class Receipt:
    def __init__(self) -> None:
        self.count = 0
        self.refused: list[tuple[int, int]] = []

    def rejected(self, first: int, count: int) -> None:
        self.refused.append((first, count))

    def settled(self) -> None:
        self.count += 1


class Subscriber:
    def __init__(self, wants_cancel: bool = False) -> None:
        self.wants_cancel = wants_cancel
        self.delivered: list[tuple[Lease, list[int], list[bytes], bool]] = []
        self.cancels = 0

    def deliver(
        self, lease: Lease, positions: Sequence[int], messages: list[Message], redelivered: bool
    ) -> None:
        found = [body for _, body in messages]
        self.delivered.append((lease, list(positions), found, redelivered))

    def cancelled(self) -> None:
        self.cancels += 1

    def failed_over(self) -> bool:
        return self.wants_cancel


class Remote:
    """A proxy whose leaders are on other nodes; what it sends to each is written down."""

    origin = "here#1"

    def __init__(self, owner: str = "") -> None:
        self.routes = Routes()
        self.sent: list[tuple[str, Record]] = []
        self.claims: list[Claimed] = []
        self.unsure = 0
        self.backlog = 0
        self.backlog_bytes = 0
        self.deletions: list[Callable[[], None] | None] = []
        self.replies: list[QueueReply] = []
        self.gets: list[tuple[GetReply, Lease]] = []
        self.proxy = QueueProxy(
            self, QueueEntry(QueueDeclared("/", "q", 1, True, False, owner, b""))
        )

    def send_to_node(self, node: str, record: Record) -> None:
        self.sent.append((node, record))

    def delete_queue(self, queue: int, on_answer: Callable[[], None] | None = None) -> None:
        self.deletions.append(on_answer)

    def backlog_grew(self, messages: int, size_bytes: int) -> None:
        self.backlog += messages
        self.backlog_bytes += size_bytes

    def has_unsure(self, proxy: QueueProxy) -> None:
        self.unsure += 1

    def taken(self) -> list[Record]:
        """Return what was sent; claims are in `claims`."""
        sent, self.sent = self.sent, []
        self.claims += [record for _, record in sent if isinstance(record, Claimed)]
        return [record for _, record in sent if not isinstance(record, Claimed)]

    def publish(self, *bodies: bytes) -> Receipt:
        receipt = Receipt()
        self.proxy.publish([(ROUTE, body) for body in bodies], receipt)
        return receipt

    def subscribe(self, subscriber: Subscriber, number: int = 1) -> None:
        consumer = Consumer(HOLDER, number, prefetch_count=3)
        self.proxy.subscribe(consumer, subscriber, self.replies.append)

    def subscribed(self, wants_cancel: bool = False) -> Subscriber:
        """Return a subscriber whose subscription leader a has granted in epoch 1."""
        subscriber = Subscriber(wants_cancel)
        self.proxy.connect("a", 1, None)
        self.subscribe(subscriber)
        (asked,) = self.taken()
        assert isinstance(asked, Subscribe)
        self.proxy.receive(Replied(1, 1, asked.request, None))
        return subscriber

    def deliver(self, *positions: int, epoch: int = 1) -> None:
        run = (b"x", b"k", 0, [b"%d" % position for position in positions])
        self.proxy.receive(Delivered(1, epoch, HOLDER, 1, list(positions), False, run))
