"""bench.beside_haproxy: turns, their order, sides that fail or are left out; no processes."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator

import pytest

from bench import balancer_loads as loads
from bench import balancers, beside_haproxy
from bench.balancer_loads import Measure, Ready
from bench.balancers import DIRECT, HAPROXY, Nothing, Watched
from bench.beside_haproxy import ALL, ROWS, SIDES, Result, Row
from bench.connection import LoadError
from bench.processes import SideError
from bench.scenarios import RABBITRY


class Stage:
    """Balancers that only note their turns; a side that is in `refusing` does not start."""

    def __init__(self) -> None:
        self.turns: list[str] = []
        self.refusing: dict[str, str] = {}

    @contextlib.contextmanager
    def file(self, backend: int, threads: int) -> Iterator[tuple[str, int]]:
        yield f"file {threads}", 7

    @contextlib.contextmanager
    def running(self, side: str, file: str, port: int) -> Iterator[Watched]:
        self.turns.append(f"{side} {file}")
        if side in self.refusing:
            raise SideError(self.refusing[side])
        yield Nothing()

    @contextlib.contextmanager
    def prepare(self) -> Iterator[Ready]:
        yield Ready(5, lambda port, watched: Measure(port, 0.5, 1))


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Stage:
    stage = Stage()
    monkeypatch.setattr(balancers, "configuration_file", stage.file)
    monkeypatch.setattr(balancers, "running", stage.running)
    monkeypatch.setattr(balancers, "haproxy_command", lambda: "haproxy")
    return stage


def play(
    monkeypatch: pytest.MonkeyPatch, row: Row, rounds: int = 2
) -> tuple[list[Result], list[str]]:
    said: list[str] = []
    monkeypatch.setattr(beside_haproxy, "ROWS", (row,))
    return beside_haproxy.compare([ALL], SIDES, rounds, True, said.append), said


def row_of(stage: Stage, **more: object) -> Row:
    row = Row("balancer-bulk", "much", stage.prepare, unit="MB/s", amount="GB")
    return dataclasses.replace(row, **more)  # type: ignore[arg-type]


def test_sides_take_turns_on_one_file_and_the_order_changes(
    monkeypatch: pytest.MonkeyPatch, stage: Stage
) -> None:
    results, _ = play(monkeypatch, row_of(stage, threads=(0, 1)))
    first = ["rabbitry file 0", "haproxy file 0", "haproxy file 0", "rabbitry file 0"]
    assert stage.turns == [*first, *(turn.replace("0", "1") for turn in first)]
    assert [(found.side, found.threads, len(found.runs)) for found in results] == [
        (DIRECT, 0, 2),
        (RABBITRY, 0, 2),
        (HAPROXY, 0, 2),
        (RABBITRY, 1, 2),
        (HAPROXY, 1, 2),
    ]
    assert {run.value for run in results[0].runs} == {5}  # the backend's own port
    assert {run.value for found in results[1:] for run in found.runs} == {7}


def test_a_row_may_have_fewer_rounds_and_no_direct_load(
    monkeypatch: pytest.MonkeyPatch, stage: Stage
) -> None:
    results, _ = play(monkeypatch, row_of(stage, rounds_max=1, direct=False), rounds=5)
    assert [len(found.runs) for found in results] == [1, 1]


def test_a_side_that_does_not_start_leaves_the_other_measured(
    monkeypatch: pytest.MonkeyPatch, stage: Stage
) -> None:
    stage.refusing[RABBITRY] = "python ended: no"
    results, said = play(monkeypatch, row_of(stage))
    assert stage.turns.count("rabbitry file 0") == 1
    assert [found.error for found in results] == ["", "python ended: no", ""]
    assert len(results[2].runs) == 2
    assert "balancer-bulk: much, no nbthread: rabbitry failed: python ended: no" in said


def test_a_balancer_without_nbthread_is_left_out_not_failed(
    monkeypatch: pytest.MonkeyPatch, stage: Stage
) -> None:
    stage.refusing[RABBITRY] = "ended: x.cfg:3: 'nbthread' is not known in 'global'"
    results, _ = play(monkeypatch, row_of(stage, threads=(1,)))
    assert [found.error for found in results] == ["", "", ""]
    assert results[1].left_out == "this balancer does not take nbthread"


def test_without_haproxy_ours_is_measured(monkeypatch: pytest.MonkeyPatch, stage: Stage) -> None:
    def missing() -> str:
        raise SideError("haproxy is not installed")

    monkeypatch.setattr(balancers, "haproxy_command", missing)
    results, said = play(monkeypatch, row_of(stage))
    assert [found.side for found in results] == [DIRECT, RABBITRY]
    assert said[0] == "HAProxy's side is left out: haproxy is not installed"


@pytest.mark.parametrize(
    ("error", "failed", "left_out"),
    [(LoadError("broken"), "broken", ""), (loads.Missing("not here"), "", "not here")],
)
def test_a_backend_that_does_not_start_is_one_line(
    monkeypatch: pytest.MonkeyPatch, stage: Stage, error: Exception, failed: str, left_out: str
) -> None:
    @contextlib.contextmanager
    def prepare() -> Iterator[Ready]:
        raise error
        yield

    results, _ = play(monkeypatch, row_of(stage, prepare=prepare))
    assert stage.turns == []
    assert {(found.error, found.left_out) for found in results} == {(failed, left_out)}


def test_rows_are_chosen_by_scenario_and_extras() -> None:
    assert beside_haproxy.chosen([ALL], extras=True) == list(ROWS)
    small = beside_haproxy.chosen(["balancer-small", "single"], extras=False)
    assert {row.scenario for row in small} == {"balancer-small"}
    assert not any(row.extra for row in beside_haproxy.chosen([ALL], extras=False))
    assert beside_haproxy.chosen(["single"], extras=True) == []
