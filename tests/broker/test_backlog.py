"""The line of stretches behind the front of a queue."""

from __future__ import annotations

from collections import deque

from rabbitry.broker.backlog import Backlog
from rabbitry.broker.message import Message, Route

ROUTE = Route(b"", b"q")


def messages(*positions: int) -> deque[Message]:
    return deque((ROUTE, b"%d" % position) for position in positions)


def run(*positions: int) -> tuple[int, list[Message]]:
    """Return these messages, which stand side by side, as they come from the store."""
    return positions[0], list(messages(*positions))


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


def stored_line() -> Backlog:
    backlog = Backlog()
    backlog.append(1, messages(1, 2, 3, 4))
    backlog.append_stored(5, 9)
    backlog.append(12, messages(12, 13))
    return backlog


def test_what_is_stored_is_dropped_but_the_first() -> None:
    backlog = stored_line()
    assert backlog.page_out([(2, 3), (12, 12)], 2) == [(3, 3), (12, 12)]
    assert list(backlog.runs()) == [
        (1, messages(1, 2)),
        (4, messages(4)),
        (13, messages(13)),
    ]
    assert (backlog.count, backlog.stored_count) == (11, 7)
    assert backlog.page_out([(1, 90)], 11) == []
    assert backlog.page_out([], 0) == []


def test_what_lies_behind_much_in_memory_need_not_be_loaded() -> None:
    backlog = stored_line()
    assert backlog.next_stored(4, 9) is None
    assert backlog.next_stored(5, 3) == (5, 7)
    assert backlog.next_stored(7, 100) == (5, 9)


def test_what_was_loaded_is_put_in_its_place() -> None:
    backlog = stored_line()
    runs = [run(4), run(6), run(7), run(9)]
    assert backlog.put_in(6, 8, runs) == (runs[1:3], [(8, 8)])
    assert list(backlog.runs()) == [
        (1, messages(1, 2, 3, 4)),
        (6, messages(6, 7)),
        (12, messages(12, 13)),
    ]
    assert backlog.ranges() == [(1, 4), (5, 5), (6, 7), (9, 9), (12, 13)]
    assert (backlog.count, backlog.stored_count) == (10, 2)


def test_the_memory_taken_is_estimated_whatever_the_sizes() -> None:
    backlog = Backlog()
    assert backlog.memory_bytes() == 0
    for first in range(0, 1000, 10):
        size_bytes = 1000 if first % 20 else 0
        backlog.append(first, deque([(ROUTE, bytes(size_bytes))] * 5))
    backlog.append_stored(5000, 1_000_000)
    exact = sum(len(frames) + 104 for _, run in backlog.runs() for _, frames in run)
    assert 0.5 * exact < backlog.memory_bytes() < 2 * exact


def test_messages_are_taken_out_wherever_they_stand() -> None:
    backlog = stored_line()
    taken, stored = backlog.take_out([(2, 3), (6, 7), (10, 12)], stored_too=False)
    assert taken == [(at, (ROUTE, b"%d" % at)) for at in (2, 3, 12)]
    assert stored == [(6, 7)]
    assert backlog.ranges() == [(1, 1), (4, 4), (5, 5), (6, 7), (8, 9), (13, 13)]
    assert (backlog.count, backlog.stored_count) == (8, 5)
    assert backlog.take_out([(6, 7), (9, 9)], stored_too=True) == ([], [(6, 7), (9, 9)])
    assert (backlog.count, backlog.stored_count) == (5, 2)
    placed, lacking = backlog.put_in(5, 9, [run(5, 6)])
    assert (placed, lacking) == ([run(5)], [(8, 8)]), "what is gone need not be there"
    assert backlog.take_out([], stored_too=True) == ([], [])
    assert [list(run) for _, run in backlog.runs()] == [
        list(messages(1)),
        list(messages(4)),
        list(messages(5)),
        list(messages(13)),
    ]
