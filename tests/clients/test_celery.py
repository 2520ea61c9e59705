"""examples/celery as it is: workers that find each other, tasks, and results over rpc://.

Everything is as Celery has it by default, so gossip, mingle, remote control and its queues with
x-expires take part.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator

import pytest
from support.client_brokers import wait_for_words
from support.client_environment import ROOT, Environment

from bench.processes import Server

EXAMPLE = ROOT / "examples" / "celery"
PATIENCE_S = 60.0
EXPECTED = """\
add: 5
group: [0, 2, 4, 6, 8, 10, 12, 14, 16, 18]
chain: 13
countdown: 8
retries: 2
divide: ZeroDivisionError
workers that answer: 2
"""


@contextlib.contextmanager
def worker(environment: Environment, variables: dict[str, str], name: str) -> Iterator[Server]:
    """A worker with two processes that is ready."""
    command = [str(environment.python), "-m", "celery", "--workdir", str(EXAMPLE), "-A", "tasks"]
    command += ["worker", "--loglevel", "info", "--concurrency", "2", "--hostname", f"{name}@here"]
    server = Server(command, variables)
    try:
        wait_for_words(server, f"{name}@here ready.")
        yield server
    finally:
        server.stop()


@pytest.mark.processes
def test_workers_do_what_they_are_asked_and_answer(
    environment: Environment, broker_url: str
) -> None:
    variables = {**os.environ, "AMQP_URL": broker_url}
    variables.pop("PYTHONPATH", None)
    with (
        worker(environment, variables, "first"),
        worker(environment, variables, "second") as second,
    ):
        done = subprocess.run(
            [str(environment.python), "ask.py"],
            cwd=EXAMPLE,
            env=variables,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
        )
        assert done.stdout == EXPECTED, done.stderr[-2000:]
        second.process.terminate()  # a warm shutdown: it cancels its consumers and says goodbye
        assert second.process.wait(PATIENCE_S) == 0
