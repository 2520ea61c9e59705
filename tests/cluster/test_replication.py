"""Replication: a mirror's stages on its way into the in-sync set, and what the floor waits for."""

from __future__ import annotations

import pytest

from rabbitry.broker.message import Route
from rabbitry.broker.queue import Queue
from rabbitry.cluster.queue_records import Announced, Applied, Copied, Lacked, Removed
from rabbitry.cluster.records import AdmitMirror, AnyRecord, DropMirror, QueuePlaced, decode
from rabbitry.cluster.replication import Replication


class Port:
    """What replication needs of its node, written down."""

    def __init__(self) -> None:
        self.sent: list[tuple[list[str], AnyRecord]] = []
        self.requests: list[AdmitMirror | DropMirror] = []
        self.revision = 1

    def tell_mirrors(self, nodes: list[str], encoded: bytes) -> None:
        self.sent.append((list(nodes), decode(encoded)))

    def ask_about_mirror(self, request: AdmitMirror | DropMirror) -> None:
        self.requests.append(request)

    def catalog_revision(self) -> int:
        return self.revision


class Replicated:
    """A replication with its port."""

    def __init__(self, mirrors: str, in_sync: str) -> None:
        self.port = Port()
        self.queue = Queue(lambda *_: None)
        self.replication = Replication(self.port, 1, 1, self.queue)
        self.place(mirrors, in_sync)

    def place(self, mirrors: str, in_sync: str) -> None:
        self.replication.place(QueuePlaced(1, 1, "a", list(mirrors), ["a", *in_sync]))

    def send(self) -> int:
        number = self.replication.next_number()
        self.replication.send(Announced(1, 1, number, 1))
        return number

    def applied(self, name: str, number: int) -> None:
        self.replication.applied(name, Applied(1, 1, number, number))

    def complete(self, name: str) -> None:
        """Begin, and let it lack nothing; the leader has not heard that it has come to the end."""
        self.replication.begin(name)
        self.replication.lacked(name, Lacked(1, 1, self.replication.sequence, []))


def test_the_floor_waits_for_required_mirrors_only() -> None:
    one = Replicated("bcd", "bc")
    for name in "bcd":
        one.complete(name)
    number = one.send()
    one.applied("b", number)
    assert one.replication.floors()[1] < number
    one.applied("c", number - 1)
    assert one.replication.floors()[1] == number - 1
    one.applied("c", number)
    assert one.replication.floors()[1] == number


def test_the_floor_waits_for_one_out_of_reach() -> None:
    one = Replicated("b", "b")
    one.send()
    assert one.replication.floors()[1] == -1
    one.complete("b")
    one.applied("b", one.replication.sequence)
    assert one.replication.floors()[1] == one.replication.sequence
    one.replication.lose("b")
    assert one.replication.floors()[1] == -1
    assert one.replication.not_begun() == ["b"]
    one.place("b", "")
    assert one.replication.floors()[1] == one.replication.sequence


def test_the_floor_does_not_wait_for_what_goes_to_another() -> None:
    one = Replicated("bc", "bc")
    for name in "bc":
        one.complete(name)
        one.applied(name, one.replication.sequence)
    one.replication.begin("c")
    one.replication.lacked("c", Lacked(1, 1, one.replication.sequence, []))
    one.applied("c", one.replication.sequence)
    assert one.replication.floors()[1] == one.replication.sequence


def test_the_stages_of_a_mirror() -> None:
    one = Replicated("b", "")
    replication, requests = one.replication, one.port.requests
    assert not replication.limited
    assert replication.begin("b") is False, "it is not required"
    assert replication.limited
    replication.lacked("b", Lacked(1, 1, 0, []))
    one.applied("b", 1)
    number = one.send()
    assert replication.floors()[1] == number, "copied, but confirms do not wait yet"
    assert replication.wants_asking
    replication.ask()
    assert requests == [], "it may lack what was confirmed without it"
    assert replication.floors()[1] < number, "and nothing more is confirmed without it"
    one.applied("b", number)
    replication.ask()
    replication.ask()
    assert requests == [AdmitMirror(1, 1, "b", 1)]
    one.place("b", "b")
    replication.answered(requests[0])
    assert not replication.wants_asking
    one.send()
    assert replication.floors()[1] == number


