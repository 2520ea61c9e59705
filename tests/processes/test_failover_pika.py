"""pika, unmodified, through the balancer's one address, while the leaders of its queue die.

Publishers wait for each confirm, and publish again what was not confirmed when their connection
breaks; consumers connect again. Some consumers sit at a node's own port instead: those on survivors
must notice nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pika
import pika.exceptions
import pytest
from pika.adapters.blocking_connection import BlockingChannel
from support.ledger import Ledger
from support.running_cluster import NODES, RunningCluster

ROUNDS = 10
QUEUE = "orders"
DEADLINE_S = 120

pytestmark = pytest.mark.processes


class Clients:
    """Threads with a pika connection each; they end with `close`, and tell what went wrong."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.publishing = threading.Event()
        self.publishing.set()
        self.consuming = threading.Event()
        self.consuming.set()
        self._again = threading.Event()
        self._publishers: list[threading.Thread] = []
        self._consumers: list[threading.Thread] = []
        self._failures: list[BaseException] = []

    def publish(self, name: str, port: int) -> None:
        """Start a publisher."""
        thread = threading.Thread(target=self._run, args=(self._publisher, name, port))
        self._publishers.append(thread)
        thread.start()

    def consume(self, name: str, port: int) -> None:
        """Start a consumer."""
        thread = threading.Thread(target=self._run, args=(self._consumer, name, port))
        self._consumers.append(thread)
        thread.start()

    def stop_publishing(self) -> None:
        """Return when the publishers have had their last confirm."""
        self.publishing.clear()
        self._join(self._publishers)

    def close(self) -> None:
        """End all; raise what one of them raised."""
        self.publishing.clear()
        self.consuming.clear()
        self._again.set()
        self._join(self._publishers + self._consumers)
        if self._failures:
            raise self._failures[0]

    def _join(self, threads: list[threading.Thread]) -> None:
        for thread in threads:
            thread.join(DEADLINE_S)
            assert not thread.is_alive(), f"a client hangs; {self.ledger.summary()}"

    def _run(self, client: Callable[[str, int], None], name: str, port: int) -> None:
        try:
            client(name, port)
        except BaseException as error:
            self._failures.append(error)
            self.ledger.broke(f"{name} failed: {error!r}")

    def _connection(self, port: int) -> pika.BlockingConnection:
        credentials = pika.PlainCredentials("guest", "guest")
        return pika.BlockingConnection(
            pika.ConnectionParameters("127.0.0.1", port, credentials=credentials, heartbeat=10)
        )

    def _publisher(self, name: str, port: int) -> None:
        number = 0
        while self.publishing.is_set():
            try:
                with self._connection(port) as connection:
                    channel = connection.channel()
                    channel.confirm_delivery()
                    while self.publishing.is_set():
                        body = f"{name} {number}"
                        self.ledger.sent(body)
                        channel.basic_publish(
                            "", QUEUE, body.encode(), pika.BasicProperties(delivery_mode=2), True
                        )
                        self.ledger.confirmed(body)
                        number += 1
            except pika.exceptions.AMQPConnectionError:
                self.ledger.broke(name)
                self._again.wait(0.05)

    def _consumer(self, name: str, port: int) -> None:
        while self.consuming.is_set():
            try:
                with self._connection(port) as connection:
                    self._consume(name, connection.channel())
            except pika.exceptions.AMQPConnectionError:
                self.ledger.broke(name)
                self._again.wait(0.05)

    def _consume(self, name: str, channel: BlockingChannel) -> None:
        channel.basic_qos(prefetch_count=10)
        unacknowledged = 0
        for method, _, body in channel.consume(QUEUE, inactivity_timeout=0.1):
            if method is not None:
                self.ledger.received(name, body.decode(), method.redelivered)
                unacknowledged += 1
            # Several at a time, so that there is always something unacknowledged when nodes die.
            if unacknowledged >= 5 or (method is None and unacknowledged):
                channel.basic_ack(0, multiple=True)
                unacknowledged = 0
            if not self.consuming.is_set():
                channel.cancel()
                return
        self.ledger.broke(f"{name} was cancelled")


