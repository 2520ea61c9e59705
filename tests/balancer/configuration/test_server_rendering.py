"""Tests of writing `server` lines."""

from __future__ import annotations

import pytest
from support.configuration_lines import SERVER
from support.configuration_text import server

from rabbitry.balancer.configuration.server_rendering import server_words


@pytest.mark.parametrize("words", ["", *SERVER])
def test_what_is_written_means_the_same(words: str) -> None:
    line = server(f"127.0.0.1:3 {words}")
    told = list(server_words(line, with_id=False))
    assert told[:3] == ["server", "t", "127.0.0.1:3"]
    assert server(" ".join(told[2:])) == line


def test_how_haproxy_is_to_look_a_name_up_is_written_too() -> None:
    words = "init-addr libc,none resolvers docker resolve-prefer ipv6"
    line = server(f"127.0.0.1:3 init-addr last resolvers x {words}")
    assert list(server_words(line, with_id=False))[3:] == words.split()
    assert line == server("127.0.0.1:3")  # a reload need not make another server of it


def test_a_bare_server_has_three_words() -> None:
    assert list(server_words(server("127.0.0.1:3"), with_id=False)) == [
        *("server", "t", "127.0.0.1:3")
    ]


def test_ids_are_written_if_asked() -> None:
    assert list(server_words(server("127.0.0.1:3 id 9"), with_id=True))[3:] == ["id", "9"]
