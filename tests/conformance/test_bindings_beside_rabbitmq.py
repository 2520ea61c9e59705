"""Bindings of queues and exchanges, and where they lead: as in RabbitMQ 3.10."""

from __future__ import annotations

import pytest
from support.beside import Beside, Scenarios
from support.stages import Stage

from rabbitry.wire.methods import (
    BasicGet,
    ChannelOpen,
    ExchangeBind,
    ExchangeDeclare,
    ExchangeUnbind,
    QueueBind,
    QueueDeclare,
    QueueUnbind,
)

pytestmark = [pytest.mark.processes, pytest.mark.slow]

scenario = Scenarios()


@scenario
def queue_bound_with_arguments(stage: Stage) -> None:
    client = stage.with_exchange("fanout")
    client.ask(QueueBind(queue=stage.queue, exchange=stage.exchange, arguments={"n": 1}))
    client.ask(QueueUnbind(queue=stage.queue, exchange=stage.exchange))
    client.publish("k", b"still bound", exchange=stage.exchange)
    client.ask(BasicGet(queue=stage.queue, no_ack=True))


@scenario
def no_queue_to_bind(stage: Stage) -> None:
    stage.client().ask(QueueBind(queue=stage.queue, exchange="amq.direct"))


@scenario
def no_exchange_to_bind_to(stage: Stage) -> None:
    stage.declared().ask(QueueBind(queue=stage.queue, exchange=stage.exchange))


@scenario
def neither_queue_nor_exchange_to_bind(stage: Stage) -> None:
    stage.client().ask(QueueBind(queue=stage.queue, exchange=stage.exchange))


@scenario
def no_exchange_to_bind_an_exchange_to(stage: Stage) -> None:
    client = stage.client()
    client.ask(ExchangeBind(destination="amq.fanout", source=stage.exchange))
    client.ask(ChannelOpen())
    client.ask(ExchangeBind(destination=stage.exchange, source="amq.fanout"))


@scenario
def default_exchange_bound(stage: Stage) -> None:
    client = stage.declared(channels=4)
    client.ask(QueueBind(queue=stage.queue, exchange=""), channel=1)
    client.ask(QueueUnbind(queue=stage.queue, exchange=""), channel=2)
    client.ask(ExchangeBind(destination="", source="amq.direct"), channel=3)
    client.ask(ExchangeUnbind(destination="amq.direct", source=""), channel=4)


def _routed(stage: Stage, kind: str, binding_keys: list[str], keys: list[str]) -> None:
    client = stage.with_exchange(kind)
    for key in binding_keys:
        client.ask(QueueBind(queue=stage.queue, exchange=stage.exchange, routing_key=key))
    for key in keys:
        client.publish(key, b"m", exchange=stage.exchange, mandatory=True)
        client.ask(BasicGet(queue=stage.queue, no_ack=True), hear=1)
        if client.heard[-1].name == "basic.return":
            client.hear()
    client.ask(QueueDeclare(queue=stage.queue))


@scenario
def direct(stage: Stage) -> None:
    _routed(stage, "direct", ["a", "b", "a"], ["a", "b", "c", ""])


@scenario
def fanout(stage: Stage) -> None:
    _routed(stage, "fanout", ["a", "b"], ["a", "nothing", ""])


@scenario
def topic(stage: Stage) -> None:
    keys = ["a.b", "a.x.b", "a", "q.w", "q.w.e", "z", "", "q.", ".b", "a.b.c", "end.x.end"]
    _routed(stage, "topic", ["a.#.b", "q.*", "#.z", "*.*.end"], keys)


@scenario
def topic_of_nothing(stage: Stage) -> None:
    _routed(stage, "topic", ["#"], ["", "a", "a.b.c"])


@scenario
def exchange_to_exchange(stage: Stage) -> None:
    client = stage.with_exchange("fanout")
    other = f"{stage.exchange}2"
    client.ask(ExchangeDeclare(exchange=other, type="topic", internal=True))
    client.ask(ExchangeBind(destination=other, source=stage.exchange, routing_key="x"))
    client.ask(QueueBind(queue=stage.queue, exchange=other, routing_key="a.*"))
    client.publish("a.b", b"1", exchange=stage.exchange)
    client.ask(BasicGet(queue=stage.queue, no_ack=True))
    client.ask(ExchangeUnbind(destination=other, source=stage.exchange, routing_key="x"))
    client.publish("a.b", b"2", exchange=stage.exchange, mandatory=True)
    client.hear()


def test_we_answer_as_rabbitmq_does(conversation: str, beside: Beside) -> None:
    beside.compare("bindings", conversation, scenario[conversation])
