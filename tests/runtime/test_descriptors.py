"""How many clients a process can have, and the door that counts them."""

from __future__ import annotations

from support.configuration_text import read

from rabbitry.runtime.descriptors import (
    KEPT,
    Door,
    clients_affordable,
    descriptors_kept,
    lack_of_descriptors,
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


TWO_SERVERS = """
listen l
    bind 127.0.0.1:1,127.0.0.1:2
    server a 127.0.0.1:3
    server b 127.0.0.1:4
"""


def test_listeners_and_checks_have_their_own() -> None:
    assert descriptors_kept(read(TWO_SERVERS)) == 2 + 2 * 3


def test_a_maxconn_that_cannot_be_had_is_told() -> None:
    few = read("global\nmaxconn 72\n" + TWO_SERVERS)
    assert lack_of_descriptors(few, 200) == ""  # 200 - 48 - 8 are two for each of 72
    many = read("global\nmaxconn 20000\n" + TWO_SERVERS)
    assert lack_of_descriptors(many, 200) == (
        "maxconn 20000 needs about 40056 open files, 200 are allowed, which is enough for 72 "
        "clients: raise `ulimit -n` (LimitNOFILE= in a unit of systemd), or lower maxconn"
    )
    assert lack_of_descriptors(many, 40056) == ""
    assert lack_of_descriptors(many, 40055)
    shared = read("global\nmaxconn 20000\nnbthread 4\n" + TWO_SERVERS)
    assert "about 10056 open files a process, 200" in lack_of_descriptors(shared, 200)
    assert lack_of_descriptors(shared, 10056) == ""


def test_without_a_maxconn_the_limit_is_what_there_is() -> None:
    assert lack_of_descriptors(read(TWO_SERVERS), 200) == ""


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
