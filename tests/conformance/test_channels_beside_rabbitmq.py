"""Channels opened, closed and misused: the same answers as RabbitMQ 3.10 gives."""

from __future__ import annotations

import pytest
from support.beside import Beside, Scenarios
from support.stages import Stage

from rabbitry.wire.methods import (
    AccessRequest,
    BasicAck,
    BasicGetEmpty,
    ChannelClose,
    ChannelCloseOk,
    ChannelFlow,
    ChannelOpen,
    ConfirmSelect,
    QueueDeclare,
    QueueDeclareOk,
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


def test_we_answer_as_rabbitmq_does(conversation: str, beside: Beside) -> None:
    beside.compare("channels", conversation, scenario[conversation])
