"""The tables of the statistics page: one for each section, a row for each front, server, back.

Owns their markup: columns, links, classes and what hovering shows are those of HAProxy's page
(src/stats.c, `stats_dump_fields_html`), so that eyes and scrapers trained on one read the other.

Invariants: pure; everything that comes from a configuration or a peer is escaped.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from html import escape

from rabbitry.balancer.statistics.columns import (
    TYPE_BACKEND,
    TYPE_FRONTEND,
    TYPE_LISTENER,
    TYPE_SERVER,
)
from rabbitry.balancer.statistics.rows import Selection, StatisticsRow, Value

_GROUPS = (
    *(("Queue", 3), ("Session rate", 3), ("Sessions", 6), ("Bytes", 2), ("Denied", 2)),
    *(("Errors", 3), ("Warnings", 2), ("Server", 9)),
)
_COLUMNS = (
    *("Cur", "Max", "Limit", "Cur", "Max", "Limit"),
    *("Cur", "Max", "Limit", "Total", "LbTot", "Last", "In", "Out", "Req", "Resp"),
    *("Req", "Conn", "Resp", "Retr", "Redis"),
    *("Status", "LastChk", "Wght", "Act", "Bck", "Chk", "Dwn", "Dwntme", "Thrtle"),
)

ACTIONS = (
    ("ready", "Set state to READY"),
    ("drain", "Set state to DRAIN"),
    ("maint", "Set state to MAINT"),
    ("dhlth", "Health: disable checks"),
    ("ehlth", "Health: enable checks"),
    ("hrunn", "Health: force UP"),
    ("hnolb", "Health: force NOLB"),
    ("hdown", "Health: force DOWN"),
    ("dagent", "Agent: disable checks"),
    ("eagent", "Agent: enable checks"),
    ("arunn", "Agent: force UP"),
    ("adown", "Agent: force DOWN"),
    ("shutdown", "Kill Sessions"),
)
"""What can be done to servers: value of the form's `action`, and how it is called."""


@dataclass(frozen=True, slots=True)
class TableOptions:
    """How tables are shown: with check boxes (`admin`), with `legends`, for which `selection`.

    `descriptions` are those of sections, by their names.
    """

    admin: bool = False
    legends: bool = False
    selection: Selection = field(default_factory=Selection)
    descriptions: dict[str, str] = field(default_factory=dict)


def render_table(rows: Sequence[StatisticsRow], options: TableOptions) -> str:
    """The table of one section; `rows` are its rows."""
    first = rows[0]
    name = escape(first.pxname)
    can_steer = options.admin and any(row.type == TYPE_SERVER for row in rows)
    title = f'<a class="px" href="#{name}">{name}</a>'
    if options.legends:
        title += _tips(f"cap: {_capability(rows)}, mode: {first.mode}, id: {first.iid}")
        title = f"<u>{title}</u>"
    description = escape(options.descriptions.get(first.pxname, ""))
    groups = "".join(f"<th colspan={wide}>{group}</th>" for group, wide in _GROUPS)
    columns = "".join(f"<th>{column}</th>" for column in _COLUMNS)
    box = ""
    if options.admin:
        box = '<th rowspan=2><input type="checkbox" data-all aria-label="all"></th>'
        box = box if can_steer else "<th rowspan=2></th>"
    head = (
        f'<h3 class="pxname" id="{name}">{title}</h3>'
        f'<span class="desc">{description}</span>\n<table class="tbl">\n'
        f'<tr class="titre">{box}<th rowspan=2></th>{groups}</tr>\n'
        f'<tr class="titre">{columns}</tr>\n'
    )
    lines = "".join(_line(row, options) for row in rows)
    table = f"{head}{lines}</table>\n"
    if not can_steer:
        return table
    choices = "".join(f'<option value="{value}">{text}</option>' for value, text in ACTIONS)
    return (
        f'<form method="post">{table}Choose the action to perform on the checked servers : '
        f'<select name="action"><option value=""></option>{choices}</select>'
        f'<input type="hidden" name="b" value="#{first.iid}">&nbsp;'
        '<input type="submit" value="Apply"></form>\n<p>\n'
    )


def _capability(rows: Sequence[StatisticsRow]) -> str:
    types = {row.type for row in rows}
    if TYPE_FRONTEND in types and TYPE_BACKEND in types:
        return "proxy"
    return "frontend" if TYPE_FRONTEND in types else "backend"


