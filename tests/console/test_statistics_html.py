"""Tests of the page's markup."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest

from rabbitry.balancer.statistics.columns import TYPE_BACKEND, TYPE_FRONTEND, TYPE_SERVER
from rabbitry.balancer.statistics.rows import StatisticsRow
from rabbitry.console.statistics_html import duration, render_page, row_class


class Cells(HTMLParser):
    """Reads tables into rows of texts, with the class of each row."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.rows: list[tuple[str | None, list[str]]] = []
        self.titles: list[str | None] = []
        self._in_cell = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "tr":
            self.rows.append((dict(attrs).get("class"), []))
        elif tag in ("td", "th"):
            self._in_cell = True
            self.rows[-1][1].append("")
            self.titles.append(dict(attrs).get("title"))

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th"):
            self._in_cell = False

    def handle_data(self, data: str) -> None:
        if self._in_cell:
            self.rows[-1][1][-1] += data


def row(name: str, kind: int, status: str, **columns: object) -> StatisticsRow:
    return StatisticsRow("front", name, kind, status, "tcp", **columns)  # type: ignore[arg-type]


ROWS = [
    row("FRONTEND", TYPE_FRONTEND, "OPEN", slim=20000, stot=7),
    row(
        "rabbit",
        TYPE_SERVER,
        "DOWN",
        act=1,
        bck=0,
        lastchg=65,
        downtime=65,
        lastsess=-1,
        check_status="L4CON",
        check_duration=3,
        check_desc="Layer4 connection problem",
        last_chk="<refused>",
    ),
    row("BACKEND", TYPE_BACKEND, "UP", act=2, bck=0, lastsess=3600),
]


def test_every_row_has_a_cell_for_every_column() -> None:
    cells = Cells(render_page(ROWS, "/stats", None)).rows
    columns = len(cells[1][1])
    assert [len(texts) for _, texts in cells[2:]] == [columns + 1] * 3  # and its name


def test_rows_say_what_is_known() -> None:
    (_, front), (colour, server), (_, back) = Cells(render_page(ROWS, "/s", None)).rows[2:]
    assert front[0] == "Frontend"
    assert "20\u202f000" in front
    assert colour == "down"
    assert server[0] == "rabbit"
    assert {"1m5s DOWN", "L4CON in 3ms", "?", "Y"} <= set(server)
    assert {"Backend", "UP", "2", "1h0m"} <= set(back)


def test_texts_of_others_are_escaped() -> None:
    page = render_page(ROWS, '/s"><script>', None)
    assert "<script" not in page
    assert "<refused>" not in page
    assert "Layer4 connection problem: <refused>" in Cells(page).titles


def test_refresh() -> None:
    assert '<meta http-equiv="refresh" content="5">' in render_page([], "/stats", 5_000_000)
    assert 'content="1"' in render_page([], "/stats", 1_000)
    assert "http-equiv" not in render_page([], "/stats", None)


def test_sections_have_a_table_each() -> None:
    other = StatisticsRow("other", "FRONTEND", TYPE_FRONTEND, "OPEN", "http")
    page = render_page([*ROWS, other], "/stats", None)
    assert page.count("<table>") == 2
    assert page.index('<h2 id="front">') < page.index('<h2 id="other">')


@pytest.mark.parametrize(
    ("status", "backup", "colour"),
    [
        ("UP", 0, "up"),
        ("UP", 1, "spare"),
        ("UP 1/3", 0, "sinking"),
        ("DOWN", 0, "down"),
        ("DOWN 1/2", 1, "rising"),
        ("DRAIN", 0, "drain"),
        ("no check", 0, "unchecked"),
    ],
)
def test_colours(status: str, backup: int, colour: str) -> None:
    assert row_class(row("s", TYPE_SERVER, status, bck=backup)) == colour
    assert row_class(row("BACKEND", TYPE_BACKEND, status)) == "end"


def test_durations() -> None:
    assert [duration(each) for each in (0, 59, 60, 3661, 90061)] == [
        "0s",
        "59s",
        "1m0s",
        "1h1m",
        "1d1h",
    ]
