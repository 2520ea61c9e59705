"""Tests of what is known while a file is read."""

from __future__ import annotations

import pytest

from rabbitry.balancer.configuration.lexer import Mistake
from rabbitry.balancer.configuration.sections import (
    MISTAKES_MAX,
    WARNINGS_MAX,
    Place,
    Reading,
    Section,
    changed,
)


def reading() -> Reading:
    made = Reading({"A": "b"})
    made.open_file("x.cfg")
    return made


def test_mistakes_and_warnings_are_in_order_of_files_and_lines() -> None:
    made = reading()
    made.open_file("y.cfg")
    made.place = Place(1, 5)
    made.refuse(Mistake("a", "is wrong"))
    made.refuse(Mistake("b", "is wrong"), Place(0, 9))
    made.warn("c", "is odd")
    made.warn("d", "is odd", Place(1, 2))
    assert made.mistakes == ("x.cfg:9: 'b' is wrong", "y.cfg:5: 'a' is wrong")
    assert made.warnings == ("y.cfg:2: 'd' is odd", "y.cfg:5: 'c' is odd")


def test_what_is_shown_is_one_line_and_short() -> None:
    made = reading()
    made.refuse(Mistake("a\nb\udcff" + "c" * 500, "is wrong"))
    (told,) = made.mistakes
    assert "a?b?ccc" in told
    assert len(told) < 120


def test_there_is_an_end_to_them() -> None:
    made = reading()
    for _ in range(MISTAKES_MAX + 5):
        made.refuse(Mistake("a", "is wrong"))
    for _ in range(WARNINGS_MAX + 5):
        made.warn("a", "is odd")
    assert (len(made.mistakes), len(made.warnings)) == (MISTAKES_MAX, WARNINGS_MAX)


def test_lines_are_named_by_what_they_are_about() -> None:
    made = reading()
    made.ignore(["option", "x", "y"], "why")
    made.ignore(["daemon", "x"], "why")
    assert [each.split("'")[1] for each in made.warnings] == ["option x", "daemon"]


def test_the_environment_is_its_own() -> None:
    given = {"A": "b"}
    made = Reading(given)
    made.environment["A"] = "c"
    assert given == {"A": "b"}


@pytest.mark.parametrize(
    ("keyword", "front", "back"),
    [("defaults", True, True), ("listen", True, True), ("frontend", True, False)],
)
def test_sides(keyword: str, front: bool, back: bool) -> None:
    section = Section(keyword, "n", Place(0, 1))
    assert (section.is_front, section.is_back) == (front, back)
    assert not Section("backend", "n", Place(0, 1)).is_front


def test_settings_are_changed_for_one_section_alone() -> None:
    base = Section("defaults", "", Place(0, 1))
    section = Section("listen", "n", Place(0, 2), base.settings)
    section.set(maxconn=5)
    section.set_front(backlog=6)
    section.set_back(retries=7)
    assert (section.settings.front.backlog, section.settings.back.retries) == (6, 7)
    assert (base.settings.maxconn, base.settings.front.backlog) == (0, None)
    assert changed(Place(0, 1), line=2) == Place(0, 2)
