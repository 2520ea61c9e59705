"""A proxy: what it keeps across sessions with leaders, and what it lets go."""

from __future__ import annotations

import pytest
from support.cluster_proxy import HOLDER, Remote, Subscriber

from rabbitry.broker.ports import QueueReply
from rabbitry.cluster.far_leader import consumer_of
from rabbitry.cluster.queue_records import (
    Accepted,
    Get,
    Got,
    Inquire,
    PauseConsumer,
    Publish,
    Record,
    Refused,
    Reject,
    Release,
    Replied,
    Requeue,
    Settle,
    Subscribe,
    Unsubscribe,
)
from rabbitry.wire.errors import NOT_FOUND, PRECONDITION_FAILED, RESOURCE_LOCKED


def published(record: Record) -> tuple[int, list[bytes]]:
    assert isinstance(record, Publish)
    return record.last, record.run[3]


# --- publishes -----------------------------------------------------------------------------------


def test_publishes_are_numbered_kept_and_sent_again() -> None:
    one = Remote()
    early = one.publish(b"1", b"2")
    assert one.taken() == []
    one.proxy.connect("a", 1, None)
    late = one.publish(b"3")
    assert [published(record) for record in one.taken()] == [(2, [b"1", b"2"]), (3, [b"3"])]
    assert one.backlog == 3
    one.proxy.receive(Accepted(1, 1, 2))
    assert (early.count, late.count, one.backlog) == (1, 0, 1)
    one.proxy.disconnect()
    one.publish(b"4")
    one.proxy.connect("b", 2, None)
    assert [published(record) for record in one.taken()] == [(3, [b"3"]), (4, [b"4"])]
    one.proxy.receive(Accepted(1, 2, 4))
    one.proxy.receive(Accepted(1, 2, 4))
    assert (early.count, late.count, one.backlog) == (1, 1, 0)


# --- subscriptions -------------------------------------------------------------------------------


def test_a_subscription_is_made_again_with_each_leader() -> None:
    one = Remote()
    subscriber = one.subscribed()
    assert [reply.refusal for reply in one.replies] == [None]
    one.proxy.disconnect()
    one.proxy.connect("b", 2, None)
    (again,) = one.taken()
    assert isinstance(again, Subscribe)
    assert (again.epoch, again.holder, again.number, again.prefetch_count) == (2, HOLDER, 1, 3)
    assert not consumer_of(again).paused
    one.proxy.receive(Replied(1, 2, again.request, None))
    one.deliver(5, epoch=2)
    ((lease, *delivered),) = subscriber.delivered
    assert delivered == [[5], [b"5"], False]
    assert (lease.handle, lease.number, lease.void) == (one.proxy, 1, False)
    assert len(one.replies) == 1, "the channel does not hear of it"


def test_a_subscription_not_answered_is_asked_once_in_each_session() -> None:
    one = Remote()
    one.proxy.connect("a", 1, None)
    one.subscribe(Subscriber())
    for epoch in (2, 3):
        one.taken()
        one.proxy.disconnect()
        one.proxy.connect("b", epoch, None)
        assert [type(record) for record in one.taken()] == [Subscribe]
    one.proxy.disconnect()
    one.proxy.connect("b", 3, None)
    one.proxy.disconnect()
    one.taken()
    one.proxy.connect("b", 4, None)
    assert [type(record) for record in one.taken()] == [Subscribe]


def test_one_made_again_and_not_answered_is_asked_once_too() -> None:
    one = Remote()
    one.subscribed()
    for epoch in (2, 3):
        one.proxy.disconnect()
        one.proxy.connect("b", epoch, None)
        assert [type(record) for record in one.taken()] == [Subscribe]


def test_a_refused_subscription_is_none() -> None:
    one = Remote()
    one.proxy.connect("a", 1, None)
    one.subscribe(Subscriber())
    one.taken()
    one.proxy.receive(Replied(1, 1, 1, Refused(403, "in exclusive use")))
    assert one.replies[0].refusal is not None
    one.proxy.disconnect()
    one.proxy.connect("b", 2, None)
    assert one.taken() == []


def test_one_that_is_refused_when_it_is_made_again_is_cancelled() -> None:
    one = Remote()
    subscriber = one.subscribed()
    one.proxy.disconnect()
    one.proxy.connect("b", 2, None)
    (again,) = one.taken()
    assert isinstance(again, Subscribe)
    one.proxy.receive(Replied(1, 2, again.request, Refused(403, "in exclusive use")))
    assert subscriber.cancels == 1


