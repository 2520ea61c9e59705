"""What was measured, as a table, as ratios, as JSON, and against what is to be reached.

Owns results and their reading. Pure: it measures nothing. The ratio stands in the line of the
rival: how many times as fast Rabbitry was as that side, best against best and median against
median.
"""

from __future__ import annotations

import dataclasses
import statistics
from typing import Any

from bench.load import Figures
from bench.processes import Memory
from bench.scenarios import RABBITRY, Row

MEBIBYTE = 1 << 20


@dataclasses.dataclass(frozen=True)
class Run:
    """One load on one side. CPU and memory are sums over the side's processes."""

    figures: Figures
    broker_cpu_s: float
    broker_cpu_by_process_s: dict[str, float]
    memory_by_process: dict[str, Memory]
    load_average_before: float

    @property
    def memory(self) -> Memory:
        """Resident memory of all processes of the side right after the load."""
        return Memory.total(self.memory_by_process.values())


@dataclasses.dataclass
class Result:
    """All runs of one row on one side; ``error`` is the line of the last failure."""

    scenario: str
    row: Row
    side: str
    runs: list[Run] = dataclasses.field(default_factory=list)
    error: str = ""

    @property
    def name(self) -> str:
        """What the JSON and error lines call the row."""
        return f"{self.scenario}: {self.row.name}"

    @property
    def best(self) -> Run | None:
        """The fastest run, by messages consumed a second."""
        return max(self.runs, key=lambda run: run.figures.consume_per_s, default=None)

    @property
    def median_per_s(self) -> float | None:
        """Messages consumed a second, median of the runs; far from the best: a restless row."""
        rates = [run.figures.consume_per_s for run in self.runs]
        return statistics.median(rates) if rates else None


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


def table(results: list[Result]) -> str:
    """The report: a line for each row and side."""
    head = (
        f"{'scenario':16} {'load':29} {'side':8} {'best/s':>8} {'ours is':>7} {'median':>6}"
        f" {'p50 ms':>7} {'p99 ms':>7} {'broker CPU s':>12} {'client CPU s':>12}"
        f" {'RSS MiB':>7} {'anon':>5}  runs"
    )
    lines = [head, "-" * len(head)]
    for result in results:
        start = f"{result.scenario:16} {result.row.name:29} {result.side:8}"
        best = result.best
        if best is None:
            if result.error:
                lines.append(f"{start} failed: {result.error}")
            continue
        best_ratio, median_ratio = "-", "-"
        if result.side != RABBITRY:
            ours = ours_beside(results, result)
            best_ratio = _factor(ratio(ours, result))
            median_ratio = _factor(ratio_of_medians(ours, result))
        figures, memory = best.figures, best.memory
        rates = " ".join(f"{run.figures.consume_per_s:,}" for run in result.runs)
        p50, p99 = _milliseconds(figures.confirm_p50_ms), _milliseconds(figures.confirm_p99_ms)
        lines.append(
            f"{start} {figures.consume_per_s:>8,} {best_ratio:>7} {median_ratio:>6}"
            f" {p50:>7} {p99:>7}"
            f" {best.broker_cpu_s:>12.2f} {figures.client_cpu_s:>12.2f}"
            f" {memory.rss_bytes / MEBIBYTE:>7.0f} {memory.anon_bytes / MEBIBYTE:>5.0f}  {rates}"
        )
    return "\n".join(lines)


def _factor(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}x"


def _milliseconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def ours_beside(results: list[Result], theirs: Result) -> Result:
    """Rabbitry's result of the same row; one without runs where there is none."""
    for other in results:
        if other.row is theirs.row and other.side == RABBITRY:
            return other
    return Result(theirs.scenario, theirs.row, "none")


def ratios(results: list[Result]) -> dict[str, float]:
    """Row and rival to ratio, where both sides have a figure."""
    found = {}
    for result in results:
        if result.side != RABBITRY:
            factor = ratio(ours_beside(results, result), result)
            if factor is not None:
                found[f"{result.name}, beside {result.side}"] = round(factor, 3)
    return found


def as_json(results: list[Result], facts: dict[str, Any]) -> dict[str, Any]:
    """Everything measured, for ``--json``."""
    return {
        "machine": facts,
        "ratios": ratios(results),
        "results": [dataclasses.asdict(result) for result in results],
    }


def below(results: list[Result], factor: float) -> list[str]:
    """Headline rows whose ratio to a rival is missing or under ``factor``."""
    found = ratios(results)
    names = [
        f"{result.name}, beside {result.side}"
        for result in results
        if result.side != RABBITRY and result.row.headline
    ]
    return [name for name in names if found.get(name, 0.0) < factor]


def goals_missed(results: list[Result]) -> list[str]:
    """A line for each goal of a row that was run and not reached, or could not be judged."""
    lines = []
    for result in results:
        wanted = dict(result.row.goals).get(result.side)
        if wanted is None:
            continue
        factor = ratio(ours_beside(results, result), result)
        if factor is None or factor < wanted:
            lines.append(
                f"{result.name}, beside {result.side}: {_factor(factor)}; wanted {wanted:g}x"
            )
    return lines
