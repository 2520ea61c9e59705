"""The exchanger deletes and declares until it is calm, and waits for nothing then."""

from __future__ import annotations

from simulation.recorder import always
from support.simulated_cluster import factories

from rabbitry import machine as m
from rabbitry.simulation.client import ClientSettings
from rabbitry.simulation.cluster import AMQP_PORT, CLUSTER_PORT
from rabbitry.simulation.exchanger import EXCHANGED_QUEUE, Exchanger
from rabbitry.simulation.history import History
from rabbitry.simulation.world import World

SECOND = 1_000_000


def test_queues_are_exchanged_by_several_and_all_is_answered() -> None:
    made = factories()
    assert made.coordinator is not None
    world = World(1)
    world.add_host("coordinator", made.coordinator, {CLUSTER_PORT: "cluster"})
    for name, factory in made.nodes.items():
        world.add_host(name, factory, {AMQP_PORT: "amqp", CLUSTER_PORT: "cluster"})
    clients: list[Exchanger] = []
    for name in made.nodes:
        settings = ClientSettings(f"x-{name}", EXCHANGED_QUEUE, (m.Address(name, AMQP_PORT),))
        random = world.schedule.random(name)
        client = Exchanger(settings, History(), random, interval_us=10_000, calm_at=4 * SECOND)
        clients.append(client)
        world.add_host(f"x-{name}", always(client))
    for name in world.hosts:
        world.start(name)
    world.run_until(2 * SECOND)
    world.crash("coordinator")
    world.run_until(4 * SECOND)
    assert not all(client.idle for client in clients)
    counts = [client.exchanged_count for client in clients]
    assert min(counts) > 10
    world.start("coordinator")
    world.run_until(10 * SECOND)
    assert all(client.idle for client in clients)
    world.run_until(12 * SECOND)
    assert all(
        client.exchanged_count <= count + 1 for client, count in zip(clients, counts, strict=True)
    )
