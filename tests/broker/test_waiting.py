"""What waits in a queue: positions that jump, a line of stretches, marks after a failover.

Everything at random is in test_queue.py, where a model has consumers too.
"""

from __future__ import annotations

import pytest

from rabbitry.broker.message import Message, Route
from rabbitry.broker.queue import Consumer, Queue
from rabbitry.broker.queue_settings import DEFAULT, QueueSettings
from rabbitry.wire.frames import content_frames
from rabbitry.wire.methods import BasicProperties

ROUTE = Route(b"", b"q")
HOLDER = ("n", 1)


def message(position: int) -> Message:
    return ROUTE, str(position).encode()


def messages(*positions: int) -> dict[int, Message]:
    return {position: message(position) for position in positions}


class Taken:
    """A queue, and what it has dealt as (positions, redelivered)."""

    def __init__(self, settings: QueueSettings = DEFAULT) -> None:
        self.dealt: list[tuple[list[int], bool]] = []
        self.queue = Queue(lambda _, at, __, again: self.dealt.append((list(at), again)), settings)

    def deal(self, count: int) -> list[tuple[list[int], bool]]:
        consumer = Consumer(HOLDER, 1, prefetch_count=count)
        self.queue.add_consumer(consumer)
        self.queue.deal()
        self.queue.remove_consumer(HOLDER, 1)
        dealt, self.dealt = self.dealt, []
        return dealt


def test_a_queue_begins_where_it_is_told_but_never_before_what_it_gave() -> None:
    queue = Taken().queue
    queue.begin_at(100)
    assert (queue.next_position, queue.head) == (100, 100)
    queue.publish([message(100)])
    queue.begin_at(50)
    assert queue.next_position == 101
    queue.begin_at(200)
    assert (queue.next_position, queue.head, queue.ready_count) == (200, 100, 1)


def test_what_stands_behind_a_gap_follows_when_the_front_has_gone() -> None:
    taken = Taken()
    queue = taken.queue
    for first in (1, 1 << 40, 1 << 41):
        queue.begin_at(first)
        queue.publish([message(first), message(first + 1)])
        queue.publish([message(first + 2)])
    assert queue.ready_count == 9
    assert queue.ranges() == [(1, 3), (1 << 40, (1 << 40) + 2), (1 << 41, (1 << 41) + 2)]
    assert queue.may_go() == 3
    assert taken.deal(4) == [([1, 2, 3], False), ([1 << 40], False)]
    assert queue.head == (1 << 40) + 1
    assert queue.get(HOLDER, no_ack=True) == ((1 << 40) + 1, False, message(1 << 40 | 1))
    assert taken.deal(9) == [([(1 << 40) + 2], False), ([(1 << 41) + n for n in range(3)], False)]
    assert queue.head == queue.next_position == (1 << 41) + 3
    queue.publish([message(queue.next_position)])
    assert len(queue.ready) == 1, "without a backlog there is only the front"


def test_deliveries_are_limited_behind_a_gap_too() -> None:
    taken = Taken()
    queue = taken.queue
    queue.publish([message(1)])
    queue.begin_at(10)
    queue.publish([message(10), message(11)])
    queue.deliver_through = 10
    assert taken.deal(5) == [([1], False), ([10], False)]
    assert queue.may_go() == 0


@pytest.mark.parametrize("seen_through", [0, 2, 4, 9, 20])
def test_what_may_have_been_out_is_marked_and_what_has_come_since_is_not(
    seen_through: int,
) -> None:
    taken = Taken()
    queue = taken.queue
    queue.restore([(2, 3), (7, 9)], messages(2, 3, 7, 8, 9), seen_through, 21)
    queue.publish([message(21)])
    assert queue.ready_count == 6
    marks = {at: again for positions, again in taken.deal(100) for at in positions}
    assert marks == {at: at <= seen_through for at in (2, 3, 7, 8, 9, 21)}


def test_a_seen_front_is_marked_for_several_consumers_too() -> None:
    taken = Taken()
    queue = taken.queue
    queue.restore([(1, 4)], messages(1, 2, 3, 4), 3, 5)
    for number in (1, 2):
        queue.add_consumer(Consumer(("n", number), number))
    queue.deal()
    assert sorted(taken.dealt) == [([1, 3], True), ([2], True), ([4], False)]