@pytest.fixture
def clients(cluster: RunningCluster) -> Iterator[Clients]:
    with pika.BlockingConnection(
        pika.ConnectionParameters("127.0.0.1", cluster.front)
    ) as connection:
        connection.channel().queue_declare(QUEUE, durable=True)
    started = Clients(Ledger())
    try:
        yield started
    finally:
        started.close()


def test_ten_leaders_killed(cluster: RunningCluster, clients: Clients) -> None:
    ledger = clients.ledger
    for index in range(2):
        clients.publish(f"publisher-{index}", cluster.front)
        clients.consume(f"balanced-{index}", cluster.front)
    for name in NODES:
        clients.consume(name, cluster.node_port(name))
    ledger.wait_progress(NODES)
    for _ in range(ROUNDS):
        victim = cluster.wait_in_sync(QUEUE)["leader"]
        survivors = [name for name in NODES if name != victim]
        breaks = {name: ledger.breaks[name] for name in survivors}
        cluster.command("kill", victim)
        ledger.wait_progress(survivors)
        assert cluster.queue(QUEUE)["leader"] in survivors
        assert cluster.states()[victim] == "killed"
        cluster.command("start", victim)
        ledger.wait_progress(NODES)
        assert {name: ledger.breaks[name] for name in survivors} == breaks, "survivors noticed"
    clients.stop_publishing()
    ledger.wait("all that was confirmed arrives", ledger.all_arrived)
    cluster.wait_empty(QUEUE)
    ledger.check()
    print(ledger.summary())


def test_a_hung_leader(cluster: RunningCluster, clients: Clients) -> None:
    ledger = clients.ledger
    victim = cluster.wait_in_sync(QUEUE)["leader"]
    survivors = [name for name in NODES if name != victim]
    for name in survivors:
        clients.publish(f"publisher-{name}", cluster.node_port(name))
        clients.consume(name, cluster.node_port(name))
    ledger.wait_progress(survivors)
    cluster.command("kill", victim, "--signal", "STOP")
    ledger.wait_progress(survivors)
    assert cluster.states()[victim] == "stopped"
    assert cluster.queue(QUEUE)["leader"] in survivors
    cluster.command("kill", victim, "--signal", "CONT")
    queue = cluster.wait_in_sync(QUEUE)
    assert victim in queue["mirrors"], "it is back, and leads no more"
    ledger.wait_progress(survivors)
    clients.stop_publishing()
    ledger.wait("all that was confirmed arrives", ledger.all_arrived)
    cluster.wait_empty(QUEUE)
    assert not ledger.breaks, "survivors noticed"
    ledger.check()


def test_nodes_killed_while_others_still_join(cluster: RunningCluster, clients: Clients) -> None:
    """No waiting for replicas: whatever may die without loss dies as soon as it may."""
    ledger = clients.ledger
    for index in range(2):
        clients.publish(f"publisher-{index}", cluster.front)
        clients.consume(f"balanced-{index}", cluster.front)
    ledger.wait_progress([])
    for _ in range(ROUNDS):
        queue = cluster.wait_in_sync(QUEUE, at_least=2)
        victims = [queue["leader"], *(one for one in NODES if one not in queue["in_sync"])]
        running = cluster.states()
        victims = [one for one in victims if running[one] == "running"]
        for victim in victims:
            cluster.command("kill", victim)
        for victim in victims:
            cluster.command("start", victim)
    ledger.wait_progress([])
    cluster.wait_in_sync(QUEUE)
    clients.stop_publishing()
    ledger.wait("all that was confirmed arrives", ledger.all_arrived)
    cluster.wait_empty(QUEUE)
    ledger.check()
