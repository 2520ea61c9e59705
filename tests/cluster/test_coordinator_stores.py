"""The coordinator where processes die and stores stay, race by race; and a store that refuses."""

from __future__ import annotations

from itertools import permutations

import pytest
from support.coordination_catalogs import shape
from support.coordination_stage import LEASE_US, FakeNode, Stage

from rabbitry.cluster.annals import RETRY_US
from rabbitry.cluster.handing_over import PATIENCE_US
from rabbitry.cluster.records import (
    AdmitMirror,
    DeclareExchange,
    DeclareQueue,
    DeleteQueue,
    DropMirror,
    QueuePlaced,
    Quiesced,
    StatisticsTold,
)


def stored_stage(*names: str) -> Stage:
    """Nodes with stores have joined, and one of them has declared a durable queue."""
    stage = Stage(*names)
    stage.stores = {name: f"store of {name}" for name in names}
    for name in names:
        stage.join(name)
    stage.nodes[names[0]].ask(DeclareQueue("/", "q", True, False, "", b""))
    return stage


def placed(stage: Stage) -> QueuePlaced:
    return stage.coordinator.catalog.queues[1].placed


def shown(stage: Stage) -> str:
    """Return who leads, who is in sync, who is stored."""
    one = placed(stage)
    return f"{one.leader}/{''.join(one.in_sync)}/{''.join(one.stored)}"


def dies(stage: Stage, *names: str) -> None:
    for name in names:
        stage.lose_link(name)
        stage.ask(100, ("node died", name))


def drop(stage: Stage, leader: str, mirror: str) -> None:
    node = stage.nodes[leader]
    assert node.answers[node.ask(DropMirror(1, placed(stage).epoch, mirror))] is None


def waits(stage: Stage) -> str:
    stage.ask(50, "status")
    for node in stage.nodes.values():
        if not node.closed:
            node.send(StatisticsTold(node.questions[-1], []))
    told: str = stage.answers.pop(50)["queues"][0]["waits"]
    return told


# --- who may lead ---------------------------------------------------------------------------------


@pytest.mark.parametrize("order", list(permutations("abc")))
@pytest.mark.parametrize("deaths", ["abc", "bca", "cba"])
def test_all_die_one_after_another_and_come_back_in_any_order(
    deaths: str, order: tuple[str, ...]
) -> None:
    stage = stored_stage("a", "b", "c")
    dies(stage, *deaths)
    assert placed(stage).leader == ""
    assert sorted(placed(stage).stored) == ["a", "b", "c"]
    for name in order:
        stage.join(name, "2")
    assert placed(stage).leader == order[0]
    assert placed(stage).in_sync == [order[0]]
    assert sorted(placed(stage).stored) == sorted(order[1:])
    assert not [report for report in stage.reports if report.level == "error"]


def test_all_die_before_anybody_is_told_and_the_coordinator_with_them() -> None:
    stage = stored_stage("a", "b", "c")
    stage.restart()
    for name in "abc":
        stage.ask(100, ("node died", name))
    assert shown(stage) == "//abc" or sorted(placed(stage).stored) == ["a", "b", "c"]
    stage.join("c", "2")
    assert placed(stage).leader == "c"


def test_the_leader_confirms_without_a_dead_mirror_and_that_never_leads_first() -> None:
    stage = stored_stage("a", "b", "c")
    dies(stage, "b")
    assert shown(stage) == "a/ac/b"
    drop(stage, "a", "b")  # from here on a and c confirm
    dies(stage, "c", "a")
    stage.join("b", "2")
    assert shown(stage) == "//ca" or shown(stage) == "//ac"
    assert waits(stage).startswith("waits for ")
    stage.join("c", "2")
    assert placed(stage).leader == "c"
    assert "b" in placed(stage).mirrors


