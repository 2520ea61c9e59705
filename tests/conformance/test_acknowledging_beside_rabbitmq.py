"""Getting, acknowledging, giving back: the same flags, places and errors as in RabbitMQ 3.10."""

from __future__ import annotations

import pytest
from support.beside import Beside, Scenarios
from support.stages import Stage

from rabbitry.wire.methods import (
    BasicAck,
    BasicConsume,
    BasicGet,
    BasicNack,
    BasicQos,
    BasicRecover,
    BasicRecoverAsync,
    BasicReject,
    ChannelClose,
    ChannelOpen,
    ConnectionClose,
    Method,
    QueueDeclare,
    QueueDelete,
    QueuePurge,
)

pytestmark = [pytest.mark.processes, pytest.mark.slow]

scenario = Scenarios()


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


@scenario
def get(stage: Stage) -> None:
    client = stage.filled(b"a", b"b", b"c")
    client.ask(*[BasicGet(queue=stage.queue)] * 4)
    client.ask(BasicAck(2), BasicNack(3), BasicGet(queue=stage.queue), hear=1)
    client.ask(BasicReject(1), BasicGet(queue=stage.queue, no_ack=True), hear=1)
    client.ask(BasicNack(4, requeue=False), BasicGet(queue=stage.queue), hear=1)


@scenario
def no_queue_to_get(stage: Stage) -> None:
    stage.client().ask(BasicGet(queue=stage.queue))


@scenario
def requeued_takes_its_place(stage: Stage) -> None:
    client = stage.filled(b"a", b"b", b"c", b"d")
    client.ask(*[BasicGet(queue=stage.queue)] * 3)
    client.send(BasicReject(2), BasicNack(1))
    client.ask(*[BasicGet(queue=stage.queue)] * 3)
    client.send(BasicNack(0, multiple=True))
    client.ask(*[BasicGet(queue=stage.queue)] * 5)


@scenario
def closed_channel_gives_back(stage: Stage) -> None:
    client = stage.filled(b"a", b"b", channels=2)
    client.ask(BasicConsume(queue=stage.queue, consumer_tag="c"), hear=3)
    client.ask(ChannelClose(200, "bye"))
    client.ask(QueueDeclare(queue=stage.queue, passive=True), channel=2)
    client.ask(*[BasicGet(queue=stage.queue)] * 3, channel=2)
    client.ask(ChannelOpen())
    client.ask(BasicGet())


@scenario
def recover(stage: Stage) -> None:
    client = stage.filled(b"a", b"b", b"c")
    client.ask(*[BasicGet(queue=stage.queue)] * 2)
    client.ask(BasicRecover(requeue=True))
    client.ask(*[BasicGet(queue=stage.queue)] * 2)
    client.send(BasicRecoverAsync(requeue=True))
    client.ask(BasicGet(queue=stage.queue))


@scenario
def recover_without_requeue(stage: Stage) -> None:
    client = stage.client()
    client.ask(BasicRecover(requeue=False))
    client.hear_end()


@scenario
def recover_async_without_requeue(stage: Stage) -> None:
    client = stage.client()
    client.ask(BasicRecoverAsync(requeue=False))
    client.hear_end()


@scenario
def tags_count_over_get_and_consume(stage: Stage) -> None:
    client = stage.filled(b"a", b"b", b"c")
    client.ask(BasicGet(queue=stage.queue, no_ack=True))
    client.ask(BasicGet(queue=stage.queue))
    client.ask(BasicConsume(queue=stage.queue, consumer_tag="c"), hear=2)
    client.ask(BasicAck(3, multiple=True), BasicQos(), hear=1)


@scenario
def tags_of_one_channel_mean_nothing_on_another(stage: Stage) -> None:
    client = stage.filled(b"a", channels=2)
    client.ask(BasicGet(queue=stage.queue))
    client.ask(BasicAck(1), channel=2)
    client.ask(QueueDeclare(queue=stage.queue, passive=True))


@scenario
def tags_begin_anew_on_a_reopened_channel(stage: Stage) -> None:
    client = stage.filled(b"a", b"b")
    client.ask(BasicGet(queue=stage.queue))
    client.ask(ChannelClose(200, "bye"))
    client.ask(ChannelOpen())
    client.ask(BasicGet(queue=stage.queue))


@scenario
def acknowledged_out_of_order(stage: Stage) -> None:
    client = stage.filled(b"a", b"b", b"c")
    client.ask(*[BasicGet(queue=stage.queue)] * 3)
    client.send(BasicAck(3), BasicAck(1), BasicAck(2))
    client.ask(BasicAck(3))


@scenario.each(ack=BasicAck(0), nack=BasicNack(0), reject=BasicReject(0))
def tag_zero_of_nothing(stage: Stage, value: Method) -> None:
    stage.client().ask(value)


