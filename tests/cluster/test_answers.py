"""Answers that wait for all nodes: in order, to those that are there, and for the operator."""

from __future__ import annotations

from typing import Any

from rabbitry.cluster.annals import Annals
from rabbitry.cluster.answers import Answers
from rabbitry.cluster.catalog import Catalog
from rabbitry.cluster.catalog_store import Counters
from rabbitry.cluster.members import Member
from rabbitry.cluster.records import Answered, Refused


class Told:
    """The answers of a coordinator with two nodes that run, and what was said."""

    def __init__(self) -> None:
        self.annals = Annals(Catalog(), Counters)
        self.members = {name: Member("1") for name in "ab"}
        for link, member in enumerate(self.members.values()):
            member.state, member.link = "running", link
        self.nodes: list[tuple[int, Answered]] = []
        self.operator: list[tuple[int, Any]] = []
        self.answers = Answers(
            self.annals,
            self.members,
            lambda link, answered: self.nodes.append((link, answered)),
            lambda number, answer: self.operator.append((number, answer)),
        )

    def follow(self, revision: int, *names: str) -> None:
        for name in names:
            self.members[name].followed = revision
        self.answers.send()


def test_an_answer_waits_for_the_last_node() -> None:
    told = Told()
    refused = Refused(404, "no such thing")
    told.annals.revision = 1
    told.answers.add("a", 7, None)
    told.annals.revision = 2
    told.answers.add("b", 8, refused)
    told.answers.add_for_operator(9, "done")
    told.follow(2, "a")
    assert (told.nodes, told.operator) == ([], [])
    told.follow(1, "b")
    assert (told.nodes, told.operator) == ([(0, Answered(7, None))], [])
    told.follow(2, "b")
    assert told.nodes[1:] == [(1, Answered(8, refused))]
    assert told.operator == [(9, "done")]


def test_nobody_waits_for_a_node_that_is_not_in_the_cluster() -> None:
    told = Told()
    told.annals.revision = 1
    told.answers.add("a", 7, None)
    told.members["b"].state = "hung"
    told.follow(1, "a")
    assert told.nodes == [(0, Answered(7, None))]


def test_an_asker_that_has_gone_or_begun_anew_does_not_hear() -> None:
    told = Told()
    told.annals.revision = 1
    told.answers.add("a", 7, None)
    told.answers.add("b", 8, None)
    told.members["a"].link = None
    told.members["b"].incarnation = "2"
    told.follow(1, "a", "b")
    assert told.nodes == []


def test_without_nodes_the_store_is_enough() -> None:
    told = Told()
    for member in told.members.values():
        member.state = "down"
    told.annals.revision = 3
    told.answers.add_for_operator(9, None)
    assert told.operator == [(9, None)]
