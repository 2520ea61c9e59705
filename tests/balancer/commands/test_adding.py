"""Tests of servers that come and go. Answers as HAProxy 2.6.12 gave them on 2026-11-23."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.balancer_conversation import opened, places
from support.runtime_terminal import RuntimeTalk

from rabbitry.balancer.balancer import Balancer
from rabbitry.balancer.configuration.model import Balance
from rabbitry.balancer.configuration.reader import parse
from rabbitry.machine import Started

TEXT = """
listen front
    bind 127.0.0.1:1
    timeout connect 1s
    server a 127.0.0.1:28011
"""
NEW = "add server front/new 127.0.0.1:28019"


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        ("add server", "Require 'backend/server'.\n"),
        ("add server front", "Require 'backend/server'.\n"),
        ("add server zz/a", "No such backend.\n"),
        (
            "add server front/a 127.0.0.1:9",
            "Already exists a server with the same name in backend.\n\n",
        ),
        ("add server front/new", "'server' expects <name> and <addr>[:<port>] as arguments.\n\n"),
        (
            "add server front/new 127.0.0.1:9 cookie x",
            "'cookie' option is not accepted for dynamic server\n\n",
        ),
        (NEW, "New server registered.\n\n"),
        ("del server", "Require 'backend/server'.\n"),
        ("del server zz/a", "No such backend.\n"),
        ("del server front/zz", "No such server.\n"),
        ("del server front/a", "Only servers in maintenance mode can be deleted.\n"),
    ],
)
def test_answers(line: str, answer: str) -> None:
    assert RuntimeTalk(TEXT).say(line) == answer


@pytest.mark.parametrize("words", ["127.0.0.1:9 foo", "127.0.0.1:x", "127.0.0.1:9 weight 999"])
def test_a_mistake_changes_nothing(words: str) -> None:
    talk = RuntimeTalk(TEXT)
    answer = talk.say(f"add server front/new {words}")
    assert words.split()[-1] in answer
    assert "\n\n" in answer
    assert "Traceback" not in answer
    assert "new" not in talk.say("show servers state")


def test_a_new_server_is_away_until_it_is_enabled() -> None:
    talk = RuntimeTalk(TEXT)
    talk.say(f"{NEW} weight 256 check inter 1s")
    row = talk.row("new")
    assert (row.status, row.sid, row.uweight) == ("MAINT", 2, 256)
    assert " 2 new 127.0.0.1 0 1 256 256 0 " in talk.say("show servers state")
    assert {port for link in (1, 2, 3) for port in places(talk.client(link))} == {28011}
    talk.say("enable server front/new")
    assert talk.row("new").status == "no check"
    assert 28019 in {port for link in (4, 5, 6) for port in places(talk.client(link))}


def test_its_checks_are_switched_on_by_hand() -> None:
    talk = RuntimeTalk(TEXT)
    talk.say(f"{NEW} check inter 1s;enable server front/new")
    assert not opened(talk.pass_time(5_000_000))
    talk.say("enable health front/new")
    checks = talk.pass_time(5_000_000)
    assert 28019 in places(checks)


def test_it_can_follow_another() -> None:
    talk = RuntimeTalk(TEXT)
    assert talk.say(f"{NEW} track front/a") == "New server registered.\n\n"
    assert talk.row("new").tracked == "front/a"
    talk.say("disable server front/a")
    assert talk.say("del server front/a") == (
        "This server cannot be removed at runtime due to other configuration elements "
        "pointing to it.\n"
    )
    assert talk.say("add server front/more 127.0.0.1:9 track front/zz") == (
        "unable to find required server 'front/zz' for tracking\n\n"
    )


def test_a_server_goes_when_it_has_no_session() -> None:
    talk = RuntimeTalk(TEXT)
    (link,) = opened(talk.client(1))
    talk.connected(link)
    talk.say("disable server front/a")
    still = "Server still has connections attached to it, cannot remove it.\n"
    assert talk.say("del server front/a") == still
    talk.closed(1)
    talk.closed(link)
    assert talk.say("del server front/a") == "Server deleted.\n"
    assert talk.say("get weight front/a") == "No such server.\n\n"
    assert not opened(talk.client(2))
    talk.say("add server front/a 127.0.0.1:28012;enable server front/a")
    assert places(talk.client(3)) == [28012]


def test_a_static_algorithm_takes_nobody() -> None:
    talk = RuntimeTalk(TEXT)
    configuration = parse(TEXT, "test.cfg")
    front, back = configuration.proxies[0]
    assert back is not None
    static = replace(back, balance=Balance("static-rr"))
    talk.balancer = Balancer(replace(configuration, proxies=((front, static),)))
    talk.take(Started())
    assert talk.say(NEW) == (
        "Backend must use a dynamic load balancing to support dynamic servers.\n"
    )
