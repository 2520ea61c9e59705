"""A pytest plugin for the clients' suites, loaded there with `-p`: fixtures left out, and a record.

aiormq's archive lacks the conftest.py at its root, which has the fixtures that ask Docker for a
broker. aio-pika's own conftest.py has the same ones and wins over these.
"""

from __future__ import annotations

import importlib
import json
import os
from collections.abc import Iterator
from typing import Any

import pytest


@pytest.fixture(scope="session")
def rabbitmq_container() -> Iterator[Any]:
    """A broker from Docker, as aiormq's `tests.docker_client` describes it."""
    client = importlib.import_module("tests.docker_client").DockerClient()
    container = client.run("mosquito/aiormq-rabbitmq", ["5672/tcp", "5671/tcp"])
    yield container
    client.kill(container.id)
    client.remove(container.id)


@pytest.fixture(scope="session")
def amqp_direct_url(rabbitmq_container: Any) -> Any:
    """Where that broker is, as a yarl.URL."""
    url_class: Any = importlib.import_module("yarl").URL
    return url_class.build(
        scheme="amqp",
        user="guest",
        password="guest",
        host=rabbitmq_container.host,
        port=rabbitmq_container.ports["5672/tcp"],
        path="//",
    )


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """One JSON line for each outcome, in the file that RABBITRY_CLIENT_OUTCOMES names."""
    skipped_early = report.when == "setup" and report.skipped
    if report.when != "call" and not report.failed and not skipped_early:
        return
    where = os.environ.get("RABBITRY_CLIENT_OUTCOMES")
    if where:
        crash = getattr(report.longrepr, "reprcrash", None)
        why = crash.message if crash is not None else str(report.longrepr or "")
        line = {"test": report.nodeid, "outcome": report.outcome, "why": why[:300]}
        with open(where, "a") as file:
            file.write(json.dumps(line) + "\n")
