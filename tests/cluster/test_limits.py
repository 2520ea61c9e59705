"""How old messages may be, how many a queue may have, how long it may go unused."""

from __future__ import annotations

import pytest

from rabbitry.broker.message import Message, Route
from rabbitry.broker.queue import AT_ONCE, Consumer, Queue
from rabbitry.broker.queue_settings import QueueSettings
from rabbitry.cluster.limits import NEVER, Limits
from rabbitry.wire.frames import content_frames
from rabbitry.wire.methods import BasicProperties

HOLDER = ("n#1", 1)


def message(body: bytes = b"", expiration: str | None = None) -> Message:
    encoded = BasicProperties(expiration=expiration).encode()
    route = Route(b"", b"q", int.from_bytes(encoded[:2], "big"))
    return route, content_frames(1, encoded, body, 0)


def limits(**settings: int | str) -> tuple[Limits, Queue]:
    given = QueueSettings(**settings)  # type: ignore[arg-type]
    queue = Queue(lambda *_: None, given)
    return Limits(queue, given, 1_000), queue


# --- age ------------------------------------------------------------------------------------------


def test_the_lesser_of_the_queues_age_and_the_messages_own() -> None:
    found, _ = limits(message_ttl_ms=20)
    assert found.expiries([message(), message()], 5) == [20_005]
    own = [message(b"", text) for text in ("10", "30", "0")]
    assert found.expiries(own, 5) == [10_005, 20_005, AT_ONCE]
    assert found.expiries([], 5) == []


def test_without_a_queues_age_only_messages_with_one_expire() -> None:
    found, _ = limits()
    assert found.expiries([message()], 5) == []
    assert found.expiries([message(b"", "1"), message(b"", "x")], 5) == [1_005, NEVER]


def test_no_age_at_all_means_at_once() -> None:
    found, _ = limits(message_ttl_ms=0)
    assert found.expiries([message()], 5) == [AT_ONCE]


# --- length ---------------------------------------------------------------------------------------


def admitted(found: Limits, messages: list[Message]) -> tuple[int, list[tuple[int, int]]]:
    taken, refused, numbers = found.admit(messages, 100 + len(messages))
    assert len(taken) + len(refused) == len(messages)
    return len(taken), numbers


def test_a_full_queue_refuses() -> None:
    found, queue = limits(length_max=3, overflow="reject-publish")
    assert admitted(found, [message()] * 2) == (2, [])
    assert admitted(found, [message()] * 5) == (3, [(104, 105)])
    queue.publish([message()] * 3)
    assert admitted(found, [message()]) == (0, [(101, 101)])
    assert found.drop() == []


def test_what_consumers_have_room_for_does_not_count() -> None:
    found, queue = limits(length_max=1, overflow="reject-publish")
    queue.add_consumer(Consumer(HOLDER, 1, prefetch_count=2))
    assert admitted(found, [message()] * 5) == (3, [(104, 105)])
    queue.publish([message()])
    assert admitted(found, [message()] * 5) == (2, [(103, 105)])
    queue.add_consumer(Consumer(HOLDER, 2, no_ack=True))
    assert admitted(found, [message()] * 50) == (50, [])


def test_a_queue_of_no_length_refuses_all() -> None:
    found, queue = limits(length_max=0, overflow="reject-publish")
    queue.add_consumer(Consumer(HOLDER, 1))
    assert admitted(found, [message()]) == (0, [(101, 101)])


def test_bodies_are_weighed_one_by_one() -> None:
    found, queue = limits(length_bytes_max=10, overflow="reject-publish")
    assert admitted(found, [message(b"123456"), message(b"12345"), message(b"1234")]) == (
        2,
        [(102, 102)],
    )
    queue.publish([message(b"12345")])
    assert queue.ready_bytes == 5
    assert admitted(found, [message(b"123456"), message(b"12345")]) == (1, [(101, 101)])


@pytest.mark.parametrize(("settings", "left"), [({"length_max": 2}, 2), ({}, 4)])
def test_the_oldest_go(settings: dict[str, int], left: int) -> None:
    found, queue = limits(**settings)
    queue.publish([message()] * 4)
    assert [position for position, _ in found.drop()] == list(range(1, 5 - left))
    assert queue.ready_count == left


def test_the_oldest_go_by_weight() -> None:
    found, queue = limits(length_bytes_max=5)
    queue.publish([message(b"1234"), message(b"12"), message(b"123"), message(b"")])
    assert [position for position, _ in found.drop()] == [1]
    assert queue.ready_bytes == 5


def test_nothing_goes_that_a_consumer_awaits() -> None:
    found, queue = limits(length_max=1)
    queue.deliver_through = 0  # the mirrors have not answered
    consumer = Consumer(HOLDER, 1, prefetch_count=1)
    queue.add_consumer(consumer)
    queue.publish([message()] * 3)
    assert found.drop() == []
    queue.deliver_through = 3
    queue.deal()
    assert [position for position, _ in found.drop()] == [2]


# --- unused ---------------------------------------------------------------------------------------


def test_a_queue_is_unused_from_its_last_use_on() -> None:
    found, queue = limits(expires_ms=2)
    assert found.next_due() == 3_000
    assert not found.unused(2_999)
    assert found.unused(3_000)
    found.touch(2_000)
    assert not found.unused(3_000)
    queue.add_consumer(Consumer(HOLDER, 1))
    assert not found.unused(1_000_000)
    assert found.next_due() is None


def test_the_first_of_all_dues_counts() -> None:
    found, queue = limits(expires_ms=2)
    queue.publish([message()], [2_500])
    assert found.next_due() == 2_500
    queue.publish([message()], [2_400])
    assert found.next_due() == 2_500, "only the first message can expire"
    assert not limits()[0].unused(1 << 60)
