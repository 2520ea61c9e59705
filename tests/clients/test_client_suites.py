"""The real suites of real clients against a real port: nothing fails that RabbitMQ would pass.

The suites come as source distributions from the package index and are run as they are; what is run
of each is told in `support.client_suites`, what RabbitMQ fails too in `failures_of_rabbitmq_too`.

They are not ours to mend, and some of their tests give 0.2 seconds to what a busy machine takes
longer for. So what fails is run once more, alone, and the end of the run says that it was.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.client_suites import SUITES, Outcome, Suite, SuiteRun, SuiteRuns


def _failures_of_rabbitmq_too() -> Any:
    path = Path(__file__).with_name("failures_of_rabbitmq_too.py")
    spec = importlib.util.spec_from_file_location("failures_of_rabbitmq_too", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


LIST = _failures_of_rabbitmq_too()


def unexpected(run: SuiteRun, accepted: dict[str, str]) -> dict[str, str]:
    """Failures that no entry of `accepted` covers."""
    return {
        test: why
        for test, why in run.named("failed").items()
        if not any(test.startswith(name) for name in accepted)
    }


def gone(run: SuiteRun, accepted: dict[str, str]) -> list[str]:
    """Entries that say ALWAYS and yet covered a test that was run, and passed."""
    passed = run.named("passed")
    return [
        name
        for name, reason in accepted.items()
        if reason.startswith(LIST.ALWAYS) and any(test.startswith(name) for test in passed)
    ]


def test_only_what_the_list_does_not_cover_is_a_fault() -> None:
    run = SuiteRun(
        1,
        [
            Outcome("t.py::test_one[a]", "failed", "no"),
            Outcome("t.py::test_two", "failed", "why"),
            Outcome("t.py::test_three", "passed", ""),
        ],
        "",
    )
    accepted = {"t.py::test_one": LIST.SOMETIMES, "t.py::test_three": LIST.ALWAYS + "broken"}
    assert unexpected(run, accepted) == {"t.py::test_two": "why"}
    assert gone(run, accepted) == ["t.py::test_three"]


def test_every_suite_has_its_list() -> None:
    assert sorted(LIST.FAILURES) == sorted(suite.name for suite in SUITES)
    for reasons in LIST.FAILURES.values():
        assert all(why.startswith((LIST.ALWAYS, LIST.SOMETIMES)) for why in reasons.values())


@pytest.mark.processes
@pytest.mark.parametrize("suite", SUITES, ids=lambda suite: suite.name)
def test_own_suite_of_the_client(
    suite: Suite, suite_runs: SuiteRuns, against: str, say: Callable[[str], None]
) -> None:
    run = suite_runs.result(suite)
    accepted = LIST.FAILURES[suite.name]
    summary = run.output.strip().splitlines()[-1] if run.output.strip() else "(no output)"
    say(f"{suite.name} against {against}: {summary}")
    assert run.exit_code in (0, 1), run.output[-3000:]
    faults = unexpected(run, accepted)
    if faults:
        passed = suite_runs.again(suite, list(faults)).named("passed")
        for test in sorted(faults.keys() & passed.keys()):
            why = faults.pop(test).partition("\n")[0]
            say(f"{suite.name}: passed only when run once more, alone: {test}: {why}")
    assert not faults, "\n".join(f"{test}: {why}" for test, why in faults.items())
    assert len(run.named("passed")) >= suite.passed_min
    if against == "rabbitmq":
        assert not gone(run, accepted)
