"""Exchanges declared, declared again, deleted: the same answers as RabbitMQ 3.10 gives."""

from __future__ import annotations

import pytest
from support.beside import Beside, Scenarios
from support.stages import Stage

from rabbitry.wire.methods import (
    ChannelOpen,
    ExchangeDeclare,
    ExchangeDelete,
    QueueBind,
    QueueDelete,
    QueueUnbind,
)

pytestmark = [pytest.mark.processes, pytest.mark.slow]

scenario = Scenarios()


@scenario
def exchange_declared_of_another_type(stage: Stage) -> None:
    stage.with_exchange("direct").ask(ExchangeDeclare(exchange=stage.exchange, type="topic"))


@scenario
def exchange_declared_durable_after_not(stage: Stage) -> None:
    client = stage.with_exchange("direct")
    client.ask(ExchangeDeclare(exchange=stage.exchange, type="direct", durable=True))


@scenario
def exchange_declared_internal_after_not(stage: Stage) -> None:
    client = stage.with_exchange("direct")
    client.ask(ExchangeDeclare(exchange=stage.exchange, type="direct", internal=True))


@scenario
def exchange_declared_auto_delete_after_not(stage: Stage) -> None:
    client = stage.with_exchange("direct")
    client.ask(ExchangeDeclare(exchange=stage.exchange, type="direct", auto_delete=True))


@scenario
def no_exchange_to_declare_passively(stage: Stage) -> None:
    stage.client().ask(ExchangeDeclare(exchange=stage.exchange, passive=True))


@scenario
def no_exchange_to_publish_to(stage: Stage) -> None:
    client = stage.client()
    client.publish("k", b"a", b"b", b"c", exchange=stage.exchange)
    client.hear()
    client.ask(ChannelOpen())


@scenario
def default_exchange_declared_and_deleted(stage: Stage) -> None:
    client = stage.client(channels=3)
    client.ask(ExchangeDeclare(exchange=""), channel=1)
    client.ask(ExchangeDeclare(exchange="", passive=True), channel=2)
    client.ask(ExchangeDelete(exchange=""), channel=3)


@scenario
def system_exchange_deleted(stage: Stage) -> None:
    stage.client().ask(ExchangeDelete(exchange="amq.topic"))


@scenario
def system_exchange_declared_otherwise(stage: Stage) -> None:
    client = stage.client(channels=2)
    client.ask(ExchangeDeclare(exchange="amq.topic", type="topic", durable=True))
    client.ask(ExchangeDeclare(exchange="amq.topic", type="direct", durable=True))


@scenario
def internal_exchange_published_to(stage: Stage) -> None:
    client = stage.client()
    client.ask(ExchangeDeclare(exchange=stage.exchange, type="fanout", internal=True))
    client.publish("k", b"a", exchange=stage.exchange)
    client.hear()


@scenario
def exchange_type_unknown(stage: Stage) -> None:
    client = stage.client()
    client.ask(ExchangeDeclare(exchange=stage.exchange, type="x-nonsense"))
    client.hear_end()


@scenario
def exchange_deleted_if_unused(stage: Stage) -> None:
    client = stage.with_exchange("fanout")
    client.ask(QueueBind(queue=stage.queue, exchange=stage.exchange))
    client.ask(ExchangeDelete(exchange=stage.exchange, if_unused=True))
    client.ask(ChannelOpen())
    client.ask(QueueUnbind(queue=stage.queue, exchange=stage.exchange))
    client.ask(ExchangeDelete(exchange=stage.exchange, if_unused=True))


@scenario
def auto_delete_exchange_goes_with_its_last_binding(stage: Stage) -> None:
    client = stage.declared()
    client.ask(ExchangeDeclare(exchange=stage.exchange, type="fanout", auto_delete=True))
    client.ask(QueueBind(queue=stage.queue, exchange=stage.exchange))
    client.ask(ExchangeDeclare(exchange=stage.exchange, passive=True))
    client.ask(QueueUnbind(queue=stage.queue, exchange=stage.exchange))
    client.ask(ExchangeDeclare(exchange=stage.exchange, passive=True))


@scenario
def auto_delete_exchange_goes_with_its_last_queue(stage: Stage) -> None:
    client = stage.declared()
    client.ask(ExchangeDeclare(exchange=stage.exchange, type="fanout", auto_delete=True))
    client.ask(QueueBind(queue=stage.queue, exchange=stage.exchange))
    client.ask(QueueDelete(queue=stage.queue))
    client.ask(ExchangeDeclare(exchange=stage.exchange, passive=True))


def test_we_answer_as_rabbitmq_does(conversation: str, beside: Beside) -> None:
    beside.compare("exchanges", conversation, scenario[conversation])
