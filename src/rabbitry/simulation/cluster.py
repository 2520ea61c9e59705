"""A whole cluster for one seed: coordinator, nodes, clients, faults, and the verdict.

Puts the parts together; owns the times of a run's phases and what is drawn for it. The machines
come in through factories, so that this file says what a cluster run is and not how nodes are built.

A run: the cluster starts and clients come; between `BEGIN_AT` and `HEAL_AT` faults are on; then all
is healed, publishers get their last messages, and within `PROGRESS_US` every publisher must be
done, every confirmed message delivered and every queue empty, with the replicas in agreement. The
run ends as soon as that is so. Any node may be inspected at any time (`Inspectable`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final, Protocol, runtime_checkable

from rabbitry import machine as m
from rabbitry.simulation import checkers
from rabbitry.simulation.client import ClientSettings
from rabbitry.simulation.faults import KINDS, FaultInjector, FaultPlan, draw_plan, draw_weather
from rabbitry.simulation.history import History, ReplicaView, replica_views
from rabbitry.simulation.workload import (
    Consumer,
    ConsumerSettings,
    Publisher,
    PublisherSettings,
)
from rabbitry.simulation.world import Factory, SeedFailed, World
from rabbitry.wire.values import FieldValue

BEGIN_AT = 800_000
HEAL_AT = 5_000_000
# Room for one consumer with a prefetch of one, slow work and slow links, and a backlog.
PROGRESS_US = 40_000_000
_SAMPLE_US = 100_000
_SETTLE_US = 50_000
_FAULTS_SHOWN_MAX = 12
AMQP_PORT = 5672
CLUSTER_PORT = 25672


@runtime_checkable
class Inspectable(Protocol):
    """A machine that shows what it holds.

    A node: queue -> {role, epoch, position, messages: [(position, digest)], in_sync: [node]}.
    A coordinator: queue -> {epoch, leader, in_sync: [node], durable: is all of it in the store}.
    """

    def inspect(self) -> Mapping[str, Mapping[str, Any]]:
        """Return plain data; changes nothing."""
        ...


@dataclass(frozen=True)
class ClusterFactories:
    """How the machines of a cluster are made. Hosts are named as the keys; ports are fixed."""

    nodes: Mapping[str, Factory]
    coordinator: Factory | None = None
    coordinator_name: str = "coordinator"


# What queues are declared with. None of it may lose, or put out of its publisher's order, what was
# confirmed: the checkers know of no queue that does.
QUEUE_KINDS: Final[Sequence[dict[str, FieldValue]]] = (
    {},
    {},
    {},
    {"x-max-priority": 3},
    {"x-single-active-consumer": True},
    {"x-queue-type": "quorum"},
    {"x-message-ttl": 3_600_000},
    {"x-max-length": 3, "x-overflow": "reject-publish"},
    {"x-max-length-bytes": 500_000, "x-overflow": "reject-publish-dlx"},
)


@dataclass
class ClusterRun:
    """What a run left behind: for messages about it, and for tests of the runner itself."""

    seed: int
    plan: FaultPlan
    trace_hash: str
    history: History
    fault_counts: dict[str, int]
    ended_at: int
    steps_count: int
    world: World = field(repr=False)


class Cluster:
    """One run of a cluster under one seed. Times in microseconds."""

    heal_at = HEAL_AT
    final_divisor = 6
    persistent_probability = 0.5
    final_at = HEAL_AT + 10_000  # from when on publishers send their last

    def __init__(
        self,
        seed: int,
        factories: ClusterFactories,
        *,
        kinds: Sequence[str] = KINDS,
        keep_trace: bool = False,
        events_max: int = 400_000,
    ) -> None:
        draw = Random(f"{seed}/cluster")
        self.seed = seed
        self.factories = factories
        self.world = World(
            seed, weather=draw_weather(draw), events_max=events_max, keep_trace=keep_trace
        )
        self.history = History()
        self.publishers: list[Publisher] = []
        self.consumers: list[Consumer] = []
        self._draw = draw
        self.plan = self.draw_plan(kinds)
        self._kinds = Random(f"{seed}/queues")
        self._queue_arguments: dict[str, dict[str, FieldValue]] = {}
        self._names = list(factories.nodes)
        self._add_hosts()
        self._add_clients()
        self.faults = FaultInjector(
            self.world,
            self.plan,
            self._names,
            self._servers(),
            self.may_lose,
            factories.coordinator_name if factories.coordinator is not None else "",
        )

    # --- putting together ------------------------------------------------------------------------

    def draw_plan(self, kinds: Sequence[str]) -> FaultPlan:
        """Draw the faults of the run."""
        return draw_plan(self._draw, BEGIN_AT, self.heal_at, kinds)

    def draw_consumer(self) -> ConsumerSettings:
        """Draw how one consumer works."""
        draw = self._draw
        return ConsumerSettings(
            prefetch_count=draw.choice((1, 5, 50)),
            work_us=draw.choice((100, 3_000, 20_000)),
            multiple_ack=draw.random() < 0.5,
            requeue_probability=draw.choice((0.0, 0.05, 0.2)),
            vanish_probability=draw.choice((0.0, 0.0, 0.02)),
            calm_at=self.heal_at,
        )

    def _servers(self) -> list[str]:
        coordinator = self.factories.coordinator
        return [*([self.factories.coordinator_name] if coordinator else []), *self._names]

    def _add_hosts(self) -> None:
        factories = self.factories
        if factories.coordinator is not None:
            self.world.add_host(
                factories.coordinator_name, factories.coordinator, {CLUSTER_PORT: "cluster"}
            )
        for name, factory in factories.nodes.items():
            self.world.add_host(name, factory, {AMQP_PORT: "amqp", CLUSTER_PORT: "cluster"})

    def _add_clients(self) -> None:
        draw = self._draw
        publishers_count = 0
        for number in range(draw.randint(1, 2)):
            queue = f"q{number}"
            self._queue_arguments[queue] = self._kinds.choice(QUEUE_KINDS)
            for _ in range(draw.randint(1, 2)):
                self._add_publisher(f"p{publishers_count}", queue)
                publishers_count += 1
            for consumer in range(draw.randint(1, 2)):
                self._add_consumer(f"c{number}{'abc'[consumer]}", queue)

    def _client_settings(self, name: str, queue: str) -> ClientSettings:
        draw = self._draw
        return ClientSettings(
            name=name,
            queue=queue,
            queue_arguments=tuple(self._queue_arguments.get(queue, {}).items()),
            addresses=tuple(m.Address(node, AMQP_PORT) for node in self._names),
            first_connect_us=draw.randint(0, 400_000),
        )

    def _add_publisher(self, name: str, queue: str) -> None:
        draw = self._draw
        interval_us = draw.choice((15_000, 40_000, 120_000))
        # As many as a publisher with a window of one gets out while the faults are on.
        queue_has_priorities = "x-max-priority" in self._queue_arguments[queue]
        messages_count = min(draw.randint(40, 200), (self.heal_at - BEGIN_AT) // interval_us)
        settings = PublisherSettings(
            messages_count=messages_count,
            final_count=messages_count // self.final_divisor + 1,
            final_at=self.final_at,
            interval_us=interval_us,
            burst_max=draw.choice((1, 4, 16)),
            window=draw.choice((1, 10, 50)),
            publish_again=draw.random() < 0.7,
            persistent=draw.random() < self.persistent_probability,
            padding_bytes_max=draw.choice((0, 20, 2_000)),
            large_probability=draw.choice((0.0, 0.0, 0.02)),
            priority=self._kinds.randint(0, 3) if queue_has_priorities else None,
        )
        client = self._client_settings(name, queue)
        random = self.world.schedule.random(f"client {name}")
        publisher = Publisher(client, settings, self.history, random)
        self.publishers.append(publisher)
        self.world.add_host(name, lambda _incarnation, _entropy: publisher)

    def _add_consumer(self, name: str, queue: str) -> None:
        settings = self.draw_consumer()
        client = self._client_settings(name, queue)
        random = self.world.schedule.random(f"client {name}")
        consumer = Consumer(client, settings, self.history, random)
        self.consumers.append(consumer)
        self.world.add_host(name, lambda _incarnation, _entropy: consumer)

    # --- looking inside --------------------------------------------------------------------------

    def views(self) -> list[ReplicaView]:
        """Return what every node that runs holds."""
        views: list[ReplicaView] = []
        for name in self._names:
            node = self.world.hosts[name].machine
            if isinstance(node, Inspectable):
                views += replica_views(name, node.inspect())
        return views

    def given(self) -> Mapping[str, Mapping[str, Any]]:
        """Return what the coordinator has decided; empty while it is down."""
        if self.factories.coordinator is None:
            return {}
        coordinator = self.world.hosts[self.factories.coordinator_name].machine
        return coordinator.inspect() if isinstance(coordinator, Inspectable) else {}

    def may_lose(self, name: str) -> bool:
        """Tell whether every queue has another in-sync replica that runs and is in its epoch.

        Messages in memory live as long as one member of the in-sync set; to take the last away is
        no fault a cluster can survive. Without a coordinator nothing may be lost.
        """
        given = self.given()
        if not given:
            return False
        held = {(view.node, view.queue): view.epoch for view in self.views()}
        return all(
            any(
                member != name and held.get((member, queue)) == decided["epoch"]
                for member in decided["in_sync"]
            )
            for queue, decided in given.items()
        )

    def _sample(self) -> None:
        """Look at who leads what, now and again.

        A mirror ahead of its leader fails the seed, and a leader that holds a message twice.
        """
        now = self.world.now
        views = self.views()
        self.history.see_replicas(now, views)
        leaders = {(view.queue, view.epoch): view for view in views if view.role == "leader"}
        for leader in leaders.values():
            if faults := checkers.check_once(leader):
                raise self._fail(faults)
        for view in views:
            led = leaders.get((view.queue, view.epoch))
            if led is not None and (faults := checkers.check_mirror(led, view)):
                raise self._fail(faults)
        for queue, decided in self.given().items():
            if decided["leader"] and decided.get("durable", True):
                self.history.see_given(now, queue, decided["epoch"], decided["leader"])
        self.world.schedule.at(now + _SAMPLE_US, self._sample)

    # --- the run ---------------------------------------------------------------------------------

    def begin(self) -> None:
        """Set up what happens besides the faults: nothing."""

    def run(self) -> ClusterRun:
        """Run to the end. Raises SeedFailed for whatever is wrong."""
        world = self.world
        world.note("run", f"seed {self.seed}: {self.plan.describe()}")
        for name in list(world.hosts):
            world.start(name)
        self.faults.begin()
        self.begin()
        world.schedule.at(_SAMPLE_US, self._sample)
        world.run_until(self.heal_at)
        deadline = self.heal_at + PROGRESS_US
        while not self._settled():
            if world.now >= deadline:
                raise self._fail(self._unsettled())
            world.run_until(world.now + _SETTLE_US)
        faults = [
            *checkers.check_history(self.history),
            *checkers.check_progress(
                self.history, self.heal_at, [p.client_settings.name for p in self.publishers]
            ),
            *checkers.check_replicas_agree(self.views()),
        ]
        if faults:
            raise self._fail(faults)
        return ClusterRun(
            self.seed,
            self.plan,
            world.trace.hash,
            self.history,
            self.faults.counts,
            world.now,
            world.schedule.events_count,
            world,
        )

    def _settled(self) -> bool:
        """Tell whether the run has come to rest: all published, delivered, acknowledged, agreed."""
        if not all(publisher.done for publisher in self.publishers):
            return False
        if not all(consumer.idle for consumer in self.consumers):
            return False
        if checkers.check_confirmed_delivered(self.history):
            return False
        views = self.views()
        if any(view.messages for view in views if view.queue in self._queue_arguments):
            return False
        return not checkers.check_replicas_agree(views)

    def _unsettled(self) -> list[str]:
        """Say what keeps the run from its rest, after all the time it had."""
        faults = [f"no rest within {PROGRESS_US // 1_000_000} s after the faults were healed"]
        faults += checkers.check_history(self.history)
        faults += [f"{p.client_settings.name} is not done" for p in self.publishers if not p.done]
        faults += [f"{c.client_settings.name} is not idle" for c in self.consumers if not c.idle]
        views = self.views()
        faults += [
            f"{view.node} ({view.role}, epoch {view.epoch}) still holds {len(view.messages)} of "
            f"{view.queue}"
            for view in views
            if view.messages and view.queue in self._queue_arguments
        ]
        return faults + checkers.check_replicas_agree(views)

    def _fail(self, faults: Sequence[str]) -> SeedFailed:
        shown = list(faults[:_FAULTS_SHOWN_MAX])
        if len(faults) > len(shown):
            shown.append(f"and {len(faults) - len(shown)} more")
        return self.world.failure(
            f"{self.plan.describe()}; struck: {self.faults.counts}\n  " + "\n  ".join(shown)
        )
