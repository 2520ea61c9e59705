"""Whole runs of a balancer between clients and servers, a seed each.

What must be true at every step and at the end is told in `rabbitry.simulation.balancer_checkers`.
`--seed N` replays one.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from rabbitry.balancer.queueing import Queueing
from rabbitry.balancer.relaying import Relaying
from rabbitry.simulation.balancer_world import BalancerWorld
from rabbitry.simulation.world import SeedFailed


def test_seed(seed: int, keep_trace: bool, tmp_path: Path) -> None:
    """Sessions end when they must, none is lost, no limit is passed, the figures agree."""
    world = BalancerWorld(seed, keep_trace=keep_trace)
    try:
        world.run()
    except SeedFailed as failed:
        replay = f".venv/bin/pytest tests/simulation/test_balancer_seeds.py --seed {seed}"
        pytest.fail(f"{failed}\nreplay: {replay}", pytrace=False)
    finally:
        if keep_trace:
            path = tmp_path / f"balancer-{seed}.trace"
            path.write_text("\n".join(world.world.trace.lines))
            print("trace:", path)


PROGRAM = """
from rabbitry.simulation.balancer_world import BalancerWorld
for seed in range(8):
    print(seed, BalancerWorld(seed).run())
"""


def test_the_same_seed_gives_the_same_trace() -> None:
    """In two processes whose string hashes differ."""
    outputs = []
    for hash_seed in ("1", "2"):
        source = str(Path(__file__).parents[2] / "src")
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM],
            env={**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": source},
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        outputs.append(done.stdout)
    assert outputs[0] == outputs[1]
    assert len(outputs[0].splitlines()) == 8


def test_the_seeds_are_no_calm_sea() -> None:
    """Every kind of run and act occurs, and most ways for a session to end."""
    states: Counter[str] = Counter()
    acts: Counter[str] = Counter()
    kinds: Counter[str] = Counter()
    for seed in range(60):
        run = BalancerWorld(seed).run()
        states.update(run.states)
        acts.update(run.acts)
        kinds[run.kind] += 1
    assert sorted(kinds) == ["even", "gentle", "rough"]
    assert len(acts) == 12
    assert {"--", "CC", "CD", "CQ", "SC", "SD", "cD", "sC", "sD", "sQ", "K-"} <= set(states)
    assert states["--"] > 500


def seeds_that_fail(count: int = 40) -> int:
    failed = 0
    for seed in range(count):
        try:
            BalancerWorld(seed).run()
        except SeedFailed:
            failed += 1
    return failed


def test_a_balancer_that_passes_limits_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Queueing, "is_full", staticmethod(lambda server: False))
    assert seeds_that_fail() > 0


def test_a_balancer_that_keeps_ends_to_itself_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Relaying, "_tell_finished", lambda *arguments: None)
    assert seeds_that_fail() > 20


def test_a_balancer_that_forgets_who_waits_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Queueing, "next_for", lambda *arguments: None)
    assert seeds_that_fail() > 5
