"""The declarer finds what it declared, and says what is missing or there too long."""

from __future__ import annotations

from collections.abc import Callable

from simulation.recorder import always
from support.simulated_cluster import factories

from rabbitry import machine as m
from rabbitry.simulation.client import ClientSettings
from rabbitry.simulation.cluster import AMQP_PORT, CLUSTER_PORT
from rabbitry.simulation.declarer import Declarer
from rabbitry.simulation.history import History
from rabbitry.simulation.world import World

SECOND = 1_000_000


class Forgetful:
    """A machine that finds only some of what its store kept."""

    def __init__(self, machine: m.Machine, keeps: Callable[[bytes], bool]) -> None:
        self.machine = machine
        self.keeps = keeps

    def step(self, event: m.Event, now: int) -> list[m.Effect]:
        if isinstance(event, m.Started):
            event.stored = [item for item in event.stored if self.keeps(item[0])]
        return self.machine.step(event, now)


def declared(
    *, all_died: bool = False, keeps: Callable[[bytes], bool] = lambda key: True
) -> History:
    """Declare, have the coordinator die and come back with what it `keeps`, and look."""
    made = factories()
    assert made.coordinator is not None
    coordinator = made.coordinator
    world = World(1)
    world.add_host(
        "coordinator",
        lambda number, entropy: Forgetful(coordinator(number, entropy), keeps),
        {CLUSTER_PORT: "cluster"},
    )
    for name, factory in made.nodes.items():
        world.add_host(name, factory, {AMQP_PORT: "amqp", CLUSTER_PORT: "cluster"})
    history = History()
    addresses = tuple(m.Address(name, AMQP_PORT) for name in made.nodes)
    client = Declarer(
        ClientSettings("declarer", "d0", addresses),
        history,
        world.schedule.random("declarer"),
        interval_us=10_000,
        look_at=8 * SECOND,
        all_died=all_died,
    )
    world.add_host("declarer", always(client))
    for name in world.hosts:
        world.start(name)
    world.run_until(4 * SECOND)
    assert len(history.declared) == 10 and not client.done, client.progress
    world.crash("coordinator")
    world.start("coordinator")
    world.run_until(20 * SECOND)
    assert client.done, client.progress
    return history


def test_all_is_there() -> None:
    assert declared().undeclared == []


def test_what_may_not_last_is_there_too_long() -> None:
    assert declared(all_died=True).undeclared == ["queue t0 (there)", "exchange t1 (there)"]


def test_a_coordinator_that_forgets_bindings_is_found_out() -> None:
    missing = declared(keeps=lambda key: key[:1] != b"6").undeclared
    assert missing == [
        "binding x0 -> k0 (not there)",
        "binding x1 -> x0 (not there)",
        "binding x0 -> k0 again (not there)",
    ]
