"""``make bench``: Rabbitry and RabbitMQ under the same load, in the same run, as ratios.

Owns the scenarios, the turns the two sides take, and the report. Both sides stand ready during a
scenario and are loaded in alternation, so that whatever else the machine does meets both; the best
of N runs counts, since disturbance slows; the ratio of the medians stands beside it. Starting
brokers is ``bench.rabbitry`` and ``bench.rabbitmq``, loading them ``bench.load``.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import os
import platform
import signal
import statistics
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Literal, Protocol

from bench import idle, load, rabbitmq, rabbitry
from bench.frames import PeerFault
from bench.load import Figures, Load, LoadError
from bench.processes import SideError, cpu_seconds, rss_bytes

Route = Literal["leader", "others", "balancer"]
MEBIBYTE = 1 << 20


class Side(Protocol):
    """Running brokers, ours or theirs."""

    @property
    def ports(self) -> list[int]:
        """AMQP port of each node; queues are declared through the first."""

    @property
    def pids(self) -> dict[str, int]:
        """All processes of the side, by name."""

    @property
    def balancer_port(self) -> int:
        """Port of its balancer; 0: it has none."""

    def leader_port(self, queue: str) -> int:
        """Port of the node where ``queue`` lives."""


@dataclasses.dataclass(frozen=True)
class Row:
    """One line of the comparison. Headline rows are repeated and judged, the others run once."""

    name: str
    route: Route
    headline: bool = False
    persistent: bool = False
    confirm_and_ack: bool = False


@dataclasses.dataclass(frozen=True)
class Scenario:
    """Rows on the same brokers."""

    node_count: int
    count: int
    rows: tuple[Row, ...]


SCENARIOS = {
    "single": Scenario(
        node_count=1,
        count=500_000,
        rows=(Row("transient, no ack", "leader", headline=True),),
    ),
    "mirrored": Scenario(
        node_count=3,
        count=100_000,
        rows=(
            Row("persistent, via leader", "leader", True, persistent=True, confirm_and_ack=True),
            Row("transient, via leader", "leader", confirm_and_ack=True),
            Row("persistent, via the other two", "others", persistent=True, confirm_and_ack=True),
            Row("persistent, via balancer", "balancer", persistent=True, confirm_and_ack=True),
        ),
    ),
}


@dataclasses.dataclass(frozen=True)
class Run:
    """One load on one side. CPU and memory are sums over the side's processes."""

    figures: Figures
    broker_cpu_s: float
    broker_cpu_by_process_s: dict[str, float]
    rss_bytes_by_process: dict[str, int]
    load_average_before: float

    @property
    def rss_bytes(self) -> int:
        """Resident memory of all processes of the side right after the load."""
        return sum(self.rss_bytes_by_process.values())


@dataclasses.dataclass
class Result:
    """All runs of one row on one side; ``error`` is the line of the last failure."""

    scenario: str
    row: Row
    side: str
    runs: list[Run] = dataclasses.field(default_factory=list)
    error: str = ""

    @property
    def best(self) -> Run | None:
        """The fastest run, by messages consumed a second."""
        return max(self.runs, key=lambda run: run.figures.consume_per_s, default=None)

    @property
    def median_per_s(self) -> float | None:
        """Messages consumed a second, median of the runs; far from the best: a restless row."""
        rates = [run.figures.consume_per_s for run in self.runs]
        return statistics.median(rates) if rates else None


@dataclasses.dataclass(frozen=True)
class Plan:
    """What the command line asked for."""

    scenarios: list[str]
    sides: list[str]
    count: int
    best_of: int
    window: int
    size: int
    profile: str
    extras: bool


def ratio(ours: Result, theirs: Result) -> float | None:
    """Our best over their best, in messages consumed a second; None where one is missing."""
    if ours.best is None or theirs.best is None:
        return None
    return ours.best.figures.consume_per_s / theirs.best.figures.consume_per_s


def ratio_of_medians(ours: Result, theirs: Result) -> float | None:
    """The same of the medians: shows whether one lucky run made the best."""
    if ours.median_per_s is None or theirs.median_per_s is None:
        return None
    return ours.median_per_s / theirs.median_per_s


def _load_for(plan: Plan, scenario: Scenario, row: Row, side: Side) -> Load | None:
    """Declare the row's queue and say how to load it; None where the side has no such route."""
    if row.route == "balancer" and not side.balancer_port:
        return None
    base = Load(
        port=side.ports[0],
        count=plan.count or scenario.count,
        size=plan.size,
        confirm=plan.window if row.confirm_and_ack else 0,
        ack=row.confirm_and_ack,
        persistent=row.persistent,
        durable=row.persistent,
        prefix="bench",
    )
    load.declare_queues(base)
    leader = side.leader_port(base.queue_names()[0])
    if row.route == "balancer":
        return dataclasses.replace(base, port=side.balancer_port)
    if row.route == "others":
        others = [port for port in side.ports if port != leader]
        return dataclasses.replace(base, port=others[0], consume_port=others[-1])
    return dataclasses.replace(base, port=leader)


