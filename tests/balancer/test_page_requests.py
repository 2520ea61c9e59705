"""Tests of what is told of requests at pages, and of what is not; the lines are HAProxy's own."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rabbitry.balancer.configuration.model import FrontendSection, LogTarget
from rabbitry.balancer.log_lines import line_of
from rabbitry.balancer.page_requests import (
    BAD,
    INTERCEPTED,
    NOSRV,
    NOT_FOUND,
    STATS,
    PageRequest,
    shown_line,
    told_of,
)
from rabbitry.balancer.syslog_lines import severity_of
from rabbitry.machine import Address, Report

PAGE = FrontendSection("page", 2, "http", (), tcplog=True, http_lines="http")
GOT = PageRequest(
    client="127.0.0.1:50760",
    local="127.0.0.1:21502",
    listener=1,
    is_tls=False,
    server=STATS,
    status=200,
    bytes_out=11323,
    state=INTERCEPTED,
    line=b"GET /stats HTTP/1.1",
    has_bytes=True,
    receive_ms=3,
    total_ms=5,
    since_ms=70,
    front_sessions=2,
)
NONE = replace(
    GOT,
    server=NOSRV,
    status=400,
    bytes_out=0,
    state=BAD,
    line=b"",
    receive_ms=None,
    total_ms=70,
)
UNSERVED = replace(GOT, server=NOSRV, status=503, state=NOT_FOUND)
BEGAN = "23/Nov/2026:07:19:37.911"


def told(request: PageRequest, section: FrontendSection = PAGE, **how: bool) -> Report | None:
    return told_of(request, section, 4, **{"has_back": True, **how})


def line(request: PageRequest, section: FrontendSection = PAGE, **how: bool) -> str:
    report = told(request, section, **how)
    assert report is not None
    return line_of(report, BEGAN, "+0100")


def test_httplog() -> None:
    assert line(GOT) == (
        "127.0.0.1:50760 [23/Nov/2026:07:19:37.911] page page/<STATS> 3/0/0/0/5 200 11323 - - LR-- "
        '4/2/0/0/0 0/0 "GET /stats HTTP/1.1"'
    )
    assert line(NONE) == (
        "127.0.0.1:50760 [23/Nov/2026:07:19:37.911] page page/<NOSRV> -1/-1/-1/-1/70 400 0 - - "
        'PR-- 4/2/0/0/0 0/0 "<BADREQ>"'
    )
    assert " page/<NOSRV> 3/-1/-1/-1/5 503 " in line(UNSERVED)
    assert " page/<NOSRV> -1/-1/-1/-1/5 503 " in line(UNSERVED, has_back=False)
    assert " 3/0/0/0/+5 200 +11323 " in line(GOT, replace(PAGE, logasap=True))


def test_tcplog() -> None:
    section = replace(PAGE, http_lines="")
    assert line(GOT, section) == (
        "127.0.0.1:50760 [23/Nov/2026:07:19:37.911] page page/<STATS> 0/0/70 11323 LR 4/2/0/0/0 0/0"
    )
    assert " page/<NOSRV> -1/-1/70 0 PR " in line(NONE, section)


def test_clf() -> None:
    assert line(GOT, replace(PAGE, http_lines="clf")) == (
        '127.0.0.1 - - [23/Nov/2026:07:19:37 +0100] "GET /stats HTTP/1.1" 200 11323 "" "" 50760 '
        '911 "page" "page" "<STATS>" 3 0 0 0 5 LR-- 4 2 0 0 0 0 0 "" "" '
    )


def test_tls_and_unix_sockets() -> None:
    assert " page~ page/<STATS> " in line(replace(GOT, is_tls=True))
    assert line(replace(GOT, client=None)).startswith("unix:1 [")


def test_without_a_format_only_that_somebody_came() -> None:
    section = replace(PAGE, tcplog=False)
    assert told(GOT, section) is None
    section = replace(section, log_targets=(LogTarget(Address("127.0.0.1", 514), "local0"),))
    assert line(GOT, section) == "Connect from 127.0.0.1:50760 to 127.0.0.1:21502 (page/HTTP)"
    assert line(replace(GOT, client=None), section) == "Connect to unix:1 (page/HTTP)"
    assert told(NONE, section) is None


@pytest.mark.parametrize(
    ("request_", "field", "is_told"),
    [
        (GOT, "dontlog_normal", False),
        (NONE, "dontlog_normal", True),
        (UNSERVED, "dontlog_normal", True),
        (GOT, "dontlognull", True),
        (NONE, "dontlognull", True),
        (replace(NONE, has_bytes=False), "dontlognull", False),
        (replace(NONE, has_bytes=False), "logasap", True),
    ],
)
def test_what_is_not_wanted(request_: PageRequest, field: str, is_told: bool) -> None:
    section = replace(PAGE, **{field: True})  # type: ignore[arg-type]
    assert (told(request_, section) is not None) == is_told


def test_errors_may_be_told_as_such() -> None:
    section = replace(PAGE, log_separate_errors=True)
    severities = []
    for request in (GOT, NONE, UNSERVED):
        report = told(request, section)
        assert report is not None
        severities.append(severity_of(report))
    assert severities == ["info", "err", "err"]


def test_what_a_client_sent_breaks_no_line() -> None:
    assert shown_line(b'GET /a"b#c\n\x7f\xe9 HTTP/1.1') == "GET /a#22b#23c#0A#7F#E9 HTTP/1.1"
