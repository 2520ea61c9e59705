"""bench.run: which sides take part, what a failing side does, exit codes."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator

import pytest

from bench import beside_haproxy, rabbitmq, run
from bench.processes import SideError
from bench.report import Result
from bench.run import Plan
from bench.scenarios import SCENARIOS

PLAN = Plan(["single"], ["rabbitry", "rabbitmq"], 0, 3, 2000, 0, "", True)


@contextlib.contextmanager
def refuse(node_count: int, profile: str = "") -> Iterator[run.Side]:
    """A side that does not start."""
    raise SideError(f"no {node_count} ports")
    yield


def test_a_side_that_does_not_start_fails_its_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run.rabbitry, "running", refuse)
    said: list[str] = []
    plan = dataclasses.replace(PLAN, sides=["rabbitry"])
    results = run.run_scenario(plan, "single", said.append)
    assert [found.error for found in results] == ["no 1 ports"]
    assert said[-1] == "single: rabbitry failed: no 1 ports"


def test_the_quorum_queue_is_on_the_brokers_of_the_classic_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(run.rabbitmq, "running", refuse)
    plan = dataclasses.replace(PLAN, sides=["rabbitmq"], extras=False)
    results = run.run_scenario(plan, "durable-mirrored", lambda line: None)
    assert {result.side for result in results} == {"rabbitmq", "quorum"}
    assert {result.error for result in results} == {"no 3 ports"}


def test_a_goal_missed_is_said_and_exits_with_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def none_measured(plan: Plan, name: str, say: object) -> list[Result]:
        row = next(row for row in SCENARIOS[name].rows if row.goals)
        return [Result(name, row, side) for side in ("rabbitry", "rabbitmq")]

    monkeypatch.setattr(run, "run_scenario", none_measured)
    arguments = ["--scenario", "durable-single", "--no-extras"]
    assert run.main(arguments) == 0
    assert run.main([*arguments, "--goals"]) == 1
    assert capsys.readouterr().err.startswith("goal missed: durable-single: ")


def test_without_rabbitmq_that_side_is_left_out_and_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(rabbitmq, "missing", lambda: "not here")
    assert run.main(["--only", "rabbitmq", "--scenario", "single"]) == 0
    assert "RabbitMQ's side is left out: not here" in capsys.readouterr().out


def test_a_balancer_alone_starts_no_broker(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[tuple[object, ...]] = []

    def none_measured(*given: object) -> list[beside_haproxy.Result]:
        asked.append(given[:4])
        return [beside_haproxy.Result(beside_haproxy.ROWS[0], 0, "haproxy")]

    monkeypatch.setattr(run, "run_scenario", refuse)
    monkeypatch.setattr(run.beside_haproxy, "compare", none_measured)
    assert run.main(["--scenario", "balancer-bulk", "--only", "haproxy", "--goals"]) == 1
    assert asked == [(["balancer-bulk"], ["haproxy"], 3, True)]
    assert run.main(["--only", "haproxy"]) == 0
    assert asked[1] == ([*SCENARIOS, "backlog", "balancer"], ["haproxy"], 3, True)
    assert capsys.readouterr().err.startswith("goal missed: balancer-bulk: ")


def test_a_broker_alone_starts_no_balancer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rabbitmq, "missing", lambda: "not here")
    assert run.main(["--only", "rabbitmq", "--scenario", "balancer"]) == 0
