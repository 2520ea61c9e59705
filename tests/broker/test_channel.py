"""One channel: its life, waiting and backlog, getting and publishing.

With a fake node, so that answers come when the test says so. Consumers are in
test_consumers.
"""

from __future__ import annotations

import pytest
from support.broker_client import Broker, closed_with
from support.consumer_conversation import ROUTE, consuming
from support.fake_broker import LOCKED, Conversation, content

from rabbitry.broker.client_connection import ANSWERS_BYTES_MAX
from rabbitry.broker.ports import GetReply, QueueReply, Refusal
from rabbitry.wire.methods import (
    AccessRequest,
    AccessRequestOk,
    BasicAck,
    BasicCancel,
    BasicCancelOk,
    BasicConsume,
    BasicConsumeOk,
    BasicGet,
    BasicGetEmpty,
    BasicGetOk,
    BasicNack,
    BasicQos,
    BasicQosOk,
    BasicRecover,
    BasicRecoverAsync,
    BasicRecoverOk,
    BasicReturn,
    ChannelClose,
    ChannelCloseOk,
    ChannelFlow,
    ChannelFlowOk,
    ChannelOpen,
    ChannelOpenOk,
    ConfirmSelect,
    ConfirmSelectOk,
    ConnectionClose,
    ExchangeDeclare,
    ExchangeDeclareOk,
    Method,
    QueueDeclare,
    QueueDeclareOk,
)

# --- small answers --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "answer"),
    [
        (AccessRequest(), AccessRequestOk(1)),
        (ChannelFlow(active=True), ChannelFlowOk(active=True)),
        (BasicQos(prefetch_count=9), BasicQosOk()),
        (ConfirmSelect(), ConfirmSelectOk()),
        (BasicRecover(requeue=True), BasicRecoverOk()),
        (BasicCancel("nobody"), BasicCancelOk("nobody")),
        (ChannelClose(200, "bye"), ChannelCloseOk()),
    ],
)
def test_answers(said: Method, answer: Method) -> None:
    assert Conversation().say(said) == [answer]


@pytest.mark.parametrize(
    "said",
    [ConfirmSelect(no_wait=True), BasicCancel("nobody", no_wait=True), BasicRecoverAsync(True)],
)
def test_silence_where_no_answer_is_due(said: Method) -> None:
    assert Conversation().say(said, BasicQos()) == [BasicQosOk()]


@pytest.mark.parametrize(
    ("said", "code", "text"),
    [
        (ChannelFlow(active=False), 540, "active=false"),
        (BasicQos(prefetch_size=1), 540, "prefetch_size!=0 (1)"),
        (BasicRecover(requeue=False), 540, "requeue=false"),
        (BasicRecoverAsync(requeue=False), 540, "requeue=false"),
        (BasicGetEmpty(), 503, "unimplemented method"),
        (QueueDeclareOk("q", 0, 0), 503, "unimplemented method"),
    ],
)
def test_what_ends_the_connection(said: Method, code: int, text: str) -> None:
    (closed,) = Conversation().say(said)
    assert isinstance(closed, ConnectionClose)
    assert closed.reply_code == code
    assert text in closed.reply_text
    assert (closed.failing_class_id, closed.failing_method_id) == (said.class_id, said.method_id)


# --- waiting --------------------------------------------------------------------------------------


def test_what_comes_while_an_answer_is_awaited_is_done_after_it_in_order() -> None:
    talk = Conversation()
    queue = talk.port.add("q")
    assert talk.say(BasicConsume(queue="q", consumer_tag="t"), BasicQos()) == []
    assert talk.publish("q", b"a", b"b") == []
    assert talk.say(BasicGet(queue="q"), BasicQos()) == []
    assert queue.published == []
    queue.answer()
    assert talk.heard() == [BasicConsumeOk("t"), BasicQosOk()]
    assert [len(messages) for messages, _ in queue.published] == [2]
    assert queue.asked[-1] == ("get", False)
    queue.get_replies[0](GetReply(), queue.lease)
    assert talk.heard() == [BasicGetEmpty(), BasicQosOk()]


def test_other_channels_go_on_meanwhile() -> None:
    talk = Conversation()
    talk.port.add("q")
    talk.say(ChannelOpen(), channel=2)
    assert talk.say(BasicGet(queue="q")) == []
    assert talk.say(BasicQos(), channel=2) == [BasicQosOk()]
    assert talk.say(BasicQos()) == []


