"""Tests of what is told of clients whose TLS handshake failed."""

from __future__ import annotations

import pytest

from rabbitry.balancer.balancer import Balancer
from rabbitry.balancer.configuration.reader import parse
from rabbitry.balancer.handshakes import BROKEN, CLOSED, FAILED, TOOK_TOO_LONG
from rabbitry.balancer.log_lines import line_of
from rabbitry.machine import Report

TEXT = """
listen front
    bind 127.0.0.1:1
    bind %s ssl crt /c.pem
    timeout connect 400ms
    timeout client 10s
    timeout server 20s
    server a 127.0.0.1:11
    %s
"""


def told(text: str, more: str, where: str = "127.0.0.1:2", peer: str = "10.0.0.1:4") -> str | None:
    machine = Balancer(parse(TEXT % (where, more), "f"))
    details = {"listener": "front/2", "peer": peer, "text": text, "total_ms": "7"}
    report = machine.told_of_handshake(Report("info", "TLS handshake failed", details), 0)
    if report is None:
        return None
    assert (report.level, report.what, report.details["total_ms"]) == ("info", "client refused", 7)
    return line_of(report, "DATE")


def test_the_line_is_haproxys() -> None:
    assert told(FAILED, "option tcplog") == "10.0.0.1:4 [DATE] front/2: SSL handshake failure"


def test_clients_of_unix_sockets_have_a_number_and_ipv6_no_brackets() -> None:
    line = told(CLOSED, "option tcplog", "/tmp/x", ":0")
    assert line == "unix:2 [DATE] front/2: Connection closed during SSL handshake"
    line = told(FAILED, "option tcplog", "/tmp/x", "[::1]:4")  # told by its PROXY header
    assert line == "::1:4 [DATE] front/2: SSL handshake failure"


@pytest.mark.parametrize(
    ("text", "null"), [(FAILED, False), (TOOK_TOO_LONG, False), (CLOSED, True), (BROKEN, True)]
)
def test_who_wants_no_null_lines_or_none_at_all(text: str, null: bool) -> None:
    line = told(text, "option tcplog\n    option dontlognull")
    assert (line is None) == null
    assert told(text, "") is None
