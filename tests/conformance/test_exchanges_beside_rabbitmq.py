"""Exchanges declared, declared again, deleted: the same answers as RabbitMQ 3.10 gives."""

from __future__ import annotations

from typing import Any

import pytest
from support.beside import Beside, Scenarios
from support.raw_client import RawClient
from support.stages import Stage

from rabbitry.wire.methods import (
    BasicGet,
    ChannelOpen,
    ConfirmSelect,
    ConnectionClose,
    ExchangeBind,
    ExchangeDeclare,
    ExchangeDelete,
    ExchangeUnbind,
    QueueBind,
    QueueDeclare,
    QueueDelete,
    QueueUnbind,
)
from rabbitry.wire.values import FieldValue

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


@scenario.each(
    direct="direct",
    fanout="fanout",
    topic="topic",
    headers="headers",
    empty="",
    capital="Direct",
    plugin="x-delayed-message",
)
def exchange_of_type(stage: Stage, value: str) -> None:
    client = stage.client()
    client.ask(ExchangeDeclare(exchange=stage.exchange, type=value))
    client.hear_end() if client.heard[-1].name == "connection.close" else None


@scenario.each(
    direct="amq.direct",
    fanout="amq.fanout",
    topic="amq.topic",
    headers="amq.headers",
    match="amq.match",
    log="amq.rabbitmq.log",
    trace="amq.rabbitmq.trace",
)
def exchange_that_is_there_from_the_start(stage: Stage, value: str) -> None:
    client = stage.client(channels=2)
    client.ask(ExchangeDeclare(exchange=value, passive=True))
    client.ask(ExchangeDelete(exchange=value), channel=2)


@scenario
def trace_exchange_published_to(stage: Stage) -> None:
    client = stage.client()
    client.publish("k", b"a", exchange="amq.rabbitmq.trace")
    client.hear()


@scenario.each(durable={"durable": True}, auto_delete={"auto_delete": True}, kind={"type": "topic"})
def exchange_declared_again_passively_as(stage: Stage, value: dict[str, Any]) -> None:
    client = stage.client()
    client.ask(ExchangeDeclare(exchange=stage.exchange, type="direct"))
    client.ask(ExchangeDeclare(exchange=stage.exchange, passive=True, **value))


@scenario
def exchange_type_unknown_of_an_exchange_that_is_there(stage: Stage) -> None:
    client = stage.with_exchange("direct")
    client.ask(ExchangeDeclare(exchange=stage.exchange, type="x-nonsense"))
    client.hear_end()


@scenario
def exchange_type_unknown_passively(stage: Stage) -> None:
    client = stage.with_exchange("direct")
    client.ask(ExchangeDeclare(exchange=stage.exchange, type="x-nonsense", passive=True))


@scenario
def reserved_exchange_name_of_an_unknown_type(stage: Stage) -> None:
    client = stage.client()
    client.ask(ExchangeDeclare(exchange=f"amq.{stage.exchange}", type="x-nonsense"))


@scenario
def exchange_deleted_under_its_bindings(stage: Stage) -> None:
    client = stage.with_exchange("fanout")
    client.ask(QueueBind(queue=stage.queue, exchange=stage.exchange))
    client.ask(ExchangeDelete(exchange=stage.exchange))
    client.ask(QueueUnbind(queue=stage.queue, exchange=stage.exchange))
    client.ask(ExchangeDeclare(exchange=stage.exchange, type="fanout"))
    client.publish("k", b"a", exchange=stage.exchange, mandatory=True)
    client.hear()


@scenario
def auto_delete_exchange_never_bound_stays(stage: Stage) -> None:
    client = stage.client()
    client.ask(ExchangeDeclare(exchange=stage.exchange, type="fanout", auto_delete=True))
    client.ask(ExchangeDeclare(exchange=stage.exchange, passive=True))


@scenario
def auto_delete_exchange_bound_to_another_goes(stage: Stage) -> None:
    client = stage.with_exchange("fanout")
    other = f"{stage.exchange}2"
    client.ask(ExchangeDeclare(exchange=other, type="fanout", auto_delete=True))
    client.ask(ExchangeBind(destination=stage.exchange, source=other))
    client.ask(ExchangeUnbind(destination=stage.exchange, source=other))
    client.ask(ExchangeDeclare(exchange=other, passive=True))


@scenario
def auto_delete_exchange_that_is_only_a_destination_stays(stage: Stage) -> None:
    client = stage.with_exchange("fanout")
    other = f"{stage.exchange}2"
    client.ask(ExchangeDeclare(exchange=other, type="fanout", auto_delete=True))
    client.ask(ExchangeBind(destination=other, source=stage.exchange))
    client.ask(ExchangeUnbind(destination=other, source=stage.exchange))
    client.ask(ExchangeDeclare(exchange=other, passive=True))


@scenario
def auto_delete_exchanges_go_one_after_the_other(stage: Stage) -> None:
    client = stage.declared()
    names = [f"{stage.exchange}{number}" for number in range(3)]
    for name in names:
        client.ask(ExchangeDeclare(exchange=name, type="fanout", auto_delete=True))
    client.ask(ExchangeBind(destination=names[1], source=names[0]))
    client.ask(ExchangeBind(destination=names[2], source=names[1]))
    client.ask(QueueBind(queue=stage.queue, exchange=names[2]))
    client.publish("k", b"a", exchange=names[0])
    client.ask(BasicGet(queue=stage.queue, no_ack=True))
    client.ask(QueueDelete(queue=stage.queue))
    for name in names:
        client.ask(ExchangeDeclare(exchange=name, passive=True))
        client.ask(ChannelOpen())


