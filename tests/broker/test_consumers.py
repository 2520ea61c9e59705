"""Consumers of a channel: deliveries, what is owed for them, prefetch, and how they end."""

from __future__ import annotations

import pytest
from support.broker_client import Broker, Client, closed_with
from support.consumer_conversation import ROUTE, consuming, deliver
from support.fake_broker import LOCKED, Conversation, content

from rabbitry.broker.ports import QueueReply
from rabbitry.wire.methods import (
    BasicAck,
    BasicCancel,
    BasicCancelOk,
    BasicConsume,
    BasicConsumeOk,
    BasicDeliver,
    BasicGet,
    BasicNack,
    BasicQos,
    BasicQosOk,
    BasicReject,
    ChannelClose,
    ChannelCloseOk,
    ChannelOpen,
    ConnectionClose,
    QueueDeclare,
    QueueDelete,
    QueueDeleteOk,
    TxCommit,
    TxSelect,
)

# --- consuming ------------------------------------------------------------------------------------


def test_deliveries_are_numbered_and_settled() -> None:
    talk, queue = consuming()
    deliver(queue, b"a", b"b", b"c", b"d", redelivered=True)
    assert talk.heard() == [BasicDeliver("t", tag, True, "", "q") for tag in (1, 2, 3, 4)]
    talk.say(BasicAck(2), BasicNack(1), BasicReject(3), BasicAck(4, multiple=True))
    assert queue.asked[1:] == [
        ("settle", [102]),
        ("requeue", [101]),
        ("requeue", [103]),
        ("settle", [104]),
    ]


def test_a_tag_is_used_once_at_a_time() -> None:
    talk, _ = consuming()
    (closed,) = talk.say(BasicConsume(queue="q", consumer_tag="t"))
    assert isinstance(closed, ConnectionClose)
    assert closed.reply_code == 530
    assert closed.reply_text == "NOT_ALLOWED - attempt to reuse consumer tag 't'"


def test_a_tag_can_be_used_on_each_channel_and_again_after_cancel() -> None:
    talk, queue = consuming()
    talk.say(ChannelOpen(), channel=2)
    talk.say(BasicConsume(queue="q", consumer_tag="t"), channel=2)
    queue.answer()
    assert talk.heard() == [BasicConsumeOk("t")]
    talk.say(BasicCancel("t"))
    queue.answer()
    assert talk.heard() == [BasicCancelOk("t")]
    talk.say(BasicConsume(queue="q", consumer_tag="t"))
    queue.answer()
    assert talk.heard() == [BasicConsumeOk("t")]


def test_a_tag_that_was_refused_is_free() -> None:
    talk = Conversation()
    queue = talk.port.add("q")
    talk.say(BasicConsume(queue="q", consumer_tag="t"))
    queue.answer(QueueReply(LOCKED))
    talk.heard()
    talk.say(ChannelCloseOk(), ChannelOpen(), BasicConsume(queue="q", consumer_tag="t"))
    queue.answer()
    assert talk.heard() == [BasicConsumeOk("t")]


def test_a_tag_is_made_up_where_there_is_none() -> None:
    talk = Conversation()
    queue = talk.port.add("q")
    talk.say(BasicConsume(queue="q"), BasicConsume(queue="q"))
    queue.answer()
    queue.answer()
    first, second = talk.heard()
    assert isinstance(first, BasicConsumeOk)
    assert isinstance(second, BasicConsumeOk)
    assert first.consumer_tag.startswith("amq.ctag-")
    assert first.consumer_tag != second.consumer_tag


def test_prefetch_is_of_the_consumers_that_follow() -> None:
    talk = Conversation()
    queue = talk.port.add("q")
    for prefetch_count in (0, 3):
        talk.say(BasicQos(prefetch_count=prefetch_count), BasicConsume(queue="q"))
        queue.answer()
    assert queue.asked == [("subscribe", 1, 0, False), ("subscribe", 2, 3, False)]


def test_deliveries_on_the_way_come_before_cancel_ok() -> None:
    talk, queue = consuming()
    assert talk.say(BasicCancel("t")) == []
    deliver(queue, b"a")
    queue.answer()
    assert talk.heard() == [BasicDeliver("t", 1, False, "", "q"), BasicCancelOk("t")]
    assert talk.say(BasicAck(1), BasicQos()) == [BasicQosOk()]


