"""Who leads, who mirrors, who takes over: each case of a node that leaves or joins."""

from __future__ import annotations

from hypothesis import given
from support.coordination_catalogs import History, NodeComes, NodeGoes, Wish, wishes

from rabbitry.broker.policies import Definition
from rabbitry.cluster.catalog import Catalog, QueueEntry
from rabbitry.cluster.placement import (
    CONFIRM_DURABLY,
    confirms_durably,
    is_kept,
    place_by_policy,
    place_new,
    place_with,
    place_without,
)
from rabbitry.cluster.records import NodeJoined, QueueDeclared, QueuePlaced
from rabbitry.wire.values import encode_table


def cluster(*nodes: str) -> Catalog:
    catalog = Catalog()
    for name in nodes:
        catalog.apply(NodeJoined(name, "1", "h", 1))
    return catalog


def queue(
    catalog: Catalog, leader: str, mirrors: str = "", in_sync: str = "", owner: str = ""
) -> QueueEntry:
    """Add a queue; each letter is a node."""
    number = len(catalog.queues) + 1
    catalog.apply(QueueDeclared("/", f"q{number}", number, True, False, owner, b""))
    catalog.apply(QueuePlaced(number, 3, leader, list(mirrors), list(in_sync)))
    return catalog.queues[number]


def test_a_new_queue_is_led_where_it_is_declared_and_mirrored_by_all() -> None:
    placed = place_new(cluster("a", "b", "c"), 1, False, "b", {})
    assert placed == QueuePlaced(1, 1, "b", ["a", "c"], ["b", "a", "c"])


def test_an_exclusive_queue_lives_with_its_connection_only() -> None:
    catalog = cluster("a", "b")
    assert place_new(catalog, 1, True, "b", {}) == QueuePlaced(1, 1, "b", [], ["b"])
    entry = queue(catalog, "b", "", "b", owner="b#1/1")
    assert place_with(catalog, entry, "a") is None
    assert place_without(catalog, entry, "b", "away") is None


def test_an_exclusive_queue_is_on_the_disk_where_that_is_asked_for() -> None:
    for owner, asked, is_there in (
        ("b#1/1", encode_table({CONFIRM_DURABLY: True}), True),
        ("b#1/1", encode_table({CONFIRM_DURABLY: False}), False),
        ("b#1/1", b"", False),
        ("", encode_table({CONFIRM_DURABLY: True}), False),
    ):
        catalog = cluster("b")
        catalog.apply(QueueDeclared("/", "q", 1, False, False, owner, asked))
        entry = catalog.queues[1]
        assert confirms_durably(entry) is is_there
        assert not is_kept(entry)


def test_a_mirror_that_dies() -> None:
    catalog = cluster("a", "c")
    entry = queue(catalog, "a", "bc", "abc")
    after = QueuePlaced(1, 3, "a", ["c"], ["a", "c"])
    assert place_without(catalog, entry, "b", "lost") == (after, "")
    assert place_without(catalog, entry, "d", "lost") is None


def test_a_mirror_that_only_leaves_keeps_its_place() -> None:
    """Soak seeds 1000, 1802, 7407: a leader died, and a mirror's link broke before that showed."""
    catalog = cluster("a", "c")
    entry = queue(catalog, "a", "bc", "abc")
    assert place_without(catalog, entry, "b", "away") is None
    assert place_with(catalog, entry, "b") is None


def test_a_queue_waits_for_full_replicas_that_may_be_alive() -> None:
    catalog = cluster("c")
    entry = queue(catalog, "a", "bc", "ab")
    placement = place_without(catalog, entry, "a", "lost")
    assert placement == (QueuePlaced(1, 3, "", ["b", "c"], ["b"]), "")
    catalog.apply(placement[0])
    assert place_with(catalog, entry, "d") is None, "it holds nothing"
    assert place_with(catalog, entry, "b") == QueuePlaced(1, 4, "b", ["c"], ["b"])
    placement = place_without(catalog, entry, "b", "lost")
    assert placement == (QueuePlaced(1, 4, "c", [], ["c"]), "forsaken")


def test_a_full_replica_that_comes_back_leads_where_the_leader_is_away() -> None:
    catalog = cluster("c")
    entry = queue(catalog, "a", "bc", "ab")
    assert place_without(catalog, entry, "a", "away") is None
    assert place_with(catalog, entry, "b") == QueuePlaced(1, 4, "b", ["c", "a"], ["b", "a"])