def test_one_that_was_joining_starts_over_when_its_link_breaks() -> None:
    one = Replicated("b", "")
    one.complete("b")
    one.applied("b", 1)
    one.send()
    one.replication.ask()
    one.replication.lose("b")
    assert one.replication.floors()[1] == one.replication.sequence
    assert not one.replication.limited


def test_one_that_was_asked_for_stays_required_until_the_answer() -> None:
    one = Replicated("b", "")
    one.complete("b")
    one.applied("b", 1)
    one.replication.ask()
    (request,) = one.port.requests
    one.replication.lose("b")
    one.place("b", "")
    assert one.replication.floors()[1] == -1
    one.replication.answered(AdmitMirror(1, 1, "b", 0))  # the answer for one before it
    assert one.replication.floors()[1] == -1
    one.replication.answered(request)
    assert one.replication.floors()[1] == one.replication.sequence


def test_one_that_was_refused_is_asked_for_again() -> None:
    one = Replicated("b", "")
    one.complete("b")
    one.applied("b", 1)
    one.replication.ask()
    one.port.revision = 2
    one.replication.answered(one.port.requests[0])
    one.replication.ask()
    assert one.port.requests[1:] == [AdmitMirror(1, 1, "b", 2)]


@pytest.mark.parametrize(
    ("in_sync", "begun", "asks"), [("b", False, 1), ("b", True, 0), ("", False, 0)]
)
def test_only_one_that_holds_confirms_up_is_given_up(in_sync: str, begun: bool, asks: int) -> None:
    one = Replicated("b", in_sync)
    if begun:
        one.complete("b")
    one.replication.give_up("b")
    one.replication.give_up("b")
    assert len(one.port.requests) == asks


def test_one_that_mirrors_no_more_is_forgotten() -> None:
    one = Replicated("bc", "bc")
    one.complete("b")
    one.place("c", "c")
    assert one.replication.begin("b") is None
    one.applied("b", 5)
    one.replication.answered(DropMirror(1, 1, "b"))
    one.port.sent.clear()
    one.send()
    assert one.port.sent[0][0] == []


def test_copies_go_to_one_and_removals_to_all() -> None:
    one = Replicated("bc", "c")
    one.queue.publish([(Route(b"", b"q"), b"%d" % at) for at in range(1, 1001)])
    one.complete("c")
    one.replication.begin("b")
    one.port.sent.clear()
    one.replication.lacked("b", Lacked(1, 1, 1, [(1, 1000)]))
    one.queue.purge()
    one.replication.remove([(1, 1000)])
    one.applied("b", one.replication.sequence)
    to_whom = [nodes for nodes, _ in one.port.sent]
    kinds = [type(record) for _, record in one.port.sent]
    assert to_whom == [["b"], ["b", "c"], ["b"]]
    assert kinds == [Copied, Removed, Copied]
    last = one.port.sent[-1][1]
    assert isinstance(last, Copied)
    assert last.entries == []
    assert last.complete


def test_one_required_by_its_store_is_dropped_at_once() -> None:
    one = Replicated("bc", "bc")
    for name in "bc":
        one.complete(name)
        one.applied(name, one.replication.sequence)
    one.replication.ask()
    one.replication.lose("b")
    one.replication.ask()
    assert one.port.requests == [], "it may come back"
    number = one.send()
    one.applied("c", number)
    one.replication.place(QueuePlaced(1, 1, "a", ["b", "c"], ["a", "c"], ["b"]))
    assert one.replication.floors()[1] < number, "what it has stored counts until it is taken out"
    one.replication.ask()
    one.replication.ask()
    assert one.port.requests == [DropMirror(1, 1, "b")]
    one.place("bc", "c")
    one.replication.answered(DropMirror(1, 1, "b"))
    assert one.replication.floors()[1] == number
    one.replication.ask()
    assert len(one.port.requests) == 1


def test_one_required_by_its_store_that_is_back_is_admitted_as_any() -> None:
    one = Replicated("b", "")
    one.replication.place(QueuePlaced(1, 1, "a", ["b"], ["a"], ["b"]))
    assert one.replication.begin("b") is True
    one.replication.lacked("b", Lacked(1, 1, one.replication.sequence, []))
    one.applied("b", one.replication.sequence)
    one.replication.ask()
    assert one.port.requests == [AdmitMirror(1, 1, "b", 1)]
    one.replication.lose("b")
    assert one.port.requests[1:] == [DropMirror(1, 1, "b")], "not waited for a second time"
