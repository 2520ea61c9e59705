"""What every scenario of this directory needs: HAProxy 2.6 itself, and real processes.

The scenarios play the same file and the same traffic to HAProxy and to `rabbitry balance`
(`support.beside_haproxy`), once more where that fails (`support.playing_again`).
To try them on another checkout: PYTHONPATH=THERE/src.
"""

from __future__ import annotations

import functools
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from support.balancer_sides import HAPROXY
from support.playing_again import twice_at_most

HERE = Path(__file__).parent


@functools.cache
def why_no_haproxy() -> str | None:
    """Why HAProxy itself cannot be compared with here; None where it can."""
    if HAPROXY is None:
        return "haproxy is not installed"
    said = subprocess.run([HAPROXY, "-v"], capture_output=True, text=True, check=True).stdout
    found = re.search(r"version (\S+)", said)
    version = found[1] if found else "of no known version"
    return None if version.startswith("2.6.") else f"haproxy is {version}; this compares with 2.6"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.processes)
            if reason := why_no_haproxy():
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(autouse=True)
def has_two_tries(request: pytest.FixtureRequest, say: Callable[[str], None]) -> None:
    """Let the test be tried again, if it plays scenarios; its fixtures are made once."""
    request.node.obj = twice_at_most(request.node.obj, request.node.nodeid, say)
