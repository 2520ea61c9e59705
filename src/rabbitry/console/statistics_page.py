"""The statistics over HTTP, at the address and in the formats HAProxy's users know.

Owns the routing of `stats uri`: the page, `;csv`, `;json`, `;norefresh` (configuration.txt 4.2,
"stats uri"; management.txt 9). The page itself is `statistics_html`'s, CSV and JSON
`balancer.statistics`'s. Nothing can be changed through it: only GET and HEAD are answered.

Invariants: every path but the page's own is a 404 of one line.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route

from rabbitry.balancer.configuration.model import StatisticsPage
from rabbitry.balancer.statistics.formats import to_csv, to_json
from rabbitry.balancer.statistics.rows import StatisticsRow
from rabbitry.console.statistics_html import render_page

ReadRows = Callable[[], Awaitable[list[StatisticsRow]]]
"""Asks the balancer for its rows."""

_HEADERS = {"cache-control": "no-cache"}


def statistics_app(page: StatisticsPage, read_rows: ReadRows) -> Starlette:
    """Return the ASGI application that serves `page`."""

    async def answer(request: Request) -> Response:
        path = request.url.path
        if request.url.query:
            path += "?" + request.url.query
        uri, _, options = path.partition(";")
        if uri != page.uri:
            text = f"Not found. The statistics are at {page.uri}\n"
            return PlainTextResponse(text, status_code=404, headers=_HEADERS)
        wanted = options.split(";")
        rows = await read_rows()
        if "csv" in wanted:
            return PlainTextResponse(to_csv(rows), headers=_HEADERS)
        if "json" in wanted:
            return Response(to_json(rows), media_type="application/json", headers=_HEADERS)
        refresh_us = None if "norefresh" in wanted else page.refresh_us
        return HTMLResponse(render_page(rows, page.uri, refresh_us), headers=_HEADERS)

    return Starlette(routes=[Route("/{path:path}", answer, methods=["GET"])])
