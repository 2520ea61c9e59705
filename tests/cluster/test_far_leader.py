"""A leader on another node: each call is a record, which is the same call there."""

from __future__ import annotations

from unittest.mock import MagicMock, call

from rabbitry.broker.message import Routes
from rabbitry.broker.queue import Consumer
from rabbitry.cluster.far_leader import FarLeader, consumer_of, subscribe_record
from rabbitry.cluster.leader import QueueLeader
from rabbitry.cluster.leading import tell_leader
from rabbitry.cluster.queue_records import Claimed, Record
from rabbitry.cluster.records import decode, encode

HOLDER = ("c#1", 4)


def test_each_call_comes_to_the_leader_as_it_was_made() -> None:
    leader = MagicMock(spec=QueueLeader)
    routes = Routes()

    def send(record: Record) -> None:
        tell_leader(leader, routes, "c", "c#1", decode(encode(record)))  # type: ignore[arg-type]

    far = FarLeader(7, 3, send)
    far.publish("c#1", 9, [(routes.get(b"x", b"k"), b"body")], 5)
    far.unsubscribe("c#1", 1, HOLDER, 2)
    far.settle(HOLDER, [1, 2])
    far.reject(HOLDER, [3])
    far.requeue(HOLDER, [4], False)
    far.release(HOLDER)
    far.get("c#1", 2, HOLDER, True)
    far.inquire("c#1", 3, "delete", True, False)
    far.pause_consumer(HOLDER, 2, True, 10)
    claimed = Claimed(7, 3, [(HOLDER, 2, [5])], [6], [7])
    far.claim("c#1", claimed)
    far.mark("c#1", 8)
    assert not far.alone
    assert leader.method_calls == [
        call.publish("c#1", 9, [(routes.get(b"x", b"k"), b"body")], 5),
        call.unsubscribe("c#1", 1, HOLDER, 2),
        call.settle(HOLDER, [1, 2]),
        call.reject(HOLDER, [3]),
        call.requeue(HOLDER, [4], False),
        call.release(HOLDER),
        call.get("c#1", 2, HOLDER, True),
        call.inquire("c#1", 3, "delete", True, False),
        call.pause_consumer(HOLDER, 2, True, 10),
        call.claim("c#1", claimed),
        call.mark("c#1", 8),
    ]


def test_a_consumer_is_the_same_there() -> None:
    consumer = Consumer(
        HOLDER, 3, no_ack=True, prefetch_count=5, exclusive=True, priority=-2, shares_limit=True
    )
    consumer.paused = True
    sent: list[Record] = []
    FarLeader(7, 3, sent.append).subscribe("c#1", 6, consumer)
    assert sent == [subscribe_record(7, 3, 6, consumer)]
    there = consumer_of(subscribe_record(7, 3, 6, consumer))
    assert all(getattr(there, name) == getattr(consumer, name) for name in Consumer.__slots__)
