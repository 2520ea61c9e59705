"""Handing over on demand: the leader lets things settle first, and is not waited for for ever."""

from __future__ import annotations

from typing import Any
from unittest.mock import MagicMock

from rabbitry.cluster.handing_over import PATIENCE_US, HandingOver
from rabbitry.cluster.records import Quiesce


class Desk:
    def __init__(self, queues: list[int], reachable: bool = True) -> None:
        relocation: Any = MagicMock()
        relocation.to_hand_over.return_value = queues
        self.sent: list[tuple[str, Any]] = []
        self.answers: dict[int, Any] = {}
        self.reachable = reachable
        self.now = 0
        change = MagicMock(return_value=len(queues))
        self.handing_over = HandingOver(
            relocation, self._send, change, self._answer, lambda: self.now
        )

    def _send(self, name: str, record: Any) -> bool:
        self.sent.append((name, record))
        return self.reachable

    def _answer(self, number: int, answer: Any) -> None:
        assert number not in self.answers
        self.answers[number] = answer


def test_it_is_done_when_the_leader_says_so() -> None:
    desk = Desk([3, 4])
    desk.handing_over.begin(7, "a")
    assert desk.sent == [("a", Quiesce(7, [3, 4]))]
    desk.handing_over.settled("b", 7)
    desk.now = PATIENCE_US - 1
    desk.handing_over.tick()
    assert desk.answers == {}
    desk.handing_over.settled("a", 7)
    assert desk.answers == {7: {"moved": 2, "kept": []}}
    desk.handing_over.settled("a", 7)
    desk.now = PATIENCE_US
    desk.handing_over.tick()
    desk.handing_over.left("a")


def test_there_may_be_nobody_to_wait_for() -> None:
    for desk in (Desk([]), Desk([3], reachable=False)):
        desk.handing_over.begin(7, "a")
        assert list(desk.answers) == [7]


def test_it_is_not_waited_for_ever() -> None:
    desk = Desk([3])
    desk.handing_over.begin(7, "a")
    desk.handing_over.begin(8, "b")
    desk.handing_over.left("b")
    assert list(desk.answers) == [8]
    desk.now = PATIENCE_US
    desk.handing_over.tick()
    assert list(desk.answers) == [8, 7]


def test_others_may_ask_for_some_queues() -> None:
    desk = Desk([3])
    heard: list[bool] = []
    desk.handing_over.begin(7, "a")
    assert desk.handing_over.leaves("a")
    desk.handing_over.ask(8, "b", [5], heard.append)
    assert desk.sent[-1] == ("b", Quiesce(8, [5]))
    assert not desk.handing_over.leaves("b")
    desk.handing_over.settled("b", 8)
    desk.handing_over.settled("b", 8)
    assert heard == [True]
    desk.handing_over.ask(9, "b", [5], heard.append)
    desk.now = PATIENCE_US
    desk.handing_over.tick()
    assert heard == [True, False]
    desk.handing_over.ask(10, "b", [5], heard.append)
    desk.handing_over.left("b")
    assert heard == [True, False, False]
    desk.reachable = False
    desk.handing_over.ask(11, "b", [5], heard.append)
    assert heard == [True, False, False, False]
    assert list(desk.answers) == [7], "what becomes of it is not ours to say"
    assert not desk.handing_over.leaves("a")
