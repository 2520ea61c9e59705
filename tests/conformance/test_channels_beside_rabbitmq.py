"""Channels opened, closed and misused: the same answers as RabbitMQ 3.10 gives."""

from __future__ import annotations

import pytest
from support.beside import Beside, Scenarios
from support.stages import Stage

from rabbitry.wire.methods import (
    AccessRequest,
    BasicAck,
    BasicConsumeOk,
    BasicGetEmpty,
    BasicQosOk,
    ChannelClose,
    ChannelCloseOk,
    ChannelFlow,
    ChannelFlowOk,
    ChannelOpen,
    ChannelOpenOk,
    ConfirmSelect,
    ConfirmSelectOk,
    Method,
    QueueBindOk,
    QueueDeclare,
    QueueDeclareOk,
    QueuePurge,
    TxSelect,
)

pytestmark = [pytest.mark.processes, pytest.mark.slow]

scenario = Scenarios()


@scenario
def flow_stopped(stage: Stage) -> None:
    client = stage.client()
    client.ask(ChannelFlow(active=True))
    client.ask(ChannelFlow(active=False))
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
def close_ok_that_nobody_waits_for(stage: Stage) -> None:
    client = stage.client()
    client.ask(ChannelCloseOk())


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
def more_channels_than_agreed(stage: Stage) -> None:
    client = stage.stranger(channel_max=3).open(channels=3)
    client.ask(ChannelOpen(), channel=4)


@scenario
def channel_number_above_the_limit(stage: Stage) -> None:
    client = stage.stranger(channel_max=3).open()
    client.ask(ChannelOpen(), channel=9)


@scenario
def access_request(stage: Stage) -> None:
    stage.client().ask(AccessRequest())


@scenario
def channel_closed_and_opened_again(stage: Stage) -> None:
    client = stage.client()
    for _ in range(3):
        client.ask(ChannelClose(200, "bye"))
        client.ask(ChannelOpen())
    client.ask(QueueDeclare(queue=stage.queue))


@scenario
def channel_closed_twice(stage: Stage) -> None:
    client = stage.client()
    client.ask(ChannelClose(200, "bye"))
    client.ask(ChannelClose(200, "bye"))
    client.hear_end()


@scenario
def channel_closed_before_it_was_opened(stage: Stage) -> None:
    client = stage.client(channels=0)
    client.ask(ChannelClose(200, "bye"))
    client.hear_end()


@scenario
def close_crosses_a_mistake(stage: Stage) -> None:
    client = stage.client()
    client.send(BasicAck(1), ChannelClose(200, "bye"))
    client.hear(2)
    client.ask(ChannelOpen())


@scenario
def close_crosses_a_publish(stage: Stage) -> None:
    client = stage.declared(channels=2)
    client.send(ChannelClose(200, "bye"))
    client.hear()
    client.ask(QueueDeclare(queue=stage.queue, passive=True), channel=2)


@scenario
def mistake_then_everything_else_is_dropped(stage: Stage) -> None:
    client = stage.client()
    client.send(BasicAck(1), QueueDeclare(queue=stage.queue), ChannelFlow(active=True))
    client.hear()
    client.ask(ChannelOpen())
    client.ask(QueueDeclare(queue=stage.queue, passive=True))


@scenario.each(
    queue=QueueDeclare(queue="q"),
    ack=BasicAck(1),
    flow=ChannelFlow(active=True),
    select=TxSelect(),
)
def after_the_channel_was_closed(stage: Stage, value: Method) -> None:
    client = stage.client()
    client.ask(ChannelClose(200, "bye"))
    client.send(value)
    client.hear_end()


@scenario
def flow_asked_to_go_on(stage: Stage) -> None:
    client = stage.client()
    client.ask(ChannelFlow(active=True), ChannelFlow(active=True))


@scenario.each(
    flow_ok=ChannelFlowOk(active=True),
    open_ok=ChannelOpenOk(),
    deliver=BasicGetEmpty(),
    consume_ok=BasicConsumeOk(consumer_tag="c"),
    bind_ok=QueueBindOk(),
    select_ok=ConfirmSelectOk(),
    qos_ok=BasicQosOk(),
)
def answer_that_only_servers_give(stage: Stage, value: Method) -> None:
    client = stage.client()
    client.ask(value)
    client.hear_end()


@scenario
def channel_numbers_far_apart(stage: Stage) -> None:
    client = stage.client(channels=0)
    for channel in (2047, 3, 1000):
        client.ask(ChannelOpen(), channel=channel)
        client.ask(QueueDeclare(queue=stage.queue), channel=channel)


@scenario
def channel_number_just_above_the_limit(stage: Stage) -> None:
    client = stage.client(channels=0)
    client.ask(ChannelOpen(), channel=2048)


@scenario
def channels_closed_make_room(stage: Stage) -> None:
    client = stage.stranger(channel_max=2).open(channels=2)
    client.ask(ChannelClose(200, "bye"), channel=1)
    client.ask(ChannelOpen(), channel=1)
    client.ask(ChannelOpen(), channel=3)


@scenario
def channel_closed_by_the_server_makes_room(stage: Stage) -> None:
    client = stage.stranger(channel_max=1).open(channels=1)
    client.ask(BasicAck(1))
    client.ask(ChannelOpen())


@scenario
def several_channels_answer_each_their_own(stage: Stage) -> None:
    client = stage.client(channels=3)
    for channel in (3, 1, 2):
        client.ask(QueueDeclare(queue=f"{stage.queue}{channel}"), channel=channel)


@scenario.each(
    realm=AccessRequest(realm="/data"),
    all=AccessRequest(realm="x", exclusive=True, passive=True, active=True, write=True, read=True),
)
def access_requested(stage: Stage, value: Method) -> None:
    stage.client().ask(value)


@scenario
def declared_last_is_forgotten_with_the_channel(stage: Stage) -> None:
    client = stage.declared()
    client.ask(ChannelClose(200, "bye"))
    client.ask(ChannelOpen())
    client.ask(QueuePurge())


@scenario
def mistakes_on_two_channels(stage: Stage) -> None:
    client = stage.client(channels=2)
    client.ask(BasicAck(1))
    client.ask(BasicAck(1), channel=2)
    for channel in (1, 2):
        client.ask(ChannelOpen(), channel=channel)


def test_we_answer_as_rabbitmq_does(conversation: str, beside: Beside) -> None:
    beside.compare("channels", conversation, scenario[conversation])
