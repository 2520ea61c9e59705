"""Whole clusters under failures, a seed each: the proof that nothing confirmed is lost.

`make soak` runs very many; `--seed N` replays one and writes its trace.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.simulated_cluster import factories

from rabbitry.cluster.node_settings import QUEUE_MEMORY_BYTES_MAX
from rabbitry.simulation.cluster import Cluster, write_trace
from rabbitry.simulation.faults import KINDS
from rabbitry.simulation.world import SeedFailed


def test_seed(seed: int, keep_trace: bool, tmp_path: Path) -> None:
    """Faults, then healing: nothing lost, nothing out of order, one leader, replicas agree."""
    # In every third run hardly any message that the store has is in memory.
    memory_bytes_max = QUEUE_MEMORY_BYTES_MAX if seed % 3 else 4000
    cluster = Cluster(seed, factories(memory_bytes_max), keep_trace=keep_trace)
    try:
        cluster.run()
    except SeedFailed as failed:
        replay = f".venv/bin/pytest tests/simulation/test_cluster_seeds.py --seed {seed}"
        pytest.fail(f"{failed}\nreplay: {replay}", pytrace=False)
    finally:
        if keep_trace:
            print("trace:", write_trace(cluster, tmp_path))


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
    tests = Path(__file__).parents[1]
    outputs = []
    for hash_seed in ("1", "2"):
        paths = os.pathsep.join([str(tests), str(tests.parent / "src")])
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": paths}
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
            timeout=120,
        )
        outputs.append(done.stdout)
    assert outputs[0] == outputs[1]
    assert len(outputs[0].splitlines()) == 12


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
