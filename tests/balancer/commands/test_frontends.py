"""Tests of commands that steer frontends. Answers as HAProxy 2.6.12 gave them on 2026-11-23."""

from __future__ import annotations

import pytest
from support.balancer_conversation import opened, reports
from support.runtime_terminal import RuntimeTalk

from rabbitry.balancer.log_lines import line_of
from rabbitry.machine import CloseLink, PauseListening, ResumeListening, StopListening

TEXT = """
global
    maxconn 500
listen front
    bind 127.0.0.1:1
    bind 127.0.0.1:3
    timeout connect 1s
    server a 127.0.0.1:28011
"""
RATES = (
    "'set rate-limit' only supports :\n"
    "   - 'connections global' to set the per-process maximum connection rate\n"
    "   - 'sessions global' to set the per-process maximum session rate\n"
    "   - 'ssl-sessions global' to set the per-process maximum SSL session rate\n"
    "   - 'http-compression global' to set the per-process maximum compression speed in kB/s\n\n"
)


def said(talk: RuntimeTalk) -> list[str]:
    return [line_of(report) for report in reports(talk.effects)]


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        ("enable frontend", "A frontend name is expected.\n\n"),
        ("enable frontend zz", "No such frontend.\n\n"),
        ("enable frontend front", "All sockets are already enabled.\n\n"),
        ("shutdown frontend", "A frontend name is expected.\n\n"),
        ("shutdown frontend zz", "No such frontend.\n\n"),
        ("set maxconn frontend", "A frontend name is expected.\n\n"),
        ("set maxconn frontend zz", "No such frontend.\n\n"),
        ("set maxconn frontend front", "Integer value expected.\n\n"),
        ("set maxconn frontend front -3", "Value out of range.\n\n"),
        ("set maxconn frontend front x", "\n"),
        ("set maxconn global", "Expects an integer value.\n\n"),
        ("set maxconn global 100000", "Value out of range.\n\n"),
        ("set maxconn global 0", "\n"),
        ("set rate-limit", RATES),
        ("set rate-limit foo global 0", RATES),
        ("set rate-limit connections global", "Expects an integer value.\n\n"),
        ("set rate-limit connections global -1", "Value out of range.\n\n"),
        ("set rate-limit connections global 0", "\n"),
    ],
)
def test_answers(line: str, answer: str) -> None:
    assert RuntimeTalk(TEXT).say(line) == answer


def test_a_disabled_frontend_refuses_everybody_until_it_is_enabled() -> None:
    talk = RuntimeTalk(TEXT)
    assert talk.say("disable frontend front") == "\n"
    assert said(talk) == ["Paused proxy front."]
    assert talk.effects[1:] == [PauseListening("front", True), PauseListening("front/2", True)]
    assert talk.row("FRONTEND").status == "PAUSED"
    assert talk.say("disable frontend front") == "All sockets are already disabled.\n\n"
    # It was accepted before the pause took effect.
    assert talk.client(1) == [CloseLink(1, abort=True)]
    assert talk.say("enable frontend front") == "\n"
    assert not opened(talk.effects)
    assert ResumeListening("front") in talk.effects
    assert said(talk) == ["Resumed proxy front."]
    assert opened(talk.client(2))


def test_who_waits_at_a_frontend_is_refused_when_it_is_disabled() -> None:
    talk = RuntimeTalk(TEXT + "    maxconn 1\n    bind /tmp/front\n")
    (link,) = opened(talk.client(1))
    talk.connected(link)
    talk.client(2)
    talk.client(3, "front/3")
    assert talk.say("disable frontend front") == "\n"
    assert [each for each in talk.effects if isinstance(each, CloseLink)] == [CloseLink(2, True)]
    assert talk.effects[-3:] == [
        PauseListening("front", True),
        PauseListening("front/2", True),
        PauseListening("front/3", True),
    ]
    talk.say("enable frontend front")
    assert talk.effects[-3:] == [  # it is full
        PauseListening("front"),
        PauseListening("front/2"),
        PauseListening("front/3"),
    ]
    # A Unix socket cannot refuse: its client has waited.
    assert opened(talk.closed(1) + talk.closed(link))


def test_pages_are_steered_too() -> None:
    talk = RuntimeTalk(
        TEXT + "frontend page\n    bind 127.0.0.1:9\n    mode http\n    stats enable\n"
    )
    talk.say("disable frontend page")
    assert talk.effects[1:] == [PauseListening("page", True)]
    talk.say("enable frontend page")
    assert talk.effects[1:] == [ResumeListening("page")]
    talk.say("shutdown frontend page")
    assert talk.effects[0] == StopListening("page")


def test_a_section_that_the_file_disables_stays_so() -> None:
    talk = RuntimeTalk(TEXT + "listen off\n    bind 127.0.0.1:9\n    disabled\n")
    for command, answer in (
        ("enable", "Frontend was previously shut down, cannot enable.\n\n"),
        ("disable", "Frontend was previously shut down, cannot disable.\n\n"),
        ("shutdown", "Frontend was already shut down.\n\n"),
    ):
        assert talk.say(f"{command} frontend off") == answer


def test_a_frontend_that_is_shut_down_frees_its_ports_and_keeps_its_sessions() -> None:
    talk = RuntimeTalk(TEXT)
    (link,) = opened(talk.client(1))
    talk.connected(link)
    assert talk.say("shutdown frontend front") == "\n"
    assert talk.effects[:2] == [StopListening("front"), StopListening("front/2")]
    assert said(talk) == ["Proxy front stopped (cumulated conns: FE: 1, BE: 1)."]
    assert opened(talk.client(2))  # was accepted before
    assert (talk.row("FRONTEND").status, talk.row("FRONTEND").scur) == ("STOP", 2)
    assert talk.say("shutdown frontend front") == "Frontend was already shut down.\n\n"
    assert talk.say("enable frontend front") == (
        "Frontend was previously shut down, cannot enable.\n\n"
    )
    assert talk.say("disable frontend front") == (
        "Frontend was previously shut down, cannot disable.\n\n"
    )


def test_limits_hold_from_now_on() -> None:
    talk = RuntimeTalk(TEXT)
    talk.say("set maxconn frontend front 1")
    assert talk.row("FRONTEND").slim == 1
    assert opened(talk.client(1))
    assert not opened(talk.client(2))
    talk.say("set maxconn frontend front 2")
    assert len(opened(talk.effects)) == 1
    talk.say("set maxconn global 2")
    assert not opened(talk.client(3))
    talk.say("set maxconn frontend front 9;set maxconn global 0")
    assert len(opened(talk.effects)) == 1
    assert "Maxconn: 500" in talk.say("show info").splitlines()


def test_rates() -> None:
    talk = RuntimeTalk(TEXT)
    talk.say("set rate-limit sessions global 1")
    (first,) = opened(talk.client(1))
    talk.connected(first)
    assert not opened(talk.client(2))
    second, *_ = opened(talk.pass_time(2_500_000))
    talk.connected(second)
    info = talk.say("show info").splitlines()
    assert "SessRateLimit: 1" in info
    talk.say("set rate-limit connections global 7")
    assert "ConnRateLimit: 7" in talk.say("show info").splitlines()
