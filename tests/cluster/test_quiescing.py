"""Before leadership is handed over: the races of `cluster.quiescing`, one by one."""

from __future__ import annotations

from support.cluster_clients import Reader
from support.cluster_hostings import HostingCluster
from support.cluster_nodes import QUEUE

from rabbitry.cluster.quiescing import RESUME_US
from rabbitry.cluster.records import QueuePlaced
from rabbitry.wire.values import FieldValue

DEAD: dict[str, FieldValue] = {"x-dead-letter-exchange": "dead"}


def quiesce(cluster: HostingCluster) -> list[str]:
    """Have the leader let things settle; what is returned is no longer empty when they have."""
    said: list[str] = []
    cluster.leader.hosting.quiesce([QUEUE], lambda: said.append("settled"))
    cluster.flush()
    return said


def hand_over(cluster: HostingCluster) -> None:
    cluster.change(QueuePlaced(QUEUE, 2, "b", ["a"], ["b", "a"]))


def got(reader: Reader) -> list[tuple[bytes, bool]]:
    found = [(one.body, one.redelivered) for one in reader.deliveries]
    reader.deliveries.clear()
    return found


def reject(reader: Reader) -> None:
    one = reader.unsettled.pop(0)
    reader.proxy.reject(one.lease, reader.holder, [one.position])


def test_dead_letters_come_once() -> None:
    cluster = HostingCluster(["a", "b"], arguments=DEAD)
    cluster.publish("b", b"1")
    reader = cluster.reader("b", 1)
    reader.subscribe()
    cluster.settle_down()
    reject(reader)
    cluster.settle_down()
    old = cluster.nodes["a"]
    said = quiesce(cluster)
    cluster.settle_down()
    assert (old.dead_letters, said) == ([("rejected", b"1")], []), "it is not safe yet"
    old.undone.pop()()
    cluster.flush()
    assert said == [], "b may lead next, and does not know"
    cluster.settle_down()
    assert said == ["settled"]
    hand_over(cluster)
    cluster.settle_down()
    assert cluster.leader.name == "b"
    assert (cluster.nodes["b"].dead_letters, cluster.leader.held()) == ([], {})


def test_gone_without_an_acknowledgement() -> None:
    cluster = HostingCluster(["a", "b"])
    reader = cluster.reader("a", 1, no_ack=True)
    reader.subscribe()
    cluster.publish("a", b"1")
    while cluster.pass_record("a", "b") or cluster.pass_record("b", "a"):
        if reader.deliveries:
            break
    assert got(reader) == [(b"1", False)]
    said = quiesce(cluster)
    cluster.publish("a", b"2")
    cluster.flush()
    assert said == []
    cluster.settle_down()
    assert (said, got(reader)) == (["settled"], []), "nothing more goes out"
    hand_over(cluster)
    cluster.settle_down()
    assert [body for body, _ in got(reader)] == [b"2"]


def test_rejected_at_the_last_moment() -> None:
    cluster = HostingCluster(["a", "b"], arguments=DEAD)
    cluster.publish("b", b"1", b"2")
    reader = cluster.reader("b", 1)
    reader.subscribe()
    cluster.settle_down()
    said = quiesce(cluster)
    reject(reader)
    cluster.nodes["b"].hosting.tick(0)  # asks whether that is known
    cluster.nodes["b"].hosting.flush()
    cluster.settle_down()
    assert said == ["settled"]
    assert cluster.nodes["a"].dead_letters == []
    hand_over(cluster)
    cluster.settle_down()
    assert cluster.nodes["b"].dead_letters == [("rejected", b"1")]
    assert (got(reader)[2:], len(cluster.nodes["b"].held())) == ([], 2)


def test_nobody_takes_over() -> None:
    cluster = HostingCluster(["a", "b"], arguments=DEAD)
    cluster.publish("b", b"1")
    reader = cluster.reader("b", 1, prefetch_count=1)
    reader.subscribe()
    cluster.settle_down()
    quiesce(cluster)
    reject(reader)
    cluster.publish("b", b"2")
    cluster.settle_down()
    node = cluster.nodes["a"]
    node.hosting.tick(RESUME_US - 1)
    node.hosting.flush()
    cluster.settle_down()
    assert (got(reader), node.dead_letters) == ([(b"1", False)], [])
    node.hosting.tick(RESUME_US)
    node.hosting.flush()
    cluster.settle_down()
    assert (got(reader), node.dead_letters) == ([(b"2", False)], [("rejected", b"1")])


def test_one_that_ends_does_not_go_on() -> None:
    cluster = HostingCluster(["a", "b"])
    said: list[str] = []
    node = cluster.nodes["a"]
    quiesce(cluster)
    node.hosting.wind_up(lambda: said.append("ends"))
    cluster.settle_down()
    node.hosting.tick(2 * RESUME_US)
    assert node.leader is not None
    assert (said, node.leader.quiescing) == (["ends"], True)


def test_one_that_ends_waits_until_others_know_what_its_clients_said() -> None:
    cluster = HostingCluster(["a", "b"])
    cluster.publish("b", b"1")
    reader = cluster.reader("b", 1)
    reader.subscribe()
    cluster.settle_down()
    reader.settle(1)
    said: list[str] = []
    node = cluster.nodes["b"]
    node.hosting.wind_up(lambda: said.append("ends"))
    node.hosting.flush()
    assert said == []
    cluster.settle_down()
    node.hosting.tick(0)
    node.hosting.flush()
    assert said == ["ends"]
    assert cluster.leader.held() == {}
