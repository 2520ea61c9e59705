"""The statistics over HTTP, at the addresses and in the formats HAProxy's users know.

Owns the routing of a section with `mode http`: its metrics, its page (`stats uri` and whatever
begins with it), its options behind `;`, the form of `stats admin` (configuration.txt 4.2, "stats
uri"; http_ana.c, `http_handle_stats`). What is shown is `statistics_html`'s and
`balancer.statistics`'s, what a form does the balancer's.

Invariants: what is nowhere is HAProxy's 503; nothing is changed but by a POST of who may, sent
from the page itself.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any, Protocol

from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response

from rabbitry.balancer.configuration.lexer import as_bytes
from rabbitry.balancer.configuration.model import FrontendSection, StatisticsPage
from rabbitry.balancer.page_requests import PROMEX, STATS
from rabbitry.balancer.statistics.formats import json_schema, to_csv, to_json, to_typed
from rabbitry.balancer.statistics.http_use import HttpUse
from rabbitry.balancer.statistics.metrics import CONTENT_TYPE, BadQuery, read_query, to_metrics
from rabbitry.balancer.statistics.rows import Selection, StatisticsRow, Value
from rabbitry.console.http_connection import now_us
from rabbitry.console.statistics_access import is_from_elsewhere, may_see, may_steer
from rabbitry.console.statistics_html import SCOPE_LENGTH_MAX, View, render_page
from rabbitry.console.statistics_style import ADMIN_POLICY, POLICY
from rabbitry.console.statistics_tables import TableOptions
from rabbitry.console.told_requests import answer_of
from rabbitry.machine import MICROSECONDS_PER_SECOND

FORM_BYTES_MAX = 15_360
"""What a form may have: HAProxy's buffer without what it keeps for rewriting."""

_FRESH = {"cache-control": "no-cache"}
_UNAVAILABLE = "503 Service Unavailable", "No server is available to handle this request."
_UNAUTHORIZED = (
    "401 Unauthorized",
    "You need a valid user and password to access this content.",
)
_BAD = "400 Bad request", "Your browser sent an invalid request."
_CODES = ("DONE", "NONE", "EXCD", "DENY", "IVAL", "PART", "ERRP", "UNKN")
_WORDS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.:")

_log = logging.getLogger("rabbitry.console")


class Desk(Protocol):
    """Where the numbers are asked for, and forms are handed in."""

    @property
    def descriptions(self) -> dict[str, str]:
        """The descriptions of sections, by their names."""
        ...

    def use_of(self, section: FrontendSection) -> HttpUse:
        """What counts the clients of a section with pages."""
        ...

    async def numbers(self) -> tuple[list[StatisticsRow], Mapping[str, Value]]:
        """All rows, and the fields of `show info` by name."""
        ...

    async def hand_in(self, form: bytes) -> str:
        """Do what a form of the page says; return the code of what came of it (`DONE`, ...)."""
        ...


def statistics_app(section: FrontendSection, desk: Desk) -> Callable[..., Awaitable[None]]:
    """Return the ASGI application that serves what `section` says."""

    async def application(scope: Any, receive: Any, send: Any) -> None:
        request = Request(scope, receive)
        try:
            response = await _answer(section, desk, request)
        except ClientDisconnect:
            return
        await response(scope, receive, send)

    return application


async def _answer(section: FrontendSection, desk: Desk, request: Request) -> Response:
    target = _target(request)
    answer = answer_of(request.scope)
    if is_metrics(section, target.partition("?")[0]):
        desk.use_of(section).intercepted(now_us())
        answer.server = PROMEX
        return await _metrics(desk, target.partition("?")[2])
    page = section.statistics
    wanted = page is not None and target.startswith(page.uri)
    if page is None or not wanted or request.method not in ("GET", "HEAD", "POST"):
        return _error(*_UNAVAILABLE)
    desk.use_of(section).intercepted(now_us())
    answer.server = STATS
    if not may_see(page, request.headers.get("authorization")):
        response = _error(*_UNAUTHORIZED)
        realm = as_bytes(page.realm.replace("\\", "\\\\").replace('"', '\\"')).decode("latin-1")
        response.headers["www-authenticate"] = f'Basic realm="{realm}"'
        return response
    client_host = request.client.host if request.client is not None else None
    admin = may_steer(page, client_host)
    options = TableOptions(admin, page.show_legends, descriptions=desk.descriptions)
    view = _view(page, target[len(page.uri) :], options)
    if request.method == "POST":
        return await _post(desk, request, view, admin)
    return await _get(section, page, desk, target[len(page.uri) :], view)


