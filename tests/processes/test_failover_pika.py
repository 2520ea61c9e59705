"""pika, unmodified, through the balancer's one address, while the leaders of its queue die.

Publishers wait for each confirm, and publish again what was not confirmed when their connection
breaks; consumers connect again. Some consumers sit at a node's own port instead: those on survivors
must notice nothing.
"""

from __future__ import annotations

from collections.abc import Iterator

import pika
import pytest
from support.crashing_clients import Clients
from support.ledger import Ledger
from support.running_cluster import NODES, RunningCluster

ROUNDS = 10
QUEUE = "orders"

pytestmark = pytest.mark.processes


@pytest.fixture
def clients(cluster: RunningCluster) -> Iterator[Clients]:
    with pika.BlockingConnection(
        pika.ConnectionParameters("127.0.0.1", cluster.front)
    ) as connection:
        connection.channel().queue_declare(QUEUE, durable=True)
    started = Clients(Ledger(), QUEUE)
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
