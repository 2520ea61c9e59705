"""`rabbitry kill`, `start`, `restart`, `rebalance`: what is asked, and what is printed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rabbitry import cli
from rabbitry.runtime import control

Progress = Callable[[str], None]


class Supervisor:
    """Answers what it is told to, after lines of progress."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked: list[control.Request] = []
        self.lines: list[str] = []
        self.answer: dict[str, Any] = {}
        monkeypatch.setattr(control, "ask", self._ask)

    def _ask(
        self, path: Path, request: control.Request, progress: Progress = lambda line: None
    ) -> dict[str, Any]:
        self.asked.append(request)
        for line in self.lines:
            progress(line)
        return self.answer


@pytest.fixture
def supervisor(monkeypatch: pytest.MonkeyPatch) -> Supervisor:
    return Supervisor(monkeypatch)


def test_kill_and_start(supervisor: Supervisor, capsys: pytest.CaptureFixture[str]) -> None:
    supervisor.answer = {"node": "rabbit_1", "pid": 7}
    assert cli.run(["kill", "rabbit_1", "--signal", "STOP"]) == 0
    assert cli.run(["start", "rabbit_1"]) == 0
    assert supervisor.asked == [control.Kill("rabbit_1", "STOP"), control.Start("rabbit_1")]
    out = capsys.readouterr().out
    assert out == "sent SIGSTOP to rabbit_1 (pid 7)\nstarted rabbit_1 (pid 7)\n"


def test_restart_shows_how_it_goes(
    supervisor: Supervisor, capsys: pytest.CaptureFixture[str]
) -> None:
    supervisor.lines, supervisor.answer = ["a: stopping (pid 1)"], {"nodes": ["a", "b"]}
    assert cli.run(["restart", "--all"]) == 0
    assert cli.run(["restart", "a", "b", "--timeout-s", "5"]) == 0
    assert supervisor.asked == [control.Restart([], 600), control.Restart(["a", "b"], 5)]
    assert capsys.readouterr().out == "a: stopping (pid 1)\nrestarted a, b\n" * 2


def test_rebalance_says_what_was_done(
    supervisor: Supervisor, capsys: pytest.CaptureFixture[str]
) -> None:
    supervisor.lines = ["a: 2 queues handed over (b 2)", "each node leads 2 now"]
    assert cli.run(["rebalance"]) == 0
    assert supervisor.asked == [control.Rebalance()]
    assert capsys.readouterr().out == "a: 2 queues handed over (b 2)\neach node leads 2 now\n"


def test_restart_is_told_which(supervisor: Supervisor, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["restart"]) == 2
    assert cli.run(["restart", "a", "--all"]) == 2
    assert supervisor.asked == []
    assert capsys.readouterr().err == (
        "rabbitry: name the nodes to restart, or say --all; `rabbitry status` has their names\n"
        "rabbitry: name the nodes to restart or say --all, not both\n"
    )


def test_the_help_says_when_what_is_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["restart", "--help"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "With --all, who leads is evened out at the end" in shown
    assert cli.run(["rebalance", "--help"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    for what in ("Exclusive queues", "Ctrl-C ends the waiting", "Exit codes: 0", "takes no part"):
        assert what in shown
