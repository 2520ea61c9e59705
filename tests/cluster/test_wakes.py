"""When leaders want to be woken."""

from __future__ import annotations

from rabbitry.cluster.wakes import Wakes


def test_the_first_that_is_due_comes_first() -> None:
    wakes: Wakes[str] = Wakes()
    assert wakes.next_due() is None
    for sleeper, due in (("a", 30), ("b", 10), ("c", 20)):
        wakes.set(sleeper, due)
    assert wakes.next_due() == 10
    assert wakes.take(20) == ["b", "c"]
    assert wakes.take(29) == []
    assert wakes.take(30) == ["a"]
    assert wakes.next_due() is None


def test_only_the_last_wish_counts() -> None:
    wakes: Wakes[str] = Wakes()
    wakes.set("a", 10)
    wakes.set("a", 30)
    wakes.set("b", 20)
    wakes.set("b", 20)
    assert wakes.next_due() == 20
    wakes.set("b", None)
    wakes.set("c", None)
    assert wakes.take(100) == ["a"]
    wakes.set("a", 5)
    assert wakes.take(5) == ["a"]
