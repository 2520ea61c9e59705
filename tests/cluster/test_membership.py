"""A node's standing with the coordinator: joining, following, asking again after a lost link."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from support.coordination_stage import SECRET, Counted

from rabbitry.cluster.links import ClusterLink
from rabbitry.cluster.membership import HEARTBEAT_US, LOST_US, RETRY_US, SILENCE_US, Membership
from rabbitry.cluster.records import (
    Answered,
    AnyRecord,
    Change,
    Changed,
    DeleteOwned,
    Followed,
    Heard,
    Join,
    NodeJoined,
    Quiesce,
    Quiesced,
    Record,
    Refused,
    Requested,
    StatisticsAsked,
    StatisticsTold,
    TurnedAway,
    Welcomed,
)
from rabbitry.machine import Address, Effect, Stop

TICK = 100_000
COORDINATOR = Address("127.0.0.1", 9000)
HERE = Address("127.0.0.1", 7000)
JOINED = NodeJoined("a", "1", "127.0.0.1", 7000)


class Stage:
    """The node's side as the port, and a coordinator that says what it is told to."""

    def __init__(self, secret: bytes = SECRET) -> None:
        self.now = 1_000_000
        self.opened: list[Address] = []
        self.closed: list[int] = []
        self.reports: list[str] = []
        self.quiesced: list[tuple[list[int], Callable[[], None]]] = []
        self.stops: list[Effect] = []
        self.told: list[tuple[str, list[Change]]] = []
        self.heard: list[AnyRecord] = []
        self.answers: list[tuple[str, Refused | None]] = []
        self.on_welcome = lambda: None
        self.coordinator = ClusterLink(False, secret, "", "", Counted())
        self.secret = secret
        self.membership = Membership(self, "a", "1", SECRET, COORDINATOR, Counted())

    # The port.

    def open_link(self, address: Address) -> int:
        self.opened.append(address)
        return -len(self.opened)

    def close_link(self, link: int) -> None:
        self.closed.append(link)

    def report(self, level: str, what: str, **details: object) -> None:
        self.reports.append(what)

    def welcomed(self, changes: list[Change]) -> None:
        self.told.append(("welcomed", changes))
        self.on_welcome()

    def changed(self, changes: list[Change]) -> None:
        self.told.append(("changed", changes))

    def statistics(self) -> list[tuple[int, int, int]]:
        return [(1, 2, 3)]

    def quiesce(self, queues: list[int], done: Callable[[], None]) -> None:
        self.quiesced.append((queues, done))

    def emit(self, effect: Effect) -> None:
        self.stops.append(effect)

    # What happens.

    def begin(self) -> Stage:
        self.membership.begin(HERE, self.now)
        return self.connect()

    def connect(self) -> Stage:
        self.coordinator = ClusterLink(False, self.secret, "", "", Counted())
        self.heard.clear()
        self.membership.link_opened()
        self.exchange()
        return self

    def exchange(self) -> None:
        while True:
            to_coordinator = self.membership.take_bytes()
            self.heard += self.coordinator.receive(to_coordinator)
            to_node = self.coordinator.take_bytes()
            if not to_coordinator and not to_node:
                return
            if to_node:
                self.membership.receive(to_node, self.now)

    def say(self, *records: Record) -> list[AnyRecord]:
        """Say this and return what the node says to it."""
        self.heard.clear()
        for record in records:
            self.coordinator.send(record)
        self.exchange()
        return list(self.heard)

    def wait(self, microseconds: int) -> list[AnyRecord]:
        self.heard.clear()
        self.now += microseconds
        self.membership.tick(self.now)
        self.exchange()
        return list(self.heard)

    def low_on(self, *resources: str) -> list[AnyRecord]:
        self.heard.clear()
        self.membership.low_on(list(resources))
        self.exchange()
        return list(self.heard)

    def ask(self, owner: str) -> DeleteOwned:
        request = DeleteOwned(owner)
        self.membership.request(request, lambda refused: self.answers.append((owner, refused)))
        return request


def member() -> Stage:
    stage = Stage().begin()
    stage.say(Welcomed(4, [JOINED]))
    return stage


