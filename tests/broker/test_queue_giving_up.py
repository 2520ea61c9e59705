"""What a queue gives up: what expires, is too much, is refused, or came back too often."""

from __future__ import annotations

from collections.abc import Sequence

from rabbitry.broker.message import Message, Route
from rabbitry.broker.queue import AT_ONCE, Consumer, Holder, Queue
from rabbitry.broker.queue_settings import QueueSettings
from rabbitry.wire.frames import content_frames
from rabbitry.wire.methods import BasicProperties

ROUTE = Route(b"", b"q")
HOLDER: Holder = ("n", 1)


def message(body: bytes = b"") -> Message:
    return ROUTE, content_frames(1, BasicProperties().encode(), body, 0)


def positions(entries: Sequence[tuple[int, Message]]) -> list[int]:
    return [position for position, _ in entries]


class Recorded:
    def __init__(self, settings: QueueSettings | None = None) -> None:
        self.queue = Queue(self._sink, settings or QueueSettings())
        self.delivered: list[int] = []

    def _sink(self, _: Consumer, positions: Sequence[int], __: list[Message], ___: bool) -> None:
        self.delivered += positions


def test_only_what_stands_in_front_expires() -> None:
    queue = Recorded().queue
    queue.publish([message()] * 3, [50, 10, 60])
    assert queue.next_expiry() == 50
    assert queue.expire(49) == []
    assert positions(queue.expire(50)) == [1, 2]
    assert queue.next_expiry() == 60
    queue.forget([(1, 2)])
    assert queue.expiries == {3: 60}


def test_dealing_stops_before_what_has_expired() -> None:
    recorded = Recorded()
    queue = recorded.queue
    queue.add_consumer(Consumer(HOLDER, 1, no_ack=True))
    queue.publish([message()] * 4, [-1, 20, 5, 20])
    assert queue.deal(10) == [(1, 2)]
    assert positions(queue.expire(10)) == [3]
    assert queue.deal(10) == [(4, 4)]
    assert recorded.delivered == [1, 2, 4]


def test_what_comes_back_too_late_expires() -> None:
    recorded = Recorded()
    queue = recorded.queue
    queue.add_consumer(Consumer(HOLDER, 1))
    queue.publish([message()], [20])
    queue.deal(10)
    assert queue.expire(30) == [], "it is out"
    queue.requeue(HOLDER, [1])
    assert queue.deal(30) == []
    assert positions(queue.expire(30)) == [1]


def test_at_once_waits_for_a_consumer_that_has_room_and_for_no_other() -> None:
    recorded = Recorded()
    queue = recorded.queue
    queue.add_consumer(Consumer(HOLDER, 1, prefetch_count=1))
    queue.deliver_through = 0
    queue.publish([message()] * 2, [AT_ONCE])
    assert queue.expire(10) == []
    queue.deliver_through = 2
    queue.deal(10)
    assert recorded.delivered == [1]
    assert positions(queue.expire(10)) == [2]


def test_the_weight_of_what_waits_is_known() -> None:
    queue = Recorded(QueueSettings(length_bytes_max=9)).queue
    queue.publish([message(b"1"), message(b"22"), message(b"333")])
    assert queue.ready_bytes == 6
    queue.get(HOLDER, False)
    assert queue.ready_bytes == 5
    queue.requeue(HOLDER, [1])
    assert queue.ready_bytes == 6
    assert positions(queue.drop_over(None, 3)) == [1, 2]
    assert queue.ready_bytes == 3
    queue.configure(QueueSettings())
    queue.publish([message(b"4444")])
    queue.configure(QueueSettings(length_bytes_max=1))
    assert queue.ready_bytes == 7
    queue.purge()
    assert queue.ready_bytes == 0


def test_what_is_refused_is_held_elsewhere_until_it_is_settled() -> None:
    queue = Recorded().queue
    consumer = Consumer(HOLDER, 1, prefetch_count=1)
    queue.add_consumer(consumer)
    queue.publish([message()] * 2)
    queue.deal()
    assert queue.withdraw(("n", 9), [1]) == []
    refused = queue.withdraw(HOLDER, [1, 2])
    assert positions(refused) == [1]
    assert consumer.outstanding == 0
    queue.hold(("dead letters", 1), refused)
    assert positions(queue.entries()) == [1, 2]
    assert (queue.ready_count, queue.held_count) == (1, 1)
    assert queue.settle(("dead letters", 1), [1]) == [1]


def test_a_quorum_queue_counts_what_comes_back() -> None:
    queue = Recorded(QueueSettings(kind="quorum", delivery_limit=1)).queue
    queue.publish([message()])
    for count in (1, 2):
        queue.get(HOLDER, False)
        queue.requeue(HOLDER, [1], redelivered=False)
        assert queue.take_counted() == []
        queue.get(HOLDER, False)
        queue.requeue(HOLDER, [1])
        assert queue.take_counted() == [(1, count)]
    assert positions(queue.take_over_limit()) == [1]
    assert (queue.take_over_limit(), queue.ready_count) == ([], 0)
    queue.forget([(1, 1)])
    assert queue.counts == {}
