"""The clients' environment and the runs of their suites, made once for all tests that ask."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import client_environment
from support.client_brokers import Broker, RabbitMQBroker, RabbitryBroker
from support.client_environment import Environment
from support.client_suites import SuiteRuns, suite_timeout_s
from support.deadline import DEADLINE_S

from bench import rabbitmq

HERE = Path(__file__).parent


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Whoever comes first makes the environment; and a suite may be run once more."""
    suite_s = suite_timeout_s(whole=config.getoption("--whole-suites"))
    for item in items:
        if item.path.is_relative_to(HERE) and "environment" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.deadline(DEADLINE_S + 2 * suite_s))


@pytest.fixture(scope="session")
def environment() -> Environment:
    """The venv and archives; skips where the package index cannot be reached."""
    try:
        return client_environment.make()
    except client_environment.Unavailable as reason:
        pytest.skip(str(reason))


@pytest.fixture(scope="session")
def against(request: pytest.FixtureRequest) -> str:
    """The broker that is tried: rabbitry or rabbitmq."""
    chosen: str = request.config.getoption("--against")
    if chosen == "rabbitmq" and (reason := rabbitmq.missing()):
        pytest.skip(reason)
    return chosen


@pytest.fixture(scope="session")
def suite_runs(
    request: pytest.FixtureRequest, environment: Environment, against: str
) -> Iterator[SuiteRuns]:
    """The suites whose tests were selected, all begun with the first that asks.

    Under pytest-xdist it is the workers that are side by side: each begins what it is given.
    """
    whole: bool = request.config.getoption("--whole-suites")
    runs = SuiteRuns(environment, against=against, whole=whole)
    if "PYTEST_XDIST_WORKER" not in os.environ:
        parameters = [getattr(item, "callspec", None) for item in request.session.items]
        for one in parameters:
            if one and "suite" in one.params:
                runs.begin(one.params["suite"])
    yield runs
    runs.close()


@pytest.fixture
def broker_url(against: str) -> Iterator[str]:
    """A fresh broker for one test, as a URL."""
    broker: Broker = RabbitMQBroker() if against == "rabbitmq" else RabbitryBroker()
    try:
        broker.start()
        yield f"amqp://guest:guest@127.0.0.1:{broker.port}/"
    finally:
        broker.destroy()


@pytest.fixture(scope="session")
def pika_port(against: str) -> Iterator[int]:
    """One broker for all of pika's scenarios: each uses names of its own."""
    broker: Broker = RabbitMQBroker() if against == "rabbitmq" else RabbitryBroker()
    try:
        broker.start()
        yield broker.port
    finally:
        broker.destroy()
