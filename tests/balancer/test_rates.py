"""Tests of rates and averages."""

from __future__ import annotations

from rabbitry.balancer.rates import AVERAGE_SAMPLES, Averages, Rate

SECOND = 1_000_000


def test_rate_counts_this_second() -> None:
    rate = Rate()
    for at in (10 * SECOND, 10 * SECOND + 5, 10 * SECOND + 7):
        rate.count(at)
    assert rate.per_second(10 * SECOND + 999_999) == 3
    assert rate.highest == 3


def test_rate_lets_the_second_before_fade() -> None:
    rate = Rate()
    for _ in range(10):
        rate.count(10 * SECOND)
    assert rate.per_second(11 * SECOND) == 10
    assert rate.per_second(11 * SECOND + SECOND // 2) == 5
    assert rate.per_second(12 * SECOND) == 0
    assert rate.highest == 10


def test_rate_forgets_after_a_quiet_second() -> None:
    rate = Rate()
    rate.count(10 * SECOND)
    assert rate.per_second(15 * SECOND) == 0


def test_average_of_few() -> None:
    averages = Averages()
    assert (averages.average_ms, averages.highest_ms) == (0, 0)
    for time_ms in (1, 1, 6):
        averages.add(time_ms)
    assert (averages.average_ms, averages.highest_ms) == (3, 6)


def test_old_times_fade_from_the_average() -> None:
    averages = Averages()
    for _ in range(AVERAGE_SAMPLES):
        averages.add(100)
    for _ in range(10 * AVERAGE_SAMPLES):
        averages.add(10)
    assert averages.average_ms == 10
    assert averages.highest_ms == 100
