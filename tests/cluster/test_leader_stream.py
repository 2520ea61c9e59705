"""The stream of a leader; its races are in test_leader*.py, where consumers are too."""

from __future__ import annotations

from support.cluster_leader import LeaderAlone

from rabbitry.cluster.queue_records import Marked


def test_a_mark_is_answered_when_all_mirrors_that_count_hold_the_stream() -> None:
    alone = LeaderAlone(["b"])
    alone.complete("b")
    assert not alone.leader.alone
    alone.publish("u", 1, 1)
    alone.leader.mark("u", 5)
    assert alone.port.told == []
    alone.answer_all("b")
    assert alone.port.told == [("u", Marked(1, 1, 5))]


def test_without_mirrors_it_is_answered_at_once() -> None:
    alone = LeaderAlone([])
    assert alone.leader.alone
    alone.publish("u", 1, 1)
    alone.leader.mark("u", 5)
    assert alone.port.told == [("u", Marked(1, 1, 5))]
