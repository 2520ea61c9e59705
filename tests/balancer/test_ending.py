"""Tests of the end of a session: what is counted, what is told, as conversations."""

from __future__ import annotations

import pytest
from support.balancer_conversation import MS, Conversation, configured, opened, reports

from rabbitry.balancer.configuration.model import LogTarget
from rabbitry.machine import Address

TEXT = """
listen front
    bind 127.0.0.1:1
    option tcplog
    timeout connect 400ms
    timeout client 10s
    timeout server 20s
    server a 127.0.0.1:11
    server b 127.0.0.1:12
"""
RESET = "Connection reset by peer"


def test_numbers_of_a_line() -> None:
    """HAProxy tells of the process and the frontend with this session, of the backend and the
    server without it."""
    talk = Conversation(TEXT)
    (link,) = opened(talk.client(1))
    talk.client(2)
    talk.now += 3 * MS
    talk.connected(link)
    talk.now += 4 * MS
    talk.finished(1)
    (report,) = reports(talk.finished(link))
    assert report.details == {
        "client": "10.0.0.1:40000",
        "frontend": "front",
        "backend": "front",
        "server": "a",
        "wait_ms": 0,
        "connect_ms": 3,
        "total_ms": 7,
        "bytes_in": 0,
        "bytes_out": 0,
        "state": "--",
        "process_sessions": 2,
        "front_sessions": 2,
        "back_sessions": 1,
        "server_sessions": 0,
        "retries": 0,
        "redispatched": False,
        "server_queue": 0,
        "backend_queue": 0,
        "soon": False,
    }
    row = talk.row("a")
    assert (row.ctime, row.ttime, row.ctime_max, row.ttime_max) == (3, 7, 3, 7)


@pytest.mark.parametrize(("option", "lines"), [(False, 1), (True, 0)])
def test_null_sessions_are_told_of_unless_they_shall_not(option: bool, lines: int) -> None:
    talk = Conversation(configured(TEXT, front={"dontlognull": option}))
    server = talk.relaying(1)
    talk.bytes(server, bytes(5))  # what the server sent does not count
    talk.finished(server)
    assert len(reports(talk.finished(1))) == lines


@pytest.mark.parametrize(
    ("reset", "retried", "lines"), [(False, False, 0), (True, False, 1), (False, True, 1)]
)
def test_normal_sessions_may_be_left_out(reset: bool, retried: bool, lines: int) -> None:
    talk = Conversation(configured(TEXT, front={"dontlog_normal": True}))
    (link,) = opened(talk.client(1))
    if retried:
        talk.closed(link, "Connection refused")
        (link,) = opened(talk.pass_time(400 * MS))
    talk.connected(link)
    effects = talk.closed(1, RESET) if reset else talk.finished(1) + talk.finished(link)
    assert len(reports(effects)) == lines


@pytest.mark.parametrize(("reset", "severity"), [(False, None), (True, "err")])
def test_what_is_not_normal_may_be_told_as_an_error(reset: bool, severity: str | None) -> None:
    talk = Conversation(configured(TEXT, front={"log_separate_errors": True}))
    (link,) = opened(talk.client(1))
    talk.connected(link)
    effects = talk.closed(1, RESET) if reset else talk.finished(1) + talk.finished(link)
    (report,) = reports(effects)
    assert report.details.get("severity") == severity
    assert report.level == ("error" if reset else "info")


def test_logasap_tells_at_once_and_no_more() -> None:
    talk = Conversation(configured(TEXT, front={"logasap": True, "dontlognull": True}))
    (link,) = opened(talk.client(1))
    (report,) = reports(talk.connected(link))
    details = report.details
    assert (details["soon"], details["state"], details["server_sessions"]) == (True, "--", 1)
    assert (details["process_sessions"], details["back_sessions"]) == (1, 1)
    assert reports(talk.closed(1, RESET)) == []


def test_logasap_tells_of_those_that_never_connect() -> None:
    talk = Conversation(configured(TEXT, front={"logasap": True}, back={"retries": 0}))
    (link,) = opened(talk.client(1))
    (report,) = reports(talk.closed(link, "Connection refused"))
    assert (report.details["state"], report.details["soon"]) == ("SC", True)


@pytest.mark.parametrize("targets", [(), (LogTarget(None, "local0", stream="stdout"),)])
def test_without_a_format_only_the_coming_is_told(targets: tuple[LogTarget, ...]) -> None:
    front = {"tcplog": False, "log_targets": targets}
    talk = Conversation(configured(TEXT, front=front))
    told = reports(talk.client(1))
    assert [report.details for report in told] == [
        {"client": "10.0.0.1:40000", "local": "10.0.0.9:5672", "listener": 1, "frontend": "front"}
    ] * len(targets)
    assert reports(talk.closed(1, RESET)) == []


def test_clients_of_unix_sockets_have_a_number() -> None:
    talk = Conversation(configured(TEXT, bind={"address": Address("/run/front", 0)}))
    (link,) = opened(talk.client(1, client=Address("/run/front", 0)))
    talk.connected(link)
    (report,) = reports(talk.closed(1, RESET))
    assert report.details["client"] == "unix:1"


def test_addresses_have_no_brackets() -> None:
    talk = Conversation(TEXT)
    (link,) = opened(talk.client(1, client=Address("2001:db8::1", 7)))
    talk.connected(link)
    (report,) = reports(talk.closed(1, RESET))
    assert report.details["client"] == "2001:db8::1:7"
