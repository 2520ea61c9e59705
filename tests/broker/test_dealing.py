"""Who consumes a queue, and whose turn it is."""

from __future__ import annotations

from collections.abc import Sequence

from rabbitry.broker.dealing import Consumer, QueueConsumers

HOLDER = ("n#1", 1)


def consumer(number: int, prefetch: int = 0, priority: int = 0, channel: int = 1) -> Consumer:
    return Consumer(("n#1", channel), number, prefetch_count=prefetch, priority=priority)


def consumers(*several: Consumer, single_active: bool = False) -> QueueConsumers:
    found = QueueConsumers(single_active)
    for one in several:
        found.add(one)
    return found


def numbers(shares: Sequence[tuple[Consumer, list[int]]]) -> dict[int, list[int]]:
    return {one.number: share for one, share in shares}


def turns(found: QueueConsumers, count: int) -> list[int | None]:
    able = [found.next_able() for _ in range(count)]
    return [one.number if one is not None else None for one in able]


def test_each_in_turn() -> None:
    found = consumers(consumer(1), consumer(2), consumer(3))
    assert turns(found, 4) == [1, 2, 3, 1]
    assert numbers(found.deal(10, 5)) == {2: [10, 13], 3: [11, 14], 1: [12]}
    assert found.alone() is None
    assert consumers().next_able() is None


def test_the_turn_passes_over_those_without_credit() -> None:
    busy, free = consumer(1, prefetch=1), consumer(2, prefetch=3)
    busy.outstanding = 1
    found = consumers(busy, free)
    assert turns(found, 2) == [2, 2]
    assert numbers(found.deal(1, 9)) == {2: [1, 2, 3]}
    assert found.credit(9) == 3
    assert found.credit(2) == 2
    free.paused = True
    assert turns(found, 1) == [None]
    assert found.deal(1, 9) == []


def test_the_highest_priority_first_as_long_as_it_can_take_any() -> None:
    high, low = consumer(1, prefetch=1, priority=5), consumer(2, priority=-1)
    found = consumers(low, high, consumer(3, prefetch=1, priority=5))
    assert [one.number for one in found] == [1, 3, 2]
    assert numbers(found.deal(1, 9)) == {1: [1], 3: [2]}
    high.outstanding = 1
    assert turns(found, 2) == [3, 3]
    found.remove(HOLDER, 3)
    assert turns(found, 1) == [2]
    high.outstanding = 0
    assert turns(found, 1) == [1]


def test_a_single_active_consumer_has_all_until_it_goes() -> None:
    found = consumers(consumer(1, prefetch=1), consumer(2, priority=9), single_active=True)
    found.add(consumer(3))
    assert turns(found, 2) == [1, 1]
    alone = found.alone()
    assert alone is not None
    assert alone.number == 1
    assert found.credit(5) == 1
    assert found.remove(HOLDER, 1)
    assert turns(found, 1) == [2], "by priority"
    found.add(consumer(4, priority=99))
    assert turns(found, 1) == [2], "nobody takes over from one that is there"
    found.remove(HOLDER, 2)
    assert turns(found, 1) == [4]


def test_a_single_active_consumer_goes_with_its_channel() -> None:
    found = consumers(consumer(1), consumer(2), consumer(3, channel=2), single_active=True)
    assert found.remove_all_of(HOLDER)
    assert turns(found, 1) == [3]
    assert not found.remove_all_of(HOLDER)
    assert found.remove_all_of(("n#1", 2))
    assert turns(found, 1) == [None]
    assert len(found) == 0


def test_one_is_found_by_channel_and_number() -> None:
    found = consumers(consumer(1))
    assert found.find(HOLDER, 1) is not None
    assert found.find(HOLDER, 2) is None
    assert found.find(("n#1", 2), 1) is None
    assert not found.remove(HOLDER, 2)


def test_consumers_that_share_a_limit_are_dealt_one_message_at_a_time() -> None:
    found = consumers(consumer(1), consumer(2))
    one = found.find(HOLDER, 1)
    assert one is not None
    one.shares_limit = True
    assert [positions for _, positions in found.deal(5, 9)] == [[5]]
    assert [dealt.number for dealt, _ in found.deal(6, 9)] == [2]
