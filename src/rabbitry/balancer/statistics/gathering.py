"""The numbers of a balancer at one moment, as rows.

Owns which counter stands in which column of a frontend, a listener, a server, a backend
(src/stats.c, `stats_fill_fe_stats` and its like). Does not own the counting.

Invariants: pure; the work is linear in sections, servers and sessions together.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rabbitry.balancer.algorithms.pool import WEIGHT_SCALE
from rabbitry.balancer.backends import Backend
from rabbitry.balancer.servers import Admin, Counters, Operating, Server, seconds
from rabbitry.balancer.session import Frontend, Listener, Session
from rabbitry.balancer.statistics.columns import (
    TYPE_BACKEND,
    TYPE_FRONTEND,
    TYPE_LISTENER,
    TYPE_SERVER,
)
from rabbitry.balancer.statistics.rows import StatisticsRow
from rabbitry.machine import Address

Counted = Frontend | Listener | Server | Backend


class UnderWay:
    """Bytes of the sessions that have not ended, which the counters do not have yet."""

    def __init__(self, sessions: Iterable[Session]) -> None:
        self._bytes: dict[Counted, tuple[int, int]] = {}
        for session in sessions:
            self._add(session.frontend, session.bytes_in, session.bytes_out)
            if session.frontend.section.socket_stats:
                self._add(session.listener, session.bytes_in, session.bytes_out)
            if session.server is not None:
                self._add(session.server, session.bytes_in, session.bytes_out)
            if session.backend_counted and session.backend is not None:
                self._add(session.backend, session.bytes_in, session.bytes_out)

    def _add(self, what: Counted, bytes_in: int, bytes_out: int) -> None:
        before_in, before_out = self._bytes.get(what, (0, 0))
        self._bytes[what] = before_in + bytes_in, before_out + bytes_out

    def of(self, what: Counted) -> tuple[int, int]:
        """Bytes in and out of the sessions under way of a frontend, server or backend."""
        return self._bytes.get(what, (0, 0))


def rows_of(
    frontends: Sequence[Frontend],
    backends: Sequence[Backend],
    listeners: Iterable[Listener],
    sessions: Iterable[Session],
    now: int,
) -> list[StatisticsRow]:
    """The rows of all sections at `now`: front, servers, back of each, in the file's order.

    `listeners` have rows of their own where their section says `option socket-stats`. `sessions`
    are all that live: also those whose frontend has no row any more have servers that have one.
    """
    under_way = UnderWay(sessions)
    numbered: list[tuple[int, list[StatisticsRow]]] = []
    numbered += [
        (front.section.number, [_front(front, under_way, now)])
        for front in frontends
        if not front.section.disabled
    ]
    for listener in listeners:
        section = listener.frontend.section
        if section.socket_stats and not section.disabled:
            numbered.append((section.number, [_listener(listener, under_way)]))
    for backend in backends:
        if backend.section.disabled:
            continue
        rows = [
            _server(backend, server, place, under_way, now)
            for place, server in enumerate(backend.servers, start=1)
        ]
        rows.append(_back(backend, frontends, under_way, now))
        numbered.append((backend.section.number, rows))
    numbered.sort(key=lambda each: each[0])  # stable: the front of a `listen` stays before its back
    return [row for _, rows in numbered for row in rows]


def _front(frontend: Frontend, under_way: UnderWay, now: int) -> StatisticsRow:
    section = frontend.section
    status = "PAUSED" if frontend.is_disabled else "OPEN"
    if frontend.is_shut_down:
        status = "STOP"
    row = StatisticsRow(
        section.name, "FRONTEND", TYPE_FRONTEND, status, section.mode, iid=section.number
    )
    bytes_in, bytes_out = under_way.of(frontend)
    row.scur = len(frontend.sessions)
    row.smax = frontend.sessions_max
    row.slim = frontend.maxconn
    row.stot = frontend.sessions_total
    row.conn_tot = frontend.connections_total
    row.cells = frontend.tls.cells() | {"eint": frontend.internal_errors}
    row.bin = frontend.bytes_in + bytes_in
    row.bout = frontend.bytes_out + bytes_out
    row.rate_lim = frontend.sessions_per_s or 0
    row.rate = row.conn_rate = frontend.rate.per_second(now)
    row.rate_max = row.conn_rate_max = frontend.rate.highest
    return row


def _listener(listener: Listener, under_way: UnderWay) -> StatisticsRow:
    section, bind = listener.frontend.section, listener.bind
    number = bind.id or listener.number
    name = bind.name or f"sock-{number}"
    status = "OPEN"
    if bind.maxconn and listener.sessions >= bind.maxconn:
        status = "FULL"
    elif listener.is_paused:
        status = "WAITING"
    row = StatisticsRow(
        section.name, name, TYPE_LISTENER, status, section.mode, iid=section.number, sid=number
    )
    bytes_in, bytes_out = under_way.of(listener)
    row.scur = listener.sessions
    row.smax = listener.sessions_max
    row.slim = bind.maxconn or 0
    row.stot = listener.sessions_total
    row.bin = listener.bytes_in + bytes_in
    row.bout = listener.bytes_out + bytes_out
    row.addr = shown_address(bind.address)
    row.cells = listener.tls.cells()
    return row


def _server(
    backend: Backend, server: Server, place: int, under_way: UnderWay, now: int
) -> StatisticsRow:
    section = backend.section
    line = server.line
    row = StatisticsRow(
        section.name, server.name, TYPE_SERVER, server.status, section.mode, iid=section.number
    )
    row.sid = server.number
    row.cells = server.tls.cells() | {"eint": server.counters.internal_errors}
    _fill_counters(row, server.counters, under_way.of(server), now)
    row.qcur = server.queued
    row.qmax = server.queued_max
    row.slim = server.maxconn or None
    row.qlimit = line.maxqueue or None
    row.weight = -(-server.effective_weight // WEIGHT_SCALE)
    row.uweight = server.weight
    row.act = int(not server.is_backup)
    row.bck = int(server.is_backup)
    row.lastchg = seconds(now) - seconds(server.changes.at)
    if not server.is_drained:
        row.throttle = server.throttle_percent(now)
    row.used_conn_cur = 0  # HAProxy counts those of HTTP only
    row.need_conn_est = int(bool(server.counters.connects_total or line.check))
    row.tracked = server.tracked.key if server.tracked is not None else None
    row.addr = shown_address(server.address)
    row.in_maintenance = bool(server.admin & Admin.MAINT)
    row.is_down = _is_down(server)
    if server.health.enabled:
        row.chkfail = server.checks_failed
        row.chkdown = server.changes.downs
        row.downtime = seconds(server.changes.down_us(now))
        if not row.in_maintenance:
            _fill_check(row, server)
    if server.agent.enabled and not row.in_maintenance:
        _fill_agent(row, server)
    return row


def _is_down(server: Server) -> bool:
    """Whether it is down and not on its way up."""
    judged = server
    while judged.tracked is not None:
        judged = judged.tracked
    if server.operating is not Operating.STOPPED:
        return False
    checked = [each for each in (judged.health, judged.agent) if each.enabled]
    return not checked or any(not each.value for each in checked)


def _fill_check(row: StatisticsRow, server: Server) -> None:
    check, health = server.health.check, server.health
    row.check_status = f"* {check.status}" if health.in_progress else check.status
    row.check_desc = check.description
    row.last_chk = check.info
    row.remark = check.remark
    row.check_code = check.code
    if check.duration_us is not None:
        row.check_duration = check.duration_us // 1000
    row.check_rise = health.rise
    row.check_fall = health.fall
    row.check_health = health.value
    if server.line.observe:
        row.hanafail = health.observed_failures


def _fill_agent(row: StatisticsRow, server: Server) -> None:
    check, agent = server.agent.check, server.agent
    row.agent_status = f"* {check.status}" if agent.in_progress else check.status
    row.agent_desc = check.description
    row.last_agt = check.info
    row.agent_code = check.code
    row.agent_duration = (check.duration_us or 0) // 1000
    row.agent_rise = agent.rise
    row.agent_fall = agent.fall
    row.agent_health = agent.value


def shown_address(address: Address) -> str:
    """An address in the column `addr`: of a Unix socket only that it is one."""
    return "unix" if address.host.startswith(("/", "@")) else str(address)


def _back(
    backend: Backend, frontends: Sequence[Frontend], under_way: UnderWay, now: int
) -> StatisticsRow:
    section = backend.section
    status = "UP" if backend.changes.up else "DOWN"
    row = StatisticsRow(
        section.name, "BACKEND", TYPE_BACKEND, status, section.mode, iid=section.number
    )
    _fill_counters(row, backend.counters, under_way.of(backend), now)
    # `fullconn`: a tenth of what the front admits (configuration.txt 4.2, "fullconn").
    maxconn = sum(front.section.maxconn for front in frontends if front.backend is backend)
    row.cells = backend.tls.cells() | {"eint": backend.counters.internal_errors}
    row.slim = section.fullconn or max((maxconn + 9) // 10, 1)
    row.qcur = backend.queued
    row.qmax = backend.queued_max
    row.act = len(backend.active_usable)
    row.bck = len(backend.backup_usable)
    row.weight = -(-backend.total_weight // WEIGHT_SCALE)
    row.uweight = sum(server.weight for server in backend.in_turn)
    row.chkdown = backend.changes.downs
    row.lastchg = seconds(now - backend.changes.at)
    if backend.servers:
        row.downtime = seconds(backend.changes.down_us(now))
    row.algo = section.balance.algorithm
    row.servers_serving = sum(1 for server in backend.servers if server.is_up)
    row.servers_all = len(backend.servers)
    return row


def _fill_counters(
    row: StatisticsRow, counters: Counters, under_way: tuple[int, int], now: int
) -> None:
    """Fill in what servers and backends count alike."""
    row.bin = counters.bytes_in + under_way[0]
    row.bout = counters.bytes_out + under_way[1]
    row.qtime = counters.queue_times.average_ms
    row.qtime_max = counters.queue_times.highest_ms
    row.scur = counters.sessions
    row.smax = counters.sessions_max
    row.stot = counters.sessions_total
    row.lbtot = counters.chosen_total
    row.connect = counters.connects_total
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