def test_a_stale_one_comes_up_first_and_waits_as_often_as_it_likes() -> None:
    stage = stored_stage("a", "b")
    dies(stage, "b")
    drop(stage, "a", "b")
    dies(stage, "a")
    for incarnation in "234":
        stage.join("b", incarnation)
        assert shown(stage) == "//a"
        assert waits(stage) == "waits for a: only it has all that was confirmed"
        dies(stage, "b")
    stage.restart()
    stage.join("b", "5")
    assert shown(stage) == "//a"
    stage.join("a", "2")
    assert shown(stage) == "a/a/"
    stage.nodes["a"].ask(AdmitMirror(1, placed(stage).epoch, "b", stage.nodes["a"].revision))
    assert shown(stage) == "a/ab/"
    assert waits(stage) == ""


def test_one_that_is_stored_and_back_is_admitted_and_counts_till_then() -> None:
    stage = stored_stage("a", "b")
    dies(stage, "b")
    stage.join("b", "2")
    assert shown(stage) == "a/a/b"
    dies(stage, "a")
    assert shown(stage) == "b/b/a"
    stage.join("a", "2")
    b = stage.nodes["b"]
    b.ask(AdmitMirror(1, placed(stage).epoch, "a", b.revision))
    assert shown(stage) == "b/ba/"


def test_in_sync_ones_that_may_be_alive_are_waited_for_before_stores() -> None:
    stage = stored_stage("a", "b", "c")
    stage.lose_link("c")
    dies(stage, "b", "a")
    stage.join("b", "2")
    assert shown(stage) == "/c/ba"
    assert waits(stage) == "waits for c: only it has all that was confirmed"
    stage.join("c")
    assert shown(stage) == "c/c/ba"


def test_in_sync_ones_that_were_waited_for_and_are_dead_are_not_waited_for_longer() -> None:
    stage = stored_stage("a", "b", "c")
    stage.lose_link("c")
    dies(stage, "b", "a")
    stage.join("b", "2")
    stage.ask(101, ("node died", "c"))
    assert shown(stage) == "b/b/ac"


def test_all_are_known_to_be_dead_before_one_is_started_again() -> None:
    """A supervisor that did not say so would leave the rest to look as if they could be alive."""
    for told in (True, False):
        stage = stored_stage("a", "b")
        stage.restart()
        for name in "ab" if told else "":
            stage.ask(100, ("node died", name))
        stage.join("b", "2")
        stage.wait(2 * LEASE_US, "b")
        assert shown(stage) == ("b/b/a" if told else "a/a/b")


def test_a_coordinator_that_crashes_between_the_deaths_has_what_it_told() -> None:
    stage = stored_stage("a", "b", "c")
    dies(stage, "b")
    stage.commits_wait = True
    dies(stage, "c")
    stage.restart(kept=0)
    assert shown(stage) == "a/ac/b", "nobody was told of the death of c"
    stage.commit_one()  # of the new life
    stage.commits_wait = False
    stage.ask(100, ("node died", "c"))
    stage.ask(100, ("node died", "a"))
    assert sorted(placed(stage).stored) == ["a", "b", "c"]
    stage.restart()
    stage.join("b", "2")
    assert placed(stage).leader == "b"


def test_a_drop_that_is_not_durable_was_not_confirmed_without() -> None:
    stage = stored_stage("a", "b")
    dies(stage, "b")
    stage.commits_wait = True
    a = stage.nodes["a"]
    number = a.ask(DropMirror(1, 1, "b"))
    assert number not in a.answers
    assert a.catalog.queues[1].placed.stored == ["b"], "a waits for it still"
    stage.restart(kept=0)
    stage.commits_wait = False
    stage.ask(100, ("node died", "a"))
    stage.join("b", "2")
    assert placed(stage).leader == "b", "whatever a has confirmed b has too"


