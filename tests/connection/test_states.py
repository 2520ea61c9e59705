"""The tables are whole, their states can be reached, and the two roles fit each other."""

from __future__ import annotations

from typing import get_args

import pytest

from rabbitry.connection.states import RECEIVED, SENT, Role, State
from rabbitry.wire.methods import METHODS

STATES: tuple[State, ...] = get_args(State)
ROLES: tuple[Role, ...] = get_args(Role)
NAMES = {method.name for method in METHODS.values() if method.class_id == 10}


@pytest.mark.parametrize("role", ROLES)
def test_every_state_has_its_row_and_every_word_is_known(role: Role) -> None:
    for table in (RECEIVED, SENT):
        assert set(table[role]) == set(STATES)
        for row in table[role].values():
            assert set(row) <= NAMES
            assert set(row.values()) <= set(STATES)


@pytest.mark.parametrize("role", ROLES)
def test_every_state_can_be_reached_and_none_but_closed_is_a_trap(role: Role) -> None:
    def following(state: State) -> set[State]:
        return {*RECEIVED[role][state].values(), *SENT[role][state].values()}

    reached: set[State] = {"header"}
    for _ in STATES:
        reached |= {after for state in reached for after in following(state)}
    unused = {"securing"} if role == "client" else set()
    assert reached == set(STATES) - unused
    for state in reached - {"closed"}:
        assert following(state) - {state}, f"{state} leads nowhere"
    assert following("closed") <= {"closed"}


@pytest.mark.parametrize("role", ROLES)
def test_a_side_that_closes_waits_for_close_ok_and_answers_a_crossing_close(role: Role) -> None:
    assert SENT[role]["open"]["connection.close"] == "closing"
    assert RECEIVED[role]["closing"] == {
        "connection.close": "closing",
        "connection.close-ok": "closed",
    }
    assert SENT[role]["closing"] == {"connection.close-ok": "closing"}


def test_each_side_takes_only_what_the_other_sends() -> None:
    def words(table: dict[State, dict[str, State]]) -> set[str]:
        return {name for row in table.values() for name in row}

    assert words(RECEIVED["server"]) == words(SENT["client"])
    # We offer no mechanism that needs it, but may as well be taken for a server that does.
    assert words(RECEIVED["client"]) == words(SENT["server"])
