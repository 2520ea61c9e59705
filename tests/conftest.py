"""Options of the whole suite, and the rules of a run: no test takes longer than it may, and a run
which executed nothing is no success.

Owns the options `--seeds N` and `--seed N` (what a seed means is told in
tests/simulation/conftest.py), `--kills N` (tests/processes/test_kill_rounds.py),
`--record-transcripts` (tests/support/beside.py), `--against BROKER` and `--whole-suites`
(tests/support/client_suites.py), here because pytest takes options only from the
top of the suite. All of it holds for a run that pytest-xdist spreads over workers, too.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Generator
from typing import Any

import pytest
from hypothesis import settings
from support.deadline import bounded

# How long one example takes says more of the machine's load than of the code.
settings.register_profile("rabbitry", deadline=None)
settings.load_profile("rabbitry")

KILLS_DEFAULT = 12
SAID = "said"


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("simulation")
    group.addoption(
        "--seeds",
        type=int,
        metavar="N",
        help="simulate the seeds 0..N-1 (default: tests/simulation/conftest.py; `make soak`: more)",
    )
    group.addoption(
        "--seed",
        type=int,
        action="append",
        metavar="N",
        help="simulate this seed alone, to replay a failure; may be given several times",
    )
    parser.getgroup("processes").addoption(
        "--kills",
        type=int,
        default=KILLS_DEFAULT,
        metavar="N",
        help=f"how often tests/processes/test_kill_rounds.py kills (default: {KILLS_DEFAULT})",
    )
    parser.getgroup("conformance").addoption(
        "--record-transcripts",
        action="store_true",
        help="write down anew what RabbitMQ says in the conversations of tests/conformance",
    )
    clients = parser.getgroup("clients")
    clients.addoption(
        "--against",
        choices=["rabbitry", "rabbitmq"],
        default="rabbitry",
        help="the broker for tests/clients (default: rabbitry)",
    )
    clients.addoption(
        "--whole-suites",
        action="store_true",
        help="run the clients' own suites with every kind of connection (a quarter of an hour)",
    )


def pytest_configure(config: pytest.Config) -> None:
    if config.option.record_transcripts and getattr(config.option, "numprocesses", None):
        raise pytest.UsageError("--record-transcripts writes files that are of one process: no -n")
    config.pluginmanager.register(FailuresAtOnce(config))
    heed_signals()


def heed_signals() -> None:
    """Have the processes of tests hear Ctrl-C however this one was started.

    A shell has what it starts with `&` ignore SIGINT and SIGQUIT, nohup SIGHUP, and all that is
    started from there inherits it: tests that interrupt somebody waited for ever in CI.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGQUIT, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None, object, object]:
    with bounded(item, "setup"):
        return (yield)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    with bounded(item, "call"):
        return (yield)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, object, object]:
    with bounded(item, "teardown"):
        return (yield)


class FailuresAtOnce:
    """Names each test as it fails: a run that is cut off has then said what was wrong."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        reporter: Any = self._config.pluginmanager.get_plugin("terminalreporter")
        if report.failed and reporter is not None:
            crash = getattr(report.longrepr, "reprcrash", None)
            reporter.ensure_newline()
            reporter.write_line(f"FAILED {report.nodeid} ({report.when}): {crash or 'see below'}")


@pytest.fixture
def say(record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    """Return a function that says a line to whoever reads the end of the run."""
    return lambda line: record_property(SAID, line)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print what tests had to say; a worker has no terminal of its own."""
    reports = [
        report for kind in ("passed", "failed") for report in terminalreporter.getreports(kind)
    ]
    for report in reports:
        for name, line in report.user_properties:
            if name == SAID:
                terminalreporter.write_line(str(line))


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Turn the success of a run in which every test was skipped into "no tests were run"."""
    reporter: Any = session.config.pluginmanager.get_plugin("terminalreporter")
    if exitstatus != pytest.ExitCode.OK or session.config.option.collectonly or reporter is None:
        return
    if not any(reporter.stats.get(kind) for kind in ("passed", "xfailed", "xpassed")):
        session.exitstatus = pytest.ExitCode.NO_TESTS_COLLECTED
