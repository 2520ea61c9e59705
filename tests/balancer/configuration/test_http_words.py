"""Tests of the line that says where metrics are."""

from __future__ import annotations

import pytest
from support.configuration_text import mistakes, read

from rabbitry.balancer.configuration.model import MetricsService

HEAD = "listen l\nbind 127.0.0.1:1\nmode http\n"
USE = "http-request use-service prometheus-exporter"


def metrics(lines: str) -> MetricsService | None:
    return read(f"{HEAD}{lines}\n").frontends[0].metrics


@pytest.mark.parametrize(
    ("condition", "service"),
    [
        ("", MetricsService()),
        ("if TRUE", MetricsService()),
        ("unless FALSE", MetricsService()),
        ("if { path /metrics }", MetricsService(("/metrics",))),
        ("if { path /a /b }", MetricsService(("/a", "/b"))),
        ("if { path_beg /m }", MetricsService(("/m",), is_prefix=True)),
    ],
)
def test_where_metrics_are(condition: str, service: MetricsService) -> None:
    assert metrics(f"{USE} {condition}") == service


def test_several_lines() -> None:
    two = f"{USE} if {{ path /a }}\n{USE} if {{ path /b }}"
    assert metrics(two) == MetricsService(("/a", "/b"))
    assert metrics(f"{two}\n{USE}") == MetricsService()
    (mistake,) = mistakes(f"{HEAD}{two}\n{USE} if {{ path_beg /c }}\n")
    assert "write one of them" in mistake


def test_a_section_may_have_metrics_alone_or_a_page_too() -> None:
    assert metrics("stats enable") is None
    section = read(f"{HEAD}{USE} if {{ path /metrics }}\nstats enable\n").frontends[0]
    assert section.statistics is not None
    assert section.metrics is not None
    front = read(f"frontend f\nbind 127.0.0.1:1\nmode http\n{USE}\n").frontends[0]
    assert front.metrics == MetricsService()


@pytest.mark.parametrize(
    ("line", "advice"),
    [
        (f"{USE} if {{ path metrics }}", "begin it with '/'"),
        (f"{USE} if {{ path }}", "if { path /metrics }"),
        (f"{USE} if {{ path -i /M }}", "begin it with '/'"),
        (f"{USE} if {{ src 10.0.0.0/8 }}", "if { path /metrics }"),
        (f"{USE} if METRICS", "if { path /metrics }"),
        (f"{USE} unless {{ path /x }}", "if { path /metrics }"),
        ("http-request use-service lua.x", "is about HTTP"),
        ("http-request deny", "is about HTTP"),
        ("http-request", "is about HTTP"),
    ],
)
def test_others_are_refused(line: str, advice: str) -> None:
    assert any(advice in mistake for mistake in mistakes(f"{HEAD}stats enable\n{line}\n"))


def test_tcp_has_no_metrics() -> None:
    found = read(f"listen l\nbind 127.0.0.1:1\ntimeout client 1\n{USE}\n")
    assert any("needs 'mode http'" in warning for warning in found.warnings)
