"""Whole clusters with stores, a seed each: whatever dies, what was confirmed comes back.

`--seeds N` and `--seed N` as for test_cluster_seeds.py; without them there are 500.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.simulated_cluster import factories

from rabbitry.cluster.node_settings import QUEUE_MEMORY_BYTES_MAX
from rabbitry.simulation.cluster import write_trace
from rabbitry.simulation.durable import DurableCluster
from rabbitry.simulation.faults import DURABLE_KINDS
from rabbitry.simulation.world import SeedFailed


def test_seed(durable_seed: int, keep_trace: bool, tmp_path: Path) -> None:
    """Everything dies, comes back, is healed, and dies once more: all promises hold."""
    # In every third run hardly any message that the store has is in memory.
    memory_bytes_max = QUEUE_MEMORY_BYTES_MAX if durable_seed % 3 else 4000
    cluster = DurableCluster(durable_seed, factories(memory_bytes_max), keep_trace=keep_trace)
    try:
        cluster.run()
    except SeedFailed as failed:
        replay = f".venv/bin/pytest tests/simulation/test_durable_seeds.py --seed {durable_seed}"
        pytest.fail(f"{failed}\nreplay: {replay}", pytrace=False)
    finally:
        if keep_trace:
            print("trace:", write_trace(cluster, tmp_path))


PROGRAM = """
import sys
from support.simulated_cluster import factories
from rabbitry.simulation.durable import DurableCluster
for seed in range(4):
    run = DurableCluster(seed, factories()).run()
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
    assert len(outputs[0].splitlines()) == 4


def test_faults_of_every_kind_strike_and_much_is_at_stake() -> None:
    """The seeds of `make test` are no calm sea: queues hold something when all who had it die."""
    struck: dict[str, int] = {}
    wipes = saved = 0
    for seed in range(16):
        run = DurableCluster(seed, factories()).run()
        for kind, count in run.fault_counts.items():
            struck[kind] = struck.get(kind, 0) + count
        history = run.history
        wipes += sum(map(len, history.wipes.values()))
        for delivery in history.deliveries:
            confirmed_at = history.confirmed.get(delivery.key, delivery.at)
            dead = history.wipes.get(delivery.queue, ())
            saved += any(confirmed_at < at < delivery.at for at in dead)
    assert sorted(struck) == sorted(DURABLE_KINDS)
    assert wipes > 40
    assert saved > 100, "confirmed, then in stores alone, then delivered"
