"""Tests of what checks can conclude."""

from __future__ import annotations

import pytest

from rabbitry.balancer.checking.results import (
    INFO_SIZE_MAX,
    OWN_WANTS,
    STATUSES,
    WITH_CODE,
    printable,
    result,
)


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        ("INI", "none"),
        ("CHECKED", "neutral"),
        ("L4CON", "failed"),
        ("L6OK", "passed"),
        ("L7OKC", "conditional"),
        ("L7STS", "failed"),
    ],
)
def test_a_status_says_what_it_means_for_the_server(status: str, outcome: str) -> None:
    assert result(status).outcome == outcome


def test_a_check_that_we_cannot_make_says_nothing_of_the_server() -> None:
    assert result("SOCKERR", "Connection reset by peer").outcome == "failed"
    for want in OWN_WANTS:
        assert result("SOCKERR", f"{want} at step 1 of tcp-check").outcome == "neutral"
    assert result("L4CON", "Too many open files").outcome == "failed"


def test_descriptions_are_haproxys() -> None:
    assert result("L7RSP").description == "Layer7 invalid response"


def test_a_code_is_told_beyond_layer_6_only() -> None:
    assert set(STATUSES) >= WITH_CODE
    assert "L7RSP" not in WITH_CODE
    assert "L7STS" in WITH_CODE


def test_texts_are_cut_to_what_haproxy_keeps() -> None:
    assert len(result("L7RSP", "x" * 500).info) == INFO_SIZE_MAX


def test_strangers_say_nothing_that_a_terminal_would_carry_out() -> None:
    assert printable("a\x1b[2Jb\n") == "a?[2Jb?"
    assert len(printable("x" * 1000)) == 100
