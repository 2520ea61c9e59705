"""Clusters whose nodes are restarted in order, a seed each: nothing acknowledged comes again.

`--seeds N` and `--seed N` as for test_cluster_seeds.py; without them there are 60.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from support.simulated_cluster import NAMES, factories

from rabbitry.cluster.node_settings import QUEUE_MEMORY_BYTES_MAX
from rabbitry.simulation.cluster import write_trace
from rabbitry.simulation.rolling import RollingCluster
from rabbitry.simulation.world import SeedFailed


def test_seed(rolling_seed: int, keep_trace: bool, tmp_path: Path) -> None:
    memory_bytes_max = QUEUE_MEMORY_BYTES_MAX if rolling_seed % 3 else 4000
    cluster = RollingCluster(rolling_seed, factories(memory_bytes_max), keep_trace=keep_trace)
    try:
        cluster.run()
    except SeedFailed as failed:
        replay = f".venv/bin/pytest tests/simulation/test_rolling.py --seed {rolling_seed}"
        pytest.fail(f"{failed}\nreplay: {replay}", pytrace=False)
    finally:
        if keep_trace:
            print("trace:", write_trace(cluster, tmp_path))


def test_nodes_are_restarted_with_much_on_its_way() -> None:
    """The seeds of `make test` show something: much is acknowledged, and out, at that time."""
    acknowledged = 0
    for seed in range(4):
        cluster = RollingCluster(seed, factories())
        run = cluster.run()
        assert sorted(cluster.restarted) == sorted(NAMES)
        acknowledged += len(run.history.acknowledged)
    assert acknowledged > 100
