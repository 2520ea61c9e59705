"""One row of HAProxy's statistics: what is known of a frontend, a listener, a server, a backend.

Owns the shape of a row and which of its columns HAProxy would print. Does not own where the
numbers come from (`gathering`), nor how they are written (`formats`, `metrics`).

Invariants: pure; a row belongs to its caller, later counting does not change it. None is what
HAProxy leaves empty; what it prints as a zero is a zero (`columns.ALWAYS_ZERO`).
"""

from __future__ import annotations

from dataclasses import dataclass

from rabbitry.balancer.statistics.columns import (
    ALWAYS_ZERO,
    ALWAYS_ZERO_OF_HTTP,
    COLUMNS,
    LEGENDS,
    TYPE_BACKEND,
)

Value = str | int
_NAMES = tuple(column.name for column in COLUMNS)


@dataclass(slots=True)
class StatisticsRow:
    """One row. Its fields are HAProxy's columns, and behind them what formats ask besides.

    Times: `lastchg`, `downtime`, `lastsess` seconds; `check_duration`, `*time` milliseconds.
    `in_maintenance` and `is_down` (not on its way up) are of servers; `servers_serving` and
    `servers_all` of backends, which print them where some servers are hidden; `cells` takes
    columns by name that have no field of their own (of `mode http`); `remark` is what of `last_chk`
    people must not miss of a server that is up.
    """

    pxname: str
    svname: str
    type: int
    status: str
    mode: str
    pid: int = 1
    iid: int = 0
    sid: int = 0
    qcur: int | None = None
    qmax: int | None = None
    scur: int | None = None
    smax: int | None = None
    slim: int | None = None
    stot: int | None = None
    bin: int | None = None
    bout: int | None = None
    dreq: int | None = None
    dresp: int | None = None
    ereq: int | None = None
    econ: int | None = None
    eresp: int | None = None
    wretr: int | None = None
    wredis: int | None = None
    weight: int | None = None
    act: int | None = None
    bck: int | None = None
    chkfail: int | None = None
    chkdown: int | None = None
    lastchg: int | None = None
    downtime: int | None = None
    qlimit: int | None = None
    throttle: int | None = None
    lbtot: int | None = None
    tracked: str | None = None
    rate: int | None = None
    rate_lim: int | None = None
    rate_max: int | None = None
    check_status: str | None = None
    check_code: int | None = None
    check_duration: int | None = None
    hanafail: int | None = None
    cli_abrt: int | None = None
    srv_abrt: int | None = None
    lastsess: int | None = None
    last_chk: str | None = None
    last_agt: str | None = None
    qtime: int | None = None
    ctime: int | None = None
    rtime: int | None = None
    ttime: int | None = None
    agent_status: str | None = None
    agent_code: int | None = None
    agent_duration: int | None = None
    check_desc: str | None = None
    agent_desc: str | None = None
    check_rise: int | None = None
    check_fall: int | None = None
    check_health: int | None = None
    agent_rise: int | None = None
    agent_fall: int | None = None
    agent_health: int | None = None
    addr: str | None = None
    cookie: str | None = None
    algo: str | None = None
    conn_rate: int | None = None
    conn_rate_max: int | None = None
    conn_tot: int | None = None
    connect: int | None = None
    qtime_max: int | None = None
    ctime_max: int | None = None
    ttime_max: int | None = None
    used_conn_cur: int | None = None
    need_conn_est: int | None = None
    uweight: int | None = None
    cells: dict[str, int] | None = None
    in_maintenance: bool = False
    is_down: bool = False
    remark: str = ""
    servers_serving: int = 0
    servers_all: int = 0

    def known(self, legends: bool = True) -> dict[str, Value]:
        """The columns HAProxy prints of this row, in its order. `legends`: also `LEGENDS`."""
        values: dict[str, Value] = dict.fromkeys(ALWAYS_ZERO[self.type], 0)
        if self.mode == "http":
            values.update(dict.fromkeys(ALWAYS_ZERO_OF_HTTP[self.type], 0))
        for name in _OWN:
            value = getattr(self, name)
            if value is not None:
                values[name] = value
        if self.cells:
            values.update(self.cells)
        if not legends:
            for name in LEGENDS:
                values.pop(name, None)
        return {name: values[name] for name in _NAMES if name in values}


_OWN = tuple(name for name in _NAMES if name in StatisticsRow.__slots__)


@dataclass(frozen=True, slots=True)
class Selection:
    """Which rows are wanted. None: of every section, type (a set of `TYPE_*`), or number.

    `no_maintenance` leaves out servers in maintenance, `up_only` those that are down too.
    `scopes` are the sections that may be seen at all (`stats scope`, empty: all), `search` is a
    part of a section's name.
    """

    iid: int | None = None
    types: tuple[int, ...] | None = None
    sid: int | None = None
    no_maintenance: bool = False
    up_only: bool = False
    scopes: tuple[str, ...] = ()
    search: str = ""

    def of(self, rows: list[StatisticsRow]) -> list[StatisticsRow]:
        """The rows of these that are wanted (src/stats.c, `stats_dump_proxy_to_buffer`)."""
        return [row for row in rows if self._wants(row)]

    def _wants(self, row: StatisticsRow) -> bool:
        if self.scopes and row.pxname not in self.scopes:
            return False
        if self.search and self.search.lower() not in row.pxname.lower():
            return False
        if self.iid is not None and row.iid != self.iid:
            return False
        if self.types is not None and row.type not in self.types:
            return False
        if self.sid is not None and row.sid and row.sid != self.sid:
            return False
        if self.no_maintenance and row.in_maintenance:
            return False
        return not (self.up_only and (row.in_maintenance or row.is_down))

    def status_of(self, row: StatisticsRow) -> str:
        """The status of a row: a backend says how many servers serve where some are hidden."""
        if row.type == TYPE_BACKEND and (self.no_maintenance or self.up_only):
            return f"{row.status} ({row.servers_serving}/{row.servers_all})"
        return row.status


ALL = Selection()
"""All rows."""
