"""The numbers as Prometheus reads them, under the names of HAProxy's own exporter.

Owns which family stands for which column or field, its type and labels, and the text format, as
Debian's HAProxy 2.6.12 writes it (addons/promex): dashboards and alerts made for that work here.
Values are those of the statistics rows and of `show info`. The help texts are ours: the meanings
of the columns.

Invariants: pure; a family is written once, its samples behind it; what is not known is NaN.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import unquote_plus

from rabbitry.balancer.statistics.columns import (
    COLUMNS,
    TYPE_BACKEND,
    TYPE_FRONTEND,
    TYPE_LISTENER,
    TYPE_SERVER,
)
from rabbitry.balancer.statistics.rows import StatisticsRow, Value

CONTENT_TYPE = "text/plain; version=0.0.4"

# Of `show info`: field, family behind `haproxy_process_`, c(ounter) or g(auge), meaning.
_PROCESS = """
Nbthread nbthread g processes that pass bytes (nbthread times nbproc)
Nbproc nbproc g always 1
Process_num relative_process_id g always 1
Uptime_sec uptime_seconds g seconds since the start
PoolFailed pool_failures_total c allocations that failed
Ulimit-n max_fds g limit of open files
Maxsock max_sockets g limit of open sockets
Maxconn max_connections g limit of client connections
Hard_maxconn hard_max_connections g limit of client connections at the start
CurrConns current_connections g client connections open now
CumConns connections_total c client connections so far
CumReq requests_total c sessions and requests so far
MaxSslConns max_ssl_connections g limit of TLS connections, 0 for none
CurrSslConns current_ssl_connections g TLS connections open now
CumSslConns ssl_connections_total c TLS connections so far
Maxpipes max_pipes g limit of pipes, 0 for none
PipesUsed pipes_used_total c pipes in use
PipesFree pipes_free_total c pipes not in use
ConnRate current_connection_rate g client connections of the last second
ConnRateLimit limit_connection_rate g limit of new connections a second
MaxConnRate max_connection_rate g most connections in a second
SessRate current_session_rate g sessions of the last second
SessRateLimit limit_session_rate g limit of new sessions a second
MaxSessRate max_session_rate g most sessions in a second
SslRate current_ssl_rate g TLS connections of the last second
SslRateLimit limit_ssl_rate g limit of new TLS connections a second
MaxSslRate max_ssl_rate g most TLS connections in a second
SslFrontendKeyRate current_frontend_ssl_key_rate g TLS keys made for clients in the last second
SslFrontendMaxKeyRate max_frontend_ssl_key_rate g most TLS keys made for clients in a second
SslFrontendSessionReuse_pct frontend_ssl_reuse g percent of TLS connections without a new key
SslBackendKeyRate current_backend_ssl_key_rate g TLS keys made for servers in the last second
SslBackendMaxKeyRate max_backend_ssl_key_rate g most TLS keys made for servers in a second
SslCacheLookups ssl_cache_lookups_total c TLS sessions looked up
SslCacheMisses ssl_cache_misses_total c TLS sessions looked up and not found
CompressBpsIn http_comp_bytes_in_total c bytes into HTTP compression in the last second
CompressBpsOut http_comp_bytes_out_total c bytes out of HTTP compression in the last second
CompressBpsRateLim limit_http_comp g limit of HTTP compression
ZlibMemUsage current_zlib_memory g memory of HTTP compression
MaxZlibMemUsage max_zlib_memory g limit of the memory of HTTP compression
Tasks current_tasks g things under way: connections, checks, listeners
Run_queue current_run_queue g things waiting for the processor
Idle_pct idle_time_percent g percent of the last second in which nothing was to be done
Stopping stopping g 1 while it finishes what it has
Jobs jobs g client connections and listeners
Unstoppable Jobs unstoppable_jobs g jobs that do not end with a stop
Listeners listeners g addresses that are listened at
ActivePeers active_peers g there are no peers
ConnectedPeers connected_peers g there are no peers
DroppedLogs dropped_logs_total c log lines that nobody took
BusyPolling busy_polling_enabled g always 0
FailedResolutions failed_resolutions c names that could not be looked up
TotalBytesOut bytes_out_total c bytes sent so far
TotalSplicdedBytesOut spliced_bytes_out_total c bytes sent past this program
BytesOutRate bytes_out_rate g bytes sent in the last second
CumRecvLogs recv_logs_total c always 0
Version build_info g version of the program
Memmax_bytes max_memory_bytes g limit of memory, 0 for none
PoolAlloc_bytes pool_allocated_bytes g memory in use
PoolUsed_bytes pool_used_bytes g memory in use
Start_time_sec start_time_seconds g time of the start, in seconds since 1970
"""

# Of rows: column, family behind the prefix, type, and whose: F(rontends), L(isteners), B(ackends),
# S(ervers).
_OF_ROWS = """
qcur current_queue g BS
qmax max_queue g BS
scur current_sessions g FLBS
smax max_sessions g FLBS
slim limit_sessions g FLBS
stot sessions_total c FLBS
bin bytes_in_total c FLBS
bout bytes_out_total c FLBS
dreq requests_denied_total c FLB
dresp responses_denied_total c FLBS
ereq request_errors_total c FL
econ connection_errors_total c BS
eresp response_errors_total c BS
wretr retry_warnings_total c BS
wredis redispatch_warnings_total c BS
status status g FLBS
weight weight g BS
act active_servers g B
bck backup_servers g B
chkfail check_failures_total c S
chkdown check_up_down_total c BS
lastchg check_last_change_seconds g BS
downtime downtime_seconds_total c BS
qlimit queue_limit g S
throttle current_throttle g S
lbtot loadbalanced_total c BS
rate_lim limit_session_rate g F
rate_max max_session_rate g FBS
check_status check_status g S
check_code check_code g S
check_duration check_duration_seconds g S
hrsp_1xx http_responses_total c FBS
hrsp_2xx http_responses_total c FBS
hrsp_3xx http_responses_total c FBS
hrsp_4xx http_responses_total c FBS
hrsp_5xx http_responses_total c FBS
hrsp_other http_responses_total c FBS
req_rate_max http_requests_rate_max g F
req_tot http_requests_total c FB
cli_abrt client_aborts_total c BS
srv_abrt server_aborts_total c BS
comp_in http_comp_bytes_in_total c FB
comp_out http_comp_bytes_out_total c FB
comp_byp http_comp_bytes_bypassed_total c FB
comp_rsp http_comp_responses_total c FB
lastsess last_session_seconds g BS
qtime queue_time_average_seconds g BS
ctime connect_time_average_seconds g BS
rtime response_time_average_seconds g BS
ttime total_time_average_seconds g BS
conn_rate_max connections_rate_max g F
conn_tot connections_total c F
intercepted intercepted_requests_total c F
dcon denied_connections_total c FL
dses denied_sessions_total c FL
wrew failed_header_rewriting_total c FLBS
connect connection_attempts_total c BS
reuse connection_reuses_total c BS
cache_lookups http_cache_lookups_total c FB
cache_hits http_cache_hits_total c FB
srv_icur idle_connections_current g S
src_ilim idle_connections_limit g S
qtime_max max_queue_time_seconds g BS
ctime_max max_connect_time_seconds g BS
rtime_max max_response_time_seconds g BS
ttime_max max_total_time_seconds g BS
eint internal_errors_total c FLBS
idle_conn_cur unsafe_idle_connections_current g S
safe_conn_cur safe_idle_connections_current g S
used_conn_cur used_connections_current g S
need_conn_est need_connections_current g S
uweight uweight g BS
agg_server_status agg_server_status g B
agg_server_check_status agg_server_check_status g B
agg_check_status agg_check_status g B
"""

_TYPES = {"c": "counter", "g": "gauge"}
_KINDS = (
    ("F", TYPE_FRONTEND, "frontend"),
    ("L", TYPE_LISTENER, "listener"),
    ("B", TYPE_BACKEND, "backend"),
    ("S", TYPE_SERVER, "server"),
)
_HTTP_ONLY = frozenset(
    (
        *("hrsp_1xx", "hrsp_2xx", "hrsp_3xx", "hrsp_4xx", "hrsp_5xx", "hrsp_other"),
        *("req_rate_max", "req_tot", "intercepted", "cache_lookups", "cache_hits"),
        *("comp_in", "comp_out", "comp_byp", "comp_rsp"),
    )
)
_IN_MILLISECONDS = frozenset(
    (
        *("qtime", "ctime", "rtime", "ttime", "qtime_max", "ctime_max", "rtime_max", "ttime_max"),
        "check_duration",
    )
)
_SERVER_STATES = ("DOWN", "UP", "MAINT", "DRAIN", "NOLB")
_STATES = {
    TYPE_FRONTEND: ("DOWN", "UP"),
    TYPE_LISTENER: ("WAITING", "OPEN", "FULL"),
    TYPE_BACKEND: ("DOWN", "UP"),
    TYPE_SERVER: _SERVER_STATES,
}
_CHECK_STATES = (
    *("HANA", "SOCKERR", "L4OK", "L4TOUT", "L4CON", "L6OK", "L6TOUT", "L6RSP", "L7TOUT", "L7RSP"),
    *("L7OK", "L7OKC", "L7STS", "PROCERR", "PROCTOUT", "PROCOK"),
)
_MEANINGS = {column.name: column.meaning for column in COLUMNS} | {
    "hrsp_1xx": "HTTP answers, by label code",
    "status": "1 at the label state in which it is",
    "check_status": "1 at the label state that the last check found",
    "agg_server_status": "how many servers are in each state",
    "agg_server_check_status": "how many servers are in each state",
    "agg_check_status": "how many servers had this result of their last check",
    "check_duration": "seconds the last check took",
    "qtime": "average seconds in the queue, last 1024 sessions",
    "ctime": "average seconds to connect, last 1024 sessions",
    "rtime": "average seconds to answer, last 1024 HTTP requests",
    "ttime": "average seconds of a session, last 1024 sessions",
    "qtime_max": "most seconds in the queue",
    "ctime_max": "most seconds to connect",
    "rtime_max": "most seconds to answer",
    "ttime_max": "most seconds of a session",
}


class BadQuery(ValueError):
    """The query asks for what there is not."""


@dataclass(frozen=True, slots=True)
class MetricsScope:
    """Which metrics are wanted: those of `kinds` (global, frontend, listener, backend, server,
    sticktable); servers in maintenance are left out with `no_maintenance`."""

    kinds: frozenset[str] = frozenset(
        ("global", "frontend", "listener", "backend", "server", "sticktable")
    )
    no_maintenance: bool = False


def read_query(query: str) -> MetricsScope:
    """Read what follows `?` (`promex_parse_uri`): `scope=` as often as wanted, `no-maint`.

    Raises `BadQuery`.
    """
    every = MetricsScope().kinds
    kinds: set[str] | None = None
    no_maintenance = False
    for part in query.partition("#")[0].split("&"):
        key, equals, value = part.partition("=")
        if "=" in value:
            raise BadQuery(part)
        key, value = unquote_plus(key), unquote_plus(value)
        if key == "no-maint":
            no_maintenance = True
        elif key == "scope":
            kinds = set() if kinds is None else kinds
            if not equals:
                raise BadQuery(part)
            if not value:
                kinds.clear()
            elif value.startswith("*"):
                kinds.update(every)
            elif value in every:
                kinds.add(value)
            else:
                raise BadQuery(part)
    return MetricsScope(every if kinds is None else frozenset(kinds), no_maintenance)


def to_metrics(
    info: Mapping[str, Value], rows: Sequence[StatisticsRow], scope: MetricsScope
) -> str:
    """Render everything that is wanted; `info` are the fields of `show info` by name."""
    lines: list[str] = []
    if "global" in scope.kinds:
        _write_process(lines, info)
    for letter, row_type, name in _KINDS:
        if name not in scope.kinds:
            continue
        chosen = [row for row in rows if row.type == row_type]
        if row_type == TYPE_SERVER and scope.no_maintenance:
            chosen = [row for row in chosen if not row.status.startswith("MAINT")]
        described = [_Described(row, rows) for row in chosen]
        before = ""
        for column, family, type_letter, kinds in _FAMILIES:
            if letter in kinds:
                samples = [line for each in described for line in each.samples(column)]
                meaning = "" if family == before else _MEANINGS[column]
                _write(lines, f"haproxy_{name}_{family}", type_letter, meaning, samples)
                before = family
    return "".join(lines)


_FAMILIES = [line.split(" ") for line in _OF_ROWS.strip().splitlines()]


def _write_process(lines: list[str], info: Mapping[str, Value]) -> None:
    for line in _PROCESS.strip().splitlines():
        field, _, rest = line.partition(" ")
        if field == "Unstoppable":
            field, rest = "Unstoppable Jobs", rest.removeprefix("Jobs ")
        family, type_letter, meaning = rest.split(" ", 2)
        sample = f" {_number(info.get(field))}"
        if family == "build_info":
            sample = f'{{version="{_escaped(str(info.get(field, "")))}"}} 1'
        _write(lines, f"haproxy_process_{family}", type_letter, meaning, [sample])


def _write(
    lines: list[str], family: str, type_letter: str, meaning: str, samples: Iterable[str]
) -> None:
    """Write a family; a sample is what follows its name. One without samples is left out. Without
    a `meaning` it is the rest of the family before."""
    head = ""
    if meaning:
        head = f"# HELP {family} {meaning}\n# TYPE {family} {_TYPES[type_letter]}\n"
    for sample in samples:
        lines.append(f"{head}{family}{sample}\n")
        head = ""


class _Described:
    """A row with its labels; `rows` are all, for what is reckoned of others."""

    def __init__(self, row: StatisticsRow, rows: Sequence[StatisticsRow]) -> None:
        self._row = row
        self._rows = rows
        self._known = row.known()
        self._labels = f'proxy="{_escaped(row.pxname)}"'
        if row.type in (TYPE_LISTENER, TYPE_SERVER):
            name = "server" if row.type == TYPE_SERVER else "listener"
            self._labels += f',{name}="{_escaped(row.svname)}"'

    def samples(self, column: str) -> Iterator[str]:
        """The samples of a column, without the name."""
        row, known = self._row, self._known
        if column in _HTTP_ONLY and row.mode != "http":
            return
        if column == "status":
            yield from self._one_of("state", _STATES[row.type], state_of(row))
        elif column.startswith("hrsp_"):
            yield self._sample(known.get(column), f',code="{column[5:]}"')
        elif column == "check_status":
            if (found := _checked(row)) is not None:
                yield from self._one_of("state", _CHECK_STATES, found)
        elif column == "check_code":
            if _checked(row) is not None:
                yield self._sample(known.get(column, 0))
        elif column == "check_duration" and known.get(column) is None:
            return
        elif column.startswith("agg_"):
            yield from self._counts(column)
        elif column in _IN_MILLISECONDS:
            milliseconds = known.get(column, 0)
            assert isinstance(milliseconds, int)
            yield f"{{{self._labels}}} {milliseconds / 1000:.6f}"
        else:
            yield self._sample(known.get(column))

    def _sample(self, value: Value | None, label: str = "") -> str:
        return f"{{{self._labels}{label}}} {_number(value)}"

    def _one_of(self, label: str, states: Sequence[str], found: str) -> Iterator[str]:
        for state in states:
            yield self._sample(int(state == found), f',{label}="{state}"')

    def _counts(self, column: str) -> Iterator[str]:
        """How many servers of a backend there are in each state."""
        servers = [
            row for row in self._rows if row.type == TYPE_SERVER and row.pxname == self._row.pxname
        ]
        if not servers:
            return
        if column == "agg_check_status":
            found = Counter(_checked(row) for row in servers)
        else:
            found = Counter(state_of(row) for row in servers)
        for state in _CHECK_STATES if column == "agg_check_status" else _SERVER_STATES:
            yield self._sample(found[state], f',state="{state}"')


def state_of(row: StatisticsRow) -> str:
    """The state of a row among those of its label `state` (`promex_srv_status`)."""
    if row.type == TYPE_FRONTEND:
        return "DOWN" if row.status == "STOP" else "UP"
    if row.type != TYPE_SERVER:
        return row.status
    word = row.status.split(" ")[0]
    if word == "DRAIN" and not row.uweight:
        return "UP"  # nobody drains it: it has no weight
    return word if word in _SERVER_STATES else "UP"


def _checked(row: StatisticsRow) -> str | None:
    """What the last check of a server found; None where it is not checked."""
    return None if row.check_status is None else row.check_status.removeprefix("* ")


def _number(value: Value | None) -> str:
    return str(value) if isinstance(value, int) else "NaN"


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
