"""A running cluster for each test that asks for one; it ends with the test, always."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.running_cluster import RunningCluster

Up = Callable[..., RunningCluster]


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Up]:
    """Return a function that starts `rabbitry up`, in `tmp_path / name` unless told where."""
    started: list[RunningCluster] = []

    def start(
        name: str = "data", *, data_dir: Path | None = None, port: int | None = None, **more: Any
    ) -> RunningCluster:
        one = RunningCluster(tmp_path / name if data_dir is None else data_dir, port, **more)
        started.append(one)
        return one

    yield start
    for one in started:
        one.destroy()


@pytest.fixture
def cluster(up: Up) -> RunningCluster:
    """Three nodes behind a balancer, ready."""
    return up().wait_ready()
