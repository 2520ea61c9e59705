"""Dead letters: where they go, what is written on them, what goes round, as in RabbitMQ 3.10."""

from __future__ import annotations

import time
from typing import Any

import pytest
from support.beside import Beside, Scenarios
from support.raw_client import RawClient
from support.stages import Stage

from rabbitry.wire.frames import content_properties
from rabbitry.wire.methods import (
    BasicAck,
    BasicConsume,
    BasicGet,
    BasicNack,
    BasicProperties,
    BasicQos,
    BasicReject,
    ChannelClose,
    ChannelOpen,
    ConfirmSelect,
    ExchangeDeclare,
    QueueBind,
    QueueDeclare,
    QueueDelete,
    QueuePurge,
    QueueUnbind,
    TxCommit,
    TxSelect,
)
from rabbitry.wire.values import FieldValue

pytestmark = [pytest.mark.processes, pytest.mark.slow]

scenario = Scenarios()
SOON_MS = 20


def _dead(stage: Stage, **arguments: Any) -> RawClient:
    """Declare `queue`, its dead letters going to `queue`.dead, which is consumed."""
    client = stage.client()
    dead = f"{stage.queue}.dead"
    client.ask(QueueDeclare(queue=dead))
    named = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": dead}
    named |= {name.replace("_", "-"): value for name, value in arguments.items()}
    client.ask(QueueDeclare(queue=stage.queue, arguments=named))
    client.ask(BasicConsume(queue=dead, consumer_tag="dead", no_ack=True))
    return client


@scenario
def rejected(stage: Stage) -> None:
    client = _dead(stage)
    client.publish(stage.queue, b"a")
    client.ask(BasicGet(queue=stage.queue))
    client.ask(BasicReject(1, requeue=False))


@scenario
def several_rejected(stage: Stage) -> None:
    client = _dead(stage)
    client.publish(stage.queue, b"a", b"b", b"c")
    client.ask(*[BasicGet(queue=stage.queue)] * 3)
    client.ask(BasicNack(3, multiple=True, requeue=False), hear=3)


@scenario
def requeued_is_not_dead(stage: Stage) -> None:
    client = _dead(stage)
    client.publish(stage.queue, b"a")
    client.ask(BasicGet(queue=stage.queue))
    client.ask(BasicReject(1, requeue=True), BasicGet(queue=stage.queue), hear=1)


@scenario
def expired_by_the_queue(stage: Stage) -> None:
    client = _dead(stage, x_message_ttl=SOON_MS)
    client.publish(stage.queue, b"a", b"b")
    client.hear(2)


@scenario
def expired_by_itself_loses_its_expiration(stage: Stage) -> None:
    client = _dead(stage)
    properties = BasicProperties(expiration=str(SOON_MS), headers={"mine": 1}, priority=3)
    client.publish(stage.queue, b"a", properties=properties)
    client.hear()


@scenario
def rejected_keeps_no_expiration_either(stage: Stage) -> None:
    client = _dead(stage)
    client.publish(stage.queue, b"a", properties=BasicProperties(expiration="60000"))
    client.ask(BasicGet(queue=stage.queue))
    client.ask(BasicReject(1, requeue=False))


@scenario
def expired_at_once_is_a_dead_letter(stage: Stage) -> None:
    client = _dead(stage, x_message_ttl=0)
    client.publish(stage.queue, b"a")
    client.hear()


@scenario
def dropped_for_the_length(stage: Stage) -> None:
    client = _dead(stage, x_max_length=1)
    client.publish(stage.queue, b"a", b"b", b"c")
    client.hear(2)


@scenario
def refused_for_the_length_is_no_dead_letter(stage: Stage) -> None:
    client = _dead(stage, x_max_length=1, x_overflow="reject-publish")
    client.ask(ConfirmSelect())
    client.publish(stage.queue, b"a")
    client.confirms(1)
    client.publish(stage.queue, b"b")
    client.confirms(1)


@scenario
def refused_and_a_dead_letter(stage: Stage) -> None:
    client = _dead(stage, x_max_length=1, x_overflow="reject-publish-dlx")
    client.publish(stage.queue, b"a", b"b")
    client.hear()


@scenario
def purged_and_deleted_are_not_dead(stage: Stage) -> None:
    client = _dead(stage)
    client.publish(stage.queue, b"a")
    client.ask(QueuePurge(queue=stage.queue))
    client.publish(stage.queue, b"b")
    client.ask(QueueDelete(queue=stage.queue))
    client.ask(QueueDeclare(queue=f"{stage.queue}.dead", passive=True))


@scenario
def acknowledged_is_not_dead(stage: Stage) -> None:
    client = _dead(stage)
    client.publish(stage.queue, b"a")
    client.ask(BasicGet(queue=stage.queue))
    client.ask(BasicAck(1), BasicQos(prefetch_count=1), hear=1)


