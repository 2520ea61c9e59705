"""Tests of the table of columns, against a real HAProxy where there is one."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.real_haproxy import RealHaproxy

from rabbitry.balancer.statistics.columns import (
    ALWAYS_ZERO,
    ALWAYS_ZERO_OF_HTTP,
    COLUMNS,
    FIXED_COLUMNS,
    LEGENDS,
    TYPE_BACKEND,
    TYPE_SERVER,
)
from rabbitry.balancer.statistics.formats import HEADER

CONFIGURATION = """
listen front
    bind unix@{directory}/front.socket
    mode tcp
    option socket-stats
    server a 127.0.0.1:9 check agent-check agent-port 9 maxconn 30 maxqueue 3
    server b 127.0.0.1:9 track front/a
listen page
    bind unix@{directory}/page.socket
    mode http
    stats enable
"""
LETTERS = {"F": 0, "B": 1, "S": 2, "L": 3}


@pytest.fixture
def haproxy(tmp_path: Path) -> Iterator[RealHaproxy]:
    with RealHaproxy(tmp_path, CONFIGURATION) as running:
        yield running


def test_names_are_each_there_once() -> None:
    names = [column.name for column in COLUMNS]
    assert len(set(names)) == len(names)
    zeros = {
        name
        for table in (ALWAYS_ZERO, ALWAYS_ZERO_OF_HTTP)
        for row in table.values()
        for name in row
    }
    assert zeros | set(LEGENDS) <= set(names)
    assert names[FIXED_COLUMNS] == "ssl_sess"


def test_a_backends_rate_is_a_plain_gauge() -> None:
    (rate,) = (column for column in COLUMNS if column.name == "rate")
    assert (rate.tags_of(TYPE_SERVER), rate.tags_of(TYPE_BACKEND)) == ("MRP", "MGP")


@pytest.mark.processes
@pytest.mark.skipif(shutil.which("haproxy") is None, reason="haproxy is not installed")
def test_header_is_a_real_haproxys(haproxy: RealHaproxy) -> None:
    assert haproxy.ask("show stat").splitlines()[0] + "\n" == HEADER


@pytest.mark.processes
@pytest.mark.skipif(shutil.which("haproxy") is None, reason="haproxy is not installed")
def test_tags_types_and_zeros_are_a_real_haproxys(haproxy: RealHaproxy) -> None:
    seen: dict[tuple[str, int], set[str]] = {}
    for line in haproxy.ask("show stat typed").splitlines():
        if not line:
            continue
        key, tags, type_, _ = line.split(":", 3)
        letter, iid, sid, place, name, _ = key.split(".")
        column = COLUMNS[int(place)]
        assert column.name == name
        row_type = LETTERS[letter]
        assert (column.tags_of(row_type), column.type) == (tags, type_.replace("s64", "s32")), name
        seen.setdefault((f"{iid}/{sid}", row_type), set()).add(name)
    for (which, row_type), names in seen.items():
        assert set(ALWAYS_ZERO[row_type]) <= names, which
        if which.startswith("3/"):  # the page
            assert set(ALWAYS_ZERO_OF_HTTP[row_type]) <= names