def test_messages_in_the_store_only_are_counted_and_keep_what_is_behind_them_waiting() -> None:
    taken = Taken()
    queue = taken.queue
    queue.restore([(1, 5), (8, 9)], messages(1, 2, 8), 0, 10)
    assert (queue.ready_count, queue.ranges()) == (7, [(1, 5), (8, 9)])
    assert [position for position, _ in queue.entries()] == [1, 2, 8]
    queue.publish([message(10)])
    assert taken.deal(9) == [([1, 2], False)]
    assert (queue.head, queue.may_go(), queue.ready_count) == (3, 0, 6)
    assert queue.get(HOLDER, no_ack=True) is None
    assert queue.drop_over(1, None) == []
    assert queue.next_expiry() is None
    assert queue.purge() == [(3, 5), (8, 10)]
    assert (queue.ready_count, queue.head) == (0, 11)


def test_expired_and_surplus_messages_go_across_a_gap() -> None:
    queue = Taken().queue
    queue.publish([message(1)], [5])
    queue.begin_at(10)
    queue.publish([message(10), message(11)], [6, 90])
    queue.publish([message(12)])
    assert [position for position, _ in queue.expire(7)] == [1, 10]
    assert [position for position, _ in queue.drop_over(1, None)] == [11]
    queue.forget([(1, 1 << 40)])
    assert queue.expiries == {}


def test_bodies_are_weighed_behind_a_gap_too() -> None:
    queue = Taken(QueueSettings(length_bytes_max=100)).queue
    content = content_frames(1, BasicProperties().encode(), b"12345", 0)
    queue.publish([(ROUTE, content)])
    queue.begin_at(10)
    queue.publish([(ROUTE, content)])
    assert queue.ready_bytes == 10
    queue.ready_bytes = 0
    queue.configure(QueueSettings(length_bytes_max=50))
    assert queue.ready_bytes == 10
    queue.drop_over(0, None)
    assert queue.ready_bytes == 0


def test_who_needs_each_message_says_so() -> None:
    assert not Taken().queue.needs_all_in_memory
    assert Taken(QueueSettings(priority_max=1)).queue.needs_all_in_memory
    weighing = Taken(QueueSettings(length_bytes_max=1)).queue
    assert weighing.needs_all_in_memory
    weighing.configure(DEFAULT)
    assert not weighing.needs_all_in_memory


def test_a_queue_with_priorities_takes_over_and_goes_on_at_other_positions() -> None:
    taken = Taken(QueueSettings(priority_max=3))
    queue = taken.queue
    queue.restore([(2, 2), (5, 5)], messages(2, 5), 2, 6)
    queue.begin_at(50)
    queue.publish([message(50)])
    assert (queue.ready_count, queue.head) == (3, 51)
    assert taken.deal(9) == [([2], True), ([5], False), ([50], False)]


@pytest.mark.parametrize("priority_max", [0, 5])
def test_messages_are_taken_out_wherever_they_wait(priority_max: int) -> None:
    taken = Taken(QueueSettings(priority_max=priority_max))
    queue = taken.queue
    queue.restore([(1, 9)], messages(*range(1, 10)), 9, 10)
    assert taken.deal(2) in ([([1, 2], True)], [([1], True), ([2], True)])
    queue.requeue(HOLDER, [1])
    found, stored = queue.take_out([8, 1, 4, 3, 2, 77], stored_too=False)
    assert sorted(found) == [(at, message(at)) for at in (1, 3, 4, 8)], "2 does not wait"
    assert stored == []
    assert (queue.ready_count, queue.held_count) == (4, 1)
    dealt = [at for part, _ in taken.deal(99) for at in part]
    assert dealt == [5, 6, 7, 9]
    assert queue.head == 10


def test_what_is_taken_out_is_weighed_no_more() -> None:
    queue = Queue(lambda *_: None, QueueSettings(length_bytes_max=100))
    body = content_frames(1, BasicProperties().encode(), b"12345", 0)
    queue.publish([(ROUTE, body)] * 4)
    assert queue.ready_bytes == 20
    queue.take_out([2, 3], stored_too=False)
    assert queue.ready_bytes == 10
    assert queue.waiting_ranges() == [(1, 1), (4, 4)]


def test_what_is_in_the_store_only_is_told() -> None:
    taken = Taken()
    queue = taken.queue
    queue.restore([(1, 6)], messages(1, 2), 6, 7)
    assert queue.take_out([2, 3, 5], stored_too=False) == ([(2, message(2))], [(3, 3), (5, 5)])
    assert queue.take_out([1, 3, 4], stored_too=True) == ([(1, message(1))], [(3, 3), (4, 4)])
    assert (queue.ready_count, queue.memory_count, queue.head) == (2, 0, 5)
    assert queue.loaded(5, 6, [(5, [message(5), message(6)])]) == []
    assert taken.deal(9) == [([5], True), ([6], True)]
