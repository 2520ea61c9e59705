"""The line of stretches behind the front of a queue."""

from __future__ import annotations

from collections import deque

from rabbitry.broker.backlog import Backlog
from rabbitry.broker.message import Message, Route

ROUTE = Route(b"", b"q")


def messages(*positions: int) -> deque[Message]:
    return deque((ROUTE, b"%d" % position) for position in positions)


def test_neighbours_of_one_kind_are_one_stretch() -> None:
    backlog = Backlog()
    backlog.append(3, messages(3, 4))
    backlog.append(5, messages(5))
    backlog.append_stored(6, 8)
    backlog.append_stored(9, 9)
    backlog.append_stored(11, 11)
    backlog.append(12, messages(12))
    assert backlog.ranges() == [(3, 5), (6, 9), (11, 11), (12, 12)]
    assert (backlog.count, backlog.first) == (9, 3)
    assert list(backlog.runs()) == [(3, messages(3, 4, 5)), (12, messages(12))]


def test_the_front_is_taken_unless_it_must_be_loaded() -> None:
    backlog = Backlog()
    backlog.append(3, messages(3, 4))
    backlog.append_stored(6, 8)
    assert backlog.take_front() == (3, messages(3, 4))
    assert backlog.take_front() is None
    assert (backlog.count, backlog.first) == (3, 6)
    backlog.clear()
    assert (backlog.count, backlog.ranges()) == (0, [])
