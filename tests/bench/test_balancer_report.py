"""bench.balancer_report: ratios, goals, what is printed of sides that did not take part."""

from __future__ import annotations

import contextlib
import dataclasses
import json

from bench import balancer_report
from bench.balancer_loads import Measure, Ready
from bench.balancers import DIRECT, HAPROXY
from bench.beside_haproxy import Result, Row
from bench.scenarios import RABBITRY


def nothing() -> contextlib.nullcontext[Ready]:
    return contextlib.nullcontext(Ready(1, lambda port, watched: Measure(0, 0, 1)))


BULK = Row("balancer-bulk", "much", nothing, unit="MB/s", amount="GB", goal=1.0)
LATENCY = dataclasses.replace(
    BULK,
    scenario="balancer-latency",
    unit="us p50",
    second="us p99",
    goal=None,
    less_is_better=True,
)


def result(row: Row, side: str, *values: float, second: float | None = None) -> Result:
    return Result(row, 0, side, [Measure(value, 0.5, 2.0, second) for value in values])


def test_ratios_are_of_best_and_of_medians() -> None:
    ours, theirs = result(BULK, RABBITRY, 100, 300, 200), result(BULK, HAPROXY, 100, 150, 100)
    assert balancer_report.ratios([ours, theirs], theirs) == (2.0, 2.0)
    assert balancer_report.ratios([theirs], theirs) is None
    ours.threads = 1
    assert balancer_report.ratios([ours, theirs], theirs) is None  # another file


def test_of_latency_the_least_is_best() -> None:
    ours, theirs = result(LATENCY, RABBITRY, 90, 60), result(LATENCY, HAPROXY, 50, 80)
    assert balancer_report.ratios([ours, theirs], theirs) == (1.2, 75 / 65)


def test_goals_are_judged_and_what_is_missing_is_not_reached() -> None:
    ours, theirs = result(BULK, RABBITRY, 99), result(BULK, HAPROXY, 100)
    name = "balancer-bulk: much, no nbthread: "
    missed = f"{name}0.99 of HAProxy's; wanted 1"
    assert balancer_report.judgements([ours, theirs]) == [(missed, "missed")]
    assert balancer_report.goals_missed([ours, theirs]) == [missed]
    assert balancer_report.judgements([theirs]) == [(f"{name}wanted 1", "not judged")]
    assert balancer_report.goals_missed([theirs]) == [f"{name}wanted 1"]
    better = [result(BULK, RABBITRY, 100), theirs]
    assert balancer_report.goals_missed(better) == []
    assert "goal reached: " in balancer_report.table(better)


def test_the_table_has_a_line_for_each_side() -> None:
    left_out = result(BULK, RABBITRY)
    left_out.left_out = "no such word"
    failed = result(BULK, HAPROXY, 100)
    failed.error = "lost"
    lines = balancer_report.table([result(BULK, DIRECT, 900), left_out, failed]).splitlines()
    assert lines[2].split()[:5] == ["balancer-bulk", "much", "direct", "900", "MB/s"]
    assert lines[3].endswith("no nbthread rabbitry left out: no such word")
    assert lines[4].endswith("no nbthread haproxy  failed: lost")
    assert "0.50      250.0" in lines[5]  # CPU seconds, milliseconds for each GB


def test_latency_is_told_beyond_direct() -> None:
    direct = result(LATENCY, DIRECT, 30, second=90.0)
    ours = result(LATENCY, RABBITRY, 71, second=80.0)
    lines = balancer_report.table([direct, ours]).splitlines()
    assert "90.0 us p99  " in lines[2]
    assert "80.0 us p99 (+41, -10)" in lines[3]


def test_what_was_not_as_asked_for_is_told() -> None:
    found = result(LATENCY, HAPROXY, second=1.0)
    found.runs = [Measure(39, 0.5, 1, 3.25, "9850: no more open files")]
    assert "3.2 us p99 (9850: no more open files)" in balancer_report.table([found])


def test_everything_goes_into_the_json() -> None:
    (found,) = json.loads(json.dumps(balancer_report.as_json([result(BULK, HAPROXY, 7)])))
    assert found["runs"] == [{"value": 7, "cpu_s": 0.5, "amount": 2.0, "second": None, "note": ""}]
    assert (found["scenario"], found["side"], found["error"]) == ("balancer-bulk", "haproxy", "")