@scenario
def its_own_routing_key_where_none_is_given(stage: Stage) -> None:
    client = stage.client()
    client.ask(ExchangeDeclare(exchange=stage.exchange, type="topic"))
    client.ask(QueueDeclare(queue=f"{stage.queue}.dead"))
    dead = QueueBind(queue=f"{stage.queue}.dead", exchange=stage.exchange, routing_key="#")
    client.ask(dead)
    client.ask(
        QueueDeclare(queue=stage.queue, arguments={"x-dead-letter-exchange": stage.exchange})
    )
    client.ask(QueueBind(queue=stage.queue, exchange="amq.direct", routing_key=stage.queue + "k"))
    client.ask(BasicConsume(queue=f"{stage.queue}.dead", consumer_tag="dead", no_ack=True))
    client.publish(stage.queue + "k", b"a", exchange="amq.direct")
    client.ask(BasicGet(queue=stage.queue))
    client.ask(BasicReject(1, requeue=False))


@scenario
def exchange_that_is_missing_takes_them(stage: Stage) -> None:
    client = stage.filled(b"a", b"b", arguments={"x-dead-letter-exchange": stage.exchange})
    client.ask(BasicGet(queue=stage.queue))
    client.ask(BasicReject(1, requeue=False), BasicGet(queue=stage.queue), hear=1)


@scenario
def exchange_that_comes_later(stage: Stage) -> None:
    client = stage.filled(b"a", arguments={"x-dead-letter-exchange": stage.exchange})
    client.ask(ExchangeDeclare(exchange=stage.exchange, type="fanout"))
    client.ask(QueueDeclare(queue=f"{stage.queue}.dead"))
    client.ask(QueueBind(queue=f"{stage.queue}.dead", exchange=stage.exchange))
    client.ask(BasicConsume(queue=f"{stage.queue}.dead", consumer_tag="dead", no_ack=True))
    client.ask(BasicGet(queue=stage.queue))
    client.ask(BasicReject(1, requeue=False))


@scenario
def twice_from_one_queue(stage: Stage) -> None:
    """Published again with its headers, it is counted again."""
    client = _dead(stage)
    client.publish(stage.queue, b"a")
    client.ask(BasicGet(queue=stage.queue))
    client.ask(BasicReject(1, requeue=False))
    for tag in (3, 5):
        properties, _ = BasicProperties.decode(content_properties(client.contents[-1]), 0)
        client.publish(stage.queue, b"a", properties=properties)
        client.ask(BasicGet(queue=stage.queue))
        client.ask(BasicReject(tag, requeue=False))


@scenario
def for_two_reasons_from_one_queue(stage: Stage) -> None:
    client = _dead(stage, x_max_length=1)
    client.publish(stage.queue, b"a")
    client.ask(BasicGet(queue=stage.queue))
    client.ask(BasicReject(1, requeue=False))
    properties, _ = BasicProperties.decode(content_properties(client.contents[-1]), 0)
    client.publish(stage.queue, b"a", properties=properties)
    client.publish(stage.queue, b"b")
    client.hear()


def _chain(stage: Stage, last: dict[str, FieldValue]) -> RawClient:
    """Declare `queue`, whose rejected go to `queue`2, whose expired go on."""
    client = stage.client()
    second, third = f"{stage.queue}2", f"{stage.queue}3"
    for name, arguments in (
        (third, last),
        (second, {"x-message-ttl": SOON_MS, "x-dead-letter-exchange": ""}),
        (stage.queue, {"x-dead-letter-exchange": ""}),
    ):
        if name != third:
            following = third if name == second else second
            arguments = {**arguments, "x-dead-letter-routing-key": following}
        client.ask(QueueDeclare(queue=name, arguments=arguments))
    return client


@scenario
def from_queue_to_queue(stage: Stage) -> None:
    client = _chain(stage, {})
    client.ask(BasicConsume(queue=f"{stage.queue}3", consumer_tag="dead", no_ack=True))
    properties = BasicProperties(headers={"mine": "x"}, message_id="m", delivery_mode=2)
    client.publish(stage.queue, b"a", properties=properties)
    client.ask(BasicGet(queue=stage.queue))
    client.ask(BasicReject(1, requeue=False))


@scenario
def round_and_round_where_it_was_rejected(stage: Stage) -> None:
    """RabbitMQ turns the history over as it goes round, and takes the second round for a cycle."""
    back = {"x-message-ttl": 1, "x-dead-letter-exchange": ""}
    client = _chain(stage, {**back, "x-dead-letter-routing-key": stage.queue})
    client.ask(BasicConsume(queue=stage.queue, consumer_tag="c"))
    client.publish(stage.queue, b"a")
    client.hear()
    client.ask(BasicReject(1, requeue=False))
    client.send(BasicReject(2, requeue=False))
    time.sleep(0.3)
    for name in (stage.queue, f"{stage.queue}2", f"{stage.queue}3"):
        client.ask(QueueDeclare(queue=name, passive=True))


