"""What a proxy claims from its next leader, and what it need not."""

from __future__ import annotations

from support.cluster_proxy import HOLDER, Remote

from rabbitry.cluster.queue_records import (
    Claimed,
    Get,
    Mark,
    Marked,
    Subscribe,
)


def test_each_session_begins_with_what_channels_have() -> None:
    one = Remote()
    subscriber = one.subscribed()
    one.proxy.lend_to(HOLDER, lambda handle: [(1, [4, 5])] if handle is one.proxy else [])
    one.deliver(1, 2, 3, 4, 5)
    ((lease, _, _, _),) = subscriber.delivered
    one.proxy.settle(lease, HOLDER, [1])
    one.proxy.reject(lease, HOLDER, [2])
    one.proxy.disconnect()
    one.proxy.settle(lease, HOLDER, [3])
    one.taken()
    one.proxy.get(HOLDER, False, lambda reply, lease: None)
    one.proxy.connect("b", 2, None)
    kinds = [type(record) for _, record in one.sent]
    assert kinds == [Claimed, Subscribe, Get], "before anything more can come"
    one.taken()
    assert one.claims[-1] == Claimed(1, 2, [(HOLDER, 1, [4, 5])], [1, 3], [2])
    one.proxy.release(HOLDER)
    one.proxy.disconnect()
    one.proxy.connect("c", 3, None)
    one.taken()
    assert one.claims[-1] == Claimed(1, 3, [], [1, 3], [2])


def test_what_a_leader_knows_for_good_is_not_told_to_the_next() -> None:
    one = Remote()
    subscriber = one.subscribed()
    one.deliver(1, 2, 3)
    ((lease, _, _, _),) = subscriber.delivered
    one.proxy.settle(lease, HOLDER, [1])
    assert one.unsure == 1
    assert not one.proxy.mark()
    one.proxy.settle(lease, HOLDER, [2])
    assert not one.proxy.mark(), "one question at a time"
    assert [record for record in one.taken() if isinstance(record, Mark)] == [Mark(1, 1, 1)]
    one.proxy.receive(Marked(1, 1, 1))
    assert not one.proxy.mark()
    one.proxy.disconnect()
    assert not one.proxy.mark()
    one.proxy.connect("b", 2, None)
    one.taken()
    assert one.claims[-1].settled == [2]
    assert not one.proxy.mark()
    assert one.taken() == [Mark(1, 2, 2)]
    one.proxy.receive(Marked(1, 2, 2))
    assert one.proxy.mark()
    one.proxy.settle(lease, HOLDER, [3])
    assert one.unsure == 2


def test_what_was_told_to_come_again_is_not_claimed() -> None:
    """A client that is told of a failover expects all that it had to come again."""
    one = Remote()
    subscriber = one.subscribed(wants_cancel=True)
    one.deliver(1, 2)
    ((lease, _, _, _),) = subscriber.delivered
    one.proxy.disconnect()
    one.proxy.connect("b", 2, None)
    one.taken()
    assert lease.void
    one.proxy.settle(lease, HOLDER, [1])
    one.proxy.reject(lease, HOLDER, [2])
    one.proxy.requeue(lease, HOLDER, [2])
    assert one.taken() == []
    assert one.unsure == 0


def test_what_was_of_a_queue_that_is_gone_is_not_kept() -> None:
    one = Remote()
    subscriber = one.subscribed()
    one.deliver(1, 2)
    ((lease, _, _, _),) = subscriber.delivered
    one.proxy.settle(lease, HOLDER, [1])
    one.proxy.deleted()
    assert one.proxy.mark()
    one.proxy.settle(lease, HOLDER, [2])
    assert one.proxy.mark()