def test_cancel_without_an_answer() -> None:
    talk, queue = consuming()
    talk.say(BasicCancel("t", no_wait=True), BasicQos())
    queue.answer()
    assert talk.heard() == [BasicQosOk()]


def test_a_consumer_hears_that_its_queue_is_gone_if_it_understands() -> None:
    talk, queue = consuming(capabilities=("consumer_cancel_notify",))
    queue.subscribers[0].cancelled()
    queue.subscribers[0].cancelled()  # told once
    assert talk.heard() == [BasicCancel("t", no_wait=True)]
    assert talk.say(BasicCancel("t")) == [BasicCancelOk("t")]  # it may have crossed ours


def test_a_consumer_that_does_not_understand_hears_nothing() -> None:
    talk, queue = consuming(capabilities=())
    queue.subscribers[0].cancelled()
    assert talk.heard() == []


def test_an_answer_that_is_awaited_comes_before_the_end_of_a_consumer() -> None:
    talk, queue = consuming(capabilities=("consumer_cancel_notify",))
    talk.say(QueueDelete(queue="q"))
    queue.subscribers[0].cancelled()
    assert talk.heard() == []
    queue.answer(QueueReply(None, 4))
    assert talk.heard() == [QueueDeleteOk(4), BasicCancel("t", no_wait=True)]


def test_a_cancel_that_crosses_the_end_of_its_queue_is_answered_once() -> None:
    talk, queue = consuming(capabilities=("consumer_cancel_notify",))
    talk.say(BasicCancel("t"))
    queue.subscribers[0].cancelled()
    queue.answer()
    assert talk.heard() == [BasicCancelOk("t")]


@pytest.mark.parametrize(("value", "ends"), [(True, True), (False, False)])
def test_a_consumer_hears_of_a_failover_only_if_it_asked(value: object, ends: bool) -> None:
    talk = Conversation()
    queue = talk.port.add("q")
    arguments = {"x-cancel-on-ha-failover": value}
    talk.say(BasicConsume(0, "q", "t", arguments=arguments))  # type: ignore[arg-type]
    queue.answer()
    talk.heard()
    assert queue.subscribers[0].failed_over() is ends
    assert talk.heard() == [BasicCancel("t", no_wait=True)] * ends


def test_a_client_that_does_not_read_is_not_sent_to() -> None:
    talk, queue = consuming()
    talk.connection.pause_deliveries(True)
    talk.say(BasicConsume(queue="q", consumer_tag="later"))
    queue.answer()
    talk.connection.pause_deliveries(False)
    pauses = [one for one in queue.asked if one[0] == "pause"]
    assert pauses[:2] == [("pause", 1, True), ("pause", 2, True)]
    assert sorted(pauses[2:]) == [("pause", 1, False), ("pause", 2, False)]


# --- a whole node ---------------------------------------------------------------------------------


def filled(*bodies: bytes) -> tuple[Broker, Client]:
    broker = Broker()
    client = broker.client()
    client.say(QueueDeclare(queue="q"))
    client.publish("q", *bodies)
    return broker, client


def got(client: Client, count: int = 1) -> list[tuple[bool, bytes | None]]:
    client.say()
    for _ in range(count):
        client.endpoint.send_method(1, BasicGet(queue="q"))
    client._broker.exchange()
    heard, client.heard = client.heard, []
    return [(getattr(method, "redelivered", False), body) for _, method, body in heard]


def test_requeued_messages_take_their_old_places() -> None:
    _, client = filled(b"a", b"b", b"c", b"d")
    assert got(client, 3) == [(False, b"a"), (False, b"b"), (False, b"c")]
    client.say(BasicReject(2), BasicNack(1))
    assert got(client, 3) == [(True, b"a"), (True, b"b"), (False, b"d")]


def test_prefetch_limits_what_is_owed() -> None:
    _, client = filled(b"a", b"b", b"c")
    client.say(BasicQos(prefetch_count=2))
    client.endpoint.send_method(1, BasicConsume(queue="q", consumer_tag="t"))
    client._broker.exchange()
    assert client.deliveries() == [("t", 1, False, b"a"), ("t", 2, False, b"b")]
    client.endpoint.send_method(1, BasicAck(1))
    client._broker.exchange()
    assert client.deliveries() == [("t", 3, False, b"c")]


