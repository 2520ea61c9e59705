"""Conversations held with us and with RabbitMQ, and RabbitMQ's half of them on file.

Each subject is a module test_SUBJECT_beside_rabbitmq.py with its `Scenarios`; what RabbitMQ says in
each of them is kept in transcripts/SUBJECT.json. Where RabbitMQ 3.10 is installed, it has to say
just that again, so that the file is never out of date; where it is not, the file speaks for it.
`pytest tests/conformance --record-transcripts` writes the files again.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from conformance.differences import Difference
from support.stages import PATIENCE_S, Scenario, Stage, transcript_of

CONFORMANCE = Path(__file__).parents[1] / "conformance"
TRANSCRIPTS = CONFORMANCE / "transcripts"
PATIENCE_FOR_AWAITED_S = 2.0


class Scenarios(dict[str, Scenario]):
    """The conversations of one subject by name; a decorator that adds one."""

    def __call__(self, conversation: Scenario) -> Scenario:
        self._add(conversation.__name__, conversation)
        return conversation

    def each(self, **values: Any) -> Callable[[Callable[[Stage, Any], None]], None]:
        """Add the decorated conversation once for each value, under its name and the value's."""

        def add(conversation: Callable[[Stage, Any], None]) -> None:
            for name, value in values.items():
                self._add(f"{conversation.__name__}_{name}", partial(conversation, value=value))

        return add

    def _add(self, name: str, conversation: Scenario) -> None:
        assert name not in self, f"two conversations are called {name}"
        self[name] = conversation


class Record:
    """What RabbitMQ said in the conversations of one subject, on file."""

    def __init__(self, subject: str) -> None:
        self.path = TRANSCRIPTS / f"{subject}.json"
        content = json.loads(self.path.read_text()) if self.path.exists() else {}
        self.version: str = content.get("rabbitmq", "")
        self.transcripts: dict[str, list[str]] = content.get("transcripts", {})

    def write(self) -> None:
        """Write the file, in the order of the names."""
        content = {"rabbitmq": self.version, "transcripts": dict(sorted(self.transcripts.items()))}
        self.path.parent.mkdir(exist_ok=True)
        self.path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n")


class Beside:
    """Compares: one of our nodes with RabbitMQ, or with what is on file where there is none."""

    def __init__(
        self,
        our_port: int,
        their_port: int | None,
        their_version: str,
        awaited: dict[str, str],
        differences: dict[str, Difference],
        *,
        recording: bool = False,
    ) -> None:
        self._our_port = our_port
        self._their_port = their_port
        self._their_version = their_version
        self._awaited = awaited
        self._differences = differences
        self._recording = recording

    def compare(self, subject: str, name: str, conversation: Scenario) -> None:
        """Have the conversation; fail where the transcripts differ, unless that is known."""
        theirs = self._said_by_rabbitmq(subject, name, conversation)
        assert theirs, "a conversation in which nothing is said compares nothing"
        if name in self._awaited:
            self._compare_awaited(name, conversation, theirs)
            return
        ours = transcript_of(name, conversation, self._our_port)
        difference = self._differences.get(name)
        if difference is None:
            assert ours == theirs
            return
        assert ours != theirs, f"{name} is as RabbitMQ has it now: its row in differences.py goes"
        only_ours = [line for line in ours if line not in theirs]
        assert any(re.search(difference.ours, line) for line in only_ours), ours

    def _compare_awaited(self, name: str, conversation: Scenario, theirs: list[str]) -> None:
        try:
            ours = transcript_of(name, conversation, self._our_port, PATIENCE_FOR_AWAITED_S)
        except Exception as error:  # a conversation that breaks off is not the one they had
            ours = [repr(error)]
        assert ours != theirs, f"{name} is as RabbitMQ has it now: take it off the list AWAITED"
        pytest.xfail(self._awaited[name])

    def _said_by_rabbitmq(self, subject: str, name: str, conversation: Scenario) -> list[str]:
        record = Record(subject)
        recorded = record.transcripts.get(name)
        if self._their_port is None:
            assert recorded is not None, f"{name} is not recorded: --record-transcripts"
            return recorded
        said = transcript_of(name, conversation, self._their_port, PATIENCE_S)
        if self._recording:
            record.version = self._their_version
            record.transcripts[name] = said
            record.write()
        else:
            assert said == recorded, f"{record.path.name} is out of date: --record-transcripts"
        return said
