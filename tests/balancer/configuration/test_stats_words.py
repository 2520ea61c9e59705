"""Tests of `stats` lines."""

from __future__ import annotations

import pytest
from support.configuration_text import mistakes, read

from rabbitry.balancer.configuration.model import StatisticsPage

HEAD = "listen l\nbind 127.0.0.1:1\nmode http\n"


def page(lines: str, before: str = "") -> StatisticsPage | None:
    return read(f"{before}\n{HEAD}{lines}\n").frontends[0].statistics


def test_all_words() -> None:
    lines = (
        "stats enable\nstats uri /s\nstats refresh 7\nstats auth u:p:w\nstats auth v:\n"
        "stats realm My\\ Rabbits\nstats admin if TRUE\nstats hide-version\nstats show-legends\n"
        "stats show-node n\nstats show-desc all of it\nstats scope .\nstats scope x\n"
    )
    assert page(lines) == StatisticsPage(
        "/s",
        7_000_000,
        (("u", "p:w"), ("v", "")),
        "My Rabbits",
        "always",
        True,
        True,
        "n",
        "all of it",
        (".", "x"),
    )


def test_defaults() -> None:
    assert page("stats enable") == StatisticsPage()
    assert page("stats refresh 0") == StatisticsPage()


def test_what_global_says_is_filled_in() -> None:
    before = "global\ndescription d e\nnode n"
    told = page("stats show-node\nstats show-desc", before)
    assert told == StatisticsPage(show_node="n", show_description="d e")
    assert page("stats show-node") == StatisticsPage(show_node="")


@pytest.mark.parametrize(
    ("condition", "admin"),
    [
        ("if TRUE", "always"),
        ("unless FALSE", "always"),
        ("if LOCALHOST", "localhost"),
        ("if FALSE", ""),
        ("unless LOCALHOST", None),
        ("if { src 10.0.0.0/8 }", None),
        ("", None),
        ("when TRUE", None),
    ],
)
def test_who_may_act(condition: str, admin: str | None) -> None:
    line = f"stats admin {condition}"
    if admin is None:
        assert mistakes(f"{HEAD}{line}\n")
    else:
        told = page(line)
        assert told is not None
        assert told.admin == admin


def test_a_section_that_says_something_begins_anew() -> None:
    before = "defaults\nstats uri /d\nstats auth u:p"
    assert page("", before) == StatisticsPage("/d", users=(("u", "p"),))
    assert page("stats enable", before) == StatisticsPage()


def test_the_first_password_of_a_user_counts() -> None:
    configuration = read(f"{HEAD}stats auth u:a\nstats auth u:b\n")
    told = configuration.frontends[0].statistics
    assert told is not None
    assert told.users == (("u", "a"),)
    (warning,) = configuration.warnings
    assert "'stats auth' has user u twice" in warning


@pytest.mark.parametrize(
    "line",
    [
        *("stats", "stats ur /s", "stats uri", "stats uri s", "stats refresh x", "stats auth u"),
        *("stats realm", "stats scope", "stats show-node a/b", "stats http-request auth"),
    ],
)
def test_mistakes(line: str) -> None:
    (told,) = mistakes(f"{HEAD}stats enable\n{line}\n")
    assert told.startswith("f.cfg:5: '")


def test_admin_is_not_for_defaults() -> None:
    assert "in 'defaults'" in mistakes(f"defaults\nstats admin if TRUE\n{HEAD}stats enable\n")[0]


def test_passwords_are_never_told() -> None:
    text = f"{HEAD}stats auth u:hunter2 x\nstats auth hunter2\n"
    assert "hunter2" not in "".join(mistakes(text))
