"""Class tx: what is held back, what a commit does and waits for, what a rollback gives back."""

from __future__ import annotations

import pytest
from support.broker_client import Broker, Client, closed_with
from support.fake_broker import Conversation

from rabbitry.wire.methods import (
    BasicAck,
    BasicConsume,
    BasicConsumeOk,
    BasicGet,
    BasicGetEmpty,
    BasicNack,
    BasicQos,
    BasicQosOk,
    BasicRecover,
    BasicRecoverOk,
    BasicReject,
    BasicReturn,
    ChannelClose,
    ChannelCloseOk,
    ConfirmSelect,
    Method,
    QueueDeclare,
    QueueDelete,
    QueueDeleteOk,
    TxCommit,
    TxCommitOk,
    TxRollback,
    TxRollbackOk,
    TxSelect,
    TxSelectOk,
)


def transactional() -> Conversation:
    talk = Conversation()
    assert talk.say(TxSelect()) == [TxSelectOk()]
    return talk


# --- modes ----------------------------------------------------------------------------------------


def test_select_again_changes_nothing() -> None:
    talk = transactional()
    queue = talk.port.add("q")
    talk.publish("q", b"a")
    assert talk.say(TxSelect()) == [TxSelectOk()]
    talk.say(TxCommit())
    assert len(queue.published) == 1


@pytest.mark.parametrize("said", [TxCommit(), TxRollback()])
def test_a_channel_without_transactions(said: Method) -> None:
    text = "PRECONDITION_FAILED - channel is not transactional"
    assert closed_with(Conversation().say(said)) == (406, text, 90, said.method_id)


def test_a_channel_has_confirms_or_transactions() -> None:
    talk = Conversation()
    talk.say(ConfirmSelect())
    text = "PRECONDITION_FAILED - cannot switch from confirm to tx mode"
    assert closed_with(talk.say(TxSelect())) == (406, text, 90, 10)
    text = "PRECONDITION_FAILED - cannot switch from tx to confirm mode"
    assert closed_with(transactional().say(ConfirmSelect())) == (406, text, 85, 10)


# --- publishes ------------------------------------------------------------------------------------


def test_publishes_go_out_at_the_commit_which_waits_for_the_queues() -> None:
    talk = transactional()
    first, second = talk.port.add("first"), talk.port.add("second")
    talk.publish("first", b"a", b"b")
    talk.publish("second", b"c")
    assert first.published == second.published == []
    assert talk.say(TxCommit(), BasicQos()) == []
    (run,), (other,) = first.published, second.published
    assert [len(run[0]), len(other[0])] == [2, 1]
    assert other[1] is not None
    assert run[1] is not None
    other[1].settled()
    assert talk.heard() == []
    run[1].settled()
    assert talk.heard() == [TxCommitOk(), BasicQosOk()]


def test_an_empty_commit_is_answered_at_once() -> None:
    assert transactional().say(TxCommit(), TxCommit()) == [TxCommitOk(), TxCommitOk()]


def test_the_next_transaction_begins_with_the_commit() -> None:
    talk = transactional()
    queue = talk.port.add("q")
    talk.publish("q", b"a")
    talk.say(TxCommit())
    receipt = queue.published[0][1]
    assert receipt is not None
    talk.publish("q", b"b")
    receipt.settled()
    assert talk.heard() == [TxCommitOk()]
    assert talk.say(TxRollback(), TxCommit()) == [TxRollbackOk(), TxCommitOk()]
    assert len(queue.published) == 1


def test_a_publish_is_judged_when_it_comes() -> None:
    talk = transactional()
    assert closed_with(talk.publish("k", b"a", exchange="none"))[:2] == (
        404,
        "NOT_FOUND - no exchange 'none' in vhost '/'",
    )


def test_returns_come_at_the_commit_and_before_its_answer() -> None:
    talk = transactional()
    assert talk.publish("nobody", b"a", mandatory=True) == []
    assert talk.publish("nowhere", b"b", mandatory=True) == []
    assert talk.say(TxCommit()) == [
        BasicReturn(312, "NO_ROUTE", "", "nobody"),
        BasicReturn(312, "NO_ROUTE", "", "nowhere"),
        TxCommitOk(),
    ]


