"""A new leader and what was out when it came: the races of `cluster.gathering`, one by one."""

from __future__ import annotations

import pytest
from support.cluster_clients import Reader
from support.cluster_hostings import HostingCluster
from support.cluster_nodes import QUEUE

from rabbitry.cluster.patience import MIRROR_PATIENCE_US
from rabbitry.cluster.records import NodeLeft, QueuePlaced
from rabbitry.wire.frames import content_body
from rabbitry.wire.methods import BasicProperties

NAMES = ["a", "b", "c"]


def hand_over(cluster: HostingCluster) -> None:
    """Have b lead in the place of a; nobody has heard of it yet."""
    cluster.change(QueuePlaced(QUEUE, 2, "b", ["c", "a"], ["b", "c", "a"]))


def reading(count: int, node: str = "c") -> tuple[HostingCluster, Reader]:
    """Return a cluster led by a, and a reader of a node that has got so many messages."""
    cluster = HostingCluster(NAMES)
    bodies = [b"%d" % number for number in range(1, count + 1)]
    cluster.publish("b", *bodies, properties=BasicProperties(delivery_mode=2))
    reader = cluster.reader(node, 1, prefetch_count=count)
    reader.subscribe()
    cluster.settle_down()
    assert got(reader) == [(body, False) for body in bodies]
    return cluster, reader


def got(reader: Reader) -> list[tuple[bytes, bool]]:
    """Return what came since the last call."""
    found = [(body_of(one.body), one.redelivered) for one in reader.deliveries]
    reader.deliveries.clear()
    return found


def held(cluster: HostingCluster) -> list[list[bytes]]:
    nodes = cluster.nodes.values()
    return [[body_of(content) for content in node.held().values()] for node in nodes]


def body_of(content: bytes) -> bytes:
    """Return the body; one that is not persistent is published here without a header."""
    return content if len(content) < 8 else content_body(content)


def hear(cluster: HostingCluster, *names: str) -> None:
    for name in names:
        while cluster.pass_word(name):
            pass


ORDERS = ["abc", "acb", "bac", "bca", "cab", "cba"]


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("at", ["before", "on the way", "after"])
@pytest.mark.parametrize("node", NAMES)
def test_acknowledged_across_a_change(node: str, at: str, order: str) -> None:
    cluster, reader = reading(3, node)
    waiting = cluster.reader("b", 9)
    waiting.subscribe()
    cluster.settle_down()
    if at == "before":
        reader.settle(2)
        for one in order:
            cluster.pass_record(node, one)
    hand_over(cluster)
    for one in order:
        if at == "on the way" and one == node:
            reader.settle(2)
        hear(cluster, one)
    if at == "after":
        cluster.settle_down()
        reader.settle(2)
    cluster.settle_down()
    assert got(reader) == got(waiting) == [], "its client has the third still"
    assert held(cluster) == [[b"3"]] * 3
    reader.settle(1)
    cluster.settle_down()
    assert held(cluster) == [[]] * 3


@pytest.mark.parametrize("order", ORDERS)
def test_rejected_and_given_back_across_a_change(order: str) -> None:
    cluster, reader = reading(3)
    other = cluster.reader("b", 9, prefetch_count=1)
    other.subscribe()
    hand_over(cluster)
    for one in order:
        if one == "c":
            (first, _, third) = reader.unsettled
            reader.proxy.reject(first.lease, reader.holder, [first.position])
            reader.proxy.requeue(third.lease, reader.holder, [third.position])
            del reader.unsettled[0], reader.unsettled[1]
        hear(cluster, one)
    cluster.settle_down()
    assert got(reader) + got(other) == [(b"3", True)]
    assert held(cluster) == [[b"2", b"3"]] * 3


def test_the_prefetch_counts_what_was_out_before() -> None:
    cluster, reader = reading(3)
    cluster.publish("b", b"4", b"5")
    hand_over(cluster)
    cluster.settle_down()
    assert got(reader) == []
    reader.settle(1)
    cluster.settle_down()
    assert got(reader) == [(b"4", False)]


def test_what_a_channel_held_that_is_gone_comes_again_in_its_place() -> None:
    cluster, reader = reading(1)
    keeper = cluster.reader("c", 2, prefetch_count=1)
    keeper.subscribe()
    cluster.publish("b", b"2", b"3")
    cluster.settle_down()
    assert got(keeper) == [(b"2", False)]
    reader.proxy.release(reader.holder)
    hand_over(cluster)
    cluster.settle_down()
    keeper.requeue(1)
    cluster.settle_down()
    assert got(keeper) == [(b"1", True)]
    keeper.settle(1)
    cluster.settle_down()
    assert got(keeper) == [(b"2", True)]


