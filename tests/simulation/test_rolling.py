"""Clusters whose nodes are restarted in order, a seed each: nothing acknowledged comes again.

`--seeds N` and `--seed N` as for test_cluster_seeds.py; without them there are 60.
"""

from __future__ import annotations

from pathlib import Path

from support.seeds import memory_of, play
from support.simulated_cluster import NAMES, factories

from rabbitry.simulation.rolling import RollingCluster


def test_seed(rolling_seed: int, keep_trace: bool, tmp_path: Path) -> None:
    cluster = RollingCluster(
        rolling_seed, factories(memory_of(rolling_seed)), keep_trace=keep_trace
    )
    play(cluster.run, f"test_rolling.py --seed {rolling_seed}", cluster.world.trace, tmp_path)


def test_nodes_are_restarted_with_much_on_its_way() -> None:
    """The seeds of `make test` show something: much is acknowledged, and out, at that time."""
    acknowledged = 0
    for seed in range(4):
        cluster = RollingCluster(seed, factories())
        run = cluster.run()
        assert sorted(cluster.restarted) == sorted(NAMES)
        acknowledged += len(run.history.acknowledged)
    assert acknowledged > 100
