"""Whole clusters under failures, a seed each: the proof that nothing confirmed is lost.

`make soak` runs very many; `--seed N` replays one and writes its trace.
"""

from __future__ import annotations

from pathlib import Path

from support.seeds import lines_whatever_the_hashes, memory_of, play
from support.simulated_cluster import factories

from rabbitry.simulation.cluster import Cluster
from rabbitry.simulation.faults import KINDS


def test_seed(seed: int, keep_trace: bool, tmp_path: Path) -> None:
    """Faults, then healing: nothing lost, nothing out of order, one leader, replicas agree."""
    nodes = factories(memory_of(seed))
    cluster = Cluster(seed, nodes, keep_trace=keep_trace)
    play(cluster.run, f"test_cluster_seeds.py --seed {seed}", cluster.world.trace, tmp_path)


PROGRAM = """
import sys
from support.simulated_cluster import factories
from rabbitry.simulation.cluster import Cluster
for seed in range(12):
    run = Cluster(seed, factories()).run()
    print(seed, run.trace_hash, run.ended_at, run.steps_count)
"""


def test_the_same_seed_gives_the_same_trace() -> None:
    """In two processes whose string hashes differ, every event and effect is the same."""
    assert len(lines_whatever_the_hashes(PROGRAM)) == 12


def test_faults_of_every_kind_strike_and_failovers_happen() -> None:
    """The seeds of `make test` are no calm sea: else what they prove would be nothing."""
    struck: dict[str, int] = {}
    epochs = 0
    redelivered = 0
    refused = 0
    for seed in range(40):
        run = Cluster(seed, factories()).run()
        for kind, count in run.fault_counts.items():
            struck[kind] = struck.get(kind, 0) + count
        epochs += sum(epoch > 1 for _, epoch in run.history.leaders_seen)
        redelivered += sum(one.redelivered for one in run.history.deliveries)
        refused += len(run.history.refused)
    assert sorted(struck) == sorted(KINDS)
    assert struck["crash"] > 20
    assert epochs > 20
    assert redelivered > 100
    assert refused > 50, "by queues that were full"
