"""The coordinator, race by race as its heading tells them; and started again at any point."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from support.coordination_catalogs import made_of, shape
from support.coordination_play import Happening, Play, happening
from support.coordination_stage import LEASE_US, PEER, Stage

from rabbitry.cluster.records import (
    AdmitMirror,
    Bind,
    DeclareExchange,
    DeclareQueue,
    DeleteQueue,
    DropMirror,
    Followed,
    Join,
    QueuePlaced,
    Refused,
    StatisticsTold,
)
from rabbitry.machine import BytesReceived, LinkFinished, LinkOpened
from rabbitry.wire.errors import NOT_ALLOWED


def queue(name: str = "q", owner: str = "") -> DeclareQueue:
    return DeclareQueue("/", name, True, False, owner, b"")


def exchange(name: str = "x") -> DeclareExchange:
    return DeclareExchange("/", name, "fanout", True, True, False, b"")


def joined(*names: str) -> Stage:
    stage = Stage("a", "b", "c")
    for name in names or ("a", "b", "c"):
        stage.join(name)
    return stage


def placed(stage: Stage, name: str = "q") -> QueuePlaced:
    entry = stage.coordinator.catalog.find_queue("/", name)
    assert entry is not None
    return entry.placed


def assert_all_know_the_same(stage: Stage) -> None:
    for node in stage.nodes.values():
        if not node.closed:
            assert shape(node.catalog) == shape(stage.coordinator.catalog)


# --- joining, asking ------------------------------------------------------------------------------


def test_nodes_join_and_all_follow_what_is_declared() -> None:
    stage = joined()
    a = stage.nodes["a"]
    assert a.answers == {}
    for number, request in enumerate((queue(), exchange(), Bind("/", "x", "queue", "q", "", b""))):
        assert a.ask(request) == number + 1
    assert a.answers == {1: None, 2: None, 3: None}
    assert placed(stage) == QueuePlaced(1, 1, "a", ["b", "c"], ["a", "b", "c"])
    assert_all_know_the_same(stage)
    assert len(stage.reported("node joined")) == 3


def test_a_request_is_answered_when_every_node_has_followed() -> None:
    stage = joined()
    a, b = stage.nodes["a"], stage.nodes["b"]
    b.follows = False
    number = a.ask(queue())
    assert b.catalog.find_queue("/", "q") is not None
    assert number not in a.answers
    b.send(Followed(b.revision))
    assert a.answers == {number: None}


def test_nobody_hears_of_a_change_that_is_not_durable() -> None:
    stage = joined()
    stage.commits_wait = True
    number = stage.nodes["a"].ask(queue())
    assert stage.nodes["b"].catalog.find_queue("/", "q") is None
    stage.commit_one()
    assert stage.nodes["b"].catalog.find_queue("/", "q") is not None
    assert stage.nodes["a"].answers == {number: None}


def test_two_nodes_that_declare_one_name_differently() -> None:
    stage = joined()
    a, b = stage.nodes["a"], stage.nodes["b"]
    a.ask(queue())
    number = b.ask(DeclareQueue("/", "q", False, False, "", b""))
    refused = b.answers[number]
    assert refused is not None
    assert refused.reply_code == 406
    assert_all_know_the_same(stage)


def test_one_that_joins_gets_the_whole_and_then_what_follows() -> None:
    stage = joined("a", "b")
    stage.nodes["a"].ask(queue())
    stage.commits_wait = True
    stage.join("c")
    assert stage.nodes["c"].welcomes == 0
    stage.nodes["a"].ask(queue("r"))  # waits behind the welcome, else there might never be one
    stage.commit_one()
    c = stage.nodes["c"]
    assert (c.welcomes, c.catalog.find_queue("/", "r")) == (1, None)
    stage.commit_one()
    assert c.catalog.find_queue("/", "r") is not None
    assert placed(stage) == QueuePlaced(1, 1, "a", ["b", "c"], ["a", "b"])
    assert_all_know_the_same(stage)


def test_strangers_are_refused() -> None:
    stage = joined("a")
    stranger = stage.join("stranger")
    assert stranger.closed
    liar = stage.join("b")
    liar.send(Join("a", "1", "h", 1))
    assert liar.closed
    assert stage.nodes["a"].closed is False


def test_foreign_bytes_do_no_harm() -> None:
    stage = joined("a")
    stage.step(LinkOpened(90, "cluster", PEER))
    stage.step(BytesReceived(90, b"GET / HTTP/1.1\r\n\r\n"))
    assert len(stage.reported("link refused")) == 1
    stage.step(BytesReceived(90, b"more"))
    assert stage.nodes["a"].ask(queue()) in stage.nodes["a"].answers


def test_a_link_that_does_not_log_in_is_closed() -> None:
    stage = joined("a")
    node = stage.join("b")
    silent = stage.connect("c")
    stage.wait(4_900_000, "a", "b")
    assert not silent.closed
    stage.wait(500_000, "a", "b")
    assert silent.closed
    assert not node.closed


# --- the races ------------------------------------------------------------------------------------


def test_lease() -> None:
    stage = joined()
    stage.nodes["a"].ask(queue())
    stage.wait(LEASE_US + 500_000, "b", "c")
    assert placed(stage) == QueuePlaced(1, 2, "b", ["c", "a"], ["b", "c", "a"])
    assert stage.nodes["a"].closed
    assert stage.nodes["b"].catalog.nodes.keys() == {"b", "c"}
    stage.join("a")  # it was alive for all that: the same process
    assert placed(stage) == QueuePlaced(1, 2, "b", ["c", "a"], ["b", "c", "a"])
    assert_all_know_the_same(stage)


def test_lease_of_a_node_whose_link_breaks_ends_at_once() -> None:
    stage = joined()
    stage.nodes["a"].ask(queue())
    stage.lose_link("a")
    assert placed(stage).leader == "b"


def test_lease_is_not_lost_by_nodes_that_say_they_live() -> None:
    stage = joined()
    stage.wait(10 * LEASE_US, "a", "b", "c")
    assert stage.reported("node left") == []


def test_lease_while_the_coordinator_itself_was_stopped() -> None:
    stage = joined()
    stage.now += 10 * LEASE_US
    stage.wait(1)  # its timer comes first, what the nodes sent only after it
    assert stage.reported("node left") == []
    stage.wait(LEASE_US + 500_000, "a", "b")
    assert [one["node"] for one in stage.reported("node left")] == ["c"]


def test_leaders_of_many_queues_spread_over_those_that_live() -> None:
    stage = joined()
    for number in range(6):
        stage.nodes["a"].ask(queue(f"q{number}"))
    stage.lose_link("a")
    leaders = [placed(stage, f"q{number}").leader for number in range(6)]
    assert sorted(leaders) == ["b"] * 3 + ["c"] * 3


def test_dead_or_hung() -> None:
    stage = joined()
    stage.nodes["a"].ask(queue("exclusive", "a#1/7"))
    stage.nodes["a"].ask(queue())
    for name in ("b", "c"):
        stage.nodes["a"].ask(DropMirror(2, 1, name))
    stage.lose_link("a")
    catalog = stage.coordinator.catalog
    assert catalog.find_queue("/", "exclusive") is not None
    assert placed(stage).leader == "a"  # only a has everything, and it may live
    stage.ask(5, ("node died", "a"))
    assert stage.answers == {5: None}
    assert catalog.find_queue("/", "exclusive") is None
    assert (placed(stage).leader, placed(stage).epoch) == ("b", 2)
    assert len(stage.reported("queue has lost all replicas that held everything")) == 1
    assert_all_know_the_same(stage)


def test_dead_or_hung_told_by_another_incarnation() -> None:
    stage = joined()
    stage.nodes["a"].ask(queue("exclusive", "a#1/7"))
    stage.nodes["a"].ask(queue())
    old = stage.nodes["a"]
    stage.join("a", "2")  # the old link is not known to be broken yet
    assert old.closed
    assert stage.coordinator.catalog.find_queue("/", "exclusive") is None
    assert placed(stage) == QueuePlaced(2, 2, "b", ["c", "a"], ["b", "c"])
    assert_all_know_the_same(stage)


def test_dead_or_hung_is_remembered_by_the_store() -> None:
    stage = joined()
    stage.nodes["a"].ask(queue("exclusive", "a#1/7"))
    stage.nodes["a"].ask(queue())
    for name in ("b", "c"):
        stage.nodes["a"].ask(DropMirror(2, 1, name))
    stage.lose_link("a")
    stage.restart()
    stage.ask(1, "status")
    states = {one["name"]: one["state"] for one in stage.answers[1]["nodes"]}
    assert states == {"a": "hung", "b": "running", "c": "running"}
    stage.join("b")
    stage.join("c")
    stage.join("a", "2")
    assert stage.coordinator.catalog.find_queue("/", "exclusive") is None
    assert placed(stage).epoch == 2, "another process must not go on in the epoch of the dead one"
    assert_all_know_the_same(stage)


def test_a_link_that_takes_the_place_of_another_changes_nothing() -> None:
    stage = joined()
    stage.nodes["a"].ask(queue())
    before = shape(stage.coordinator.catalog)
    old = stage.nodes["a"]
    again = stage.join("a")
    assert old.closed
    assert again.welcomes == 1
    assert shape(stage.coordinator.catalog) == before
    assert again.ask(queue("r")) in again.answers


def test_late_admission() -> None:
    stage = joined()
    a = stage.nodes["a"]
    a.ask(queue())
    a.ask(DropMirror(1, 1, "b"))
    known = a.revision
    stage.lose_link("b")
    stage.join("b")
    number = a.ask(AdmitMirror(1, 1, "b", known))
    refused = a.answers[number]
    assert refused is not None
    assert refused.reply_code == NOT_ALLOWED
    assert placed(stage).in_sync == ["a", "c"]
    a.ask(AdmitMirror(1, 1, "b", a.revision))
    assert placed(stage).in_sync == ["a", "c", "b"]


def test_late_admission_after_the_coordinator_was_started_again() -> None:
    stage = joined()
    a = stage.nodes["a"]
    a.ask(queue())
    a.ask(DropMirror(1, 1, "b"))
    known = a.revision
    stage.lose_link("b")
    stage.join("b")
    admitted = a.revision
    stage.restart()
    for name in ("a", "b", "c"):
        stage.join(name)
    a = stage.nodes["a"]
    assert a.answers[a.ask(AdmitMirror(1, 1, "b", known))] is not None
    assert a.answers[a.ask(AdmitMirror(1, 1, "b", admitted))] is None
    assert placed(stage).in_sync == ["a", "c", "b"]


def test_asker_gone() -> None:
    stage = joined()
    a, b = stage.nodes["a"], stage.nodes["b"]
    b.follows = False
    a.ask(queue())
    stage.lose_link("a")
    b.send(Followed(b.revision))
    assert a.answers == {}
    again = stage.join("a")
    b.send(Followed(b.revision))
    number = again.ask(queue())  # carried out twice
    b.send(Followed(b.revision))
    assert again.answers == {number: None}
    assert len(stage.coordinator.catalog.queues) == 1


def test_asker_gone_and_another_process_in_its_place() -> None:
    stage = joined()
    stage.nodes["b"].follows = False
    stage.nodes["a"].ask(queue())
    new = stage.join("a", "2")
    stage.nodes["b"].beat()
    assert new.answers == {}


def test_answers_do_not_wait_for_one_that_left() -> None:
    stage = joined()
    stage.nodes["b"].follows = False
    number = stage.nodes["a"].ask(queue())
    stage.lose_link("b")
    assert stage.nodes["a"].answers == {number: None}


def test_answers_wait_for_nodes_not_heard_since_the_coordinator_started() -> None:
    stage = joined()
    stage.restart()
    a = stage.join("a")
    number = a.ask(queue())
    assert number not in a.answers, "b and c serve clients, and do not know the queue"
    stage.join("b")
    assert number not in a.answers
    stage.wait(LEASE_US + 500_000, "a", "b")
    assert a.answers == {number: None}
    assert_all_know_the_same(stage)


# --- started again at any point -------------------------------------------------------------------


@settings(max_examples=150, deadline=None)
@given(st.lists(happening, max_size=25))
def test_started_again_at_any_point_it_tells_one_history(
    happenings: list[Happening],
) -> None:
    play = Play()
    for one in happenings:
        play.play(one)
    play.finish()


def test_a_leaving_is_durable_as_a_whole_or_not_at_all() -> None:
    stage = joined()
    stage.nodes["a"].ask(queue())
    stage.commits_wait = True
    stage.lose_link("a")
    assert len(stage.under_way) == 1
    stage.restart(kept=0)
    assert (placed(stage).leader, "a" in stage.coordinator.catalog.nodes) == ("a", True)
    stage.wait(LEASE_US + 500_000)
    stage.restart(kept=2)  # that it has begun another life, and the leaving
    assert stage.coordinator.catalog.nodes == {}


def test_numbers_of_queues_are_never_given_twice() -> None:
    stage = joined()
    stage.nodes["a"].ask(queue())
    stage.nodes["a"].ask(DeleteQueue(1))
    stage.restart()
    for name in ("a", "b", "c"):
        stage.join(name)
    stage.nodes["a"].ask(queue())
    (number,) = stage.coordinator.catalog.queues
    assert number > 1


# --- the operator ---------------------------------------------------------------------------------


def test_what_a_node_is_low_on_is_told_when_it_changes() -> None:
    stage = joined("a", "b")
    a, b = stage.nodes["a"], stage.nodes["b"]
    told = "alarms of node"
    a.beat()
    assert stage.reported(told) == []
    for _ in range(2):
        b.send(Followed(b.revision, ("disk", "memory")))
    assert stage.reported(told) == [{"node": "b", "alarms": ["disk", "memory"]}]
    b.beat()
    assert stage.reported(told)[1:] == [{"node": "b", "alarms": []}]


def test_a_node_that_comes_back_low_on_something_says_so_anew() -> None:
    stage = joined("a", "b")
    for _ in range(2):
        b = stage.nodes["b"]
        b.send(Followed(b.revision, ("disk",)))
        assert len(stage.reported("alarms of node")) == len(stage.reported("node left")) + 1
        stage.lose_link("b")
        stage.join("b")


def test_status() -> None:
    stage = joined("a", "b")
    a, b = stage.nodes["a"], stage.nodes["b"]
    a.ask(queue())
    stage.ask(1, "status")
    assert stage.answers == {}
    a.send(StatisticsTold(a.questions[-1], [(1, 5, 2)]))
    b.send(Followed(b.revision, ("disk",)))
    b.send(StatisticsTold(b.questions[-1], []))
    assert stage.answers[1] == {
        "nodes": [
            {"name": "a", "state": "running", "alarms": []},
            {"name": "b", "state": "running", "alarms": ["disk"]},
            {"name": "c", "state": "down", "alarms": []},
        ],
        "queues": [
            {
                "vhost": "/",
                "name": "q",
                "durable": True,
                "exclusive": False,
                "leader": "a",
                "mirrors": ["b"],
                "in_sync": ["a", "b"],
                "stored": [],
                "waits": "",
                "messages": 5,
                "consumers": 2,
            }
        ],
        "catalog_trouble": "",
    }


def test_status_does_not_wait_for_one_that_hangs_or_leaves() -> None:
    stage = joined("a", "b")
    stage.nodes["a"].ask(queue())
    stage.ask(1, "status")
    stage.wait(1_500_000, "a", "b")
    assert stage.answers[1]["queues"][0]["messages"] is None
    stage.ask(2, "status")
    stage.nodes["a"].send(StatisticsTold(stage.nodes["a"].questions[-1], []))
    stage.lose_link("b")
    assert 2 in stage.answers


def test_questions_that_mean_nothing_are_answered() -> None:
    stage = joined("a")
    stage.ask(1, ("node died", "nobody"))
    stage.ask(2, "what")
    assert stage.answers == {1: None, 2: None}
    stage.ask(3, ("node died", "a"))
    stage.ask(4, ("node died", "a"))
    assert len(stage.reported("node left")) == 1


def test_inspect_shows_who_leads() -> None:
    stage = joined("a", "b")
    stage.nodes["a"].ask(queue())
    place = {"epoch": 1, "leader": "a", "in_sync": ["a", "b"], "stored": [], "durable": True}
    assert stage.coordinator.inspect() == {"q": place}


def test_a_node_that_finishes_its_link_is_let_go() -> None:
    stage = joined("a")
    stage.step(LinkFinished(stage.nodes["a"].link))
    assert stage.nodes["a"].closed


def test_refusals_wait_as_other_answers_do() -> None:
    stage = joined("a", "b")
    a, b = stage.nodes["a"], stage.nodes["b"]
    b.follows = False
    a.ask(queue())
    number = a.ask(DeclareQueue("/", "q", False, False, "", b""))
    assert a.answers == {}
    b.send(Followed(b.revision))
    assert isinstance(a.answers[number], Refused)
    assert made_of(stage.coordinator.catalog.as_changes()).queues.keys() == {1}
