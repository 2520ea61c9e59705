"""Publisher confirms: which, for what, and after what, as RabbitMQ 3.10 sends them."""

from __future__ import annotations

import pytest
from support.beside import Beside, Scenarios
from support.stages import Stage

from rabbitry.wire.methods import (
    BasicAck,
    BasicConsume,
    BasicProperties,
    ChannelClose,
    ChannelOpen,
    ConfirmSelect,
    ExchangeDeclare,
    QueueBind,
    QueueDeclare,
    QueueDelete,
)

pytestmark = [pytest.mark.processes, pytest.mark.slow]

scenario = Scenarios()
ROUNDS = 10  # for what goes one way or the other by the speed of a disk


@scenario
def confirms(stage: Stage) -> None:
    client = stage.declared()
    client.publish(stage.queue, b"not numbered")
    client.ask(ConfirmSelect())
    client.ask(ConfirmSelect())
    client.publish(stage.queue, b"a", b"b", b"c")
    client.publish("nobody", b"dropped")
    client.confirms(4)
    client.publish(stage.queue, b"e")
    client.confirms(1)
    client.ask(QueueDeclare(queue=stage.queue))


@scenario
def return_comes_before_its_confirm(stage: Stage) -> None:
    client = stage.client()
    client.ask(ConfirmSelect())
    properties = BasicProperties(content_type="text/plain", headers={"n": 1}, delivery_mode=2)
    client.publish("nobody", b"a", mandatory=True, properties=properties)
    client.hear(2)


@scenario
def confirm_of_several_queues(stage: Stage) -> None:
    client = stage.client()
    client.ask(ExchangeDeclare(exchange=stage.exchange, type="fanout"))
    for number in range(3):
        client.ask(QueueDeclare(queue=f"{stage.queue}{number}"))
        client.ask(QueueBind(queue=f"{stage.queue}{number}", exchange=stage.exchange))
    client.ask(ConfirmSelect())
    client.publish("k", b"a", b"b", exchange=stage.exchange)
    client.confirms(2)
    for number in range(3):
        client.ask(QueueDelete(queue=f"{stage.queue}{number}"))


@scenario
def confirms_of_what_goes_nowhere(stage: Stage) -> None:
    client = stage.client()
    client.ask(ConfirmSelect())
    client.publish("nobody", b"a", b"b")
    client.publish("nobody", b"c", exchange="amq.fanout")
    client.confirms(3)


@scenario
def returns_and_confirms_in_turn(stage: Stage) -> None:
    client = stage.client()
    client.ask(ConfirmSelect())
    for body in (b"a", b"b", b"c"):
        client.publish("nobody", body, mandatory=True)
        client.hear()
        client.confirms(1)


@scenario
def confirms_are_counted_by_channel(stage: Stage) -> None:
    client = stage.declared(channels=2)
    client.ask(ConfirmSelect())
    client.publish(stage.queue, b"a")
    client.confirms(1)
    client.publish(stage.queue, b"b", channel=2)
    client.ask(ConfirmSelect(), channel=2)
    client.publish(stage.queue, b"c", channel=2)
    client.hear()


@scenario
def confirms_are_counted_anew_on_a_reopened_channel(stage: Stage) -> None:
    client = stage.declared()
    client.ask(ConfirmSelect())
    client.publish(stage.queue, b"a")
    client.hear()
    client.ask(ChannelClose(200, "bye"))
    client.ask(ChannelOpen())
    client.ask(ConfirmSelect())
    client.publish(stage.queue, b"b")
    client.hear()


@scenario
def mistake_ends_the_confirms(stage: Stage) -> None:
    client = stage.client()
    client.ask(ConfirmSelect())
    client.publish("k", b"a", exchange=stage.exchange)
    client.hear()
    client.ask(ChannelOpen())


@scenario
def confirm_of_a_persistent_message(stage: Stage) -> None:
    client = stage.declared(durable=True)
    client.ask(ConfirmSelect())
    client.publish(stage.queue, b"a", properties=BasicProperties(delivery_mode=2))
    client.confirms(1)


@scenario
def newer_one_confirmed_before_an_older_one(stage: Stage) -> None:
    client = stage.declared(durable=True)
    client.ask(QueueDeclare(queue=f"{stage.queue}.transient"))
    client.ask(ConfirmSelect())
    persistent = BasicProperties(delivery_mode=2)
    for _ in range(ROUNDS):
        client.publish(stage.queue, b"a", properties=persistent)
        client.publish(f"{stage.queue}.transient", b"b")
        client.confirms(2)
    for _ in range(ROUNDS):
        client.publish(stage.queue, b"a", b"b", properties=persistent)
        client.publish(f"{stage.queue}.transient", b"c", b"d")
        client.publish(stage.queue, b"e", properties=persistent)
        client.publish("nobody", b"f")
        client.confirms(6)
    client.ask(QueueDelete(queue=f"{stage.queue}.transient"))


@scenario
def newer_one_refused_before_an_older_one_is_confirmed(stage: Stage) -> None:
    client = stage.declared(durable=True)
    full = f"{stage.queue}.full"
    client.ask(
        QueueDeclare(queue=full, arguments={"x-max-length": 1, "x-overflow": "reject-publish"})
    )
    client.ask(ConfirmSelect())
    client.publish(full, b"a")
    client.confirms(1)
    persistent = BasicProperties(delivery_mode=2)
    for _ in range(ROUNDS):
        client.publish(stage.queue, b"b", properties=persistent)
        client.publish(full, b"c", b"d")
        client.publish(stage.queue, b"e", properties=persistent)
        client.confirms(4)
    client.ask(QueueDelete(queue=full))


@scenario
def confirm_of_a_message_without_body(stage: Stage) -> None:
    client = stage.declared()
    client.ask(ConfirmSelect())
    client.publish(stage.queue, b"", b"")
    client.confirms(2)


@scenario
def confirm_of_what_a_consumer_takes(stage: Stage) -> None:
    consumer = stage.declared("consumer")
    consumer.ask(BasicConsume(queue=stage.queue, consumer_tag="c", no_ack=True))
    client = stage.client()
    client.ask(ConfirmSelect())
    client.publish(stage.queue, b"a")
    client.confirms(1)
    consumer.hear()


@scenario
def acknowledgement_sent_by_a_publisher(stage: Stage) -> None:
    client = stage.declared()
    client.ask(ConfirmSelect())
    client.publish(stage.queue, b"a")
    client.confirms(1)
    client.ask(BasicAck(1))


@scenario
def confirms_selected_late(stage: Stage) -> None:
    client = stage.declared()
    client.publish(stage.queue, b"a", b"b")
    client.ask(ConfirmSelect())
    client.publish(stage.queue, b"c")
    client.hear()


@scenario
def confirm_of_a_queue_deleted_meanwhile(stage: Stage) -> None:
    client = stage.declared()
    client.ask(ConfirmSelect())
    client.publish(stage.queue, b"a")
    client.confirms(1)
    client.ask(QueueDelete(queue=stage.queue))
    client.publish(stage.queue, b"b")
    client.confirms(1)


def test_we_answer_as_rabbitmq_does(conversation: str, beside: Beside) -> None:
    beside.compare("confirms", conversation, scenario[conversation])
