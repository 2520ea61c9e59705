"""runtime.garbage: what lives long is looked at no more, what comes later seldom."""

from __future__ import annotations

import gc
import subprocess
import sys

PROGRAM = """
import gc
from rabbitry.runtime.garbage import tune_garbage_collection
made = [[] for _ in range(1000)]
before = gc.get_freeze_count()
tune_garbage_collection()
print(gc.get_freeze_count() - before > 1000, gc.isenabled(), gc.get_threshold()[0])
"""


def test_long_lived_objects_are_spared_and_it_stays_on() -> None:
    """In a process of its own: this one collects as tests expect it."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True
    )
    frozen, enabled, threshold = done.stdout.split()
    assert (frozen, enabled) == ("True", "True")
    assert int(threshold) > gc.get_threshold()[0]
