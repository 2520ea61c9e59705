"""Quorum queues and streams: what is refused, what is counted, as in RabbitMQ 3.10."""

from __future__ import annotations

from typing import Any

import pytest
from support.beside import Beside, Scenarios
from support.raw_client import RawClient
from support.stages import Stage

from rabbitry.wire.methods import (
    BasicAck,
    BasicCancel,
    BasicConsume,
    BasicGet,
    BasicProperties,
    BasicQos,
    BasicReject,
    ConfirmSelect,
    QueueDeclare,
    QueueDelete,
    QueuePurge,
)
from rabbitry.wire.values import FieldValue

pytestmark = [pytest.mark.processes, pytest.mark.slow]

scenario = Scenarios()
QUORUM = {"x-queue-type": "quorum"}


def _quorum(stage: Stage, *bodies: bytes, **arguments: Any) -> RawClient:
    """Return a client that has declared a quorum queue of these messages."""
    named = QUORUM | {name.replace("_", "-"): value for name, value in arguments.items()}
    client = stage.declared(durable=True, arguments=named)
    if bodies:
        stage.fill(*bodies)
    return client


@scenario.each(
    exclusive={"durable": True, "exclusive": True},
    auto_delete={"durable": True, "auto_delete": True},
    transient={},
    transient_exclusive={"exclusive": True},
)
def quorum_queue_declared(stage: Stage, value: dict[str, bool]) -> None:
    stage.client().ask(QueueDeclare(queue=stage.queue, arguments=QUORUM, **value))


@scenario
def quorum_queue_named_by_the_server(stage: Stage) -> None:
    stage.client().ask(QueueDeclare(durable=True, arguments=QUORUM))


@scenario.each(
    max_priority=("x-max-priority", 5),
    mode=("x-queue-mode", "lazy"),
    version=("x-queue-version", 2),
    ttl=("x-message-ttl", 60000),
    expires=("x-expires", 60000),
    length=("x-max-length", 5),
    bytes=("x-max-length-bytes", 500),
    in_memory=("x-max-in-memory-length", 5),
    drop_head=("x-overflow", "drop-head"),
    reject=("x-overflow", "reject-publish"),
    reject_dlx=("x-overflow", "reject-publish-dlx"),
    single_active=("x-single-active-consumer", True),
    delivery_limit=("x-delivery-limit", 5),
    delivery_limit_text=("x-delivery-limit", "5"),
    delivery_limit_negative=("x-delivery-limit", -1),
    dead_letter_exchange=("x-dead-letter-exchange", ""),
    strategy=("x-dead-letter-strategy", "at-most-once"),
    strategy_unknown=("x-dead-letter-strategy", "at-times"),
    group_size=("x-quorum-initial-group-size", 1),
    group_size_zero=("x-quorum-initial-group-size", 0),
    group_size_text=("x-quorum-initial-group-size", "3"),
    leader_locator=("x-queue-leader-locator", "client-local"),
    leader_locator_unknown=("x-queue-leader-locator", "nowhere"),
    max_age=("x-max-age", "1D"),
    segment_size=("x-stream-max-segment-size-bytes", 1000),
    unknown=("x-nonsense", 1),
)
def quorum_queue_with(stage: Stage, value: tuple[str, FieldValue]) -> None:
    arguments = QUORUM | {value[0]: value[1]}
    client = stage.client()
    client.ask(QueueDeclare(queue=stage.queue, durable=True, arguments=arguments))


@scenario
def quorum_queue_declared_again_as_classic(stage: Stage) -> None:
    client = _quorum(stage)
    client.ask(QueueDeclare(queue=stage.queue, durable=True))


@scenario
def quorum_queue_declared_again_as_itself(stage: Stage) -> None:
    client = _quorum(stage)
    client.ask(QueueDeclare(queue=stage.queue, durable=True, arguments=QUORUM))
    client.ask(QueueDeclare(queue=stage.queue, passive=True))


@scenario
def quorum_queue_got_and_acknowledged(stage: Stage) -> None:
    client = _quorum(stage, b"a", b"b")
    client.ask(BasicGet(queue=stage.queue))
    client.send(BasicAck(1))
    client.ask(BasicGet(queue=stage.queue, no_ack=True))
    client.ask(BasicGet(queue=stage.queue))


@scenario
def deliveries_are_counted(stage: Stage) -> None:
    client = _quorum(stage, b"a")
    for tag in (1, 2, 3):
        client.ask(BasicGet(queue=stage.queue))
        client.send(BasicReject(tag, requeue=True))
    client.ask(BasicConsume(queue=stage.queue, consumer_tag="c"), hear=2)


@scenario
def message_with_headers_is_counted_beside_them(stage: Stage) -> None:
    client = _quorum(stage)
    client.ask(ConfirmSelect())
    client.publish(stage.queue, b"a", properties=BasicProperties(headers={"mine": 1}))
    client.confirms(1)
    client.ask(BasicGet(queue=stage.queue))
    client.ask(BasicReject(1, requeue=True), BasicGet(queue=stage.queue), hear=1)


