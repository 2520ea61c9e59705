"""A leader of a queue that was declared with arguments: what they change, and survives a failover.

The races of `cluster.leader` that only such queues have are here, under their names.
"""

from __future__ import annotations

from support.cluster_clients import Reader
from support.cluster_hostings import HostingCluster
from support.cluster_leader import LeaderAlone

from rabbitry.broker.queue import Consumer
from rabbitry.broker.queue_settings import QueueSettings
from rabbitry.cluster.queue_records import Got, Refused, Replied
from rabbitry.wire.errors import ACCESS_REFUSED
from rabbitry.wire.frames import content_body, content_properties
from rabbitry.wire.methods import BasicProperties
from rabbitry.wire.values import FieldValue


def pass_all(cluster: HostingCluster, sender: str, receiver: str) -> None:
    while cluster.pass_record(sender, receiver):
        pass


def got(reader: Reader) -> list[tuple[bytes, bool]]:
    """What a reader has had since the last call, as (body, redelivered)."""
    deliveries, reader.deliveries = reader.deliveries, []
    return [(content_body(one.body), one.redelivered) for one in deliveries]


# --- priorities -----------------------------------------------------------------------------------


def test_order_is_not_position() -> None:
    cluster = HostingCluster(["a", "b"], arguments={"x-max-priority": 9})
    cluster.publish("b", b"1", b"2", properties=BasicProperties(priority=1))
    cluster.publish("b", b"3", b"4", properties=BasicProperties(priority=4))
    reader = cluster.reader("a", 1, prefetch_count=1)
    reader.subscribe()
    cluster.settle_down()
    assert got(reader) == [(b"3", False)]
    reader.settle(1)
    cluster.settle_down()
    assert got(reader) == [(b"4", False)]
    cluster.kill("a")
    reader = cluster.reader("b", 1, prefetch_count=1)
    reader.subscribe()
    cluster.settle_down()
    assert got(reader) == [(b"4", True)]
    reader.settle(2)
    cluster.flush()
    assert got(reader) == [(b"1", True)], "the mirror knew that it might have gone out"
    reader.settle(1)
    cluster.publish("b", b"5", properties=BasicProperties(priority=9))
    assert got(reader) == [(b"5", False)]
    reader.settle(1)
    cluster.flush()
    assert got(reader) == [(b"2", True)]


# --- a single active consumer ---------------------------------------------------------------------


def test_nobody_consumes_exclusively_where_one_is_active_at_a_time() -> None:
    alone = LeaderAlone([], arguments={"x-single-active-consumer": True})
    alone.leader.subscribe("u", 1, Consumer(("u", 1), 1, exclusive=True))
    (told,) = alone.port.told
    assert isinstance(told[1], Replied)
    assert told[1].refusal == Refused(ACCESS_REFUSED, "queue 'q' in vhost '/' in exclusive use")


def test_the_next_consumer_takes_over_when_the_active_one_goes() -> None:
    cluster = HostingCluster(["a", "b"], arguments={"x-single-active-consumer": True})
    first, second = cluster.reader("b", 1), cluster.reader("a", 2)
    first.subscribe()
    cluster.settle_down()
    second.subscribe()
    cluster.publish("a", b"1")
    cluster.settle_down()
    assert [one.body for one in first.deliveries] == [b"1"]
    first.proxy.release(first.holder)
    cluster.settle_down()
    cluster.publish("a", b"2")
    cluster.settle_down()
    assert [(one.body, one.redelivered) for one in second.deliveries] == [
        (b"1", True),
        (b"2", False),
    ]


# --- age ------------------------------------------------------------------------------------------


def test_expired_in_a_mirrors_time() -> None:
    cluster = HostingCluster(["a", "b"], arguments={"x-message-ttl": 100})
    cluster.publish("b", b"1")
    cluster.settle_down()
    cluster.pass_time(60_000)
    cluster.publish("b", b"2")
    cluster.settle_down()
    cluster.kill("a")
    cluster.settle_down()
    cluster.start("c")
    cluster.settle_down()
    assert cluster.placed.leader == "b"
    assert sorted(cluster.nodes["c"].held()) == [1, 2]
    cluster.pass_time(39_999)
    assert sorted(cluster.nodes["b"].held()) == [1, 2]
    cluster.pass_time(1)
    assert sorted(cluster.nodes["b"].held()) == [2]
    cluster.settle_down()
    assert sorted(cluster.nodes["c"].held()) == [2]
    cluster.kill("b")
    cluster.settle_down()
    cluster.pass_time(60_000)
    assert cluster.nodes["c"].held() == {}, "copied with its time"


