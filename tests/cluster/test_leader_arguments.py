"""A leader of a queue that was declared with arguments: what they change, and survives a failover.

The races of `cluster.leader` that only such queues have are here, under their names.
"""

from __future__ import annotations

from support.cluster_clients import Reader
from support.cluster_hostings import HostingCluster
from support.cluster_leader import LeaderAlone

from rabbitry.broker.queue import Consumer
from rabbitry.cluster.queue_records import Refused, Replied
from rabbitry.wire.errors import ACCESS_REFUSED
from rabbitry.wire.frames import content_body
from rabbitry.wire.methods import BasicProperties


def got(reader: Reader) -> list[tuple[bytes, bool]]:
    """What a reader has had since the last call, as (body, redelivered)."""
    deliveries, reader.deliveries = reader.deliveries, []
    return [(content_body(one.body), one.redelivered) for one in deliveries]


# --- priorities -----------------------------------------------------------------------------------


def test_order_is_not_position() -> None:
    cluster = HostingCluster(["a", "b"], arguments={"x-max-priority": 9})
    cluster.publish("b", b"1", b"2", properties=BasicProperties(priority=1))
    cluster.publish("b", b"3", b"4", properties=BasicProperties(priority=4))
    reader = cluster.reader("b", 1, prefetch_count=1)
    reader.subscribe()
    cluster.settle_down()
    assert got(reader) == [(b"3", False)]
    reader.settle(1)
    cluster.settle_down()
    assert got(reader) == [(b"4", False)]
    cluster.kill("a")
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
