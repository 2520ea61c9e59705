"""The store: atomic, in order, answered only when durable, and forgetful of what was not."""

from __future__ import annotations

from random import Random

import pytest

from rabbitry.machine import BULK, Commit, Load, Started
from rabbitry.simulation.schedule import Schedule
from rabbitry.simulation.store import BROKEN, FULL, SimulatedStore, StoreListener


def open_store(seed: int) -> tuple[Schedule, SimulatedStore, list[tuple[int, int]]]:
    schedule = Schedule(seed)
    store = SimulatedStore(schedule, schedule.random("store"))
    answered: list[tuple[int, int]] = []
    assert (
        store.open(StoreListener(lambda commit: answered.append((commit, schedule.now))))
        == Started()
    )
    return schedule, store, answered


def contents(store: SimulatedStore) -> list[tuple[bytes, bytes]]:
    return store.open(StoreListener(lambda commit: None)).stored


def test_commits_are_answered_later_and_in_order() -> None:
    schedule, store, answered = open_store(1)
    for number in range(1, 30):
        store.commit(Commit(number, [(b"k%d" % number, b"v")]))
    assert answered == []
    schedule.run_until(1_000_000)
    assert [number for number, _ in answered] == list(range(1, 30))
    assert min(time for _, time in answered) > 0


def test_what_was_answered_survives_a_crash_in_key_order() -> None:
    schedule, store, _ = open_store(1)
    store.commit(Commit(1, [(b"b", b"1"), (b"a", b"2"), (b"gone", b"x")]))
    store.commit(Commit(2, [(b"gone", None), (b"b", b"3")]))
    schedule.run_until(1_000_000)
    store.crash()
    assert contents(store) == [(b"a", b"2"), (b"b", b"3")]


@pytest.mark.parametrize("cut", [0, 100, 700, 2_000, 4_000])
def test_a_crash_keeps_a_prefix_of_whole_batches(cut: int) -> None:
    survivors = []
    for one_seed in range(40):
        schedule, store, answered = open_store(one_seed)
        for number in range(1, 6):
            store.commit(Commit(number, [(b"%d" % number, b""), (b"%d'" % number, b"")]))
        schedule.run_until(cut)
        store.crash()
        kept = [key for key, _ in contents(store)]
        count = len(kept) // 2
        assert kept == [key for n in range(1, count + 1) for key in (b"%d" % n, b"%d'" % n)]
        assert count >= len(answered)
        survivors.append(count)
    assert len(set(survivors)) > 1 or cut == 4_000


def test_after_a_crash_nobody_is_answered() -> None:
    schedule, store, answered = open_store(1)
    store.commit(Commit(1, [(b"k", b"v")]))
    store.crash()
    later: list[int] = []
    store.open(StoreListener(later.append))
    schedule.run_until(1_000_000)
    assert answered == [] and later == []
    store.commit(Commit(1, [(b"k", b"w")]))
    schedule.run_until(2_000_000)
    assert later == [1]
    assert contents(store) == [(b"k", b"w")]


class Troubled:
    """A store, and all that it answered: ("committed", 3), ("failed", 4, reason), ("loaded", ..)"""

    def __init__(self, seed: int = 1) -> None:
        self.schedule = Schedule(seed)
        self.store = SimulatedStore(self.schedule, self.schedule.random("store"))
        self.answers: list[tuple[object, ...]] = []
        self.started = self.open()

    def open(self) -> Started:
        return self.store.open(
            StoreListener(
                lambda commit: self.answers.append(("committed", commit)),
                lambda load, values: self.answers.append(("loaded", load, values)),
                self.fail,
            )
        )

    def fail(self, commit: int, reason: str) -> None:
        self.answers.append(("failed", commit, reason))
        self.store.failure_heard()

    def commit(self, number: int, *writes: tuple[bytes, bytes | None]) -> None:
        self.store.commit(Commit(number, list(writes)))

    def later(self, after_us: int = 10_000) -> list[tuple[object, ...]]:
        self.schedule.run_until(self.schedule.now + after_us)
        answers, self.answers = self.answers, []
        return answers


