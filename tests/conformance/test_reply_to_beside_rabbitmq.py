"""Direct reply-to: the pseudo-queue, its answers and its mistakes, as in RabbitMQ 3.10."""

from __future__ import annotations

import pytest
from support.beside import Beside, Scenarios
from support.raw_client import RawClient
from support.stages import Stage

from rabbitry.wire.frames import content_properties
from rabbitry.wire.methods import (
    BasicAck,
    BasicCancel,
    BasicConsume,
    BasicGet,
    BasicProperties,
    ChannelClose,
    ConfirmSelect,
    Method,
    QueueBind,
    QueueDeclare,
    QueueDelete,
    QueuePurge,
    QueueUnbind,
)

pytestmark = [pytest.mark.processes, pytest.mark.slow]

scenario = Scenarios()
REPLY_TO = "amq.rabbitmq.reply-to"


def _asking(stage: Stage, client: RawClient) -> str:
    """Ask through `queue`, answers coming without acknowledgement; return where they go."""
    client.ask(BasicConsume(queue=REPLY_TO, consumer_tag="replies", no_ack=True))
    client.publish(stage.queue, b"?", properties=BasicProperties(reply_to=REPLY_TO))
    server = stage.client("server")
    server.ask(BasicGet(queue=stage.queue, no_ack=True))
    properties, _ = BasicProperties.decode(content_properties(server.contents[-1]), 0)
    assert properties.reply_to
    return properties.reply_to


@scenario
def asked_and_answered(stage: Stage) -> None:
    client = stage.declared("client")
    address = _asking(stage, client)
    server = stage.client("server")
    properties = BasicProperties(correlation_id="1", headers={"a": 1})
    server.publish(address, b"!", b"!!", properties=properties)
    client.hear(2)


@scenario
def answered_with_mandatory_and_confirm(stage: Stage) -> None:
    client = stage.declared("client")
    address = _asking(stage, client)
    server = stage.client("server")
    server.ask(ConfirmSelect())
    server.publish(address, b"!", mandatory=True)
    server.confirms(1)
    client.hear()


@scenario
def answered_after_the_asker_has_cancelled(stage: Stage) -> None:
    client = stage.declared("client")
    address = _asking(stage, client)
    client.ask(BasicCancel(consumer_tag="replies"))
    server = stage.client("server")
    server.publish(address, b"!", mandatory=True)
    server.hear()
    server.ask(QueueDeclare(queue=address, passive=True))


@scenario
def answered_after_the_asker_is_gone(stage: Stage) -> None:
    client = stage.declared("client")
    address = _asking(stage, client)
    client.ask(ChannelClose(200, "bye"))
    server = stage.client("server")
    server.publish(address, b"!", mandatory=True)
    server.hear()


@scenario
def answered_where_nobody_asked(stage: Stage) -> None:
    client = stage.client()
    client.publish(f"{REPLY_TO}.nonsense", b"!", mandatory=True)
    client.hear()


@scenario
def asked_without_listening(stage: Stage) -> None:
    client = stage.declared()
    client.publish(stage.queue, b"?", properties=BasicProperties(reply_to=REPLY_TO))
    client.hear()


@scenario
def asked_on_another_channel_than_listening(stage: Stage) -> None:
    client = stage.declared(channels=2)
    client.ask(BasicConsume(queue=REPLY_TO, consumer_tag="replies", no_ack=True))
    properties = BasicProperties(reply_to=REPLY_TO)
    client.publish(stage.queue, b"?", properties=properties, channel=2)
    client.hear()


@scenario
def answers_to_be_acknowledged(stage: Stage) -> None:
    stage.client().ask(BasicConsume(queue=REPLY_TO, consumer_tag="replies"))


@scenario
def answers_to_be_acknowledged_after_listening(stage: Stage) -> None:
    client = stage.client()
    client.ask(BasicConsume(queue=REPLY_TO, consumer_tag="replies", no_ack=True))
    client.ask(BasicConsume(queue=REPLY_TO, consumer_tag="again"))


@scenario
def listening_twice(stage: Stage) -> None:
    client = stage.client()
    client.ask(BasicConsume(queue=REPLY_TO, consumer_tag="replies", no_ack=True))
    client.ask(BasicConsume(queue=REPLY_TO, consumer_tag="again", no_ack=True))


@scenario
def listening_twice_under_one_tag(stage: Stage) -> None:
    client = stage.client()
    client.ask(*[BasicConsume(queue=REPLY_TO, consumer_tag="replies", no_ack=True)] * 2)


@scenario
def listening_under_a_tag_that_is_used(stage: Stage) -> None:
    client = stage.declared()
    client.ask(BasicConsume(queue=stage.queue, consumer_tag="t"))
    client.ask(BasicConsume(queue=REPLY_TO, consumer_tag="t", no_ack=True))
    client.hear_end()


@scenario
def listening_again_after_cancelling(stage: Stage) -> None:
    client = stage.client()
    client.ask(BasicConsume(queue=REPLY_TO, consumer_tag="a", no_ack=True))
    client.ask(BasicCancel(consumer_tag="a"))
    client.ask(BasicConsume(queue=REPLY_TO, consumer_tag="b", no_ack=True))


@scenario
def listening_without_a_tag(stage: Stage) -> None:
    stage.client().ask(BasicConsume(queue=REPLY_TO, no_ack=True))


@scenario
def reply_queue_declared(stage: Stage) -> None:
    client = stage.client(channels=3)
    client.ask(QueueDeclare(queue=REPLY_TO))
    client.ask(QueueDeclare(queue=REPLY_TO, passive=True), channel=2)
    client.ask(QueueDeclare(queue=f"{REPLY_TO}.nonsense", passive=True), channel=3)


@scenario
def reply_queue_of_an_asker_declared_passively(stage: Stage) -> None:
    client = stage.declared("client")
    address = _asking(stage, client)
    stage.client("server").ask(QueueDeclare(queue=address, passive=True))


@scenario.each(
    get=BasicGet(queue=REPLY_TO),
    purge=QueuePurge(queue=REPLY_TO),
    delete=QueueDelete(queue=REPLY_TO),
    bind=QueueBind(queue=REPLY_TO, exchange="amq.direct"),
    unbind=QueueUnbind(queue=REPLY_TO, exchange="amq.direct"),
)
def reply_queue_used_like_a_queue(stage: Stage, value: Method) -> None:
    stage.client().ask(value)


@scenario
def answer_acknowledged_though_it_need_not_be(stage: Stage) -> None:
    client = stage.declared("client")
    address = _asking(stage, client)
    stage.client("server").publish(address, b"!")
    client.hear()
    client.ask(BasicAck(1))


def test_we_answer_as_rabbitmq_does(conversation: str, beside: Beside) -> None:
    beside.compare("reply_to", conversation, scenario[conversation])
