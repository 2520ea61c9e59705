"""The workload's AMQP client: gets a channel and a queue, and comes back whatever happens."""

from __future__ import annotations

from simulation.recorder import Recorder, always, on_start
from simulation.toy_broker import Flaws, ToyBroker

from rabbitry import machine as m
from rabbitry.simulation.client import Client, ClientSettings
from rabbitry.simulation.history import History
from rabbitry.simulation.world import World

SECOND = 1_000_000
ONE, TWO = m.Address("one", 5672), m.Address("two", 5672)


class Noting(Client):
    """Notes when it is ready and when it is lost."""

    notes: list[str]

    def on_queue_ready(self) -> None:
        self.notes.append("ready")

    def on_lost(self) -> None:
        self.notes.append("lost")


def make(*addresses: m.Address, flaws: Flaws | None = None) -> tuple[World, Noting]:
    world = World(1)
    settings = ClientSettings("client", "q", addresses)
    client = Noting(settings, History(), world.schedule.random("client"))
    client.notes = []
    for address in addresses:
        world.add_host(address.host, lambda *_: ToyBroker(flaws), {address.port: "amqp"})
    world.add_host("client", always(client))
    for name in list(world.hosts):
        world.start(name)
    return world, client


def test_it_logs_in_and_declares_its_queue() -> None:
    world, client = make(ONE)
    world.run_until(SECOND)
    assert client.ready and client.notes == ["ready"] and client.connections_count == 1
    broker = world.hosts["one"].machine
    assert isinstance(broker, ToyBroker) and list(broker.queues) == ["q"]


def test_heartbeats_keep_an_idle_connection() -> None:
    world, client = make(ONE)
    world.run_until(20 * SECOND)
    assert client.notes == ["ready"]


def test_it_tries_the_next_address_when_its_node_dies() -> None:
    world, client = make(ONE, TWO)
    world.run_until(SECOND)
    for dead, alive in (("one", "two"), ("two", "one")):
        world.crash(dead)
        world.run_until(world.now + 2 * SECOND)
        assert client.ready, f"{dead} is dead, {alive} is there"
        world.start(dead)
    assert client.connections_count == 2 + client.notes.count("lost") - 1


def test_it_leaves_a_frozen_node_after_missed_heartbeats() -> None:
    world, client = make(ONE, TWO)
    world.run_until(SECOND)
    frozen = "one" if world.network.links() and _peer(world) == "one" else "two"
    world.freeze(frozen)
    world.run_until(15 * SECOND)
    assert client.ready and client.notes == ["ready", "lost", "ready"]
    assert _peer(world) != frozen


def _peer(world: World) -> str:
    return world.network.ends_of(world.network.links()[-1])[1]


def test_it_gives_up_a_node_that_never_answers_and_goes_on_trying() -> None:
    world, client = make(ONE, flaws=Flaws(deaf=True))
    world.run_until(9 * SECOND)
    assert client.notes.count("lost") >= 3 and not client.ready
    assert len(world.network.links()) <= 2


def test_it_ends_a_connection_politely_or_not_and_comes_back() -> None:
    for politely in (True, False):
        world, client = make(ONE)
        world.run_until(SECOND)
        client.now = world.now
        client.disconnect(politely=politely)
        world.run_until(world.now + 5 * SECOND)
        assert client.notes == ["ready", "lost", "ready"]


def test_a_client_that_is_refused_tries_again() -> None:
    world = World(1)
    client = Noting(ClientSettings("client", "q", (ONE,)), History(), world.schedule.random("c"))
    client.notes = []
    world.add_host("client", always(client))
    world.add_host("witness", always(Recorder(on_start())))
    world.start("client")
    world.run_until(5 * SECOND)
    assert client.notes.count("lost") > 5
