"""Queues declared, counted, purged and deleted: the same answers as RabbitMQ 3.10 gives."""

from __future__ import annotations

import pytest
from support.beside import Beside, Scenarios
from support.stages import Stage

from rabbitry.wire.methods import (
    BasicCancel,
    BasicConsume,
    BasicGet,
    BasicQos,
    ChannelClose,
    ConfirmSelect,
    ConnectionClose,
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

scenario = Scenarios()


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
def declared_with_other_arguments_that_mean_nothing(stage: Stage) -> None:
    client = stage.client()
    client.ask(QueueDeclare(queue=stage.queue, arguments={"x-nothing": 1, "nothing": 1}))
    client.ask(QueueDeclare(queue=stage.queue, arguments={"x-nothing": 2}))
    client.ask(ExchangeDeclare(exchange=stage.exchange, arguments={"x-nothing": 1}))
    client.ask(ExchangeDeclare(exchange=stage.exchange))


@scenario
def no_queue_to_declare_passively(stage: Stage) -> None:
    stage.client().ask(QueueDeclare(queue=stage.queue, passive=True))


@scenario
def no_queue_to_purge(stage: Stage) -> None:
    stage.client().ask(QueuePurge(queue=stage.queue))


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
def delete_if_unused_and_if_empty(stage: Stage) -> None:
    client = stage.filled(b"a", channels=3)
    client.ask(QueueDelete(queue=stage.queue, if_empty=True))
    client.ask(BasicConsume(queue=stage.queue, consumer_tag="c"), channel=2, hear=2)
    client.ask(QueueDelete(queue=stage.queue, if_unused=True), channel=3)


@scenario
def queue_counts(stage: Stage) -> None:
    client = stage.filled(b"a", b"b", b"c")
    client.ask(QueueDeclare(queue=stage.queue))
    client.ask(BasicGet(queue=stage.queue))
    client.ask(QueueDeclare(queue=stage.queue, passive=True))
    client.ask(BasicQos(prefetch_count=1))
    client.ask(BasicConsume(queue=stage.queue, consumer_tag="c"), hear=2)
    client.ask(QueueDeclare(queue=stage.queue, passive=True))
    client.ask(QueuePurge(queue=stage.queue))
    client.ask(QueuePurge(queue=stage.queue))
    client.ask(QueueDelete(queue=stage.queue), hear=2)
    client.ask(QueueDelete(queue=stage.queue))


@scenario
def delete_counts_what_is_ready(stage: Stage) -> None:
    client = stage.filled(b"a", b"b", b"c")
    client.ask(BasicGet(queue=stage.queue))
    client.ask(QueueDelete(queue=stage.queue))
    client.ask(QueueDeclare(queue=stage.queue))


@scenario
def server_named_queue_and_the_empty_name(stage: Stage) -> None:
    client = stage.client()
    client.ask(QueueDeclare(exclusive=True))
    client.ask(QueueBind(exchange="amq.direct"))
    client.ask(QueueBind(exchange="amq.direct", routing_key=stage.queue))
    client.publish(stage.queue, b"a", exchange="amq.direct")
    client.ask(BasicGet())
    client.ask(QueueUnbind(exchange="amq.direct", routing_key=stage.queue))
    client.publish(stage.queue, b"a", exchange="amq.direct", mandatory=True)
    client.hear()
    client.ask(BasicConsume(consumer_tag="c"))
    client.ask(QueuePurge())
    client.ask(QueueDelete(), hear=2)


@scenario
def declared_passively_is_the_queue_meant(stage: Stage) -> None:
    client = stage.declared()
    client.ask(QueueDeclare(queue=f"{stage.queue}2"))
    client.ask(QueueDeclare(queue=stage.queue, passive=True))
    client.publish(stage.queue, b"a")
    client.ask(BasicGet())


@scenario
def names_lose_their_line_ends(stage: Stage) -> None:
    client = stage.client()
    client.ask(QueueDeclare(queue=f"{stage.queue}\r\n"))
    client.ask(ExchangeDeclare(exchange=f"{stage.exchange}\n", type="fanout"))
    client.ask(QueueDeclare(queue=stage.queue, passive=True))
    client.ask(ExchangeDeclare(exchange=stage.exchange, passive=True))


@scenario
def nothing_is_answered_that_need_not_be(stage: Stage) -> None:
    client = stage.client()
    client.send(QueueDeclare(queue=stage.queue, no_wait=True))
    client.send(ExchangeDeclare(exchange=stage.exchange, type="fanout", no_wait=True))
    client.send(QueueBind(queue=stage.queue, exchange=stage.exchange, no_wait=True))
    client.send(ExchangeBind(destination=stage.exchange, source="amq.fanout", no_wait=True))
    client.send(ExchangeUnbind(destination=stage.exchange, source="amq.fanout", no_wait=True))
    client.send(QueuePurge(queue=stage.queue, no_wait=True), ConfirmSelect(no_wait=True))
    client.send(BasicConsume(queue=stage.queue, consumer_tag="c", no_wait=True))
    client.send(BasicCancel(consumer_tag="c", no_wait=True))
    client.ask(QueueDeclare(queue=stage.queue, passive=True))
    client.send(ExchangeDelete(exchange=stage.exchange, no_wait=True))
    client.send(QueueDelete(queue=stage.queue, no_wait=True))
    client.ask(QueueDeclare(queue=stage.queue, passive=True))


@scenario
def auto_delete_queue_goes_with_its_last_consumer(stage: Stage) -> None:
    client = stage.client(channels=2)
    client.ask(QueueDeclare(queue=stage.queue, auto_delete=True))
    client.ask(BasicConsume(queue=stage.queue, consumer_tag="a"))
    client.ask(BasicConsume(queue=stage.queue, consumer_tag="b"))
    client.ask(BasicCancel(consumer_tag="a"))
    client.ask(QueueDeclare(queue=stage.queue, passive=True), channel=2)
    client.ask(BasicCancel(consumer_tag="b"))
    client.ask(QueueDeclare(queue=stage.queue, passive=True))


@scenario
def auto_delete_queue_without_consumers_stays(stage: Stage) -> None:
    client = stage.client()
    client.ask(QueueDeclare(queue=stage.queue, auto_delete=True))
    client.publish(stage.queue, b"a")
    client.ask(BasicGet(queue=stage.queue, no_ack=True))
    client.ask(QueueDeclare(queue=stage.queue, auto_delete=True))


@scenario
def queue_name_that_is_long(stage: Stage) -> None:
    client = stage.client()
    name = stage.queue.ljust(255, "x")
    client.ask(QueueDeclare(queue=name), QueueDelete(queue=name))


@scenario
def queue_name_of_any_text(stage: Stage) -> None:
    client = stage.client()
    name = f"{stage.queue} \u00e9\u4e2d\t'\"<>"
    client.ask(QueueDeclare(queue=name), QueueDeclare(queue=f"{name}2", passive=True))


@scenario
def server_named_queues_differ(stage: Stage) -> None:
    client = stage.client()
    client.ask(QueueDeclare(), QueueDeclare())
    names = [method.queue for method in client.heard]
    client.note(f"different: {names[0] != names[1]}")
    client.ask(QueueDeclare(queue=names[0], passive=True))
    client.ask(QueueDeclare(queue=names[0]))


@scenario
def queue_declared_passively_otherwise(stage: Stage) -> None:
    client = stage.declared()
    client.ask(QueueDeclare(queue=stage.queue, passive=True, durable=True, auto_delete=True))


@scenario
def queue_declared_again_by_another(stage: Stage) -> None:
    stage.declared("one", durable=True)
    stage.declared("two", durable=True)


@scenario.each(auto_delete="auto_delete", durable="durable")
def queue_declared_and_then(stage: Stage, value: str) -> None:
    client = stage.declared()
    client.ask(QueueDeclare(queue=stage.queue, **{value: True}))


@scenario
def auto_delete_queue_and_a_consumer_that_goes(stage: Stage) -> None:
    consumer = stage.client("consumer")
    consumer.ask(QueueDeclare(queue=stage.queue, auto_delete=True))
    consumer.ask(BasicConsume(queue=stage.queue, consumer_tag="c"))
    consumer.ask(ChannelClose(200, "bye"))
    stage.client().ask(QueueDeclare(queue=stage.queue, passive=True))


@scenario
def auto_delete_queue_and_a_connection_that_goes(stage: Stage) -> None:
    consumer = stage.client("consumer")
    consumer.ask(QueueDeclare(queue=stage.queue, auto_delete=True))
    consumer.ask(BasicConsume(queue=stage.queue, consumer_tag="c"))
    consumer.ask(ConnectionClose(200, "bye"), channel=0)
    stage.client().ask(QueueDeclare(queue=stage.queue, passive=True))


@scenario
def purge_of_nothing_and_twice(stage: Stage) -> None:
    client = stage.declared()
    client.ask(QueuePurge(queue=stage.queue))
    stage.fill(b"a", b"b")
    client.ask(QueuePurge(queue=stage.queue), QueuePurge(queue=stage.queue))


@scenario
def purge_without_a_name_after_deleting(stage: Stage) -> None:
    client = stage.declared()
    client.ask(QueueDelete())
    client.ask(QueuePurge())


@scenario
def deleted_and_declared_with_other_flags(stage: Stage) -> None:
    client = stage.declared(durable=True)
    client.ask(QueueDelete(queue=stage.queue))
    client.ask(QueueDeclare(queue=stage.queue, auto_delete=True))


@scenario
def counts_of_consumers(stage: Stage) -> None:
    client = stage.declared()
    for tag in ("a", "b"):
        client.ask(BasicConsume(queue=stage.queue, consumer_tag=tag))
        client.ask(QueueDeclare(queue=stage.queue, passive=True))
    client.ask(BasicCancel(consumer_tag="a"))
    client.ask(QueueDeclare(queue=stage.queue, passive=True))


@scenario
def deleted_if_unused_and_if_empty_when_it_is(stage: Stage) -> None:
    client = stage.declared()
    client.ask(QueueDelete(queue=stage.queue, if_unused=True, if_empty=True))


@scenario
def deleted_if_unused_and_if_empty_when_neither(stage: Stage) -> None:
    client = stage.filled(b"a", b"b", channels=2)
    client.ask(BasicQos(prefetch_count=1), channel=2)
    client.ask(BasicConsume(queue=stage.queue, consumer_tag="c"), channel=2, hear=2)
    client.ask(QueueDelete(queue=stage.queue, if_unused=True, if_empty=True))


@scenario
def messages_of_a_durable_queue(stage: Stage) -> None:
    client = stage.filled(b"a", b"b", durable=True)
    client.ask(QueueDeclare(queue=stage.queue, durable=True))
    client.ask(BasicGet(queue=stage.queue))


def test_we_answer_as_rabbitmq_does(conversation: str, beside: Beside) -> None:
    beside.compare("queues", conversation, scenario[conversation])
