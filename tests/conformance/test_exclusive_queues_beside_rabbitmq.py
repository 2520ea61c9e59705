"""Queues that belong to one connection: what others may not do, as with RabbitMQ 3.10."""

from __future__ import annotations

import pytest
from support.beside import Beside, Scenarios
from support.stages import Stage

from rabbitry.wire.methods import (
    BasicCancel,
    BasicConsume,
    BasicGet,
    ChannelClose,
    ChannelOpen,
    ConfirmSelect,
    ConnectionClose,
    QueueBind,
    QueueDeclare,
    QueueDelete,
    QueuePurge,
    QueueUnbind,
)

pytestmark = [pytest.mark.processes, pytest.mark.slow]

scenario = Scenarios()


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
def exclusive_queue_goes_with_its_connection(stage: Stage) -> None:
    owner = stage.client("owner")
    owner.ask(QueueDeclare(queue=stage.queue, exclusive=True))
    owner.ask(ConnectionClose(200, "bye"), channel=0)
    stage.client().ask(QueueDeclare(queue=stage.queue, passive=True))


@scenario
def exclusive_queue_is_used_on_any_channel_of_its_connection(stage: Stage) -> None:
    client = stage.client(channels=2)
    client.ask(QueueDeclare(queue=stage.queue, exclusive=True))
    client.ask(QueueDeclare(queue=stage.queue, exclusive=True), channel=2)
    client.ask(BasicConsume(queue=stage.queue, consumer_tag="c"), channel=2)
    # Deleted under its consumer, the two channels would hear of it in either order.
    client.ask(BasicCancel(consumer_tag="c"), channel=2)
    client.ask(QueueDelete(queue=stage.queue), channel=1)


@scenario
def exclusive_queue_outlives_its_channel(stage: Stage) -> None:
    client = stage.client()
    client.ask(QueueDeclare(queue=stage.queue, exclusive=True))
    client.publish(stage.queue, b"a")
    client.ask(ChannelClose(200, "bye"))
    client.ask(ChannelOpen())
    client.ask(BasicGet(queue=stage.queue))


@scenario
def exclusive_queue_of_another_published_to(stage: Stage) -> None:
    owner = stage.client("owner")
    owner.ask(QueueDeclare(queue=stage.queue, exclusive=True))
    other = stage.client("other")
    other.ask(ConfirmSelect())
    other.publish(stage.queue, b"a", mandatory=True)
    other.confirms(1)
    owner.ask(BasicGet(queue=stage.queue))


@scenario
def exclusive_queue_name_is_free_again(stage: Stage) -> None:
    owner = stage.client("owner")
    owner.ask(QueueDeclare(queue=stage.queue, exclusive=True))
    owner.ask(ConnectionClose(200, "bye"), channel=0)
    stage.client("other").ask(QueueDeclare(queue=stage.queue, durable=True))


@scenario
def exclusive_durable_queue_declared_again_as_transient(stage: Stage) -> None:
    """RabbitMQ does not look at durability here."""
    client = stage.client()
    client.ask(QueueDeclare(queue=stage.queue, exclusive=True, durable=True))
    client.ask(QueueDeclare(queue=stage.queue, exclusive=True))


@scenario
def exclusive_queue_of_another_deleted_if_unused(stage: Stage) -> None:
    _of_another(stage)
    client = stage.client(channels=2)
    client.ask(QueueDelete(queue=stage.queue, if_unused=True, if_empty=True))
    client.ask(QueueDeclare(queue=stage.queue, auto_delete=True), channel=2)


@scenario
def queue_that_is_there_declared_exclusively_by_another(stage: Stage) -> None:
    stage.declared("one")
    stage.client("two").ask(QueueDeclare(queue=stage.queue, exclusive=True))


@scenario
def exclusive_consumer_counts_as_one(stage: Stage) -> None:
    client = stage.declared()
    client.ask(BasicConsume(queue=stage.queue, consumer_tag="c", exclusive=True))
    client.ask(QueueDeclare(queue=stage.queue, passive=True))
    client.publish(stage.queue, b"a")
    client.hear()


def test_we_answer_as_rabbitmq_does(conversation: str, beside: Beside) -> None:
    beside.compare("exclusive_queues", conversation, scenario[conversation])
