"""A whole run, with the toy broker as the cluster's one node: good ones pass, flawed ones fail."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from simulation.toy_broker import Flaws, ToyBroker

from rabbitry.simulation.cluster import HEAL_AT, Cluster, ClusterFactories
from rabbitry.simulation.world import SeedFailed

SURVIVABLE = ("freeze", "reset", "stall")


def toy_cluster(number: int, flaws: Flaws | None = None, *, keep_trace: bool = False) -> Cluster:
    factories = ClusterFactories({"toy": lambda *_: ToyBroker(flaws)})
    return Cluster(number, factories, kinds=SURVIVABLE, keep_trace=keep_trace)


@pytest.mark.parametrize("number", range(20))
def test_a_good_broker_passes(number: int) -> None:
    run = toy_cluster(number).run()
    assert run.ended_at >= HEAL_AT
    assert run.history.confirmed and run.history.deliveries


def test_the_faults_that_were_drawn_do_strike() -> None:
    counts = [toy_cluster(number).run().fault_counts for number in range(20)]
    assert {kind for each in counts for kind in each} == set(SURVIVABLE)


def test_the_same_seed_runs_the_same_way() -> None:
    first, second = toy_cluster(3).run(), toy_cluster(3, keep_trace=True).run()
    assert first.trace_hash == second.trace_hash
    assert first.trace_hash != toy_cluster(4).run().trace_hash


@pytest.mark.parametrize(
    ("flaws", "text"),
    [
        (Flaws(loses_one_in=10), "confirmed but never delivered"),
        (Flaws(swaps_one_in=3), "neither marked redelivered"),
        (Flaws(forgets_redelivered=True), "delivered twice without redelivered"),
        (Flaws(deaf=True), "no rest within 40 s after the faults were healed"),
    ],
)
def test_a_flawed_broker_fails_some_seed_and_says_which(flaws: Flaws, text: str) -> None:
    failures: list[str] = []
    for number in range(8):
        try:
            toy_cluster(number, flaws).run()
        except SeedFailed as failed:
            failures.append(str(failed))
            assert str(failed).startswith(f"seed {number} failed at ")
    assert any(text in failure for failure in failures), failures


def test_a_kept_trace_can_be_read(tmp_path: Path) -> None:
    cluster = toy_cluster(3, keep_trace=True)
    cluster.run()
    path = tmp_path / "trace"
    cluster.world.trace.write(path)
    lines = path.read_text().splitlines()
    assert lines[0].startswith("0 run * seed 3: ")
    assert all(re.match(r"\d+ \w+ [<>*] ", line) for line in lines)


class Replica:
    """Shows what it is told to show."""

    def __init__(self, shown: dict[str, dict[str, object]]) -> None:
        self.shown = shown

    def step(self, event: object, now: int) -> list[object]:
        return []

    def inspect(self) -> dict[str, dict[str, object]]:
        return self.shown


@pytest.mark.parametrize(
    ("in_sync", "epoch_of_b", "may_lose_a"),
    [(["a", "b"], 2, True), (["a"], 2, False), (["a", "b"], 1, False), (["b"], 2, True)],
)
def test_the_last_replica_in_sync_may_not_be_lost(
    in_sync: list[str], epoch_of_b: int, may_lose_a: bool
) -> None:
    decided = Replica({"q": {"epoch": 2, "leader": "a", "in_sync": in_sync}})
    held = {"position": 0, "messages": []}
    nodes = {
        "a": Replica({"q": {**held, "role": "leader", "epoch": 2}}),
        "b": Replica({"q": {**held, "role": "mirror", "epoch": epoch_of_b}}),
    }
    factories = ClusterFactories(
        {name: (lambda *_, node=node: node) for name, node in nodes.items()},  # type: ignore[misc]
        coordinator=lambda *_: decided,  # type: ignore[arg-type, return-value]
    )
    cluster = Cluster(1, factories)
    for name in ("coordinator", "a", "b"):
        cluster.world.start(name)
    assert cluster.may_lose("a") is may_lose_a
    cluster.world.crash("coordinator")
    assert cluster.may_lose("a") is False


@pytest.mark.parametrize(("position", "fails"), [(5, False), (6, True)])
def test_a_mirror_ahead_of_its_leader_fails_the_seed_at_once(position: int, fails: bool) -> None:
    held = {"epoch": 2, "messages": []}
    nodes = {
        "a": Replica({"q": {**held, "role": "leader", "position": 5}}),
        "b": Replica({"q": {**held, "role": "mirror", "position": position}}),
    }
    factories = ClusterFactories(
        {name: (lambda *_, node=node: node) for name, node in nodes.items()}  # type: ignore[misc]
    )
    cluster = Cluster(1, factories, kinds=("stall",))
    with pytest.raises(SeedFailed) as failed:
        cluster.run()  # nodes that serve nobody come to no rest in any case
    assert ("is at 6, ahead of 5" in str(failed.value)) is fails
