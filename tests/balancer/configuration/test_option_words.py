"""Tests of `option` lines."""

from __future__ import annotations

import pytest
from support.configuration_text import LISTEN, back, front, mistake, mistakes, read, warnings

from rabbitry.balancer.configuration.model import AmqpCheck, Keepalive

FRONTS = ("dontlognull", "dontlog-normal", "logasap", "log-separate-errors", "socket-stats")
BACKS = ("log-health-checks", "abortonclose")
BOTH = ("independent-streams", "nolinger")


@pytest.mark.parametrize("name", [*FRONTS, *BOTH])
def test_switches_of_frontends(name: str) -> None:
    field = name.replace("-", "_")
    assert getattr(front(f"option {name}"), field) is True
    assert getattr(front(f"option {name}\nno option {name}"), field) is False


@pytest.mark.parametrize("name", [*BACKS, *BOTH])
def test_switches_of_backends(name: str) -> None:
    field = name.replace("-", "_")
    assert getattr(back(f"option {name}"), field) is True
    assert getattr(back(f"option {name}\nno option {name}"), field) is False


def test_redispatch() -> None:
    assert back("option redispatch").redispatch == -1
    assert back("option redispatch 2").redispatch == 2
    assert back("option redispatch 0").redispatch is None
    assert back("option redispatch\nno option redispatch").redispatch is None


def test_all_backups() -> None:
    assert back("option allbackups").all_backups


def test_keepalive() -> None:
    lines = "clitcpka-idle 10s\nclitcpka-intvl 5\nclitcpka-cnt 3\nsrvtcpka-idle 1m\n"
    assert front(lines).keepalive is None
    assert front(lines + "option clitcpka").keepalive == Keepalive(10, 5, 3)
    assert back(lines + "option clitcpka").keepalive is None
    assert back(lines + "option srvtcpka").keepalive == Keepalive(60)
    assert front(lines + "option tcpka").keepalive == Keepalive(10, 5, 3)
    assert back("option tcpka\nno option srvtcpka").keepalive is None


def test_logs() -> None:
    assert front("option tcplog").tcplog
    assert front("option httplog").tcplog
    assert not front("option httplog").http_lines
    assert warnings("option httplog clf") == ["option httplog"]  # in mode tcp
    page = "frontend page\nbind :9\nmode http\nstats enable\n"
    for option, lines in (("httplog", "http"), ("httplog clf", "clf"), ("tcplog", "")):
        told = read(f"{page}option httplog\noption {option}\n").frontends[0]
        assert (told.tcplog, told.http_lines) == (True, lines)


def test_checks() -> None:
    assert back("").check == "connect"
    assert back("option tcp-check").check == "tcp-check"
    told = back("option amqp-check")
    assert (told.check, told.amqp_check) == ("amqp", AmqpCheck())
    told = back("option amqp-check user u password p vhost v")
    assert told.amqp_check == AmqpCheck("u", "p", "v")
    told = back("option amqp-check user u no-disk password p")
    assert told.amqp_check == AmqpCheck("u", "p", asks_disk=False)
    assert back("option amqp-check\noption tcp-check").amqp_check is None


def test_the_other_side_is_ignored_with_a_warning() -> None:
    text = LISTEN + "backend b\nserver s 127.0.0.1:2\n" + "timeout connect 1\ntimeout server 1\n"
    assert read(text + "option dontlognull\n").warnings == (
        "f.cfg:11: 'option dontlognull' is ignored: it is not of a 'backend'",
    )
    text = LISTEN + "frontend f\nbind 127.0.0.1:3\ntimeout client 1\ndefault_backend l\n"
    for option in ("redispatch", "tcp-check", "amqp-check", "allbackups", "srvtcpka"):
        (warning,) = read(text + f"option {option}\n").warnings
        assert f"'option {option}' is ignored" in warning


def test_what_tunes_or_is_http_is_ignored_with_a_warning() -> None:
    for option in ("socket-stats", "log-separate-errors"):
        assert warnings(f"option {option}") == []
    for option in (
        "splice-auto",
        "tcp-smart-connect",
        "forwardfor except 127.0.0.0/8",
        "httpclose",
    ):
        assert warnings(f"option {option}") == [f"option {option.split()[0]}"]
    assert warnings("no option splice-auto") == []


@pytest.mark.parametrize(
    ("line", "advice"),
    [
        ("option", "needs a name"),
        ("option redispach", "did you mean 'redispatch'"),
        ("option redispatch x", "from -1000"),
        ("option tcplog x", "too many"),
        ("option dontlognull x", "too many"),
        ("option httpchk GET /", "amqp-check"),
        ("option forceclose", "HAProxy, too"),
        ("no option tcplog", "cannot be taken back"),
        ("no option tcp-check", "cannot be taken back"),
        ("option tcp-check x", "for each step"),
        ("option amqp-check user", "needs a value"),
        ("option transparent", "server"),
    ],
)
def test_mistakes(line: str, advice: str) -> None:
    assert advice in mistake(line)


def test_passwords_are_never_told() -> None:
    (told,) = mistakes(LISTEN + "option amqp-check pasword hunter2\n")
    assert "hunter2" not in told
    (told,) = mistakes(LISTEN + "option amqp-check user my hunter2\n")
    assert "hunter2" not in told