def test_joining() -> None:
    stage = Stage().begin()
    assert stage.opened == [COORDINATOR]
    assert stage.heard == [Join("a", "1", "127.0.0.1", 7000)]
    assert not stage.membership.joined
    assert stage.say(Welcomed(4, [JOINED])) == [Followed(4)]
    assert stage.told == [("welcomed", [JOINED])]
    assert stage.membership.joined


def test_nothing_is_opened_before_others_can_reach_the_node() -> None:
    stage = Stage()
    stage.membership.tick(stage.now)
    assert stage.opened == []


def test_following_changes() -> None:
    stage = member()
    assert stage.say(Changed(5, [JOINED]), Changed(6, [])) == [Followed(5), Followed(6)]
    assert stage.told[1:] == [("changed", [JOINED]), ("changed", [])]
    assert stage.membership.revision == 6


def test_changes_before_the_welcome_are_not_taken() -> None:
    stage = Stage().begin()
    assert stage.say(Changed(3, [JOINED])) == []
    assert stage.told == []


def test_the_node_says_that_it_lives() -> None:
    stage = member()
    assert stage.wait(1) == [Followed(4)]
    assert stage.wait(HEARTBEAT_US - 1) == []
    assert stage.wait(1) == [Followed(4)]


def test_a_node_that_was_not_welcomed_does_not_beat() -> None:
    assert Stage().begin().wait(10 * HEARTBEAT_US) == []


def test_requests_are_answered_by_number() -> None:
    stage = member()
    first, second = stage.ask("x"), stage.ask("y")
    stage.exchange()
    refused = Refused(405, "no")
    assert stage.say(Answered(2, refused), Answered(1, None), Answered(1, None)) == []
    assert stage.answers == [("y", refused), ("x", None)]
    assert (first, second) == (DeleteOwned("x"), DeleteOwned("y"))


def test_what_was_not_answered_is_asked_again_after_the_next_welcome() -> None:
    stage = member()
    stage.ask("answered")
    first = stage.ask("lost")
    stage.exchange()
    stage.say(Answered(1, None))
    stage.membership.link_closed()
    second = stage.ask("while away")
    assert stage.membership.joined, "what is known stays known"
    assert stage.wait(RETRY_US) == []
    assert len(stage.opened) == 2
    stage.connect()
    asked = [Requested(2, first), Requested(3, second), Followed(9)]
    assert stage.say(Welcomed(9, [])) == asked
    stage.say(Answered(2, None), Answered(3, None))
    assert [owner for owner, _ in stage.answers] == ["answered", "lost", "while away"]


def test_a_coordinator_that_stays_away_is_told_once() -> None:
    stage = member()
    stage.wait(1)
    stage.membership.link_closed()
    stage.wait(LOST_US)
    assert stage.reports == []
    stage.wait(1)
    stage.wait(LOST_US)
    assert stage.reports == ["coordinator lost"]


@pytest.mark.parametrize("ends", [True, False])
def test_nothing_is_told_of_a_coordinator_when_the_node_ends_or_it_is_back(ends: bool) -> None:
    """In an orderly end of everything the coordinator goes first."""
    stage = member()
    stage.wait(1)
    stage.membership.link_closed()
    stage.wait(RETRY_US)
    if ends:
        stage.membership.ending = True
    else:
        stage.connect().say(Welcomed(4, []))
    stage.wait(LOST_US + 1)
    stage.wait(LOST_US + 1)
    assert stage.reports == []


def test_what_is_asked_during_the_welcome_is_asked_once_and_after_what_waited() -> None:
    stage = Stage().begin()
    waited = stage.ask("waited")
    asked: list[DeleteOwned] = []
    stage.on_welcome = lambda: asked.append(stage.ask("during"))
    heard = stage.say(Welcomed(1, []))
    assert heard == [Requested(1, waited), Requested(2, asked[0]), Followed(1)]


def test_a_link_that_cannot_be_opened_is_tried_again_but_not_at_once() -> None:
    stage = Stage()
    stage.membership.begin(HERE, stage.now)
    stage.membership.link_closed()
    stage.wait(RETRY_US - 1)
    assert len(stage.opened) == 1
    stage.wait(1)
    assert len(stage.opened) == 2
    assert stage.reports == []


def test_a_coordinator_with_another_secret_is_refused() -> None:
    stage = Stage(b"t" * 32).begin()
    assert stage.reports == ["coordinator refused"]
    assert stage.closed == [-1]
    assert stage.membership.link is None
    assert not stage.membership.joined