def test_a_failover_ends_a_subscription_that_wants_to_hear() -> None:
    one = Remote()
    one.subscribed(wants_cancel=True)
    one.proxy.disconnect()
    one.proxy.connect("a", 1, None)
    assert [type(record) for record in one.taken()] == [Subscribe], "the leader is the same"
    one.proxy.disconnect()
    one.proxy.connect("b", 2, None)
    assert one.taken() == [], "also where the last one had not answered"


def test_a_failover_does_not_end_what_has_not_begun() -> None:
    one = Remote()
    one.proxy.connect("a", 1, None)
    one.subscribe(Subscriber(wants_cancel=True))
    one.taken()
    one.proxy.disconnect()
    one.proxy.connect("b", 2, None)
    assert [type(record) for record in one.taken()] == [Subscribe]


def test_an_end_asked_for_before_the_beginning_was_granted_follows_it() -> None:
    """Else the next leader would deliver for ever to somebody who is not there."""
    one = Remote()
    one.proxy.connect("a", 1, None)
    one.subscribe(Subscriber())
    one.proxy.unsubscribe(HOLDER, 1, one.replies.append)
    one.taken()
    one.proxy.disconnect()
    one.proxy.connect("b", 2, None)
    assert [type(record) for record in one.taken()] == [Subscribe, Unsubscribe]


def test_an_end_that_was_not_answered_is_asked_for_again() -> None:
    one = Remote()
    one.subscribed()
    one.proxy.unsubscribe(HOLDER, 1, one.replies.append)
    one.taken()
    one.proxy.disconnect()
    one.proxy.connect("b", 2, None)
    (asked,) = one.taken()
    assert isinstance(asked, Unsubscribe)
    one.proxy.receive(Replied(1, 2, asked.request, None))
    assert len(one.replies) == 2
    one.deliver(7, epoch=2)
    # A leader that knew it still would deal to it for ever.
    assert one.taken() == [Unsubscribe(1, 2, 0, HOLDER, 1), Requeue(1, 2, HOLDER, [7])]


def test_a_paused_consumer_is_paused_with_the_next_leader_from_the_start() -> None:
    one = Remote()
    one.subscribed()
    one.proxy.pause_consumer(HOLDER, 1, True)
    one.proxy.pause_consumer(HOLDER, 99, True)
    assert one.taken() == [PauseConsumer(1, 1, HOLDER, 1, True)]
    one.proxy.disconnect()
    one.proxy.connect("b", 2, None)
    (again,) = one.taken()
    assert isinstance(again, Subscribe)
    assert consumer_of(again).paused


def test_another_prefetch_holds_with_the_next_leader_too() -> None:
    one = Remote()
    one.subscribed()
    one.proxy.pause_consumer(HOLDER, 1, False, 7)
    assert one.taken() == [PauseConsumer(1, 1, HOLDER, 1, False, 7)]
    one.proxy.disconnect()
    one.proxy.connect("b", 2, None)
    (again,) = one.taken()
    assert isinstance(again, Subscribe)
    consumer = consumer_of(again)
    assert (consumer.prefetch_count, consumer.shares_limit) == (7, True)


# --- deliveries ----------------------------------------------------------------------------------


def test_settling_is_good_with_the_next_leader_too() -> None:
    one = Remote()
    subscriber = one.subscribed()
    one.deliver(1, 2, 3)
    ((lease, _, _, _),) = subscriber.delivered
    one.proxy.settle(lease, HOLDER, [1])
    one.proxy.requeue(lease, HOLDER, [2])
    assert one.taken() == [Settle(1, 1, HOLDER, [1]), Requeue(1, 1, HOLDER, [2])]
    one.proxy.disconnect()
    one.proxy.requeue(lease, HOLDER, [3])
    assert one.taken() == []
    one.proxy.connect("b", 2, None)
    one.taken()
    one.proxy.settle(lease, HOLDER, [3])
    one.proxy.reject(lease, HOLDER, [2])
    assert one.taken() == [Settle(1, 2, HOLDER, [3]), Reject(1, 2, HOLDER, [2])]


def test_a_channel_that_ends_leaves_nothing() -> None:
    one = Remote()
    one.subscribed()
    one.proxy.get(HOLDER, False, lambda reply, lease: one.gets.append((reply, lease)))
    one.taken()
    one.proxy.release(HOLDER)
    assert one.taken() == [Release(1, 1, HOLDER)]
    one.proxy.receive(Got(1, 1, 2, 1, False, (b"", b"", [b"1"]), 0))
    one.proxy.disconnect()
    one.proxy.connect("b", 2, None)
    assert one.taken() == []
    assert one.gets == []


