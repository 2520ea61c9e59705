"""A run with stores: what it does besides the faults, and what its watch over the nodes sees."""

from __future__ import annotations

from pathlib import Path

import pytest
from simulation.test_cluster import Replica

from rabbitry import machine as m
from rabbitry.cluster import relocation
from rabbitry.simulation.cluster import ClusterFactories
from rabbitry.simulation.declarer import TRANSIENT_QUEUE
from rabbitry.simulation.durable import LOSSES, DurableCluster
from rabbitry.simulation.faults import DURABLE_KINDS, REBALANCE


def watched(**nodes: dict[str, object]) -> tuple[DurableCluster, Replica]:
    """Return a cluster whose nodes show these views of the queue "q", and its coordinator."""
    decided = Replica({"q": {"epoch": 2, "leader": "a", "in_sync": list(nodes)}})
    shown = {
        name: Replica({"q": {"position": 0, "messages": [], "epoch": 2, **view}})
        for name, view in nodes.items()
    }
    factories = ClusterFactories(
        {name: (lambda *_, node=node: node) for name, node in shown.items()},  # type: ignore[misc]
        coordinator=lambda *_: decided,  # type: ignore[arg-type, return-value]
    )
    cluster = DurableCluster(1, factories)
    for name in ("coordinator", *nodes):
        cluster.world.start(name)
    return cluster, decided


LEADER: dict[str, object] = {"role": "leader"}
MIRROR: dict[str, object] = {"role": "mirror", "begun": True, "complete": True}


def test_the_death_of_the_last_who_had_everything_is_seen() -> None:
    cluster, _ = watched(a=LEADER, b=MIRROR, c={**MIRROR, "complete": False})
    cluster.world.crash("a")
    cluster.world.start("a")
    assert cluster.history.wipes == {}
    cluster.world.hosts["a"].machine.shown = {}  # type: ignore[union-attr]
    cluster.world.crash("b")
    assert cluster.history.wipes == {"q": [0]}
    assert cluster.history.deaths == {"a": [0], "b": [0]}


def test_a_node_that_is_in_sync_no_more_does_not_count() -> None:
    cluster, decided = watched(a=LEADER, b=MIRROR)
    decided.shown["q"]["in_sync"] = ["a"]
    cluster.world.crash("a")
    assert cluster.history.wipes == {"q": [0]}


def test_a_node_stays_a_holder_while_another_leads_it_into_a_new_epoch() -> None:
    cluster, decided = watched(a=LEADER, b=MIRROR, c=MIRROR)
    cluster.world.crash("b")  # all are looked at
    decided.shown["q"] = {"epoch": 3, "leader": "a", "in_sync": ["a", "c"]}
    cluster.world.crash("a")
    assert cluster.history.wipes == {}, "c has it all, though it has not heard of epoch 3"


def test_what_is_known_of_a_coordinator_that_is_down_remains() -> None:
    cluster, _ = watched(a=LEADER)
    cluster.world.crash("coordinator")
    cluster.world.crash("a")
    assert cluster.history.wipes == {"q": [0]}


@pytest.mark.parametrize("encore", ["", "nodes", "nodes and coordinator"])
def test_runs_have_encores_that_kill_every_node_at_once(encore: str) -> None:
    views = {"a": LEADER, "b": MIRROR}
    seed = 0
    cluster, _ = watched(**views)
    factories = cluster.factories
    while (cluster := DurableCluster(seed, factories, kinds=["stall"])).encore != encore:
        seed += 1
    world = cluster.world
    for name in ("coordinator", *views):
        world.start(name)
    cluster.faults.begin()
    cluster.begin()
    world.run_until(cluster.encore_at - 1)
    assert cluster.history.deaths == {}
    world.run_until(cluster.encore_at)
    assert set(cluster.history.deaths) == (set(views) if encore else set())
    assert world.hosts["coordinator"].up is (encore != "nodes and coordinator")
    assert (cluster.history.quiet is not None) is bool(encore)
    world.run_until(cluster.encore_at + 3_000_000)
    assert all(world.hosts[name].up for name in ("coordinator", *views))


def test_any_node_may_die_and_runs_differ() -> None:
    cluster, _ = watched(a=LEADER)
    assert cluster.may_lose("a")
    plans = [DurableCluster(seed, cluster.factories).plan for seed in range(60)]
    assert {kind for plan in plans for kind in plan.mean_interval_us} == {*DURABLE_KINDS, REBALANCE}


@pytest.mark.parametrize("what", LOSSES)
def test_what_the_coordinator_says_of_losses_is_heard(what: str) -> None:
    assert what in Path(relocation.__file__).read_text(encoding="utf-8")
    cluster, _ = watched(a=LEADER)
    for queue in ("q", TRANSIENT_QUEUE):
        for observer in cluster.world.report_observers:
            observer(7, "coordinator", m.Report("error", what, {"queue": queue}))
    assert cluster.history.forsaken == {"q": 7}
    assert cluster.history.damage_at is None
