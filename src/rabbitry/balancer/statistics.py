"""The balancer's numbers in HAProxy's shape: rows, CSV with all its columns, JSON.

Owns the names and order of the columns (management.txt 9.1 of HAProxy 2.6) and which of them are
known of a front, a server and a back. A column we do not know is empty, never a made-up zero.

Two liberties: `addr` is always there (HAProxy shows it only with `stats show-legends`), and the
columns behind the hundred (`-,ssl_sess,...`) are left out, since they are of modules we do not
have.

Invariants: pure; a row belongs to its caller, later counting does not change it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from rabbitry.balancer.backends import Backend
from rabbitry.balancer.servers import Counters, Server, seconds
from rabbitry.balancer.session import Frontend, Session

_COLUMN_NAMES = """
pxname svname qcur qmax scur smax slim stot bin bout dreq dresp ereq econ eresp wretr
wredis status weight act bck chkfail chkdown lastchg downtime qlimit pid iid sid throttle
lbtot tracked type rate rate_lim rate_max check_status check_code check_duration hrsp_1xx
hrsp_2xx hrsp_3xx hrsp_4xx hrsp_5xx hrsp_other hanafail req_rate req_rate_max req_tot
cli_abrt srv_abrt comp_in comp_out comp_byp comp_rsp lastsess last_chk last_agt qtime
ctime rtime ttime agent_status agent_code agent_duration check_desc agent_desc check_rise
check_fall check_health agent_rise agent_fall agent_health addr cookie mode algo conn_rate
conn_rate_max conn_tot intercepted dcon dses wrew connect reuse cache_lookups cache_hits
srv_icur src_ilim qtime_max ctime_max rtime_max ttime_max eint idle_conn_cur safe_conn_cur
used_conn_cur need_conn_est uweight agg_server_status agg_server_check_status
agg_check_status
"""

COLUMNS = tuple(_COLUMN_NAMES.split())
"""The fixed columns of HAProxy 2.6 in its order."""

TYPE_FRONTEND, TYPE_BACKEND, TYPE_SERVER = 0, 1, 2
"""Column `type`: 0 a front, 1 a back, 2 a server."""


@dataclass(slots=True)
class StatisticsRow:
    """One row: a front, a server or a back. Fields are HAProxy's columns; None is not known.

    Times: `lastchg`, `downtime`, `lastsess` seconds; `check_duration`, `*time` milliseconds.
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
    uweight: int | None = None
    act: int | None = None
    bck: int | None = None
    chkfail: int | None = None
    chkdown: int | None = None
    lastchg: int | None = None
    downtime: int | None = None
    lbtot: int | None = None
    rate: int | None = None
    rate_lim: int | None = None
    rate_max: int | None = None
    conn_rate: int | None = None
    conn_rate_max: int | None = None
    conn_tot: int | None = None
    check_status: str | None = None
    check_duration: int | None = None
    check_desc: str | None = None
    last_chk: str | None = None
    check_rise: int | None = None
    check_fall: int | None = None
    check_health: int | None = None
    cli_abrt: int | None = None
    srv_abrt: int | None = None
    lastsess: int | None = None
    qtime: int | None = None
    ctime: int | None = None
    ttime: int | None = None
    qtime_max: int | None = None
    ctime_max: int | None = None
    ttime_max: int | None = None
    connect: int | None = None
    addr: str | None = None
    algo: str | None = None

    def known(self) -> dict[str, str | int]:
        """The columns that are known of this row, in HAProxy's order."""
        values = ((column, getattr(self, column, None)) for column in COLUMNS)
        return {column: value for column, value in values if value is not None}


def rows_of(
    frontends: Sequence[Frontend], backends: Sequence[Backend], now: int
) -> list[StatisticsRow]:
    """The rows of all sections at `now`: front, servers, back of each, in the file's order."""
    sessions = [session for front in frontends for session in front.sessions.values()]
    numbered: list[tuple[int, list[StatisticsRow]]] = []
    numbered += [(front.section.number, [_front(front, now)]) for front in frontends]
    for backend in backends:
        rows = [
            _server(backend, server, place, sessions, now)
            for place, server in enumerate(backend.servers, start=1)
        ]
        rows.append(_back(backend, frontends, sessions, now))
        numbered.append((backend.section.number, rows))
    numbered.sort(key=lambda each: each[0])  # stable: the front of a `listen` stays before its back
    return [row for _, rows in numbered for row in rows]


def _front(frontend: Frontend, now: int) -> StatisticsRow:
    section = frontend.section
    row = StatisticsRow(
        section.name, "FRONTEND", TYPE_FRONTEND, "OPEN", section.mode, iid=section.number
    )
    row.addr = ",".join(str(bind.address) for bind in section.binds)
    if section.mode == "http":
        return row  # the statistics page: the process serves it, nobody counts it
    row.scur = len(frontend.sessions)
    row.smax = frontend.sessions_max
    row.slim = section.maxconn
    row.stot = row.conn_tot = frontend.sessions_total
    under_way = frontend.sessions.values()
    row.bin = frontend.bytes_in + sum(session.bytes_in for session in under_way)
    row.bout = frontend.bytes_out + sum(session.bytes_out for session in under_way)
    row.dreq = row.dresp = row.ereq = row.rate_lim = 0
    row.rate = row.conn_rate = frontend.rate.per_second(now)
    row.rate_max = row.conn_rate_max = frontend.rate.highest
    return row


