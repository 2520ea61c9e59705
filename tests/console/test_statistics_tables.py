"""Tests of the tables' markup."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest

from rabbitry.balancer.statistics.columns import (
    TYPE_BACKEND,
    TYPE_FRONTEND,
    TYPE_LISTENER,
    TYPE_SERVER,
)
from rabbitry.balancer.statistics.rows import Selection, StatisticsRow
from rabbitry.console.statistics_tables import (
    ACTIONS,
    TableOptions,
    duration,
    render_table,
    row_class,
)

PLAIN = TableOptions()


class Cells(HTMLParser):
    """Reads a table into rows: class, width in columns, texts; tips are put in brackets."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.rows: list[tuple[str | None, list[str]]] = []
        self.widths: list[int] = []
        self._depth = 0
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "table":
            self._depth += 1
        elif self._depth == 1 and tag == "tr":
            self.rows.append((given.get("class"), []))
            self.widths.append(0)
        elif self._depth == 1 and tag in ("td", "th"):
            self.rows[-1][1].append("")
            self.widths[-1] += int(given.get("colspan") or 1)
        elif tag == "div" and given.get("class") == "tips":
            self.handle_data("[")

    def handle_endtag(self, tag: str) -> None:
        if tag == "table":
            self._depth -= 1

    def handle_data(self, data: str) -> None:
        if self._depth and self.rows and self.rows[-1][1]:
            self.rows[-1][1][-1] += data


def row(name: str, kind: int, status: str, **columns: object) -> StatisticsRow:
    return StatisticsRow("front", name, kind, status, "tcp", **columns)  # type: ignore[arg-type]


FRONT = row("FRONTEND", TYPE_FRONTEND, "OPEN", slim=20000, stot=7, iid=2)
SERVER = row(
    "rabbit",
    TYPE_SERVER,
    "DOWN",
    sid=1,
    act=1,
    bck=0,
    weight=1,
    uweight=1,
    lastchg=65,
    downtime=65,
    chkfail=4,
    chkdown=1,
    lastsess=-1,
    check_status="L4CON",
    check_duration=3,
    check_desc="Layer4 connection problem",
    last_chk="<refused>",
    check_rise=2,
    check_fall=3,
    check_health=0,
    addr="127.0.0.1:5672",
)
BACK = row("BACKEND", TYPE_BACKEND, "UP", act=2, bck=0, weight=2, uweight=2, lastsess=3600)
LISTENER = row("sock-1", TYPE_LISTENER, "OPEN", sid=1, addr="[::1]:80")


@pytest.mark.parametrize("options", [PLAIN, TableOptions(admin=True, legends=True)])
def test_every_row_has_a_cell_for_every_column(options: TableOptions) -> None:
    read = Cells(render_table([FRONT, LISTENER, SERVER, BACK], options))
    boxes = int(options.admin)
    assert read.widths[1] == 30
    assert read.widths[0] == read.widths[1] + 1 + boxes
    assert read.widths[2:] == [31 + boxes] * 4


def test_rows_say_what_is_known() -> None:
    front, (style, server), (_, back) = Cells(render_table([FRONT, SERVER, BACK], PLAIN)).rows[2:]
    assert front[0] == "frontend"
    assert front[1][0] == "Frontend"
    assert "20000" in front[1]
    assert style == "active_down"
    assert server[0] == "rabbit"
    assert {"1m5s DOWN", "?", "Y", "1/1", "4[Failed Health Checks", "1", "1m5s"} <= set(server)
    assert " L4CON in 3ms[Layer4 connection problem: <refused>" in server
    assert {"Backend", " UP", "2", "2/2", "1h"} <= set(back)


def test_texts_of_others_are_escaped() -> None:
    odd = row("s<i>", TYPE_SERVER, "UP", last_chk="<b>", check_status="L7OK", tracked="<u>/x")
    table = render_table([odd], TableOptions(descriptions={"front": "<script>"}))
    assert not {"<i>", "<b>", "<script>"} & set(table.split("no check"))
    assert all(bad not in table for bad in ("<i>", "<b>", "<script>", "#<u>"))


def test_an_alarm_is_seen() -> None:
    """What `option amqp-check` knows of a broker stands behind its status, not in a tip only."""
    alarmed = row("r", TYPE_SERVER, "UP", check_status="L7OK", check_health=4, check_rise=2)
    alarmed.check_desc = "Layer7 check passed"
    alarmed.last_chk, alarmed.remark = "Rabbit, blocks <it>", "blocks <it>"
    table = render_table([alarmed], PLAIN)
    tip = "<div class=tips>Layer7 check passed: Rabbit, blocks &lt;it&gt;</div>"
    assert f"<td class=ac><u> L7OK{tip}</u><br>blocks &lt;it&gt;</td>" in table
    alarmed.last_agt, alarmed.agent_health = "via agent : up (low on disk)", 1
    assert "</u><br>blocks &lt;it&gt;<br>low on disk</td>" in render_table([alarmed], PLAIN)


