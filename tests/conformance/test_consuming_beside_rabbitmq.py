"""Consumers, their tags, prefetch and end: the same as with RabbitMQ 3.10."""

from __future__ import annotations

import pytest
from support.beside import Beside, Scenarios
from support.stages import Stage

from rabbitry.wire.methods import (
    BasicAck,
    BasicCancel,
    BasicConsume,
    BasicGet,
    BasicNack,
    BasicQos,
    QueueDeclare,
    QueueDelete,
)

pytestmark = [pytest.mark.processes, pytest.mark.slow]

scenario = Scenarios()


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


@scenario
def no_queue_to_consume(stage: Stage) -> None:
    stage.client().ask(BasicConsume(queue=stage.queue))


@scenario
def consumer_tag_used_twice(stage: Stage) -> None:
    client = stage.declared()
    client.ask(BasicConsume(queue=stage.queue, consumer_tag="t"))
    client.ask(BasicConsume(queue=stage.queue, consumer_tag="t"))
    client.hear_end()


@scenario
def prefetch_size(stage: Stage) -> None:
    client = stage.client()
    client.ask(BasicQos(prefetch_size=1))
    client.hear_end()


@scenario
def prefetch(stage: Stage) -> None:
    client = stage.filled(b"a", b"b", b"c", b"d")
    client.ask(BasicQos(prefetch_count=2))
    client.ask(BasicConsume(queue=stage.queue, consumer_tag="c"), hear=3)
    client.ask(QueueDeclare(queue=stage.queue))
    client.ask(BasicAck(1), hear=1)
    client.ask(BasicAck(3, multiple=True), hear=1)
    client.ask(QueueDeclare(queue=stage.queue))


@scenario
def prefetch_is_of_later_consumers(stage: Stage) -> None:
    client = stage.filled(b"a", b"b", b"c")
    client.ask(BasicConsume(queue=stage.queue, consumer_tag="all"), hear=4)
    client.ask(BasicQos(prefetch_count=1))
    client.publish(stage.queue, b"d")
    client.hear()
    client.ask(QueueDeclare(queue=stage.queue))


@scenario
def cancel_keeps_what_is_owed(stage: Stage) -> None:
    client = stage.filled(b"a", b"b")
    client.ask(BasicQos(prefetch_count=1))
    client.ask(BasicConsume(queue=stage.queue, consumer_tag="c"), hear=2)
    client.ask(BasicCancel(consumer_tag="c"))
    client.ask(QueueDeclare(queue=stage.queue))
    client.ask(BasicNack(1), BasicGet(queue=stage.queue), hear=1)
    client.ask(BasicConsume(queue=stage.queue, consumer_tag="c"), hear=2)


@scenario
def consumer_is_told_that_its_queue_is_gone(stage: Stage) -> None:
    consumer = stage.client("consumer")
    other = stage.declared("other")
    consumer.ask(BasicConsume(queue=stage.queue, consumer_tag="c"))
    other.ask(QueueDelete(queue=stage.queue))
    consumer.hear()
    consumer.ask(BasicCancel(consumer_tag="c"))


@scenario
def consumer_that_does_not_understand_is_not_told(stage: Stage) -> None:
    consumer = stage.client("consumer", capabilities=())
    other = stage.declared("other")
    consumer.ask(BasicConsume(queue=stage.queue, consumer_tag="c"))
    other.ask(QueueDelete(queue=stage.queue))
    consumer.ask(BasicQos(prefetch_count=1))


@scenario
def several_consumers_take_turns(stage: Stage) -> None:
    client = stage.declared()
    client.ask(BasicConsume(queue=stage.queue, consumer_tag="a", no_ack=True))
    client.ask(BasicConsume(queue=stage.queue, consumer_tag="b", no_ack=True))
    for body in (b"1", b"2", b"3", b"4"):
        client.publish(stage.queue, body)
        client.hear()


@scenario
def cancel_of_an_unknown_consumer(stage: Stage) -> None:
    stage.client().ask(BasicCancel(consumer_tag="nobody"))


def test_we_answer_as_rabbitmq_does(conversation: str, beside: Beside) -> None:
    beside.compare("consuming", conversation, scenario[conversation])