def test_nothing_that_has_expired_is_delivered() -> None:
    alone = LeaderAlone([], arguments={"x-message-ttl": 5})
    alone.publish("u", 1, 2)
    assert alone.port.wake_at == alone.port.time + 5_000
    alone.port.time += 5_000
    alone.leader.subscribe("u", 1, Consumer(("u", 1), 1))
    alone.pump()
    assert alone.port.delivered == []
    alone.publish("u", 3, 1)
    assert alone.port.delivered == [(3, False)]
    alone.leader.release(("u", 1))
    alone.pump()
    alone.port.time += 5_000
    alone.leader.get("u", 2, ("u", 1), True)
    alone.pump()
    got = alone.port.told[-1][1]
    assert isinstance(got, Got)
    assert got.run is None, "what came back keeps its time"
    assert alone.port.wake_at is None


def test_at_once_or_never() -> None:
    cluster = HostingCluster(["a", "b"], arguments={"x-message-ttl": 0})
    receipts = cluster.publish("b", b"1")
    cluster.settle_down()
    assert receipts[0].accepted
    assert cluster.nodes["a"].held() == {}
    reader = cluster.reader("b", 1, prefetch_count=1)
    reader.subscribe()
    cluster.settle_down()
    cluster.publish("b", b"2", b"3")
    cluster.settle_down()
    assert [one.body for one in reader.deliveries] == [b"2"], "3 finds nobody"
    assert sorted(cluster.nodes["b"].held()) == [2]


def test_a_queue_goes_that_nobody_uses() -> None:
    alone = LeaderAlone([], arguments={"x-expires": 10})
    leader, port = alone.leader, alone.port
    leader.subscribe("u", 1, Consumer(("u", 1), 1))
    alone.pump()
    assert port.wake_at is None
    port.time += 50_000
    leader.unsubscribe("u", 2, ("u", 1), 1)
    alone.pump()
    assert port.wake_at == port.time + 10_000
    port.time += 9_000
    leader.inquire("u", 3, "count", False, False)
    alone.pump()
    port.time += 9_000
    leader.get("u", 4, ("u", 1), True)
    alone.pump()
    port.time += 9_999
    alone.publish("u", 1, 1)
    assert port.deletions == 0
    port.time += 1
    leader.pump()
    leader.pump()
    assert port.deletions == 1


# --- length ---------------------------------------------------------------------------------------


def test_publish_rejected_twice() -> None:
    arguments: dict[str, FieldValue] = {"x-max-length": 1, "x-overflow": "reject-publish"}
    cluster = HostingCluster(["a", "b", "c"], arguments=arguments)
    first = cluster.publish("c", b"1", b"2")  # there is room for one
    pass_all(cluster, "c", "a")
    cluster.leader.proxy.inquire("purge", lambda _: None)
    cluster.flush()
    second = cluster.publish("c", b"3")  # and now for another
    pass_all(cluster, "c", "a")
    pass_all(cluster, "a", "b")
    pass_all(cluster, "a", "c")  # c holds the stream, but has not heard of its publishes
    assert not any(one.accepted for one in first + second)
    cluster.kill("a", successor="b")
    cluster.settle_down()
    assert [(one.accepted, one.refused) for one in first + second] == [
        (True, False),
        (True, True),
        (True, False),
    ]
    assert list(cluster.nodes["b"].held().values()) == [b"3"]
    leader = cluster.nodes["b"].leader
    assert leader is not None
    assert leader.rejections
    cluster.publish("c", b"4")
    cluster.settle_down()
    cluster.publish("c", b"5")
    cluster.settle_down()
    assert leader.rejections == {cluster.nodes["c"].origin: [(5, 5)]}, "2 and 4 were heard of"


def test_the_oldest_go_when_there_are_too_many() -> None:
    cluster = HostingCluster(["a", "b"], arguments={"x-max-length": 2})
    receipts = cluster.publish("b", b"1", b"2", b"3")
    cluster.settle_down()
    assert all(one.accepted and not one.refused for one in receipts)
    assert list(cluster.nodes["a"].held().values()) == [b"2", b"3"]
    assert list(cluster.nodes["b"].held().values()) == [b"2", b"3"]


def test_a_queue_follows_new_settings() -> None:
    alone = LeaderAlone([])
    alone.publish("u", 1, 4)
    alone.leader.configure(QueueSettings(length_max=1))
    alone.pump()
    assert [position for position, _ in alone.leader.queue.entries()] == [4]
    alone.leader.configure(QueueSettings())
    alone.publish("u", 5, 3)
    assert alone.leader.queue.ready_count == 4


