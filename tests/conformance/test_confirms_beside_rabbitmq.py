"""Publisher confirms: which, for what, and after what, as RabbitMQ 3.10 sends them."""

from __future__ import annotations

import pytest
from support.beside import Beside, Scenarios
from support.stages import Stage

from rabbitry.wire.methods import (
    BasicProperties,
    ConfirmSelect,
    ExchangeDeclare,
    QueueBind,
    QueueDeclare,
    QueueDelete,
)

pytestmark = [pytest.mark.processes, pytest.mark.slow]

scenario = Scenarios()


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


def test_we_answer_as_rabbitmq_does(conversation: str, beside: Beside) -> None:
    beside.compare("confirms", conversation, scenario[conversation])
