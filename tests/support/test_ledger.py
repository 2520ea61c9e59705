"""The ledger finds each broken promise, and no other."""

from __future__ import annotations

import pytest
from support.ledger import Ledger


def ledger(sent: list[str], received: list[tuple[str, bool]]) -> Ledger:
    found = Ledger()
    for body in sent:
        found.sent(body)
        found.confirmed(body)
    for body, redelivered in received:
        found.received("c", body, redelivered)
    return found


def test_all_that_was_promised() -> None:
    kept = ledger(["p 1", "p 2"], [("p 1", False), ("p 2", False), ("p 1", True)])
    kept.check()
    assert kept.confirmed_count("p ") == 2
    assert kept.received_count("c") == 3


def test_what_was_sent_twice_may_come_twice() -> None:
    ledger(["p 1", "p 1"], [("p 1", False), ("p 1", False)]).check()


def test_what_comes_again_after_its_acknowledgement_is_counted() -> None:
    kept = ledger(["p 1", "p 2"], [("p 1", False), ("p 2", False)])
    kept.acknowledged(["p 1"])
    kept.received("c", "p 1", True)
    kept.received("c", "p 2", True)
    kept.check()
    assert "1 acknowledged (1 of these came again)" in kept.summary()
    assert kept.backlog() == 0


@pytest.mark.parametrize(
    ("sent", "received", "says"),
    [
        (["p 1", "p 2"], [("p 1", False)], "missing"),
        (["p 1"], [("p 1", False), ("p 2", False)], "never sent"),
        (["p 1"], [("p 1", False), ("p 1", False)], "without a mark"),
        (["p 1", "p 2"], [("p 2", False), ("p 1", False)], "had p 1 after 2"),
        ([], [], "nothing was confirmed"),
    ],
)
def test_broken_promises(sent: list[str], received: list[tuple[str, bool]], says: str) -> None:
    with pytest.raises(AssertionError, match=says):
        ledger(sent, received).check()


def test_waiting_has_an_end() -> None:
    with pytest.raises(AssertionError, match="the moon"):
        Ledger().wait("the moon", lambda: False, wait_s=0.01)
