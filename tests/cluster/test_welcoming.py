"""Who has joined hears the catalog when it is durable, and nobody is judged before."""

from __future__ import annotations

from rabbitry.cluster.annals import Annals
from rabbitry.cluster.catalog import Catalog
from rabbitry.cluster.catalog_store import Counters
from rabbitry.cluster.members import Member
from rabbitry.cluster.records import DeclareQueue, NodeJoined, Requested, Welcomed
from rabbitry.cluster.welcoming import Welcoming

ASKS = Requested(1, DeclareQueue("/", "q", True, False, "", b""))


class Desk:
    def __init__(self) -> None:
        catalog = Catalog()
        self.annals = Annals(catalog, Counters)
        self.members = {name: Member("1") for name in "ab"}
        for link, member in enumerate(self.members.values()):
            member.link = link
        self.told: list[tuple[int, Welcomed]] = []
        self.judged: list[str] = []
        self.welcoming = Welcoming(
            catalog,
            self.annals,
            self.members,
            lambda link, welcomed: self.told.append((link, welcomed)),
            lambda name, member, record: self.judged.append(name),
        )

    def joins(self, name: str) -> int:
        """Return the commit that this is durable with."""
        self.annals.add(NodeJoined(name, "1", "h", 1))
        self.annals.close_batch()
        self.welcoming.joined(name)
        commit = self.annals.take_commit()
        assert commit is not None
        return commit.commit

    def welcome(self) -> None:
        self.welcoming.welcome("cluster", "life")


def test_who_has_joined_is_welcomed_when_all_is_durable() -> None:
    desk = Desk()
    commit = desk.joins("a")
    desk.welcome()
    assert desk.told == []
    assert not desk.members["a"].welcomed
    desk.annals.committed(commit)
    desk.welcome()
    desk.welcome()
    [(link, welcomed)] = desk.told
    assert (link, welcomed.cluster, welcomed.life, welcomed.revision) == (0, "cluster", "life", 1)
    assert desk.members["a"].welcomed
    assert not desk.members["b"].welcomed


def test_requests_wait_with_those_who_wait() -> None:
    desk = Desk()
    desk.welcoming.take("b", desk.members["b"], ASKS)
    assert desk.judged == ["b"]
    commit = desk.joins("a")
    desk.welcoming.take("b", desk.members["b"], ASKS)
    desk.welcoming.take("a", desk.members["a"], ASKS)
    assert desk.judged == ["b"]
    desk.members["a"].incarnation, desk.members["a"].link = "2", None
    desk.annals.committed(commit)
    desk.welcome()
    assert desk.judged == ["b", "b"], "who asked as a is no more"
    assert desk.told == [], "nor is there a link"
    desk.welcoming.take("b", desk.members["b"], ASKS)
    assert desk.judged == ["b", "b", "b"]
