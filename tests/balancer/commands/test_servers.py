"""Tests of commands that steer servers. Answers as HAProxy 2.6.12 gave them on 2026-11-23."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.balancer_conversation import closes, opened, places, reports
from support.runtime_terminal import RuntimeTalk

from rabbitry.balancer.balancer import Balancer
from rabbitry.balancer.configuration.model import Balance, ServerTls
from rabbitry.balancer.configuration.reader import parse
from rabbitry.machine import Address, Started

TEXT = """
listen front
    bind 127.0.0.1:1
    timeout connect 1s
    server a 127.0.0.1:28011 check inter 1s
    server b 127.0.0.1:28012 weight 2
"""
USAGE = (
    "usage: set server <backend>/<server> addr | agent | agent-addr | agent-port | agent-send | "
    "check-addr | check-port | fqdn | health | ssl | state | weight\n\n"
)
NEEDS_TLS = "'set server <srv> ssl' cannot be set.  default-server should define ssl settings\n\n"


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        ("set server front", "Require 'backend/server'.\n\n"),
        ("set server", "Require 'backend/server'.\n\n"),
        ("set server front/a", USAGE),
        ("set server front/a foo", USAGE),
        ("set server x/a weight", "No such backend.\n\n"),
        ("set server front/zz weight", "No such server.\n\n"),
        ("set server front/a weight", "Require <weight> or <weight%>.\n\n"),
        ("set server front/a weight x", "Empty weight string empty or preceded by garbage\n"),
        (
            "set server front/a weight 300",
            "Absolute weight can only be between 0 and 256 inclusive.\n\n",
        ),
        (
            "set server front/a weight -1",
            "Absolute weight can only be between 0 and 256 inclusive.\n\n",
        ),
        ("set server front/a weight -1%", "Relative weight must be positive.\n\n"),
        ("set server front/a weight 5x", "Trailing garbage in weight string\n"),
        ("set server front/a weight 50%", "\n"),
        ("get weight front", "Require 'backend/server'.\n\n"),
        ("get weight front/zz", "No such server.\n\n"),
        (
            "set server front/a state",
            "'set server <srv> state' expects 'ready', 'drain' and 'maint'.\n\n",
        ),
        (
            "set server front/a health",
            "'set server <srv> health' expects 'up', 'stopping', or 'down'.\n\n",
        ),
        ("set server front/a agent up", "agent checks are not enabled on this server.\n\n"),
        (
            "set server front/a addr",
            "set server <b>/<s> addr requires an address and optionally a port.\n\n",
        ),
        ("set server front/a addr 1.2.3", "Invalid addr '1.2.3' by 'stats socket command'\n\n"),
        (
            "set server front/a addr 127.0.0.1 port 28011",
            "no need to change the addr, no need to change the port by 'stats socket command'\n\n",
        ),
        (
            "set server front/a addr 127.0.0.1 port +x",
            "no need to change the addr, problem converting port '+x' to an int "
            "by 'stats socket command'\n\n",
        ),
        ("set server front/a check-port", "set server <b>/<s> check-port requires a port.\n\n"),
        ("set server front/a check-port x", "provided port is not an integer\n"),
        ("set server front/a check-port 99999", "provided port is invalid\n"),
        ("set server front/b check-port 3", "health checks are not enabled on this server\n"),
        ("set server front/a check-addr foo", "invalid addr 'foo'\n"),
        ("set server front/a agent-addr 1", "agent checks are not enabled on this server\n"),
        ("set server front/a agent-send foo", "agent checks are not enabled on this server.\n\n"),
        ("set server front/a ssl on", NEEDS_TLS),
        ("set server front/a fqdn", "set server <b>/<s> fqdn requires a FQDN.\n\n"),
        (
            "set server front/a fqdn foo",
            "set server <b>/<s> fqdn failed because no resolution is configured.\n\n",
        ),
        ("set weight front/a", "Require <weight> or <weight%>.\n\n"),
        ("set maxconn server", "Require 'backend/server'.\n\n"),
        ("set maxconn server front/a", "Require <maxconn>.\n\n"),
        ("set maxconn server front/a x", "maxconn string empty or preceded by garbage\n"),
        ("set maxconn server front/a 5x", "Trailing garbage in maxconn string\n"),
        ("set maxconn server front/a 5", "\n"),
        ("enable server", "Require 'backend/server'.\n\n"),
        ("enable server front/a", "\n"),
        ("enable agent front/a", "Agent was not configured on this server, cannot enable.\n\n"),
        (
            "enable health front/b",
            "Health check was not configured on this server, cannot enable.\n\n",
        ),
    ],
)
def test_answers(line: str, answer: str) -> None:
    assert RuntimeTalk(TEXT).say(line) == answer


def test_maintenance_and_back() -> None:
    talk = RuntimeTalk(TEXT)
    assert talk.say("set server front/a state maint") == "\n"
    assert talk.row("a").status == "MAINT"
    assert [report.what for report in reports(talk.effects)] == ["server enters maintenance"]
    assert places(talk.client(1)) == [28012]
    assert talk.say("set server front/a state ready") == "\n"
    assert talk.row("a").status == "UP 1/3"
    talk.say("disable server front/a;enable server front/a")
    assert talk.row("a").status == "UP 1/3"


def test_drain_takes_nothing_new_and_ends_nothing() -> None:
    talk = RuntimeTalk(TEXT)
    (link,) = opened(talk.client(1))
    talk.connected(link)
    assert talk.row("b").scur == 1
    talk.say("set server front/b state drain")
    assert not closes(talk.effects)
    assert talk.row("b").status == "DRAIN"
    assert [places(talk.client(link)) for link in (2, 3)] == [[28011], [28011]]
    assert talk.row("b").scur == 1
    talk.say("set server front/b state ready")
    assert talk.row("b").status == "no check"


def test_health() -> None:
    talk = RuntimeTalk(TEXT)
    talk.say("set server front/a health down")
    assert talk.row("a").status == "DOWN"
    talk.say("set server front/a health stopping")
    assert talk.row("a").status == "NOLB"
    assert places(talk.client(1)) == [28012]
    talk.say("set server front/a health up")
    assert talk.row("a").status == "UP"
    talk.say("disable health front/a")
    assert talk.row("a").status == "no check"
    talk.say("enable health front/a")
    assert talk.row("a").status == "UP"


def test_weights() -> None:
    talk = RuntimeTalk(TEXT)
    talk.say("set server front/b weight 50%")
    assert talk.say("get weight front/b") == "1 (initial 2)\n\n"
    talk.say("set weight front/b 200")
    assert talk.say("get weight front/b") == "200 (initial 2)\n\n"
    talk.say("set server front/b weight 0")
    assert (talk.row("b").weight, talk.row("b").status) == (0, "no check")
    assert [places(talk.client(link)) for link in (1, 2)] == [[28011], [28011]]


def test_a_static_algorithm_takes_no_other_weight() -> None:
    talk = RuntimeTalk(TEXT)
    configuration = parse(TEXT, "test.cfg")
    front, back = configuration.proxies[0]
    assert back is not None
    static = replace(back, balance=Balance("static-rr"))
    talk.balancer = Balancer(replace(configuration, proxies=((front, static),)))
    talk.take(Started())
    assert talk.say("set server front/b weight 7") == (
        "Backend is using a static LB algorithm and only accepts weights '0%' and '100%'.\n\n"
    )
    assert talk.say("set server front/b weight 0") == "\n"


def test_another_address() -> None:
    talk = RuntimeTalk(TEXT)
    assert talk.say("set server front/b addr 127.0.0.9 port 28019") == (
        "IP changed from '127.0.0.1' to '127.0.0.9', port changed from '28012' to '28019' "
        "by 'stats socket command'\n\n"
    )
    talk.say("set server front/a state maint")
    assert places(talk.client(1)) == [28019]
    assert talk.row("b").addr == "127.0.0.9:28019"


def test_where_checks_go() -> None:
    talk = RuntimeTalk(TEXT)
    assert talk.say("set server front/a check-addr 127.0.0.7 port 99") == "\n"
    assert talk.say("set server front/a check-port 98") == "\n"
    assert "98 127.0.0.7 - 0" in talk.say("show servers state")


def test_maxconn() -> None:
    talk = RuntimeTalk(TEXT)
    talk.say("set maxconn server front/b 5")
    assert talk.row("b").slim == 5
    talk.say("set maxconn server front/b 0")
    assert talk.row("b").slim is None


def test_tls_on_and_off() -> None:
    talk = RuntimeTalk(TEXT)
    configuration = parse(TEXT, "test.cfg")
    front, back = configuration.proxies[0]
    assert back is not None
    tls = tuple(replace(line, tls=ServerTls("none")) for line in back.servers)
    talk.balancer = Balancer(replace(configuration, proxies=((front, replace(back, servers=tls)),)))
    talk.take(Started())
    updated = "server ssl setting updated.\n\n"
    assert talk.say("set server front/a ssl off") == updated
    assert talk.say("set server front/a ssl off") == updated
    assert " 28011 - 0 " in talk.say("show servers state")
    assert talk.say("set server front/a ssl on") == updated
    assert " 28011 - 1 " in talk.say("show servers state")
    assert talk.say("set server front/a ssl") == (
        "'set server <srv> ssl' expects 'on' or 'off'.\n\n"
    )


def test_addresses_of_unix_sockets_are_not_changed_by_hand() -> None:
    talk = RuntimeTalk(TEXT)
    backend = talk.balancer.proxies.backends[0]
    backend.servers[0].address = Address("/run/socket", 0)
    assert "only supported through configuration file" in talk.say(
        "set server front/a addr 127.0.0.1"
    )
    assert talk.row("a").addr == "unix"
