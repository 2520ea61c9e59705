"""`rabbitry rebalance`: who leads is evened out under load, and clients see nothing of it."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

import pika
import pika.exceptions
import pytest
from support.running_cluster import NODES, RunningCluster

pytestmark = pytest.mark.processes

QUEUES = [f"q{number}" for number in range(6)]
STANDING = 20  # messages that wait in each queue
PERSISTENT = pika.BasicProperties(delivery_mode=2)


def led(cluster: RunningCluster) -> dict[str, int]:
    leaders = Counter(one["leader"] for one in cluster.status()["queues"])
    return {name: leaders[name] for name in NODES}


def wait_whole(cluster: RunningCluster) -> None:
    cluster.wait_status(
        "all queues in sync everywhere",
        lambda status: all(len(one["in_sync"]) == 3 for one in status["queues"]),
    )


class Load:
    """Publishes with confirms to a queue at one node, and consumes it at another, until `end`.

    Over connections that live through it all: were one closed, the thread would end with it.
    """

    def __init__(self, queue: str, publish_at: int, consume_at: int) -> None:
        self._queue = queue
        self._ending = threading.Event()
        self.failures: list[BaseException] = []
        self.confirmed: list[bytes] = []
        self.received: list[bytes] = []
        self.went_on = threading.Event()
        sides = ((self._publish, publish_at), (self._consume, consume_at))
        self._threads = [threading.Thread(target=self._run, args=side) for side in sides]
        for thread in self._threads:
            thread.start()

    def _run(self, side: Callable[[Any], None], port: int) -> None:
        try:
            side(pika.BlockingConnection(pika.ConnectionParameters("127.0.0.1", port)).channel())
        except BaseException as error:
            self.failures.append(error)

    def _publish(self, channel: Any) -> None:
        channel.confirm_delivery()
        while not self._ending.is_set():
            body = b"%d" % len(self.confirmed)
            channel.basic_publish("", self._queue, body, PERSISTENT, mandatory=True)
            self.confirmed.append(body)
        channel.connection.close()

    def _consume(self, channel: Any) -> None:
        channel.basic_qos(prefetch_count=20)
        for method, _, body in channel.consume(self._queue, inactivity_timeout=0.2):
            if method is None:
                if self._ending.is_set():
                    break
                continue
            channel.basic_ack(method.delivery_tag)
            self.received.append(body)
            self.went_on.set()
        channel.connection.close()

    def end(self) -> None:
        self._ending.set()
        for thread in self._threads:
            thread.join()


def test_leaders_spread_and_nothing_is_lost_or_comes_twice(cluster: RunningCluster) -> None:
    first = pika.BlockingConnection(pika.ConnectionParameters("127.0.0.1", cluster.port))
    channel = first.channel()
    channel.confirm_delivery()
    for name in QUEUES:
        channel.queue_declare(name, durable=True)
        for number in range(STANDING):
            channel.basic_publish("", name, b"%s %d" % (name.encode(), number), PERSISTENT)
    channel.queue_declare("load", durable=True)
    first.close()
    assert led(cluster) == {"rabbit": 7, "rabbit_1": 0, "rabbit_2": 0}
    wait_whole(cluster)
    load = Load("load", cluster.node_port("rabbit_1"), cluster.node_port("rabbit_2"))
    try:
        load.went_on.wait(20)
        told = cluster.command("rebalance")
        load.went_on.clear()
        assert load.went_on.wait(20), "the consumer went quiet"
        again = cluster.command("rebalance")
    finally:
        load.end()
    lines = told.splitlines()
    assert lines[0].startswith("rabbit: 4 queues handed over (rabbit_")
    assert lines[1:] == ["rabbit leads 3, rabbit_1 leads 2, rabbit_2 leads 2 now"]
    assert again == "nothing to do: rabbit leads 3, rabbit_1 leads 2, rabbit_2 leads 2\n"
    assert led(cluster) == {"rabbit": 3, "rabbit_1": 2, "rabbit_2": 2}
    assert load.failures == []
    assert load.received == load.confirmed, "each once, in order"

    shown = cluster.command("restart", "--all")
    assert "handed over (" in shown
    assert shown.endswith("restarted rabbit, rabbit_1, rabbit_2\n")
    assert sorted(led(cluster).values()) == [2, 2, 3]
    assert cluster.command("rebalance").startswith("nothing to do: ")

    last = pika.BlockingConnection(pika.ConnectionParameters("127.0.0.1", cluster.front))
    channel = last.channel()
    for name in QUEUES:
        bodies = []
        while (found := channel.basic_get(name, auto_ack=True))[0] is not None:
            bodies.append(found[2])
        assert bodies == [b"%s %d" % (name.encode(), number) for number in range(STANDING)]
    assert channel.basic_get("load", auto_ack=True)[0] is None, "acknowledged, and came again"
    last.close()


def test_a_node_that_is_away_takes_no_part(cluster: RunningCluster) -> None:
    with pika.BlockingConnection(pika.ConnectionParameters("127.0.0.1", cluster.port)) as first:
        for name in QUEUES[:4]:
            first.channel().queue_declare(name, durable=True)
    wait_whole(cluster)
    cluster.command("kill", "rabbit_2")
    told = cluster.command("rebalance")
    assert told == (
        "rabbit: 2 queues handed over (rabbit_1 2)\nrabbit leads 2, rabbit_1 leads 2 now\n"
        "rabbit_2 is not in the cluster: run it again when it is back\n"
    )
    cluster.command("kill", "rabbit_1", "--signal", "STOP")
    cluster.wait_status("others lead", lambda status: not status or led(cluster)["rabbit"] == 4)
    assert cluster.command("rebalance") == (
        "nothing moved: rabbit leads 4\n"
        "rabbit_1 is not in the cluster: run it again when it is back\n"
        "rabbit_2 is not in the cluster: run it again when it is back\n"
    )
    cluster.command("kill", "rabbit_1", "--signal", "CONT")
