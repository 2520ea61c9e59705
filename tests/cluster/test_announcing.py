"""Through which position messages may go out. (The races are in test_leader.py.)"""

from __future__ import annotations

from rabbitry.broker.message import Message, Route
from rabbitry.broker.queue import Consumer, Queue
from rabbitry.cluster.announcing import WINDOW_MAX, Announcing

MESSAGE: Message = (Route(b"", b"q"), b"m")


def announcing(count: int) -> tuple[Announcing, Queue]:
    queue = Queue(lambda *_: None)
    queue.publish([MESSAGE] * count)
    return Announcing(queue), queue


def test_a_queue_without_mirrors_has_no_bound() -> None:
    found, queue = announcing(3)
    assert not found.limit(False)
    assert not found.widen(1)
    assert queue.deliver_through is None
    assert found.limit(True)
    assert queue.deliver_through == 0
    assert found.limit(False)
    assert queue.deliver_through is None


def test_the_lesser_of_what_is_known_and_what_is_held() -> None:
    found, queue = announcing(3)
    found.limit(True)
    assert found.widen(2)
    found.sent(1)
    queue.publish([MESSAGE])
    found.enqueued(2)
    found.advance(0)
    found.limit(True)
    assert queue.deliver_through == 0
    found.advance(1)
    assert found.limit(True)
    assert queue.deliver_through == 2, "announced, and held from before"
    queue.add_consumer(Consumer(("n#1", 1), 1))
    assert found.widen(0)
    assert found.announced == WINDOW_MAX
    found.sent(3)
    found.advance(3)
    found.limit(True)
    assert queue.deliver_through == 4, "held"


def test_it_is_widened_when_half_is_used() -> None:
    found, queue = announcing(100)
    found.limit(True)
    queue.add_consumer(Consumer(("n#1", 1), 1, prefetch_count=10))
    assert found.widen(0)
    assert found.announced == 10
    assert not found.widen(0)
    found.sent(1)
    found.advance(1)
    found.limit(True)
    queue.deal()
    queue.settle(("n#1", 1), range(1, 5))
    assert found.widen(0)
    assert found.announced == 14


def test_after_a_failover_nothing_goes_out_before_all_have_begun() -> None:
    found, queue = announcing(5)
    found.restore(3)
    assert (queue.deliver_through, found.announced) == (0, 3)
    found.advance(0)
    found.limit(True)
    assert queue.deliver_through == 3
    assert found.catch_up() == 3