def _line(row: StatisticsRow, options: TableOptions) -> str:
    match row.type:
        case 0:
            cells = _front_cells(row)
        case 1:
            cells = _back_cells(row, options)
        case 2:
            cells = _server_cells(row)
        case _:
            cells = _listener_cells(row)
    box = ""
    if options.admin and row.type == TYPE_SERVER:
        server = escape(row.svname)
        section = escape(row.pxname)
        box = (
            f'<td class=ac><input class="{section}-checkbox" type="checkbox" name="s" '
            f'value="{server}"></td>'
        )
    elif options.admin:
        box = "<td></td>"
    return (
        f'<tr class="{row_class(row)}">{box}<td class=ac>{_name(row, options)}</td>{cells}</tr>\n'
    )


def _name(row: StatisticsRow, options: TableOptions) -> str:
    title, anchor = row.svname, row.svname
    if row.type == TYPE_FRONTEND:
        title = anchor = "Frontend"
    elif row.type == TYPE_BACKEND:
        title = anchor = "Backend"
    elif row.type == TYPE_LISTENER:
        anchor = f"+{row.svname}"
    anchor = escape(f"{row.pxname}/{anchor}")
    link = f'<a name="{anchor}"></a><a class="lfsb" href="#{anchor}">{escape(title)}</a>'
    if not options.legends or row.type == TYPE_FRONTEND:
        return link
    if row.type == TYPE_BACKEND:
        return f"<u>{link}{_tips(f'balancing: {row.algo}')}</u>"
    address = escape(row.addr or "")
    kind = "IPv6: " if address.startswith("[") else "IPv4: " if address[:1].isdigit() else ""
    where = f"{kind}{address}, " if address else ""
    return f"<u>{link}{_tips(f'{where}id: {row.sid}')}</u>"


def row_class(row: StatisticsRow) -> str:
    """The class of a row: of a server by its state, health and weight."""
    if row.type != TYPE_SERVER:
        return {TYPE_FRONTEND: "frontend", TYPE_BACKEND: "backend"}.get(row.type, "socket")
    if row.status.startswith("MAINT"):
        return "maintain"
    return f"{'backup' if row.bck else 'active'}_{_style(row)}"


def _style(row: StatisticsRow) -> str:
    status = row.status
    if status in ("DOWN", "DOWN (agent)"):
        return "down"
    if status.startswith("DOWN "):
        return "going_up"
    if status == "DRAIN":
        return "draining"
    if status.startswith("NOLB "):
        return "going_down"
    if status == "NOLB":
        return "nolb"
    if status == "no check":
        return "no_check"
    if row.chkfail is None or _is_healthy(row):
        return "up" if row.weight else "draining"
    return "going_down"


def _is_healthy(row: StatisticsRow) -> bool:
    top = (row.check_rise or 0) + (row.check_fall or 0) - 1
    return row.check_health is None or row.check_health >= top


# --- the cells of each type ----------------------------------------------------------------------


def _front_cells(row: StatisticsRow) -> str:
    known = row.known()
    rates = [("connection", "conn_rate"), ("session", "rate")]
    totals = [("Cum. connections:", "conn_tot"), ("Cum. sessions:", "stot")]
    if row.mode == "http":
        rates.append(("request", "req_rate"))
        totals += [("Cum. HTTP requests:", "req_tot"), *_HTTP_TOTALS]
        totals.append(("Intercepted requests:", "intercepted"))
    now = [(f"Current {what} rate:", f"{_number(known.get(name))}/s") for what, name in rates]
    most = [(f"Max {what} rate:", f"{_number(known.get(f'{name}_max'))}/s") for what, name in rates]
    return (
        "<td colspan=3></td>"
        f"<td>{_hover(known.get('rate'), now)}</td><td>{_hover(known.get('rate_max'), most)}</td>"
        f"<td>{_limit(row.rate_lim)}</td>"
        + _cells(known, "scur", "smax", "slim")
        + f"<td>{_hover(row.stot, _details(known, totals))}</td><td></td><td></td>"
        + _cells(known, "bin", "bout", "dreq", "dresp", "ereq")
        + "<td></td><td></td><td></td><td></td>"
        + f"<td class=ac>{escape(row.status)}</td><td class=ac colspan=8></td>"
    )


def _listener_cells(row: StatisticsRow) -> str:
    known = row.known()
    return (
        "<td colspan=3></td><td colspan=3>&nbsp;</td>"
        + _cells(known, "scur", "smax", "slim", "stot")
        + "<td>&nbsp;</td><td>&nbsp;</td>"
        + _cells(known, "bin", "bout", "dreq", "dresp", "ereq")
        + "<td></td><td></td><td></td><td></td>"
        + f"<td class=ac>{escape(row.status)}</td><td class=ac colspan=8></td>"
    )


