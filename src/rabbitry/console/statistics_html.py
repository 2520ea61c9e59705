"""The statistics as the page HAProxy's users know: the process, the legend, a table a section.

Owns the markup around the tables (`statistics_tables`) and the messages that follow an action;
words and order are HAProxy's (src/stats.c, `stats_dump_html_info`).

Invariants: pure; everything that comes from a configuration, a peer or an address is escaped.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from itertools import groupby

from rabbitry.balancer.statistics.rows import StatisticsRow, Value
from rabbitry.console.statistics_style import SCRIPT, STYLE
from rabbitry.console.statistics_tables import TableOptions, render_table

SCOPE_LENGTH_MAX = 20
"""Letters of the box that looks for sections."""

_LEGEND = (
    (("active_up", "active UP"), ("backup_up", "backup UP")),
    (
        ("active_going_down", "active UP, going down"),
        ("backup_going_down", "backup UP, going down"),
    ),
    (("active_going_up", "active DOWN, going up"), ("backup_going_up", "backup DOWN, going up")),
    (("active_down", "active or backup DOWN"), ("active_no_check", "not checked")),
    (("maintain", "active or backup DOWN for maintenance (MAINT)"),),
    (("active_draining", "active or backup SOFT STOPPED for maintenance"),),
)

_MESSAGES = {
    "DONE": ("active_up", "Action processed successfully."),
    "NONE": ("active_going_down", "Nothing has changed."),
    "PART": (
        "active_going_down",
        "Action partially processed.<br>Some server names are probably unknown or ambiguous "
        "(duplicated names in the backend).",
    ),
    "ERRP": (
        "active_down",
        "Action not processed because of invalid parameters.<ul><li>The action is maybe unknown."
        "</li><li>Invalid key parameter (empty or too long).</li><li>The backend name is probably "
        "unknown or ambiguous (duplicated names).</li><li>Some server names are probably unknown "
        "or ambiguous (duplicated names in the backend).</li></ul>",
    ),
    "EXCD": (
        "active_down",
        "<b>Action not processed : the buffer couldn't store all the data.<br>You should retry "
        "with less servers at a time.</b>",
    ),
    "DENY": ("active_down", "<b>Action denied.</b>"),
    "IVAL": (
        "active_down",
        "<b>Invalid requests (unsupported method or chunked encoded request).</b>",
    ),
}
_UNKNOWN = ("active_no_check", "Unexpected result.")


@dataclass(frozen=True, slots=True)
class View:
    """What of the statistics is to be shown, and how. `uri` is the page's own, without options.

    `hides_down`, `is_still` and `scope` are what this request asked for (`;up`, `;norefresh`,
    `?scope=`), `status` the code of what was done before (`;st=`; empty: nothing was).
    """

    uri: str
    refresh_s: int = 0
    hides_down: bool = False
    is_still: bool = False
    scope: str = ""
    status: str = ""
    hides_version: bool = False
    node: str | None = None
    description: str | None = None
    table: TableOptions = field(default_factory=TableOptions)

    def link(
        self, *, hides_down: bool | None = None, is_still: bool | None = None, first: str = ""
    ) -> str:
        """The address of this view, or of one that differs in what is given."""
        down = self.hides_down if hides_down is None else hides_down
        still = self.is_still if is_still is None else is_still
        scope = f"?scope={self.scope}" if self.scope else ""
        return f"{self.uri}{first}{';up' if down else ''}{';norefresh' if still else ''}{scope}"


def render_page(rows: Sequence[StatisticsRow], info: Mapping[str, Value], view: View) -> str:
    """Render the whole page; `info` has the fields of `show info` by name."""
    on = f" on {escape(view.node)}" if view.node is not None else ""
    version = "" if view.hides_version else f" version {escape(str(info.get('Version', '')))}"
    what = f": {escape(view.description)}" if view.description is not None else ""
    groups = groupby(rows, lambda row: row.pxname)
    tables = "".join(render_table(list(group), view.table) for _, group in groups)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f"<title>Statistics Report for Rabbitry{on}</title>\n"
        '<link rel="icon" href="data:,">\n'
        f"<style>{STYLE}</style>\n<script>{SCRIPT}</script>\n</head>\n<body>\n"
        f"<h1>Rabbitry{version}</h1>\n"
        f"<h2>Statistics Report for pid {info.get('Pid', 0)}{on}{what}</h2>\n"
        '<hr class="hr">\n<h3>&gt; General process information</h3>\n'
        f'<div class="top">{_process(info)}{_legend()}{_options(view)}</div>\n'
        f"{_message(view)}{tables}</body>\n</html>\n"
    )


def _process(info: Mapping[str, Value]) -> str:
    pid = info.get("Pid", 0)
    uptime_s = _whole(info, "Uptime_sec")
    uptime = (
        f"{uptime_s // 86400}d {uptime_s % 86400 // 3600}h{uptime_s % 3600 // 60:02d}m"
        f"{uptime_s % 60:02d}s"
    )
    memory_max = _whole(info, "Memmax_MB")
    pipes_used, pipes_free = _whole(info, "PipesUsed"), _whole(info, "PipesFree")
    return (
        f"<p><b>pid = </b> {pid} (process #{info.get('Process_num', 1)}, "
        f"nbproc = {info.get('Nbproc', 1)}, nbthread = {info.get('Nbthread', 1)})<br>\n"
        f"<b>uptime = </b> {uptime}<br>\n"
        f"<b>system limits:</b> memmax = {f'{memory_max} MB' if memory_max else 'unlimited'}; "
        f"ulimit-n = {_whole(info, 'Ulimit-n')}<br>\n"
        f"<b>maxsock = </b> {_whole(info, 'Maxsock')}; "
        f"<b>maxconn = </b> {_whole(info, 'Maxconn')}; "
        f"<b>maxpipes = </b> {_whole(info, 'Maxpipes')}<br>\n"
        f"current conns = {_whole(info, 'CurrConns')}; "
        f"current pipes = {pipes_used}/{pipes_used + pipes_free}; "
        f"conn rate = {_whole(info, 'ConnRate')}/sec; "
        f"bit rate = {_bit_rate(_whole(info, 'BytesOutRate'))}<br>\n"
        f"Running tasks: {_whole(info, 'Run_queue')}/{_whole(info, 'Tasks')}; "
        f"idle = {_whole(info, 'Idle_pct')} %</p>\n"
    )


def _whole(info: Mapping[str, Value], name: str) -> int:
    value = info.get(name, 0)
    return value if isinstance(value, int) else 0


def _bit_rate(bytes_per_s: int) -> str:
    """Bits a second on an Ethernet wire: 1538 bytes there carry at most 1448 of ours."""
    bits = bytes_per_s * 8 * 1538 / 1448
    for size, letter in ((1e9, "G"), (1e6, "M")):
        if bits >= size:
            return f"{bits / size:.3f} {letter}bps"
    return f"{bits / 1000:.3f} kbps"


def _legend() -> str:
    lines = []
    for line in _LEGEND:
        wide = ' colspan="3"' if len(line) == 1 else ""
        cells = "".join(
            f'<td class="{name}">&nbsp;</td><td class="noborder"{wide}>{text}</td>'
            for name, text in line
        )
        lines.append(f"<tr>{cells}</tr>")
    note = 'Note: "NOLB"/"DRAIN" = UP with load-balancing disabled.'
    return f'<div><table class="lgd">{"".join(lines)}</table>{note}</div>\n'


def _options(view: View) -> str:
    links = [("Show all servers", view.link(hides_down=False))]
    if not view.hides_down:
        links = [("Hide 'DOWN' servers", view.link(hides_down=True))]
    if view.refresh_s and view.is_still:
        links.append(("Enable refresh", view.link(is_still=False)))
    elif view.refresh_s:
        links.append(("Disable refresh", view.link(is_still=True)))
    links.append(("Refresh now", view.link()))
    still = view.refresh_s > 0
    links += [
        ("CSV export", view.link(hides_down=False, is_still=still, first=";csv")),
        ("JSON export", view.link(hides_down=False, is_still=still, first=";json")),
        ("JSON schema", f"{view.uri};json-schema"),
    ]
    items = "".join(f'<li><a href="{escape(where)}">{text}</a></li>\n' for text, where in links)
    # A browser puts the form's fields in place of the address's query.
    name, _, value = view.uri.partition("?")[2].partition("=")
    query = f'<input type="hidden" name="{escape(name)}" value="{escape(value)}">' if name else ""
    box = (
        f'<li><form method="get">{query}Scope : <input value="{escape(view.scope)}" name="scope" '
        f'size="8" maxlength="{SCOPE_LENGTH_MAX}" tabindex="1"></form></li>\n'
    )
    return f"<div><b>Display option:</b><ul>\n{box}{items}</ul></div>"


def _message(view: View) -> str:
    if not view.status:
        return ""
    style, text = _MESSAGES.get(view.status, _UNKNOWN)
    link = f'<a class="lfsb" href="{escape(view.link())}" title="Remove this message">[X]</a>'
    return f'<div class="said {style}">{link} {text}</div>\n'
