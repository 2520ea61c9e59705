"""Tests of what only the whole of a configuration tells."""

from __future__ import annotations

import pytest
from support.configuration_text import LISTEN, TIMEOUTS, mistakes, read

from rabbitry.balancer.configuration.reader import parse

DEFAULTS = f"defaults\n{TIMEOUTS}"
FRONT = "frontend f\nbind 127.0.0.1:1\n"
BACK = "backend b\nserver s 127.0.0.1:2 check\n"


def test_a_frontend_has_its_default_backend() -> None:
    configuration = read(DEFAULTS + FRONT + "default_backend b\n" + BACK)
    assert configuration.proxies[0][1] is None
    assert configuration.proxies[1][0] is None
    assert configuration.frontends[0].default_backend == "b"
    assert configuration.backends[0].name == "b"
    assert configuration.warnings == ()
    text = DEFAULTS + "default_backend b\n" + FRONT + BACK
    assert read(text).frontends[0].default_backend == "b"


def test_a_listen_is_its_own_backend_unless_it_names_another() -> None:
    assert read(LISTEN).frontends[0].default_backend == "l"
    configuration = read(LISTEN + "default_backend b\n" + DEFAULTS + BACK)
    assert configuration.frontends[0].default_backend == "b"
    assert "get none" in configuration.warnings[0]


def test_use_backend_counts_before_the_default() -> None:
    text = DEFAULTS + FRONT + "default_backend c\nuse_backend b\nuse_backend c if TRUE\n" + BACK
    text += BACK.replace(" b\n", " c\n")
    configuration = read(text)
    assert configuration.frontends[0].default_backend == "b"
    assert [each.split("'")[1] for each in configuration.warnings] == ["use_backend"]


def test_a_frontend_without_a_backend_has_none() -> None:
    assert read(DEFAULTS + FRONT).frontends[0].default_backend is None


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (FRONT + "default_backend bb\n" + BACK, "did you mean 'b'"),
        (LISTEN + "default_backend l\n", "this section itself"),
        (FRONT + "default_backend b\n" + BACK + "mode http\n", "make them alike"),
        (FRONT + FRONT, "name of f.cfg:5 too"),
        (BACK + "listen b\nbind 127.0.0.1:3\n", "name of f.cfg:5 too"),
        (BACK + "server s 127.0.0.1:3\n", "server of f.cfg:6 too"),
        (BACK + "server t 127.0.0.1:3 id 5\nserver u 127.0.0.1:3 id 5\n", "id of 't' too"),
        (FRONT + "id 5\nfrontend g\nbind 127.0.0.1:3\nid 5\n", "id of 'f' too"),
        ("frontend f\n", "listens nowhere"),
        (FRONT + "mode http\n", "no statistics"),
        (LISTEN + "mode http\n", "mode http and servers"),
        (BACK + "mode http\n", "mode http and servers"),
        (BACK + "server t 127.0.0.1:3 track s/t\n", "is no server"),
        (BACK + "server t 127.0.0.1:3 track u\nserver u 127.0.0.1:3 track t\n", "circle"),
        (BACK + "server t 127.0.0.1:3 track u\nserver u 127.0.0.1:3\n", "is not checked"),
        ("", "'listen' is missing"),
    ],
)
def test_mistakes(text: str, told: str) -> None:
    assert any(told in each for each in mistakes(DEFAULTS + text))


def test_a_frontend_and_a_backend_may_share_a_name() -> None:
    text = DEFAULTS + FRONT.replace(" f\n", " b\n") + "default_backend b\n" + BACK
    assert read(text).proxies[0][0] is not None


def test_tracked_servers_are_named_in_full() -> None:
    lines = "server t 127.0.0.1:3 track s\nbackend c\nserver u 127.0.0.1:3 track b/t\n"
    first, second = read(DEFAULTS + BACK + lines).backends
    assert first.servers[1].track == "b/s"
    assert second.servers[0].track == "b/t"


def numbers(text: str) -> list[int]:
    return [
        front.number if front is not None else back.number if back is not None else 0
        for front, back in read(DEFAULTS + text).proxies
    ]


def test_numbers_of_proxies_are_haproxys() -> None:
    """As a real one numbers them (its `show stat`): an id takes its turn, the socket counts."""
    text = FRONT + "default_backend b\nbackend b\nid 7\nlisten c\nbind 127.0.0.1:2\n"
    text += "backend e\ndisabled\nbackend d\n"
    assert numbers(text) == [1, 7, 3, 4, 5]
    assert numbers("global\nstats socket /x\n" + text) == [2, 7, 4, 5, 6]
    assert numbers(text + "global\nstats socket /x\n") == [1, 7, 3, 4, 5]
    assert numbers("backend b\nid 2\nbackend c\nbackend d\nbackend e\nid 1\n") == [2, 3, 4, 1]


def test_numbers_of_servers_are_haproxys() -> None:
    text = "backend b\nserver s 127.0.0.1:1 id 5\nserver t 127.0.0.1:1\n"
    text += "server u 127.0.0.1:1 id 1\nserver v 127.0.0.1:1\n"
    assert [each.id for each in read(DEFAULTS + text).backends[0].servers] == [5, 2, 1, 4]


def test_limits_come_from_above() -> None:
    text = DEFAULTS + FRONT + "default_backend b\n" + BACK + "frontend g\nbind 127.0.0.1:5\n"
    text += "default_backend b\nmaxconn 5\n"
    configuration = parse(text, "f", process_maxconn=70)
    assert [each.maxconn for each in configuration.frontends] == [70, 5]
    assert configuration.backends[0].fullconn == 8
    several = parse("global\nnbthread 3\n" + text, "f", process_maxconn=70)
    assert 3 * 70 in [each.maxconn for each in several.frontends]
    configuration = parse("global\nmaxconn 95\n" + text, "f", process_maxconn=70)
    assert [each.maxconn for each in configuration.frontends] == [95, 5]
    assert configuration.backends[0].fullconn == 10
    assert read(DEFAULTS + BACK).backends[0].fullconn == 1


def test_a_page_may_be_of_the_backend() -> None:
    text = DEFAULTS + "mode http\n" + FRONT + "default_backend p\nbackend p\nstats uri /p\n"
    configuration = read(text)
    page = configuration.frontends[0].statistics
    assert page is not None
    assert page.uri == "/p"
    assert configuration.backends[0].statistics == page
    assert configuration.frontends[0].default_backend is None


def test_missing_timeouts_are_those_that_count() -> None:
    assert "no timeout client:" in read(FRONT).warnings[0]
    assert "no timeout connect, timeout server:" in read(BACK).warnings[0]
    assert read(BACK + "timeout connect 1\ntimeout tunnel 1\n").warnings == ()
