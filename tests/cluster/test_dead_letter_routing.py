"""From a queue that gives messages up to the queues that its dead letter exchange leads to."""

from __future__ import annotations

import pytest
from support.fake_broker import FakePort, FakeQueue

from rabbitry.broker.dead_letters import Reason
from rabbitry.broker.message import Message, Route
from rabbitry.broker.ports import Receipt
from rabbitry.cluster.catalog import QueueEntry
from rabbitry.cluster.dead_letter_routing import DeadLetterRouter
from rabbitry.cluster.records import QueueDeclared
from rabbitry.wire.frames import content_body, content_frames, content_properties
from rabbitry.wire.methods import BasicProperties
from rabbitry.wire.values import FieldValue, encode_table


class Dying:
    """The queue "q" gives messages up."""

    def __init__(self, **arguments: FieldValue) -> None:
        self.port = FakePort()
        named = {f"x-dead-letter-{name.replace('_', '-')}": arguments[name] for name in arguments}
        declared = QueueDeclared("/", "q", 1, True, False, "", encode_table(named))
        self.entry = QueueEntry(declared)
        self.done = 0

    def give_up(self, *messages: Message, reason: Reason = "rejected") -> None:
        router = DeadLetterRouter(self.port, lambda: 5_000_000)
        router.publish(self.entry, reason, list(messages), self.count_done)

    def count_done(self) -> None:
        self.done += 1


def message(body: bytes, routing_key: bytes = b"k") -> Message:
    return Route(b"x", routing_key), content_frames(1, BasicProperties().encode(), body, 0)


def receipts(queue: FakeQueue) -> list[Receipt]:
    found = []
    for _, receipt in queue.published:
        assert receipt is not None
        found.append(receipt)
    return found


def test_a_dead_letter_is_routed_with_its_key_and_tells_its_history() -> None:
    dying = Dying(exchange="x")
    queue = dying.port.add("k")
    dying.give_up(message(b"1"), message(b"2"))
    bodies = [content_body(frames) for messages, _ in queue.published for _, frames in messages]
    assert bodies == [b"1", b"2"]
    ((route, frames),), _ = queue.published[0]
    assert (route.exchange, route.routing_key) == (b"x", b"k")
    properties, _ = BasicProperties.decode(content_properties(frames), 0)
    assert properties.headers is not None
    assert properties.headers["x-first-death-queue"] in ("q", b"q")
    assert route.flags == 0x2000
    assert dying.done == 0, "nobody has it yet"
    for receipt in receipts(queue):
        receipt.settled()
    assert dying.done == 1


def test_the_queues_own_key_wins() -> None:
    dying = Dying(exchange="x", routing_key="other")
    queue, other = dying.port.add("k"), dying.port.add("other")
    dying.give_up(message(b"1"))
    assert queue.published == []
    assert len(other.published) == 1


@pytest.mark.parametrize("exchange", ["missing", "x"])
def test_without_an_exchange_or_a_queue_it_is_dropped(exchange: str) -> None:
    dying = Dying(exchange=exchange)
    dying.give_up(message(b"1"))
    assert dying.done == 1


def test_what_the_target_refuses_is_dropped() -> None:
    dying = Dying(exchange="")
    queue = dying.port.add("k")
    dying.give_up(message(b"1"))
    (receipt,) = receipts(queue)
    receipt.rejected(0, 1)
    receipt.settled()
    assert dying.done == 1


def test_a_cycle_without_a_rejection_ends() -> None:
    dying = Dying(exchange="")
    queue = dying.port.add("q")
    dying.give_up(message(b"1", b"q"), reason="expired")
    assert queue.published == []
    assert dying.done == 1
    dying.give_up(message(b"1", b"q"), reason="rejected")
    assert len(queue.published) == 1
