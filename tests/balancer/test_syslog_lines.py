"""Tests of log lines on their way to syslog. Headers as HAProxy 2.6.12 sent them on 2026-11-23."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from rabbitry.balancer.configuration.model import LogTarget
from rabbitry.balancer.syslog_lines import FORMATS, Sender, packet, severity_of
from rabbitry.machine import Report

DATE = datetime(2026, 11, 3, 3, 54, 56, 283618, UTC)
SENDER = Sender("haproxy", 2042)
NAMED = Sender("mytag", 1886, "vm")


def line(format_: str, sender: Sender = SENDER, severity: str = "alert") -> str:
    target = LogTarget(None, "local0", format=format_)
    sent = packet(target, severity, sender, DATE, "text")
    assert sent is not None
    return sent.decode()


@pytest.mark.parametrize(
    ("format_", "expected"),
    [
        ("", "<129>Nov  3 03:54:56 haproxy[2042]: text\n"),
        ("local", "<129>Nov  3 03:54:56 haproxy[2042]: text\n"),
        ("rfc3164", "<129>Nov  3 03:54:56 localhost haproxy[2042]: text\n"),
        ("rfc5424", "<129>1 2026-11-03T03:54:56.283618+00:00 - haproxy 2042 - - text\n"),
        ("priority", "<129>text\n"),
        ("short", "<1>text\n"),
        ("timed", "<1>2026-11-03T03:54:56.283618+00:00 text\n"),
        ("iso", "2026-11-03T03:54:56.283618+00:00 text\n"),
        ("raw", "text\n"),
    ],
)
def test_formats(format_: str, expected: str) -> None:
    assert line(format_) == expected
    assert format_ == "" or format_ in FORMATS


def test_hostname_where_it_is_to_be_sent() -> None:
    assert line("", NAMED) == "<129>Nov  3 03:54:56 vm mytag[1886]: text\n"
    assert line("local", NAMED) == "<129>Nov  3 03:54:56 mytag[1886]: text\n"
    assert line("rfc5424", NAMED).startswith("<129>1 2026-11-03T03:54:56.283618+00:00 vm mytag ")


def test_levels_choose_and_clamp() -> None:
    target = LogTarget(None, "local1", level="notice", minimum_level="err")
    assert packet(target, "info", SENDER, DATE, "text") is None
    assert packet(target, "notice", SENDER, DATE, "text") is not None
    clamped = packet(target, "emerg", SENDER, DATE, "text")
    assert clamped is not None
    assert clamped.startswith(b"<139>")


def test_a_line_is_one_line_and_not_too_long() -> None:
    target = LogTarget(None, "local0", format="raw", length_bytes=80)
    assert packet(target, "info", SENDER, DATE, "a\nb\r\0c") == b"a b  c\n"
    sent = packet(target, "info", SENDER, DATE, "x" * 1000)
    assert sent == b"x" * 80 + b"\n"


def test_severities_are_haproxys() -> None:
    assert severity_of(Report("info", "session ended")) == "info"
    assert severity_of(Report("warning", "server is down")) == "alert"
    assert severity_of(Report("warning", "server is up")) == "notice"
    assert severity_of(Report("error", "proxy has no server available")) == "emerg"
    assert severity_of(Report("error", "something else")) == "err"
    assert severity_of(Report("warning", "server is down", {"severity": "notice"})) == "notice"
