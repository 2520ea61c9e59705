"""What clients do wrong, said to us and to RabbitMQ 3.10: the same codes, scopes, texts and order.

Each scenario is a conversation; the transcripts have to be equal. Where they are not, and are not
to be yet, see test_differences_from_rabbitmq.py.
"""

from __future__ import annotations

import pytest
from support.stages import Scenario, Stage, transcript_of

from rabbitry.wire.frames import method_frame
from rabbitry.wire.methods import (
    BasicAck,
    BasicConsume,
    BasicGet,
    BasicNack,
    BasicPublish,
    BasicQos,
    BasicReject,
    ChannelOpen,
    ExchangeBind,
    ExchangeDeclare,
    ExchangeDelete,
    ExchangeUnbind,
    QueueBind,
    QueueDeclare,
    QueueDelete,
    QueuePurge,
    QueueUnbind,
)

pytestmark = [pytest.mark.processes, pytest.mark.slow]

SCENARIOS: list[Scenario] = []
PUBLISH = method_frame(1, BasicPublish(routing_key="q").encode())


def scenario(conversation: Scenario) -> Scenario:
    SCENARIOS.append(conversation)
    return conversation


# --- declaring again, otherwise -------------------------------------------------------------------


@scenario
def queue_declared_durable_then_not(stage: Stage) -> None:
    client = stage.client()
    client.ask(QueueDeclare(queue=stage.queue, durable=True))
    client.ask(QueueDeclare(queue=stage.queue))


@scenario
def queue_declared_auto_delete_then_not(stage: Stage) -> None:
    client = stage.client()
    client.ask(QueueDeclare(queue=stage.queue, auto_delete=True))
    client.ask(QueueDeclare(queue=stage.queue))


@scenario
def queue_declared_exclusive_then_not(stage: Stage) -> None:
    client = stage.client()
    client.ask(QueueDeclare(queue=stage.queue, exclusive=True))
    client.ask(QueueDeclare(queue=stage.queue))


@scenario
def queue_declared_then_exclusive(stage: Stage) -> None:
    client = stage.declared()
    client.ask(QueueDeclare(queue=stage.queue, exclusive=True))


@scenario
def queue_declared_with_another_mode(stage: Stage) -> None:
    client = stage.client()
    client.ask(QueueDeclare(queue=stage.queue, arguments={"x-queue-mode": "lazy"}))
    client.ask(QueueDeclare(queue=stage.queue))


@scenario
def declared_with_other_arguments_that_mean_nothing(stage: Stage) -> None:
    client = stage.client()
    client.ask(QueueDeclare(queue=stage.queue, arguments={"x-nothing": 1, "nothing": 1}))
    client.ask(QueueDeclare(queue=stage.queue, arguments={"x-nothing": 2}))
    client.ask(ExchangeDeclare(exchange=stage.exchange, arguments={"x-nothing": 1}))
    client.ask(ExchangeDeclare(exchange=stage.exchange))


@scenario
def queue_bound_with_arguments(stage: Stage) -> None:
    client = stage.with_exchange("fanout")
    client.ask(QueueBind(queue=stage.queue, exchange=stage.exchange, arguments={"n": 1}))
    client.ask(QueueUnbind(queue=stage.queue, exchange=stage.exchange))
    client.publish("k", b"still bound", exchange=stage.exchange)
    client.ask(BasicGet(queue=stage.queue, no_ack=True))


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


# --- another connection's own ---------------------------------------------------------------------


def _of_another(stage: Stage) -> None:
    stage.client("owner").ask(QueueDeclare(queue=stage.queue, exclusive=True))


@scenario
def exclusive_queue_of_another_declared(stage: Stage) -> None:
    _of_another(stage)
    stage.client().ask(QueueDeclare(queue=stage.queue, exclusive=True))


@scenario
def exclusive_queue_of_another_declared_passively(stage: Stage) -> None:
    _of_another(stage)
    stage.client().ask(QueueDeclare(queue=stage.queue, passive=True))


@scenario
def exclusive_queue_of_another_bound(stage: Stage) -> None:
    _of_another(stage)
    stage.client().ask(QueueBind(queue=stage.queue, exchange="amq.direct"))


