"""Peers: who opens, when a peer is up, and that up and down alternate whatever the links do."""

from __future__ import annotations

import itertools

import pytest

from rabbitry.cluster.links import ClusterLink
from rabbitry.cluster.peers import (
    HEARTBEAT_TICKS,
    LOGIN_TICKS_MAX,
    SILENT_TICKS_MAX,
    Peers,
)
from rabbitry.cluster.queue_records import Accepted
from rabbitry.cluster.records import AnyRecord, Heard, NodeJoined
from rabbitry.machine import Address

SECRET = b"s" * 32
_numbers = itertools.count()


class Counting:
    """Entropy that never says the same twice."""

    def token_bytes(self, count: int) -> bytes:
        return next(_numbers).to_bytes(count, "big")


def node(name: str, incarnation: str = "1") -> NodeJoined:
    return NodeJoined(name, incarnation, "127.0.0.1", 1000 + ord(name[0]))


class Local:
    """The peers of node "b", and what they ask of it."""

    def __init__(self) -> None:
        self.log: list[tuple[str, ...]] = []
        self.records: list[tuple[str, AnyRecord]] = []
        self.opened: list[tuple[int, Address]] = []
        self.closed: list[int] = []
        self.reasons: list[object] = []
        self._next_link = -1
        self.peers = Peers(self, "b", "1", SECRET, Counting())

    def open_link(self, address: Address) -> int:
        self._next_link -= 1
        self.opened.append((self._next_link, address))
        return self._next_link

    def close_link(self, link: int) -> None:
        self.closed.append(link)

    def report(self, level: str, what: str, **details: object) -> None:
        self.reasons.append(details["reason"])

    def peer_up(self, name: str, origin: str) -> None:
        assert self.peers.is_up(name)
        self.log.append(("up", origin))

    def peer_down(self, name: str, origin: str) -> None:
        assert not self.peers.is_up(name)
        self.log.append(("down", origin))

    def take_record(self, name: str, origin: str, record: AnyRecord) -> None:
        self.records.append((origin, record))

    # --- the other side ---

    def log_in(
        self, link: int, name: str, incarnation: str = "1", secret: bytes = SECRET
    ) -> ClusterLink:
        """Node `name` takes part in the login of a link, as far as it gets."""
        opener = link > 0
        remote = ClusterLink(opener, secret, name, incarnation, Counting())
        self.peers.link_opened(link, opener=not opener)
        for _ in range(3):
            self.talk(link, remote)
        return remote

    def talk(self, link: int, remote: ClusterLink) -> None:
        data = remote.take_bytes()
        if data:
            self.peers.receive(link, data)
        for number, answer in self.peers.take_bytes():
            if number == link:
                self.records += [("to " + remote._name, one) for one in remote.receive(answer)]


@pytest.fixture
def local() -> Local:
    return Local()


def test_the_lesser_name_opens(local: Local) -> None:
    local.peers.set_nodes({"a": node("a"), "b": node("b"), "c": node("c")})
    assert local.opened == [(-2, Address("127.0.0.1", 1000 + ord("c")))]


def test_a_peer_is_up_after_login_and_records_flow(local: Local) -> None:
    local.peers.set_nodes({"b": node("b"), "c": node("c")})
    remote = local.log_in(-2, "c")
    assert local.log == [("up", "c#1")]
    assert local.peers.origin_of("c") == "c#1"
    remote.send(Accepted(1, 1, 1))
    local.peers.send("c", Accepted(2, 2, 2))
    local.peers.send("nobody", Accepted(3, 3, 3))
    local.talk(-2, remote)
    assert local.records == [("c#1", Accepted(1, 1, 1)), ("to c", Accepted(2, 2, 2))]
    local.peers.link_closed(-2)
    local.peers.link_closed(-2)
    assert local.log == [("up", "c#1"), ("down", "c#1")]


def test_a_link_is_opened_again_at_the_next_tick(local: Local) -> None:
    local.peers.set_nodes({"b": node("b"), "c": node("c")})
    local.peers.tick()
    assert len(local.opened) == 1, "it is under way"
    local.peers.link_closed(-2)
    local.peers.tick()
    assert [link for link, _ in local.opened] == [-2, -3]


def test_a_process_that_the_catalog_does_not_list_yet_waits(local: Local) -> None:
    local.peers.set_nodes({"a": node("a", "1"), "b": node("b")})
    remote = local.log_in(1, "a", "2")
    remote.send(Accepted(1, 1, 1))
    local.talk(1, remote)
    assert (local.log, local.records) == ([], [])
    local.peers.set_nodes({"a": node("a", "2"), "b": node("b")})
    assert local.log == [("up", "a#2")]
    assert local.records == [("a#2", Accepted(1, 1, 1))]