def _server_cells(row: StatisticsRow) -> str:
    known = row.known()
    connections = [
        ("Current active connections:", _number(row.scur)),
        ("Current used connections:", _number(known.get("used_conn_cur"))),
        ("Current idle connections:", _number(known.get("srv_icur"))),
        ("- unsafe:", _number(known.get("idle_conn_cur"))),
        ("- safe:", _number(known.get("safe_conn_cur"))),
        ("Estimated need of connections:", _number(known.get("need_conn_est"))),
        ("Active connections limit:", _limit(row.slim)),
        ("Idle connections limit:", "-"),
    ]
    return (
        _cells(known, "qcur", "qmax")
        + f"<td>{_limit(row.qlimit)}</td>"
        + _cells(known, "rate", "rate_max")
        + f"<td></td><td>{_hover(row.scur, connections)}</td>"
        + _cells(known, "smax")
        + f"<td>{_limit(row.slim)}</td>"
        + f"<td>{_hover(row.stot, _totals(row, known))}</td>"
        + _cells(known, "lbtot")
        + f"<td>{_since(row.lastsess)}</td>"
        + _cells(known, "bin", "bout")
        + "<td></td>"
        + _cells(known, "dresp")
        + "<td></td>"
        + _cells(known, "econ")
        + _broken(row)
        + _plain_cells(row.wretr, row.wredis)
        + f"<td class=ac>{_server_status(row)}</td>{_last_check(row)}"
        + f"<td class=ac>{row.weight}/{row.uweight}</td>"
        + ("<td class=ac>-</td><td class=ac>Y</td>" if row.bck else _ACTIVE)
        + _downs(row)
        + f"<td class=ac>{'-' if row.throttle is None else f'{row.throttle} %'}</td>"
    )


_ACTIVE = "<td class=ac>Y</td><td class=ac>-</td>"


def _back_cells(row: StatisticsRow, options: TableOptions) -> str:
    known = row.known()
    status = escape(options.selection.status_of(row))
    if row.status == "DOWN":
        status = f'<b class="down">{status}</b>'
    return (
        _cells(known, "qcur", "qmax")
        + "<td></td>"
        + _cells(known, "rate", "rate_max")
        + "<td></td>"
        + _cells(known, "scur", "smax", "slim")
        + f"<td>{_hover(row.stot, _totals(row, known))}</td>"
        + _cells(known, "lbtot")
        + f"<td>{_since(row.lastsess)}</td>"
        + _cells(known, "bin", "bout", "dreq", "dresp")
        + "<td></td>"
        + _cells(known, "econ")
        + _broken(row)
        + _plain_cells(row.wretr, row.wredis)
        + f"<td class=ac>{_since(row.lastchg)} {status}</td><td class=ac>&nbsp;</td>"
        + f"<td class=ac>{row.weight}/{row.uweight}</td>"
        + f"<td class=ac>{row.act}</td><td class=ac>{row.bck}</td><td class=ac>&nbsp;</td>"
        + _plain_cells(row.chkdown)
        + f"<td>{'&nbsp;' if row.downtime is None else _since(row.downtime)}</td><td></td>"
    )


_HTTP_TOTALS = [
    *((f"- HTTP {digit}xx responses:", f"hrsp_{digit}xx") for digit in (1, 2, 3, 4, 5)),
    ("- other responses:", "hrsp_other"),
]


def _totals(row: StatisticsRow, known: dict[str, Value]) -> list[tuple[str, str]]:
    totals = [("Cum. sessions:", "stot")]
    if row.mode == "http":
        totals += [("New connections:", "connect"), ("Cum. HTTP requests:", "req_tot")]
        totals += _HTTP_TOTALS
    times = [("Queue", "qtime"), ("Connect", "ctime"), ("Total", "ttime")]
    return [
        *_details(known, totals),
        ("Max / Avg over last 1024 success. conn.", ""),
        *(
            (
                f"- {what} time:",
                f"{_number(known.get(f'{name}_max'))} / {_number(known.get(name))} ms",
            )
            for what, name in times
        ),
    ]


