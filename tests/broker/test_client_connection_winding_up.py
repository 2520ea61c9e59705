"""A client's connection that its node winds up: acknowledgements that cross the close count."""

from __future__ import annotations

from support.fake_broker import Conversation, FakeQueue, content

from rabbitry.broker.message import Route
from rabbitry.wire.frames import method_frame
from rabbitry.wire.methods import (
    BasicAck,
    BasicConsume,
    BasicNack,
    BasicQos,
    ConnectionCloseOk,
    QueueDeclare,
    TxCommit,
    TxSelect,
)

ROUTE = Route(b"", b"q")


def winding_up() -> tuple[Conversation, FakeQueue]:
    """Return a client that has got three messages, and is closed by us."""
    talk = Conversation()
    queue = talk.port.add("q")
    talk.say(BasicConsume(queue="q", consumer_tag="t"))
    queue.answer()
    queue.subscribers[0].deliver(queue.lease, [1, 2, 3], [(ROUTE, content())] * 3, False)
    talk.heard()
    talk.connection.wind_up(320, "CONNECTION_FORCED - shutdown", talk.now)
    del queue.asked[0]
    return talk, queue


def test_what_is_acknowledged_before_close_ok_counts() -> None:
    talk, queue = winding_up()
    assert [method.name for method in talk.heard()] == ["connection.close"]
    assert queue.asked == [("unsubscribe", 1)]
    talk.say(BasicAck(1), BasicQos(), BasicNack(2, requeue=False))
    talk.publish("q", b"late")
    talk.say(BasicAck(7), BasicAck(3))  # it never got a seventh
    assert queue.asked[1:] == [("settle", [1]), ("reject", [2]), ("settle", [3])]
    assert queue.published == []
    assert not talk.connection.finished
    talk.connection.receive(method_frame(0, ConnectionCloseOk().encode()), talk.now)
    assert talk.connection.finished
    talk.say(BasicAck(3))
    assert queue.asked[4:] == [("release",)]
    assert talk.heard() == []


def test_what_is_not_acknowledged_goes_back_when_it_can_be_no_more() -> None:
    talk, queue = winding_up()
    talk.connection.lost()
    assert queue.asked == [("unsubscribe", 1), ("release",)]
    assert talk.port.owners_deleted == ["rabbit#1/7"]


def test_acknowledgements_that_waited_for_an_answer_count_too() -> None:
    talk = Conversation()
    queue = talk.port.add("q")
    talk.say(BasicConsume(queue="q", consumer_tag="t"))
    queue.answer()
    queue.subscribers[0].deliver(queue.lease, [1, 2], [(ROUTE, content())] * 2, False)
    talk.say(QueueDeclare(queue="other"), BasicAck(1), BasicQos(), TxSelect(), BasicAck(2))
    talk.connection.wind_up(320, "end", talk.now)
    assert queue.asked[1:] == [("unsubscribe", 1), ("settle", [1])]
    talk.heard()
    talk.port.answer()
    assert talk.heard() == []


def test_a_transaction_that_is_not_committed_acknowledges_nothing() -> None:
    talk = Conversation()
    queue = talk.port.add("q")
    talk.say(BasicConsume(queue="q", consumer_tag="t"), TxSelect())
    queue.answer()
    queue.subscribers[0].deliver(queue.lease, [1], [(ROUTE, content())], False)
    talk.connection.wind_up(320, "end", talk.now)
    talk.say(BasicAck(1), TxCommit())
    assert queue.asked[1:] == [("unsubscribe", 1)]


def test_one_that_has_not_logged_in_is_just_closed() -> None:
    talk = Conversation()
    talk.connection.endpoint.state = "starting"
    talk.connection.wind_up(320, "end", talk.now)
    talk.connection.lost()
    assert talk.connection.closed
