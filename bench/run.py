"""``make bench``: Rabbitry and RabbitMQ under the same load, in the same run, as ratios.

Owns the command line and the turns the sides take. All sides stand ready during a scenario and are
loaded in alternation, so that whatever else the machine does meets all; the best of N runs counts,
since disturbance slows; the ratio of the medians stands beside it. What is compared is
``bench.scenarios``, the report ``bench.report``, starting brokers ``bench.rabbitry`` and
``bench.rabbitmq``, loading them ``bench.load``. The balancer beside HAProxy is
``bench.beside_haproxy``.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import os
import platform
import signal
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

from bench import (
    backlog,
    balancer_report,
    balancers,
    beside_haproxy,
    idle,
    load,
    rabbitmq,
    rabbitry,
)
from bench.balancers import HAPROXY
from bench.connection import LoadError
from bench.frames import PeerFault
from bench.load import Load
from bench.processes import SideError, cpu_seconds, disk_directory, file_system_of, memory
from bench.report import Result, Run, as_json, below, goals_missed, table
from bench.scenarios import QUORUM, RABBITMQ, RABBITRY, SCENARIOS, Row, Scenario

BACKLOG = "backlog"
"""The scenario of ``bench.backlog``, which is of another kind."""

SIZE = 16
"""Bytes of a body where nothing else is said."""


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
    balancers: list[str] = dataclasses.field(default_factory=list)


def _load_for(plan: Plan, scenario: Scenario, row: Row, name: str, side: Side) -> Load | None:
    """Declare the row's queue and say how to load it; None where the side has no such route."""
    if row.route == "balancer" and not side.balancer_port:
        return None
    base = Load(
        port=side.ports[0],
        count=plan.count or row.count or scenario.count,
        size=plan.size or row.size or SIZE,
        confirm=plan.window if row.confirm_and_ack else 0,
        ack=row.confirm_and_ack,
        persistent=row.persistent,
        durable=row.persistent,
        prefetch=row.prefetch,
        publishers=row.publishers,
        rate=row.rate,
        queue_type="quorum" if name == QUORUM else "",
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


def _run_once(plan: Plan, scenario: Scenario, row: Row, name: str, side: Side) -> Run | None:
    work = _load_for(plan, scenario, row, name, side)
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
        memory_by_process={name: memory(pid) for name, pid in side.pids.items()},
        load_average_before=round(average, 2),
    )


def _starter(plan: Plan, side: str, node_count: int) -> AbstractContextManager[Side]:
    if side == RABBITMQ:
        return rabbitmq.running(node_count)
    return rabbitry.running(node_count, plan.profile if node_count == 1 else "")


def brokers_of(side: str) -> str:
    """On whose brokers a side runs."""
    return RABBITMQ if side == QUORUM else side


def run_scenario(plan: Plan, name: str, say: Callable[[str], None]) -> list[Result]:
    """Start the sides, load them in turn, stop them; failures are kept in the results."""
    scenario = SCENARIOS[name]
    rows = [row for row in scenario.rows if row.headline or plan.extras]
    sides = [side for side in scenario.sides if brokers_of(side) in plan.sides]
    results = [Result(name, row, side) for row in rows for side in sides]
    with contextlib.ExitStack() as stack:
        up: dict[str, Side] = {}
        for side in plan.sides:
            say(f"{name}: starting {side}, {scenario.node_count} node(s)")
            try:
                up[side] = stack.enter_context(_starter(plan, side, scenario.node_count))
            except (SideError, LoadError) as error:
                failed = [result for result in results if brokers_of(result.side) == side]
                _fail(failed, str(error), say)
        for row in rows:
            of_row = [result for result in results if result.row is row]
            of_row = [result for result in of_row if brokers_of(result.side) in up]
            for _ in range(plan.best_of if row.headline else 1):
                for result in of_row:
                    _take_turn(plan, scenario, result, up[brokers_of(result.side)], say)
    return results


def _take_turn(
    plan: Plan, scenario: Scenario, result: Result, side: Side, say: Callable[[str], None]
) -> None:
    try:
        run = _run_once(plan, scenario, result.row, result.side, side)
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


def machine_facts() -> dict[str, Any]:
    """What the figures depend on."""
    return {
        "cores": os.cpu_count(),
        "load_average": [round(value, 2) for value in os.getloadavg()],
        "python": platform.python_version(),
        "kernel": platform.release(),
        "rabbitmq": rabbitmq.version(),
        "haproxy": balancers.haproxy_version(),
        "directory": f"{disk_directory()} ({file_system_of(disk_directory())})",
    }