@scenario
def auto_delete_exchange_goes_with_an_exclusive_queue(stage: Stage) -> None:
    owner = stage.client("owner")
    owner.ask(QueueDeclare(queue=stage.queue, exclusive=True))
    owner.ask(ExchangeDeclare(exchange=stage.exchange, type="fanout", auto_delete=True))
    owner.ask(QueueBind(queue=stage.queue, exchange=stage.exchange))
    owner.ask(ConnectionClose(200, "bye"), channel=0)
    stage.client().ask(ExchangeDeclare(exchange=stage.exchange, passive=True))


@scenario
def exchange_deleted_twice_and_if_unused(stage: Stage) -> None:
    client = stage.with_exchange("fanout")
    client.ask(*[ExchangeDelete(exchange=stage.exchange)] * 2)
    client.ask(ExchangeDelete(exchange=stage.exchange, if_unused=True))


@scenario
def exchange_that_is_only_a_destination_is_unused(stage: Stage) -> None:
    client = stage.with_exchange("fanout")
    client.ask(ExchangeBind(destination=stage.exchange, source="amq.fanout"))
    client.ask(ExchangeDelete(exchange=stage.exchange, if_unused=True))


@scenario
def internal_exchange_is_published_to_through_another(stage: Stage) -> None:
    client = stage.with_exchange("fanout", internal=True)
    client.ask(ExchangeBind(destination=stage.exchange, source="amq.direct", routing_key="i"))
    client.ask(QueueBind(queue=stage.queue, exchange=stage.exchange))
    client.publish("i", b"a", exchange="amq.direct")
    client.ask(BasicGet(queue=stage.queue, no_ack=True))


@scenario
def exchange_name_that_is_long(stage: Stage) -> None:
    client = stage.client()
    name = stage.exchange.ljust(255, "x")
    client.ask(ExchangeDeclare(exchange=name, type="fanout"))
    client.ask(ExchangeDelete(exchange=name))


# --- alternate exchanges --------------------------------------------------------------------------


def _with_alternate(stage: Stage, kind: str = "direct", alternate: str = "") -> RawClient:
    """Declare `exchange` with an alternate one of type fanout to which `queue` is bound."""
    client = stage.declared()
    other = alternate or f"{stage.exchange}.other"
    arguments = {"alternate-exchange": other}
    client.ask(ExchangeDeclare(exchange=stage.exchange, type=kind, arguments=arguments))
    if not alternate:
        client.ask(ExchangeDeclare(exchange=other, type="fanout"))
        client.ask(QueueBind(queue=stage.queue, exchange=other))
    return client


@scenario.each(direct="direct", topic="topic", fanout="fanout", headers="headers")
def alternate_exchange_takes_what_is_unroutable(stage: Stage, value: str) -> None:
    client = _with_alternate(stage, value)
    client.publish("k", b"a", exchange=stage.exchange, mandatory=True)
    client.ask(BasicGet(queue=stage.queue, no_ack=True))


@scenario
def alternate_exchange_leaves_what_is_routable(stage: Stage) -> None:
    client = _with_alternate(stage)
    other = f"{stage.queue}2"
    client.ask(QueueDeclare(queue=other))
    client.ask(QueueBind(queue=other, exchange=stage.exchange, routing_key="k"))
    client.publish("k", b"a", exchange=stage.exchange)
    client.ask(BasicGet(queue=other, no_ack=True), BasicGet(queue=stage.queue, no_ack=True))


@scenario
def alternate_exchange_that_is_missing(stage: Stage) -> None:
    client = _with_alternate(stage, alternate=f"{stage.exchange}.nowhere")
    client.publish("k", b"a", exchange=stage.exchange, mandatory=True)
    client.hear()


@scenario
def alternate_exchange_that_routes_nowhere(stage: Stage) -> None:
    client = _with_alternate(stage, alternate="amq.direct")
    client.publish("nowhere", b"a", exchange=stage.exchange, mandatory=True)
    client.hear()


@scenario
def alternate_exchange_that_is_itself(stage: Stage) -> None:
    client = _with_alternate(stage, alternate=stage.exchange)
    client.publish("nowhere", b"a", exchange=stage.exchange, mandatory=True)
    client.hear()


@scenario
def alternate_exchange_of_an_alternate(stage: Stage) -> None:
    client = _with_alternate(stage)
    first = f"{stage.exchange}.first"
    arguments = {"alternate-exchange": stage.exchange}
    client.ask(ExchangeDeclare(exchange=first, type="direct", arguments=arguments))
    client.publish("k", b"a", exchange=first, mandatory=True)
    client.ask(BasicGet(queue=stage.queue, no_ack=True))


@scenario
def alternate_exchange_and_the_confirm(stage: Stage) -> None:
    client = _with_alternate(stage)
    client.ask(ConfirmSelect())
    client.publish("k", b"a", exchange=stage.exchange, mandatory=True)
    client.confirms(1)


@scenario
def alternate_exchange_declared_otherwise(stage: Stage) -> None:
    client = _with_alternate(stage, alternate="amq.direct")
    arguments = {"alternate-exchange": "amq.fanout"}
    client.ask(ExchangeDeclare(exchange=stage.exchange, type="direct", arguments=arguments))


@scenario
def alternate_exchange_left_out(stage: Stage) -> None:
    client = _with_alternate(stage, alternate="amq.direct")
    client.ask(ExchangeDeclare(exchange=stage.exchange, type="direct"))


@scenario.each(number=1, table={"a": 1}, empty="")
def alternate_exchange_that_is_no_name(stage: Stage, value: FieldValue) -> None:
    arguments = {"alternate-exchange": value}
    stage.client().ask(ExchangeDeclare(exchange=stage.exchange, arguments=arguments))


def test_we_answer_as_rabbitmq_does(conversation: str, beside: Beside) -> None:
    beside.compare("exchanges", conversation, scenario[conversation])
