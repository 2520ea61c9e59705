"""Priorities, exclusive and single active consumers: who gets what first, as in RabbitMQ 3.10."""

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
    BasicNack,
    BasicProperties,
    BasicQos,
    ChannelClose,
    ConfirmSelect,
    ConnectionClose,
    QueueDeclare,
    QueueDelete,
    QueuePurge,
)

pytestmark = [pytest.mark.processes, pytest.mark.slow]

scenario = Scenarios()


def _with_priority(stage: Stage, client: RawClient, *prioritised: tuple[bytes, int | None]) -> None:
    for body, priority in prioritised:
        client.publish(stage.queue, body, properties=BasicProperties(priority=priority))


@scenario
def higher_priority_first(stage: Stage) -> None:
    client = stage.declared(arguments={"x-max-priority": 5})
    bodies = [(b"1", 1), (b"5", 5), (b"3", 3), (b"none", None), (b"0", 0), (b"3 again", 3)]
    _with_priority(stage, client, *bodies)
    client.ask(*[BasicGet(queue=stage.queue, no_ack=True)] * 7)


@scenario
def priority_above_the_most_is_the_most(stage: Stage) -> None:
    client = stage.declared(arguments={"x-max-priority": 2})
    _with_priority(stage, client, (b"2", 2), (b"9", 9), (b"255", 255), (b"1", 1))
    client.ask(*[BasicGet(queue=stage.queue, no_ack=True)] * 4)


@scenario
def priority_of_no_meaning_to_the_queue(stage: Stage) -> None:
    client = stage.declared()
    _with_priority(stage, client, (b"1", 1), (b"5", 5))
    client.ask(*[BasicGet(queue=stage.queue, no_ack=True)] * 2)


@scenario
def requeued_takes_its_place_among_its_priority(stage: Stage) -> None:
    client = stage.declared(arguments={"x-max-priority": 3})
    _with_priority(stage, client, (b"a", 1), (b"b", 3), (b"c", 3), (b"d", 1))
    client.ask(*[BasicGet(queue=stage.queue)] * 3)
    client.send(BasicNack(3, multiple=True))
    client.ask(*[BasicGet(queue=stage.queue)] * 5)


@scenario
def consumer_of_a_queue_with_priorities(stage: Stage) -> None:
    client = stage.declared(arguments={"x-max-priority": 3})
    client.ask(BasicQos(prefetch_count=1))
    client.ask(ConfirmSelect())
    _with_priority(stage, client, (b"a", 1), (b"b", 2), (b"c", 3))
    client.confirms(3)
    client.ask(QueueDeclare(queue=stage.queue, passive=True))
    client.ask(BasicConsume(queue=stage.queue, consumer_tag="c"), hear=2)
    client.ask(BasicAck(1))
    client.ask(BasicAck(2))


@scenario
def longest_of_low_priority_is_dropped(stage: Stage) -> None:
    client = stage.declared(arguments={"x-max-priority": 3, "x-max-length": 2})
    _with_priority(stage, client, (b"a", 3), (b"b", 1), (b"c", 2))
    client.ask(*[BasicGet(queue=stage.queue, no_ack=True)] * 3)


@scenario
def purge_of_all_priorities(stage: Stage) -> None:
    client = stage.declared(arguments={"x-max-priority": 3})
    _with_priority(stage, client, (b"a", 3), (b"b", 1))
    client.ask(QueuePurge(queue=stage.queue), QueueDeclare(queue=stage.queue, passive=True))


# --- consumers ------------------------------------------------------------------------------------


def _consume(stage: Stage, client: RawClient, tag: str, priority: int, **options: Any) -> None:
    arguments = {"x-priority": priority}
    client.ask(BasicConsume(0, stage.queue, tag, arguments=arguments, **options))


@scenario
def consumer_of_higher_priority_first(stage: Stage) -> None:
    client = stage.declared()
    _consume(stage, client, "low", -1, no_ack=True)
    client.ask(BasicConsume(queue=stage.queue, consumer_tag="none", no_ack=True))
    _consume(stage, client, "high", 5, no_ack=True)
    for body in (b"1", b"2", b"3"):
        client.publish(stage.queue, body)
        client.hear()
    client.ask(BasicCancel(consumer_tag="high"))
    client.publish(stage.queue, b"4")
    client.hear()


@scenario
def consumer_that_is_full_lets_the_next_have_it(stage: Stage) -> None:
    client = stage.declared()
    client.ask(BasicQos(prefetch_count=1))
    _consume(stage, client, "high", 5)
    _consume(stage, client, "low", 1)
    client.publish(stage.queue, b"1")
    client.hear()
    client.publish(stage.queue, b"2")
    client.hear()
    client.publish(stage.queue, b"3")
    client.ask(BasicAck(2))
    client.publish(stage.queue, b"4")
    client.ask(BasicAck(1))


@scenario
def consumers_of_equal_priority_take_turns(stage: Stage) -> None:
    client = stage.declared()
    for tag in ("a", "b"):
        _consume(stage, client, tag, 3, no_ack=True)
    for body in (b"1", b"2", b"3", b"4"):
        client.publish(stage.queue, body)
        client.hear()


@scenario
def exclusive_consumer_gone_lets_others(stage: Stage) -> None:
    client = stage.declared(channels=3)
    client.ask(BasicConsume(queue=stage.queue, consumer_tag="a", exclusive=True))
    client.ask(BasicConsume(queue=stage.queue, consumer_tag="b"), channel=2)
    client.ask(BasicGet(queue=stage.queue), channel=3)
    client.ask(BasicCancel(consumer_tag="a"))
    client.ask(BasicConsume(queue=stage.queue, consumer_tag="b", exclusive=True), channel=3)


