"""Tests of the state of a runtime link: lines, words, levels."""

from __future__ import annotations

import pytest

from rabbitry.balancer.commands.terminal import LINE_BYTES_MAX, Terminal, commands_of


def test_lines_come_cut_anywhere() -> None:
    terminal = Terminal("admin", 1)
    assert terminal.take_bytes(b"show ver") == []
    assert terminal.take_bytes(b"sion\r\nshow info\nsho") == ["show version", "show info"]
    assert terminal.take_bytes(b"w\n") == ["show"]
    assert terminal.take_bytes(b"\xff\n") == ["\ufffd"]


def test_a_line_without_end_is_cut_off() -> None:
    terminal = Terminal("admin", 1)
    assert terminal.take_bytes(b"x" * LINE_BYTES_MAX) == []
    assert terminal.take_bytes(b"x") is None
    assert Terminal("admin", 1).take_bytes(b"x" * (LINE_BYTES_MAX + 1) + b"\n") is None


@pytest.mark.parametrize(
    ("line", "commands"),
    [
        ("show  version ", [["show", "version"]]),
        ("show\tversion", [["show", "version"]]),
        ("a b;c", [["a", "b"], ["c"]]),
        ("a;;", [["a"], [], []]),
        ("", [[]]),
        (r"a\;b c\ d e\\f", [["a;b", "c d", r"e\f"]]),
        ("a\\", [["a"]]),
    ],
)
def test_commands_and_words(line: str, commands: list[list[str]]) -> None:
    assert commands_of(line) == commands


def test_levels() -> None:
    terminal = Terminal("operator", 1)
    assert terminal.may("user")
    assert terminal.may("operator")
    assert not terminal.may("admin")


def test_answers_end_with_an_empty_line_or_the_prompt() -> None:
    terminal = Terminal("admin", 1)
    assert terminal.answer("a\n") == "a\n\n"
    terminal.prompt = True
    assert terminal.answer("a\n") == "a\n\n> "
