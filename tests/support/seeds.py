"""One simulated run for a seed, and whether a seed means the same run everywhere."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from rabbitry.cluster.node_settings import QUEUE_MEMORY_BYTES_MAX
from rabbitry.simulation.trace import Trace
from rabbitry.simulation.world import SeedFailed

TESTS = Path(__file__).parents[1]


def memory_of(seed: int) -> int:
    """Return what queues may take: in every third run hardly any message of the store's."""
    return QUEUE_MEMORY_BYTES_MAX if seed % 3 else 4000


def play(run: Callable[[], object], replay: str, trace: Trace, directory: Path) -> None:
    """Run a seed. A failure says how to `replay` it: `test_cluster_seeds.py --seed 3`, say.

    The trace is written to `directory`, if it was kept.
    """
    try:
        run()
    except SeedFailed as failed:
        pytest.fail(f"{failed}\nreplay: .venv/bin/pytest tests/simulation/{replay}", pytrace=False)
    finally:
        if trace.is_kept:
            path = directory / "trace"
            trace.write(path)
            print("trace:", path)


def lines_whatever_the_hashes(program: str) -> list[str]:
    """Return what a program prints, which must be the same whatever the hashes of strings are."""
    outputs = []
    for hash_seed in ("1", "2"):
        paths = os.pathsep.join([str(TESTS), str(TESTS.parent / "src")])
        done = subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": paths},
            capture_output=True,
            text=True,
            check=True,
            timeout=120,
        )
        outputs.append(done.stdout)
    assert outputs[0] == outputs[1]
    return outputs[0].splitlines()
