"""The limit that all consumers of a channel share."""

from __future__ import annotations

from support.fake_broker import FakeQueue

from rabbitry.broker.limiter import Limiter

FIRST, SECOND = FakeQueue("first"), FakeQueue("second")


def limited(prefetch_count: int) -> Limiter:
    limiter = Limiter()
    limiter.prefetch_count = prefetch_count
    return limiter


def test_without_a_limit_everything_passes() -> None:
    limiter = Limiter()
    assert limiter.admit(FIRST, 1000, 5000) == 1000
    assert limiter.runs(FIRST)


def test_deliveries_pass_while_there_is_room() -> None:
    limiter = limited(5)
    assert limiter.admit(FIRST, 3, 0) == 3
    assert limiter.admit(SECOND, 2, 3) == 2
    assert limiter.runs(FIRST)


def test_what_is_too_much_stops_all() -> None:
    limiter = limited(5)
    assert limiter.admit(FIRST, 4, 3) == 2
    assert not limiter.runs(FIRST)
    assert not limiter.runs(SECOND)
    assert limiter.admit(SECOND, 4, 5) == 0


def test_consumers_can_be_stopped_before_there_is_too_much() -> None:
    limiter = limited(2)
    assert not limiter.stop_if_full(1)
    assert limiter.stop_if_full(2)
    assert not limiter.stop_if_full(2), "they are"
    assert not limiter.runs(FIRST)
    assert limiter.resumes(1)
    assert not Limiter().stop_if_full(9)


def test_more_owed_than_the_limit_leaves_no_room() -> None:
    assert limited(5).admit(FIRST, 1, 9) == 0


def test_nothing_of_a_draining_queue_passes_though_there_is_room() -> None:
    limiter = limited(1)
    assert limiter.admit(FIRST, 2, 0) == 1
    assert limiter.drain(FIRST)
    assert not limiter.drain(FIRST), "one question is enough"
    assert limiter.resumes(0)
    assert limiter.admit(FIRST, 1, 0) == 0
    assert limiter.admit(SECOND, 1, 0) == 1
    assert limiter.runs(SECOND)
    assert not limiter.runs(FIRST)
    limiter.drained(FIRST)
    assert limiter.runs(FIRST)
    assert limiter.admit(FIRST, 1, 0) == 1


def test_consumers_go_on_when_there_is_room() -> None:
    limiter = limited(2)
    limiter.admit(FIRST, 3, 0)
    assert not limiter.resumes(2)
    assert limiter.resumes(1)
    assert not limiter.resumes(1), "they do already"


def test_consumers_go_on_when_the_limit_ends() -> None:
    limiter = limited(2)
    limiter.admit(FIRST, 3, 0)
    limiter.prefetch_count = 0
    assert limiter.resumes(2)
    assert limiter.admit(FIRST, 100, 2) == 100


def test_a_consumer_is_sent_no_more_than_either_limit() -> None:
    assert [Limiter().share(own) for own in (0, 3)] == [0, 3]
    assert [limited(5).share(own) for own in (0, 3, 9)] == [5, 3, 5]