def _parse(arguments: list[str] | None) -> tuple[Plan, argparse.Namespace]:
    parser = argparse.ArgumentParser(prog="python -m bench.run", description=__doc__)
    known = [*SCENARIOS, BACKLOG, beside_haproxy.ALL, *beside_haproxy.SCENARIOS]
    parser.add_argument("--scenario", choices=known, action="append")
    parser.add_argument("--only", choices=(RABBITRY, RABBITMQ, HAPROXY))
    parser.add_argument("--count", type=int, default=0, help="messages a run; 0: the scenario's")
    parser.add_argument("--best-of", type=int, default=3, help="runs of each headline row")
    parser.add_argument("--size", type=int, default=0, help="bytes of a body; 0: the row's")
    parser.add_argument("--window", type=int, default=2000, help="unconfirmed publishes at most")
    parser.add_argument("--no-extras", action="store_true", help="headline rows only")
    parser.add_argument("--profile", default="", help="file for cProfile of the single node")
    parser.add_argument("--json", default="", help="file for everything measured")
    parser.add_argument("--at-least", type=float, default=0.0, help="exit 1 under this ratio")
    parser.add_argument("--goals", action="store_true", help="exit 1 where a goal is missed")
    options = parser.parse_args(arguments)
    only = (options.only,) if options.only else (RABBITRY, RABBITMQ, HAPROXY)
    plan = Plan(
        scenarios=options.scenario or [*SCENARIOS, BACKLOG, beside_haproxy.ALL],
        sides=[side for side in only if side != HAPROXY],
        balancers=[side for side in only if side != RABBITMQ],
        count=options.count,
        best_of=options.best_of,
        window=options.window,
        size=options.size,
        profile=options.profile,
        extras=not options.no_extras,
    )
    return plan, options


def _end(_signal: int, _frame: object) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a second one must not break into the stopping
    raise SystemExit(143)  # through the context managers, which stop the brokers


def main(arguments: list[str] | None = None) -> int:
    """0; 1: under ``--at-least`` or ``--goals``; 2: a side failed; 130, 143: broken off."""
    plan, options = _parse(arguments)
    before = signal.signal(signal.SIGTERM, _end)
    try:
        return _compare(plan, options.json, options.at_least, options.goals)
    except KeyboardInterrupt:
        return 130
    finally:
        signal.signal(signal.SIGTERM, before)


def _compare(plan: Plan, json_file: str, at_least: float, goals: bool) -> int:
    facts = machine_facts()
    averages = " ".join(f"{value:.2f}" for value in facts["load_average"])
    print(f"{facts['cores']} cores, load average {averages}, Python {facts['python']}")
    print(f"data in {facts['directory']}; HAProxy {facts['haproxy']}", flush=True)
    if RABBITMQ in plan.sides and (reason := rabbitmq.missing()):
        print(f"RabbitMQ's side is left out: {reason}", flush=True)
        plan = dataclasses.replace(plan, sides=[side for side in plan.sides if side != RABBITMQ])
    results: list[Result] = []
    for name in [name for name in plan.scenarios if name in SCENARIOS and plan.sides]:
        results += run_scenario(plan, name, lambda line: print(line, flush=True))
    if results:
        print(f"\n{table(results)}", flush=True)
    through = _balancers(plan)
    long_queues, failed = _long_queues(plan)
    brokers_too = any(name in SCENARIOS or name == BACKLOG for name in plan.scenarios)
    idle_too = brokers_too and plan.extras and RABBITRY in plan.sides and not plan.profile
    if idle_too and not any(result.error for result in results):
        print("\n" + "\n".join(idle.measure()), flush=True)
    if plan.profile:
        print("measured under cProfile: the single node's figures compare with nothing")
    if json_file:
        everything = as_json(results, facts)
        everything["backlog"] = [dataclasses.asdict(one) for one in long_queues]
        everything["balancers"] = balancer_report.as_json(through)
        Path(json_file).write_text(json.dumps(everything, indent=2) + "\n")
    errors = [*(result.error for result in results), *(result.error for result in through)]
    if failed or any(errors):
        return 2
    slow = below(results, at_least) if at_least else []
    missed = [f"under {at_least:g} times RabbitMQ: {name}" for name in slow]
    if goals:
        lines = [*goals_missed(results), *balancer_report.goals_missed(through)]
        missed += [f"goal missed: {line}" for line in lines]
    for line in missed:
        print(line, file=sys.stderr)
    return 1 if missed else 0


def _balancers(plan: Plan) -> list[beside_haproxy.Result]:
    """Compare the balancers as far as the plan asks for it, and print table and goals."""
    found = beside_haproxy.compare(
        plan.scenarios,
        plan.balancers,
        plan.best_of,
        plan.extras,
        lambda line: print(line, flush=True),
    )
    if found:
        averages = " ".join(f"{value:.2f}" for value in os.getloadavg())
        print(f"\n{balancer_report.table(found)}\nload average {averages}", flush=True)
    return found


def _long_queues(plan: Plan) -> tuple[list[backlog.Backlog], list[str]]:
    if BACKLOG not in plan.scenarios or not plan.sides:
        return [], []
    sides = [side for side in backlog.SIDES if side.split()[0] in plan.sides]
    count, size = plan.count or backlog.MESSAGES, plan.size or backlog.SIZE
    found, failed = backlog.compare(sides, count, size, lambda line: print(line, flush=True))
    print(f"\n{backlog.table(found)}", flush=True)
    return found, failed


if __name__ == "__main__":
    sys.exit(main())