@scenario
def delivered_more_often_than_allowed_is_dropped(stage: Stage) -> None:
    client = _quorum(stage, b"a", x_delivery_limit=1)
    client.ask(BasicConsume(queue=stage.queue, consumer_tag="c"), hear=2)
    client.ask(BasicReject(1, requeue=True))
    client.send(BasicReject(2, requeue=True))
    stage.fill(b"b")
    client.hear()


@scenario
def delivered_more_often_than_allowed_is_a_dead_letter(stage: Stage) -> None:
    dead = f"{stage.queue}.dead"
    client = stage.client()
    client.ask(QueueDeclare(queue=dead))
    client.ask(BasicConsume(queue=dead, consumer_tag="dead", no_ack=True))
    arguments = QUORUM | {
        "x-delivery-limit": 1,
        "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": dead,
    }
    client.ask(QueueDeclare(queue=stage.queue, durable=True, arguments=arguments))
    stage.fill(b"a")
    client.ask(BasicConsume(queue=stage.queue, consumer_tag="c"), hear=2)
    client.ask(BasicReject(1, requeue=True))
    client.ask(BasicReject(2, requeue=True))


@scenario
def rejected_by_a_quorum_queue(stage: Stage) -> None:
    dead = f"{stage.queue}.dead"
    client = stage.client()
    client.ask(QueueDeclare(queue=dead))
    client.ask(BasicConsume(queue=dead, consumer_tag="dead", no_ack=True))
    arguments = QUORUM | {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": dead}
    client.ask(QueueDeclare(queue=stage.queue, durable=True, arguments=arguments))
    stage.fill(b"a")
    client.ask(BasicConsume(queue=stage.queue, consumer_tag="c"), hear=2)
    client.ask(BasicReject(1, requeue=False))


@scenario
def quorum_queue_purged(stage: Stage) -> None:
    client = _quorum(stage, b"a", b"b")
    client.ask(QueuePurge(queue=stage.queue))
    client.ask(BasicGet(queue=stage.queue))


@scenario.each(if_empty={"if_empty": True}, if_unused={"if_unused": True}, plain={})
def quorum_queue_deleted(stage: Stage, value: dict[str, bool]) -> None:
    client = _quorum(stage, b"a")
    client.ask(QueueDelete(queue=stage.queue, **value))


@scenario
def quorum_queue_consumed_with_a_prefetch_of_the_channel(stage: Stage) -> None:
    client = _quorum(stage)
    client.ask(BasicQos(prefetch_count=1, global_=True))
    client.ask(BasicConsume(queue=stage.queue, consumer_tag="c"))
    client.hear_end()


@scenario
def quorum_queue_consumed_exclusively(stage: Stage) -> None:
    client = _quorum(stage)
    client.ask(BasicConsume(queue=stage.queue, consumer_tag="a", exclusive=True))
    client.ask(BasicConsume(queue=stage.queue, consumer_tag="b"))


@scenario
def quorum_queue_of_one_consumer_got(stage: Stage) -> None:
    client = _quorum(stage, b"a", x_single_active_consumer=True)
    client.ask(BasicConsume(queue=stage.queue, consumer_tag="a"), hear=2)
    client.ask(BasicGet(queue=stage.queue))


@scenario
def quorum_queue_consumed_with_a_prefetch(stage: Stage) -> None:
    client = _quorum(stage, b"a", b"b", b"c")
    client.ask(BasicQos(prefetch_count=2))
    client.ask(BasicConsume(queue=stage.queue, consumer_tag="c"), hear=3)
    client.ask(BasicAck(2, multiple=True))
    client.ask(BasicCancel(consumer_tag="c"))


@scenario
def quorum_queue_deleted_under_its_consumer(stage: Stage) -> None:
    consumer = stage.client("consumer")
    client = _quorum(stage)
    consumer.ask(BasicConsume(queue=stage.queue, consumer_tag="c"))
    client.ask(QueueDelete(queue=stage.queue))
    consumer.hear()


@scenario
def full_quorum_queue_drops_its_oldest(stage: Stage) -> None:
    client = _quorum(stage, b"a", b"b", b"c", x_max_length=2)
    client.ask(*[BasicGet(queue=stage.queue, no_ack=True)] * 3)


@scenario.each(
    plain={"durable": True},
    transient={},
    exclusive={"durable": True, "exclusive": True},
    auto_delete={"durable": True, "auto_delete": True},
)
def stream_declared(stage: Stage, value: dict[str, bool]) -> None:
    arguments = {"x-queue-type": "stream"}
    stage.client().ask(QueueDeclare(queue=stage.queue, arguments=arguments, **value))


def test_we_answer_as_rabbitmq_does(conversation: str, beside: Beside) -> None:
    beside.compare("quorum", conversation, scenario[conversation])