def test_an_answer_that_comes_at_once_is_as_good() -> None:
    broker = Broker()
    client = broker.client()
    said: list[Method] = [QueueDeclare(queue="q"), BasicQos()] * 50
    expected: list[Method] = [QueueDeclareOk("q", 0, 0), BasicQosOk()] * 50
    assert client.say(*said) == expected


def got(body: bytes) -> GetReply:
    return GetReply(None, 1, False, (ROUTE, content(body)), 0)


def test_answers_that_are_there_at_once_do_not_nest() -> None:
    """Thousands of them behind one that waited ended the node: its stack has an end."""
    broker = Broker()
    client = broker.client()
    client.say(QueueDeclare(queue="q"))
    more = [ExchangeDeclare(exchange="amq.direct", type="direct", durable=True)] * 3000
    answers = client.say(BasicGet(queue="q"), *more)
    assert answers == [BasicGetEmpty()] + [ExchangeDeclareOk()] * 3000


def test_what_comes_behind_a_backlog_waits_for_its_turn() -> None:
    talk = Conversation()
    queue = talk.port.add("q")
    body = b"x" * (ANSWERS_BYTES_MAX // 2)
    assert talk.say(*[BasicGet(queue="q", no_ack=True)] * 3, BasicQos()) == []
    for _ in range(3):
        if queue.get_replies:
            queue.get_replies.pop(0)(got(body), queue.lease)
    assert talk.connection.held_back, "two answers are enough for one step"
    assert [method.name for method in talk.say(ConfirmSelect())] == ["basic.get-ok"] * 2
    talk.connection.go_on(talk.now)
    assert not talk.connection.held_back
    queue.get_replies.pop(0)(GetReply(), queue.lease)
    assert talk.heard() == [BasicGetEmpty(), BasicQosOk(), ConfirmSelectOk()]


def test_a_fault_in_the_backlog_drops_what_follows() -> None:
    talk = Conversation()
    queue = talk.port.add("q")
    talk.say(BasicGet(queue="q"), BasicAck(5), BasicGet(queue="q"), BasicQos())
    queue.get_replies[0](GetReply(), queue.lease)
    empty, closed = talk.heard()
    assert empty == BasicGetEmpty()
    assert isinstance(closed, ChannelClose)
    assert closed.reply_code == 406
    assert queue.asked == [("get", False), ("release",)]


def test_a_refusal_drops_what_follows() -> None:
    talk = Conversation()
    queue = talk.port.add("q")
    talk.say(BasicConsume(queue="q", consumer_tag="t"), BasicQos())
    queue.answer(QueueReply(Refusal(403, "queue 'q' in vhost '/' in exclusive use")))
    assert closed_with(talk.heard()) == (
        403,
        "ACCESS_REFUSED - queue 'q' in vhost '/' in exclusive use",
        60,
        20,
    )


def test_a_close_waits_its_turn() -> None:
    talk = Conversation()
    queue = talk.port.add("q")
    assert talk.say(BasicGet(queue="q"), ChannelClose(200, "bye")) == []
    queue.get_replies[0](GetReply(), queue.lease)
    assert talk.heard() == [BasicGetEmpty(), ChannelCloseOk()]


def test_answers_find_nobody_once_the_channel_is_gone() -> None:
    talk = Conversation()
    queue, other = talk.port.add("q"), talk.port.add("other")
    talk.say(BasicGet(queue="q"), BasicQos())
    talk.say(ChannelOpen(), channel=2)
    talk.say(BasicConsume(queue="other", consumer_tag="t"), channel=2)
    talk.connection.lost()
    queue.get_replies[0](GetReply(None, 1, False, (ROUTE, content()), 0), queue.lease)
    other.answer()
    assert talk.heard() == []
    assert queue.asked == [("get", False), ("release",)]
    assert other.asked[-1] == ("release",)


def test_a_channel_opened_anew_does_not_hear_the_answers_of_the_old() -> None:
    talk = Conversation()
    queue = talk.port.add("q")
    talk.say(ChannelOpen(), channel=2)
    talk.say(BasicGet(queue="q"), channel=2)

    def fail() -> None:
        raise LOCKED.exception()

    talk.connection.guard(2, fail)
    assert [method.name for method in talk.heard()] == ["channel.close"]
    talk.say(ChannelCloseOk(), ChannelOpen(), channel=2)
    queue.get_replies[0](GetReply(), queue.lease)
    assert talk.say(BasicQos(), channel=2) == [BasicQosOk()]


# --- getting and publishing -----------------------------------------------------------------------


def test_get() -> None:
    talk = Conversation()
    queue = talk.port.add("q")
    talk.say(BasicGet(queue="q"))
    queue.get_replies.pop()(GetReply(None, 7, True, (ROUTE, content(b"a")), 3), queue.lease)
    assert talk.heard() == [BasicGetOk(1, True, "", "q", 3)]
    talk.say(BasicNack(1))
    assert queue.asked[-1] == ("requeue", [7])
    talk.say(BasicGet(queue="q", no_ack=True))
    queue.get_replies.pop()(GetReply(None, 8, False, (ROUTE, content(b"b")), 0), queue.lease)
    assert talk.heard() == [BasicGetOk(2, False, "", "q", 0)]
    assert closed_with(talk.say(BasicAck(2)))[0] == 406


def test_get_refused() -> None:
    talk = Conversation()
    queue = talk.port.add("q")
    talk.say(BasicGet(queue="q"))
    queue.get_replies.pop()(GetReply(LOCKED), queue.lease)
    assert closed_with(talk.heard()) == (405, "RESOURCE_LOCKED - locked", 60, 70)


@pytest.mark.parametrize("said", [BasicGet(queue="none"), BasicConsume(queue="none")])
def test_no_queue(said: Method) -> None:
    text = "NOT_FOUND - no queue 'none' in vhost '/'"
    found = closed_with(Conversation().say(said))
    assert found == (404, text, said.class_id, said.method_id)


@pytest.mark.parametrize("said", [BasicGet(queue="q"), BasicConsume(queue="q")])
def test_the_queue_of_another(said: Method) -> None:
    talk = Conversation()
    talk.port.add("q", owner="somebody")
    assert closed_with(talk.say(said))[0] == 405


@pytest.mark.parametrize("said", [BasicGet(), BasicConsume()])
def test_the_empty_name_stands_for_nothing_yet(said: Method) -> None:
    assert closed_with(Conversation().say(said))[:2] == (
        404,
        "NOT_FOUND - no previously declared queue",
    )


def test_confirms_are_gathered_until_the_end_of_the_step() -> None:
    talk = Conversation()
    queue = talk.port.add("q")
    talk.say(ConfirmSelect(), ConfirmSelect())
    talk.publish("q", b"a")
    talk.publish("q", b"b", b"c")
    for _, receipt in queue.published:
        assert receipt is not None
        receipt.settled()
    assert talk.heard() == [BasicAck(3, multiple=True)]


def test_a_return_comes_before_its_confirm() -> None:
    talk = Conversation()
    talk.say(ConfirmSelect())
    assert talk.publish("nobody", b"a", mandatory=True) == [
        BasicReturn(312, "NO_ROUTE", "", "nobody"),
        BasicAck(1),
    ]


def test_confirms_earned_go_out_before_a_close() -> None:
    talk = Conversation()
    queue = talk.port.add("q")
    talk.say(ConfirmSelect())
    talk.publish("q", b"a")
    receipt = queue.published[0][1]
    assert receipt is not None
    receipt.settled()
    acked, closed = talk.say(BasicAck(9))
    assert acked == BasicAck(1)
    assert isinstance(closed, ChannelClose)


def test_confirms_earned_go_out_before_close_ok() -> None:
    talk = Conversation()
    queue = talk.port.add("q")
    talk.say(ConfirmSelect())
    talk.publish("q", b"a")
    receipt = queue.published[0][1]
    assert receipt is not None
    receipt.settled()
    assert talk.say(ChannelClose(200, "bye")) == [BasicAck(1), ChannelCloseOk()]


def test_a_confirm_that_comes_after_the_close_is_not_sent() -> None:
    talk = Conversation()
    queue = talk.port.add("q")
    talk.say(ConfirmSelect())
    talk.publish("q", b"a")
    talk.say(ChannelClose(200, "bye"))
    receipt = queue.published[0][1]
    assert receipt is not None
    receipt.settled()
    assert talk.heard() == []


def test_closing_releases_each_queue_once() -> None:
    talk, queue = consuming()
    other = talk.port.add("other")
    talk.say(BasicGet(queue="q"))
    queue.get_replies.pop()(GetReply(), queue.lease)
    talk.say(ChannelClose(200, "bye"))
    assert [one for one in queue.asked if one == ("release",)] == [("release",)]
    assert other.asked == []
    assert talk.say(ChannelOpen()) == [ChannelOpenOk()]
