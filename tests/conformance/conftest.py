"""The two brokers that conversations are compared on: ours and RabbitMQ, started on demand.

Gives each test that asks for a `conversation` all those of its module, and compares them through
`beside`, with RabbitMQ itself or with what it said when it was recorded.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from conformance.awaited import AWAITED
from conformance.differences import DIFFERENCE_IN
from support.beside import Beside

from bench import rabbitmq, rabbitry

PLUGINS = ("rabbitmq_consistent_hash_exchange",)
DEFINITIONS = Path(__file__).parent / "definitions.json"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "conversation" in metafunc.fixturenames:
        metafunc.parametrize("conversation", list(metafunc.module.scenario))


def why_no_rabbitmq() -> str | None:
    """Why RabbitMQ itself cannot be compared with here; None where it can."""
    reason = rabbitmq.missing()
    if reason is None and not rabbitmq.version().startswith("3.10."):
        reason = f"RabbitMQ {rabbitmq.version()} is installed; the comparison is with 3.10"
    return reason


@pytest.fixture(scope="session")
def rabbitry_port() -> Iterator[int]:
    """The port of a `rabbitry node`."""
    with rabbitry.running(1, definitions=DEFINITIONS) as node:
        yield node.ports[0]


@pytest.fixture(scope="session")
def live_rabbitmq_port() -> Iterator[int | None]:
    """The port of a real RabbitMQ node, or None."""
    if why_no_rabbitmq():
        yield None
    else:
        with rabbitmq.running(1, PLUGINS, DEFINITIONS) as cluster:
            yield cluster.ports[0]


@pytest.fixture(scope="session")
def beside(
    pytestconfig: pytest.Config, rabbitry_port: int, live_rabbitmq_port: int | None
) -> Beside:
    """What compares conversations."""
    recording = pytestconfig.getoption("--record-transcripts")
    if recording and live_rabbitmq_port is None:
        pytest.exit(f"nothing to record: {why_no_rabbitmq()}", returncode=2)
    return Beside(
        rabbitry_port,
        live_rabbitmq_port,
        rabbitmq.version(),
        AWAITED,
        DIFFERENCE_IN,
        recording=bool(recording),
    )
