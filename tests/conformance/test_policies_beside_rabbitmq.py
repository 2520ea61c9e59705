"""Policies: what they make of the queues and exchanges they name, as in RabbitMQ 3.10.

The policies are those of definitions.json; each names the queues of its conversation.
"""

from __future__ import annotations

import time

import pytest
from support.beside import Beside, Scenarios
from support.raw_client import RawClient
from support.stages import Stage

from rabbitry.wire.methods import (
    BasicConsume,
    BasicGet,
    BasicReject,
    ConfirmSelect,
    ExchangeDeclare,
    QueueBind,
    QueueDeclare,
    QueueDelete,
)
from rabbitry.wire.values import FieldValue

pytestmark = [pytest.mark.processes, pytest.mark.slow]

scenario = Scenarios()


def _emptied(client: RawClient, queue: str, count: int) -> None:
    client.ask(*[BasicGet(queue=queue, no_ack=True)] * count)


@scenario
def governed_ttl(stage: Stage) -> None:
    client = stage.declared()
    client.publish(stage.queue, b"a")
    _emptied(client, stage.queue, 1)


@scenario
def governed_ttl_beside_an_argument(stage: Stage) -> None:
    client = stage.declared(arguments={"x-message-ttl": 60000})
    client.publish(stage.queue, b"a")
    _emptied(client, stage.queue, 1)


@scenario
def governed_length(stage: Stage) -> None:
    client = stage.filled(b"a", b"b", b"c")
    _emptied(client, stage.queue, 3)


@scenario.each(shorter=1, longer=5)
def governed_length_beside_an_argument(stage: Stage, value: int) -> None:
    client = stage.filled(b"a", b"b", b"c", arguments={"x-max-length": value})
    _emptied(client, stage.queue, 3)


@scenario
def governed_bytes(stage: Stage) -> None:
    client = stage.filled(b"aaa", b"bbb")
    _emptied(client, stage.queue, 2)


@scenario
def governed_refusing(stage: Stage) -> None:
    client = stage.declared()
    client.ask(ConfirmSelect())
    for body in (b"a", b"b"):
        client.publish(stage.queue, body)
        client.confirms(1)
    _emptied(client, stage.queue, 2)


@scenario
def governed_refusing_beside_an_argument(stage: Stage) -> None:
    """The queue's own argument holds."""
    client = stage.filled(b"a", b"b", arguments={"x-overflow": "drop-head"})
    _emptied(client, stage.queue, 2)


@scenario
def governed_expires(stage: Stage) -> None:
    client = stage.declared()
    time.sleep(0.12)
    client.ask(QueueDeclare(queue=stage.queue, passive=True))


def _rejected(stage: Stage, arguments: dict[str, FieldValue]) -> None:
    client = stage.client()
    for dead in ("governed-dead", f"{stage.queue}.mine"):
        client.ask(QueueDeclare(queue=dead))
        client.ask(BasicConsume(queue=dead, no_ack=True))
    client.ask(QueueDeclare(queue=stage.queue, arguments=arguments))
    client.publish(stage.queue, b"a")
    client.ask(BasicGet(queue=stage.queue))
    client.ask(BasicReject(1, requeue=False))
    client.ask(QueueDelete(queue="governed-dead"), hear=2)


@scenario
def governed_dead_letters(stage: Stage) -> None:
    _rejected(stage, {})


@scenario
def governed_dead_letters_beside_arguments(stage: Stage) -> None:
    """The queue's own arguments hold."""
    mine = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": f"{stage.queue}.mine"}
    _rejected(stage, mine)


@scenario
def governed_dead_letters_beside_a_routing_key(stage: Stage) -> None:
    arguments = {"x-dead-letter-routing-key": f"{stage.queue}.mine"}
    stage.client().ask(QueueDeclare(queue=stage.queue, arguments=arguments))


@scenario
def governed_delivery_limit(stage: Stage) -> None:
    client = stage.filled(b"a", durable=True, arguments={"x-queue-type": "quorum"})
    client.ask(BasicConsume(queue=stage.queue, consumer_tag="c"), hear=2)
    client.ask(BasicReject(1, requeue=True))
    client.send(BasicReject(2, requeue=True))
    stage.fill(b"b")
    client.hear()


@scenario
def governed_alternate(stage: Stage) -> None:
    client = stage.with_exchange("direct")
    client.ask(QueueBind(queue=stage.queue, exchange="amq.fanout"))
    client.publish("nowhere", b"a", exchange=stage.exchange, mandatory=True)
    _emptied(client, stage.queue, 1)
    client.ask(QueueDelete(queue=stage.queue))


@scenario
def governed_alternate_beside_an_argument(stage: Stage) -> None:
    client = stage.with_exchange("direct", arguments={"alternate-exchange": "amq.direct"})
    client.ask(QueueBind(queue=stage.queue, exchange="amq.fanout"))
    client.publish("nowhere", b"a", exchange=stage.exchange, mandatory=True)
    client.hear()
    client.ask(QueueDelete(queue=stage.queue))


@scenario
def governed_by_the_higher_of_two(stage: Stage) -> None:
    client = stage.filled(b"a", b"b", b"c", b"d")
    _emptied(client, stage.queue, 4)


@scenario
def governed_by_an_operator_too(stage: Stage) -> None:
    client = stage.filled(b"a", b"b", b"c")
    _emptied(client, stage.queue, 3)


@scenario
def governed_by_an_operator_whatever_the_argument(stage: Stage) -> None:
    client = stage.filled(b"a", b"b", b"c", arguments={"x-max-length": 9})
    _emptied(client, stage.queue, 3)


@scenario
def governed_not_being_an_exchange(stage: Stage) -> None:
    client = stage.filled(b"a", b"b")
    _emptied(client, stage.queue, 2)


@scenario
def governed_all_of_one_name(stage: Stage) -> None:
    client = stage.filled(b"a", b"b")
    client.ask(ExchangeDeclare(exchange=stage.exchange, type="direct"))
    other = f"other-{stage.queue}"
    client.ask(QueueDeclare(queue=other))
    client.ask(QueueBind(queue=other, exchange="amq.fanout"))
    client.publish("nowhere", b"c", exchange=stage.exchange, mandatory=True)
    _emptied(client, stage.queue, 2)
    _emptied(client, other, 1)
    client.ask(QueueDelete(queue=other))
    client.ask(QueueDelete(queue=stage.queue))


@scenario
def governed_length_is_no_argument(stage: Stage) -> None:
    """Declared again without it, the queue is the same."""
    client = stage.declared()
    client.ask(QueueDeclare(queue=stage.queue))
    client.ask(QueueDeclare(queue=stage.queue, arguments={"x-max-length": 2}))


def test_we_answer_as_rabbitmq_does(conversation: str, beside: Beside) -> None:
    beside.compare("policies", conversation, scenario[conversation])
