"""examples/fastapi as it is: FastAPI with FastStream, asked over HTTP."""

from __future__ import annotations

import contextlib
import json
import os
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
from support.client_brokers import wait_for_words
from support.client_environment import ROOT, Environment

from bench.ports import free_ports
from bench.processes import Server

EXAMPLE = ROOT / "examples" / "fastapi"
PATIENCE_S = 30.0


@contextlib.contextmanager
def application(environment: Environment, broker_url: str) -> Iterator[tuple[str, Server]]:
    """The URL of the running example, and its process."""
    port = free_ports()
    variables = {**os.environ, "AMQP_URL": broker_url}
    variables.pop("PYTHONPATH", None)
    command = [str(environment.python), "-m", "uvicorn", "--app-dir", str(EXAMPLE), "orders:app"]
    server = Server([*command, "--port", str(port), "--no-use-colors"], variables)
    try:
        server.wait_for_port(port, PATIENCE_S)
        yield f"http://127.0.0.1:{port}", server
    finally:
        server.stop()


def ask(url: str, body: dict[str, Any] | None = None) -> Any:
    """GET, or POST where there is a body; the JSON of the answer."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
        return json.load(answer)


@pytest.mark.processes
def test_orders_are_taken_billed_and_priced(environment: Environment, broker_url: str) -> None:
    with application(environment, broker_url) as (url, server):
        for count in (1, 2, 3):
            accepted = ask(f"{url}/orders", {"item": "carrot", "count": count})
            assert accepted == {"status": "accepted"}
        for _ in range(3):
            wait_for_words(server, "| orders |", "Processed")
        assert ask(f"{url}/bills") == ["1 x carrot: 2", "2 x carrot: 4", "3 x carrot: 6"]
        assert ask(f"{url}/price/lettuce") == {"price": 3}