@scenario
def exclusive_consumer_of_another_connection(stage: Stage) -> None:
    stage.declared("a").ask(BasicConsume(queue=stage.queue, consumer_tag="a", exclusive=True))
    stage.client("b").ask(BasicConsume(queue=stage.queue, consumer_tag="b"))
    stage.client("c").ask(BasicConsume(queue=stage.queue, consumer_tag="c", exclusive=True))


@scenario
def exclusive_consumer_whose_channel_closes(stage: Stage) -> None:
    client = stage.declared(channels=2)
    client.ask(BasicConsume(queue=stage.queue, consumer_tag="a", exclusive=True))
    client.ask(ChannelClose(200, "bye"))
    client.ask(BasicConsume(queue=stage.queue, consumer_tag="b", exclusive=True), channel=2)


# --- single active --------------------------------------------------------------------------------

SINGLE = {"x-single-active-consumer": True}


@scenario
def one_consumer_at_a_time(stage: Stage) -> None:
    client = stage.declared(arguments=SINGLE)
    for tag in ("a", "b"):
        client.ask(BasicConsume(queue=stage.queue, consumer_tag=tag, no_ack=True))
    for body in (b"1", b"2"):
        client.publish(stage.queue, body)
        client.hear()
    client.ask(QueueDeclare(queue=stage.queue, passive=True))


@scenario
def next_consumer_takes_over_when_the_active_cancels(stage: Stage) -> None:
    client = stage.declared(arguments=SINGLE)
    for tag in ("a", "b", "c"):
        client.ask(BasicConsume(queue=stage.queue, consumer_tag=tag, no_ack=True))
    client.ask(BasicCancel(consumer_tag="b"))
    client.ask(BasicCancel(consumer_tag="a"))
    client.publish(stage.queue, b"1")
    client.hear()


@scenario
def next_consumer_takes_over_what_was_given_back(stage: Stage) -> None:
    client = stage.declared(arguments=SINGLE)
    client.ask(BasicConsume(queue=stage.queue, consumer_tag="a"))
    other = stage.client("other")
    other.ask(BasicConsume(queue=stage.queue, consumer_tag="b"))
    client.publish(stage.queue, b"1", b"2")
    client.hear(2)
    client.ask(ChannelClose(200, "bye"))
    other.hear(2)


@scenario
def next_consumer_takes_over_what_a_lost_connection_owed(stage: Stage) -> None:
    first = stage.declared("first", arguments=SINGLE)
    first.ask(BasicConsume(queue=stage.queue, consumer_tag="a"))
    second = stage.client("second")
    second.ask(BasicConsume(queue=stage.queue, consumer_tag="b"))
    first.publish(stage.queue, b"1")
    first.hear()
    first.ask(ConnectionClose(200, "bye"), channel=0)
    second.hear()


@scenario
def full_active_consumer_lets_nobody_have_it(stage: Stage) -> None:
    client = stage.declared(arguments=SINGLE)
    client.ask(BasicQos(prefetch_count=1))
    for tag in ("a", "b"):
        client.ask(BasicConsume(queue=stage.queue, consumer_tag=tag))
    stage.fill(b"1", b"2")
    client.hear()
    client.ask(QueueDeclare(queue=stage.queue, passive=True))
    client.ask(BasicAck(1))


@scenario
def exclusive_consumer_of_a_queue_of_one_consumer(stage: Stage) -> None:
    client = stage.declared(arguments=SINGLE)
    client.ask(BasicConsume(queue=stage.queue, consumer_tag="a", exclusive=True))


@scenario
def cancelled_active_consumer_still_owes(stage: Stage) -> None:
    client = stage.declared(arguments=SINGLE)
    for tag in ("a", "b"):
        client.ask(BasicConsume(queue=stage.queue, consumer_tag=tag))
    client.publish(stage.queue, b"1")
    client.hear()
    client.ask(BasicCancel(consumer_tag="a"))
    client.publish(stage.queue, b"2")
    client.hear()
    client.ask(BasicNack(1))


@scenario
def priority_does_not_make_a_consumer_active(stage: Stage) -> None:
    client = stage.declared(arguments=SINGLE)
    _consume(stage, client, "low", 1, no_ack=True)
    _consume(stage, client, "high", 9, no_ack=True)
    client.publish(stage.queue, b"1")
    client.hear()


@scenario
def waiting_consumers_are_told_of_the_end(stage: Stage) -> None:
    client = stage.declared(arguments=SINGLE)
    others = [stage.client(tag) for tag in ("a", "b")]
    for other in others:
        other.ask(BasicConsume(queue=stage.queue, consumer_tag="c"))
    client.ask(QueueDelete(queue=stage.queue))
    for other in others:
        other.hear()


@scenario
def get_beside_a_single_active_consumer(stage: Stage) -> None:
    client = stage.declared(arguments=SINGLE)
    client.ask(BasicQos(prefetch_count=1))
    client.ask(BasicConsume(queue=stage.queue, consumer_tag="a"))
    client.publish(stage.queue, b"1", b"2")
    client.hear()
    client.ask(BasicGet(queue=stage.queue))


def test_we_answer_as_rabbitmq_does(conversation: str, beside: Beside) -> None:
    beside.compare("priorities", conversation, scenario[conversation])
