"""A leader deals a long queue out over many steps (`rabbitry.cluster.leader`)."""

from __future__ import annotations

from support.cluster_leader import LeaderAlone

from rabbitry.broker.message import Message, Route
from rabbitry.broker.queue import DEALT_BYTES_MAX, Consumer

ROUTE = Route(b"", b"q")


def test_a_long_queue_goes_out_over_many_steps() -> None:
    alone = LeaderAlone([])
    messages: list[Message] = [(ROUTE, bytes(DEALT_BYTES_MAX // 2)) for _ in range(9)]
    alone.leader.publish("u", 9, messages)
    alone.leader.subscribe("u", 1, Consumer(("u", 1), 1))
    steps = 0
    alone.port.wake_at = alone.port.time
    while alone.port.wake_at is not None:
        assert alone.port.wake_at == alone.port.time
        alone.leader.pump()
        steps += 1
    assert alone.port.delivered == [(at, False) for at in range(1, 10)]
    assert steps >= 4
