"""Where we answer otherwise than RabbitMQ 3.10: each a row of the document, and true of both sides.

A difference that goes away fails here too: then its row goes, and its conversation moves to the
scenarios that have to be equal.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from support.stages import Scenario, Stage, transcript_of

from rabbitry.wire.frames import frame_head, method_frame
from rabbitry.wire.methods import (
    ConnectionTuneOk,
    QueueDeclare,
)
from rabbitry.wire.values import FieldValue

Arguments = dict[str, FieldValue]

DOCUMENT = Path(__file__).parents[2] / "docs" / "differences-from-rabbitmq.md"
NOT_IMPLEMENTED = r"connection\.close reply_code=540 .*not implemented yet"


class Difference(NamedTuple):
    """The row's first cell, what is said, and patterns of the last line of each transcript."""

    row: str
    conversation: Scenario
    ours: str
    theirs: str


DIFFERENCES: list[Difference] = []


def difference(row: str, *, ours: str, theirs: str) -> Callable[[Scenario], Scenario]:
    def note(conversation: Scenario) -> Scenario:
        DIFFERENCES.append(Difference(row, conversation, ours, theirs))
        return conversation

    return note


@difference("queue type `stream`", ours="reply_code=541", theirs=r"queue\.declare-ok")
def streams(stage: Stage) -> None:
    arguments: Arguments = {"x-queue-type": "stream"}
    stage.client().ask(QueueDeclare(queue=stage.queue, durable=True, arguments=arguments))


@difference("a method that does not exist", ours="reply_code=503", theirs="the link ended")
def unknown_method(stage: Stage) -> None:
    client = stage.client()
    client.write(method_frame(1, b"\x00\x3c\x03\xe7"))
    client.hear()


@difference("a table that cannot be read", ours="reply_code=501", theirs="the link ended")
def table_that_cannot_be_read(stage: Stage) -> None:
    client = stage.client()
    arguments = b"\x00\x00\x00\x03\x01a?"
    client.write(method_frame(1, b"\x00\x32\x00\x0a\x00\x00\x01q\x00" + arguments))
    client.hear()


@difference("limits out of range in `tune-ok`", ours="reply_code=530", theirs="the link ended")
def limits_out_of_range(stage: Stage) -> None:
    client = stage.stranger()
    client.start()
    client.hear()
    client.send(ConnectionTuneOk(2047, 1_000_000, 0), channel=0)
    client.hear()


@difference("an unknown login mechanism", ours="reply_code=503", theirs="the link ended")
def unknown_mechanism(stage: Stage) -> None:
    client = stage.stranger()
    client.start(mechanism="NONSENSE")
    client.hear()


@difference(
    "a body longer than its header says", ours="reply_code=505", theirs=r"queue\.declare-ok"
)
def body_longer_than_its_header_says(stage: Stage) -> None:
    client = stage.client(channels=2)
    client.write(
        method_frame(1, b"\x00\x3c\x00\x28\x00\x00\x00\x01q\x00")
        + frame_head.pack(2, 1, 14)
        + b"\x00\x3c\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\xce"
        + frame_head.pack(3, 1, 2)
        + b"ab\xce"
    )
    client.ask(QueueDeclare(queue=stage.queue), channel=2)


@pytest.mark.processes
@pytest.mark.slow
@pytest.mark.parametrize("one", DIFFERENCES, ids=lambda one: one.conversation.__name__)
def test_both_sides_are_as_the_document_says(
    one: Difference, rabbitry_port: int, rabbitmq_port: int
) -> None:
    name = one.conversation.__name__
    ours = transcript_of(name, one.conversation, rabbitry_port)[-1]
    theirs = transcript_of(name, one.conversation, rabbitmq_port)[-1]
    assert re.search(one.ours, ours), ours
    assert re.search(one.theirs, theirs), theirs


def test_the_document_lists_just_these() -> None:
    tried = DOCUMENT.read_text().split("\n## ")[1]
    rows = re.findall(r"^\| (.*?) \| .* \|$", tried, re.M)
    assert rows[2:] == [one.row for one in DIFFERENCES]
