"""The clients' own suites: what is run of each, how, and what came out.

Owns the choice of tests (`SUITES`) and the runs: each suite in a pytest of its own, in the clients'
environment, against a broker of its own. Nothing of a suite is changed: aio-pika's and aiormq's
ask Docker for their broker, and get one from `DockerOfBrokers`.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import json
import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from support.client_brokers import Broker, RabbitMQBroker, RabbitryBroker
from support.client_environment import ROOT, Environment
from support.docker_of_brokers import DockerOfBrokers

AT_ONCE = 2
"""Most of the suites' time is waiting, and the machines that run this have two cores."""
SUITE_TIMEOUT_S, WHOLE_SUITE_TIMEOUT_S = 600.0, 1500.0
"""Three times what the longest takes on two cores beside other tests."""


@dataclasses.dataclass(frozen=True)
class Suite:
    """What is run of one client's suite.

    `quick` are the arguments of pytest that keep `make test` quick: they leave out the same tests
    once more over another kind of connection. `--whole-suites` runs these too. `passed_min` is how
    many pass at the least in the quick run: a suite that collects nothing is no success.
    """

    name: str
    paths: tuple[str, ...]
    passed_min: int
    quick: tuple[str, ...] = ()
    needs_docker: bool = False


# Thirteen times the same 65 tests: with connect and connect_robust remain. Then three minutes of
# sleeping: a pool of the client's that hardly meets a broker, and a proxy that delays bytes.
AIO_PIKA_QUICK = (
    "--deselect=tests/test_pool.py",
    "--deselect=tests/test_amqp_robust_proxy.py::test_channel_reconnect_stairway",
    "--deselect=tests/test_amqp_robust_proxy.py::test_channel_reconnect_after_5kb",
    "--deselect=tests/test_amqp_robust.py",
    "--deselect=tests/test_amqps.py::TestCaseAMQPS",
    "--deselect=tests/test_amqp.py::TestCaseAmqpNoConfirms",
)
# Four times the same tests: with plain AMQP remain, and what is about TLS itself.
AIORMQ_QUICK = ("-k", "not amqps and not amqp-named")

SUITES = [
    Suite("aio_pika", ("tests",), 300, AIO_PIKA_QUICK, needs_docker=True),
    Suite("aiormq", ("tests",), 300, AIORMQ_QUICK, needs_docker=True),
    Suite("kombu", ("t/integration/test_py_amqp.py",), 40),
    Suite("amqp", ("t/integration/test_rmq.py",), 12),
]


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What one test of a suite came to: passed, failed or skipped, and why."""

    test: str
    outcome: str
    why: str


@dataclasses.dataclass(frozen=True)
class SuiteRun:
    """A suite that has been run; `output` ends with pytest's own summary."""

    exit_code: int
    outcomes: list[Outcome]
    output: str

    def named(self, outcome: str) -> dict[str, str]:
        """Test to reason, for those that came to `outcome`."""
        return {one.test: one.why for one in self.outcomes if one.outcome == outcome}


def suite_timeout_s(*, whole: bool) -> float:
    """How long one suite may take."""
    return WHOLE_SUITE_TIMEOUT_S if whole else SUITE_TIMEOUT_S


class SuiteRuns:
    """Runs of suites, side by side as far as two cores allow, each once it is begun."""

    def __init__(self, environment: Environment, *, against: str, whole: bool) -> None:
        self._environment = environment
        self._against = against
        self._whole = whole
        self._pool = concurrent.futures.ThreadPoolExecutor(AT_ONCE)
        self._runs: dict[str, concurrent.futures.Future[SuiteRun]] = {}

    def begin(self, suite: Suite) -> None:
        """Run it from now on, if it was not begun before."""
        if suite.name not in self._runs:
            chosen = [] if self._whole else suite.quick
            self._runs[suite.name] = self._pool.submit(self._run, suite, [*chosen, *suite.paths])

    def result(self, suite: Suite) -> SuiteRun:
        """Wait for its end; begins it, if nobody did."""
        self.begin(suite)
        return self._runs[suite.name].result()

    def again(self, suite: Suite, tests: list[str]) -> SuiteRun:
        """Run these tests of it once more, with nothing else of it beside them."""
        return self._run(suite, tests)

    def close(self) -> None:
        """Wait for what runs; start nothing more."""
        self._pool.shutdown(cancel_futures=True)

    def _make_broker(self) -> Broker:
        if self._against == "rabbitmq":
            return RabbitMQBroker(self._environment.certificates)
        return RabbitryBroker(self._environment.certificates)

    def _run(self, suite: Suite, arguments: list[str]) -> SuiteRun:
        if suite.needs_docker:
            with DockerOfBrokers(self._make_broker) as docker:
                return self._pytest(suite, arguments, {"DOCKER_HOST": docker.address})
        broker = self._make_broker()
        try:
            broker.start()
            place = {"RABBITMQ_HOST": "127.0.0.1", "RABBITMQ_5672_TCP": str(broker.port)}
            place["RABBITMQ_5671_TCP"] = str(broker.tls_port)
            return self._pytest(suite, arguments, place)
        finally:
            broker.destroy()

    def _pytest(self, suite: Suite, arguments: list[str], variables: dict[str, str]) -> SuiteRun:
        directory = self._environment.archive(suite.name)
        with tempfile.NamedTemporaryFile(suffix=".jsonl") as record:
            command = [str(self._environment.python), "-m", "pytest", "-q", "--tb=short"]
            command += ["-p", "support.client_suite_plugin", "-p", "no:cacheprovider"]
            command += ["-o", "log_cli=false", *arguments]
            done = _run(
                command,
                cwd=directory,
                env=os.environ
                | variables
                | {"PYTHONPATH": str(ROOT / "tests"), "RABBITRY_CLIENT_OUTCOMES": record.name}
                | {"PYTEST_ADDOPTS": ""},  # what is there is meant for ours
                timeout=suite_timeout_s(whole=self._whole),
            )
            lines = Path(record.name).read_text().splitlines()
        outcomes = [Outcome(**json.loads(line)) for line in lines]
        return SuiteRun(done.returncode, outcomes, done.stdout)


def _run(command: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
    """Run it without a terminal; where it hangs, say what it had printed by then."""
    pipe = subprocess.PIPE
    options |= {"stdin": subprocess.DEVNULL, "stdout": pipe, "stderr": subprocess.STDOUT}
    try:
        return subprocess.run(command, text=True, **options)
    except subprocess.TimeoutExpired as late:
        printed = late.stdout or b""
        shown = printed.decode(errors="replace") if isinstance(printed, bytes) else printed
        raise AssertionError(f"not at its end after {late.timeout:g} s: {shown[-3000:]}") from None