def _run_once(plan: Plan, scenario: Scenario, row: Row, side: Side) -> Run | None:
    work = _load_for(plan, scenario, row, side)
    if work is None:
        return None
    average = os.getloadavg()[0]
    before = {name: cpu_seconds([pid]) for name, pid in side.pids.items()}
    figures = load.run(work, declare=False)
    cpu_s = {name: round(cpu_seconds([pid]) - before[name], 2) for name, pid in side.pids.items()}
    return Run(
        figures=figures,
        broker_cpu_s=round(sum(cpu_s.values()), 2),
        broker_cpu_by_process_s=cpu_s,
        rss_bytes_by_process={name: rss_bytes([pid]) for name, pid in side.pids.items()},
        load_average_before=round(average, 2),
    )


def _starter(plan: Plan, side: str, node_count: int) -> AbstractContextManager[Side]:
    if side == "rabbitmq":
        return rabbitmq.running(node_count)
    return rabbitry.running(node_count, plan.profile if node_count == 1 else "")


def run_scenario(plan: Plan, name: str, say: Callable[[str], None]) -> list[Result]:
    """Start the sides, load them in turn, stop them; failures are kept in the results."""
    scenario = SCENARIOS[name]
    rows = [row for row in scenario.rows if row.headline or plan.extras]
    results = [Result(name, row, side) for row in rows for side in plan.sides]
    with contextlib.ExitStack() as stack:
        up: dict[str, Side] = {}
        for side in plan.sides:
            say(f"{name}: starting {side}, {scenario.node_count} node(s)")
            try:
                up[side] = stack.enter_context(_starter(plan, side, scenario.node_count))
            except (SideError, LoadError) as error:
                _fail([result for result in results if result.side == side], str(error), say)
        for row in rows:
            of_row = [result for result in results if result.row is row and result.side in up]
            for _ in range(plan.best_of if row.headline else 1):
                for result in of_row:
                    _take_turn(plan, scenario, result, up[result.side], say)
    return results


def _take_turn(
    plan: Plan, scenario: Scenario, result: Result, side: Side, say: Callable[[str], None]
) -> None:
    try:
        run = _run_once(plan, scenario, result.row, side)
    except (SideError, LoadError, PeerFault) as error:
        _fail([result], str(error), say)
        return
    if run is not None:
        result.runs.append(run)
        rate = f"{run.figures.consume_per_s:,} msgs/s"
        say(f"{result.scenario}: {result.side}, {result.row.name}: {rate}")


def _fail(results: list[Result], error: str, say: Callable[[str], None]) -> None:
    for result in results:
        result.error = error
    if results:
        say(f"{results[0].scenario}: {results[0].side} failed: {error}")


def table(results: list[Result]) -> str:
    """The report: a line for each row and side; ratios of the best and of the medians in ours."""
    head = (
        f"{'scenario':9} {'load':30} {'side':9} {'best/s':>9} {'ratio':>6} {'median':>7}"
        f" {'broker CPU s':>12} {'client CPU s':>12} {'RSS MiB':>8}  runs"
    )
    lines = [head, "-" * len(head)]
    for result in results:
        start = f"{result.scenario:9} {result.row.name:30} {result.side:9}"
        best = result.best
        if best is None:
            if result.error:
                lines.append(f"{start} failed: {result.error}")
            continue
        best_ratio, median_ratio = "-", "-"
        if result.side == "rabbitry":
            other = _other_side(results, result)
            best_ratio = _factor(ratio(result, other))
            median_ratio = _factor(ratio_of_medians(result, other))
        rates = " ".join(f"{run.figures.consume_per_s:,}" for run in result.runs)
        lines.append(
            f"{start} {best.figures.consume_per_s:>9,} {best_ratio:>6} {median_ratio:>7}"
            f" {best.broker_cpu_s:>12.2f}"
            f" {best.figures.client_cpu_s:>12.2f} {best.rss_bytes / MEBIBYTE:>8.0f}  {rates}"
        )
    return "\n".join(lines)


def _factor(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}x"


def _other_side(results: list[Result], result: Result) -> Result:
    for other in results:
        if other.row is result.row and other.side != result.side:
            return other
    return Result(result.scenario, result.row, "none")


