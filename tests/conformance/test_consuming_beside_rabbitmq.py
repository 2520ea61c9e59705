"""Consumers, their tags, prefetch and end: the same as with RabbitMQ 3.10."""

from __future__ import annotations

import pytest
from support.beside import Beside, Scenarios
from support.stages import Stage

from rabbitry.wire.methods import (
    BasicAck,
    BasicCancel,
    BasicCancelOk,
    BasicConsume,
    BasicGet,
    BasicNack,
    BasicQos,
    BasicReject,
    ChannelOpen,
    ConnectionClose,
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


@scenario
def prefetch_of_the_channel_is_shared(stage: Stage) -> None:
    client = stage.filled(b"a", b"b", b"c")
    client.ask(BasicQos(prefetch_count=2, global_=True))
    client.ask(BasicConsume(queue=stage.queue, consumer_tag="x"), hear=3)
    client.ask(BasicConsume(queue=stage.queue, consumer_tag="y"))
    client.ask(QueueDeclare(queue=stage.queue, passive=True))
    client.ask(BasicCancel(consumer_tag="x"))
    client.ask(BasicAck(1))


@scenario
def prefetch_of_the_channel_and_of_the_consumer(stage: Stage) -> None:
    client = stage.filled(b"a", b"b", b"c", b"d")
    client.ask(BasicQos(prefetch_count=3, global_=True))
    client.ask(BasicQos(prefetch_count=1))
    client.ask(BasicConsume(queue=stage.queue, consumer_tag="x"), hear=2)
    client.ask(QueueDeclare(queue=stage.queue, passive=True))
    client.ask(BasicAck(1))


@scenario
def prefetch_of_the_channel_made_larger(stage: Stage) -> None:
    client = stage.filled(b"a", b"b", b"c")
    client.ask(BasicQos(prefetch_count=1, global_=True))
    client.ask(BasicConsume(queue=stage.queue, consumer_tag="x"), hear=2)
    client.ask(BasicQos(prefetch_count=3, global_=True), hear=3)


@scenario
def prefetch_of_the_channel_taken_away(stage: Stage) -> None:
    client = stage.filled(b"a", b"b", b"c")
    client.ask(BasicQos(prefetch_count=1, global_=True))
    client.ask(BasicConsume(queue=stage.queue, consumer_tag="x"), hear=2)
    client.ask(BasicQos(prefetch_count=0, global_=True), hear=3)


@scenario
def prefetch_does_not_bound_what_needs_no_acknowledgement(stage: Stage) -> None:
    client = stage.filled(b"a", b"b", b"c")
    client.ask(BasicQos(prefetch_count=1))
    client.ask(BasicConsume(queue=stage.queue, consumer_tag="x", no_ack=True), hear=4)


@scenario
def prefetch_does_not_bound_get(stage: Stage) -> None:
    client = stage.filled(b"a", b"b", b"c")
    client.ask(BasicQos(prefetch_count=1))
    client.ask(*[BasicGet(queue=stage.queue)] * 3)


@scenario.each(none=0, most=65535)
def prefetch_of(stage: Stage, value: int) -> None:
    client = stage.filled(b"a", b"b")
    client.ask(BasicQos(prefetch_count=value))
    client.ask(BasicConsume(queue=stage.queue, consumer_tag="x"), hear=3)


@scenario
def prefetch_size_zero_and_count(stage: Stage) -> None:
    client = stage.client()
    client.ask(BasicQos(prefetch_size=0, prefetch_count=10), BasicQos(), BasicQos(global_=True))


@scenario
def rejected_makes_room_in_the_prefetch(stage: Stage) -> None:
    client = stage.filled(b"a", b"b")
    client.ask(BasicQos(prefetch_count=1))
    client.ask(BasicConsume(queue=stage.queue, consumer_tag="x"), hear=2)
    client.ask(BasicReject(1, requeue=False))


@scenario
def given_back_comes_again_at_once(stage: Stage) -> None:
    client = stage.filled(b"a", b"b")
    client.ask(BasicQos(prefetch_count=1))
    client.ask(BasicConsume(queue=stage.queue, consumer_tag="x"), hear=2)
    client.ask(BasicNack(1))


@scenario
def given_back_goes_to_the_next_consumer(stage: Stage) -> None:
    client = stage.declared()
    client.ask(BasicQos(prefetch_count=1))
    for tag in ("x", "y"):
        client.ask(BasicConsume(queue=stage.queue, consumer_tag=tag))
    client.publish(stage.queue, b"a")
    client.hear()
    client.ask(BasicNack(1))


@scenario
def consumer_tags_are_made_up(stage: Stage) -> None:
    client = stage.declared()
    client.ask(*[BasicConsume(queue=stage.queue)] * 2)
    client.publish(stage.queue, b"a")
    client.hear()


@scenario
def consumer_tag_used_again_on_another_channel(stage: Stage) -> None:
    client = stage.declared(channels=2)
    client.ask(BasicConsume(queue=stage.queue, consumer_tag="t"))
    client.ask(BasicConsume(queue=stage.queue, consumer_tag="t"), channel=2)


@scenario
def consumer_tag_used_again_after_cancelling(stage: Stage) -> None:
    client = stage.declared()
    for _ in range(2):
        client.ask(BasicConsume(queue=stage.queue, consumer_tag="t"))
        client.ask(BasicCancel(consumer_tag="t"))


@scenario
def consumer_tag_used_twice_on_a_missing_queue(stage: Stage) -> None:
    client = stage.declared()
    client.ask(BasicConsume(queue=stage.queue, consumer_tag="t"))
    client.ask(BasicConsume(queue=f"{stage.queue}.missing", consumer_tag="t"))
    client.hear_end()


@scenario
def consumer_cancelled_on_another_channel(stage: Stage) -> None:
    client = stage.declared(channels=2)
    client.ask(BasicConsume(queue=stage.queue, consumer_tag="t"))
    client.ask(BasicCancel(consumer_tag="t"), channel=2)
    client.publish(stage.queue, b"a")
    client.hear()


@scenario
def consumer_that_does_not_want_its_own(stage: Stage) -> None:
    client = stage.declared()
    client.ask(BasicConsume(queue=stage.queue, consumer_tag="c", no_local=True, no_ack=True))
    client.publish(stage.queue, b"a")
    client.hear()


@scenario
def consumer_told_on_several_channels(stage: Stage) -> None:
    consumers = [stage.client(name) for name in ("one", "two")]
    other = stage.declared()
    for consumer in consumers:
        consumer.ask(BasicConsume(queue=stage.queue, consumer_tag="c"))
    other.ask(QueueDelete(queue=stage.queue))
    for consumer in consumers:
        consumer.hear()


@scenario
def consumer_of_an_exclusive_queue_is_told_nothing_when_its_owner_goes(stage: Stage) -> None:
    owner = stage.client("owner")
    owner.ask(QueueDeclare(queue=stage.queue, exclusive=True))
    owner.ask(BasicConsume(queue=stage.queue, consumer_tag="c"))
    owner.ask(ConnectionClose(200, "bye"), channel=0)


@scenario
def cancelled_by_the_server_and_owed(stage: Stage) -> None:
    consumer = stage.client("consumer")
    client = stage.filled(b"a")
    consumer.ask(BasicConsume(queue=stage.queue, consumer_tag="c"), hear=2)
    client.ask(QueueDelete(queue=stage.queue))
    consumer.hear()
    consumer.ask(BasicAck(1), BasicQos(), hear=1)
    consumer.ask(BasicAck(1))


@scenario
def cancelled_by_a_client_that_says_ok(stage: Stage) -> None:
    client = stage.declared()
    client.send(BasicCancelOk(consumer_tag="c"))
    client.ask(QueueDeclare(queue=stage.queue))


@scenario
def consumed_by_the_name_declared_last(stage: Stage) -> None:
    client = stage.filled(b"a")
    client.ask(BasicConsume(consumer_tag="c"), hear=2)


@scenario
def delete_if_unused_though_only_consumed_elsewhere(stage: Stage) -> None:
    stage.declared("consumer").ask(BasicConsume(queue=stage.queue, consumer_tag="c"))
    client = stage.client()
    client.ask(QueueDelete(queue=stage.queue, if_unused=True))
    client.ask(ChannelOpen())
    client.ask(QueueDelete(queue=stage.queue))


def test_we_answer_as_rabbitmq_does(conversation: str, beside: Beside) -> None:
    beside.compare("consuming", conversation, scenario[conversation])
