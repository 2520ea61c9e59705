"""Whole runs of a balancer between clients and servers, a seed each.

What must be true at every step and at the end is told in `rabbitry.simulation.balancer_checkers`.
`--seed N` replays one.
"""

from __future__ import annotations

from pathlib import Path

from support.seeds import play

from rabbitry.simulation.balancer_world import BalancerWorld


def test_seed(seed: int, keep_trace: bool, tmp_path: Path) -> None:
    """Sessions end when they must, none is lost, no limit is passed, the figures agree."""
    world = BalancerWorld(seed, keep_trace=keep_trace)
    play(world.run, f"test_balancer_seeds.py --seed {seed}", world.world.trace, tmp_path)
