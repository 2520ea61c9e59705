"""Placement where processes die and stores stay: each case as the heading of `placement` tells it.

Each letter is a node; a place is written "leader/mirrors/in sync/stored".
"""

from __future__ import annotations

from rabbitry.broker.policies import Definition
from rabbitry.cluster.catalog import Catalog, QueueEntry
from rabbitry.cluster.placement import (
    End,
    place_admitted,
    place_by_policy,
    place_dropped,
    place_handed_over,
    place_with,
    place_without,
)
from rabbitry.cluster.records import NodeJoined, NodeLeft, QueueDeclared, QueuePlaced


class Stage:
    """A queue, and nodes that come and go. `loss` is of the last departure; "gone": no queue."""

    def __init__(self, place: str, nodes: str, durable: bool = True) -> None:
        self.catalog = Catalog()
        for name in nodes:
            self.catalog.apply(NodeJoined(name, "1", "h", 1))
        self.catalog.apply(QueueDeclared("/", "q", 1, durable, False, "", b""))
        self.damaged: list[str] = []
        self.loss = ""
        leader, mirrors, in_sync, stored = place.split("/")
        placed = QueuePlaced(1, 1, leader, list(mirrors), list(in_sync), list(stored))
        self.catalog.apply(placed)

    @property
    def entry(self) -> QueueEntry:
        return self.catalog.queues[1]

    def place(self, placed: QueuePlaced | None) -> Stage:
        before = self.entry.placed
        if placed is not None:
            assert placed.epoch == before.epoch + (placed.leader not in ("", before.leader))
            self.catalog.apply(placed)
        return self

    def ends(self, *nodes: str, end: End = "dead") -> Stage:
        for name in nodes:
            if name in self.catalog.nodes:
                self.catalog.apply(NodeLeft(name, "1", end != "away"))
            departure = place_without(self.catalog, self.entry, name, end, self.damaged)
            if departure is not None:
                self.loss = departure.loss if departure.placed is not None else "gone"
                self.place(departure.placed)
        return self

    def comes(self, *nodes: str) -> Stage:
        for name in nodes:
            self.catalog.apply(NodeJoined(name, "2", "h", 1))
            self.place(place_with(self.catalog, self.entry, name, self.damaged))
        return self

    def drops(self, name: str) -> Stage:
        return self.place(place_dropped(self.catalog, self.entry, name))

    def admits(self, name: str) -> Stage:
        return self.place(place_admitted(self.entry, name))

    @property
    def shown(self) -> str:
        placed = self.entry.placed
        parts = placed.leader, placed.mirrors, placed.in_sync, placed.stored
        return "/".join("".join(part) for part in parts)


def test_away() -> None:
    stage = Stage("a/bc/abc/", "abc").ends("a", end="away")
    assert stage.shown == "b/ca/bca/"
    assert stage.ends("a").shown == "b/ca/bc/a", "it was dead, as has become known"
    assert stage.ends("b", "c", end="away").shown == "c/ab/cb/a"
    assert stage.comes("a").shown == "c/ab/cb/a", "c and b may have what is transient too"
    assert stage.ends("c", "b").shown == "a/bc/a/cb"


def test_stored() -> None:
    stage = Stage("a/bc/abc/", "abc").ends("b")
    assert stage.shown == "a/bc/ac/b"
    assert stage.drops("b").shown == "a/bc/ac/"
    assert stage.ends("c").shown == "a/bc/a/c"
    assert stage.ends("a").shown == "/bca//ca"
    assert stage.comes("b").shown == "/bca//ca", "it would lead without what a confirmed alone"
    assert stage.comes("a").shown == "a/bc/a/c"
    assert stage.loss == ""


def test_stored_one_that_is_back_is_admitted_as_ever() -> None:
    stage = Stage("a/bc/abc/", "abc").ends("b").comes("b")
    assert stage.shown == "a/bc/ac/b"
    assert stage.admits("b").shown == "a/bc/acb/"


def test_stored_one_that_is_back_leads_when_the_leader_dies() -> None:
    stage = Stage("a/b/ab/", "ab").ends("b").comes("b").ends("a")
    assert stage.shown == "b/a/b/a"


def test_stored_all_die_within_milliseconds_and_come_back_in_any_order() -> None:
    for order in ("abc", "bca", "cab", "cba"):
        stage = Stage("a/bc/abc/", "abc").ends(*"bca")
        assert stage.shown.startswith("//") or not stage.entry.placed.leader
        assert sorted(stage.entry.placed.stored) == ["a", "b", "c"]
        stage.comes(*order)
        assert stage.entry.placed.leader == order[0]
        assert stage.entry.placed.in_sync == [order[0]]
        assert sorted(stage.entry.placed.stored) == sorted(order[1:])


def test_stored_counts_for_those_that_hold_everything_only() -> None:
    stage = Stage("a/bc/ac/", "abc").ends("b")
    assert stage.shown == "a/bc/ac/"
    stage = Stage("a/bc/ac/", "abc").ends(*"abc").comes("b")
    assert (stage.entry.placed.leader, stage.entry.placed.stored) == ("", ["a", "c"])


