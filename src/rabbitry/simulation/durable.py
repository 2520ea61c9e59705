"""A run of a cluster whose nodes keep what is confirmed in stores: whatever dies, it comes back.

Beside what every run has (`cluster`): nodes and the coordinator die in any number, stores have
trouble, a supervisor tells of the dead, and a client declares things that are looked for at the
end. In half of the runs clients at every node delete one queue and declare it again, all the time.
Most runs have an *encore*: when all has been healed and quiet for a while, every node dies at once,
in some runs the coordinator with them, with messages left unacknowledged on purpose. Then it can be
told exactly what has to come back, and what must not.

Owns the watch over who has everything of a queue in memory: a process that was in the in-sync set
and complete, and has lived since. Where the last of them dies, the history says so (`wipe`), for
only then some things are forgiven.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from rabbitry import machine as m
from rabbitry.simulation.client import ClientSettings
from rabbitry.simulation.cluster import AMQP_PORT, BEGIN_AT, Cluster, ClusterFactories
from rabbitry.simulation.declarer import TRANSIENT_QUEUE, Declarer
from rabbitry.simulation.exchanger import EXCHANGED_QUEUE, Exchanger
from rabbitry.simulation.faults import (
    DURABLE_KINDS,
    HINDERED_US_MAX,
    REBALANCE,
    FaultPlan,
    draw_durable_plan,
)
from rabbitry.simulation.history import Quiet, ReplicaView
from rabbitry.simulation.supervisor import SimulatedSupervisor
from rabbitry.simulation.workload import ConsumerSettings

# What the coordinator reports of queues that nobody has all of.
LOSSES = (
    "queue has lost all replicas that held everything",
    "queue waits: the replica that held everything is damaged",
)
ENCORE_AFTER_US = 3_200_000
# Another queue of its name begins with the first epoch again, and checkers know queues by name.
UNWATCHED_QUEUES = (TRANSIENT_QUEUE, EXCHANGED_QUEUE)
# After the last fault a cluster needs a lease's time to know who is there, and a little more.
_RECOVERED_AFTER_US = 2_400_000
_STORED_AFTER_US = 300_000


class DurableCluster(Cluster):
    """One run with stores under one seed. `kinds` are the faults to draw from."""

    heal_at = 3_500_000
    final_at = heal_at + 1_500_000
    encore_at = heal_at + ENCORE_AFTER_US
    final_divisor = 3
    persistent_probability = 0.75

    def __init__(
        self,
        seed: int,
        factories: ClusterFactories,
        *,
        kinds: Sequence[str] = (*DURABLE_KINDS, REBALANCE),
        keep_trace: bool = False,
        events_max: int = 600_000,
    ) -> None:
        self.encore: str = ""
        self._seen: object = None  # when `_views` were looked at
        self._views: list[ReplicaView] = []
        super().__init__(seed, factories, kinds=kinds, keep_trace=keep_trace, events_max=events_max)
        # queue -> node -> the incarnation that has everything of it in memory
        self._holders: dict[str, dict[str, int]] = {}
        self._given: Mapping[str, Mapping[str, Any]] = {}
        self._encore_random = self.world.schedule.random("encore")
        self.supervisor = SimulatedSupervisor(
            self.world,
            factories.coordinator_name,
            self._names,
            self.world.schedule.random("supervisor"),
        )
        self.world.life_observers.append(self._observe_life)
        self.world.report_observers.append(self._hear_report)
        self._add_declarer()
        self.exchangers: list[Exchanger] = []
        self._add_exchangers()

    # --- putting together ------------------------------------------------------------------------

    def draw_plan(self, kinds: Sequence[str]) -> FaultPlan:
        """Draw the faults, and whether there is an encore."""
        self.encore = self._draw.choice(("", "nodes", "nodes", "nodes and coordinator"))
        if self.encore:
            self.final_at = self.encore_at - 1_000_000
        others = [kind for kind in kinds if kind != REBALANCE]
        plan = draw_durable_plan(self._draw, BEGIN_AT, self.heal_at, others)
        # From a source of its own: all else of a seed is what it was before there was this.
        random = self.world.schedule.random("rebalances")
        if REBALANCE in kinds and random.random() < 0.5:
            plan.mean_interval_us[REBALANCE] = random.choice((100_000, 300_000, 1_000_000))
        self._rebalances = random
        return plan

    def draw_consumer(self) -> ConsumerSettings:
        """Draw how a consumer works; before the encore it leaves some unacknowledged."""
        settings = super().draw_consumer()
        slow_work_us = self._draw.choice((0, 30_000, 100_000, 400_000))
        if slow_work_us and self._draw.random() < 0.7:
            # What has been delivered cannot be lost any more: let much wait in the queue.
            settings = replace(settings, prefetch_count=self._draw.choice((1, 3)))
        if not self.encore:
            return replace(settings, slow_work_us=slow_work_us, calm_again_at=self.heal_at)
        return replace(
            settings,
            linger_probability=self._draw.choice((0.0, 0.2, 0.5)),
            linger_at=self.heal_at,
            slow_work_us=slow_work_us,
            calm_again_at=self.encore_at + 1_000_000,
        )

    def _add_declarer(self) -> None:
        client = self._client_settings("declarer", "d0")
        self.declarer = Declarer(
            client,
            self.history,
            self.world.schedule.random("client declarer"),
            interval_us=self._draw.choice((20_000, 200_000)),
            look_at=self.encore_at + 1_000_000 if self.encore else self.final_at,
            # Without the coordinator, one may have joined again before another is known to be dead.
            all_died=self.encore == "nodes and coordinator",
        )
        self.world.add_host("declarer", lambda _incarnation, _entropy: self.declarer)

    def _add_exchangers(self) -> None:
        """Have one for each node, in some runs. From a source of its own, as rebalances."""
        random = self.world.schedule.random("exchangers")
        if random.random() >= 0.5:
            return
        for name in self._names:
            self._add_exchanger(name, random.choice((10_000, 100_000)))

    def _add_exchanger(self, node: str, interval_us: int) -> None:
        addresses = (m.Address(node, AMQP_PORT),)
        # Patient: what it asked for is to wait while its node is away.
        client = ClientSettings(f"x-{node}", EXCHANGED_QUEUE, addresses, heartbeat_s=60)
        draws = self.world.schedule.random(f"client {client.name}")
        times = {"interval_us": interval_us, "calm_at": self.heal_at}
        exchanger = Exchanger(client, self.history, draws, **times)
        self.exchangers.append(exchanger)
        self.world.add_host(client.name, lambda _incarnation, _entropy: exchanger)

    # --- the run ---------------------------------------------------------------------------------

    def may_lose(self, name: str) -> bool:
        """Any node may die at any time: its store remains."""
        return True

    def begin(self) -> None:
        """Set up what happens besides the faults."""
        if self.encore:
            self.history.quiet = Quiet(
                self.heal_at + _RECOVERED_AFTER_US,
                self.encore_at - _STORED_AFTER_US,
                self.encore_at,
            )
            self.world.schedule.at(self.encore_at, self._strike_encore)
            if self._encore_random.random() < 0.5:
                hinder_at = self.encore_at - HINDERED_US_MAX
                self.world.schedule.at(hinder_at, self._hinder)

    def _hinder(self) -> None:
        self.faults.hinder(self._encore_random)

    def _strike_encore(self) -> None:
        names = [*self._names]
        if self.encore == "nodes and coordinator":
            names.append(self.factories.coordinator_name)
        self.world.note("faults", f"encore: {self.encore} die")
        self.faults.kill(names, self._encore_random)
        self.faults.end_troubles()

    def _settled(self) -> bool:
        if self.encore and self.world.now <= self.encore_at + 1_000_000:
            return False
        if not all(exchanger.idle for exchanger in self.exchangers):
            return False
        return self.declarer.done and super()._settled()

    def _unsettled(self) -> list[str]:
        faults = super()._unsettled()
        if not self.declarer.done:
            faults.insert(1, f"the declarer is not done ({self.declarer.progress})")
        for one in self.exchangers:
            if not one.idle:
                faults.insert(1, f"{one.client_settings.name} waits for an answer")
        return faults

    def _hear_report(self, at: int, _host: str, report: m.Report) -> None:
        if report.what in LOSSES and report.details["queue"] not in UNWATCHED_QUEUES:
            self.history.forsake(at, report.details["queue"])
            self.history.damage_at = self.faults.damaged_at

    # --- who has everything in memory ------------------------------------------------------------

    def views(self) -> list[ReplicaView]:
        """Return what every node holds, but of queues that do not last.

        Looked at once for each event: it is asked for often, and costs a digest of every message.
        """
        seen = (
            self.world.schedule.events_count,
            [self.world.hosts[name].incarnation for name in self._names],
            [self.world.hosts[name].up for name in self._names],
        )
        if seen != self._seen:
            self._seen = seen
            self._views = [view for view in super().views() if view.queue not in UNWATCHED_QUEUES]
        return self._views

    def given(self) -> Mapping[str, Mapping[str, Any]]:
        """Return what the coordinator has decided, but of those queues."""
        given = super().given()
        return {queue: given[queue] for queue in given if queue not in UNWATCHED_QUEUES}

    def _sample(self) -> None:
        super()._sample()
        self._see_holders()

    def _see_holders(self) -> None:
        """Look who holds everything; a node that is in sync and has been complete stays it."""
        self._given = self.given() or self._given
        views = {(view.node, view.queue): view for view in self.views()}
        for queue, decided in self._given.items():
            holders = self._holders.setdefault(queue, {})
            for name in list(holders):
                if name not in decided["in_sync"]:
                    del holders[name]
            for name in decided["in_sync"]:
                view = views.get((name, queue))
                if view is None or view.epoch != decided["epoch"]:
                    continue
                if view.role == "leader" or (view.begun and view.complete):
                    holders[name] = self.world.hosts[name].incarnation

    def _observe_life(self, name: str, what: str) -> None:
        if what == "running" and name in self._names and REBALANCE in self.plan.mean_interval_us:
            # Who is back leads nothing, and may not have everything yet.
            at = self.world.now + self._rebalances.randint(1_000, 150_000)
            self.world.schedule.at(at, self.faults.ask_to_rebalance)
        if what not in ("ending", "going dark"):
            return
        if name not in self._names:
            if name == self.factories.coordinator_name:
                self._see_holders()
            return
        now = self.world.now
        self._see_holders()
        self.history.die(now, name)
        for queue, holders in self._holders.items():
            if holders.pop(name, None) is not None and not holders:
                self.world.note(name, f"was the last to have all of {queue} in memory")
                self.history.wipe(now, queue)
