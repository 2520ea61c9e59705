"""Whole clusters under failures, a seed each: the proof that nothing confirmed is lost.

`make soak` runs very many; `--seed N` replays one and writes its trace.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from support.simulated_cluster import factories

from rabbitry.simulation.cluster import Cluster, write_trace
from rabbitry.simulation.world import SeedFailed


def test_seed(seed: int, keep_trace: bool, tmp_path: Path) -> None:
    """Faults, then healing: nothing lost, nothing out of order, one leader, replicas agree."""
    cluster = Cluster(seed, factories(), keep_trace=keep_trace)
    try:
        cluster.run()
    except SeedFailed as failed:
        replay = f".venv/bin/pytest tests/simulation/test_cluster_seeds.py --seed {seed}"
        pytest.fail(f"{failed}\nreplay: {replay}", pytrace=False)
    finally:
        if keep_trace:
            print("trace:", write_trace(cluster, tmp_path))
