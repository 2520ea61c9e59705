"""The statistics as the page HAProxy's users know: a table for each section, servers by colour.

Owns the markup. Columns, colours and their meaning follow HAProxy's page, so that an eye trained on
one reads the other (but for `Thrtle`, since there is no slowstart yet). No script, nothing loaded
from elsewhere.

Invariants: pure; everything that comes from a configuration or a peer is escaped.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from itertools import groupby

from rabbitry.balancer.statistics.columns import TYPE_BACKEND, TYPE_FRONTEND, TYPE_SERVER
from rabbitry.balancer.statistics.rows import StatisticsRow
from rabbitry.machine import MICROSECONDS_PER_SECOND

_STYLE = """
:root { color-scheme: light dark; --ink: #222; --paper: #fff; --line: #999; --head: #20b2aa;
  --name: #a00040; --end: #e8e8d0; --up: #c0ffc0; --down: #ff9090; --sinking: #ffffa0;
  --rising: #ffd020; --drain: #7cc4ff; --spare: #b0d0ff; --unchecked: #e0e0e0; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8e6e3; --paper: #17191a; --line: #666;
  --head: #17706b; --name: #8d0033; --end: #2f3437; --up: #165900; --down: #760000;
  --sinking: #6c6c00; --rising: #8a6d00; --drain: #005a9c; --spare: #1e3c6a;
  --unchecked: #3a3d3f; } }
body { font: 13px/1.4 system-ui, arial, sans-serif; color: var(--ink); background: var(--paper);
  margin: 1.2em; }
h1 { font-size: 1.5em; margin: 0 0 .3em; }
nav, .legend { margin: 0 0 .8em; }
nav a { margin-right: 1em; color: inherit; }
.legend span { display: inline-block; padding: 1px 8px; margin-right: 6px;
  border: 1px solid var(--line); }
.scroll { overflow-x: auto; margin-bottom: 1.6em; }
h2 { display: inline-block; margin: 0; padding: 2px 10px; font-size: 1em; color: #ffff60;
  background: var(--name); }
table { border-collapse: collapse; width: 100%; font-size: 11px;
  font-variant-numeric: tabular-nums; }
th, td { border: 1px solid var(--line); padding: 2px 4px; white-space: nowrap; text-align: right; }
thead th { background: var(--head); text-align: center; }
tbody th, td.word { text-align: center; }
.end { background: var(--end); }
.up { background: var(--up); }
.down { background: var(--down); }
.sinking { background: var(--sinking); }
.rising { background: var(--rising); }
.drain { background: var(--drain); }
.spare { background: var(--spare); }
.unchecked { background: var(--unchecked); }
"""

_LEGEND = (
    ("up", "active UP"),
    ("spare", "backup UP"),
    ("sinking", "UP, going down"),
    ("rising", "DOWN, going up"),
    ("down", "DOWN"),
    ("drain", "DRAIN: no new sessions"),
    ("unchecked", "not checked"),
)

_GROUPS = (
    ("Queue", ("Cur", "Max", "Limit")),
    ("Session rate", ("Cur", "Max", "Limit")),
    ("Sessions", ("Cur", "Max", "Limit", "Total", "LbTot", "Last")),
    ("Bytes", ("In", "Out")),
    ("Denied", ("Req", "Resp")),
    ("Errors", ("Req", "Conn", "Resp")),
    ("Warnings", ("Retr", "Redis")),
    ("Server", ("Status", "LastChk", "Wght", "Act", "Bck", "Chk", "Dwn", "Dwntme")),
)


def render_page(rows: Sequence[StatisticsRow], uri: str, refresh_us: int | None) -> str:
    """Render the whole page. `refresh_us`: the browser loads it again after that long."""
    refresh = ""
    if refresh_us is not None:
        seconds = max(refresh_us // MICROSECONDS_PER_SECOND, 1)
        refresh = f'<meta http-equiv="refresh" content="{seconds}">\n'
    here = escape(uri)
    legend = "".join(f'<span class="{name}">{text}</span>' for name, text in _LEGEND)
    tables = "".join(_table(name, list(group)) for name, group in groupby(rows, _section))
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f"{refresh}"
        "<title>Statistics Report for Rabbitry</title>\n"
        '<link rel="icon" href="data:,">\n'
        f"<style>{_STYLE}</style>\n</head>\n<body>\n<h1>Statistics Report for Rabbitry</h1>\n"
        f'<nav><a href="{here}">Refresh now</a><a href="{here};norefresh">Disable refresh</a>'
        f'<a href="{here};csv">CSV export</a><a href="{here};json">JSON export</a></nav>\n'
        f'<p class="legend">{legend}</p>\n{tables}</body>\n</html>\n'
    )


def _section(row: StatisticsRow) -> str:
    return row.pxname


def _table(name: str, rows: list[StatisticsRow]) -> str:
    groups = "".join(f'<th colspan="{len(names)}">{group}</th>' for group, names in _GROUPS)
    columns = "".join(f"<th>{column}</th>" for _, names in _GROUPS for column in names)
    lines = "".join(_line(row) for row in rows)
    return (
        f'<h2 id="{escape(name)}">{escape(name)}</h2>\n<div class="scroll"><table>\n'
        f'<thead><tr><th rowspan="2"></th>{groups}</tr>\n<tr>{columns}</tr></thead>\n'
        f"<tbody>\n{lines}</tbody></table></div>\n"
    )


def _line(row: StatisticsRow) -> str:
    title = f' title="{escape(row.addr)}"' if row.addr else ""
    name = {TYPE_FRONTEND: "Frontend", TYPE_BACKEND: "Backend"}.get(row.type, row.svname)
    numbers = (
        *(row.qcur, row.qmax, None),
        *(row.rate, row.rate_max, None),
        *(row.scur, row.smax, row.slim, row.stot, row.lbtot),
    )
    cells = "".join(_number(number) for number in numbers)
    cells += f"<td>{_last_session(row.lastsess)}</td>"
    counts = (
        *(row.bin, row.bout, row.dreq, row.dresp, row.ereq, row.econ, row.eresp),
        *(row.wretr, row.wredis),
    )
    cells += "".join(_number(number) for number in counts)
    cells += f'<td class="word">{_status(row)}</td>{_last_check(row)}'
    cells += _number(row.weight)
    cells += _act_and_backup(row)
    cells += _number(row.chkfail) + _number(row.chkdown)
    cells += f"<td>{'' if row.downtime is None else duration(row.downtime)}</td>"
    return f'<tr class="{row_class(row)}"><th{title}>{escape(name)}</th>{cells}</tr>\n'


def row_class(row: StatisticsRow) -> str:
    """The colour of a row, by a server's status (see `_LEGEND`)."""
    if row.type != TYPE_SERVER:
        return "end"
    if row.status.startswith("DOWN"):
        return "rising" if "/" in row.status else "down"
    if row.status == "no check":
        return "unchecked"
    if row.status.startswith("DRAIN"):
        return "drain"
    if "/" in row.status:
        return "sinking"
    return "spare" if row.bck else "up"


def duration(duration_s: int) -> str:
    """Seconds as HAProxy writes them: `7s`, `2m3s`, `5h12m`, `3d4h`."""
    if duration_s < 60:
        return f"{duration_s}s"
    if duration_s < 3600:
        return f"{duration_s // 60}m{duration_s % 60}s"
    if duration_s < 86400:
        return f"{duration_s // 3600}h{duration_s % 3600 // 60}m"
    return f"{duration_s // 86400}d{duration_s % 86400 // 3600}h"


def _number(number: int | None) -> str:
    return "<td></td>" if number is None else f"<td>{number:,}</td>".replace(",", "\u202f")


def _last_session(lastsess: int | None) -> str:
    if lastsess is None:
        return ""
    return "?" if lastsess < 0 else duration(lastsess)


def _status(row: StatisticsRow) -> str:
    since = "" if row.lastchg is None else f"{duration(row.lastchg)} "
    return f"{since}{escape(row.status)}"


def _last_check(row: StatisticsRow) -> str:
    if row.check_status is None:
        return "<td></td>"
    text = row.check_status
    if row.check_duration is not None:
        text += f" in {row.check_duration}ms"
    title = row.check_desc or ""
    if row.last_chk:
        title += f": {row.last_chk}"
    return f'<td class="word" title="{escape(title)}">{escape(text)}</td>'


def _act_and_backup(row: StatisticsRow) -> str:
    if row.type == TYPE_SERVER:
        marks = ["Y" if row.act else "-", "Y" if row.bck else "-"]
    else:
        marks = ["" if each is None else str(each) for each in (row.act, row.bck)]
    return "".join(f'<td class="word">{mark}</td>' for mark in marks)
