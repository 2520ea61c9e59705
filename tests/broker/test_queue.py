"""A queue against a naive model (a list of messages), and its promises one by one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from rabbitry.broker.message import Message, Route
from rabbitry.broker.positions import ranges_of
from rabbitry.broker.queue import DEALT_BYTES_MAX, Consumer, Holder, Queue
from rabbitry.broker.queue_settings import DEFAULT, QueueSettings
from rabbitry.wire.frames import content_body, content_frames
from rabbitry.wire.methods import BasicProperties

ROUTE = Route(b"", b"q")
HOLDERS: list[Holder] = [("n", 1), ("n", 2), ("m", 1)]
Delivery = tuple[Consumer, list[int], list[Message], bool]


def message(position: int) -> Message:
    return ROUTE, str(position).encode()


def positions_of(ranges: Sequence[tuple[int, int]]) -> list[int]:
    return [position for first, last in ranges for position in range(first, last + 1)]


class Recorded:
    """A queue whose deliveries are written down."""

    def __init__(self, settings: QueueSettings = DEFAULT) -> None:
        self.deliveries: list[Delivery] = []
        self.queue = Queue(self._sink, settings)

    def _sink(
        self, consumer: Consumer, positions: Sequence[int], messages: list[Message], again: bool
    ) -> None:
        self.deliveries.append((consumer, list(positions), messages, again))

    def publish(self, count: int) -> None:
        first = self.queue.next_position
        self.queue.publish([message(position) for position in range(first, first + count)])

    def taken(self) -> list[tuple[int, list[int], bool]]:
        """What was delivered since the last call: (consumer's number, positions, redelivered)."""
        found = [(who.number, positions, again) for who, positions, _, again in self.deliveries]
        self.deliveries.clear()
        return found


# --- the model -----------------------------------------------------------------------------------


@dataclass
class Entry:
    position: int
    seen: bool = False
    holder: Holder | None = None
    consumer: int | None = None


@dataclass
class Subscriber:
    holder: Holder
    no_ack: bool
    prefetch: int
    consumer: Consumer
    held: int = field(default=0)


class QueueMachine(RuleBasedStateMachine):
    """Whatever is done, in whatever order, the queue does as the list would."""

    def __init__(self) -> None:
        super().__init__()
        self.recorded = Recorded()
        self.entries: list[Entry] = []
        self.next_position = 1
        self.limit: int | None = None
        self.subscribers: dict[int, Subscriber] = {}
        self.numbers = 0

    @property
    def queue(self) -> Queue:
        return self.recorded.queue

    def waiting(self) -> list[Entry]:
        """What may go out now, in order."""
        limit = self.next_position if self.limit is None else self.limit
        return [one for one in self.entries if one.holder is None and one.position <= limit]

    def room(self, number: int) -> int:
        one = self.subscribers[number]
        if one.consumer.paused:
            return 0
        if one.no_ack or not one.prefetch:
            return 1_000_000
        held = sum(entry.consumer == number for entry in self.entries)
        return max(one.prefetch - held, 0)

    def held_by(self, holder: Holder) -> list[Entry]:
        return [one for one in self.entries if one.holder == holder]

    # --- what can happen ---

    @rule(count=st.integers(1, 5))
    def publish(self, count: int) -> None:
        self.recorded.publish(count)
        for _ in range(count):
            self.entries.append(Entry(self.next_position))
            self.next_position += 1

    @rule(position=st.integers(1, 60))
    def begin_at(self, position: int) -> None:
        """As a new leader does it; what stands behind the gap is no run with what is before it."""
        self.queue.begin_at(position)
        self.next_position = max(self.next_position, position)

    @rule(holder=st.sampled_from(HOLDERS), no_ack=st.booleans(), prefetch=st.integers(0, 3))
    def consume(self, holder: Holder, no_ack: bool, prefetch: int) -> None:
        self.numbers += 1
        consumer = Consumer(holder, self.numbers, no_ack=no_ack, prefetch_count=prefetch)
        self.queue.add_consumer(consumer)
        self.subscribers[self.numbers] = Subscriber(holder, no_ack, prefetch, consumer)

    @precondition(lambda self: self.subscribers)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        number = data.draw(st.sampled_from(sorted(self.subscribers)))
        one = self.subscribers.pop(number)
        assert self.queue.find_consumer(one.holder, number) is one.consumer
        assert self.queue.remove_consumer(one.holder, number)
        assert not self.queue.remove_consumer(one.holder, number)

    @precondition(lambda self: self.subscribers)
    @rule(data=st.data(), paused=st.booleans())
    def pause(self, data: st.DataObject, paused: bool) -> None:
        number = data.draw(st.sampled_from(sorted(self.subscribers)))
        self.subscribers[number].consumer.paused = paused

    @rule()
    def deal(self) -> None:
        room = {number: self.room(number) for number in self.subscribers}
        expected = self.waiting()[: sum(room.values())]
        seen = {one.position: one.seen for one in expected}
        gone = positions_of(self.queue.deal())
        delivered: list[int] = []
        settled: list[int] = []
        for consumer, positions, messages, redelivered in self.recorded.deliveries:
            subscriber = self.subscribers[consumer.number]
            assert messages == [message(position) for position in positions]
            assert [seen[position] for position in positions] == [redelivered] * len(positions)
            delivered += positions
            room[consumer.number] -= len(positions)
            for entry in [one for one in self.entries if one.position in positions]:
                entry.seen = True
                if subscriber.no_ack:
                    self.entries.remove(entry)
                    settled.append(entry.position)
                else:
                    entry.holder, entry.consumer = subscriber.holder, consumer.number
        for number in self.subscribers:
            mine = [
                position
                for consumer, positions, _, _ in self.recorded.deliveries
                if consumer.number == number
                for position in positions
            ]
            assert mine == sorted(mine), "each consumer gets its share in order"
        self.recorded.deliveries.clear()
        assert sorted(delivered) == list(seen)
        assert sorted(gone) == sorted(settled)
        assert all(left >= 0 for left in room.values()), "nobody gets more than his prefetch"

    @rule(holder=st.sampled_from(HOLDERS), no_ack=st.booleans())
    def get(self, holder: Holder, no_ack: bool) -> None:
        got = self.queue.get(holder, no_ack)
        waiting = self.waiting()
        if not waiting:
            assert got is None
            return
        entry = waiting[0]
        assert got == (entry.position, entry.seen, message(entry.position))
        if no_ack:
            self.entries.remove(entry)
        else:
            entry.seen, entry.holder = True, holder

    @rule(holder=st.sampled_from(HOLDERS), data=st.data(), requeue=st.booleans())
    def settle(self, holder: Holder, data: st.DataObject, requeue: bool) -> None:
        top = self.next_position
        positions = data.draw(st.lists(st.integers(0, top), max_size=8, unique=True))
        mine = [one for one in self.held_by(holder) if one.position in positions]
        if requeue:
            self.queue.requeue(holder, positions)
            for one in mine:
                one.holder = one.consumer = None
        else:
            settled = self.queue.settle(holder, positions)
            assert sorted(settled) == [one.position for one in mine]
            self.entries = [one for one in self.entries if one not in mine]

    @rule(holder=st.sampled_from(HOLDERS))
    def release(self, holder: Holder) -> None:
        ended = [n for n, one in self.subscribers.items() if one.holder == holder]
        assert self.queue.release(holder) == bool(ended)
        for number in ended:
            del self.subscribers[number]
        for entry in self.held_by(holder):
            entry.holder = entry.consumer = None

    @rule()
    def purge(self) -> None:
        dropped = positions_of(self.queue.purge())
        assert dropped == [one.position for one in self.entries if one.holder is None]
        self.entries = [one for one in self.entries if one.holder is not None]

    @rule(more=st.integers(0, 4) | st.none())
    def limit_deliveries(self, more: int | None) -> None:
        out = max([one.position for one in self.entries if one.seen], default=0)
        # As a leader does it: never below what has been out.
        self.limit = None if more is None else max(out, self.queue.head - 1) + more
        self.queue.deliver_through = self.limit

    @rule(data=st.data(), limit=st.integers(0, 12) | st.none())
    def fail_over(self, data: st.DataObject, limit: int | None) -> None:
        """A mirror takes over; it may lack some messages, and may go out with less than all."""
        assert self.queue.entries() == [(e.position, message(e.position)) for e in self.entries]
        lost = data.draw(
            st.lists(st.sampled_from(self.entries), max_size=3) if self.entries else st.just([])
        )
        out = max([one.position for one in self.entries if one.seen], default=0)
        seen_through = data.draw(st.integers(out, self.next_position - 1))
        self.entries = [
            Entry(one.position, one.position <= seen_through)
            for one in self.entries
            if one not in lost
        ]
        self.recorded = Recorded()
        kept = {one.position: message(one.position) for one in self.entries}
        self.queue.restore(ranges_of(list(kept)), kept, seen_through, self.next_position)
        self.queue.deliver_through = self.limit = limit
        self.subscribers.clear()

    # --- what always holds ---

    @invariant()
    def counts_agree(self) -> None:
        queue = self.queue
        held = [one for one in self.entries if one.holder is not None]
        assert queue.next_position == self.next_position
        assert queue.held_count == len(held)
        assert queue.ready_count == len(self.entries) - len(held)
        assert bool(queue.may_go()) == bool(self.waiting())
        for number, one in self.subscribers.items():
            outstanding = sum(entry.consumer == number for entry in self.entries)
            assert one.consumer.outstanding == outstanding

    @invariant()
    def every_message_is_found_in_its_place(self) -> None:
        alive = {one.position: message(one.position) for one in self.entries}
        assert self.queue.entries() == sorted(alive.items())
        assert self.queue.ranges() == ranges_of(sorted(alive))


TestQueueMachine = QueueMachine.TestCase
TestQueueMachine.settings = settings(max_examples=150, stateful_step_count=30, deadline=None)


# --- one by one ----------------------------------------------------------------------------------


def with_consumers(*prefetches: int, no_ack: bool = False) -> tuple[Recorded, list[Consumer]]:
    recorded = Recorded()
    consumers = [
        Consumer(("n", number), number, no_ack=no_ack, prefetch_count=prefetch)
        for number, prefetch in enumerate(prefetches)
    ]
    for consumer in consumers:
        recorded.queue.add_consumer(consumer)
    return recorded, consumers


def test_one_consumer_gets_a_run_in_one_batch() -> None:
    recorded, _ = with_consumers(0)
    recorded.publish(1000)
    assert recorded.queue.deal() == []
    assert recorded.taken() == [(0, list(range(1, 1001)), False)]


@pytest.mark.parametrize("consumers", [1, 2])
@pytest.mark.parametrize("returned", [False, True])
def test_one_deal_is_bounded_by_bytes(consumers: int, returned: bool) -> None:
    recorded, _ = with_consumers(*[0] * consumers)
    queue = recorded.queue
    size_bytes = DEALT_BYTES_MAX // 4
    queue.publish([(ROUTE, bytes(size_bytes)) for _ in range(20)])
    if returned:
        holder = ("elsewhere", 1)
        for _ in range(20):
            assert queue.get(holder, no_ack=False)
        queue.release(holder)
    dealt = 0
    while queue.ready_count:
        queue.deal()
        batch = [position for _, positions, _ in recorded.taken() for position in positions]
        assert 1 <= len(batch) <= 5
        dealt += len(batch)
        assert queue.sated == (dealt < 20)
    assert dealt == 20
    queue.publish([(ROUTE, bytes(2 * DEALT_BYTES_MAX))] * 2)
    queue.deal()
    assert [len(positions) for _, positions, _ in recorded.taken()] == [1]


def test_nobody_is_sated_who_could_take_no_more() -> None:
    recorded, _ = with_consumers(4)
    recorded.queue.publish([(ROUTE, bytes(DEALT_BYTES_MAX // 4)) for _ in range(20)])
    recorded.queue.deal()
    assert recorded.taken() == [(0, [1, 2, 3, 4], False)]
    assert not recorded.queue.sated


def test_no_ack_deliveries_are_settled_as_ranges() -> None:
    recorded, _ = with_consumers(0, no_ack=True)
    recorded.publish(1000)
    assert recorded.queue.deal() == [(1, 1000)]
    assert recorded.queue.entries() == []


def test_consumers_are_dealt_to_in_turn_also_over_several_deals() -> None:
    recorded, _ = with_consumers(0, 0, 0)
    got: dict[int, list[int]] = {0: [], 1: [], 2: []}
    for count in (4, 1, 1, 3):
        recorded.publish(count)
        recorded.queue.deal()
        for number, positions, _ in recorded.taken():
            got[number] += positions
    assert got == {0: [1, 4, 7], 1: [2, 5, 8], 2: [3, 6, 9]}


def test_a_consumer_without_room_is_passed_over() -> None:
    recorded, consumers = with_consumers(1, 0)
    recorded.publish(5)
    recorded.queue.deal()
    assert recorded.taken() == [(0, [1], False), (1, [2, 3, 4, 5], False)]
    consumers[1].paused = True
    recorded.publish(1)
    recorded.queue.deal()
    assert recorded.taken() == []
    recorded.queue.settle(("n", 0), [1])
    recorded.queue.deal()
    assert recorded.taken() == [(0, [6], False)]


def test_what_comes_back_goes_out_first_in_its_old_order_and_marked() -> None:
    recorded, _ = with_consumers(4)
    recorded.publish(6)
    recorded.queue.deal()
    recorded.taken()
    recorded.queue.requeue(("n", 0), [3, 1, 2])
    recorded.queue.deal()
    assert recorded.taken() == [(0, [1], True), (0, [2], True), (0, [3], True)]


def test_a_cancelled_consumer_leaves_what_it_holds_with_its_channel() -> None:
    recorded, (consumer,) = with_consumers(0)
    recorded.publish(2)
    recorded.queue.deal()
    recorded.queue.remove_consumer(consumer.holder, consumer.number)
    assert recorded.queue.ready_count == 0
    assert recorded.queue.settle(consumer.holder, [1]) == [1]
    assert recorded.queue.release(consumer.holder) is False
    assert recorded.queue.get(("x", 1), False) == (2, True, message(2))


def test_another_channel_cannot_settle_what_it_does_not_hold() -> None:
    recorded, _ = with_consumers(0)
    recorded.publish(1)
    recorded.queue.deal()
    assert recorded.queue.settle(("n", 9), [1]) == []
    recorded.queue.requeue(("n", 9), [1])
    assert recorded.queue.settle(("n", 0), [1, 1, 7]) == [1]


def test_nothing_goes_out_beyond_the_limit_not_even_again() -> None:
    recorded, _ = with_consumers(0)
    queue = recorded.queue
    queue.restore([(3, 8)], {position: message(position) for position in range(3, 9)}, 5, 9)
    queue.deliver_through = 0
    queue.deal()
    assert recorded.taken() == []
    assert queue.get(("n", 0), True) is None
    queue.deliver_through = 4
    queue.deal()
    assert recorded.taken() == [(0, [3, 4], True)]
    queue.deliver_through = 7
    queue.deal()
    assert recorded.taken() == [(0, [5], True), (0, [6, 7], False)]


# --- priorities -----------------------------------------------------------------------------------


def prioritised(priority: int | None, body: bytes) -> Message:
    encoded = BasicProperties(priority=priority).encode()
    route = Route(b"", b"q", int.from_bytes(encoded[:2], "big"))
    return route, content_frames(1, encoded, body, 0)


def bodies(recorded: Recorded) -> list[bytes]:
    found = [content_body(frames) for _, _, sent, _ in recorded.deliveries for _, frames in sent]
    recorded.deliveries.clear()
    return found


def test_higher_priorities_go_first_and_within_one_the_older() -> None:
    recorded = Recorded(QueueSettings(priority_max=5))
    queue = recorded.queue
    queue.publish([prioritised(1, b"a"), prioritised(None, b"b"), prioritised(9, b"c")])
    queue.publish([prioritised(5, b"d"), prioritised(0, b"e"), prioritised(1, b"f")])
    assert (queue.next_position, queue.ready_count) == (7, 6)
    queue.add_consumer(Consumer(HOLDERS[0], 1, prefetch_count=4))
    queue.deal()
    assert bodies(recorded) == [b"c", b"d", b"a", b"f"]
    queue.requeue(HOLDERS[0], [1, 3])
    queue.deal()
    assert bodies(recorded) == [b"c", b"a"]
    queue.settle(HOLDERS[0], [1, 3, 4, 6])
    queue.deal()
    assert bodies(recorded) == [b"b", b"e"]
    assert queue.ready_count == 0


def test_priorities_survive_a_failover_and_a_limit_stops_the_first() -> None:
    queue = Recorded(QueueSettings(priority_max=5)).queue
    queue.publish([prioritised(1, b"a"), prioritised(2, b"b"), prioritised(1, b"c")])
    recorded = Recorded(QueueSettings(priority_max=5))
    recorded.queue.restore(queue.ranges(), dict(queue.entries()), 2, 4)
    assert recorded.queue.next_position == 4
    recorded.queue.deliver_through = 1
    recorded.queue.add_consumer(Consumer(HOLDERS[0], 1))
    assert recorded.queue.deal() == []
    assert recorded.deliveries == [], "the first is not known of by all"
    recorded.queue.deliver_through = 3
    recorded.queue.deal()
    assert recorded.taken() == [(1, [2], True), (1, [1], True), (1, [3], False)]


def test_a_purge_of_priorities_drops_them_all() -> None:
    queue = Recorded(QueueSettings(priority_max=5)).queue
    queue.publish([prioritised(1, b"a"), prioritised(2, b"b")])
    assert queue.purge() == [(1, 2)]
    assert (queue.ready_count, queue.next_position) == (0, 3)
