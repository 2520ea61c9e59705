"""Which faults a run has, how strong, and when: drawn from the seed before anything happens.

Swarm testing: a run has some kinds of faults and not others, so that one kind does not hide what
another would show. Two phases: until `heal_at` faults are on and nothing may be wrong; then all is
healed and the run must make progress. Owns no judgement about what a system can survive: whoever
makes the run says through `may_lose` whether a node may be taken away now.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import permutations
from random import Random

from rabbitry.simulation.pipe import LinkWeather
from rabbitry.simulation.store import StoreTrouble
from rabbitry.simulation.world import World

KINDS = ("crash", "freeze", "reset", "stall", "partition", "coordinator")
"""What can be drawn. "crash" kills a node's process, "coordinator" the coordinator's, "freeze"
stops a node for a while, "reset" breaks a link off, "stall" holds one up, "partition" cuts the way
between two hosts, one way or both."""

MASS_KINDS = ("crash_some", "crash_all", "blackout")
"""Only what is in stores survives these: "crash_some" kills any nodes at once, "crash_all" all of
them, "blackout" the coordinator with them."""

STORE_KINDS = ("slow_store", "failing_store", "full_store")
"""A node's store or the coordinator's takes its time, refuses some commits, or all that grow."""

RESTART = "restart"
"""A node, or one after another, hands over, is told to end, and starts again."""

REBALANCE = "rebalance"
"""The coordinator is asked to even out who leads. Drawn apart (`simulation.durable`)."""

DURABLE_KINDS = (*KINDS, *MASS_KINDS, *STORE_KINDS, RESTART)
"""What can be drawn where what is confirmed is in stores."""

GRACE_US = 5_000_000
"""How long a node that was told to end may take (`runtime.supervisor`)."""

HINDERED_US_MAX = 150_000
"""How long before a mass crash some disks may be slow."""

DAMAGE = "damage"
"""A value in a node's store is flipped, and the node dies or goes on. Never drawn unasked."""


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
    late_probability: float = 0.0  # that a node that died is started only at the healing
    slow_commit_us_max: int = 0
    trouble_us_max: int = 0

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


