"""Tests of what the system knows of this process."""

from __future__ import annotations

import os

from rabbitry import __version__
from rabbitry.runtime.facts import FactFinder


def test_facts() -> None:
    facts = FactFinder().find(dropped_logs=3)
    assert (facts.pid, facts.version, facts.dropped_logs) == (os.getpid(), __version__, 3)
    assert facts.memory_bytes > 1_000_000
    assert facts.open_files_max > 0
    assert 0 <= facts.idle_percent <= 100
    assert facts.now is not None
    assert facts.started_at_s <= facts.now.timestamp()
