"""Frames that are wrong, and how RabbitMQ 3.10 and we end a connection over them."""

from __future__ import annotations

import pytest
from support.beside import Beside, Scenarios
from support.stages import Stage

from rabbitry.wire.frames import frame_head, method_frame
from rabbitry.wire.methods import BasicPublish, BasicQos

pytestmark = [pytest.mark.processes, pytest.mark.slow]

scenario = Scenarios()
PUBLISH = method_frame(1, BasicPublish(routing_key="q").encode())


@scenario
def body_frame_out_of_place(stage: Stage) -> None:
    client = stage.client()
    client.write(frame_head.pack(3, 1, 2) + b"ab\xce")
    client.hear()  # the link ends three seconds later, on both


@scenario
def method_frame_in_the_middle_of_a_content(stage: Stage) -> None:
    client = stage.declared()
    client.publish(stage.queue)
    client.write(PUBLISH + method_frame(1, BasicQos().encode()))
    client.hear()  # the link ends three seconds later, on both


@scenario
def frame_without_its_end(stage: Stage) -> None:
    client = stage.client()
    client.write(method_frame(1, BasicQos().encode())[:-1] + b"x")
    client.hear()  # the link ends three seconds later, on both


@scenario
def frame_too_large(stage: Stage) -> None:
    client = stage.client(frame_max=4096)
    client.write(frame_head.pack(1, 1, 5000) + bytes(5000) + b"\xce")
    client.hear()  # the link ends three seconds later, on both


@scenario
def frame_of_an_unknown_type(stage: Stage) -> None:
    client = stage.client()
    client.write(frame_head.pack(5, 1, 3) + b"abc\xce")
    client.hear()


@scenario
def header_of_another_class(stage: Stage) -> None:
    client = stage.client()
    client.write(PUBLISH + frame_head.pack(2, 1, 14) + b"\x00\x32" + bytes(12) + b"\xce")
    client.hear()


@scenario
def header_frame_out_of_place(stage: Stage) -> None:
    client = stage.client()
    client.write(frame_head.pack(2, 1, 14) + b"\x00\x3c" + bytes(12) + b"\xce")
    client.hear()


@scenario
def heartbeat_on_a_channel(stage: Stage) -> None:
    client = stage.client()
    client.write(frame_head.pack(8, 1, 0) + b"\xce")
    client.hear()


@scenario
def string_that_is_no_text(stage: Stage) -> None:
    client = stage.client()
    client.write(method_frame(1, b"\x00\x32\x00\x28\x00\x00\x02\xff\xfe\x00"))
    client.hear()


def test_we_answer_as_rabbitmq_does(conversation: str, beside: Beside) -> None:
    beside.compare("frames", conversation, scenario[conversation])
