"""bench.rabbitry: reading the status of a cluster."""

from __future__ import annotations

from typing import Any

import pytest

from bench import rabbitry


def status(in_sync: object) -> dict[str, Any]:
    """As ``rabbitry status --json`` prints it."""
    return {
        "nodes": [
            {"name": "rabbit", "pid": 11, "port": 5672, "state": "up"},
            {"name": "rabbit_1", "pid": 12, "port": 5673, "state": "up"},
        ],
        "queues": [
            {"vhost": "other", "name": "q", "leader": "rabbit", "in_sync": ["rabbit"]},
            {"vhost": "/", "name": "q", "leader": "rabbit_1", "in_sync": in_sync},
        ],
        "balancer": {"address": "127.0.0.1:5670", "pid": 13},
    }


@pytest.mark.parametrize(
    ("in_sync", "port"), [(["rabbit", "rabbit_1"], 5673), (2, 5673), (["rabbit_1"], 0), (1, 0)]
)
def test_leader_port_once_enough_nodes_are_in_sync(in_sync: object, port: int) -> None:
    assert rabbitry.leader_port_of(status(in_sync), "q", in_sync=2) == port


def test_leader_port_of_a_queue_that_is_not_there() -> None:
    assert rabbitry.leader_port_of(status([]), "missing", in_sync=0) == 0


def test_process_ids_with_and_without_a_balancer() -> None:
    current = status([])
    found = rabbitry.process_ids(current, 10)
    assert found == {"rabbit": 11, "rabbit_1": 12, "balancer": 13, "supervisor": 10}
    current["balancer"] = {"address": "127.0.0.1:5670", "pid": None}
    assert "balancer" not in rabbitry.process_ids(current, 10)
