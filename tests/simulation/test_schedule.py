"""Virtual time: total order, no going back, sources of chance that do not disturb each other."""

from __future__ import annotations

import pytest

from rabbitry.simulation.schedule import EventLimitExceeded, Schedule, SeededEntropy


def test_entries_run_in_order_of_time_then_of_making() -> None:
    schedule = Schedule(1)
    ran: list[tuple[str, int]] = []

    def run(name: str) -> None:
        ran.append((name, schedule.now))

    for time, name in [(20, "c"), (10, "a"), (20, "d"), (10, "b")]:
        schedule.at(time, run, name)
    schedule.run_until(30)
    assert ran == [("a", 10), ("b", 10), ("c", 20), ("d", 20)]
    assert schedule.now == 30


def test_only_what_is_due_runs() -> None:
    schedule = Schedule(1)
    ran: list[int] = []
    for time in (10, 20, 21):
        schedule.at(time, ran.append, time)
    schedule.run_until(20)
    assert ran == [10, 20]


def test_a_time_that_has_passed_means_now_behind_what_is_due() -> None:
    schedule = Schedule(1)
    ran: list[str] = []
    schedule.at(10, lambda: schedule.at(3, ran.append, "late"))
    schedule.at(10, ran.append, "due")
    schedule.run_until(10)
    assert ran == ["due", "late"]
    assert schedule.now == 10


def test_too_many_events_fail() -> None:
    schedule = Schedule(1, events_max=100)

    def again() -> None:
        schedule.at(schedule.now, again)

    again()
    with pytest.raises(EventLimitExceeded, match="more than 100 events"):
        schedule.run_until(5)


def test_sources_depend_on_seed_and_concern_alone() -> None:
    first, second = Schedule(7), Schedule(7)
    first.random("network").random()
    assert first.random("store").random() == second.random("store").random()
    assert first.random("store").random() != first.random("network").random()
    assert first.random("store").random() != Schedule(8).random("store").random()


def test_entropy_gives_as_many_bytes_as_asked_and_other_ones_each_time() -> None:
    entropy = SeededEntropy(Schedule(1).random("x"))
    first, second = entropy.token_bytes(16), entropy.token_bytes(16)
    assert len(first) == len(second) == 16
    assert first != second
