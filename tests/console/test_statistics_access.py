"""Tests of who may see and who may steer."""

from __future__ import annotations

import base64

import pytest

from rabbitry.balancer.configuration.model import StatisticsPage
from rabbitry.console.statistics_access import is_from_elsewhere, may_see, may_steer

PAGE = StatisticsPage(users=(("ann", "a:b"), ("bob", "pässword")))


def basic(text: str) -> str:
    return "Basic " + base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize("told", [basic("ann:a:b"), basic("bob:pässword"), "basic YW5uOmE6Yg=="])
def test_users_may_see(told: str) -> None:
    assert may_see(PAGE, told)


@pytest.mark.parametrize(
    "told",
    [
        *(None, "", "Basic", "Basic !", "Basic é", "Bearer YW5uOmE6Yg==", "Basic YW5uOmE6Yg"),
        *(basic(""), basic("ann"), basic("ann:a"), basic("ann:a:b "), basic("bob:a:b")),
    ],
)
def test_others_may_not(told: str | None) -> None:
    assert not may_see(PAGE, told)


def test_a_page_without_users_is_for_all() -> None:
    assert may_see(StatisticsPage(), None)


def test_who_may_steer() -> None:
    assert may_steer(StatisticsPage(admin="always"), "8.8.8.8")
    near = StatisticsPage(admin="localhost")
    assert may_steer(near, "127.0.0.1")
    assert may_steer(near, "::1")
    assert not may_steer(near, "8.8.8.8")
    assert not may_steer(near, None)
    assert not may_steer(StatisticsPage(), "127.0.0.1")


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"host": "a:1"}, False),
        ({"host": "a:1", "origin": "http://a:1"}, False),
        ({"host": "A:1", "origin": "https://a:1"}, False),
        ({"host": "a:1", "origin": "http://a:2"}, True),
        ({"host": "a:1", "origin": "http://evil"}, True),
        ({"host": "a:1", "origin": "null"}, True),
        ({"origin": "http://a:1"}, True),
        ({"host": "a:1", "sec-fetch-site": "same-origin"}, False),
        ({"host": "a:1", "sec-fetch-site": "none"}, False),
        ({"host": "a:1", "sec-fetch-site": "same-site"}, True),
        ({"host": "a:1", "sec-fetch-site": "cross-site", "origin": "http://a:1"}, True),
    ],
)
def test_forms_of_other_sites(headers: dict[str, str], expected: bool) -> None:
    assert is_from_elsewhere(headers) is expected
