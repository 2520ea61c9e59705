"""The balancer's comparison as a table, as JSON, and against what is to be reached.

Owns the reading of `bench.beside_haproxy.Result`. Pure: it measures nothing. The ratio stands in
HAProxy's line: our figure divided by HAProxy's, best against best and median against median.
"""

from __future__ import annotations

import dataclasses
import statistics
from typing import Any

from bench.balancer_loads import Measure
from bench.balancers import DIRECT, HAPROXY
from bench.beside_haproxy import Result, threads_text
from bench.scenarios import RABBITRY


def best(result: Result) -> Measure | None:
    """The run that disturbance has touched least."""
    sign = -1 if result.row.less_is_better else 1
    return max(result.runs, key=lambda run: sign * run.value, default=None)


def _beside(results: list[Result], one: Result, side: str) -> Result | None:
    """The result of another side with the same row and file; the direct one has no file."""
    for other in results:
        same_file = side == DIRECT or other.threads == one.threads
        if other.row is one.row and other.side == side and same_file:
            return other
    return None


def ratios(results: list[Result], theirs: Result) -> tuple[float, float] | None:
    """Our figure divided by theirs, of the best runs and of the medians."""
    ours = _beside(results, theirs, RABBITRY)
    if ours is None or not ours.runs or not theirs.runs:
        return None
    our_best, their_best = best(ours), best(theirs)
    assert our_best is not None and their_best is not None
    medians = [statistics.median(run.value for run in side.runs) for side in (ours, theirs)]
    return our_best.value / their_best.value, medians[0] / medians[1]


def table(results: list[Result]) -> str:
    """The report: a line for each row, file and side."""
    head = (
        f"{'scenario':20} {'load':28} {'file':11} {'side':8} {'best':>9} {'unit':8}"
        f" {'ours is':>7} {'median':>6} {'goal':>5} {'CPU s':>6} {'CPU ms for':>10}"
        f"  {'second figure':22} runs"
    )
    lines = [head, "-" * len(head)]
    for result in results:
        row = result.row
        file = "" if result.side == DIRECT else threads_text(result.threads)
        start = f"{row.scenario:20} {row.name:28} {file:11} {result.side:8}"
        run = best(result)
        if result.left_out:
            lines.append(f"{start} left out: {result.left_out}")
        if result.error:
            lines.append(f"{start} failed: {result.error}")
        if run is None:
            continue
        ratio, median, goal, cpu = "-", "-", "-", f"{'-':>6} {'-':>10}"
        if result.side == HAPROXY:
            goal = "-" if row.goal is None else f"{row.goal:g}"
            if found := ratios(results, result):
                ratio, median = (f"{value:.2f}x" for value in found)
        if result.side != DIRECT:
            cpu = f"{run.cpu_s:>6.2f} {1000 * run.cpu_s / run.amount:>10.1f}"
        runs = " ".join(f"{each.value:,.0f}" for each in result.runs)
        lines.append(
            f"{start} {run.value:>9,.0f} {row.unit:8} {ratio:>7} {median:>6} {goal:>5} {cpu}"
            f"  {_second(results, result, run):22} {runs}"
        )
    amounts = dict.fromkeys(f"{one.row.scenario} {one.row.amount}" for one in results)
    lines.append(f"CPU ms for: {'; '.join(amounts)}")
    lines.append("In brackets: p50 and p99 beyond direct. Of latency and memory less is better.")
    lines += [f"goal {verdict}: {line}" for line, verdict in judgements(results)]
    return "\n".join(lines)


def _second(results: list[Result], result: Result, run: Measure) -> str:
    if run.second is None:
        return ""
    text = f"{run.second:,.1f} {result.row.second}" + (f" ({run.note})" if run.note else "")
    direct = _beside(results, result, DIRECT)
    without = best(direct) if direct is not None and direct is not result else None
    if without is None or without.second is None:
        return text
    return f"{text} ({run.value - without.value:+.0f}, {run.second - without.second:+.0f})"


def judgements(results: list[Result]) -> list[tuple[str, str]]:
    """A line for each goal, and whether it is "reached", "missed" or "not judged"."""
    found = []
    for result in results:
        if result.side != HAPROXY or result.row.goal is None:
            continue
        factors = ratios(results, result)
        if factors is None:
            found.append((f"{result.name}: wanted {result.row.goal:g}", "not judged"))
            continue
        text = f"{result.name}: {factors[0]:.2f} of HAProxy's; wanted {result.row.goal:g}"
        found.append((text, "reached" if factors[0] >= result.row.goal else "missed"))
    return found


def goals_missed(results: list[Result]) -> list[str]:
    """A line for each goal that was not reached, or could not be judged."""
    return [line for line, verdict in judgements(results) if verdict != "reached"]


def as_json(results: list[Result]) -> list[dict[str, Any]]:
    """Everything measured, for `--json`."""
    return [
        {
            "scenario": result.row.scenario,
            "load": result.row.name,
            "threads": result.threads,
            "side": result.side,
            "unit": result.row.unit,
            "runs": [dataclasses.asdict(run) for run in result.runs],
            "error": result.error or result.left_out,
        }
        for result in results
    ]