def _details(known: dict[str, Value], names: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    return [(what, _number(known.get(name))) for what, name in names]


def _broken(row: StatisticsRow) -> str:
    resets = f"{row.cli_abrt or 0} client, {row.srv_abrt or 0} server"
    tips = _tips(f"Connection resets during transfers: {resets}")
    return f"<td><u>{_number(row.eresp)}{tips}</u></td>"


def _server_status(row: StatisticsRow) -> str:
    since = _since(row.lastchg)
    if row.status.startswith("MAINT"):
        return f"{since} MAINT"
    if row.status == "no check":
        return "<i>no check</i>"
    arrow = ""
    if row.status.startswith("DOWN"):
        arrow = " &uarr;" if row.check_health else ""
    elif row.check_health is None or not _is_healthy(row):
        # HAProxy's page has the arrow at servers that are not checked themselves, too: drained,
        # NOLB, tracking.
        arrow = " &darr;"
    return f"{since} {escape(row.status)}{arrow}"


def _last_check(row: StatisticsRow) -> str:
    """What the last check found: that of the agent where it is the agent that has it down.

    What a check or an agent has to say of a server that is up stands behind that, where HAProxy
    shows nothing.
    """
    said = "<br>".join(filter(None, (escape(row.remark), _agent_says(row))))
    if row.status.startswith("DOWN") and row.agent_status and not row.agent_health:
        found = (row.agent_status, row.agent_code, row.agent_duration)
        told = (row.agent_desc, row.last_agt)
    elif row.check_status:
        found = (row.check_status, row.check_code, row.check_duration)
        told = (row.check_desc, row.last_chk)
    else:
        return f"<td class=ac>{said}</td>" if said else "<td></td>"
    status, code, duration_ms = found
    text = escape(status)
    if code is not None:
        text += f"/{code}"
    if duration_ms is not None:
        text += f" in {duration_ms}ms"
    tips = _tips(": ".join(escape(each) for each in told if each))
    return f"<td class=ac><u> {text}{tips}</u>{'<br>' if said else ''}{said}</td>"


def _agent_says(row: StatisticsRow) -> str:
    """What an agent had to say beside "up"; empty where it is shown as what has the server down."""
    said = re.fullmatch(r"via agent : [^ ]+ \((.+?)\)?", row.last_agt or "", re.DOTALL)
    return escape(said[1]) if said and row.agent_health else ""


def _downs(row: StatisticsRow) -> str:
    """Checks that failed, times it went down, how long; or whom it tracks."""
    if row.status == "MAINT (resolution)":
        return "<td class=ac colspan=3>resolution</td>"
    if row.chkfail is not None:
        failed, what = str(row.chkfail), "Failed Health Checks"
        if row.hanafail is not None:
            failed, what = f"{failed}/{row.hanafail}", f"{what}/Health Analyses"
        return (
            f"<td><u>{failed}{_tips(what)}</u></td>"
            f"<td>{row.chkdown}</td><td>{_since(row.downtime)}</td>"
        )
    if row.tracked and row.status != "MAINT":
        tracked = escape(row.tracked)
        link = f'<a class="lfsb" href="#{tracked}">via {tracked}</a>'
        return f"<td class=ac colspan=3>{link}</td>"
    return "<td colspan=3></td>"


# --- small things --------------------------------------------------------------------------------


def duration(duration_s: int) -> str:
    """Seconds as HAProxy writes them, its two largest parts: `7s`, `2m3s`, `5h`, `3d4h`; `?` of
    less than none."""
    if duration_s < 0:
        return "?"
    parts: list[str] = []
    for size_s, letter in ((86400, "d"), (3600, "h"), (60, "m")):
        if len(parts) < 2 and duration_s // size_s:
            parts.append(f"{duration_s // size_s}{letter}")
        duration_s %= size_s
    if not parts or (len(parts) < 2 and duration_s):
        parts.append(f"{duration_s}s")
    return "".join(parts)


def _since(duration_s: int | None) -> str:
    return "" if duration_s is None else duration(duration_s)


def _cells(known: dict[str, Value], *names: str) -> str:
    return "".join(f"<td>{_number(known.get(name))}</td>" for name in names)


def _plain_cells(*numbers: int | None) -> str:
    return "".join(f"<td>{0 if number is None else number}</td>" for number in numbers)


def _number(value: Value | None) -> str:
    """A number with gaps between its groups of three, as `U2H` has them."""
    digits = str(value or 0)
    first = len(digits) % 3 or 3
    text, rest = digits[:first], digits[first:]
    for place in range(0, len(rest), 3):
        gap = f'<span class="rls">{text[-1]}</span>'
        text = f"{text[:-1]}{gap}{rest[place : place + 3]}"
    return text


def _limit(value: int | None) -> str:
    return str(value) if value else "-"


def _tips(text: str) -> str:
    return f"<div class=tips>{text}</div>"


def _hover(value: Value | None, details: Sequence[tuple[str, str]]) -> str:
    lines = "".join(f"<tr><th>{what}</th><td>{text}</td></tr>" for what, text in details)
    return f"<u>{_number(value)}{_tips(f'<table class=det>{lines}</table>')}</u>"
