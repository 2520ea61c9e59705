"""What ends a connection, said to us and to RabbitMQ 3.10: the same codes, texts and order.

Each scenario is a conversation; the transcripts have to be equal. Where they are not, and are not
to be yet, see test_differences_from_rabbitmq.py.
"""

from __future__ import annotations

import pytest
from support.stages import Scenario, Stage, transcript_of

from rabbitry.wire.frames import frame_head, method_frame
from rabbitry.wire.methods import (
    BasicAck,
    BasicCancel,
    BasicGetEmpty,
    BasicPublish,
    BasicQos,
    BasicRecover,
    BasicRecoverAsync,
    ChannelClose,
    ChannelCloseOk,
    ChannelFlow,
    ChannelOpen,
    ConfirmSelect,
    ConnectionOpen,
    QueueDeclare,
    QueueDeclareOk,
)

pytestmark = [pytest.mark.processes, pytest.mark.slow]

SCENARIOS: list[Scenario] = []
PUBLISH = method_frame(1, BasicPublish(routing_key="q").encode())


def scenario(conversation: Scenario) -> Scenario:
    SCENARIOS.append(conversation)
    return conversation


@scenario
def immediate(stage: Stage) -> None:
    client = stage.declared()
    client.publish(stage.queue, b"a", immediate=True)
    client.hear_end()


@scenario
def prefetch_size(stage: Stage) -> None:
    client = stage.client()
    client.ask(BasicQos(prefetch_size=1))
    client.hear_end()


@scenario
def flow_stopped(stage: Stage) -> None:
    client = stage.client()
    client.ask(ChannelFlow(active=True))
    client.ask(ChannelFlow(active=False))
    client.hear_end()


@scenario
def recover_without_requeue(stage: Stage) -> None:
    client = stage.client()
    client.ask(BasicRecover(requeue=False))
    client.hear_end()


@scenario
def recover_async_without_requeue(stage: Stage) -> None:
    client = stage.client()
    client.ask(BasicRecoverAsync(requeue=False))
    client.hear_end()


@scenario
def channel_opened_twice(stage: Stage) -> None:
    client = stage.client()
    client.ask(ChannelOpen())
    client.hear_end()


@scenario
def method_on_a_channel_that_is_not_open(stage: Stage) -> None:
    client = stage.client()
    client.ask(QueueDeclare(), channel=9)
    client.hear_end()


@scenario
def publish_on_a_channel_that_is_not_open(stage: Stage) -> None:
    client = stage.client()
    client.publish(stage.queue, b"a", channel=9)
    client.hear_end()


@scenario
def close_on_a_channel_that_is_not_open(stage: Stage) -> None:
    client = stage.client()
    client.ask(ChannelClose(), channel=9)
    client.hear_end()


@scenario
def method_of_a_server_sent_by_a_client(stage: Stage) -> None:
    client = stage.client()
    client.ask(QueueDeclareOk(stage.queue, 0, 0))
    client.hear_end()


@scenario
def another_method_of_a_server(stage: Stage) -> None:
    client = stage.client()
    client.ask(BasicGetEmpty())
    client.hear_end()


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
def method_of_a_channel_on_channel_zero(stage: Stage) -> None:
    client = stage.client()
    client.ask(QueueDeclare(queue=stage.queue), channel=0)


@scenario
def connection_opened_twice(stage: Stage) -> None:
    client = stage.client()
    client.ask(ConnectionOpen("/"), channel=0)


@scenario
def more_channels_than_agreed(stage: Stage) -> None:
    client = stage.stranger(channel_max=3).open(channels=3)
    client.ask(ChannelOpen(), channel=4)


@scenario
def channel_number_above_the_limit(stage: Stage) -> None:
    client = stage.stranger(channel_max=3).open()
    client.ask(ChannelOpen(), channel=9)


@scenario
def close_ok_that_nobody_waits_for(stage: Stage) -> None:
    client = stage.client()
    client.ask(ChannelCloseOk())


@scenario
def method_of_class_connection_on_a_channel(stage: Stage) -> None:
    client = stage.client()
    client.ask(ConnectionOpen("/"))


@scenario
def string_that_is_no_text(stage: Stage) -> None:
    client = stage.client()
    client.write(method_frame(1, b"\x00\x32\x00\x28\x00\x00\x02\xff\xfe\x00"))
    client.hear()


@scenario
def wrong_password(stage: Stage) -> None:
    client = stage.stranger()
    client.start(password="wrong")
    client.hear_end()


@scenario
def wrong_virtual_host(stage: Stage) -> None:
    client = stage.stranger().open("nowhere", channels=0)
    client.hear_end()


@scenario
def another_protocol(stage: Stage) -> None:
    client = stage.stranger()
    client.write(b"GET / HTTP/1.1\r\n\r\n"[:8])
    try:
        client.hear_end()
    except Exception as error:  # the protocol header is no frame
        stage.transcript.append(type(error).__name__)


@scenario
def closed_channel_goes_on_dropping(stage: Stage) -> None:
    client = stage.client()
    client.send(BasicAck(1), QueueDeclare(queue=stage.queue), ConfirmSelect())
    client.publish("nobody", b"a", mandatory=True)
    client.hear()
    client.ask(ChannelOpen())
    client.ask(QueueDeclare(queue=stage.queue, passive=True))


@scenario
def other_channels_outlive_a_fault(stage: Stage) -> None:
    client = stage.declared(channels=2)
    client.ask(BasicAck(1), channel=1)
    client.ask(QueueDeclare(queue=stage.queue, passive=True), channel=2)


@scenario
def cancel_of_an_unknown_consumer(stage: Stage) -> None:
    stage.client().ask(BasicCancel(consumer_tag="nobody"))


@pytest.mark.parametrize("conversation", SCENARIOS, ids=lambda one: one.__name__)
def test_we_answer_as_rabbitmq_does(
    conversation: Scenario, rabbitry_port: int, rabbitmq_port: int
) -> None:
    theirs = transcript_of(conversation, rabbitmq_port)
    assert theirs
    assert transcript_of(conversation, rabbitry_port) == theirs
