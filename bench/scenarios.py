"""What is compared: scenarios, their rows, and how much faster Rabbitry has to be.

Owns the list. A row is one kind of load; headline rows are repeated and judged, the others run
once. ``SIDES`` of a scenario take turns on every row.
"""

from __future__ import annotations

import dataclasses
from typing import Literal

Route = Literal["leader", "others", "balancer"]

RABBITRY = "rabbitry"
RABBITMQ = "rabbitmq"
QUORUM = "quorum"
"""RabbitMQ's quorum queue, on the same brokers as its classic one."""


@dataclasses.dataclass(frozen=True)
class Row:
    """One line of the comparison. Sizes in bytes, rates in messages a second of each publisher.

    ``size`` and ``count`` 0: the command line's or the scenario's. ``goals``: for a rival's side,
    how many times as fast Rabbitry has to be.
    """

    name: str
    route: Route = "leader"
    headline: bool = False
    persistent: bool = False
    confirm_and_ack: bool = False
    size: int = 0
    count: int = 0
    prefetch: int = 0
    publishers: int = 1
    rate: int = 0
    goals: tuple[tuple[str, float], ...] = ()


@dataclasses.dataclass(frozen=True)
class Scenario:
    """Rows on the same brokers."""

    node_count: int
    count: int
    rows: tuple[Row, ...]
    sides: tuple[str, ...] = (RABBITRY, RABBITMQ)


def _durable(name: str, **more: object) -> Row:
    """Return a row of persistent messages: durable queue, confirms, acks, a prefetch."""
    row = Row(name, persistent=True, confirm_and_ack=True, prefetch=2000, size=1024)
    return dataclasses.replace(row, **more)  # type: ignore[arg-type]


SINGLE_GOALS = ((RABBITMQ, 2.0),)
MIRRORED_GOALS = ((RABBITMQ, 3.0), (QUORUM, 2.0))

SCENARIOS = {
    "single": Scenario(
        node_count=1,
        count=500_000,
        rows=(Row("transient, no ack", headline=True),),
    ),
    "mirrored": Scenario(
        node_count=3,
        count=100_000,
        rows=(
            Row("persistent, via leader", "leader", True, persistent=True, confirm_and_ack=True),
            Row("transient, via leader", "leader", confirm_and_ack=True),
            Row("persistent, via the other two", "others", persistent=True, confirm_and_ack=True),
            Row("persistent, via balancer", "balancer", persistent=True, confirm_and_ack=True),
        ),
    ),
    "durable-single": Scenario(
        node_count=1,
        count=200_000,
        rows=(
            _durable("1 kB", headline=True, goals=SINGLE_GOALS),
            _durable("1 kB, 4 publishers", headline=True, publishers=4, goals=SINGLE_GOALS),
            _durable("4 kB", headline=True, size=4096, count=100_000, goals=SINGLE_GOALS),
            _durable("16 B", size=16),
            _durable("64 kB", size=65536, count=10_000),
            _durable("1 kB, one by one, 2000/s", count=10_000, rate=2000),
        ),
    ),
    "durable-mirrored": Scenario(
        node_count=3,
        count=100_000,
        rows=(
            _durable("1 kB", headline=True, goals=MIRRORED_GOALS),
            _durable("1 kB, 4 publishers", headline=True, publishers=4, goals=MIRRORED_GOALS),
            _durable("16 B", size=16),
            _durable("4 kB", size=4096, count=40_000),
            _durable("1 kB, via the other two", route="others"),
            _durable("1 kB, one by one, 1000/s", count=5_000, rate=1000),
        ),
        sides=(RABBITRY, RABBITMQ, QUORUM),
    ),
}
