"""How many clients a process can have, and the door that counts them."""

from __future__ import annotations

from rabbitry.runtime.descriptors import (
    KEPT,
    Door,
    clients_affordable,
    open_files_limit,
    pipes_affordable,
)


def test_a_client_costs_two_descriptors_beside_what_is_kept() -> None:
    assert clients_affordable(20_000, 0) == (20_000 - KEPT) // 2
    assert clients_affordable(KEPT + 10 + 7, 7) == 5
    assert clients_affordable(10, 7) == 1


def test_pipes_are_a_small_part() -> None:
    assert pipes_affordable(200, 64) == 3
    assert pipes_affordable(20_000, 64) == 64


def test_the_limit_is_that_of_this_process() -> None:
    assert open_files_limit() > 3


def test_the_door_is_shut_exactly_while_it_is_full() -> None:
    heard: list[object] = []
    door = Door(2, heard.append, lambda: heard.append("told"))
    door.came()
    assert heard == []
    door.came()
    assert heard == [True, "told"]
    door.came()  # accepted in the same turn, before that took effect
    door.left()
    assert heard == [True, "told"]
    door.left()
    assert heard == [True, "told", False]
    door.left()
    assert heard == [True, "told", False]