def test_late_admission_of_one_that_has_died_is_void() -> None:
    stage = stored_stage("a", "b")
    dies(stage, "b")
    drop(stage, "a", "b")
    stage.join("b", "2")
    a = stage.nodes["a"]
    known = a.revision
    dies(stage, "b")
    number = a.ask(AdmitMirror(1, 1, "b", known))
    assert a.answers[number] is None
    assert shown(stage) == "a/a/", "confirms would wait for it, and nobody give it up"


def test_a_node_that_may_not_join_any_more_is_dead() -> None:
    stage = stored_stage("a", "b")
    stage.names = ("a",)
    stage.restart()
    assert shown(stage) == "a/a/b"
    stage.ask(100, ("node died", "a"))
    assert shown(stage) == "//ba"


# --- transient ------------------------------------------------------------------------------------


def test_a_full_restart_leaves_what_is_durable() -> None:
    stage = stored_stage("a", "b")
    a = stage.nodes["a"]
    a.ask(DeclareQueue("/", "transient", False, False, "", b""))
    a.ask(DeclareQueue("/", "exclusive", True, False, "a#1/1", b""))
    a.ask(DeclareExchange("/", "x", "fanout", True, False, False, b""))
    a.ask(DeclareExchange("/", "y", "fanout", False, False, False, b""))
    stage.restart()
    for name in "ab":
        stage.ask(100, ("node died", name))
    catalog = stage.coordinator.catalog
    assert [entry.declared.name for entry in catalog.queues.values()] == ["q"]
    assert catalog.find_exchange("/", "x") is not None
    assert catalog.find_exchange("/", "y") is None
    stage.join("b", "2")
    assert shape(stage.nodes["b"].catalog) == shape(catalog)


# --- stores ---------------------------------------------------------------------------------------


def test_the_cluster_has_one_name_for_ever() -> None:
    stage = stored_stage("a", "b")
    name = stage.nodes["a"].cluster
    assert len(name) == 32
    assert stage.nodes["b"].cluster == name
    stage.restart()
    assert stage.join("a").cluster == name


def test_nobody_hears_the_name_of_a_cluster_before_it_is_durable() -> None:
    stage = Stage("a")
    stage.kept.clear()
    stage.commits_wait = True
    stage.start()
    node = stage.join("a")
    assert node.welcomes == 0
    stage.commit_one()
    assert node.welcomes == 0, "its own joining comes before"
    stage.commit_one()
    assert node.welcomes == 1


def test_one_that_is_stored_and_comes_with_another_store_has_nothing() -> None:
    stage = stored_stage("a", "b")
    dies(stage, "b", "a")
    stage.stores["b"] = "a new disk"
    stage.join("b", "2")
    assert shown(stage) == "//a"
    assert stage.reported("node has another store: what it had is lost") == [{"node": "b"}]
    stage.restart()
    stage.join("b", "2")
    assert shown(stage) == "//a"
    stage.join("a", "2")
    assert shown(stage) == "a/a/"


def test_stores_are_remembered_over_restarts_of_the_coordinator() -> None:
    stage = stored_stage("a", "b")
    stage.restart()
    for name in "ba":
        stage.ask(100, ("node died", name))
    stage.restart()
    del stage.stores["a"]
    stage.join("a", "2")
    assert shown(stage) == "//b"


def test_a_queue_all_of_whose_stores_are_lost_is_forsaken_loudly() -> None:
    stage = stored_stage("a", "b")
    dies(stage, "b", "a")
    for name in "ab":
        stage.stores[name] = f"new {name}"
        stage.join(name, "2")
    assert shown(stage) == "a/a/"
    assert stage.reported("queue has lost all replicas that held everything") == [
        {"queue": "q", "virtual_host": "/"}
    ]


def damage(stage: Stage, name: str, incarnation: str) -> FakeNode:
    stage.damaged[name] = [1]
    return stage.join(name, incarnation)


