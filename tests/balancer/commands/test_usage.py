"""Tests of what is said to a line that is no command, as HAProxy says it of the same commands."""

from __future__ import annotations

from rabbitry.balancer.commands.runner import COMMANDS
from rabbitry.balancer.commands.usage import find, usage

END = ["help", "prompt", "quit"]


def listed(line: str) -> tuple[str, list[str]]:
    head, *lines = usage(COMMANDS, line.split()).splitlines()
    return head, [line.split(" :")[0].split("  ")[1] for line in lines]


def test_find_takes_the_whole_keyword() -> None:
    found = find(COMMANDS, ["show", "servers", "state", "b"])
    assert found is not None
    assert found.keywords == "show servers state"
    assert find(COMMANDS, ["show", "servers"]) is None
    assert find(COMMANDS, ["sho"]) is None


def test_nothing_lists_everything() -> None:
    head, lines = listed("")
    assert head == "Unknown command. Please enter one of the following commands only:"
    assert len(lines) == len(COMMANDS) + len(END)
    assert lines[:-3] == sorted(lines[:-3])


def test_help() -> None:
    head, lines = listed("help")
    assert head == "The following commands are valid at this level:"
    assert len(lines) == len(COMMANDS) + len(END)
    assert listed("help set server")[1][0] == "set server <bk>/<srv> [opts]"
    assert len(listed("help set server")[1]) == 1 + len(END)


def test_a_beginning_lists_how_it_may_go_on() -> None:
    head, lines = listed("show servers")
    assert head.startswith("Unknown command, but maybe one of the following ones")
    assert [line.split(" [")[0] for line in lines[:-3]] == [
        "show servers conn",
        "show servers state",
    ]


def test_a_misspelt_word_lists_what_is_like_it() -> None:
    # HAProxy 2.6.12 says to `sho`: show env, fd, info, sess, stat; of these we have info and stat.
    _, lines = listed("sho")
    assert "show info" in [line.split(" [")[0] for line in lines]
    _, lines = listed("show foo")
    assert len(lines) - len(END) <= 5
    assert any(line.startswith("show info") for line in lines)
    _, lines = listed("set serve")
    assert lines[0] == "set server <bk>/<srv> [opts]"
