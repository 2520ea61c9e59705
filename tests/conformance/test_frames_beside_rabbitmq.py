"""Frames that are wrong, and how RabbitMQ 3.10 and we end a connection over them."""

from __future__ import annotations

import pytest
from support.beside import Beside, Scenarios
from support.stages import Stage

from rabbitry.wire.frames import frame_head, method_frame
from rabbitry.wire.methods import BasicGet, BasicPublish, BasicQos, QueueDeclare

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


def _declare_frame(channel: int = 1) -> bytes:
    return method_frame(channel, QueueDeclare(queue="frames").encode())


@scenario
def frame_of_the_size_agreed(stage: Stage) -> None:
    """A frame's size counts its head of seven bytes and its end."""
    client = stage.client(frame_max=4096)
    client.ask(QueueDeclare(queue=stage.queue))
    head = method_frame(1, BasicPublish(routing_key=stage.queue).encode())
    header = frame_head.pack(2, 1, 14) + b"\x00\x3c\x00\x00" + (4088).to_bytes(8, "big")
    body = frame_head.pack(3, 1, 4088) + bytes(4088) + b"\xce"
    client.write(head + header + b"\x00\x00\xce" + body)
    client.ask(BasicGet(queue=stage.queue, no_ack=True))


@scenario.each(one=4089, eight=4096, nine=4097)
def frame_larger_than_agreed_by(stage: Stage, value: int) -> None:
    client = stage.client(frame_max=4096)
    client.write(frame_head.pack(3, 1, value) + bytes(value) + b"\xce")
    client.hear()


@scenario
def empty_method_frame(stage: Stage) -> None:
    client = stage.client()
    client.write(frame_head.pack(1, 1, 0) + b"\xce")
    client.hear()


@scenario
def method_frame_cut_short(stage: Stage) -> None:
    client = stage.client()
    client.write(method_frame(1, QueueDeclare(queue="q").encode()[:9]))
    client.hear()


@scenario
def method_frame_with_something_behind(stage: Stage) -> None:
    client = stage.client()
    client.write(method_frame(1, BasicQos().encode() + b"more"))
    client.hear()


@scenario.each(class_=b"\x03\xe7\x00\x0a", method=b"\x00\x32\x03\xe7")
def method_that_nobody_knows(stage: Stage, value: bytes) -> None:
    client = stage.client()
    client.write(method_frame(1, value))
    client.hear()


@scenario
def heartbeats_are_not_answered(stage: Stage) -> None:
    client = stage.client()
    client.write((frame_head.pack(8, 0, 0) + b"\xce") * 3)
    client.ask(QueueDeclare(queue=stage.queue))


@scenario
def heartbeat_with_a_payload(stage: Stage) -> None:
    client = stage.client()
    client.write(frame_head.pack(8, 0, 2) + b"ab\xce")
    client.hear()


@scenario
def heartbeat_in_the_middle_of_a_content(stage: Stage) -> None:
    client = stage.declared()
    head = method_frame(1, BasicPublish(routing_key=stage.queue).encode())
    header = frame_head.pack(2, 1, 14) + b"\x00\x3c\x00\x00" + (2).to_bytes(8, "big")
    heartbeat = frame_head.pack(8, 0, 0) + b"\xce"
    body = frame_head.pack(3, 1, 1) + b"a\xce"
    client.write(head + heartbeat + header + b"\x00\x00\xce" + body + heartbeat + body)
    client.ask(BasicGet(queue=stage.queue, no_ack=True))


@scenario
def another_channel_in_the_middle_of_a_content(stage: Stage) -> None:
    client = stage.declared(channels=2)
    head = method_frame(1, BasicPublish(routing_key=stage.queue).encode())
    header = frame_head.pack(2, 1, 14) + b"\x00\x3c\x00\x00" + (2).to_bytes(8, "big")
    client.write(head + header + b"\x00\x00\xce" + frame_head.pack(3, 1, 1) + b"a\xce")
    client.ask(QueueDeclare(queue=stage.queue), channel=2)
    client.write(frame_head.pack(3, 1, 1) + b"b\xce")
    client.ask(BasicGet(queue=stage.queue, no_ack=True))


