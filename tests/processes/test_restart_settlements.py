"""`rabbitry restart --all` under load: what was acknowledged or rejected never comes again.

One consumer at each node, which is there while others are restarted, and is closed and comes back
while its own is; it holds what it gets for a while, so that much is out whenever leadership moves.
What it rejects is a dead letter once.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial

import pika
import pika.exceptions
import pytest
from pika.adapters.blocking_connection import BlockingChannel
from support.running_cluster import NODES, PATIENCE_S, RunningCluster

Up = Callable[..., RunningCluster]

pytestmark = pytest.mark.processes

PUBLISHERS = 4

HELD = 15
"""So many deliveries a consumer has before it settles the oldest."""

REJECTED = 3
"""Every so manieth message is rejected."""


class Settling:
    """Publishers and consumers, and what they know. Whatever fails, they connect again."""

    def __init__(self, cluster: RunningCluster) -> None:
        self.cluster = cluster
        self.lock = threading.Condition()
        self.published = list(range(PUBLISHERS))  # the last number of each
        self.confirmed: set[bytes] = set()
        self.settled: dict[bytes, str] = {}  # what was said of it
        self.dead: dict[bytes, str] = {}
        self.came_again: list[str] = []
        self.breaks = 0
        self._ending = threading.Event()  # no more is published
        self._ended = threading.Event()
        sides: list[Callable[[], None]] = [partial(self._publish, at) for at in range(PUBLISHERS)]
        sides += [partial(self._consume, cluster.node_port(name), "work") for name in NODES]
        sides.append(partial(self._consume, cluster.front, "dead"))
        self._threads = [
            threading.Thread(target=self._again, args=(side,), daemon=True) for side in sides
        ]
        for thread in self._threads:
            thread.start()

    def _again(self, side: Callable[[], None]) -> None:
        while not self._ended.is_set():
            with suppress(pika.exceptions.AMQPError, ConnectionError):
                side()
                return
            with self.lock:
                self.breaks += 1
            self._ended.wait(0.05)

    def _connect(self, port: int) -> BlockingChannel:
        return pika.BlockingConnection(pika.ConnectionParameters("127.0.0.1", port)).channel()

    def _publish(self, at: int) -> None:
        channel = self._connect(self.cluster.front)
        channel.confirm_delivery()
        properties = pika.BasicProperties(delivery_mode=2)
        while not self._ending.is_set():
            self.published[at] += PUBLISHERS
            body = b"%d" % self.published[at]
            channel.basic_publish("", "work", body, properties, mandatory=True)
            with self.lock:
                self.confirmed.add(body)
        channel.connection.close()

    def _consume(self, port: int, queue: str) -> None:
        channel = self._connect(port)
        channel.basic_qos(prefetch_count=2 * HELD)
        known = self.settled if queue == "work" else self.dead
        held: list[tuple[int, bytes]] = []
        for method, _, body in channel.consume(queue, inactivity_timeout=0.1):
            if method is not None:
                with self.lock:
                    if body in known:
                        mark = " (redelivered)" if method.redelivered else ""
                        self.came_again.append(f"{body!r} of {queue}, {known[body]}{mark}")
                held.append((method.delivery_tag, body))
            if held and (method is None or len(held) >= HELD):
                self._settle(channel, queue, *held.pop(0), f"at port {port}")
            if method is None and self._ended.is_set():
                break
        channel.connection.close()

    def _settle(self, channel: BlockingChannel, queue: str, tag: int, body: bytes, at: str) -> None:
        """Settle one; it counts when it has been sent, over a connection that was open."""
        if queue == "dead":
            channel.basic_ack(tag)
            self._note(self.dead, body, f"acknowledged {at}")
        elif int(body) % REJECTED:
            channel.basic_ack(tag)
            self._note(self.settled, body, f"acknowledged {at}")
        else:
            channel.basic_reject(tag, requeue=False)
            self._note(self.settled, body, f"rejected {at}")

    def _note(self, known: dict[bytes, str], body: bytes, what: str) -> None:
        with self.lock:
            known[body] = what
            self.lock.notify_all()

    def end(self) -> None:
        """Publish no more, and wait until all that was confirmed is settled."""
        self._ending.set()
        with self.lock:
            done = self.lock.wait_for(self._complete, PATIENCE_S)
        self._ended.set()
        for thread in self._threads:
            thread.join(PATIENCE_S)
            assert not thread.is_alive(), "a client waits for an answer that never comes"
        assert done, f"of {len(self.confirmed)} confirmed, {len(self.settled)} were settled"

    def _complete(self) -> bool:
        rejected = {one for one in self.confirmed if not int(one) % REJECTED}
        return self.confirmed <= self.settled.keys() and rejected <= self.dead.keys()


def test_what_was_settled_never_comes_again(cluster: RunningCluster) -> None:
    parameters = pika.ConnectionParameters("127.0.0.1", cluster.front)
    with pika.BlockingConnection(parameters) as first:
        channel = first.channel()
        channel.queue_declare("dead", durable=True)
        arguments = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dead"}
        channel.queue_declare("work", durable=True, arguments=arguments)
    for queue in ("work", "dead"):
        cluster.wait_in_sync(queue)
    load = Settling(cluster)
    try:
        cluster.command("restart", "--all")
    finally:
        load.end()
    assert len(load.confirmed) > 100, "hardly anything was published: the test shows nothing"
    assert load.breaks >= len(NODES), "each node's consumer has lost its connection"
    print(f"{len(load.confirmed)} confirmed, {len(load.dead)} dead letters, {load.breaks} breaks")
    assert load.came_again == []
    for queue in ("work", "dead"):
        cluster.wait_empty(queue)
