"""The two brokers that conversations are compared on: ours and RabbitMQ, started on demand."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bench import rabbitmq, rabbitry


@pytest.fixture(scope="session")
def rabbitry_port() -> Iterator[int]:
    """The port of a `rabbitry node`."""
    with rabbitry.running(1) as node:
        yield node.ports[0]


@pytest.fixture(scope="session")
def rabbitmq_port() -> Iterator[int]:
    """The port of a real RabbitMQ node; skips where there is none, or not the version compared."""
    if reason := rabbitmq.missing():
        pytest.skip(reason)
    if not rabbitmq.version().startswith("3.10."):
        pytest.skip(f"RabbitMQ {rabbitmq.version()} is installed; the comparison is with 3.10")
    with rabbitmq.running(1) as cluster:
        yield cluster.ports[0]