def test_a_closed_channel_gives_back_to_others() -> None:
    broker, client = filled(b"a", b"b")
    other = broker.client()
    client.say(BasicConsume(queue="q", consumer_tag="t"))
    other.say(BasicConsume(queue="q", consumer_tag="o"))
    client.say(ChannelClose(200, "bye"))
    assert other.deliveries() == [("o", 1, True, b"a"), ("o", 2, True, b"b")]


def test_cancel_keeps_what_is_owed() -> None:
    _, client = filled(b"a")
    client.say(BasicConsume(queue="q", consumer_tag="t"))
    assert client.say(BasicCancel("t")) == [BasicCancelOk("t")]
    assert got(client) == [(False, None)]
    client.say(BasicNack(1))
    assert got(client) == [(True, b"a")]


def test_an_exclusive_consumer_is_alone() -> None:
    _, client = filled()
    client.say(BasicConsume(queue="q", consumer_tag="t", exclusive=True))
    text = "ACCESS_REFUSED - queue 'q' in vhost '/' in exclusive use"
    assert closed_with(client.say(BasicConsume(queue="q")))[:2] == (403, text)


# --- a limit shared by the channel ----------------------------------------------------------------


def shared(limit: int, *consumers: str, own: int = 0) -> tuple[Broker, Client]:
    """Return a client that consumes queue q with these consumers and a shared limit."""
    broker, client = filled(*(b"%d" % number for number in range(1, 10)))
    client.say(BasicQos(prefetch_count=own), BasicQos(prefetch_count=limit, global_=True))
    for tag in consumers:
        client.endpoint.send_method(1, BasicConsume(queue="q", consumer_tag=tag))
    broker.exchange()
    return broker, client


def acked(broker: Broker, client: Client, tag: int, multiple: bool = False) -> None:
    client.endpoint.send_method(1, BasicAck(tag, multiple=multiple))
    broker.exchange()


def test_consumers_share_a_limit() -> None:
    broker, client = shared(3, "a", "b")
    assert [body for *_, body in client.deliveries()] == [b"1", b"2", b"3"]
    acked(broker, client, 2)
    assert [(tag, again, body) for _, tag, again, body in client.deliveries()] == [(4, False, b"4")]
    acked(broker, client, 4, multiple=True)
    assert sorted(body for *_, body in client.deliveries()) == [b"5", b"6", b"7"]


def test_what_was_beyond_the_limit_is_delivered_once_unmarked_and_in_order() -> None:
    broker, client = shared(1, "a", "b", "c")
    seen = []
    for tag in range(1, 10):
        (delivery,) = client.deliveries()
        seen.append(delivery[2:])
        acked(broker, client, tag)
    assert seen == [(False, b"%d" % number) for number in range(1, 10)]
    assert client.deliveries() == []


def test_both_limits_hold() -> None:
    _, client = shared(5, "a", "b", own=2)
    assert sorted(tag for tag, *_ in client.deliveries()) == ["a", "a", "b", "b"]


def test_the_shared_limit_can_change() -> None:
    broker, client = shared(2, "a")
    assert len(client.deliveries()) == 2
    client.endpoint.send_method(1, BasicQos(prefetch_count=4, global_=True))
    broker.exchange()
    assert len(client.deliveries()) == 2
    client.say(BasicQos(prefetch_count=1, global_=True))
    acked(broker, client, 3, multiple=True)
    assert client.deliveries() == []
    acked(broker, client, 4)
    assert len(client.deliveries()) == 1
    client.endpoint.send_method(1, BasicQos(prefetch_count=0, global_=True))
    broker.exchange()
    assert [body for *_, body in client.deliveries()] == [b"6", b"7", b"8", b"9"]


def test_a_prefetch_for_each_consumer_ends_the_shared_one() -> None:
    broker, client = shared(2, "a")
    client.endpoint.send_method(1, BasicQos(prefetch_count=1))
    broker.exchange()
    assert len(client.deliveries()) == 9


def test_a_limit_that_comes_after_the_consumers() -> None:
    broker, client = filled(b"1", b"2", b"3")
    client.endpoint.send_method(1, BasicConsume(queue="q", consumer_tag="a"))
    broker.exchange()
    assert len(client.deliveries()) == 3
    client.say(BasicQos(prefetch_count=2, global_=True))
    client.publish("q", b"4", b"5")
    assert client.deliveries() == []
    acked(broker, client, 2, multiple=True)
    assert [body for *_, body in client.deliveries()] == [b"4"]