# --- questions -----------------------------------------------------------------------------------


def test_a_get_that_was_not_answered_is_asked_again() -> None:
    one = Remote()
    one.proxy.connect("a", 1, None)
    one.proxy.get(HOLDER, True, lambda reply, lease: one.gets.append((reply, lease)))
    one.taken()
    one.proxy.disconnect()
    one.proxy.connect("b", 2, None)
    assert one.taken() == [Get(1, 2, 1, HOLDER, True)]
    one.proxy.receive(Got(1, 2, 1, 8, True, (b"x", b"k", 0, [b"8"]), 3))
    one.proxy.receive(Got(1, 2, 1, 8, True, (b"x", b"k", 0, [b"8"]), 3))
    ((reply, lease),) = one.gets
    assert (lease.handle, lease.number) == (one.proxy, 0)
    assert (reply.position, reply.redelivered, reply.remaining) == (8, True, 3)
    assert reply.message == (one.routes.get(b"x", b"k"), b"8")


@pytest.mark.parametrize("what", ["count", "purge"])
def test_figures_come_back(what: str) -> None:
    one = Remote()
    one.proxy.connect("a", 1, None)
    one.proxy.inquire(what, one.replies.append)
    assert one.taken() == [Inquire(1, 1, 1, what)]
    one.proxy.receive(Replied(1, 1, 1, None, 5, 2))
    assert one.replies == [QueueReply(None, 5, 2)]


def test_deleting_waits_for_the_coordinator() -> None:
    one = Remote()
    one.proxy.connect("a", 1, None)
    one.proxy.inquire("delete", one.replies.append, if_empty=True)
    assert one.taken() == [Inquire(1, 1, 1, "delete", False, True)]
    one.proxy.receive(Replied(1, 1, 1, None, 5, 0))
    assert one.replies == []
    (on_answer,) = one.deletions
    assert on_answer is not None
    on_answer()
    assert one.replies == [QueueReply(None, 5, 0)]


def test_deleting_does_not_wait_for_a_leader_where_nobody_can_lead() -> None:
    one = Remote()
    one.proxy.connect("a", 1, None)
    one.proxy.inquire("delete", one.replies.append)
    one.proxy.inquire("count", one.replies.append)
    one.proxy.disconnect()
    assert one.deletions == [], "the leader may be another soon"
    one.proxy.nobody_leads()
    (on_answer,) = one.deletions
    assert on_answer is not None
    on_answer()
    assert one.replies == [QueueReply(None, 0, 0)]
    one.proxy.nobody_leads()
    assert len(one.deletions) == 1
    one.proxy.inquire("delete", one.replies.append, if_unused=True)
    assert len(one.deletions) == 2


def test_what_may_be_in_a_queue_that_nobody_leads_is_not_deleted_if_empty() -> None:
    one = Remote()
    one.proxy.inquire("delete", one.replies.append, if_empty=True)
    assert one.deletions == []
    (reply,) = one.replies
    assert reply.refusal is not None
    assert reply.refusal.reply_code == PRECONDITION_FAILED
    assert reply.refusal.text == "queue 'q' in vhost '/' not empty"


def test_a_queue_that_is_deleted_settles_all_that_waits() -> None:
    one = Remote()
    subscriber = one.subscribed()
    receipt = one.publish(b"1")
    waiting = Subscriber()
    one.subscribe(waiting, 2)
    one.proxy.get(HOLDER, False, lambda reply, lease: one.gets.append((reply, lease)))
    one.proxy.unsubscribe(HOLDER, 3, one.replies.append)
    one.proxy.deleted()
    assert (receipt.count, one.backlog) == (1, 0)
    assert (subscriber.cancels, waiting.cancels) == (1, 0)
    refusals = [reply.refusal for reply in one.replies[1:]]
    assert [one and one.reply_code for one in refusals] == [NOT_FOUND, None]
    assert one.gets[0][0].refusal is not None
    assert one.gets[0][0].refusal.reply_code == NOT_FOUND


def test_an_exclusive_queue_is_locked_to_others() -> None:
    one = Remote(owner="here#1/5")
    assert one.proxy.refuse("here#1/5") is None
    refusal = one.proxy.refuse("here#1/6")
    assert refusal is not None
    assert refusal.reply_code == RESOURCE_LOCKED