@scenario
def exclusive_queue_of_another_unbound(stage: Stage) -> None:
    owner = stage.client("owner")
    owner.ask(QueueDeclare(queue=stage.queue, exclusive=True))
    stage.client().ask(QueueUnbind(queue=stage.queue, exchange="amq.direct"))  # it was not bound
    owner.ask(QueueBind(queue=stage.queue, exchange="amq.direct"))
    stage.client().ask(QueueUnbind(queue=stage.queue, exchange="amq.direct"))


@scenario
def exclusive_queue_of_another_consumed(stage: Stage) -> None:
    _of_another(stage)
    stage.client().ask(BasicConsume(queue=stage.queue))


@scenario
def exclusive_queue_of_another_got(stage: Stage) -> None:
    _of_another(stage)
    stage.client().ask(BasicGet(queue=stage.queue))


@scenario
def exclusive_queue_of_another_purged(stage: Stage) -> None:
    _of_another(stage)
    stage.client().ask(QueuePurge(queue=stage.queue))


@scenario
def exclusive_queue_of_another_deleted(stage: Stage) -> None:
    _of_another(stage)
    stage.client().ask(QueueDelete(queue=stage.queue))


@scenario
def queue_consumed_exclusively_consumed_again(stage: Stage) -> None:
    client = stage.declared()
    client.ask(BasicConsume(queue=stage.queue, consumer_tag="a", exclusive=True))
    client.ask(BasicConsume(queue=stage.queue, consumer_tag="b"))


@scenario
def queue_consumed_then_exclusively(stage: Stage) -> None:
    client = stage.declared()
    client.ask(BasicConsume(queue=stage.queue, consumer_tag="a"))
    client.ask(BasicConsume(queue=stage.queue, consumer_tag="b", exclusive=True))


# --- what is not there ----------------------------------------------------------------------------


@scenario
def no_queue_to_declare_passively(stage: Stage) -> None:
    stage.client().ask(QueueDeclare(queue=stage.queue, passive=True))


@scenario
def no_queue_to_consume(stage: Stage) -> None:
    stage.client().ask(BasicConsume(queue=stage.queue))


@scenario
def no_queue_to_get(stage: Stage) -> None:
    stage.client().ask(BasicGet(queue=stage.queue))


@scenario
def no_queue_to_purge(stage: Stage) -> None:
    stage.client().ask(QueuePurge(queue=stage.queue))


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
def no_exchange_to_declare_passively(stage: Stage) -> None:
    stage.client().ask(ExchangeDeclare(exchange=stage.exchange, passive=True))


@scenario
def no_exchange_to_publish_to(stage: Stage) -> None:
    client = stage.client()
    client.publish("k", b"a", b"b", b"c", exchange=stage.exchange)
    client.hear()
    client.ask(ChannelOpen())


@scenario
def nothing_declared_that_the_empty_name_stands_for(stage: Stage) -> None:
    client = stage.client(channels=6)
    client.ask(QueueBind(exchange="amq.direct"), channel=1)
    client.ask(QueueUnbind(exchange="amq.direct"), channel=2)
    client.ask(BasicConsume(), channel=3)
    client.ask(BasicGet(), channel=4)
    client.ask(QueuePurge(), channel=5)
    client.ask(QueueDelete(), channel=6)


@scenario
def nothing_declared_and_the_empty_name_passive(stage: Stage) -> None:
    stage.client().ask(QueueDeclare(passive=True))


@scenario
def deleting_what_is_not_there(stage: Stage) -> None:
    client = stage.client()
    client.ask(QueueDelete(queue=stage.queue), ExchangeDelete(exchange=stage.exchange))
    client.ask(QueueUnbind(queue=stage.queue, exchange="amq.direct"))
    client.ask(ExchangeUnbind(destination=stage.exchange, source="amq.direct"))


# --- what is not allowed --------------------------------------------------------------------------


@scenario
def reserved_names(stage: Stage) -> None:
    client = stage.client(channels=2)
    client.ask(QueueDeclare(queue=f"amq.{stage.queue}"), channel=1)
    client.ask(ExchangeDeclare(exchange=f"amq.{stage.exchange}"), channel=2)


