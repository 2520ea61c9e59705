"""A replica: what the stream's records do to it, and how far it agrees with a leader."""

from __future__ import annotations

import pytest

from rabbitry.broker.message import Routes
from rabbitry.cluster.queue_records import Announced, Begin, Copied, Enqueued, Removed
from rabbitry.cluster.replica import Replica, first_position_of

ROUTES = Routes()


def enqueued(first: int, *bodies: bytes, origin: str = "u", last: int = 0) -> Enqueued:
    return Enqueued(1, 1, 1, first, origin, last, (b"x", b"k", 0, list(bodies)))


def bodies(replica: Replica) -> dict[int, bytes]:
    return {position: body for position, (_, body) in replica.entries()}


def test_messages_come_go_and_are_copied_in_order_of_position() -> None:
    replica = Replica()
    replica.apply(enqueued(5, b"5", b"6", last=9), ROUTES)
    replica.apply(
        Copied(1, 1, 2, [(2, b"x", b"k", 0, b"2"), (3, b"x", b"k", 0, b"3")], True), ROUTES
    )
    replica.apply(Removed(1, 1, 3, [(1, 2), (5, 5), (8, 1 << 40)]), ROUTES)
    replica.apply(Announced(1, 1, 4, 70), ROUTES)
    assert bodies(replica) == {3: b"3", 6: b"6"}
    assert [position for position, _ in replica.entries()] == [3, 6]
    assert (replica.next_position, replica.seen_through) == (7, 70)
    assert replica.origins == {"u": 9}
    assert replica.messages[3][0] is ROUTES.get(b"x", b"k")


def test_removing_a_range_costs_what_is_held_at_most() -> None:
    replica = Replica()
    replica.apply(enqueued(1, b"1", b"2", b"3"), ROUTES)
    replica.remove([(2, 1 << 60)])
    assert bodies(replica) == {1: b"1"}


def test_what_is_kept_makes_the_replica_again_but_for_its_messages() -> None:
    replica = Replica()
    replica.epoch, replica.generation, replica.seen_through, replica.consumed = 3, 2, 1, True
    replica.apply(enqueued(1, b"1", b"2"), ROUTES)
    replica.counts[1] = 4
    replica.rejections["u"] = [(7, 8)]
    again = Replica.of(replica.describe())
    names = [one for one in Replica.__slots__ if one not in ("messages", "positions")]
    assert all(getattr(again, name) == getattr(replica, name) for name in names)
    assert again.messages == {}


def test_what_the_store_has_too_may_leave_memory() -> None:
    replica = Replica()
    replica.apply(enqueued(1, b"1", b"2", b"3", b"4"), ROUTES)
    before = replica.memory_bytes()
    replica.drop_from_memory([(2, 3)])
    assert sorted(replica.messages) == [1, 4]
    assert replica.positions.ranges() == [(1, 4)]
    assert replica.memory_bytes() == before // 2
    assert [at for at, _ in replica.in_memory(1, 9)] == [1, 4]
    replica.remove([(1, 2)])
    assert (replica.positions.ranges(), list(replica.messages)) == ([(3, 4)], [4])


def test_positions_of_epochs_follow_each_other() -> None:
    assert first_position_of(1) == 1
    assert first_position_of(3) - first_position_of(2) == first_position_of(2) - 1 > 1 << 39


@pytest.mark.parametrize(
    ("epoch", "next_position", "before"),
    [
        (4, 9, 9),  # a prefix of this leader's stream
        (2, 9, 6),  # of the same stream as the leader's beginnings, and beyond them
        (2, 4, 4),
        (3, 9, 0),  # of one that the leader was not part of
        (0, 1, 0),
    ],
)
def test_two_prefixes_agree_as_far_as_both_go(epoch: int, next_position: int, before: int) -> None:
    replica = Replica()
    replica.epoch, replica.next_position = epoch, next_position
    begin = Begin(1, 4, 0, False, [], 20, 0, {}, 2, 6)
    assert replica.settled_before(begin) == before
