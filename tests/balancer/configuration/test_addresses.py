"""Tests of addresses as HAProxy writes them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rabbitry.balancer.configuration.addresses import (
    is_unix,
    read_bind_addresses,
    read_host,
    read_log_address,
    read_server_address,
)
from rabbitry.balancer.configuration.lexer import Mistake
from rabbitry.machine import Address

ENVIRONMENT = {"IP": "10.0.0.1", "PORT": "7"}


@pytest.mark.parametrize(
    ("word", "addresses"),
    [
        ("127.0.0.1:5670", [("127.0.0.1", 5670)]),
        (":8100", [("0.0.0.0", 8100)]),
        ("*:8100", [("0.0.0.0", 8100)]),
        ("ipv4@:1", [("0.0.0.0", 1)]),
        ("[::1]:5672", [("::1", 5672)]),
        (":::5672", [("::", 5672)]),
        ("ipv6@*:5672", [("::", 5672)]),
        ("h:1-3", [("h", 1), ("h", 2), ("h", 3)]),
        ("h:1,i:2", [("h", 1), ("i", 2)]),
        ("/run/x", [("/run/x", 0)]),
        ("unix@/x", [("/x", 0)]),
        ("abns@x", [("@x", 0)]),
        ("$IP:$PORT", [("10.0.0.1", 7)]),
        ("tcp@h:5,", [("h", 5)]),
    ],
)
def test_where_to_listen(word: str, addresses: list[tuple[str, int]]) -> None:
    assert read_bind_addresses(word, ENVIRONMENT) == [Address(*each) for each in addresses]


@pytest.mark.parametrize(
    "word",
    [
        *(
            "127.0.0.1",
            "h:",
            "h:0",
            "h:65536",
            "h:3-1",
            "h:1-",
            "h:-1",
            "h:x",
            "a@b:1",
            "",
            ",",
            ",h:1",
            "h:1,,i:2",
        ),
        *("300.1.1.1:5", "1:2:3", "[::1]", "h h:1", "fd@3", "quic4@h:1", "udp@h:1", "dgram+h:1"),
        *("ipv4@[::1]:1", "ipv6@127.0.0.1:1", "unix@", "unix@x", "/" + "x" * 100, "ring@r"),
    ],
)
def test_wrong_addresses(word: str) -> None:
    with pytest.raises(Mistake):
        read_bind_addresses(word, {})


def test_where_a_server_is() -> None:
    assert read_server_address("localhost:5672", {}) == Address("localhost", 5672)
    assert read_server_address("rabbit_1.my-net:1", {}) == Address("rabbit_1.my-net", 1)
    assert read_server_address("unix@/run/s", {}) == Address("/run/s", 0)
    for word in (":5672", "*:5672", "h", "h:", "h:+1", "h:1-2"):
        with pytest.raises(Mistake):
            read_server_address(word, {})


def test_where_checks_go_and_come_from() -> None:
    assert read_host("10.0.0.1", {}) == Address("10.0.0.1", 0)
    assert read_host("10.0.0.1:5", {}) == Address("10.0.0.1", 5)
    assert read_host("*", {}) == Address("0.0.0.0", 0)


def test_where_logs_go() -> None:
    assert read_log_address("127.0.0.1", {}) == Address("127.0.0.1", 514)
    assert read_log_address("[::1]:1514", {}) == Address("::1", 1514)
    assert read_log_address("udp@h:1", {}) == Address("h", 1)
    assert read_log_address("/dev/log", {}) == Address("/dev/log", 0)
    with pytest.raises(Mistake):
        read_log_address("tcp@h:1", {})


def test_unix_sockets_are_told_by_their_host() -> None:
    assert all(is_unix(Address(host, 0)) for host in ("/x", "@x"))
    assert not is_unix(Address("h", 0))


@given(st.text())
def test_any_word_is_an_address_or_a_mistake(word: str) -> None:
    for read in (read_bind_addresses, read_server_address, read_host, read_log_address):
        try:
            read(word, ENVIRONMENT)
        except Mistake:
            continue
