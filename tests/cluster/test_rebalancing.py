"""Who leads is evened out: the rule, and its races one by one."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st
from support.coordination_stage import Stage

from rabbitry.cluster.catalog import Catalog
from rabbitry.cluster.handing_over import PATIENCE_US
from rabbitry.cluster.rebalancing import evened_out, led_by
from rabbitry.cluster.records import (
    DeclareQueue,
    DropMirror,
    Followed,
    NodeJoined,
    QueueDeclared,
    QueuePlaced,
    Quiesced,
)


def catalog_of(*replicas: str, nodes: str = "abc", owner: str = "") -> Catalog:
    """Return a catalog with a queue for each of these: its leader, and who else is in sync."""
    catalog = Catalog()
    for name in nodes:
        catalog.apply(NodeJoined(name, "1", "h", 1))
    for number, names in enumerate(replicas, 1):
        catalog.apply(QueueDeclared("/", f"q{number}", number, True, False, owner, b""))
        catalog.apply(QueuePlaced(number, 1, names[:1], list(names[1:]), list(names)))
    return catalog


# --- the rule -------------------------------------------------------------------------------------


def test_queues_move_in_order_until_all_lead_as_many() -> None:
    catalog = catalog_of(*["abc"] * 6)
    assert evened_out(catalog, "abc", "abc") == {1: "b", 2: "c", 3: "b", 4: "c"}
    assert led_by(catalog) == {"a": 6, "b": 0, "c": 0}, "nothing has changed yet"


def test_one_fewer_is_even_enough() -> None:
    assert evened_out(catalog_of("abc", "abc", "bca", "cab"), "abc", "abc") == {}
    assert evened_out(catalog_of("abc"), "abc", "abc") == {}
    assert evened_out(Catalog(), "abc", "abc") == {}


def test_only_who_is_in_sync_and_able_leads_more() -> None:
    assert evened_out(catalog_of("a", "a", "a"), "abc", "abc") == {}
    assert evened_out(catalog_of("ab", "ab", "ab", "ab"), "abc", "abc") == {1: "b", 2: "b"}
    assert evened_out(catalog_of(*["abc"] * 4), "abc", "ac") == {1: "c", 2: "c"}
    assert evened_out(catalog_of(*["abc"] * 4), "bc", "abc") == {}


def test_what_cannot_move_counts() -> None:
    catalog = catalog_of("b", "b", "abc", "abc")
    assert evened_out(catalog, "abc", "abc") == {3: "c"}


def test_exclusive_queues_neither_move_nor_count() -> None:
    catalog = catalog_of("abc", "abc", "abc", owner="a#1/1")
    assert led_by(catalog) == {"a": 0, "b": 0, "c": 0}
    assert evened_out(catalog, "abc", "abc") == {}


def test_room_that_one_makes_is_used_by_another() -> None:
    catalog = catalog_of(*["ab"] * 4, *["bc"] * 4)
    planned = evened_out(catalog, "abc", "abc")
    led = Counter(planned.get(number, one.placed.leader) for number, one in catalog.queues.items())
    assert led == {"a": 3, "b": 3, "c": 2}
    assert planned == {1: "b", 5: "c", 6: "c"}


def test_nobody_is_given_what_it_gives() -> None:
    catalog = catalog_of(*["abc"] * 4, *["bac"] * 4)
    assert evened_out(catalog, "abc", "abc") == {1: "c", 5: "c"}


@given(
    st.lists(
        st.permutations("abcd").flatmap(lambda p: st.sampled_from([p[:n] for n in range(1, 5)]))
    ),
    st.sets(st.sampled_from("abcd")),
    st.sets(st.sampled_from("abcd")),
)
def test_whatever_leads_what(replicas: list[list[str]], giving: set[str], taking: set[str]) -> None:
    givers, takers = sorted(giving), sorted(taking)
    catalog = catalog_of(*("".join(one) for one in replicas), nodes="abcd")
    before = led_by(catalog)
    planned = evened_out(catalog, givers, takers)
    led = dict(before)
    for number, taker in planned.items():
        placed = catalog.queues[number].placed
        assert placed.leader in givers
        assert placed.leader != taker
        assert taker in takers
        assert taker in placed.in_sync
        led[placed.leader] -= 1
        led[taker] += 1
    assert max(led.values()) - min(led.values()) <= max(before.values()) - min(before.values())
    for number, entry in catalog.queues.items():
        leader = planned.get(number, entry.placed.leader)
        if entry.placed.leader in givers:
            others = [one for one in entry.placed.in_sync if one in takers]
            assert all(led[one] + 1 >= led[leader] for one in others)
    if set(givers) == set(takers) == set("abcd") and all(len(one) == 4 for one in replicas):
        assert max(led.values()) - min(led.values()) <= 1


# --- with a coordinator ---------------------------------------------------------------------------


def uneven_stage(queues: int = 6) -> Stage:
    """Return three nodes, of which the first leads everything."""
    stage = Stage("a", "b", "c")
    for name in "abc":
        stage.stores[name] = name
        stage.join(name)
    for number in range(queues):
        stage.nodes["a"].ask(DeclareQueue("/", f"q{number}", True, False, "", b""))
    return stage


def led(stage: Stage) -> dict[str, int]:
    return led_by(stage.coordinator.catalog)


def told(**moved: int) -> list[dict[str, object]]:
    return [{"from": key[0], "to": key[1], "queues": count} for key, count in moved.items()]


def test_each_node_leads_as_many_and_all_know_it_when_it_is_answered() -> None:
    stage = uneven_stage()
    stage.nodes["c"].follows = False
    stage.ask(7, ("rebalance", ()))
    assert stage.nodes["a"].quiesced == [[1, 2, 3, 4]], "the others are not disturbed"
    assert led_by(stage.nodes["b"].catalog) == {"a": 2, "b": 2, "c": 2}
    assert 7 not in stage.answers, "c has not followed"
    stage.nodes["c"].beat()
    answer = {"moved": told(ab=2, ac=2), "kept": {}, "led": {"a": 2, "b": 2, "c": 2}}
    assert stage.answers[7] == answer
    placed = stage.coordinator.catalog.queues[1].placed
    assert (placed.epoch, placed.leader, sorted(placed.in_sync)) == (2, "b", ["a", "b", "c"])
    stage.nodes["c"].follows = True
    stage.ask(8, ("rebalance", ()))
    assert stage.answers[8] == {**answer, "moved": []}
    assert [len(node.quiesced) for node in stage.nodes.values()] == [1, 0, 0]


def test_one_giver_after_another() -> None:
    stage = uneven_stage(4)
    b = stage.nodes["b"]
    for number in range(4):
        b.ask(DeclareQueue("/", f"r{number}", True, False, "", b""))
    stage.nodes["a"].settles = False
    stage.ask(7, ("rebalance", ()))
    assert (len(stage.nodes["a"].quiesced), len(b.quiesced)) == (1, 0)
    stage.nodes["a"].send(Quiesced(6))
    assert not b.quiesced, "that is not what it was asked"
    stage.nodes["a"].send(Quiesced(7))
    assert led(stage) == {"a": 3, "b": 3, "c": 2}
    assert sum(one["queues"] for one in stage.answers[7]["moved"]) == 2


def test_giver_does_not_settle() -> None:
    stage = uneven_stage()
    stage.nodes["a"].settles = False
    stage.ask(7, ("rebalance", ()))
    stage.wait(PATIENCE_US - 500_000, "a", "b", "c")
    assert 7 not in stage.answers
    stage.wait(1_000_000, "a", "b", "c")
    assert stage.answers[7] == {"moved": [], "kept": {"a": 4}, "led": {"a": 6, "b": 0, "c": 0}}
    stage.nodes["a"].send(Quiesced(7))
    assert led(stage) == {"a": 6, "b": 0, "c": 0}, "it goes on by now"


def test_giver_leaves() -> None:
    stage = uneven_stage()
    stage.nodes["a"].settles = False
    stage.ask(7, ("rebalance", ()))
    stage.lose_link("a")
    assert stage.answers[7] == {"moved": [], "kept": {}, "led": {"b": 3, "c": 3}}


def test_taker_gone() -> None:
    stage = uneven_stage()
    a = stage.nodes["a"]
    a.settles = False
    stage.ask(7, ("rebalance", ()))
    stage.lose_link("c")
    a.ask(DropMirror(1, 1, "b"))
    stage.nodes["b"].settles = False
    a.send(Quiesced(7))
    assert stage.answers[7] == {"moved": told(ab=1), "kept": {}, "led": {"a": 5, "b": 1}}


def test_taker_is_about_to_stop() -> None:
    stage = uneven_stage()
    for node in stage.nodes.values():
        node.settles = False
    stage.nodes["c"].ask(DeclareQueue("/", "own", True, False, "", b""))
    stage.ask(7, ("rebalance", ()))
    stage.ask(8, ("hand over", "c"))
    stage.nodes["a"].send(Quiesced(7))
    assert {one["to"] for one in stage.answers[7]["moved"]} == {"b"}
    stage.nodes["c"].send(Quiesced(8))
    assert stage.answers[8] == {"moved": 1, "kept": []}


def test_giver_is_about_to_stop_meanwhile() -> None:
    stage = uneven_stage()
    a = stage.nodes["a"]
    a.settles = False
    stage.ask(7, ("rebalance", ()))
    stage.ask(8, ("hand over", "a"))
    a.send(Quiesced(8))
    assert led(stage) == {"a": 0, "b": 3, "c": 3}
    a.send(Quiesced(7))
    assert stage.answers[7]["moved"] == told(ba=1, ca=1), "it is there still, and nobody said more"


def test_two_at_a_time() -> None:
    stage = uneven_stage()
    stage.nodes["a"].settles = False
    stage.ask(7, ("rebalance", ()))
    stage.ask(8, ("rebalance", ()))
    assert stage.answers == {8: {"refused": "a rebalance is under way already"}}
    stage.nodes["a"].send(Quiesced(7))
    stage.ask(9, ("rebalance", ()))
    assert stage.answers[9]["moved"] == []


def test_catalog_that_cannot_be_written() -> None:
    stage = uneven_stage()
    stage.nodes["a"].settles = False
    stage.ask(7, ("rebalance", ()))
    stage.commits_wait = True
    stage.nodes["b"].ask(DeclareQueue("/", "late", True, False, "", b""))
    stage.fail()
    stage.ask(8, ("rebalance", ()))
    assert stage.answers == {8: {"refused": "the catalog cannot be written (disk full)"}}
    stage.nodes["a"].send(Quiesced(7))
    stage.commits_wait = False
    while stage.under_way:
        stage.commit_one()
    stage.wait(1_500_000, "a", "b", "c")
    assert (stage.answers[7]["moved"], stage.answers[7]["kept"]) == ([], {"a": 4})


def test_coordinator_gone() -> None:
    stage = uneven_stage()
    stage.nodes["a"].settles = False
    stage.ask(7, ("rebalance", ()))
    stage.restart()
    for name in "abc":
        stage.join(name).send(Quiesced(7))
    assert led(stage) == {"a": 6, "b": 0, "c": 0}
    stage.ask(8, ("rebalance", ()))
    assert stage.answers[8]["led"] == {"a": 2, "b": 2, "c": 2}


def test_who_is_low_on_disk_or_absent_is_given_nothing() -> None:
    stage = uneven_stage()
    stage.nodes["b"].send(Followed(stage.nodes["b"].revision, ("disk",)))
    stage.ask(7, ("rebalance", ()))
    assert stage.answers[7]["led"] == {"a": 3, "b": 0, "c": 3}
    stage.nodes["b"].send(Followed(stage.nodes["b"].revision, ("disk",)))
    stage.ask(8, ("rebalance", ("c",)))
    assert stage.answers[8]["moved"] == []
    stage.nodes["b"].send(Followed(stage.nodes["b"].revision, ("memory",)))
    stage.ask(9, ("rebalance", ("c",)))
    assert stage.answers[9]["led"] == {"a": 2, "b": 1, "c": 3}, "c gives nothing, either"


def test_failover_meanwhile() -> None:
    stage = uneven_stage()
    b = stage.nodes["b"]
    stage.ask(7, ("rebalance", ()))
    stage.ask(8, "leads")
    assert stage.answers[8] == {"led": {"a": 2, "b": 2, "c": 2}, "left": {}}
    stage.lose_link("b")
    stage.ask(9, "leads")
    assert stage.answers[9]["left"] == {"b": 1}
    assert sum(stage.answers[9]["led"].values()) == 6, "others lead what it led"
    assert b.name not in stage.answers[9]["led"]
    stage.join("b")
    stage.ask(10, "leads")
    assert stage.answers[10]["left"] == {"b": 1}, "also when it is back"
    assert stage.answers[10]["led"]["b"] == 0