def test_statistics() -> None:
    stage = member()
    assert stage.say(StatisticsAsked(8)) == [StatisticsTold(8, [(1, 2, 3)])]


def test_what_it_is_low_on_is_told_at_once_and_with_every_heartbeat() -> None:
    stage = member()
    stage.wait(1)
    assert stage.low_on("disk") == [Followed(4, ("disk",))]
    assert stage.wait(HEARTBEAT_US) == [Followed(4, ("disk",))]
    assert stage.low_on() == [Followed(4)]


def test_what_it_was_low_on_before_it_joined_is_told_with_the_first_word() -> None:
    stage = Stage().begin()
    assert stage.low_on("memory") == []
    assert stage.say(Welcomed(4, [JOINED])) == [Followed(4, ("memory",))]


def test_bytes_of_a_link_that_is_gone_are_dropped() -> None:
    stage = member()
    stage.membership.link_closed()
    stage.membership.receive(b"anything", stage.now)
    assert stage.membership.take_bytes() == b""


def test_a_coordinator_that_went_dark_is_given_up() -> None:
    """A half-open link tells nothing by itself: no end comes, and no answer either."""
    stage = member()
    link = stage.membership.link
    for _ in range(SILENCE_US // TICK):
        stage.wait(TICK)
    assert stage.membership.link == link
    stage.wait(TICK)
    assert stage.closed == [link]
    stage.wait(TICK)
    assert len(stage.opened) == 2, "and another is opened"


def test_a_coordinator_that_answers_is_not() -> None:
    stage = member()
    for _ in range(3 * SILENCE_US // TICK):
        stage.wait(TICK)
        stage.say(Heard())
    assert stage.closed == []


def test_a_node_that_was_stopped_reads_first_what_has_come_meanwhile() -> None:
    stage = member()
    stage.wait(5 * SILENCE_US)
    assert stage.closed == []


def test_a_node_tells_of_its_store() -> None:
    stage = Stage()
    stage.membership.store, stage.membership.damaged = "s", [7]
    stage.begin()
    (join,) = stage.heard
    assert isinstance(join, Join)
    assert (join.store, join.damaged) == ("s", [7])


def test_a_node_belongs_to_one_cluster() -> None:
    stage = Stage().begin()
    assert stage.membership.cluster == ""
    stage.say(Welcomed(1, [JOINED], "ours"))
    assert stage.membership.cluster == "ours"
    stage.membership.link_closed()
    stage.connect()
    stage.say(Welcomed(2, [JOINED], "ours"))
    assert [what for what, _ in stage.told] == ["welcomed", "welcomed"]
    assert stage.stops == []


def test_a_node_with_the_store_of_another_cluster_ends_and_follows_nothing() -> None:
    stage = Stage()
    stage.membership.cluster = "theirs"
    stage.begin()
    stage.say(Welcomed(1, [], "ours"), Changed(2, [JOINED]))
    assert stage.told == []
    assert not stage.membership.joined
    assert stage.membership.cluster == "theirs"
    assert stage.reports == ["this node's store belongs to another cluster"]
    assert len(stage.stops) == 1


def test_a_node_tells_what_it_has_heard_and_in_which_life_of_the_coordinator() -> None:
    stage = Stage()
    stage.membership.cluster, stage.membership.life, stage.membership.revision = "ours", "1st", 7
    stage.begin()
    assert stage.heard == [Join("a", "1", "127.0.0.1", 7000, "", [], "ours", "1st", 7)]
    stage.say(Welcomed(8, [], "ours", "2nd"), Changed(9, [JOINED]))
    assert (stage.membership.life, stage.membership.revision) == ("2nd", 9)


def test_a_node_that_is_turned_away_ends_with_the_reason() -> None:
    stage = Stage().begin()
    stage.say(TurnedAway("the store is older"))
    assert stage.told == []
    assert not stage.membership.joined
    assert stage.stops == [Stop("the store is older")]


def test_the_coordinator_hears_when_queues_have_settled() -> None:
    stage = member()
    assert stage.say(Quiesce(8, [1, 2])) == []
    ((queues, done),) = stage.quiesced
    assert queues == [1, 2]
    done()
    assert stage.say() == [Quiesced(8)]
    stage.membership.link_closed()
    done()
    assert stage.membership.take_bytes() == b""