def ratios(results: list[Result]) -> dict[str, float]:
    """Scenario and row to ratio, where both sides have a figure."""
    found = {}
    for result in results:
        if result.side == "rabbitry":
            factor = ratio(result, _other_side(results, result))
            if factor is not None:
                found[f"{result.scenario}: {result.row.name}"] = round(factor, 3)
    return found


def as_json(results: list[Result], facts: dict[str, Any]) -> dict[str, Any]:
    """Everything measured, for ``--json``."""
    return {
        "machine": facts,
        "ratios": ratios(results),
        "results": [dataclasses.asdict(result) for result in results],
    }


def below(results: list[Result], factor: float) -> list[str]:
    """Headline rows whose ratio is missing or under ``factor``."""
    found = ratios(results)
    names = [
        f"{result.scenario}: {result.row.name}"
        for result in results
        if result.side == "rabbitry" and result.row.headline
    ]
    return [name for name in names if found.get(name, 0.0) < factor]


def machine_facts() -> dict[str, Any]:
    """What the figures depend on."""
    return {
        "cores": os.cpu_count(),
        "load_average": [round(value, 2) for value in os.getloadavg()],
        "python": platform.python_version(),
        "kernel": platform.release(),
        "rabbitmq": rabbitmq.version(),
    }


def _parse(arguments: list[str] | None) -> tuple[Plan, str, float]:
    parser = argparse.ArgumentParser(prog="python -m bench.run", description=__doc__)
    parser.add_argument("--scenario", choices=sorted(SCENARIOS), action="append")
    parser.add_argument("--only", choices=("rabbitry", "rabbitmq"))
    parser.add_argument("--count", type=int, default=0, help="messages a run; 0: the scenario's")
    parser.add_argument("--best-of", type=int, default=3, help="runs of each headline row")
    parser.add_argument("--size", type=int, default=16, help="bytes of a body")
    parser.add_argument("--window", type=int, default=2000, help="unconfirmed publishes at most")
    parser.add_argument("--no-extras", action="store_true", help="headline rows only")
    parser.add_argument("--profile", default="", help="file for cProfile of the single node")
    parser.add_argument("--json", default="", help="file for everything measured")
    parser.add_argument("--at-least", type=float, default=0.0, help="exit 1 under this ratio")
    options = parser.parse_args(arguments)
    plan = Plan(
        scenarios=options.scenario or list(SCENARIOS),
        sides=[options.only] if options.only else ["rabbitry", "rabbitmq"],
        count=options.count,
        best_of=options.best_of,
        window=options.window,
        size=options.size,
        profile=options.profile,
        extras=not options.no_extras,
    )
    return plan, options.json, options.at_least


def _end(_signal: int, _frame: object) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a second one must not break into the stopping
    raise SystemExit(143)  # through the context managers, which stop the brokers


def main(arguments: list[str] | None = None) -> int:
    """0; 1: a ratio under ``--at-least``; 2: a side failed; 130, 143: interrupted."""
    plan, json_file, at_least = _parse(arguments)
    before = signal.signal(signal.SIGTERM, _end)
    try:
        return _compare(plan, json_file, at_least)
    except KeyboardInterrupt:
        return 130
    finally:
        signal.signal(signal.SIGTERM, before)


def _compare(plan: Plan, json_file: str, at_least: float) -> int:
    facts = machine_facts()
    averages = " ".join(f"{value:.2f}" for value in facts["load_average"])
    print(f"{facts['cores']} cores, load average {averages}, Python {facts['python']}", flush=True)
    if "rabbitmq" in plan.sides and (reason := rabbitmq.missing()):
        print(f"RabbitMQ's side is left out: {reason}", flush=True)
        plan = dataclasses.replace(plan, sides=[side for side in plan.sides if side != "rabbitmq"])
    results: list[Result] = []
    for name in plan.scenarios:
        results += run_scenario(plan, name, lambda line: print(line, flush=True))
    print(f"\n{table(results)}")
    if "rabbitry" in plan.sides and not plan.profile and not any(one.error for one in results):
        print("\n" + "\n".join(idle.measure()), flush=True)
    if plan.profile:
        print("measured under cProfile: the single node's figures compare with nothing")
    if json_file:
        Path(json_file).write_text(json.dumps(as_json(results, facts), indent=2) + "\n")
    if any(result.error for result in results):
        return 2
    slow = below(results, at_least) if at_least else []
    for name in slow:
        print(f"under {at_least:g} times RabbitMQ: {name}", file=sys.stderr)
    return 1 if slow else 0


if __name__ == "__main__":
    sys.exit(main())