@scenario.each(ack=BasicAck(5, multiple=True), nack=BasicNack(5, multiple=True))
def several_through_a_tag_to_come(stage: Stage, value: Method) -> None:
    client = stage.filled(b"a", b"b")
    client.ask(*[BasicGet(queue=stage.queue)] * 2)
    client.ask(value)
    client.ask(ChannelOpen())
    client.ask(BasicGet(queue=stage.queue))


@scenario
def everything_given_up(stage: Stage) -> None:
    client = stage.filled(b"a", b"b")
    client.ask(*[BasicGet(queue=stage.queue)] * 2)
    client.send(BasicNack(0, multiple=True, requeue=False))
    client.ask(BasicGet(queue=stage.queue))


@scenario
def acknowledged_after_the_queue_is_gone(stage: Stage) -> None:
    client = stage.filled(b"a")
    client.ask(BasicGet(queue=stage.queue))
    client.ask(QueueDelete(queue=stage.queue))
    client.ask(BasicAck(1), BasicQos(), hear=1)


@scenario
def given_back_after_the_queue_is_gone(stage: Stage) -> None:
    client = stage.filled(b"a")
    client.ask(BasicGet(queue=stage.queue))
    client.ask(QueueDelete(queue=stage.queue))
    client.ask(QueueDeclare(queue=stage.queue))
    client.ask(BasicReject(1), BasicGet(queue=stage.queue), hear=1)


@scenario
def mistake_gives_everything_back(stage: Stage) -> None:
    client = stage.filled(b"a", b"b", channels=2)
    client.ask(*[BasicGet(queue=stage.queue)] * 2)
    client.ask(BasicAck(9))
    client.ask(*[BasicGet(queue=stage.queue)] * 3, channel=2)


@scenario
def lost_connection_gives_everything_back(stage: Stage) -> None:
    first = stage.filled(b"a", b"b")
    first.ask(*[BasicGet(queue=stage.queue)] * 2)
    first.ask(ConnectionClose(200, "bye"), channel=0)
    stage.client().ask(*[BasicGet(queue=stage.queue)] * 3)


@scenario
def requeued_behind_what_was_never_out(stage: Stage) -> None:
    client = stage.filled(b"a", b"b", b"c")
    client.ask(*[BasicGet(queue=stage.queue)] * 2)
    client.send(BasicReject(2))
    client.ask(BasicGet(queue=stage.queue))
    client.send(BasicReject(1))
    client.ask(*[BasicGet(queue=stage.queue)] * 2)


@scenario
def recover_of_nothing(stage: Stage) -> None:
    client = stage.client()
    client.ask(BasicRecover(requeue=True))
    client.ask(BasicRecoverAsync(requeue=True), BasicQos(), hear=1)


@scenario
def recover_of_a_consumer(stage: Stage) -> None:
    client = stage.filled(b"a", b"b")
    client.ask(BasicQos(prefetch_count=2))
    client.ask(BasicConsume(queue=stage.queue, consumer_tag="c"), hear=3)
    client.ask(BasicRecover(requeue=True), hear=0)
    client.hear_in_any_order(3)


@scenario
def recover_gives_to_another_consumer(stage: Stage) -> None:
    client = stage.filled(b"a")
    client.ask(BasicGet(queue=stage.queue))
    other = stage.client("other")
    other.ask(BasicConsume(queue=stage.queue, consumer_tag="c"))
    client.ask(BasicRecover(requeue=True))
    other.hear()


@scenario
def get_counts_what_is_ready(stage: Stage) -> None:
    client = stage.filled(b"a", b"b", b"c")
    client.ask(BasicGet(queue=stage.queue))
    client.ask(BasicReject(1), BasicGet(queue=stage.queue), hear=1)
    client.ask(BasicGet(queue=stage.queue, no_ack=True))


@scenario
def purge_leaves_what_is_owed(stage: Stage) -> None:
    client = stage.filled(b"a", b"b", b"c")
    client.ask(BasicGet(queue=stage.queue))
    client.ask(QueuePurge(queue=stage.queue))
    client.ask(BasicReject(1), BasicGet(queue=stage.queue), hear=1)
    client.ask(BasicAck(2), BasicQos(), hear=1)


@scenario
def delete_if_empty_though_something_is_owed(stage: Stage) -> None:
    client = stage.filled(b"a")
    client.ask(BasicGet(queue=stage.queue))
    client.ask(QueueDelete(queue=stage.queue, if_empty=True))


def test_we_answer_as_rabbitmq_does(conversation: str, beside: Beside) -> None:
    beside.compare("acknowledging", conversation, scenario[conversation])
