"""Whole clusters with stores, a seed each: whatever dies, what was confirmed comes back.

`--seeds N` and `--seed N` as for test_cluster_seeds.py; without them there are 500.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from support.seeds import lines_whatever_the_hashes, memory_of, play
from support.simulated_cluster import factories

from rabbitry.cluster import merging
from rabbitry.simulation.durable import DurableCluster
from rabbitry.simulation.faults import DURABLE_KINDS, REBALANCE


def test_seed(
    durable_seed: int, keep_trace: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Everything dies, comes back, is healed, and dies once more: all promises hold."""
    if durable_seed % 2:  # so few chunks are merged in every second run
        monkeypatch.setattr(merging, "MERGE_AT", 3)
        monkeypatch.setattr(merging, "GROUP_MIN", 2)
    cluster = DurableCluster(
        durable_seed, factories(memory_of(durable_seed)), keep_trace=keep_trace
    )
    play(cluster.run, f"test_durable_seeds.py --seed {durable_seed}", cluster.world.trace, tmp_path)


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
    assert len(lines_whatever_the_hashes(PROGRAM)) == 4


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
    assert sorted(struck) == sorted((*DURABLE_KINDS, REBALANCE))
    assert wipes > 40
    assert saved > 100, "confirmed, then in stores alone, then delivered"