def test_the_agent_that_has_it_down_is_told() -> None:
    down = row("r", TYPE_SERVER, "DOWN (agent)", check_status="L4OK", agent_status="L7STS")
    down.agent_desc, down.last_agt, down.agent_health = "Layer7 wrong status", "down", 0
    assert "L7STS<div class=tips>Layer7 wrong status: down" in render_table([down], PLAIN)


def test_what_an_agent_says_of_a_server_that_is_up_can_be_read() -> None:
    """HAProxy has it in its CSV only."""
    up = row("r", TYPE_SERVER, "UP", check_status="L7OK", agent_status="L7OK", agent_health=1)
    bare = render_table([up], PLAIN)
    up.last_agt = "via agent : up"
    assert render_table([up], PLAIN) == bare
    up.last_agt = "via agent : up (low on disk & <b>: wait (a little))"
    said = "low on disk &amp; &lt;b&gt;: wait (a little)"
    assert f"</div></u><br>{said}</td>" in render_table([up], PLAIN)
    up.last_agt = "via agent : up (cut"
    assert "<br>cut</td>" in render_table([up], PLAIN)
    up.check_status = None
    assert "<td class=ac>cut</td>" in render_table([up], PLAIN)


def test_legends() -> None:
    table = render_table([FRONT, LISTENER, SERVER, BACK], TableOptions(legends=True))
    assert "cap: proxy, mode: tcp, id: 2" in table
    assert "IPv4: 127.0.0.1:5672, id: 1" in table
    assert "IPv6: [::1]:80, id: 1" in table
    assert "127.0.0.1" not in render_table([FRONT, SERVER], PLAIN)


def test_check_boxes_and_actions() -> None:
    table = render_table([FRONT, SERVER, BACK], TableOptions(admin=True))
    assert table.count('type="checkbox" name="s"') == 1
    assert 'name="s" value="rabbit"' in table
    assert all(f'<option value="{value}">{text}</option>' in table for value, text in ACTIONS)
    assert '<input type="hidden" name="b" value="#2">' in table
    assert "<form" not in render_table([FRONT, BACK], TableOptions(admin=True))


def test_a_backend_says_how_many_serve_where_some_are_hidden() -> None:
    back = row("BACKEND", TYPE_BACKEND, "UP", servers_serving=1, servers_all=3)
    table = render_table([back], TableOptions(selection=Selection(up_only=True)))
    assert "UP (1/3)" in table


def test_arrows() -> None:
    rising = row("r", TYPE_SERVER, "DOWN 1/2", check_health=1, check_rise=2, check_fall=3)
    assert "DOWN 1/2 &uarr;" in render_table([rising], PLAIN)
    sinking = row("r", TYPE_SERVER, "UP 2/3", check_health=3, check_rise=2, check_fall=3)
    assert "UP 2/3 &darr;" in render_table([sinking], PLAIN)
    healthy = row("r", TYPE_SERVER, "UP", check_health=4, check_rise=2, check_fall=3)
    assert "&darr;" not in render_table([healthy], PLAIN)
    forced = row("r", TYPE_SERVER, "NOLB")
    assert "NOLB &darr;" in render_table([forced], PLAIN)


def test_nothing_clips_what_hovering_shows() -> None:
    """A box that scrolls for itself would show it where the table was before it was scrolled."""
    assert "<div" not in render_table([FRONT, SERVER, BACK], PLAIN).partition("<tr")[0]


@pytest.mark.parametrize(
    ("status", "health", "weight", "backup", "expected"),
    [
        ("UP", 4, 1, 0, "active_up"),
        ("UP", 4, 1, 1, "backup_up"),
        ("UP", 4, 0, 0, "active_draining"),
        ("UP 1/3", 2, 1, 0, "active_going_down"),
        ("DOWN", 0, 1, 0, "active_down"),
        ("DOWN (agent)", 4, 1, 0, "active_down"),
        ("DOWN 1/2", 1, 1, 1, "backup_going_up"),
        ("DRAIN", 4, 1, 0, "active_draining"),
        ("NOLB", 4, 1, 0, "active_nolb"),
        ("NOLB 1/3", 2, 1, 0, "active_going_down"),
        ("no check", 2, 1, 0, "active_no_check"),
        ("MAINT", 0, 1, 1, "maintain"),
        ("MAINT (via b/s)", 0, 1, 0, "maintain"),
    ],
)
def test_classes(status: str, health: int, weight: int, backup: int, expected: str) -> None:
    server = row("s", TYPE_SERVER, status, check_health=health, check_rise=2, check_fall=3)
    server.chkfail, server.weight, server.bck = 0, weight, backup
    assert row_class(server) == expected
    assert row_class(BACK) == "backend"


def test_durations() -> None:
    times = (-1, 0, 59, 60, 61, 3600, 3661, 3605, 86400, 90061, 86700)
    assert [duration(each) for each in times] == [
        *("?", "0s", "59s", "1m", "1m1s", "1h", "1h1m", "1h5s", "1d", "1d1h", "1d5m"),
    ]


def test_large_numbers_have_gaps() -> None:
    table = render_table([row("FRONTEND", TYPE_FRONTEND, "OPEN", bin=1234567)], PLAIN)
    assert '<span class="rls">1</span>23<span class="rls">4</span>567' in table
