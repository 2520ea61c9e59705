"""The supervisor of a simulated cluster: who has died is told, in time, and never of the living."""

from __future__ import annotations

from simulation.recorder import Recorder

from rabbitry import machine as m
from rabbitry.simulation.supervisor import SimulatedSupervisor
from rabbitry.simulation.world import World

SECOND = 1_000_000
NODES = ("a", "b")


class Watched:
    """A world with a supervisor; `told` has what incarnations of the coordinator were told."""

    def __init__(self, seed: int = 1) -> None:
        self.world = World(seed)
        self.coordinators: list[Recorder] = []
        self.world.add_host("arbiter", self._make)
        for name in NODES:
            self.world.add_host(name, lambda *_: Recorder())
        random = self.world.schedule.random("supervisor")
        SimulatedSupervisor(self.world, "arbiter", NODES, random)
        for name in self.world.hosts:
            self.world.start(name)

    def _make(self, _incarnation: int, _entropy: m.Entropy) -> m.Machine:
        self.coordinators.append(Recorder())
        return self.coordinators[-1]

    @property
    def told(self) -> list[list[object]]:
        return [
            [event.question for event in one.events(m.Asked) if isinstance(event, m.Asked)]
            for one in self.coordinators
        ]


def test_a_death_is_told_soon() -> None:
    watched = Watched()
    watched.world.crash("a")
    watched.world.run_until(20_000)
    assert watched.told == [[("node died", "a")]]
    watched.world.run_until(9 * SECOND)
    assert watched.told == [[("node died", "a")]]


def test_a_death_is_told_before_the_node_starts_again() -> None:
    watched = Watched()
    watched.world.crash("a")
    watched.world.start("a")
    assert watched.told == [[("node died", "a")]]
    watched.world.run_until(9 * SECOND)
    assert watched.told == [[("node died", "a")]]


def test_of_one_that_went_dark_it_hears_late_and_not_once_it_is_back() -> None:
    watched = Watched()
    watched.world.crash("a", silent=True)
    watched.world.crash("b", silent=True)
    watched.world.start("b")
    assert watched.told == [[]]
    watched.world.run_until(9 * SECOND)
    assert watched.told == [[("node died", "a")]]


def test_a_coordinator_that_starts_is_told_of_all_who_died_meanwhile() -> None:
    watched = Watched()
    for name in watched.world.hosts:
        watched.world.crash(name)
    watched.world.start("a")
    watched.world.run_until(SECOND)
    watched.world.start("arbiter")
    assert sorted(watched.told[1], key=str) == [("node died", "a"), ("node died", "b")]
    watched.world.start("b")
    watched.world.run_until(9 * SECOND)
    assert len(watched.told[1]) == 2


def test_a_coordinator_that_starts_is_told_of_nobody_who_lives() -> None:
    watched = Watched()
    watched.world.crash("arbiter")
    watched.world.start("arbiter")
    watched.world.run_until(SECOND)
    assert watched.told == [[], []]
