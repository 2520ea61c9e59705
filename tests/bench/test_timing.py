"""bench.timing: latencies of blocks, tenths, percentiles."""

from __future__ import annotations

import pytest

from bench.timing import Latencies, Progress, percentile


def test_a_block_has_its_latency_when_all_of_it_is_confirmed() -> None:
    latencies = Latencies()
    latencies.sent(10, 1.0)
    latencies.sent(20, 2.0)
    latencies.sent(30, 3.0)
    latencies.confirmed(9, 5.0)
    assert latencies.seconds == []
    latencies.confirmed(20, 6.0)
    assert latencies.seconds == [5.0, 4.0]
    latencies.confirmed(30, 6.5)
    assert latencies.seconds == [5.0, 4.0, 3.5]


@pytest.mark.parametrize("count", [3, 10, 95, 1000])
@pytest.mark.parametrize("step", [1, 7, 1000])
def test_progress_has_ten_marks_in_order_however_large_the_steps(count: int, step: int) -> None:
    progress = Progress(count)
    for done in range(step, count + step, step):
        progress.reached(min(done, count))
    assert len(progress.tenths_at_s) == 10
    assert progress.tenths_at_s == sorted(progress.tenths_at_s)


def test_an_unfinished_tenth_has_no_mark() -> None:
    progress = Progress(100)
    progress.reached(19)
    assert len(progress.tenths_at_s) == 1


def test_percentiles_are_values_that_occurred() -> None:
    values = [float(number) for number in range(100, 0, -1)]
    assert percentile(values, 0.5) == 50.0
    assert percentile(values, 0.99) == 99.0
    assert percentile(values, 1.0) == 100.0
    assert percentile([7.0], 0.5) == 7.0