def draw_durable_plan(
    random: Random, begin_at: int, heal_at: int, kinds: Sequence[str] = DURABLE_KINDS
) -> FaultPlan:
    """Draw the faults of a run whose confirmed messages are in stores."""
    plan = draw_plan(random, begin_at, heal_at, kinds)
    rare = random.choice((1_000_000, 2_000_000))
    return replace(
        plan,
        # A cluster that dies all the time shows nothing but how it starts.
        mean_interval_us={
            kind: rare if kind in MASS_KINDS else mean_us
            for kind, mean_us in plan.mean_interval_us.items()
        },
        down_max=random.choice((1, 2, 3)),
        late_probability=random.choice((0.0, 0.0, 0.2)),
        slow_commit_us_max=random.choice((20_000, 200_000, 1_000_000)),
        trouble_us_max=random.choice((100_000, 1_000_000, 3_000_000)),
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
            "crash_some": self._crash_some,
            "crash_all": self._crash_all,
            "blackout": self._black_out,
            "slow_store": self._slow_store,
            "failing_store": self._fail_store,
            "full_store": self._fill_store,
            RESTART: self._restart,
            REBALANCE: self._rebalance,
            DAMAGE: self._damage,
        }
        self._restarts = world.schedule.random("faults: restarts")
        self.damaged_at: int | None = None
        self._damaged = ""  # whose store has been; no other is
        self._ending: dict[int, tuple[str, int]] = {}  # question -> who was told to end
        self._questions_count = 0

    def begin(self) -> None:
        """Set everything up: the faults, the end of them, and restarts of what stops by itself."""
        schedule = self.world.schedule
        for kind in self.plan.mean_interval_us:
            random = schedule.random(f"faults: {kind}")
            self._plan_next(kind, random, self.plan.begin_at)
        self.world.stop_observers.append(self._stopped)
        self.world.answer_observers.append(self._answered)
        schedule.at(self.plan.heal_at, self.heal)

    def heal(self) -> None:
        """End all faults at once: what is down starts, what is frozen thaws, every way is open."""
        self.healed = True
        self.world.note("faults", "all healed")
        for number in list(self._ending):
            self._end(number)
        for host in self.hosts:
            self.world.thaw(host)
            self.world.start(host)
        if self.coordinator:
            self.world.start(self.coordinator)
        self.end_troubles()
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

    def _crash_some(self, random: Random) -> bool:
        running = [name for name in self.hosts if self.world.hosts[name].up]
        return self.kill(random.sample(running, random.randint(0, len(running))), random)

    def _crash_all(self, random: Random) -> bool:
        return self._fail_slowly(self.hosts, random)

    def _black_out(self, random: Random) -> bool:
        return self._fail_slowly(self._servers(), random)

    def _fail_slowly(self, names: Sequence[str], random: Random) -> bool:
        """Kill all of these; every other time some disks first write on and on, and do not end."""
        if random.random() < 0.5 or not any(self.world.hosts[name].up for name in names):
            return self.kill(names, random)
        delay_us = self.hinder(random)
        self.world.schedule.at(self.world.now + delay_us, self._kill_hindered, names, random)
        return True

    def hinder(self, random: Random) -> int:
        """Make some stores slow; return after how long it is worth having their hosts die."""
        slow = random.sample(self._servers(), random.randint(1, len(self._servers())))
        for name in slow:
            self.world.hosts[name].store.trouble.commit_us_max = 2 * HINDERED_US_MAX
        self.world.note("faults", f"hinders the disks of {', '.join(slow)}")
        return random.randint(0, HINDERED_US_MAX)

    def _kill_hindered(self, names: Sequence[str], random: Random) -> None:
        if not self.healed:
            self.kill(names, random)
            self.end_troubles()

    def end_troubles(self) -> None:
        """All stores are well."""
        for name in self._servers():
            self.world.hosts[name].store.trouble.heal()

    def kill(self, names: Sequence[str], random: Random) -> bool:
        """Kill all of these that run, at one moment and in any order; they start again later."""
        running = [name for name in names if self.world.hosts[name].up]
        random.shuffle(running)
        silent = random.random() < self.plan.dark_probability
        for name in running:
            self.world.crash(name, silent=silent)
            if self.healed or random.random() >= self.plan.late_probability:
                self._restart_later(name)
        return bool(running)

    def _servers(self) -> list[str]:
        return [*self.hosts, *([self.coordinator] if self.coordinator else [])]

    def _slow_store(self, random: Random) -> bool:
        name, trouble = self._trouble(random)
        trouble.commit_us_max = random.randint(1_000, max(1_000, self.plan.slow_commit_us_max))
        trouble.load_us_max = random.randint(0, self.plan.slow_commit_us_max)
        self.world.note(name, f"commits take up to {trouble.commit_us_max} us")
        return True

    def _fail_store(self, random: Random) -> bool:
        name, trouble = self._trouble(random)
        trouble.failures = random.randint(1, 5)
        self.world.note(name, f"{trouble.failures} commits fail")
        return True

    def _fill_store(self, random: Random) -> bool:
        name, trouble = self._trouble(random)
        trouble.full = True
        self.world.note(name, "its disk is full")
        return True

    def _trouble(self, random: Random) -> tuple[str, StoreTrouble]:
        """Choose whose store shall have trouble, for some time."""
        name = random.choice(self._servers())
        trouble = self.world.hosts[name].store.trouble
        duration_us = random.randint(1_000, max(1_000, self.plan.trouble_us_max))
        self.world.schedule.at(self.world.now + duration_us, trouble.heal)
        return name, trouble

    def _damage(self, random: Random) -> bool:
        name = self._damaged or random.choice(self.hosts)
        key = self.world.hosts[name].store.damage(random, bulk=random.random() < 0.7)
        if key is None:
            return False
        self._damaged = name
        self.damaged_at = self.world.now if self.damaged_at is None else self.damaged_at
        self.world.note(name, f"the value of {key!r} is damaged")
        if random.random() < 0.5:
            self.kill([name], random)
        return True

    def _restart(self, random: Random) -> bool:
        running = [name for name in self._able() if name not in dict(self._ending.values())]
        at = self.world.now
        for name in random.sample(running, min(len(running), random.choice((1, 1, 1, 3)))):
            if self.coordinator and random.random() < 0.7:
                self.world.ask(self.coordinator, self._question(), ("hand over", name))
            at += random.randint(0, 100_000)
            self.world.schedule.at(at, self._tell_to_end, name, self.world.hosts[name].incarnation)
            at += 600_000
        return bool(running)

    def _rebalance(self, random: Random) -> bool:
        if not self.coordinator or not self.world.hosts[self.coordinator].up:
            return False
        running = [name for name in self.hosts if self.world.hosts[name].up]
        if running and random.random() < 0.5:
            # Else there would be little to even out.
            leaving = random.choice(running)
            self.world.ask(self.coordinator, self._question(), ("hand over", leaving))
        absent = random.sample(running, 1) if running and random.random() < 0.1 else []
        at = self.world.now + random.randint(0, 100_000)
        self.world.schedule.at(at, self.ask_to_rebalance, absent)
        return True

    def ask_to_rebalance(self, absent: Sequence[str] = ()) -> None:
        """Have the coordinator, if it runs, even out who leads."""
        self.world.note("faults", "asks for a rebalance")
        self.world.ask(self.coordinator, self._question(), ("rebalance", absent))

    def _question(self) -> int:
        self._questions_count += 1
        return self._questions_count

    def _tell_to_end(self, name: str, incarnation: int) -> None:
        told = (name, incarnation) in self._ending.values()
        if self._runs(name, incarnation) and not told and not self.healed:
            number = self._question()
            self._ending[number] = name, incarnation
            self.world.note(name, "is told to end")
            self.world.ask(name, number, "shutdown")
            self.world.schedule.at(self.world.now + GRACE_US, self._end, number)

    def _runs(self, name: str, incarnation: int) -> bool:
        host = self.world.hosts[name]
        return host.up and host.incarnation == incarnation

    def _answered(self, name: str, number: int) -> None:
        if number in self._ending and self._ending[number][0] == name:
            self._end(number)

    def _end(self, number: int) -> None:
        """It has answered, or had its time."""
        name, incarnation = self._ending.pop(number, ("", 0))
        if name and self._runs(name, incarnation):
            self.world.crash(name)
            self._restart_later(name)

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