def test_a_leader_that_leaves_is_followed_by_an_in_sync_mirror() -> None:
    catalog = cluster("b", "c")
    entry = queue(catalog, "a", "bc", "ac")
    after = QueuePlaced(1, 4, "c", ["b"], ["c"])
    assert place_without(catalog, entry, "a", "lost") == (after, "")


def test_a_leader_that_may_be_alive_stays_in_sync_as_a_mirror() -> None:
    """Soak seed 3369: its successor was dead, and nobody had heard of that yet."""
    catalog = cluster("b", "c")
    entry = queue(catalog, "a", "bc", "ac")
    after = QueuePlaced(1, 4, "c", ["b", "a"], ["c", "a"])
    assert place_without(catalog, entry, "a", "away") == (after, "")
    catalog.apply(after)
    after = QueuePlaced(1, 5, "a", ["b", "c"], ["a", "c"])
    del catalog.nodes["c"]
    assert place_with(catalog, entry, "a") == after


def test_the_one_that_leads_the_fewest_takes_over() -> None:
    catalog = cluster("b", "c")
    queue(catalog, "b", "c", "bc")
    entry = queue(catalog, "a", "bc", "abc")
    after = QueuePlaced(2, 4, "c", ["b"], ["c", "b"])
    assert place_without(catalog, entry, "a", "lost") == (after, "")


def test_an_in_sync_mirror_that_has_left_cannot_take_over() -> None:
    catalog = cluster("c")
    entry = queue(catalog, "a", "bc", "abc")
    placement = place_without(catalog, entry, "a", "lost")
    assert placement is not None
    assert placement[0].leader == "c"


def test_a_queue_waits_for_a_hung_leader_that_alone_has_everything() -> None:
    catalog = cluster("b", "c")
    entry = queue(catalog, "a", "bc", "a")
    assert place_without(catalog, entry, "a", "away") is None


def test_a_queue_whose_last_full_replica_is_dead_is_forsaken() -> None:
    catalog = cluster("b", "c")
    entry = queue(catalog, "a", "b", "a")
    after = QueuePlaced(1, 4, "b", ["c"], ["b"])
    assert place_without(catalog, entry, "a", "lost") == (after, "forsaken")
    unmirrored = queue(catalog, "a", "", "a")
    placement = place_without(catalog, unmirrored, "a", "lost")
    assert placement == (QueuePlaced(2, 4, "b", ["c"], ["b"]), "forsaken")


def test_a_queue_with_nobody_left_waits_for_whoever_joins() -> None:
    catalog = cluster()
    entry = queue(catalog, "a", "", "a")
    placement = place_without(catalog, entry, "a", "lost")
    assert placement == (QueuePlaced(1, 3, "", [], []), "forsaken")
    catalog.apply(placement[0])
    assert place_with(catalog, entry, "b") == QueuePlaced(1, 4, "b", [], ["b"])


def test_a_node_that_joins_mirrors_and_is_not_in_sync() -> None:
    catalog = cluster("a", "b")
    entry = queue(catalog, "a", "", "a")
    assert place_with(catalog, entry, "b") == QueuePlaced(1, 3, "a", ["b"], ["a"])
    assert place_with(catalog, entry, "a") is None
    assert place_with(catalog, queue(catalog, "a", "b", "a"), "b") is None


@given(wishes)
def test_places_are_sound_and_epochs_name_one_leader(drawn: list[Wish]) -> None:
    history = History()
    for node in "abc":
        history.grant(NodeComes(node))
    leaders: dict[tuple[int, int], str] = {}
    for wish in [*drawn, NodeGoes("a", True), NodeGoes("b", False)]:
        history.grant(wish)
        for number, entry in history.catalog.queues.items():
            placed = entry.placed
            assert placed.leader not in placed.mirrors
            held = [placed.leader, *placed.mirrors] if placed.leader else placed.mirrors
            assert set(placed.in_sync) <= set(held)
            assert len(placed.in_sync) == len(set(placed.in_sync))
            assert set(placed.stored) <= set(placed.mirrors)
            assert not set(placed.stored) & set(placed.in_sync)
            assert not placed.stored or is_kept(entry)
            assert not placed.leader or placed.leader in placed.in_sync
            if placed.leader:
                known = leaders.setdefault((number, placed.epoch), placed.leader)
                assert known == placed.leader


# --- policies -------------------------------------------------------------------------------------

TWO: Definition = {"ha-mode": "exactly", "ha-params": 2}
THESE: Definition = {"ha-mode": "nodes", "ha-params": ["b@host", "c@host"]}


