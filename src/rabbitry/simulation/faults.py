"""Which faults a run has, how strong, and when: drawn from the seed before anything happens.

Swarm testing: a run has some kinds of faults and not others, so that one kind does not hide what
another would show. Two phases: until `heal_at` faults are on and nothing may be wrong; then all is
healed and the run must make progress. Owns no judgement about what a system can survive: whoever
makes the run says through `may_lose` whether a node may be taken away now.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import permutations
from random import Random

from rabbitry.simulation.pipe import LinkWeather
from rabbitry.simulation.world import World

KINDS = ("crash", "freeze", "reset", "stall", "partition", "coordinator")
"""What can be drawn. "crash" kills a node's process, "coordinator" the coordinator's, "freeze"
stops a node for a while, "reset" breaks a link off, "stall" holds one up, "partition" cuts the way
between two hosts, one way or both."""


@dataclass(frozen=True, slots=True)
class FaultPlan:
    """The faults of one run. `mean_interval_us` has the kinds that exist. Times in microseconds."""

    mean_interval_us: dict[str, int]
    begin_at: int
    heal_at: int
    dark_probability: float
    restart_us_min: int
    restart_us_max: int
    freeze_us_max: int
    stall_us_max: int
    partition_us_max: int
    down_max: int

    def describe(self) -> str:
        """Return the kinds and their mean intervals in one line."""
        kinds = (f"{kind} every {us // 1000} ms" for kind, us in self.mean_interval_us.items())
        return ", ".join(kinds) or "no faults"


def draw_weather(random: Random) -> LinkWeather:
    """Draw how the links of a run behave: from calm to cut into bits and slow at times."""
    return LinkWeather(
        latency_us_max=random.choice((200, 500, 2_000, 10_000)),
        spike_probability=random.choice((0.0, 0.005, 0.03)),
        spike_us=random.choice((5_000, 40_000)),
        cut_probability=random.choice((0.0, 0.1, 0.5)),
    )


def draw_plan(
    random: Random, begin_at: int, heal_at: int, kinds: Sequence[str] = KINDS
) -> FaultPlan:
    """Draw the faults of a run: each kind with a chance of one half, at least one of them."""
    chosen = [kind for kind in kinds if random.random() < 0.5] or [random.choice(kinds)]
    long_restarts = random.random() < 0.4  # few long outages or many short ones
    return FaultPlan(
        mean_interval_us={kind: random.choice((300_000, 800_000, 2_000_000)) for kind in chosen},
        begin_at=begin_at,
        heal_at=heal_at,
        dark_probability=random.choice((0.0, 0.0, 0.3)),
        restart_us_min=800_000 if long_restarts else 5_000,
        restart_us_max=2_500_000 if long_restarts else 400_000,
        freeze_us_max=random.choice((100_000, 1_000_000, 4_000_000)),
        stall_us_max=random.choice((20_000, 300_000)),
        partition_us_max=random.choice((200_000, 3_000_000)),
        down_max=random.choice((1, 1, 2)),
    )


class FaultInjector:
    """Carries a plan out on a world. `hosts` are the nodes that may suffer.

    `coordinator` may be empty. `partitioned` are the hosts between which the way may be cut;
    `may_lose` says whether the system would survive the loss of this node at this moment.
    """

    def __init__(
        self,
        world: World,
        plan: FaultPlan,
        hosts: Sequence[str],
        partitioned: Sequence[str],
        may_lose: Callable[[str], bool],
        coordinator: str = "",
    ) -> None:
        self.world = world
        self.coordinator = coordinator
        self.plan = plan
        self.hosts = tuple(hosts)
        self.may_lose = may_lose
        self.counts: dict[str, int] = {}
        self.healed = False
        self._pairs = list(permutations(partitioned, 2))
        self._acts: dict[str, Callable[[Random], bool]] = {
            "crash": self._crash,
            "freeze": self._freeze,
            "reset": self._reset,
            "stall": self._stall,
            "partition": self._partition,
            "coordinator": self._crash_coordinator,
        }
        self._restarts = world.schedule.random("faults: restarts")

    def begin(self) -> None:
        """Set everything up: the faults, the end of them, and restarts of what stops by itself."""
        schedule = self.world.schedule
        for kind in self.plan.mean_interval_us:
            random = schedule.random(f"faults: {kind}")
            self._plan_next(kind, random, self.plan.begin_at)
        self.world.stop_observers.append(self._stopped)
        schedule.at(self.plan.heal_at, self.heal)

    def heal(self) -> None:
        """End all faults at once: what is down starts, what is frozen thaws, every way is open."""
        self.healed = True
        self.world.note("faults", "all healed")
        for host in self.hosts:
            self.world.thaw(host)
            self.world.start(host)
        if self.coordinator:
            self.world.start(self.coordinator)
        self.world.network.heal_all()

    def _plan_next(self, kind: str, random: Random, earliest: int) -> None:
        at = earliest + int(random.expovariate(1 / self.plan.mean_interval_us[kind]))
        if at < self.plan.heal_at:
            self.world.schedule.at(at, self._strike, kind, random)

    def _strike(self, kind: str, random: Random) -> None:
        if self._acts[kind](random):
            self.counts[kind] = self.counts.get(kind, 0) + 1
        self._plan_next(kind, random, self.world.now)

    def _able(self) -> list[str]:
        """Return the nodes that run, if more of them may be taken away."""
        hosts = self.world.hosts
        able = [name for name in self.hosts if hosts[name].up and not hosts[name].frozen]
        return able if len(self.hosts) - len(able) < self.plan.down_max else []

    def _crash(self, random: Random) -> bool:
        able = [name for name in self._able() if self.may_lose(name)]
        if not able:
            return False
        victim = random.choice(able)
        self.world.crash(victim, silent=random.random() < self.plan.dark_probability)
        self._restart_later(victim)
        return True

    def _crash_coordinator(self, random: Random) -> bool:
        if not self.coordinator or not self.world.hosts[self.coordinator].up:
            return False
        self.world.crash(self.coordinator, silent=random.random() < self.plan.dark_probability)
        self._restart_later(self.coordinator)
        return True

    def _restart_later(self, name: str) -> None:
        delay = self._restarts.randint(self.plan.restart_us_min, self.plan.restart_us_max)
        self.world.schedule.at(self.world.now + delay, self.world.start, name)

    def _stopped(self, name: str) -> None:
        if name in self.hosts or name == self.coordinator:
            self._restart_later(name)

    def _freeze(self, random: Random) -> bool:
        able = self._able()
        if not able:
            return False
        victim = random.choice(able)
        self.world.freeze(victim)
        duration = random.randint(1_000, self.plan.freeze_us_max)
        incarnation = self.world.hosts[victim].incarnation
        self.world.schedule.at(self.world.now + duration, self._thaw, victim, incarnation)
        return True

    def _thaw(self, name: str, incarnation: int) -> None:
        if self.world.hosts[name].incarnation == incarnation:
            self.world.thaw(name)

    def _reset(self, random: Random) -> bool:
        links = self.world.network.links()
        if not links:
            return False
        link = random.choice(links)
        one, other = self.world.network.ends_of(link)
        self.world.note("faults", f"resets a link of {one} and {other}")
        self.world.network.reset(link)
        return True

    def _stall(self, random: Random) -> bool:
        links = self.world.network.links()
        if not links:
            return False
        self.world.network.stall(
            random.choice(links), random.randint(1_000, self.plan.stall_us_max)
        )
        return True

    def _partition(self, random: Random) -> bool:
        if not self._pairs:
            return False
        source, destination = random.choice(self._pairs)
        ways = [(source, destination)]
        if random.random() < 0.5:
            ways.append((destination, source))
        duration = random.randint(1_000, self.plan.partition_us_max)
        for one, other in ways:
            self.world.note("faults", f"cuts {one} -> {other} for {duration} us")
            self.world.network.cut(one, other)
            self.world.schedule.at(self.world.now + duration, self.world.network.heal, one, other)
        return True
