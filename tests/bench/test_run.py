"""bench.run: ratios, the report, what a failing side does to it."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Iterator

import pytest

from bench import rabbitmq, run
from bench.load import Figures
from bench.processes import SideError
from bench.run import Plan, Result, Row, Run

ROW = Row("transient, no ack", "leader", headline=True)
PLAN = Plan(["single"], ["rabbitry", "rabbitmq"], 0, 3, 2000, 16, "", True)


def result(side: str, *rates: int, row: Row = ROW) -> Result:
    """A result with one run for each rate."""
    runs = [
        Run(Figures(1000, rate, rate, 1.0, 0.5), 2.0, {"node": 2.0}, {"node": 64 << 20}, 0.25)
        for rate in rates
    ]
    return Result("single", row, side, runs)


def test_ratio_is_of_the_best_and_of_the_medians() -> None:
    ours, theirs = result("rabbitry", 200, 300, 100), result("rabbitmq", 150, 50, 60)
    assert run.ratio(ours, theirs) == 2.0
    assert run.ratio_of_medians(ours, theirs) == pytest.approx(200 / 60)
    assert run.ratios([ours, theirs]) == {"single: transient, no ack": 2.0}


def test_table_shows_ratio_memory_and_every_run() -> None:
    lines = run.table([result("rabbitry", 200, 300), result("rabbitmq", 150, 100)]).splitlines()
    assert "3" in lines[2] and "2.00x" in lines[2] and lines[2].endswith("200 300")
    assert " 64 " in lines[2]
    assert "x" not in lines[3].split("rabbitmq")[1]


def test_a_side_alone_has_no_ratio_and_a_failed_one_says_why() -> None:
    failed = Result("single", ROW, "rabbitmq", error="no port")
    assert run.ratios([result("rabbitry", 300), failed]) == {}
    text = run.table([result("rabbitry", 300), failed])
    assert "failed: no port" in text
    assert run.below([result("rabbitry", 300), failed], 2.0) == ["single: transient, no ack"]


def test_below_judges_headlines_only() -> None:
    extra = Row("extra", "others")
    results = [
        result("rabbitry", 300),
        result("rabbitmq", 150),
        result("rabbitry", 10, row=extra),
        result("rabbitmq", 10, row=extra),
    ]
    assert run.below(results, 2.0) == []
    assert run.below(results, 2.1) == ["single: transient, no ack"]


def test_everything_measured_is_json() -> None:
    report = run.as_json([result("rabbitry", 300)], {"cores": 2})
    assert json.loads(json.dumps(report))["results"][0]["runs"][0]["figures"]["messages"] == 1000


def test_a_side_that_does_not_start_fails_its_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    @contextlib.contextmanager
    def refuse(node_count: int, profile: str = "") -> Iterator[run.Side]:
        raise SideError(f"no {node_count} ports")
        yield

    monkeypatch.setattr(run.rabbitry, "running", refuse)
    said: list[str] = []
    plan = dataclasses.replace(PLAN, sides=["rabbitry"])
    results = run.run_scenario(plan, "single", said.append)
    assert [found.error for found in results] == ["no 1 ports"]
    assert said[-1] == "single: rabbitry failed: no 1 ports"


def test_without_rabbitmq_that_side_is_left_out_and_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(rabbitmq, "missing", lambda: "not here")
    assert run.main(["--only", "rabbitmq", "--scenario", "single"]) == 0
    assert "RabbitMQ's side is left out: not here" in capsys.readouterr().out
