"""Tests of the page around its tables."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest

from rabbitry.balancer.statistics.columns import TYPE_BACKEND, TYPE_FRONTEND, TYPE_SERVER
from rabbitry.balancer.statistics.rows import StatisticsRow
from rabbitry.console.statistics_html import View, render_page
from rabbitry.console.statistics_tables import TableOptions

INFO = {
    "Version": "9.9",
    "Pid": 77,
    "Uptime_sec": 93_784,
    "Ulimit-n": 4096,
    "Maxconn": 2000,
    "CurrConns": 3,
    "BytesOutRate": 1_000_000,
}
ROWS = [
    StatisticsRow("front", "FRONTEND", TYPE_FRONTEND, "OPEN", "tcp", iid=2),
    StatisticsRow("front", "s1", TYPE_SERVER, "UP", "tcp", iid=2),
    StatisticsRow("front", "BACKEND", TYPE_BACKEND, "UP", "tcp", iid=2),
    StatisticsRow("other", "FRONTEND", TYPE_FRONTEND, "OPEN", "http", iid=3),
]


class Links(HTMLParser):
    """The addresses of a page's links, by their texts."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: dict[str, str] = {}
        self._where = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._where = str(dict(attrs).get("href", "")) if tag == "a" else ""

    def handle_endtag(self, tag: str) -> None:
        self._where = ""

    def handle_data(self, data: str) -> None:
        if self._where:
            self.found.setdefault(data, self._where)


def test_the_process() -> None:
    page = render_page([], INFO, View("/stats"))
    assert "<h1>Rabbitry version 9.9</h1>" in page
    assert "Statistics Report for pid 77</h2>" in page
    assert "<b>uptime = </b> 1d 2h03m04s<br>" in page
    assert "memmax = unlimited; ulimit-n = 4096<br>" in page
    assert "current conns = 3; " in page
    assert "bit rate = 8.497 Mbps<br>" in page
    assert "active UP, going down" in page


def test_what_is_hidden_and_shown() -> None:
    view = View("/stats", hides_version=True, node="n<1>", description="what & why")
    page = render_page([], INFO, view)
    assert "9.9" not in page
    assert "pid 77 on n&lt;1&gt;: what &amp; why</h2>" in page
    assert "<title>Statistics Report for Rabbitry on n&lt;1&gt;</title>" in page


def test_links_keep_what_was_chosen() -> None:
    view = View("/s", refresh_s=5, hides_down=True, is_still=True, scope="fr")
    links = Links(render_page([], INFO, view)).found
    assert links == {
        "Show all servers": "/s;norefresh?scope=fr",
        "Enable refresh": "/s;up?scope=fr",
        "Refresh now": "/s;up;norefresh?scope=fr",
        "CSV export": "/s;csv;norefresh?scope=fr",
        "JSON export": "/s;json;norefresh?scope=fr",
        "JSON schema": "/s;json-schema",
    }
    links = Links(render_page([], INFO, View("/s"))).found
    assert links["Hide 'DOWN' servers"] == "/s;up"
    assert "Disable refresh" not in links
    assert links["CSV export"] == "/s;csv"


def test_each_section_has_a_table() -> None:
    page = render_page(ROWS, INFO, View("/stats"))
    assert page.count('<table class="tbl">') == 2
    assert page.index('id="front"') < page.index('id="other"')
    assert "<form method" not in page.replace('<form method="get">', "")


def test_forms_are_for_who_may_steer() -> None:
    page = render_page(ROWS, INFO, View("/stats", table=TableOptions(admin=True)))
    assert page.count('<form method="post">') == 1
    assert '<input type="hidden" name="b" value="#2">' in page


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("DONE", "Action processed successfully."),
        ("NONE", "Nothing has changed."),
        ("PART", "Action partially processed."),
        ("ERRP", "Action not processed because of invalid parameters."),
        ("EXCD", "the buffer couldn't store all the data"),
        ("DENY", "Action denied."),
        ("IVAL", "Invalid requests"),
        ("UNKN", "Unexpected result."),
    ],
)
def test_messages_are_haproxys(code: str, text: str) -> None:
    page = render_page([], INFO, View("/stats", hides_down=True, status=code))
    assert text in page
    assert Links(page).found["[X]"] == "/stats;up"
    assert text not in render_page([], INFO, View("/stats"))


def test_an_address_is_escaped() -> None:
    page = render_page([], INFO, View('/s"><script>'))
    assert page.count("<script>") == 1


def test_looking_for_sections_keeps_the_query_of_the_address() -> None:
    page = render_page([], INFO, View("/haproxy?stats"))
    field = '<input type="hidden" name="stats" value="">'
    assert f'<form method="get">{field}Scope : ' in page
    assert '<form method="get">Scope : ' in render_page([], INFO, View("/stats"))
