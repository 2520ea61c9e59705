"""Tests of the keywords of proxies."""

from __future__ import annotations

import pytest
from support.configuration_text import LISTEN, back, front, mistake, mistakes, read, small, warnings

from rabbitry.balancer.configuration.model import Balance
from rabbitry.machine import Address


def test_numbers_of_a_frontend() -> None:
    told = front("maxconn 5\nbacklog 6\nrate-limit sessions 7")
    assert (told.maxconn, told.backlog, told.sessions_per_s) == (5, 6, 7)
    told = front("backlog 0\nrate-limit sessions 0")
    assert (told.backlog, told.sessions_per_s) == (None, None)


def test_numbers_of_a_backend() -> None:
    told = back("retries 5\nfullconn 6")
    assert (told.retries, told.fullconn) == (5, 6)


def test_modes() -> None:
    assert (front("mode amqp").mode, back("mode amqp").mode) == ("amqp", "amqp")
    assert "not a mode" in mistake("mode health")


@pytest.mark.parametrize(
    ("lines", "balance"),
    [
        ("balance", Balance()),
        ("balance leastconn", Balance("leastconn")),
        ("balance static-rr", Balance("static-rr")),
        ("balance first", Balance("first")),
        ("balance source", Balance("source")),
        ("balance random", Balance("random", 2)),
        ("balance random(5)", Balance("random", 5)),
        ("balance random()", Balance("random", 2)),
        ("hash-type consistent", Balance(hash_type="consistent", hash_modifier="avalanche")),
        ("hash-type map-based", Balance()),
        ("hash-type consistent djb2", Balance(hash_type="consistent", hash_function="djb2")),
        (
            "hash-type map-based wt6 avalanche\nbalance source\nhash-balance-factor 150",
            Balance("source", 2, "map-based", "wt6", "avalanche", 150),
        ),
    ],
)
def test_balance(lines: str, balance: Balance) -> None:
    assert back(lines).balance == balance


def test_timeouts() -> None:
    lines = (
        "timeout connect 1\ntimeout client 2\ntimeout server 3\ntimeout queue 4\n"
        "timeout check 5\ntimeout tunnel 6\ntimeout client-fin 7\ntimeout server-fin 8\n"
    )
    configuration = small(lines)
    told = configuration.frontends[0]
    assert (told.timeout_client_us, told.timeout_client_fin_us) == (2_000, 7_000)
    behind = configuration.backends[0]
    assert (behind.timeout_connect_us, behind.timeout_server_us) == (1_000, 3_000)
    assert (behind.timeout_queue_us, behind.timeout_check_us) == (4_000, 5_000)
    assert (behind.timeout_tunnel_us, behind.timeout_server_fin_us) == (6_000, 8_000)
    assert back("timeout tunnel 0").timeout_tunnel_us is None
    assert warnings("timeout http-request 5s") == ["timeout http-request"]


def test_who_waits_in_a_queue_waits_as_for_a_connect() -> None:
    assert back("timeout connect 7s").timeout_queue_us == 7_000_000


def test_ids_descriptions_and_switches() -> None:
    configuration = small("id 9\ndescription what it is\ndisabled")
    told, behind = configuration.frontends[0], configuration.backends[0]
    assert (told.number, told.description, told.disabled) == (9, "what it is", True)
    assert (behind.number, behind.description, behind.disabled) == (9, "what it is", True)
    assert not front("disabled\nenabled").disabled


def test_servers_take_the_source_of_their_section() -> None:
    text = "defaults\nsource 10.0.0.1\n" + LISTEN + "server t 127.0.0.1:3 source 10.0.0.2\n"
    assert [each.source for each in read(text).backends[0].servers] == [
        Address("10.0.0.1", 0),
        Address("10.0.0.2", 0),
    ]


def test_the_wrong_side_is_ignored_with_a_warning() -> None:
    text = LISTEN + "backend b\nserver s 127.0.0.1:2\ntimeout connect 1\ntimeout server 1\n"
    for line in ("bind 127.0.0.1:9", "maxconn 5", "default_backend l", "timeout client 5"):
        (warning,) = read(text + line + "\n").warnings
        assert "is ignored: it is not of a 'backend'" in warning
    text = LISTEN + "frontend f\nbind 127.0.0.1:3\ntimeout client 1\ndefault_backend l\n"
    for line in ("retries 5", "balance source", "timeout server 5"):
        (warning,) = read(text + line + "\n").warnings
        assert "is ignored: it is not of a 'frontend'" in warning
    for line in ("server s 127.0.0.1:9", "default-server check"):
        (mistake,) = mistakes(text + line + "\n")
        assert "cannot stand in a 'frontend'" in mistake


@pytest.mark.parametrize(
    ("line", "advice"),
    [
        ("acl a src 10.0.0.0/8", "no conditions here"),
        ("tcp-request connection reject", "firewall"),
        ("use_backend l if { src 1.1.1.1 }", "default_backend"),
        ("use_backend l or", "too many"),
        ("http-request deny", "HTTP"),
        ("stick-table type ip size 1m", "balance source"),
        ("dispatch 127.0.0.1:1", "server NAME"),
        ("server-template s 3 h:1", "for each of them"),
        ("filter trace", "no filters"),
        ("grace 5s", "HAProxy, too"),
        ("balance uri", "'source'"),
        ("balance hdr(host)", "'source'"),
        ("balance leastcon", "did you mean 'leastconn'"),
        ("balance random(x)", "random(2)"),
        ("balance random(0)", "from 1"),
        ("balance source x", "too many"),
        ("hash-type avalanche", "use one of"),
        ("hash-type consistent md5", "use one of"),
        ("hash-balance-factor 99", "more than 100"),
        ("retries x", "from 0"),
        ("rate-limit requests 5", "use one of"),
        ("timeout conect 5", "did you mean 'connect'"),
        ("timeout connect 5 6", "too many"),
        ("id 0", "from 1"),
        ("source 10.0.0.1 usesrc clientip", "send-proxy-v2"),
        ("clitcpka-cnt x", "from 0"),
        ("disabled x", "too many"),
        ("frob", "is not known in 'listen'"),
    ],
)
def test_mistakes(line: str, advice: str) -> None:
    assert advice in mistake(line)


def test_some_cannot_stand_in_defaults() -> None:
    for line in ("server s 127.0.0.1:2", "id 5", "description d", "use_backend l"):
        assert "in 'defaults'" in mistakes(f"defaults\n{line}\n" + LISTEN)[0]


def test_what_is_http_is_ignored_with_a_warning() -> None:
    lines = "errorfile 400 /x\ncompression algo gzip\nlog-format %ci\nretry-on all-retryable-errors"
    assert warnings(lines) == ["errorfile", "compression", "log-format", "retry-on"]