def _target(request: Request) -> str:
    """The address as it was asked for, without scheme and host: HAProxy compares it undecoded."""
    raw: bytes = request.scope["raw_path"]
    if not raw.startswith(b"/") and b"://" in raw:
        raw = b"/" + raw.partition(b"://")[2].partition(b"/")[2]
    query: bytes = request.scope["query_string"]
    text = raw.decode("latin-1")
    return f"{text}?{query.decode('latin-1')}" if query else text


def is_metrics(section: FrontendSection, path: str) -> bool:
    """Whether the section has its metrics at this path."""
    service = section.metrics
    if service is None:
        return False
    if not service.paths:
        return True
    if service.is_prefix:
        return path.startswith(service.paths)
    return path in service.paths


async def _metrics(desk: Desk, query: str) -> Response:
    try:
        scope = read_query(query)
    except BadQuery:
        return _error(*_BAD)
    rows, info = await desk.numbers()
    text = to_metrics(info, rows, scope)
    return Response(as_bytes(text), headers={**_FRESH, "content-type": CONTENT_TYPE})


def _view(page: StatisticsPage, options: str, table: TableOptions) -> View:
    """What the options behind the page's address ask for."""
    _, has_status, status = options.partition(";st=")
    status = status[:4] if has_status and len(status) >= 4 else ""
    _, _, scope = options.partition("scope=")
    for end in ";& ":
        scope = scope.partition(end)[0]
    scope = scope[:SCOPE_LENGTH_MAX]
    return View(
        uri=page.uri,
        refresh_s=refresh_s(page),
        hides_down=";up" in options,
        is_still=";norefresh" in options and page.refresh_us is not None,
        scope=scope if _WORDS.issuperset(scope) else "",
        status=(status if status in _CODES else "UNKN") if status else "",
        hides_version=page.hide_version,
        node=page.show_node,
        description=page.show_description,
        table=table,
    )


def refresh_s(page: StatisticsPage) -> int:
    """How often the page loads itself again, in seconds; 0 for never."""
    if page.refresh_us is None:
        return 0
    return max(page.refresh_us // MICROSECONDS_PER_SECOND, 1)


async def _get(
    section: FrontendSection, page: StatisticsPage, desk: Desk, options: str, view: View
) -> Response:
    headers = dict(_FRESH)
    if view.refresh_s and not view.is_still:
        headers["refresh"] = str(view.refresh_s)
    if ";json-schema" in options:
        return Response(json_schema(), media_type="application/json", headers=headers)
    selection = Selection(
        no_maintenance=";no-maint" in options,
        up_only=view.hides_down,
        scopes=tuple(section.name if name == "." else name for name in page.scope),
        search=view.scope,
    )
    rows, info = await desk.numbers()
    rows = selection.of(rows)
    legends = page.show_legends
    if ";json" in options:
        text = to_json(rows, selection, legends)
        return Response(text, media_type="application/json", headers=headers)
    if ";typed" in options:
        return PlainTextResponse(as_bytes(to_typed(rows, selection, legends)), headers=headers)
    if ";csv" in options:
        return PlainTextResponse(as_bytes(to_csv(rows, selection, legends)), headers=headers)
    if view.node == "":
        view = replace(view, node=str(info.get("node", "")))
    if view.description == "":
        view = replace(view, description=str(info.get("description", "")))
    view = replace(view, table=replace(view.table, selection=selection))
    headers["content-security-policy"] = ADMIN_POLICY if view.table.admin else POLICY
    html = as_bytes(render_page(rows, info, view))
    return Response(html, media_type="text/html", headers=headers)


async def _post(desk: Desk, request: Request, view: View, admin: bool) -> Response:
    code = "DENY"
    if admin and is_from_elsewhere(request.headers):
        _log.warning("a form of another site was refused at %s", view.uri)
    elif admin:
        form = await _form(request)
        code = "EXCD" if form is None else await desk.hand_in(form)
    location = view.link(first=f";st={code}")
    headers = {**_FRESH, "location": location}
    return PlainTextResponse("", status_code=303, headers=headers)


async def _form(request: Request) -> bytes | None:
    """What was posted; None if it is too much."""
    form = bytearray()
    async for part in request.stream():
        form += part
        if len(form) > FORM_BYTES_MAX:
            return None
    return bytes(form)


def _error(title: str, text: str) -> Response:
    body = f"<html><body><h1>{title}</h1>\n{text}\n</body></html>\n"
    headers = {**_FRESH, "content-type": "text/html"}
    return Response(body, status_code=int(title[:3]), headers=headers)