def test_one_that_waits_is_not_opened_again(local: Local) -> None:
    local.peers.set_nodes({"b": node("b"), "c": node("c", "1")})
    local.log_in(-2, "c", "2")
    local.peers.tick()
    assert len(local.opened) == 1


def test_a_younger_link_replaces_an_older(local: Local) -> None:
    local.peers.set_nodes({"a": node("a"), "b": node("b")})
    local.log_in(1, "a")
    local.log_in(2, "a")
    assert local.log == [("up", "a#1"), ("down", "a#1"), ("up", "a#1")]
    assert local.closed == [1]
    local.peers.link_closed(1)
    assert local.peers.is_up("a")


def test_a_node_that_left_is_down(local: Local) -> None:
    local.peers.set_nodes({"a": node("a"), "b": node("b"), "c": node("c")})
    local.log_in(1, "a")
    local.log_in(-2, "c")
    local.peers.set_nodes({"b": node("b"), "c": node("c", "2")})
    assert local.log[2:] == [("down", "a#1"), ("down", "c#1")]
    assert local.closed == [1, -2]
    assert len(local.opened) == 2, "the new process of c is tried at once"


def test_records_stop_where_the_peer_went_down(local: Local) -> None:
    local.peers.set_nodes({"a": node("a"), "b": node("b")})
    remote = local.log_in(1, "a")

    def leave(name: str, origin: str, record: AnyRecord) -> None:
        local.records.append((origin, record))
        local.peers.set_nodes({"b": node("b")})

    local.take_record = leave  # type: ignore[method-assign]
    remote.send(Accepted(1, 1, 1))
    remote.send(Accepted(2, 2, 2))
    local.talk(1, remote)
    assert local.records == [("a#1", Accepted(1, 1, 1))]


def test_foreign_bytes_are_refused_without_harm(local: Local) -> None:
    local.peers.set_nodes({"a": node("a"), "b": node("b")})
    local.log_in(1, "a")
    local.peers.link_opened(2, opener=False)
    local.peers.receive(2, b"AMQP\x00\x00\x09\x01")
    local.peers.receive(2, b"and more")
    assert local.closed == [2]
    assert len(local.reasons) == 1
    assert local.peers.is_up("a")


def test_a_wrong_secret_is_refused(local: Local) -> None:
    local.peers.set_nodes({"a": node("a"), "b": node("b")})
    local.log_in(1, "a", secret=b"x" * 32)
    local.peers.link_closed(1)
    assert local.log == []


@pytest.mark.parametrize("name", ["", "b", "d"])
def test_a_link_that_leads_to_another_than_expected_is_refused(local: Local, name: str) -> None:
    local.peers.set_nodes({"b": node("b"), "c": node("c"), "d": node("d")})
    local.log_in(-2, name)
    assert local.log == []
    assert local.closed == [-2]


def test_a_link_that_never_logs_in_is_given_up(local: Local) -> None:
    local.peers.set_nodes({"a": node("a"), "b": node("b")})
    remote = local.log_in(1, "a")
    local.peers.link_opened(2, opener=False)
    for _ in range(LOGIN_TICKS_MAX):
        local.peers.tick()
        remote.send(Heard())
        local.talk(1, remote)
    assert local.closed == []
    local.peers.tick()
    assert local.closed == [2]
    assert local.peers.is_up("a")


def test_a_link_over_which_nothing_comes_is_given_up(local: Local) -> None:
    """Its other end went dark: no end comes by itself, and confirms would wait for ever."""
    local.peers.set_nodes({"a": node("a"), "b": node("b")})
    local.log_in(1, "a")
    for _ in range(SILENT_TICKS_MAX):
        local.peers.tick()
    assert local.closed == []
    local.peers.tick()
    assert local.closed == [1]
    assert local.log == [("up", "a#1"), ("down", "a#1")]


def test_a_node_tells_its_peers_that_it_lives(local: Local) -> None:
    local.peers.set_nodes({"a": node("a"), "b": node("b")})
    remote = local.log_in(1, "a")
    local.records.clear()
    for _ in range(2 * HEARTBEAT_TICKS):
        local.peers.tick()
        local.talk(1, remote)
    assert local.records == [("to a", Heard())] * 2
    remote.send(Heard())
    local.records.clear()
    local.talk(1, remote)
    assert local.records == [], "it is nobody else's business"
