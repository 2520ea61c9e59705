"""Tests of the page's addresses and formats, by calling the ASGI application."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from rabbitry.balancer.configuration.model import StatisticsPage
from rabbitry.balancer.statistics.columns import TYPE_SERVER
from rabbitry.balancer.statistics.formats import to_csv
from rabbitry.balancer.statistics.rows import StatisticsRow
from rabbitry.console.statistics_page import statistics_app

ROWS = [StatisticsRow("front", "rabbit", TYPE_SERVER, "UP", "tcp", scur=3)]
PAGE = StatisticsPage("/stats", 5_000_000)


def ask(target: str, page: StatisticsPage = PAGE, method: str = "GET") -> tuple[int, str, str]:
    """Return (status, content type, body) of one request."""
    sent: list[dict[str, Any]] = []
    path, _, query = target.partition("?")

    async def read_rows() -> list[StatisticsRow]:
        return ROWS

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "headers": [],
        "scheme": "http",
        "server": ("127.0.0.1", 8100),
    }
    asyncio.run(statistics_app(page, read_rows)(scope, receive, send))
    headers = dict(sent[0]["headers"])
    body = b"".join(message.get("body", b"") for message in sent[1:])
    return sent[0]["status"], headers.get(b"content-type", b"").decode(), body.decode()


def test_page() -> None:
    status, kind, body = ask("/stats")
    assert (status, kind) == (200, "text/html; charset=utf-8")
    assert "rabbit" in body
    assert 'http-equiv="refresh" content="5"' in body


def test_csv() -> None:
    assert ask("/stats;csv") == (200, "text/plain; charset=utf-8", to_csv(ROWS))
    assert ask("/stats;csv;norefresh")[2] == to_csv(ROWS)


def test_json() -> None:
    status, kind, body = ask("/stats;json")
    assert (status, kind) == (200, "application/json")
    (row,) = json.loads(body)
    (scur,) = (each for each in row if each["field"]["name"] == "scur")
    assert scur["value"] == {"type": "u32", "value": 3}


def test_norefresh() -> None:
    assert "http-equiv" not in ask("/stats;norefresh")[2]


@pytest.mark.parametrize("target", ["/", "/statsx", "/stats/", "/stats?x", "/other;csv"])
def test_elsewhere_is_one_line(target: str) -> None:
    status, _, body = ask(target)
    assert (status, body) == (404, "Not found. The statistics are at /stats\n")


def test_haproxys_default_address_has_a_query() -> None:
    page = StatisticsPage()
    assert ask("/haproxy?stats", page)[0] == 200
    assert ask("/haproxy?stats;csv", page)[2] == to_csv(ROWS)
    assert ask("/haproxy", page)[0] == 404


def test_nothing_can_be_changed() -> None:
    assert ask("/stats", method="POST")[0] == 405
    assert ask("/stats", method="HEAD")[0] == 200
