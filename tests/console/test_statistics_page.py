"""Tests of the page's addresses and formats, by calling the ASGI application."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import pytest

from rabbitry.balancer.configuration.model import FrontendSection, MetricsService, StatisticsPage
from rabbitry.balancer.statistics.columns import TYPE_BACKEND, TYPE_FRONTEND, TYPE_SERVER
from rabbitry.balancer.statistics.formats import json_schema, to_csv, to_typed
from rabbitry.balancer.statistics.http_use import HttpUse
from rabbitry.balancer.statistics.rows import StatisticsRow, Value
from rabbitry.console.statistics_page import FORM_BYTES_MAX, statistics_app

PAGE = StatisticsPage("/stats", 5_000_000)
ADMIN = StatisticsPage("/stats", admin="always")


def rows() -> list[StatisticsRow]:
    up = StatisticsRow("front", "up", TYPE_SERVER, "UP", "tcp", scur=3, addr="127.0.0.1:1")
    down = StatisticsRow("front", "gone", TYPE_SERVER, "DOWN", "tcp", is_down=True)
    off = StatisticsRow("front", "off", TYPE_SERVER, "MAINT", "tcp", in_maintenance=True)
    back = StatisticsRow("front", "BACKEND", TYPE_BACKEND, "UP", "tcp")
    back.servers_serving, back.servers_all = 1, 3
    page = StatisticsRow("page", "FRONTEND", TYPE_FRONTEND, "OPEN", "http")
    return [up, down, off, back, page]


class FakeDesk:
    """A desk with fixed numbers, which keeps the forms."""

    descriptions = {"front": "all of them"}

    def __init__(self) -> None:
        self.forms: list[bytes] = []
        self.use = HttpUse()

    def use_of(self, section: FrontendSection) -> HttpUse:
        return self.use

    async def numbers(self) -> tuple[list[StatisticsRow], Mapping[str, Value]]:
        info = {"Version": "1.2.3", "Pid": 7, "node": "host-1", "description": "general"}
        return rows(), info

    async def hand_in(self, form: bytes) -> str:
        self.forms.append(form)
        return "PART"


@dataclass
class Answered:
    """What came of a request."""

    status: int
    headers: dict[str, str]
    body: str
    forms: list[bytes]

    @property
    def kind(self) -> str:
        return self.headers["content-type"].partition(";")[0]


def ask(
    target: str,
    page: StatisticsPage | None = PAGE,
    method: str = "GET",
    headers: dict[str, str] | None = None,
    body: bytes = b"",
    metrics: MetricsService | None = None,
) -> Answered:
    """Make one request."""
    sent: list[dict[str, Any]] = []
    path, _, query = target.partition("?")
    desk = FakeDesk()
    section = FrontendSection("page", 3, "http", (), statistics=page, metrics=metrics)

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "headers": [(key.encode(), text.encode()) for key, text in (headers or {}).items()],
        "scheme": "http",
        "client": ("127.0.0.1", 5),
        "server": ("127.0.0.1", 8100),
    }
    asyncio.run(statistics_app(section, desk)(scope, receive, send))
    got = {key.decode(): text.decode() for key, text in sent[0]["headers"]}
    text = b"".join(message.get("body", b"") for message in sent[1:]).decode()
    return Answered(sent[0]["status"], got, text, desk.forms)


def test_page() -> None:
    answered = ask("/stats")
    assert (answered.status, answered.kind) == (200, "text/html")
    assert answered.headers["refresh"] == "5"
    assert answered.headers["cache-control"] == "no-cache"
    assert "default-src 'none'" in answered.headers["content-security-policy"]
    assert "gone" in answered.body
    assert "all of them" in answered.body
    assert "pid 7</h2>" in answered.body


def test_only_a_page_that_can_act_is_kept_out_of_frames() -> None:
    policies = [ask("/stats", page).headers["content-security-policy"] for page in (PAGE, ADMIN)]
    assert ["frame-ancestors" in policy for policy in policies] == [False, True]


def test_refresh() -> None:
    assert "refresh" not in ask("/stats;norefresh").headers
    assert ask("/stats", replace(PAGE, refresh_us=1000)).headers["refresh"] == "1"
    assert "refresh" not in ask("/stats", StatisticsPage("/stats")).headers


def test_csv() -> None:
    answered = ask("/stats;csv")
    assert (answered.status, answered.kind) == (200, "text/plain")
    assert answered.body == to_csv(rows(), legends=False)
    assert answered.headers["refresh"] == "5"
    assert ask("/stats;csv;norefresh").body == answered.body
    assert "127.0.0.1:1" in ask("/stats;csv", replace(PAGE, show_legends=True)).body


def test_json() -> None:
    answered = ask("/stats;json")
    assert (answered.status, answered.kind) == (200, "application/json")
    first = json.loads(answered.body)[0]
    (scur,) = (each for each in first if each["field"]["name"] == "scur")
    assert scur["value"] == {"type": "u32", "value": 3}


def test_other_formats() -> None:
    assert ask("/stats;typed").body == to_typed(rows(), legends=False)
    assert ask("/stats;json-schema").body == json_schema()


@pytest.mark.parametrize("target", ["/stats", "/statsx;csv", "/stats?x", "/stats/a/b", "/stats;?;"])
def test_whatever_begins_like_the_page_is_the_page(target: str) -> None:
    assert ask(target).status == 200


@pytest.mark.parametrize("target", ["/", "/stat", "/other;csv", "/Stats", "/%73tats"])
def test_elsewhere_there_is_no_server(target: str) -> None:
    answered = ask(target)
    assert (answered.status, answered.kind) == (503, "text/html")
    assert "No server is available to handle this request." in answered.body


@pytest.mark.parametrize("method", ["PUT", "DELETE", "OPTIONS"])
def test_other_methods_are_elsewhere(method: str) -> None:
    assert ask("/stats", method=method).status == 503


def test_haproxys_default_address_has_a_query() -> None:
    page = StatisticsPage()
    assert ask("/haproxy?stats", page).status == 200
    assert ask("/haproxy?stats;csv", page).kind == "text/plain"
    assert ask("/haproxy", page).status == 503


def test_what_is_hidden() -> None:
    assert ask("/stats;csv;up").body.count("front,") == 2
    assert "UP (1/3)" in ask("/stats;csv;up").body
    assert ask("/stats;csv;no-maint").body.count("front,") == 3


@pytest.mark.parametrize(
    ("options", "sections"),
    [
        (";csv?scope=FRO", {"front"}),
        ("?scope=ag;csv", {"page"}),
        ("?scope=ag&x=1;csv", {"page"}),
        (";csv?scope=x", set()),
        (";csv?scope=%66", {"front", "page"}),  # not a letter of a name: looks for nothing
        (";csv?scope=", {"front", "page"}),
    ],
)
def test_looking_for_sections(options: str, sections: set[str]) -> None:
    lines = ask(f"/stats{options}").body.splitlines()[1:]
    assert {line.partition(",")[0] for line in lines} == sections


def test_looking_for_sections_at_haproxys_default_address() -> None:
    body = ask("/haproxy?stats=&scope=fro;csv", StatisticsPage()).body
    assert "front,up" in body
    assert "page," not in body


def test_scope_of_the_configuration() -> None:
    body = ask("/stats;csv", replace(PAGE, scope=(".",))).body
    assert "page,FRONTEND" in body
    assert "front,up" not in body


def test_what_is_shown_of_the_process() -> None:
    body = ask("/stats").body
    assert "1.2.3" in body
    assert "host-1" not in body
    page = replace(PAGE, hide_version=True, show_node="", show_description="")
    body = ask("/stats", page).body
    assert "1.2.3" not in body
    assert "pid 7 on host-1: general</h2>" in body
    page = replace(PAGE, show_node="other", show_description="mine")
    assert "pid 7 on other: mine</h2>" in ask("/stats", page).body


# --- who may --------------------------------------------------------------------------------------


def test_login() -> None:
    page = replace(PAGE, users=(("ann", "secret"),), realm='Our "brokers"')
    refused = ask("/stats", page)
    assert refused.status == 401
    assert refused.headers["www-authenticate"] == 'Basic realm="Our \\"brokers\\""'
    assert "You need a valid user and password" in refused.body
    right = "Basic " + base64.b64encode(b"ann:secret").decode()
    assert ask("/stats", page, headers={"authorization": right}).status == 200
    assert ask("/x", page).status == 503


def test_a_form() -> None:
    answered = ask("/stats;up;norefresh?scope=fr", ADMIN, "POST", body=b"s=a&action=drain&b=%232")
    assert answered.forms == [b"s=a&action=drain&b=%232"]
    assert (answered.status, answered.body) == (303, "")
    assert answered.headers["location"] == "/stats;st=PART;up?scope=fr"
    page = replace(ADMIN, refresh_us=5_000_000)
    location = ask("/stats;norefresh", page, "POST").headers["location"]
    assert location == "/stats;st=PART;norefresh"


def test_a_form_of_who_may_not() -> None:
    answered = ask("/stats", PAGE, "POST", body=b"s=a&action=drain&b=%232")
    assert answered.forms == []
    assert answered.headers["location"] == "/stats;st=DENY"
    assert "checkbox" not in ask("/stats").body
    assert "checkbox" in ask("/stats", ADMIN).body


def test_a_form_of_another_site() -> None:
    headers = {"host": "127.0.0.1:8100", "origin": "http://evil.example"}
    answered = ask("/stats", ADMIN, "POST", headers, b"s=a&action=drain&b=%232")
    assert answered.forms == []
    assert answered.headers["location"] == "/stats;st=DENY"
    headers["origin"] = "http://127.0.0.1:8100"
    assert ask("/stats", ADMIN, "POST", headers).headers["location"] == "/stats;st=PART"


def test_a_form_that_is_too_large() -> None:
    answered = ask("/stats", ADMIN, "POST", body=b"x" * (FORM_BYTES_MAX + 1))
    assert answered.forms == []
    assert answered.headers["location"] == "/stats;st=EXCD"


@pytest.mark.parametrize(
    ("target", "text"),
    [
        ("/stats;st=DONE", "Action processed successfully."),
        ("/stats;st=XXXX", "Unexpected result."),
        ("/stats;st=DONE;up", "Action processed successfully."),
    ],
)
def test_messages(target: str, text: str) -> None:
    assert text in ask(target).body


def test_no_message() -> None:
    assert "[X]" not in ask("/stats").body + ask("/stats;st=").body


# --- metrics --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("service", "path", "is_there"),
    [
        (MetricsService(("/metrics",)), "/metrics", True),
        (MetricsService(("/metrics",)), "/metrics?scope=server", True),
        (MetricsService(("/metrics",)), "/metrics/x", False),
        (MetricsService(("/m", "/n"), is_prefix=True), "/next", True),
        (MetricsService(), "/anything", True),
    ],
)
def test_where_metrics_are(service: MetricsService, path: str, is_there: bool) -> None:
    answered = ask(path, None, metrics=service)
    assert (answered.status == 200) is is_there
    if is_there:
        assert answered.headers["content-type"] == "text/plain; version=0.0.4"
        assert 'haproxy_server_status{proxy="front",server="up",state="UP"} 1\n' in answered.body


def test_metrics_need_no_login_and_a_good_query() -> None:
    service = MetricsService(("/metrics",))
    page = replace(PAGE, users=(("ann", "secret"),))
    body = ask("/metrics?scope=global", page, metrics=service).body
    assert 'haproxy_process_build_info{version="1.2.3"} 1\n' in body
    assert "haproxy_server" not in body
    assert ask("/metrics?scope=nothing", page, metrics=service).status == 400
    assert ask("/stats", page, metrics=service).status == 401
