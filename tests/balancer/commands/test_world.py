"""Tests of finding proxies and servers, and of C's way to read numbers."""

from __future__ import annotations

import pytest
from support.runtime_terminal import RuntimeTalk

from rabbitry.balancer.commands.terminal import Terminal
from rabbitry.balancer.commands.world import Said, is_number, leading_number

TEXT = """
global
    stats socket /run/s
listen front
    bind 127.0.0.1:1
    server a 127.0.0.1:11
"""


def test_numbers_are_read_as_c_reads_them() -> None:
    texts = ("12", "-3x", "x", "", "+4", "-", "\u0663", "9" * 40)
    assert [leading_number(text) for text in texts] == [12, -3, 0, 0, 4, 0, 0, int("9" * 18)]
    assert [is_number(text) for text in texts] == [
        True,
        True,
        False,
        False,
        True,
        False,
        False,
        True,
    ]


def test_messages_say_their_severity_to_who_wants_it() -> None:
    terminal = Terminal("admin", 1)
    said = Said("no\n")
    assert said.shown_to(terminal) == "no\n"
    terminal.severity = "number"
    assert said.shown_to(terminal) == "[3]: no\n"
    terminal.severity = "string"
    assert Said("changed\n", "warning").shown_to(terminal) == "[warning]: changed\n"


def test_finding() -> None:
    world = RuntimeTalk(TEXT).balancer._world
    assert world.server("front/a")[1].name == "a"
    assert world.server("#2/a")[1].name == "a"
    assert world.frontend("front").section.name == "front"
    assert world.proxy_number("front") == world.proxy_number("2") == 2
    assert world.proxy_number("-1") is None
    for find, name, said in (
        (world.server, "front", "Require 'backend/server'.\n"),
        (world.server, "x/a", "No such backend.\n"),
        (world.server, "front/x", "No such server.\n"),
        (world.frontend, "", "A frontend name is expected.\n"),
        (world.frontend, "x", "No such frontend.\n"),
        (world.proxy_number, "x", "No such proxy.\n"),
    ):
        with pytest.raises(Said) as caught:
            find(name)
        assert caught.value.text == said