def test_requeued_deliveries_make_room() -> None:
    broker, client = shared(2, "a", "b")
    client.taken()
    client.endpoint.send_method(1, BasicNack(0, multiple=True))
    broker.exchange()
    assert sorted((again, body) for *_, again, body in client.deliveries()) == [
        (True, b"1"),
        (True, b"2"),
    ]


def test_what_a_transaction_holds_makes_no_room() -> None:
    broker, client = shared(1, "a")
    client.say(TxSelect())
    acked(broker, client, 1)
    assert client.deliveries() == []
    client.endpoint.send_method(1, TxCommit())
    broker.exchange()
    assert [body for *_, body in client.deliveries()] == [b"2"]


def test_what_basic_get_fetches_is_not_limited() -> None:
    broker, client = shared(1)
    assert len(got(client, 3)) == 3
    client.endpoint.send_method(1, BasicConsume(queue="q", consumer_tag="a"))
    broker.exchange()
    assert [body for *_, body in client.deliveries()] == [b"4"]


def test_no_ack_needs_no_room_but_waits_for_it() -> None:
    broker, client = filled(b"1", b"2", b"3")
    client.say(BasicQos(prefetch_count=1, global_=True))
    client.endpoint.send_method(1, BasicConsume(queue="q", consumer_tag="a", no_ack=True))
    broker.exchange()
    assert len(client.deliveries()) == 3
    client.say(QueueDeclare(queue="other"), BasicConsume(queue="other", consumer_tag="b"))
    client.publish("other", b"4")
    assert client.deliveries() == [("b", 4, False, b"4")]
    client.publish("q", b"5")
    assert client.deliveries() == []
    acked(broker, client, 4)
    assert client.deliveries() == [("a", 5, False, b"5")]


def test_no_ack_waits_from_the_start_where_the_limit_is_reached() -> None:
    broker, client = shared(2, "a")
    client.say(
        QueueDeclare(queue="other"), BasicConsume(queue="other", consumer_tag="b", no_ack=True)
    )
    client.publish("other", b"x")
    assert client.deliveries() == []
    client.endpoint.send_method(1, BasicQos(prefetch_count=0, global_=True))
    broker.exchange()
    assert ("b", b"x") in [(tag, body) for tag, _, _, body in client.deliveries()]


def test_what_is_on_the_way_does_not_overtake_what_went_back() -> None:
    talk = Conversation()
    queue = talk.port.add("q")
    talk.say(BasicQos(prefetch_count=1, global_=True))
    for tag in ("a", "b"):
        talk.say(BasicConsume(queue="q", consumer_tag=tag))
        queue.answer()
    talk.heard()
    queue.asked.clear()

    def delivered(consumer: int, position: int) -> None:
        messages = [(ROUTE, content())]
        queue.subscribers[consumer].deliver(queue.lease, [position], messages, False)

    delivered(0, 1)
    delivered(1, 2)
    assert queue.asked == [
        ("pause", 1, True),
        ("pause", 2, True),
        ("requeue", [2]),
        ("count", False, False),
    ]
    assert len(talk.heard()) == 1
    assert talk.say(BasicAck(1)) == []
    delivered(0, 3)  # it was sent before the queue heard that 2 comes back
    assert talk.heard() == []
    assert queue.asked[4:] == [("settle", [1]), ("requeue", [3])]
    queue.answer()
    assert queue.asked[6:] == [("pause", 1, False), ("pause", 2, False)]
    delivered(1, 2)
    assert [method.name for method in talk.heard()] == ["basic.deliver"]


def test_a_quorum_queue_knows_no_shared_limit() -> None:
    talk = Conversation()
    talk.port.add("q").kind = "quorum"
    talk.say(BasicQos(prefetch_count=1, global_=True))
    (closed,) = talk.say(BasicConsume(queue="q"))
    assert isinstance(closed, ConnectionClose)
    text = "NOT_IMPLEMENTED - queue 'q' in vhost '/' does not support global qos"
    assert (closed.reply_code, closed.reply_text) == (540, text)