@scenario
def round_without_a_rejection_is_dropped(stage: Stage) -> None:
    """A cycle in which messages only expire ends where it closes."""
    client = stage.client()
    one, two = stage.queue, f"{stage.queue}2"
    for name, other in ((one, two), (two, one)):
        arguments = {
            "x-message-ttl": 1,
            "x-dead-letter-exchange": "",
            "x-dead-letter-routing-key": other,
        }
        client.ask(QueueDeclare(queue=name, arguments=arguments))
    client.publish(one, b"a")
    time.sleep(0.2)
    client.ask(QueueDeclare(queue=one, passive=True))
    client.ask(QueueDeclare(queue=two, passive=True))


@scenario
def to_the_same_queue_after_expiry_is_dropped(stage: Stage) -> None:
    arguments = {"x-message-ttl": 1, "x-dead-letter-exchange": ""}
    client = stage.filled(b"a", arguments=arguments)
    time.sleep(0.2)
    client.ask(QueueDeclare(queue=stage.queue, passive=True))


@scenario
def to_the_same_queue_after_a_rejection(stage: Stage) -> None:
    client = stage.filled(b"a", arguments={"x-dead-letter-exchange": ""})
    client.ask(BasicConsume(queue=stage.queue, consumer_tag="c"), hear=2)
    client.ask(BasicReject(1, requeue=False))
    client.ask(BasicReject(2, requeue=False))


@scenario
def to_an_exchange_with_an_alternate(stage: Stage) -> None:
    client = stage.client()
    dead = f"{stage.queue}.dead"
    client.ask(QueueDeclare(queue=dead))
    client.ask(QueueBind(queue=dead, exchange="amq.fanout"))
    alternate = {"alternate-exchange": "amq.fanout"}
    client.ask(ExchangeDeclare(exchange=stage.exchange, type="direct", arguments=alternate))
    client.ask(
        QueueDeclare(queue=stage.queue, arguments={"x-dead-letter-exchange": stage.exchange})
    )
    client.ask(BasicConsume(queue=dead, consumer_tag="dead", no_ack=True))
    client.publish(stage.queue, b"a")
    client.ask(BasicGet(queue=stage.queue))
    client.ask(BasicReject(1, requeue=False))
    client.ask(QueueUnbind(queue=dead, exchange="amq.fanout"))


@scenario
def dead_letter_with_copies(stage: Stage) -> None:
    """CC is used again where no routing key is given; BCC is not written on it."""
    client = stage.client()
    dead = f"{stage.queue}.dead"
    client.ask(QueueDeclare(queue=dead))
    client.ask(ExchangeDeclare(exchange=stage.exchange, type="direct"))
    client.ask(QueueBind(queue=dead, exchange=stage.exchange, routing_key="copy"))
    client.ask(
        QueueDeclare(queue=stage.queue, arguments={"x-dead-letter-exchange": stage.exchange})
    )
    client.ask(BasicConsume(queue=dead, consumer_tag="dead", no_ack=True))
    headers = {"CC": ["copy", "other"], "BCC": ["blind"]}
    client.publish(stage.queue, b"a", properties=BasicProperties(headers=headers))
    client.ask(BasicGet(queue=stage.queue))
    client.ask(BasicReject(1, requeue=False))


@scenario
def dead_letter_with_copies_and_a_key_of_its_own(stage: Stage) -> None:
    client = _dead(stage)
    headers = {"CC": ["copy", "other"]}
    client.publish(stage.queue, b"a", properties=BasicProperties(headers=headers))
    client.ask(BasicGet(queue=stage.queue))
    client.ask(BasicReject(1, requeue=False))


@scenario
def headers_that_look_like_a_history(stage: Stage) -> None:
    client = _dead(stage)
    headers = {"x-death": "nonsense", "x-first-death-queue": "mine"}
    client.publish(stage.queue, b"a", properties=BasicProperties(headers=headers))
    client.ask(BasicGet(queue=stage.queue))
    client.ask(BasicReject(1, requeue=False))


@scenario
def rejected_by_a_consumer_in_a_transaction(stage: Stage) -> None:
    client = _dead(stage)
    client.publish(stage.queue, b"a")
    client.ask(TxSelect())
    client.ask(BasicGet(queue=stage.queue))
    client.send(BasicReject(1, requeue=False))
    client.ask(TxCommit())
    client.hear()


@scenario
def requeued_by_a_closed_channel_is_not_dead(stage: Stage) -> None:
    client = _dead(stage)
    client.publish(stage.queue, b"a")
    client.ask(BasicGet(queue=stage.queue))
    client.ask(ChannelClose(200, "bye"))
    client.ask(ChannelOpen())
    client.ask(BasicGet(queue=stage.queue))


def test_we_answer_as_rabbitmq_does(conversation: str, beside: Beside) -> None:
    beside.compare("dead_lettering", conversation, scenario[conversation])
