"""What channels hold of a queue's earlier leaders is claimed from the next."""

from __future__ import annotations

import pytest

from rabbitry.broker.message import Route
from rabbitry.broker.queue import Consumer, Queue

ROUTE = Route(b"", b"q")


def restored(through: int) -> tuple[Queue, list[list[int]]]:
    """Return a queue that another leader may have let out, and what it deals."""
    dealt: list[list[int]] = []
    queue = Queue(lambda _, positions, __, ___: dealt.append(list(positions)))
    queue.restore([(1, through)], dict.fromkeys(range(1, through + 1), (ROUTE, b"")), through, 100)
    return queue, dealt


@pytest.mark.parametrize("first", ["claim", "consumer"])
def test_what_a_consumer_has_of_another_leader_counts(first: str) -> None:
    queue, dealt = restored(6)
    consumer = Consumer(("n", 1), 2, prefetch_count=3)
    if first == "consumer":
        queue.add_consumer(consumer)
    assert queue.claim(("n", 1), 2, [2, 4, 50]) == []
    queue.claim(("n", 1), 0, [5])
    if first == "claim":
        queue.add_consumer(consumer)
    assert consumer.outstanding == 2
    queue.deal()
    assert dealt == [[1]]
    assert queue.settle(("n", 1), [2, 4, 5, 50]) == [2, 4, 5]
    assert consumer.outstanding == 1
    queue.deal()
    assert dealt == [[1], [3], [6]]


def test_what_stands_before_a_claim_goes_before_it() -> None:
    queue, dealt = restored(5)
    queue.claim(("n", 1), 0, [2, 4])
    queue.bring_back(4)
    queue.requeue(("n", 1), [2, 4])
    queue.add_consumer(Consumer(("n", 2), 1, no_ack=True))
    queue.deal()
    assert [at for part in dealt for at in part] == [1, 2, 3, 4, 5]


def test_a_consumer_that_never_came_is_forgotten_with_its_channel() -> None:
    queue, _ = restored(3)
    queue.claim(("n", 1), 2, [1])
    queue.release(("n", 1))
    consumer = Consumer(("n", 1), 2, prefetch_count=9)
    queue.add_consumer(consumer)
    assert consumer.outstanding == 0
    assert queue.ready_count == 3


def test_what_is_held_behind_what_waits_stands_in_its_place() -> None:
    """A mirror is told ranges in order: what stands out of order it would not be sent."""
    queue, _ = restored(5)
    queue.claim(("n", 1), 0, [3, 5])
    assert queue.ranges() == [(1, 5)]
    assert [position for position, _ in queue.entries()] == [1, 2, 3, 4, 5]
