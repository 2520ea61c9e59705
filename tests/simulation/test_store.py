"""The store: atomic, in order, answered only when durable, and forgetful of what was not."""

from __future__ import annotations

import pytest

from rabbitry.machine import Commit
from rabbitry.simulation.schedule import Schedule
from rabbitry.simulation.store import SimulatedStore


def open_store(seed: int) -> tuple[Schedule, SimulatedStore, list[tuple[int, int]]]:
    schedule = Schedule(seed)
    store = SimulatedStore(schedule, schedule.random("store"))
    answered: list[tuple[int, int]] = []
    assert store.open(lambda commit: answered.append((commit, schedule.now))).stored == []
    return schedule, store, answered


def contents(store: SimulatedStore) -> list[tuple[bytes, bytes]]:
    return store.open(lambda commit: None).stored


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
    store.open(later.append)
    schedule.run_until(1_000_000)
    assert answered == [] and later == []
    store.commit(Commit(1, [(b"k", b"w")]))
    schedule.run_until(2_000_000)
    assert later == [1]
    assert contents(store) == [(b"k", b"w")]