def test_stale() -> None:
    stage = Stage("a/b/ab/", "ab").ends("b").drops("b").ends("a")
    assert stage.comes("b").shown == "/ba//a"
    assert stage.ends("b", end="lost").shown == "/a//a"
    assert stage.comes("b").shown == "/a//a", "it holds nothing, and mirrors when there is a leader"
    assert stage.comes("a").shown == "a/b/a/"


def test_lost() -> None:
    stage = Stage("/ab//ab", "").ends("a", end="lost")
    assert (stage.shown, stage.loss) == ("/b//b", "")
    assert stage.comes("a").shown == "/b//b"
    assert stage.ends("b", end="lost").shown == "a//a/"
    assert stage.loss == "forsaken"


def test_lost_by_all_while_a_mirror_has_something() -> None:
    stage = Stage("a/bc/a/", "abc").ends("a", end="lost")
    assert (stage.shown, stage.loss) == ("b/c/b/", "forsaken")


def test_damaged() -> None:
    stage = Stage("/ab//ab", "").ends("a", end="damaged")
    assert (stage.shown, stage.loss) == ("/ab//b", "")
    assert stage.comes("a").shown == "/ab//b"
    assert stage.comes("b").shown == "b/a/b/"


def test_damaged_on_the_only_complete_replica() -> None:
    stage = Stage("/ab//a", "")
    stage.damaged = ["a"]
    stage.ends("a", end="damaged")
    assert (stage.shown, stage.loss) == ("/ab//", "damaged")
    assert stage.comes("a").shown == "/ab//", "it would begin empty"
    assert stage.comes("c").shown == "/ab//", "it has nothing"
    assert stage.comes("b").shown == "b/ac/b/", "the best there is"


def test_damaged_where_a_mirror_lives_that_has_something() -> None:
    stage = Stage("/ab//a", "b")
    stage.damaged = ["a"]
    assert stage.ends("a", end="damaged").shown == "b/a/b/"
    assert stage.loss == "forsaken"


def test_damaged_here_and_lost_there_waits_too() -> None:
    stage = Stage("/ab//ab", "")
    stage.damaged = ["a"]
    assert stage.ends("a", end="damaged").ends("b", end="lost").shown == "/a//"
    assert stage.loss == "damaged"
    assert stage.comes("a", "b").shown == "/a//"


def test_transient() -> None:
    stage = Stage("a/b/ab/", "ab", durable=False).ends("b")
    assert stage.shown == "a//a/"
    assert stage.ends("a").loss == "gone"


def test_transient_queue_waits_for_a_replica_that_may_be_alive() -> None:
    stage = Stage("a/bc/ab/", "abc", durable=False).ends("b", end="away").ends("a")
    assert stage.shown == "/bc/b/"
    assert stage.ends("b").shown == "c//c/"
    assert stage.loss == "forsaken"
    assert stage.ends("c").loss == "gone"
    stage = Stage("a/c/a/", "ac", durable=False).ends("c", end="away").ends("a")
    assert stage.shown == "/c//"
    assert stage.comes("b").shown == "/c//"
    assert stage.ends("c").loss == "gone"


def test_handing_over() -> None:
    stage = Stage("a/bc/abc/", "abc")
    assert stage.place(place_handed_over(stage.catalog, stage.entry)).shown == "b/ca/bca/"
    assert stage.ends("a").shown == "b/ca/bc/a"
    alone = Stage("a/bc/a/c", "abc")
    assert place_handed_over(alone.catalog, alone.entry) is None
    away = Stage("a/bc/abc/", "ac").ends("c", end="away")
    assert place_handed_over(away.catalog, away.entry) is None
    named = Stage("a/bc/abc/", "abc")
    assert place_handed_over(named.catalog, named.entry, []) is None
    assert named.place(place_handed_over(named.catalog, named.entry, ["c"])).shown == "c/ba/cba/"


TWO: Definition = {"ha-mode": "exactly", "ha-params": 2}


def test_one_that_is_required_by_its_store_is_replaced_and_kept_until_it_is_dropped() -> None:
    stage = Stage("a/b/ab/", "abc")
    stage.entry.follow(TWO)
    assert stage.ends("b").shown == "a/bc/a/b"
    assert stage.drops("b").shown == "a/c/a/"
    stage = Stage("a/b/ab/", "abc")
    stage.entry.follow(TWO)
    assert stage.ends("b", "a").comes("b").shown == "b/ca/b/a", "a counts until it is dropped"


def test_a_policy_takes_away_one_that_is_back() -> None:
    stage = Stage("a/bc/ac/b", "abc")
    stage.entry.follow({"ha-mode": "nodes", "ha-params": ["a", "c"]})
    assert stage.place(place_by_policy(stage.catalog, stage.entry)).shown == "a/c/ac/"