def test_a_damaged_replica_is_copied_from_a_mirror() -> None:
    stage = stored_stage("a", "b")
    dies(stage, "b", "a")
    damage(stage, "b", "2")
    assert shown(stage) == "//a"
    assert waits(stage) == "damaged on b; waits for a: only it has all that was confirmed"
    stage.join("a", "2")
    assert shown(stage) == "a/a/"
    assert "b" in placed(stage).mirrors
    a = stage.nodes["a"]
    a.ask(AdmitMirror(1, placed(stage).epoch, "b", a.revision))
    stage.lose_link("b")
    damage(stage, "b", "2")
    assert shown(stage) == "a/ab/", "what it tells is what it found at its start, long mended"


def test_damaged_on_its_only_complete_replica_a_queue_never_begins_empty() -> None:
    stage = stored_stage("a", "b")
    dies(stage, "b")
    stage.stores["b"] = ""  # b is another machine now, and has nothing
    drop(stage, "a", "b")
    dies(stage, "a")
    damage(stage, "a", "2")
    assert shown(stage) == "//"
    why = "damaged on a; waits for its deletion, or for a mirror that has some of it"
    assert waits(stage) == why
    assert len(stage.reported("queue waits: the replica that held everything is damaged")) == 1
    stage.join("b", "2")
    assert shown(stage) == "//"
    stage.restart()
    stage.damaged.clear()
    stage.join("a", "3")
    stage.join("b", "3")
    assert shown(stage) == "//", "who has said so once is not believed again"
    assert waits(stage) == why
    number = stage.nodes["b"].ask(DeleteQueue(1))
    assert stage.nodes["b"].answers[number] is None
    stage.ask(60, ("change", [DeclareQueue("/", "q", True, False, "", b"")]))
    assert stage.answers[60] is None
    assert stage.coordinator.catalog.queues.keys() != {1}


def test_damaged_where_a_stale_mirror_has_something() -> None:
    stage = stored_stage("a", "b")
    dies(stage, "b")
    drop(stage, "a", "b")
    dies(stage, "a")
    damage(stage, "a", "2")
    assert shown(stage) == "//"
    stage.join("b", "2")
    assert shown(stage) == "b/b/"
    assert len(stage.reported("queue has lost all replicas that held everything")) == 1


FORSAKEN = "queue has lost all replicas that held everything"


@pytest.mark.parametrize("order", list(permutations("abc")))
def test_no_loss_is_told_where_a_whole_replica_comes_besides_a_damaged_and_a_lost_one(
    order: tuple[str, ...],
) -> None:
    stage = stored_stage("a", "b", "c")
    dies(stage, *"abc")
    stage.damaged["a"] = [1]
    stage.stores["b"] = "new b"
    for name in order:
        stage.join(name, "2")
        assert placed(stage).leader == ("c" if "c" in order[: order.index(name) + 1] else "")
    assert stage.reported(FORSAKEN) == []
    assert len(stage.reported("replica is damaged")) == 1


# --- handing over ---------------------------------------------------------------------------------


def test_leadership_is_handed_over_before_a_node_stops() -> None:
    stage = stored_stage("a", "b", "c")
    stage.nodes["a"].ask(DeclareQueue("/", "r", True, False, "", b""))
    for name in "bc":
        stage.nodes["a"].ask(DropMirror(2, 1, name))
    stage.nodes["a"].ask(DeclareQueue("/", "own", True, False, "a#1/1", b""))
    stage.nodes["c"].follows = False
    stage.ask(7, ("hand over", "a"))
    assert stage.nodes["b"].catalog.queues[1].placed.leader == "b"
    assert 7 not in stage.answers, "c has not followed"
    stage.nodes["c"].beat()
    assert stage.answers[7] == {"moved": 1, "kept": [{"vhost": "/", "name": "r"}]}
    assert shown(stage) == "b/bca/"
    stage.nodes["c"].follows = True
    dies(stage, "a")
    assert shown(stage) == "b/bc/a"
    stage.ask(8, ("hand over", "nobody"))
    assert stage.answers[8] == {"moved": 0, "kept": []}


