"""What was settled is kept until it cannot be forgotten: both sides."""

from __future__ import annotations

from rabbitry.cluster.unsure import Marks, Unsure


def test_what_was_noted_before_the_question_goes_with_the_answer() -> None:
    unsure = Unsure()
    assert not unsure
    assert unsure.ask() is None
    unsure.note([1, 2])
    unsure.note_rejected([3])
    assert unsure.ask() == 2
    unsure.note([4])
    assert unsure.ask() is None, "it is asked already"
    unsure.answered(2)
    assert unsure.start_again() == ([4], [])
    assert unsure.ask() == 3
    unsure.answered(3)
    assert not unsure


def test_a_session_that_ends_leaves_its_question() -> None:
    unsure = Unsure()
    unsure.note([1])
    unsure.note_rejected([2])
    unsure.ask()
    assert unsure.start_again() == ([1], [2])
    assert unsure.ask() == 2
    unsure.clear()
    assert not unsure
    unsure.answered(2)


def test_marks_are_answered_in_order_when_mirrors_have_come_so_far() -> None:
    answered: list[tuple[str, int]] = []
    marks = Marks(lambda user, number: answered.append((user, number)))
    marks.add(3, "a#1", 7)
    marks.add(3, "b#1", 2)
    marks.add(5, "a#1", 9)
    marks.advance(2)
    assert answered == []
    marks.advance(4)
    assert answered == [("a#1", 7), ("b#1", 2)]
    marks.advance(5)
    assert answered[2:] == [("a#1", 9)]
