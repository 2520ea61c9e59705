"""A queue that is about to be deleted."""

from __future__ import annotations

from support.cluster_leader import LeaderAlone

from rabbitry.broker.queue import Consumer


def test_what_is_asked_of_a_queue_that_is_going_is_answered_when_it_is_gone() -> None:
    alone = LeaderAlone([], auto_delete=True)
    alone.leader.subscribe("u", 1, Consumer(("u", 1), 1))
    alone.leader.release(("u", 1))
    alone.port.told.clear()
    alone.leader.inquire("u", 2, "count", False, False)
    alone.leader.inquire("u", 3, "delete", False, False)
    alone.leader.subscribe("u", 4, Consumer(("u", 2), 1))
    alone.leader.get("u", 5, ("u", 2), True)
    alone.pump()
    assert alone.port.told == [] and alone.port.deletions == 1
