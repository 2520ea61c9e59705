"""Queues of limited length: what is dropped, what is refused, as in RabbitMQ 3.10."""

from __future__ import annotations

import pytest
from support.beside import Beside, Scenarios
from support.raw_client import RawClient
from support.stages import Stage

from rabbitry.wire.methods import (
    BasicConsume,
    BasicGet,
    BasicNack,
    BasicProperties,
    BasicReject,
    ChannelOpen,
    ConfirmSelect,
    QueueBind,
    QueueDeclare,
    QueuePurge,
    TxCommit,
    TxSelect,
)

pytestmark = [pytest.mark.processes, pytest.mark.slow]

scenario = Scenarios()


def _emptied(client: RawClient, queue: str, count: int) -> None:
    client.ask(*[BasicGet(queue=queue, no_ack=True)] * count)


@scenario
def oldest_are_dropped(stage: Stage) -> None:
    client = stage.filled(b"a", b"b", b"c", b"d", arguments={"x-max-length": 2})
    _emptied(client, stage.queue, 3)


@scenario
def length_of_nothing(stage: Stage) -> None:
    client = stage.filled(b"a", b"b", arguments={"x-max-length": 0})
    _emptied(client, stage.queue, 1)
    client.ask(BasicConsume(queue=stage.queue, consumer_tag="c", no_ack=True))
    client.publish(stage.queue, b"c")
    client.hear()


@scenario
def oldest_are_dropped_until_the_bytes_fit(stage: Stage) -> None:
    client = stage.filled(b"aaaa", b"bbbb", b"cc", b"dd", arguments={"x-max-length-bytes": 8})
    _emptied(client, stage.queue, 4)


@scenario
def larger_than_the_queue_may_be(stage: Stage) -> None:
    client = stage.filled(b"a", b"bbbbbbbbbb", arguments={"x-max-length-bytes": 5})
    _emptied(client, stage.queue, 1)


@scenario
def both_lengths_hold(stage: Stage) -> None:
    arguments = {"x-max-length-bytes": 5, "x-max-length": 3}
    client = stage.filled(b"aa", b"bb", b"c", b"d", b"e", arguments=arguments)
    _emptied(client, stage.queue, 4)


@scenario
def headers_do_not_count_as_bytes(stage: Stage) -> None:
    client = stage.declared(arguments={"x-max-length-bytes": 4})
    properties = BasicProperties(headers={"long": "x" * 100}, app_id="application")
    client.publish(stage.queue, b"ab", b"cd", properties=properties)
    client.ask(*[BasicGet(queue=stage.queue, no_ack=True)] * 3)


@scenario
def unacknowledged_do_not_count(stage: Stage) -> None:
    client = stage.filled(b"a", b"b", arguments={"x-max-length": 2})
    client.ask(*[BasicGet(queue=stage.queue)] * 2)
    stage.fill(b"c", b"d")
    client.ask(QueueDeclare(queue=stage.queue, passive=True))
    client.send(BasicNack(2, multiple=True))
    client.ask(QueueDeclare(queue=stage.queue, passive=True))
    _emptied(client, stage.queue, 3)


@scenario
def publishes_are_confirmed_though_dropped(stage: Stage) -> None:
    client = stage.declared(arguments={"x-max-length": 1})
    client.ask(ConfirmSelect())
    client.publish(stage.queue, b"a", b"b", b"c", mandatory=True)
    client.confirms(3)
    _emptied(client, stage.queue, 2)


@scenario.each(plain="reject-publish", dead_lettering="reject-publish-dlx")
def full_queue_refuses(stage: Stage, value: str) -> None:
    client = stage.declared(arguments={"x-max-length": 2, "x-overflow": value})
    client.ask(ConfirmSelect())
    for body in (b"a", b"b", b"c", b"d"):
        client.publish(stage.queue, body)
        client.confirms(1)
    _emptied(client, stage.queue, 3)
    client.publish(stage.queue, b"e")
    client.confirms(1)
    _emptied(client, stage.queue, 1)


@scenario
def full_queue_refuses_without_a_word_where_nobody_asked(stage: Stage) -> None:
    client = stage.declared(arguments={"x-max-length": 1, "x-overflow": "reject-publish"})
    client.publish(stage.queue, b"a", b"b", mandatory=True)
    _emptied(client, stage.queue, 2)


@scenario
def bytes_that_do_not_fit_are_refused(stage: Stage) -> None:
    client = stage.declared(arguments={"x-max-length-bytes": 4, "x-overflow": "reject-publish"})
    client.ask(ConfirmSelect())
    for body in (b"aaa", b"bbb", b"c", b""):
        client.publish(stage.queue, body)
        client.confirms(1)
    _emptied(client, stage.queue, 3)


@scenario
def refused_by_one_queue_of_two(stage: Stage) -> None:
    client = stage.with_exchange("fanout")
    other = f"{stage.queue}2"
    arguments = {"x-max-length": 1, "x-overflow": "reject-publish"}
    client.ask(QueueDeclare(queue=other, arguments=arguments))
    for queue in (stage.queue, other):
        client.ask(QueueBind(queue=queue, exchange=stage.exchange))
    client.ask(ConfirmSelect())
    for body in (b"a", b"b"):
        client.publish("k", body, exchange=stage.exchange)
        client.confirms(1)
    _emptied(client, stage.queue, 3)
    _emptied(client, other, 2)


@scenario
def consumer_makes_room(stage: Stage) -> None:
    client = stage.declared(arguments={"x-max-length": 1, "x-overflow": "reject-publish"})
    client.ask(BasicConsume(queue=stage.queue, consumer_tag="c"))
    for body in (b"a", b"b"):
        client.publish(stage.queue, body)
        client.hear()


@scenario
def requeued_beyond_the_length(stage: Stage) -> None:
    client = stage.filled(b"a", arguments={"x-max-length": 1, "x-overflow": "reject-publish"})
    client.ask(BasicGet(queue=stage.queue))
    stage.fill(b"b")
    client.send(BasicReject(1))
    _emptied(client, stage.queue, 3)


@scenario
def purged_queue_has_room_again(stage: Stage) -> None:
    client = stage.filled(b"a", arguments={"x-max-length": 1, "x-overflow": "reject-publish"})
    client.ask(QueuePurge(queue=stage.queue))
    stage.fill(b"b")
    _emptied(client, stage.queue, 2)


@scenario
def length_and_transactions(stage: Stage) -> None:
    client = stage.declared(arguments={"x-max-length": 1, "x-overflow": "reject-publish"})
    client.ask(TxSelect())
    client.publish(stage.queue, b"a", b"b")
    client.ask(TxCommit())
    client.ask(ChannelOpen())
    client.ask(*[BasicGet(queue=stage.queue, no_ack=True)] * 2)


def test_we_answer_as_rabbitmq_does(conversation: str, beside: Beside) -> None:
    beside.compare("lengths", conversation, scenario[conversation])