# --- dead letters ---------------------------------------------------------------------------------


def test_a_dead_letter_is_never_lost() -> None:
    cluster = HostingCluster(["a", "b"], arguments={"x-dead-letter-exchange": "dead"})
    cluster.publish("b", b"1", b"2")
    reader = cluster.reader("b", 1)
    reader.subscribe()
    cluster.settle_down()
    first, second = reader.unsettled
    reader.proxy.reject(first.lease, reader.holder, [first.position])
    cluster.settle_down()
    leader = cluster.nodes["a"]
    assert leader.dead_letters == [("rejected", b"1")]
    assert sorted(cluster.nodes["b"].held()) == [1, 2], "until it is safe elsewhere"
    leader.undone.pop()()
    cluster.flush()
    cluster.settle_down()
    assert sorted(cluster.nodes["b"].held()) == [2]
    reader.proxy.reject(second.lease, reader.holder, [second.position])
    cluster.settle_down()
    assert leader.dead_letters[1:] == [("rejected", b"2")]
    cluster.kill("a")
    cluster.settle_down()
    assert reader.deliveries[2:] == [], "its client has said what shall become of it"
    assert cluster.leader.dead_letters == [("rejected", b"2")]


def test_what_expires_and_what_is_too_much_are_dead_letters() -> None:
    arguments: dict[str, FieldValue] = {
        "x-dead-letter-exchange": "",
        "x-message-ttl": 1,
        "x-max-length": 2,
    }
    alone = LeaderAlone([], arguments=arguments)
    alone.publish("u", 1, 3)
    alone.port.time += 1_000
    alone.leader.pump()
    assert alone.port.dead_letters == [("maxlen", b"1"), ("expired", b"2"), ("expired", b"3")]
    for done in alone.port.undone:
        done()
    assert alone.leader.queue.entries() == []
    assert alone.leader.queue.expiries == {}


# --- counting deliveries (quorum queues) ----------------------------------------------------------


def counts_of(reader: Reader) -> list[int | None]:
    found = []
    for delivery in reader.deliveries:
        properties, _ = BasicProperties.decode(content_properties(delivery.body), 0)
        count = (properties.headers or {}).get("x-delivery-count")
        assert count is None or isinstance(count, int)
        found.append(count)
    return found


def test_what_came_back_is_counted_also_by_the_next_leader() -> None:
    arguments: dict[str, FieldValue] = {"x-queue-type": "quorum", "x-delivery-limit": 3}
    cluster = HostingCluster(["a", "b"], arguments=arguments)
    cluster.publish("b", b"1", properties=BasicProperties())
    reader = cluster.reader("a", 1, prefetch_count=1)
    reader.subscribe()
    cluster.settle_down()
    for _ in range(2):
        reader.requeue(1)
        cluster.settle_down()
    assert counts_of(reader) == [None, 1, 2]
    cluster.start("c")
    cluster.settle_down()
    cluster.kill("a", successor="c")
    reader = cluster.reader("b", 1, prefetch_count=1)
    reader.subscribe()
    cluster.settle_down()
    assert counts_of(reader) == [2], "a failover is not the message's fault"
    reader.requeue(1)
    cluster.settle_down()
    assert counts_of(reader)[1:] == [3]
    reader.requeue(1)
    cluster.settle_down()
    assert len(reader.deliveries) == 2
    assert cluster.nodes["b"].held() == cluster.nodes["c"].held() == {}


def test_what_came_back_too_often_is_a_dead_letter() -> None:
    arguments: dict[str, FieldValue] = {
        "x-queue-type": "quorum",
        "x-delivery-limit": 0,
        "x-dead-letter-exchange": "",
    }
    alone = LeaderAlone([], arguments=arguments)
    alone.leader.subscribe("u", 1, Consumer(("u", 1), 1, prefetch_count=1))
    alone.pump()
    alone.publish("u", 1, 2)
    alone.leader.requeue(("u", 1), [1], redelivered=False)  # it never reached the client
    alone.pump()
    assert alone.port.delivered == [(1, False), (1, False)]
    alone.leader.release(("u", 1))
    alone.pump()
    assert alone.port.dead_letters == [("delivery_limit", b"1")]
    alone.port.undone.pop()()
    assert [position for position, _ in alone.leader.queue.entries()] == [2]
    assert alone.leader.queue.counts == {}
