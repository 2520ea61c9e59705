"""What is on file of RabbitMQ: complete, without leftovers, and enough of it."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest
from conformance.awaited import AWAITED
from conformance.differences import DIFFERENCE_IN, DIFFERENCES, Difference
from support.beside import CONFORMANCE, TRANSCRIPTS, Beside, Record, Scenarios
from support.stages import Stage

SCENARIOS_MIN = 500
DOCUMENT = Path(__file__).parents[2] / "docs" / "differences-from-rabbitmq.md"
SUBJECTS = sorted(
    path.name.removeprefix("test_").removesuffix("_beside_rabbitmq.py")
    for path in CONFORMANCE.glob("test_*_beside_rabbitmq.py")
)


def scenarios_of(subject: str) -> Scenarios:
    scenarios = importlib.import_module(f"conformance.test_{subject}_beside_rabbitmq").scenario
    assert isinstance(scenarios, Scenarios)
    return scenarios


@pytest.mark.parametrize("subject", SUBJECTS)
def test_every_conversation_is_on_file_and_nothing_else(subject: str) -> None:
    record = Record(subject)
    assert set(record.transcripts) == set(scenarios_of(subject))
    assert all(record.transcripts.values())
    assert record.version.startswith("3.10.")


def test_every_file_is_of_a_subject() -> None:
    assert sorted(path.stem for path in TRANSCRIPTS.glob("*.json")) == SUBJECTS


def test_names_are_used_once_since_they_name_queues_too() -> None:
    names = [name for subject in SUBJECTS for name in scenarios_of(subject)]
    assert len(names) == len(set(names))
    assert len(names) >= SCENARIOS_MIN
    assert AWAITED.keys() | DIFFERENCE_IN.keys() <= set(names)
    assert not AWAITED.keys() & DIFFERENCE_IN.keys()


def test_the_document_lists_just_the_differences_that_are_tried() -> None:
    tried = DOCUMENT.read_text().split("\n## ")[1]
    rows = re.findall(r"^\| (.*?) \| .* \|$", tried, re.M)
    assert rows[2:] == [one.row for one in DIFFERENCES]


class Said:
    """A conversation that writes down what it was given, whatever the broker."""

    def __init__(self, *lines: str) -> None:
        self.lines = lines

    def __call__(self, stage: Stage) -> None:
        stage.transcript.extend(self.lines)


@pytest.fixture
def on_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("support.beside.TRANSCRIPTS", tmp_path)
    record = Record("subject")
    record.transcripts["name"] = ["what RabbitMQ said"]
    record.write()


@pytest.mark.usefixtures("on_file")
def test_what_is_on_file_speaks_for_rabbitmq_where_there_is_none() -> None:
    beside = Beside(0, None, "", {}, {})
    beside.compare("subject", "name", Said("what RabbitMQ said"))
    with pytest.raises(AssertionError):
        beside.compare("subject", "name", Said("something else"))
    with pytest.raises(AssertionError, match="not recorded"):
        beside.compare("subject", "another", Said("what RabbitMQ said"))


@pytest.mark.usefixtures("on_file")
def test_rabbitmq_has_to_say_again_what_is_on_file() -> None:
    beside = Beside(0, 0, "3.10.0", {}, {})
    beside.compare("subject", "name", Said("what RabbitMQ said"))
    with pytest.raises(AssertionError, match="out of date"):
        beside.compare("subject", "name", Said("something else"))


@pytest.mark.usefixtures("on_file")
def test_recording_writes_what_rabbitmq_says_now() -> None:
    Beside(0, 0, "3.10.8", {}, {}, recording=True).compare("subject", "name", Said("new"))
    assert Record("subject").transcripts == {"name": ["new"]}
    assert Record("subject").version == "3.10.8"


@pytest.mark.usefixtures("on_file")
def test_an_awaited_difference_that_is_gone_is_a_failure() -> None:
    beside = Beside(0, None, "", {"name": "not there yet"}, {})
    with pytest.raises(pytest.xfail.Exception, match="not there yet"):
        beside.compare("subject", "name", Said("something else"))
    with pytest.raises(AssertionError, match="take it off"):
        beside.compare("subject", "name", Said("what RabbitMQ said"))


@pytest.mark.usefixtures("on_file")
def test_a_difference_is_just_as_it_is_told() -> None:
    beside = Beside(0, None, "", {}, {"name": Difference("row", "our own", "name")})
    beside.compare("subject", "name", Said("what we say is our own"))
    with pytest.raises(AssertionError):
        beside.compare("subject", "name", Said("something else"))
    with pytest.raises(AssertionError, match="its row"):
        beside.compare("subject", "name", Said("what RabbitMQ said"))
