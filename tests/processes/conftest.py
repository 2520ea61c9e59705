"""A running cluster for each test that asks for one; it ends with the test, always."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.deadline import DEADLINE_S
from support.running_cluster import RunningCluster
from support.running_node import RunningNode

Up = Callable[..., RunningCluster]

HERE = Path(__file__).parent
KILL_S = 10.0
"""Three times what one takes."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    kills = config.getoption("--kills")
    for item in items:
        if item.path.is_relative_to(HERE) and "kills" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.deadline(DEADLINE_S + kills * KILL_S))


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


@pytest.fixture
def node_alone(tmp_path: Path) -> Iterator[Callable[..., RunningNode]]:
    """Return a function that starts `rabbitry node`, in `tmp_path / "node"` unless told where."""
    started: list[RunningNode] = []

    def start(
        data_dir: Path | None = None, environment: dict[str, str] | None = None
    ) -> RunningNode:
        one = RunningNode(data_dir or tmp_path / "node", environment)
        started.append(one)
        return one

    yield start
    for one in started:
        one.kill()


@pytest.fixture
def kills(request: pytest.FixtureRequest) -> int:
    """How often to kill: `--kills`."""
    return int(request.config.getoption("--kills"))
