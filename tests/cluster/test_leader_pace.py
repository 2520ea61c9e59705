"""A leader deals a long queue out over many steps (`rabbitry.cluster.leader`)."""

from __future__ import annotations

from support.cluster_leader import LeaderAlone

from rabbitry.broker.message import Message, Route
from rabbitry.broker.queue import DEALT_BYTES_MAX, Consumer
from rabbitry.wire.frames import content_frames
from rabbitry.wire.methods import BasicProperties

ROUTE = Route(b"", b"q")
CONTENT = content_frames(1, BasicProperties().encode(), b"x", 4096)


def test_a_long_queue_goes_out_over_many_steps() -> None:
    alone = LeaderAlone([])
    messages: list[Message] = [(ROUTE, bytes(DEALT_BYTES_MAX // 2)) for _ in range(9)]
    alone.leader.publish("u", 9, messages)
    alone.leader.subscribe("u", 1, Consumer(("u", 1), 1))
    steps = 0
    alone.port.wake_at = alone.port.time
    while alone.port.wake_at is not None:
        assert alone.port.wake_at <= alone.port.time + 1
        alone.port.time += 1
        alone.leader.pump()
        steps += 1
    assert alone.port.delivered == [(at, False) for at in range(1, 10)]
    assert steps >= 4


def test_dead_letters_of_very_many_leave_over_many_steps() -> None:
    alone = LeaderAlone([], arguments={"x-dead-letter-exchange": "x", "x-message-ttl": 1000})
    alone.leader.publish("u", 1000, [(ROUTE, CONTENT)] * 1000)
    alone.leader.pump()
    alone.port.time += 1_000_000
    steps = 0
    while alone.leader.queue.entries():
        alone.leader.pump()
        for done in alone.port.undone:
            done()
        alone.port.undone.clear()
        alone.port.time += 1
        steps += 1
    assert len(alone.port.dead_letters) == 1000
    assert steps >= 4