def test_a_queue_that_is_gone_by_the_commit_is_not_waited_for() -> None:
    talk = transactional()
    queue = talk.port.add("q")
    talk.publish("q", b"a", mandatory=True)
    del talk.port.queues["q"]
    assert talk.say(TxCommit()) == [BasicReturn(312, "NO_ROUTE", "", "q"), TxCommitOk()]
    assert queue.published == []


def test_a_channel_that_closes_forgets_what_it_held() -> None:
    talk = transactional()
    queue = talk.port.add("q")
    talk.publish("q", b"a")
    assert talk.say(ChannelClose(200, "bye")) == [ChannelCloseOk()]
    assert queue.published == []


def test_a_commit_of_what_a_queue_refuses_fails() -> None:
    talk = transactional()
    queue = talk.port.add("q")
    talk.publish("q", b"a", b"b")
    talk.say(TxCommit())
    receipt = queue.published[0][1]
    assert receipt is not None
    receipt.rejected(1, 1)
    assert talk.heard() == []
    receipt.settled()
    text = "PRECONDITION_FAILED - partial tx completion"
    assert closed_with(talk.heard()) == (406, text, 90, 20)


# --- acknowledgements, on a whole node ------------------------------------------------------------


def consuming(*bodies: bytes) -> tuple[Broker, Client]:
    """Return a transactional client that was delivered these."""
    broker = Broker()
    client = broker.client()
    client.say(QueueDeclare(queue="q"), TxSelect())
    broker.client().publish("q", *bodies)
    assert client.say(BasicConsume(queue="q", consumer_tag="t"))[0] == BasicConsumeOk("t")
    return broker, client


def test_acks_are_carried_out_at_the_commit() -> None:
    broker, client = consuming(b"a", b"b", b"c")
    client.say(BasicAck(2, multiple=True))
    assert client.say(TxCommit()) == [TxCommitOk()]
    client.disconnect()
    other = broker.client()
    other.say(BasicGet(queue="q", no_ack=True))
    assert other.say(BasicGet(queue="q")) == [BasicGetEmpty()]


def test_acks_that_were_not_committed_are_none() -> None:
    broker, client = consuming(b"a", b"b", b"c")
    client.say(BasicAck(3, multiple=True))
    client.disconnect()
    other = broker.client()
    other.endpoint.send_method(1, BasicConsume(queue="q", consumer_tag="o"))
    broker.exchange()
    assert other.deliveries() == [
        ("o", 1, True, b"a"),
        ("o", 2, True, b"b"),
        ("o", 3, True, b"c"),
    ]


def test_what_a_transaction_holds_cannot_be_settled_again() -> None:
    _, client = consuming(b"a")
    client.say(BasicAck(1))
    assert closed_with(client.say(BasicReject(1)))[:2] == (
        406,
        "PRECONDITION_FAILED - unknown delivery tag 1",
    )


def test_a_rollback_has_it_owed_again_in_order() -> None:
    _, client = consuming(b"a", b"b", b"c")
    client.say(BasicAck(3), BasicNack(1), BasicReject(2))
    assert client.say(TxRollback(), BasicAck(2, multiple=True), TxCommit()) == [
        TxRollbackOk(),
        TxCommitOk(),
    ]
    assert client.say(BasicAck(3)) == []
    assert closed_with(client.say(BasicAck(2)))[0] == 406


def test_what_is_requeued_comes_again_after_the_commit() -> None:
    broker, client = consuming(b"a", b"b")
    assert client.say(BasicNack(0, multiple=True)) == []
    client.endpoint.send_method(1, TxCommit())
    broker.exchange()
    assert client.deliveries() == [("t", 3, True, b"a"), ("t", 4, True, b"b")]


def test_recover_leaves_what_the_transaction_holds() -> None:
    _, client = consuming(b"a", b"b")
    client.say(BasicAck(1))
    heard = client.say(BasicRecover(requeue=True))
    assert heard[0] == BasicRecoverOk()
    assert [method.name for method in heard[1:]] == ["basic.deliver"]
    assert client.say(TxRollback(), BasicAck(1), TxCommit()) == [TxRollbackOk(), TxCommitOk()]


def test_a_deleted_queue_does_not_hold_up_a_commit_of_acks() -> None:
    _, client = consuming(b"a")
    client.say(BasicAck(1))
    assert QueueDeleteOk(0) in client.say(QueueDelete(queue="q"))
    assert client.say(TxCommit()) == [TxCommitOk()]
