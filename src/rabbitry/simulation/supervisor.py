"""What the supervisor does for the coordinator in a real cluster: it tells of the dead.

A lost link says that a node has left, only the supervisor knows that its process is dead. It says
so soon after a death, and before the node is started again; of one that went dark it hears late or
never (the next process tells, by joining). While the coordinator is down nobody can be told; it is
told of all who died meanwhile as soon as it runs, before any of them can have joined again.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from rabbitry.simulation.world import World

_TELLING_US_MAX = 20_000
_TELLING_OF_DARK_US_MAX = 3_000_000


class SimulatedSupervisor:
    """Watches the `nodes` of a world for its `coordinator`, from its making on."""

    def __init__(
        self, world: World, coordinator: str, nodes: Sequence[str], random: Random
    ) -> None:
        self._world = world
        self._coordinator = coordinator
        self._nodes = tuple(nodes)
        self._random = random
        self._untold: dict[str, int] = {}  # who has died -> which incarnation
        self._dark: dict[str, None] = {}
        self._told_count = 0
        world.life_observers.append(self._observe)

    def _observe(self, name: str, what: str) -> None:
        if name == self._coordinator:
            if what == "running":
                for node in list(self._untold):
                    self._tell(node, self._untold[node])
        elif name in self._nodes:
            if what in ("ending", "going dark"):
                self._hear_of_death(name, dark=what == "going dark")
            elif what == "starting" and self._world.hosts[self._coordinator].up:
                if name not in self._dark and name in self._untold:
                    self._tell(name, self._untold[name])
                self._untold.pop(name, None)

    def _hear_of_death(self, name: str, *, dark: bool) -> None:
        incarnation = self._untold[name] = self._world.hosts[name].incarnation
        self._dark.pop(name, None)
        if dark:
            self._dark[name] = None
        delay_us = self._random.randint(0, _TELLING_OF_DARK_US_MAX if dark else _TELLING_US_MAX)
        self._world.schedule.at(self._world.now + delay_us, self._tell, name, incarnation)

    def _tell(self, name: str, incarnation: int) -> None:
        if self._untold.get(name) == incarnation and self._world.hosts[self._coordinator].up:
            del self._untold[name]
            self._told_count += 1
            self._world.ask(self._coordinator, -self._told_count, ("node died", name))