def governed(entry: QueueEntry, policy: Definition) -> QueueEntry:
    entry.follow(policy)
    return entry


def test_a_new_queue_has_as_many_replicas_as_its_policy_says() -> None:
    catalog = cluster("a", "b", "c")
    assert place_new(catalog, 1, False, "b", TWO) == QueuePlaced(1, 1, "b", ["a"], ["b", "a"])
    alone: Definition = {"ha-mode": "exactly", "ha-params": 1}
    assert place_new(catalog, 1, False, "b", alone) == QueuePlaced(1, 1, "b", [], ["b"])
    many: Definition = {"ha-mode": "exactly", "ha-params": 9}
    assert place_new(catalog, 1, False, "b", many).mirrors == ["a", "c"]


def test_a_new_queue_is_on_the_nodes_that_its_policy_names() -> None:
    catalog = cluster("a", "b", "c")
    assert place_new(catalog, 1, False, "a", THESE) == QueuePlaced(1, 1, "b", ["c"], ["b", "c"])
    assert place_new(catalog, 1, False, "c", THESE) == QueuePlaced(1, 1, "c", ["b"], ["c", "b"])
    nowhere: Definition = {"ha-mode": "nodes", "ha-params": ["x"]}
    assert place_new(catalog, 1, False, "c", nowhere) == QueuePlaced(1, 1, "c", [], ["c"])


def test_an_operators_queue_is_led_where_the_fewest_are() -> None:
    catalog = cluster("a", "b")
    queue(catalog, "a", "b", "ab")
    assert place_new(catalog, 2, False, "", {}).leader == "b"
    assert place_new(cluster(), 2, False, "", {}) == QueuePlaced(2, 1, "", [], [])


def test_an_operators_queue_without_nodes_is_led_by_the_first_that_joins() -> None:
    catalog = cluster()
    entry = queue(catalog, "", "", "")
    assert place_with(catalog, entry, "a") == QueuePlaced(1, 4, "a", [], ["a"])


def test_a_policy_takes_mirrors_away_and_puts_them_back() -> None:
    catalog = cluster("a", "b", "c")
    entry = governed(queue(catalog, "a", "bc", "ac"), TWO)
    fewer = place_by_policy(catalog, entry)
    assert fewer == QueuePlaced(1, 3, "a", ["c"], ["a", "c"]), "c holds everything, b does not"
    catalog.apply(fewer)
    assert place_by_policy(catalog, entry) is None
    assert place_by_policy(catalog, governed(entry, {})) == QueuePlaced(
        1, 3, "a", ["c", "b"], ["a", "c"]
    )
    assert place_by_policy(catalog, governed(entry, THESE)) == QueuePlaced(
        1, 3, "a", ["c", "b"], ["a", "c"]
    )


def test_a_policy_moves_nothing_of_a_queue_that_waits_for_its_leader() -> None:
    catalog = cluster("b")
    assert place_by_policy(catalog, governed(queue(catalog, "a", "b", "ab"), TWO)) is None
    exclusive = governed(queue(catalog, "b", "", "b", owner="b#1/1"), {"ha-mode": "all"})
    assert place_by_policy(catalog, exclusive) is None


def test_another_mirrors_in_the_place_of_one_that_died() -> None:
    catalog = cluster("a", "c")
    entry = governed(queue(catalog, "a", "b", "ab"), TWO)
    after = QueuePlaced(1, 3, "a", ["c"], ["a"])
    assert place_without(catalog, entry, "b", "lost") == (after, "")
    assert place_without(catalog, entry, "b", "away") is None


def test_another_mirrors_after_a_dead_leader() -> None:
    catalog = cluster("b", "c")
    entry = governed(queue(catalog, "a", "b", "ab"), TWO)
    after = QueuePlaced(1, 4, "b", ["c"], ["b"])
    assert place_without(catalog, entry, "a", "lost") == (after, "")


def test_one_that_joins_mirrors_only_what_wants_it() -> None:
    catalog = cluster("a", "b")
    assert place_with(catalog, governed(queue(catalog, "a", "b", "ab"), TWO), "c") is None
    assert place_with(catalog, governed(queue(catalog, "b", "", "b"), THESE), "d") is None
    alone = cluster("a")
    joined = place_with(alone, governed(queue(alone, "a", "", "a"), TWO), "c")
    assert joined == QueuePlaced(1, 3, "a", ["c"], ["a"])
