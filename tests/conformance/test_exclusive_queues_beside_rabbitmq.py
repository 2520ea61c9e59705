"""Queues that belong to one connection: what others may not do, as with RabbitMQ 3.10."""

from __future__ import annotations

import pytest
from support.beside import Beside, Scenarios
from support.stages import Stage

from rabbitry.wire.methods import (
    BasicConsume,
    BasicGet,
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


def test_we_answer_as_rabbitmq_does(conversation: str, beside: Beside) -> None:
    beside.compare("exclusive_queues", conversation, scenario[conversation])
