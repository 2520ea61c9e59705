"""Settling deliveries: ack, nack, reject, recover, and tags that are not owed."""

from __future__ import annotations

import pytest
from support.broker_client import Broker, closed_with
from support.consumer_conversation import consuming, deliver
from support.fake_broker import Conversation

from rabbitry.wire.methods import (
    BasicAck,
    BasicConsume,
    BasicNack,
    BasicQos,
    BasicQosOk,
    BasicRecover,
    BasicRecoverAsync,
    BasicRecoverOk,
    BasicReject,
    ConnectionClose,
    Method,
    QueueDeclare,
)


def test_nack_of_several_and_without_requeue() -> None:
    talk, queue = consuming()
    deliver(queue, b"a", b"b", b"c", b"d", b"e")
    talk.heard()
    talk.say(BasicNack(2, multiple=True), BasicNack(3, requeue=False), BasicReject(4, False))
    talk.say(BasicNack(0, multiple=True, requeue=False))
    assert queue.asked[1:] == [
        ("requeue", [101, 102]),
        ("reject", [103]),
        ("reject", [104]),
        ("reject", [105]),
    ]


def test_recover_gives_everything_back() -> None:
    talk, queue = consuming()
    deliver(queue, b"a", b"b")
    talk.heard()
    assert talk.say(BasicRecover(requeue=True), BasicRecover(requeue=True)) == [
        BasicRecoverOk(),
        BasicRecoverOk(),
    ]
    assert queue.asked[1:] == [("requeue", [101, 102])]


@pytest.mark.parametrize(
    ("said", "method_id"),
    [
        (BasicAck(3), 80),
        (BasicAck(3, multiple=True), 80),
        (BasicNack(3), 120),
        (BasicNack(3, requeue=False), 120),
        (BasicReject(3), 90),
        (BasicReject(3, requeue=False), 90),
    ],
)
def test_an_unknown_tag_closes_the_channel_and_what_it_holds_comes_back(
    said: Method, method_id: int
) -> None:
    talk, queue = consuming()
    deliver(queue, b"a")
    talk.heard()
    text = "PRECONDITION_FAILED - unknown delivery tag 3"
    assert closed_with(talk.say(said)) == (406, text, 60, method_id)
    assert queue.asked[-1] == ("release",)


@pytest.mark.parametrize("said", [BasicAck(0), BasicNack(0), BasicReject(0)])
def test_tag_0_means_all_only_with_multiple(said: Method) -> None:
    talk, queue = consuming()
    deliver(queue, b"a")
    talk.heard()
    assert closed_with(talk.say(said))[:2] == (
        406,
        "PRECONDITION_FAILED - unknown delivery tag 0",
    )


@pytest.mark.parametrize(
    "said", [BasicAck(0, multiple=True), BasicNack(0, multiple=True), BasicRecover(True)]
)
def test_all_of_nothing_is_no_fault(said: Method) -> None:
    answers = Conversation().say(said, BasicQos())
    assert answers[-1] == BasicQosOk()


@pytest.mark.parametrize("said", [BasicRecover(False), BasicRecoverAsync(False)])
def test_recover_without_requeue_is_refused(said: Method) -> None:
    (closed,) = Conversation().say(said)
    assert isinstance(closed, ConnectionClose)
    assert (closed.reply_code, closed.reply_text) == (540, "NOT_IMPLEMENTED - requeue=false")


def test_what_needs_no_settling_cannot_be_settled() -> None:
    talk, queue = consuming(no_ack=True)
    deliver(queue, b"a")
    talk.heard()
    assert closed_with(talk.say(BasicAck(1)))[0] == 406


def test_deliveries_of_several_queues_are_settled_in_each() -> None:
    talk = Conversation()
    first, second = talk.port.add("first"), talk.port.add("second")
    for queue, tag in ((first, "1"), (second, "2")):
        talk.say(BasicConsume(queue=queue.name, consumer_tag=tag))
        queue.answer()
        deliver(queue, b"a", b"b")
    talk.heard()
    assert talk.say(BasicAck(3, multiple=True)) == []
    assert first.asked[1:] == [("settle", [101, 102])]
    assert second.asked[1:] == [("settle", [101])]


def test_what_is_recovered_comes_again_in_its_order() -> None:
    broker = Broker()
    client = broker.client()
    client.say(QueueDeclare(queue="q"))
    client.publish("q", b"a", b"b", b"c")
    client.say(BasicConsume(queue="q", consumer_tag="t"))
    client.say(BasicAck(2))
    client.endpoint.send_method(1, BasicRecover(requeue=True))
    broker.exchange()
    assert client.deliveries() == [("t", 4, True, b"a"), ("t", 5, True, b"c")]