@scenario
def reserved_names_passively(stage: Stage) -> None:
    client = stage.client(channels=2)
    client.ask(QueueDeclare(queue=f"amq.{stage.queue}", passive=True), channel=1)
    client.ask(ExchangeDeclare(exchange=f"amq.{stage.exchange}", passive=True), channel=2)


@scenario
def default_exchange_declared_and_deleted(stage: Stage) -> None:
    client = stage.client(channels=3)
    client.ask(ExchangeDeclare(exchange=""), channel=1)
    client.ask(ExchangeDeclare(exchange="", passive=True), channel=2)
    client.ask(ExchangeDelete(exchange=""), channel=3)


@scenario
def default_exchange_bound(stage: Stage) -> None:
    client = stage.declared(channels=4)
    client.ask(QueueBind(queue=stage.queue, exchange=""), channel=1)
    client.ask(QueueUnbind(queue=stage.queue, exchange=""), channel=2)
    client.ask(ExchangeBind(destination="", source="amq.direct"), channel=3)
    client.ask(ExchangeUnbind(destination="amq.direct", source=""), channel=4)


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
def consumer_tag_used_twice(stage: Stage) -> None:
    client = stage.declared()
    client.ask(BasicConsume(queue=stage.queue, consumer_tag="t"))
    client.ask(BasicConsume(queue=stage.queue, consumer_tag="t"))
    client.hear_end()


@scenario
def delete_if_unused_and_if_empty(stage: Stage) -> None:
    client = stage.filled(b"a", channels=3)
    client.ask(QueueDelete(queue=stage.queue, if_empty=True))
    client.ask(BasicConsume(queue=stage.queue, consumer_tag="c"), channel=2, hear=2)
    client.ask(QueueDelete(queue=stage.queue, if_unused=True), channel=3)


@scenario
def exchange_deleted_if_unused(stage: Stage) -> None:
    client = stage.with_exchange("fanout")
    client.ask(QueueBind(queue=stage.queue, exchange=stage.exchange))
    client.ask(ExchangeDelete(exchange=stage.exchange, if_unused=True))
    client.ask(ChannelOpen())
    client.ask(QueueUnbind(queue=stage.queue, exchange=stage.exchange))
    client.ask(ExchangeDelete(exchange=stage.exchange, if_unused=True))


# --- acknowledging --------------------------------------------------------------------------------


@scenario
def unknown_delivery_tags(stage: Stage) -> None:
    client = stage.client(channels=5)
    client.ask(BasicAck(7), channel=1)
    client.ask(BasicNack(7), channel=2)
    client.ask(BasicReject(7), channel=3)
    client.ask(BasicAck(7, multiple=True), channel=4)
    client.ask(BasicNack(7, multiple=True), channel=5)


@scenario
def tag_acknowledged_twice(stage: Stage) -> None:
    client = stage.filled(b"a", b"b")
    client.ask(BasicGet(queue=stage.queue))
    client.ask(BasicAck(1), BasicAck(1), hear=1)


@scenario
def tag_acknowledged_that_was_delivered_without_need(stage: Stage) -> None:
    client = stage.filled(b"a")
    client.ask(BasicGet(queue=stage.queue, no_ack=True))
    client.ask(BasicAck(1))


@scenario
def all_of_nothing_acknowledged(stage: Stage) -> None:
    client = stage.client()
    client.send(BasicAck(0, multiple=True), BasicNack(0, multiple=True))
    client.ask(BasicQos(prefetch_count=1))


@scenario
def tag_zero_alone_acknowledged(stage: Stage) -> None:
    client = stage.filled(b"a")
    client.ask(BasicGet(queue=stage.queue))
    client.ask(BasicAck(0))


@scenario
def several_acknowledged_through_one_settled_already(stage: Stage) -> None:
    client = stage.filled(b"a", b"b", b"c")
    client.ask(*[BasicGet(queue=stage.queue)] * 3)
    client.send(BasicAck(2))
    client.ask(BasicAck(2, multiple=True))


@pytest.mark.parametrize("conversation", SCENARIOS, ids=lambda one: one.__name__)
def test_we_answer_as_rabbitmq_does(
    conversation: Scenario, rabbitry_port: int, rabbitmq_port: int
) -> None:
    theirs = transcript_of(conversation, rabbitmq_port)
    assert theirs
    assert transcript_of(conversation, rabbitry_port) == theirs
