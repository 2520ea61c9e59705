"""Tests of commands about sessions."""

from __future__ import annotations

from datetime import datetime

import pytest
from support.balancer_conversation import opened, reports
from support.runtime_terminal import FACTS, RuntimeTalk

from rabbitry.balancer.balancer import Reload, RuntimeLine
from rabbitry.balancer.commands.sessions import human_time
from rabbitry.balancer.configuration.reader import parse
from rabbitry.machine import Answer, Asked, CloseLink, FinishLink

TEXT = """
listen front
    bind 127.0.0.1:1
    option tcplog
    timeout connect 1s
    timeout client 1h
    timeout server 1h
    server a 127.0.0.1:28011
"""


def talk_of(count: int) -> RuntimeTalk:
    talk = RuntimeTalk(TEXT)
    for link in range(1, count + 1):
        (server,) = opened(talk.client(link))
        talk.connected(server)
    return talk


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        ("show sess 0x12", "Session not found.\n\n"),
        ("shutdown session", "Session pointer expected (use 'show sess').\n\n"),
        ("shutdown session foo", "Session pointer expected (use 'show sess').\n\n"),
        ("shutdown session 0x123", "No such session (use 'show sess').\n\n"),
        ("shutdown sessions server", "Require 'backend/server'.\n\n"),
        ("shutdown sessions server front/a", "\n"),
    ],
)
def test_answers(line: str, answer: str) -> None:
    assert RuntimeTalk(TEXT).say(line) == answer


def test_show_sess_has_a_line_each() -> None:
    talk = talk_of(2)
    talk.now += 2_000_000
    first, second = talk.say("show sess").splitlines()[:2]
    assert first == (
        "0x1: proto=tcpv4 src=10.0.0.1:40000 fe=front be=front srv=a ts=00 epoch=0 age=2s "
        "calls=0 rate=0 cpu=0 lat=0 rq[f=000000h,i=0,an=00h,rx=,wx=,ax=] "
        "rp[f=000000h,i=0,an=00h,rx=,wx=,ax=] scf=[8,0h,fd=-1] scb=[8,0h,fd=-1] "
        "exp=59m58s rc=0 c_exp="
    )
    assert second.startswith("0x2: proto=tcpv4 ")
    assert talk.say("show sess foo") == talk.say("show sess")


def test_show_sess_in_full() -> None:
    talk = talk_of(2)
    talk.now += 1_500_000
    text = talk.say("show sess 0x1")
    for part in (
        "0x1: [?] id=1 proto=tcpv4 source=10.0.0.1:40000",
        "frontend=front (id=1 mode=tcp), listener=? (id=1)",
        "backend=front (id=1 mode=tcp)",
        "server=a (id=1) addr=127.0.0.1:28011",
        "state=relaying age=1s",
        "req=(total=0)",
    ):
        assert part in text
    assert text.rstrip("\n") in talk.say("show sess all")
    assert talk.say("show sess all").count("id=1 proto") == 1


def test_the_date_is_that_of_its_beginning() -> None:
    talk = talk_of(1)
    talk.now += 61_000_000
    facts = type(FACTS)(now=datetime(2026, 11, 23, 4, 0, 30, 5))
    effects = talk.take(Asked(8, RuntimeLine(talk.terminal, "show sess 0x1", facts)))
    (answer,) = (each for each in effects if isinstance(each, Answer))
    assert answer.answer.startswith("0x1: [23/Nov/2026:03:59:29.000005] id=1 ")


def test_shutdown_session_ends_one() -> None:
    talk = talk_of(2)
    assert talk.say("shutdown session 0x1") == "\n"
    ended = {each.link for each in talk.effects if isinstance(each, (CloseLink, FinishLink))}
    assert ended == {1, -1}
    talk.closed(1)
    talk.closed(-1)
    assert "0x1:" not in talk.say("show sess")
    assert "0x2:" in talk.say("show sess")


def test_shutdown_sessions_of_a_server_ends_all() -> None:
    talk = talk_of(2)
    talk.say("shutdown sessions server front/a")
    effects = talk.effects
    for link in (1, -1, 2, -2):
        effects += talk.closed(link)
    states = [each.details["state"] for each in reports(effects) if "state" in each.details]
    assert [state[0] for state in states] == ["K", "K"]
    assert talk.say("show sess") == "\n"


def fields(talk: RuntimeTalk) -> dict[str, str]:
    lines = talk.say("show info").strip().splitlines()
    return dict(line.split(": ", 1) for line in lines if ": " in line)


def after_a_reload(text: str) -> RuntimeTalk:
    """Two sessions at server `a`, and a file that has it no more."""
    talk = talk_of(2)
    for link in (1, -1):
        talk.bytes(link, b"hello")
    assert isinstance(talk.take(Asked(5, Reload(parse(text, "test.cfg"))))[-1], Answer)
    return talk


OTHERS = (TEXT.replace("listen front", "listen other"), TEXT.replace("server a", "server b"))


@pytest.mark.parametrize("text", OTHERS)
def test_sessions_of_what_a_reload_took_away_are_there(text: str) -> None:
    talk = after_a_reload(text)
    lines = talk.say("show sess").strip().splitlines()
    assert ["fe=front be=front srv=a " in line for line in lines] == [True, True]
    assert fields(talk)["CurrConns"] == "2"
    talk.say("shutdown session 0x1")
    talk.closed(1)
    talk.closed(-1)
    assert fields(talk)["CurrConns"] == "1"
    assert talk.say("shutdown sessions server front/a") == "\n"
    talk.closed(2)
    talk.closed(-2)
    assert fields(talk)["CurrConns"] == "0"
    assert talk.say("shutdown sessions server front/a").startswith("No such ")


@pytest.mark.parametrize("text", OTHERS)
def test_what_is_told_of_the_process_never_becomes_less(text: str) -> None:
    talk = after_a_reload(text)
    told = fields(talk)
    assert (told["CumReq"], told["TotalBytesOut"]) == ("2", "5")
    for link in (1, -1, 2, -2):
        talk.closed(link)
    for again in (TEXT, text, text):
        talk.take(Asked(6, Reload(parse(again, "test.cfg"))))
        talk.say("clear counters all")
        told = fields(talk)
        assert (told["CumReq"], told["TotalBytesOut"]) == ("2", "5")


@pytest.mark.parametrize(
    ("time_ms", "text"),
    [
        (0, "0s"),
        (250, "250ms"),
        (10_000, "10s"),
        (59 * 60_000 + 58_000, "59m58s"),
        (3_600_000, "1h"),
        (90_061_000, "1d1h"),
        (1_500, "1s500ms"),
    ],
)
def test_human_time(time_ms: int, text: str) -> None:
    assert human_time(time_ms) == text
