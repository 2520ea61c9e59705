"""bench.report: ratios, the table, JSON, what counts as too slow."""

from __future__ import annotations

import json

import pytest

from bench import report
from bench.load import Figures
from bench.processes import Memory
from bench.report import Result, Run
from bench.scenarios import QUORUM, RABBITMQ, RABBITRY, Row

ROW = Row("1 kB", headline=True, goals=((RABBITMQ, 3.0), (QUORUM, 2.0)))
MEMORY = Memory(64 << 20, 48 << 20, 16 << 20)


def result(side: str, *rates: int, row: Row = ROW) -> Result:
    """A result with one run for each rate."""
    runs = [
        Run(
            Figures(1000, rate, rate, 1.0, 0.5, confirm_p50_ms=1.25, confirm_p99_ms=9.75),
            2.0,
            {"node": 2.0},
            {"node": MEMORY},
            0.25,
        )
        for rate in rates
    ]
    return Result("single", row, side, runs)


def test_ratio_is_of_the_best_and_of_the_medians() -> None:
    ours, theirs = result(RABBITRY, 200, 300, 100), result(RABBITMQ, 150, 50, 60)
    assert report.ratio(ours, theirs) == 2.0
    assert report.ratio_of_medians(ours, theirs) == pytest.approx(200 / 60)
    assert report.ratios([ours, theirs]) == {"single: 1 kB, beside rabbitmq": 2.0}


def test_each_rival_has_its_own_ratio() -> None:
    results = [result(RABBITRY, 300), result(RABBITMQ, 100), result(QUORUM, 200)]
    assert report.ratios(results) == {
        "single: 1 kB, beside rabbitmq": 3.0,
        "single: 1 kB, beside quorum": 1.5,
    }
    assert report.goals_missed(results) == ["single: 1 kB, beside quorum: 1.50x; wanted 2x"]


def test_a_goal_that_could_not_be_judged_is_missed() -> None:
    results = [result(RABBITRY), result(RABBITMQ, 100)]
    assert report.goals_missed(results) == ["single: 1 kB, beside rabbitmq: -; wanted 3x"]


def test_table_shows_ratio_latency_memory_and_every_run() -> None:
    lines = report.table([result(RABBITRY, 200, 300), result(RABBITMQ, 150, 100)]).splitlines()
    assert lines[2].endswith("200 300")
    assert lines[2].split()[-10:-2] == ["-", "-", "1.2", "9.8", "2.00", "0.50", "64", "48"]
    assert "2.00x" in lines[3]


def test_a_side_alone_has_no_ratio_and_a_failed_one_says_why() -> None:
    failed = Result("single", ROW, RABBITMQ, error="no port")
    assert report.ratios([result(RABBITRY, 300), failed]) == {}
    text = report.table([result(RABBITRY, 300), failed])
    assert "failed: no port" in text
    assert report.below([result(RABBITRY, 300), failed], 2.0) == ["single: 1 kB, beside rabbitmq"]


def test_below_judges_headlines_only() -> None:
    extra = Row("extra", "others")
    results = [
        result(RABBITRY, 300),
        result(RABBITMQ, 150),
        result(RABBITRY, 10, row=extra),
        result(RABBITMQ, 10, row=extra),
    ]
    assert report.below(results, 2.0) == []
    assert report.below(results, 2.1) == ["single: 1 kB, beside rabbitmq"]


def test_everything_measured_is_json() -> None:
    found = report.as_json([result(RABBITRY, 300)], {"cores": 2})
    run = json.loads(json.dumps(found))["results"][0]["runs"][0]
    assert run["figures"]["messages"] == 1000
    assert run["memory_by_process"]["node"]["anon_bytes"] == 48 << 20