@scenario
def contents_of_two_channels_interleaved(stage: Stage) -> None:
    client = stage.declared(channels=2)
    head = BasicPublish(routing_key=stage.queue).encode()
    header = b"\x00\x3c\x00\x00" + (2).to_bytes(8, "big") + b"\x00\x00"
    for channel in (1, 2):
        client.write(method_frame(channel, head))
    for channel in (1, 2):
        client.write(frame_head.pack(2, channel, 14) + header + b"\xce")
    for channel, part in ((2, b"x"), (1, b"a"), (1, b"b"), (2, b"y")):
        client.write(frame_head.pack(3, channel, 1) + part + b"\xce")
        if part == b"b":
            client.ask(BasicGet(queue=stage.queue, no_ack=True))
    client.ask(BasicGet(queue=stage.queue, no_ack=True), channel=2)


@scenario
def body_in_empty_and_small_frames(stage: Stage) -> None:
    client = stage.declared()
    head = method_frame(1, BasicPublish(routing_key=stage.queue).encode())
    header = frame_head.pack(2, 1, 14) + b"\x00\x3c\x00\x00" + (3).to_bytes(8, "big")
    client.write(head + header + b"\x00\x00\xce")
    for part in (b"a", b"", b"b", b"c"):
        client.write(frame_head.pack(3, 1, len(part)) + part + b"\xce")
    client.ask(BasicGet(queue=stage.queue, no_ack=True))


@scenario
def content_written_byte_by_byte(stage: Stage) -> None:
    client = stage.declared()
    head = method_frame(1, BasicPublish(routing_key=stage.queue).encode())
    header = frame_head.pack(2, 1, 14) + b"\x00\x3c\x00\x00" + (2).to_bytes(8, "big")
    for byte in head + header + b"\x00\x00\xce" + frame_head.pack(3, 1, 2) + b"ab\xce":
        client.write(bytes([byte]))
    client.ask(BasicGet(queue=stage.queue, no_ack=True))


@scenario
def many_methods_in_one_write(stage: Stage) -> None:
    client = stage.client()
    client.write(_declare_frame() * 5)
    client.hear(5)


@scenario
def channel_zero_with_a_content(stage: Stage) -> None:
    client = stage.client()
    client.write(frame_head.pack(3, 0, 2) + b"ab\xce")
    client.hear()


@scenario
def header_frame_too_short(stage: Stage) -> None:
    client = stage.client()
    client.write(PUBLISH + frame_head.pack(2, 1, 4) + b"\x00\x3c\x00\x00\xce")
    client.hear()


@scenario
def header_with_another_weight(stage: Stage) -> None:
    client = stage.declared()
    head = method_frame(1, BasicPublish(routing_key=stage.queue).encode())
    header = frame_head.pack(2, 1, 14) + b"\x00\x3c\x00\x07" + (0).to_bytes(8, "big")
    client.write(head + header + b"\x00\x00\xce")
    client.hear_or(BasicGet(queue=stage.queue, no_ack=True))


@scenario
def table_that_cannot_be_read(stage: Stage) -> None:
    client = stage.client()
    arguments = b"\x00\x00\x00\x03\x01a?"
    client.write(method_frame(1, b"\x00\x32\x00\x0a\x00\x00\x01q\x00" + arguments))
    client.hear()


@scenario
def body_longer_than_its_header_says(stage: Stage) -> None:
    """RabbitMQ reads body frames on that channel for ever."""
    client = stage.client(channels=2)
    header = frame_head.pack(2, 1, 14) + b"\x00\x3c\x00\x00" + (1).to_bytes(8, "big")
    client.write(PUBLISH + header + b"\x00\x00\xce" + frame_head.pack(3, 1, 2) + b"ab\xce")
    client.ask(QueueDeclare(queue=stage.queue), channel=2)


def test_we_answer_as_rabbitmq_does(conversation: str, beside: Beside) -> None:
    beside.compare("frames", conversation, scenario[conversation])
