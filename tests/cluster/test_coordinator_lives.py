"""A coordinator whose store is an older copy turns away who has heard more, and changes nothing."""

from __future__ import annotations

from support.coordination_catalogs import shape
from support.coordination_stage import Stage

from rabbitry.cluster.records import DeclareExchange, DeclareQueue


def queue(name: str = "q") -> DeclareQueue:
    return DeclareQueue("/", name, True, False, "", b"")


def exchange(name: str = "x") -> DeclareExchange:
    return DeclareExchange("/", name, "fanout", True, False, False, b"")


def joined(*names: str) -> Stage:
    stage = Stage("a", "b", "c")
    for name in names or ("a", "b", "c"):
        stage.join(name)
    return stage


def test_older_store_turns_away_a_node_that_has_heard_more_and_changes_nothing() -> None:
    stage = joined()
    older = dict(stage.kept)
    stage.nodes["a"].ask(queue())
    stage.kept = older
    stage.restart()
    before = shape(stage.coordinator.catalog)
    for name in ("a", "b"):
        node = stage.join(name, "2")
        assert f"older than that of node {name}: " in node.turned_away
        assert not node.welcomes
    assert shape(stage.coordinator.catalog) == before
    reasons = [told["reason"] for told in stage.reported("node turned away")]
    assert reasons == [stage.nodes[name].turned_away for name in ("a", "b")]


def test_older_store_is_known_also_when_it_has_gone_on_by_itself() -> None:
    stage = joined("a", "b")
    older = dict(stage.kept)
    stage.nodes["a"].ask(exchange())
    newer = dict(stage.kept)
    stage.kept = older
    for _ in range(3):
        stage.restart()
        stage.join("c", "2").ask(exchange("y"))  # it has heard nothing of what has come since
        stage.nodes["c"].ask(exchange("z"))
        assert stage.join("a", "2").turned_away
    assert stage.heard["c"][2] > stage.heard["a"][2]
    stage.kept = newer
    stage.restart()
    assert stage.join("a", "3").welcomes, "with the newer one in its place again all is well"


def test_a_node_of_another_cluster_is_welcomed_to_see_that_by_itself() -> None:
    stage = joined("a")
    stage.heard["b"] = "theirs", "its life", 99
    assert stage.join("b").cluster != "theirs"