def test_a_leader_lets_things_settle_before_another_leads() -> None:
    stage = stored_stage("a", "b")
    a = stage.nodes["a"]
    a.settles = False
    stage.ask(7, ("hand over", "a"))
    assert a.quiesced == [[1]]
    assert shown(stage).startswith("a/")
    a.send(Quiesced(6))
    assert shown(stage).startswith("a/"), "that is not what it was asked"
    a.send(Quiesced(7))
    assert shown(stage).startswith("b/")
    assert stage.answers[7] == {"moved": 1, "kept": []}


def test_a_leader_that_does_not_settle_hands_over_all_the_same() -> None:
    stage = stored_stage("a", "b")
    stage.nodes["a"].settles = False
    stage.ask(7, ("hand over", "a"))
    stage.wait(PATIENCE_US + 1_000_000)
    assert stage.answers[7] == {"moved": 1, "kept": []}


def test_a_leader_that_goes_before_it_has_settled_hands_over_nothing() -> None:
    stage = stored_stage("a", "b")
    stage.nodes["a"].settles = False
    stage.ask(7, ("hand over", "a"))
    dies(stage, "a")
    assert stage.answers[7] == {"moved": 0, "kept": []}
    assert shown(stage).startswith("b/")


# --- a store that refuses -------------------------------------------------------------------------


def test_store_refuses_what_waits_and_is_written_when_there_is_room() -> None:
    stage = stored_stage("a", "b")
    stage.commits_wait = True
    a, b = stage.nodes["a"], stage.nodes["b"]
    first = a.ask(DeclareExchange("/", "x", "fanout", True, False, False, b""))
    stage.fail()
    second = b.ask(DeclareExchange("/", "y", "fanout", True, False, False, b""))
    stage.fail()
    stage.ask(60, ("change", [DeclareExchange("/", "z", "fanout", True, False, False, b"")]))
    stage.fail()
    assert a.catalog.find_exchange("/", "x") is None
    assert (a.answers.get(first, 0), b.answers.get(second, 0), stage.answers) == (0, 0, {})
    assert not stage.under_way
    stage.wait(RETRY_US, "a", "b")
    assert len(stage.under_way) == 1
    stage.commit_one()
    assert (a.answers[first], b.answers[second], stage.answers[60]) == (None, None, None)
    for name in "xyz":
        assert a.catalog.find_exchange("/", name) is not None
    stage.restart()
    assert stage.coordinator.catalog.find_exchange("/", "y") is not None


def test_trouble_with_the_store_is_said_once_and_shown() -> None:
    stage = stored_stage("a")
    stage.commits_wait = True
    stage.nodes["a"].ask(DeclareExchange("/", "x", "fanout", True, False, False, b""))
    for _ in range(3):
        stage.fail("no space")
        stage.wait(RETRY_US, "a")
    begun = "the catalog cannot be written: declarations and failovers wait"
    assert stage.reported(begun) == [{"reason": "no space"}]
    stage.ask(50, "status")
    stage.nodes["a"].send(StatisticsTold(stage.nodes["a"].questions[-1], []))
    assert stage.answers[50]["catalog_trouble"] == "no space"
    stage.commit_one()
    assert len(stage.reported("the catalog can be written again")) == 1
    stage.ask(51, "status")
    stage.nodes["a"].send(StatisticsTold(stage.nodes["a"].questions[-1], []))
    assert stage.answers[51]["catalog_trouble"] == ""


def test_store_refuses_a_failover_too() -> None:
    stage = stored_stage("a", "b", "c")
    stage.commits_wait = True
    stage.lose_link("a")
    stage.fail()
    stage.wait(LEASE_US // 2, "b", "c")
    assert stage.nodes["b"].catalog.queues[1].placed.leader == "a"
    stage.wait(RETRY_US, "b", "c")
    stage.commit_one()
    assert stage.nodes["c"].catalog.queues[1].placed.leader == "b"