def test_last_word_awaited() -> None:
    """Node c has not heard of the new leader: what it has must not go to anybody else."""
    cluster, reader = reading(1)
    other = cluster.reader("b", 2)
    other.subscribe()
    asked = cluster.reader("b", 3)
    hand_over(cluster)
    hear(cluster, "b", "a")
    while cluster.pass_record("a", "b") or cluster.pass_record("b", "a"):
        pass
    asked.proxy.inquire("purge", asked.replies.append)
    cluster.flush()
    assert cluster.leader.name == "b"
    assert cluster.leader.leader is not None
    assert cluster.leader.leader.awaited == ["c"]
    assert (got(other), asked.replies) == ([], [])
    cluster.settle_down()
    assert got(other) == []
    assert [reply.messages for reply in asked.replies] == [0], "it is out, not waiting"
    reader.requeue(1)
    cluster.settle_down()
    assert got(reader) + got(other) == [(b"1", True)]


@pytest.mark.parametrize("why", ["it has left", "it is out of reach"])
def test_a_word_that_cannot_come_is_not_awaited(why: str) -> None:
    cluster, _ = reading(1)
    other = cluster.reader("b", 2)
    other.subscribe()
    cluster.settle_down()
    hand_over(cluster)
    node = cluster.nodes["c"]
    cluster.reset("b", "c")
    cluster.notice("b", "c")
    if why == "it has left":
        cluster.change(NodeLeft("c", node.incarnation, True))
    hear(cluster, "b", "a")
    while cluster.pass_record("a", "b") or cluster.pass_record("b", "a"):
        pass
    leader = cluster.nodes["b"]
    assert leader.leader is not None
    times = [0, MIRROR_PATIENCE_US] if why == "it is out of reach" else [0]
    for now in times:
        assert leader.leader.awaited
        leader.hosting.tick(now)
        leader.hosting.flush()
    assert leader.leader.awaited == []


def test_late_word() -> None:
    """Node c was out of reach: one of its messages is with another consumer by now."""
    cluster, reader = reading(2)
    other = cluster.reader("b", 2, prefetch_count=1)
    other.subscribe()
    cluster.settle_down()
    hand_over(cluster)
    cluster.reset("b", "c")
    cluster.notice("b", "c")
    hear(cluster, "b", "a")
    while cluster.pass_record("a", "b") or cluster.pass_record("b", "a"):
        pass
    for now in (0, MIRROR_PATIENCE_US):
        cluster.leader.hosting.tick(now)
        cluster.leader.hosting.flush()
    cluster.settle_down()
    assert got(other) == [(b"1", True)]
    assert got(reader) == [], "the second stays with it"
    reader.settle(2)
    cluster.settle_down()
    assert held(cluster) == [[b"1"]] * 3, "who has it here is listened to"
    other.settle(1)
    cluster.settle_down()
    assert held(cluster) == [[]] * 3


def test_lost_while_gathering() -> None:
    cluster, reader = reading(2)
    hand_over(cluster)
    hear(cluster, "b", "c")
    while cluster.pass_record("c", "b"):
        pass
    leader = cluster.nodes["b"].leader
    assert leader is not None
    assert leader.awaited == ["a"]
    reader.settle(1)
    while cluster.pass_record("c", "b"):
        pass
    cluster.reset("b", "c")
    cluster.notice("b", "c")
    assert leader.awaited == ["a", "c"]
    cluster.settle_down()
    assert got(reader) == []
    assert held(cluster) == [[b"2"]] * 3


def test_in_the_store_only() -> None:
    cluster, reader = reading(5)
    mirror = cluster.nodes["b"].mirror
    assert mirror is not None
    cluster.flush()
    mirror.page(1)
    assert cluster.nodes["b"].held() == {}, "nothing is in memory"
    reader.settle(1)
    first, _, third, _ = reader.unsettled
    reader.proxy.reject(third.lease, reader.holder, [third.position])
    del reader.unsettled[2]
    hand_over(cluster)
    cluster.settle_down()
    assert got(reader) == []
    assert held(cluster)[1] == [b"2", b"3", b"5"]
    reader.requeue(1)
    cluster.settle_down()
    assert got(reader) == [(b"2", True)]
    assert body_of(first.body) == b"2"


def test_a_queue_declared_anew_is_another() -> None:
    """Its number is: what was acknowledged of the old one goes nowhere."""
    cluster, reader = reading(2)
    proxy = reader.proxy
    proxy.deleted()
    reader.settle(2)
    assert proxy.mark()
    cluster.settle_down()
    assert held(cluster) == [[b"1", b"2"]] * 3
