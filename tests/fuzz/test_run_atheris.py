"""A short run of the coverage-guided fuzzer, as `make fuzz` starts it, finds nothing.

atheris is for Linux on x86-64 and some versions of Python (pyproject.toml); elsewhere this is
skipped, and says so.
"""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

RUN = Path(__file__).parent / "run_atheris.py"
RUNS = 400

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("atheris") is None, reason="no atheris here"),
]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(RUN), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


def test_a_short_run_finds_nothing(tmp_path: Path) -> None:
    done = run("--runs", str(RUNS), "--found", str(tmp_path))
    assert done.returncode == 0, done.stderr[-4000:]
    assert re.search(rf"stat::number_of_executed_units: +{RUNS}\b", done.stderr)
    assert [path.name for path in tmp_path.iterdir()] == ["corpus"]


def test_help_says_what_it_does() -> None:
    done = run("--help")
    assert done.returncode == 0
    assert "--seconds" in done.stdout
