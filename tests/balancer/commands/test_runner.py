"""Tests of lines, levels and commands about the terminal. Answers as HAProxy 2.6.12 gave them."""

from __future__ import annotations

import pytest
from support.runtime_terminal import RuntimeTalk

TEXT = """
listen front
    bind 127.0.0.1:1
    server a 127.0.0.1:11
"""


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        ("show version", "0.1.0\n\n"),
        ("show version;show version", "0.1.0\n\n0.1.0\n\n"),
        (" show  version extra", "0.1.0\n\n"),
        ("show version;quit;show version", "0.1.0\n\n"),
        ("quit", ""),
        ("show cli level", "admin\n\n"),
        ("user;show cli level;set server front/a weight 1", "\nuser\n\nPermission denied\n\n"),
        ("operator;show cli level;user;operator", "\noperator\n\n\nPermission denied\n\n"),
        ("set timeout cli 20s", "\n"),
        ("set timeout cli", "Expects an integer value.\n\n"),
        ("set timeout foo 3", "'set timeout' only supports 'cli'.\n\n"),
        ("set timeout cli foo", "Invalid timeout value.\n\n"),
        (
            "set severity-output number;set server front/zz weight 3",
            "\n[3]: No such server.\n\n",
        ),
        (
            "set severity-output string;set server front/zz weight 3",
            "\n[err]: No such server.\n\n",
        ),
        (
            "set severity-output foo",
            "one of 'none', 'number', 'string' is a required argument\n\n",
        ),
    ],
)
def test_lines(line: str, answer: str) -> None:
    assert RuntimeTalk(TEXT).say(line) == answer


def test_prompt() -> None:
    talk = RuntimeTalk(TEXT)
    assert talk.say("prompt") == "\n> "
    assert talk.say("show version;show cli level") == "0.1.0\n\n> admin\n\n> "
    assert talk.say("prompt") == "\n"
    assert not talk.terminal.is_closing
    talk.say("quit")
    assert talk.terminal.is_closing


def test_the_timeout_is_the_terminals() -> None:
    talk = RuntimeTalk(TEXT)
    talk.say("set timeout cli 20")
    assert talk.terminal.timeout_us == 20_000_000


def test_a_user_may_look_and_nothing_else() -> None:
    talk = RuntimeTalk(TEXT, "user")
    assert "127.0.0.1:11" not in talk.say("show stat")
    for line in ("clear counters", "set server front/a state maint", "show errors"):
        assert talk.say(line) == "Permission denied\n\n"
    operator = RuntimeTalk(TEXT, "operator")
    assert "127.0.0.1:11" in operator.say("show stat")
    assert operator.say("clear counters") == "\n"
    assert operator.say("clear counters all") == "Permission denied\n\n"


@pytest.mark.parametrize("line", ["", ";", "\\", "\x00", "show stat " * 50, "set server /", "é ü"])
def test_nothing_that_is_written_raises(line: str) -> None:
    assert RuntimeTalk(TEXT).say(line).endswith("\n")