def test_a_commit_that_fails_takes_all_with_it_that_was_handed_over_after_it() -> None:
    one = Troubled()
    one.commit(1, (b"a", b"1"))
    one.later()
    one.store.trouble.failures = 2
    for number in (2, 3, 4):
        one.commit(number, (b"b%d" % number, b""))
    assert one.later() == [("failed", 2, BROKEN)]
    one.commit(5, (b"c", b""))
    assert one.later() == [("failed", 5, BROKEN)]
    one.commit(6, (b"d", b""))
    assert one.later() == [("committed", 6)]
    assert one.store.contents() == {b"a": b"1", b"d": b""}


def test_what_is_handed_over_before_the_failure_is_heard_is_dropped_too() -> None:
    one = Troubled()
    one.fail = lambda commit, reason: None  # type: ignore[method-assign, assignment]
    one.open()
    one.store.trouble.failures = 1
    one.commit(1, (b"a", b""))
    one.later()
    one.commit(2, (b"b", b""))
    assert one.later() == []
    one.store.failure_heard()
    one.commit(3, (b"c", b""))
    assert one.later() == [("committed", 3)]
    assert one.store.contents() == {b"c": b""}


def test_a_full_store_refuses_what_makes_it_larger_and_takes_the_rest() -> None:
    one = Troubled()
    one.commit(1, (b"a", b"1234"), (b"b", b""))
    one.later()
    one.store.trouble.full = True
    one.commit(2, (b"c", b"x"))
    assert one.later() == [("failed", 2, FULL)]
    one.commit(3, (b"a", b"1"), (b"c", b""))
    assert one.later() == [("committed", 3)]
    one.commit(4, (b"a", None), (b"nothing", None))
    assert one.later() == [("committed", 4)]
    one.commit(5, (b"d", b"12345678"))
    one.store.crash()
    assert one.store.contents() == {b"b": b"", b"c": b""}
    one.store.trouble.heal()
    one.open()
    one.commit(1, (b"d", b"12345678"))
    assert one.later() == [("committed", 1)]


def test_a_slow_store_takes_its_time_and_keeps_the_order() -> None:
    one = Troubled()
    one.store.trouble.commit_us_max = one.store.trouble.load_us_max = 1_000_000
    for number in range(1, 20):
        one.commit(number, (b"%d" % number, b""))
    at_first = one.later(100_000)
    assert at_first != [("committed", number) for number in range(1, 20)]
    one.store.load(Load(1, [b"19"]))
    rest = one.later(3_000_000)
    assert [answer for answer in at_first + rest if answer[0] == "committed"] == [
        ("committed", number) for number in range(1, 20)
    ]
    assert ("loaded", 1, [None]) in rest, "what it read was not committed yet"


@pytest.mark.parametrize("bulk", [False, True])
def test_a_damaged_value_is_not_given_out_and_named_at_the_next_start(bulk: bool) -> None:
    one = Troubled()
    key = BULK + b"k" if bulk else b"k"
    assert one.store.damage(Random(1), bulk=bulk) is None
    one.commit(1, (key, b"v"))
    one.later()
    assert one.store.damage(Random(1), bulk=not bulk) is None
    assert one.store.damage(Random(1), bulk=bulk) == key
    assert one.store.damage(Random(1), bulk=bulk) is None, "it is already"
    one.store.load(Load(7, [key]))
    assert one.later() == [("loaded", 7, [None])]
    one.store.crash()
    started = one.open()
    assert started.damaged == [key]
    assert key not in started.bulk and key not in dict(started.stored)
    one.commit(1, (key, b"new"))
    one.later()
    one.store.crash()
    assert one.open().damaged == []
    assert one.store.contents()[key] == b"new"