def _server(
    backend: Backend, server: Server, place: int, sessions: Sequence[Session], now: int
) -> StatisticsRow:
    section = backend.section
    row = StatisticsRow(
        section.name,
        server.name,
        TYPE_SERVER,
        server.status,
        section.mode,
        iid=section.number,
        sid=place,
    )
    under_way = [each for each in sessions if each.server is server]
    row.bin = server.counters.bytes_in + sum(each.bytes_in for each in under_way)
    row.bout = server.counters.bytes_out + sum(each.bytes_out for each in under_way)
    _fill_counters(row, server.counters, now)
    row.weight = row.uweight = server.weight
    row.act = int(not server.line.backup)
    row.bck = int(server.line.backup)
    row.lastchg = seconds(now - server.changes.at)
    row.addr = str(server.address)
    if server.line.check:
        check = server.check
        row.chkfail = server.checks_failed
        row.chkdown = server.changes.downs
        row.downtime = seconds(server.changes.down_us(now))
        row.check_status = check.status
        row.check_desc = check.description
        row.last_chk = check.info
        if check.duration_us is not None:
            row.check_duration = check.duration_us // 1000
        row.check_rise = server.line.rise
        row.check_fall = server.line.fall
        row.check_health = server.health
    return row


def _back(
    backend: Backend, frontends: Sequence[Frontend], sessions: Sequence[Session], now: int
) -> StatisticsRow:
    section = backend.section
    status = "UP" if backend.changes.up else "DOWN"
    row = StatisticsRow(
        section.name, "BACKEND", TYPE_BACKEND, status, section.mode, iid=section.number
    )
    under_way = [each for each in sessions if each.backend is backend and each.backend_counted]
    row.bin = backend.counters.bytes_in + sum(each.bytes_in for each in under_way)
    row.bout = backend.counters.bytes_out + sum(each.bytes_out for each in under_way)
    _fill_counters(row, backend.counters, now)
    # `fullconn`: a tenth of what the front admits (configuration.txt 4.2, "fullconn").
    maxconn = sum(front.section.maxconn for front in frontends if front.backend is backend)
    row.slim = section.fullconn or max((maxconn + 9) // 10, 1)
    active = backend.active_usable
    row.act = len(active)
    row.bck = len(backend.backup_usable)
    row.weight = row.uweight = sum(server.weight for server in backend.in_turn)
    row.chkdown = backend.changes.downs
    row.lastchg = seconds(now - backend.changes.at)
    row.downtime = seconds(backend.changes.down_us(now))
    row.dreq = 0
    row.algo = "roundrobin"
    return row


def _fill_counters(row: StatisticsRow, counters: Counters, now: int) -> None:
    """Fill in what servers and backs count alike. There is no queue, so its numbers are true
    zeros.
    """
    row.qcur = row.qmax = row.qtime = row.qtime_max = 0
    row.scur = counters.sessions
    row.smax = counters.sessions_max
    row.stot = counters.sessions_total
    row.lbtot = counters.chosen_total
    row.connect = counters.connects_total
    row.dresp = 0
    row.econ = counters.connect_errors
    row.eresp = counters.response_errors
    row.wretr = counters.retries
    row.wredis = counters.redispatches
    row.cli_abrt = counters.client_aborts
    row.srv_abrt = counters.server_aborts
    row.rate = counters.rate.per_second(now)
    row.rate_max = counters.rate.highest
    row.ctime = counters.connect_times.average_ms
    row.ctime_max = counters.connect_times.highest_ms
    row.ttime = counters.total_times.average_ms
    row.ttime_max = counters.total_times.highest_ms
    last_at = counters.last_session_at
    row.lastsess = -1 if last_at is None else seconds(now - last_at)


def to_csv(rows: Sequence[StatisticsRow]) -> str:
    """Render rows as HAProxy's `;csv`: a header beginning `# `, a comma behind every column."""
    lines = ["# " + "".join(f"{column}," for column in COLUMNS)]
    for row in rows:
        known = row.known()
        lines.append("".join(f"{_quoted(known.get(column, ''))}," for column in COLUMNS))
    return "\n".join(lines) + "\n"


def to_json(rows: Sequence[StatisticsRow]) -> str:
    """Render rows as a list of objects; a column that is not known is left out."""
    return json.dumps([row.known() for row in rows], indent=1) + "\n"


def _quoted(value: str | int) -> str:
    text = str(value)
    if any(char in text for char in ',"\n\r'):
        return '"' + text.replace('"', '""') + '"'
    return text
