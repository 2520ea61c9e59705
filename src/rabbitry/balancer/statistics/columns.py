"""The columns of HAProxy's statistics: their names and order, what each value is, what it means.

Owns one table, from which every format is written: a tag of three letters as in `show stat typed`
(management.txt 9.3, "show stat": origin, nature, scope) and a type. As printed by Debian's HAProxy
2.6.12: 103 fixed columns, a column `-`, then those of its modules for TLS, HTTP/2 and HTTP/1.

Does not own the values (`rows`). The meanings are ours, in fewer words than HAProxy's.

Invariants: pure data; positions in `COLUMNS` are HAProxy's, tools rely on them.
"""

from __future__ import annotations

from dataclasses import dataclass

TYPE_FRONTEND, TYPE_BACKEND, TYPE_SERVER, TYPE_LISTENER = 0, 1, 2, 3
"""Column `type`: 0 a frontend, 1 a backend, 2 a server, 3 a listener."""

_TABLE = """
pxname KNS str name of the section
svname KNS str FRONTEND, BACKEND, or name of the server or listener
qcur MGP u32 sessions waiting for a server now
qmax MMP u32 most sessions that waited at once
scur MGP u32 sessions open now
smax MMP u32 most sessions open at once
slim CLP u32 limit of open sessions
stot MCP u64 sessions so far
bin MCP u64 bytes from clients so far
bout MCP u64 bytes to clients so far
dreq MCP u64 requests denied by a rule
dresp MCP u64 answers denied by a rule
ereq MCP u64 requests that were no requests
econ MCP u64 sessions that got no connection to a server
eresp MCP u64 connections that servers broke
wretr MCP u64 connects tried again
wredis MCP u64 sessions moved to another server
status SGP str OPEN, UP, DOWN, DRAIN, MAINT and so on
weight MaP u32 effective weight, of a backend the sum of those in use
act SGP u32 whether active, of a backend how many active servers are usable
bck SGP u32 whether a backup, of a backend how many backups are usable
chkfail MCP u64 checks that failed while the server was up
chkdown MCP u64 times it went down
lastchg MAP u32 seconds since it last changed between up and down
downtime MCP u32 seconds it was down altogether
qlimit CGS u32 limit of sessions waiting for this server
pid KGP u32 number of the process, always 1
iid KGS u32 number of the section
sid KGS u32 number of the server or listener in its section
throttle MaP u32 percent of its weight that a server in slowstart has reached
lbtot MCP u64 times the algorithm chose it
tracked CNS str server whose health this one shares
type CGS u32 0 frontend, 1 backend, 2 server, 3 listener
rate MRP u32 sessions of the last second
rate_lim CLP u32 limit of new sessions a second
rate_max MMP u32 most sessions in a second
check_status MOP str result of the last check, behind * while another is under way
check_code MOP u32 code of the last check of layer 5 to 7
check_duration MDP u64 milliseconds the last check took
hrsp_1xx MCP u64 HTTP answers 100 to 199
hrsp_2xx MCP u64 HTTP answers 200 to 299
hrsp_3xx MCP u64 HTTP answers 300 to 399
hrsp_4xx MCP u64 HTTP answers 400 to 499
hrsp_5xx MCP u64 HTTP answers 500 to 599
hrsp_other MCP u64 other HTTP answers
hanafail MCP u64 checks failed because of what sessions met
req_rate MRP u32 HTTP requests of the last second
req_rate_max MMP u32 most HTTP requests in a second
req_tot MCP u64 HTTP requests so far
cli_abrt MCP u64 sessions broken off by clients
srv_abrt MCP u64 sessions broken off by servers
comp_in MCP u64 bytes handed to HTTP compression
comp_out MCP u64 bytes that came out of HTTP compression
comp_byp MCP u64 bytes that went past HTTP compression
comp_rsp MCP u64 HTTP answers compressed
lastsess MAP s32 seconds since the last session, -1 if there was none
last_chk MOP str what the last check found, in words
last_agt MOP str what the last agent check found, in words
qtime MaP u32 average milliseconds in the queue, last 1024 sessions
ctime MaP u32 average milliseconds to connect, last 1024 sessions
rtime MaP u32 average milliseconds to answer, last 1024 HTTP requests
ttime MaP u32 average milliseconds of a session, last 1024 sessions
agent_status MOP str result of the last agent check
agent_code MOP u32 code of the last agent check
agent_duration MDP u64 milliseconds the last agent check took
check_desc MOP str check_status in words
agent_desc MOP str agent_status in words
check_rise CGS u32 checks to pass before a server is up
check_fall CGS u32 checks to fail before a server is down
check_health CGS u32 health, up from check_rise on
agent_rise CGS u32 agent checks to pass before a server is up
agent_fall CGS u32 agent checks to fail before a server is down
agent_health CGS u32 health by agent checks, up from agent_rise on
addr CGS str address and port
cookie CNS str name of a cookie
mode CGS str tcp, amqp or http
algo CGS str how servers are chosen
conn_rate MRP u32 connections of the last second
conn_rate_max MMP u32 most connections in a second
conn_tot MCP u64 connections so far
intercepted MCP u64 HTTP requests answered here
dcon MCP u64 connections denied by a rule
dses MCP u64 sessions denied by a rule
wrew MCP u64 HTTP headers that could not be rewritten
connect MCP u64 connects tried
reuse MCP u64 connections used again
cache_lookups MCP u64 HTTP requests looked up in the cache
cache_hits MCP u64 HTTP requests found in the cache
srv_icur MGP u32 idle connections to the server
src_ilim CLP u32 limit of idle connections to the server
qtime_max MMP u32 most milliseconds in the queue
ctime_max MMP u32 most milliseconds to connect
rtime_max MMP u32 most milliseconds to answer
ttime_max MMP u32 most milliseconds of a session
eint MCP u64 sessions that failed by a fault of this program
idle_conn_cur MGP u32 idle connections that may have been closed
safe_conn_cur MGP u32 idle connections that are good
used_conn_cur MGP u32 connections in use
need_conn_est MGP u32 connections thought to be needed
uweight MaP u32 weight as set, of a backend the sum of those in use
agg_server_status MGP u32 of metrics only
agg_server_check_status MGP u32 of metrics only
agg_check_status MGP u32 of metrics only
ssl_sess MCP u64 TLS sessions
ssl_reused_sess MCP u64 TLS sessions used again
ssl_failed_handshake MCP u64 TLS handshakes that failed
h2_headers_rcvd MCP u64 HTTP/2 is not spoken
h2_data_rcvd MCP u64 HTTP/2 is not spoken
h2_settings_rcvd MCP u64 HTTP/2 is not spoken
h2_rst_stream_rcvd MCP u64 HTTP/2 is not spoken
h2_goaway_rcvd MCP u64 HTTP/2 is not spoken
h2_detected_conn_protocol_errors MCP u64 HTTP/2 is not spoken
h2_detected_strm_protocol_errors MCP u64 HTTP/2 is not spoken
h2_rst_stream_resp MCP u64 HTTP/2 is not spoken
h2_goaway_resp MCP u64 HTTP/2 is not spoken
h2_open_connections MGP u64 HTTP/2 is not spoken
h2_backend_open_streams MGP u64 HTTP/2 is not spoken
h2_total_connections MCP u64 HTTP/2 is not spoken
h2_backend_total_streams MCP u64 HTTP/2 is not spoken
h1_open_connections MGP u64 HTTP connections open now
h1_open_streams MGP u64 HTTP requests under way now
h1_total_connections MCP u64 HTTP connections so far
h1_total_streams MCP u64 HTTP requests so far
h1_bytes_in MCP u64 bytes of HTTP received
h1_bytes_out MCP u64 bytes of HTTP sent
h1_spliced_bytes_in MCP u64 bytes received past this program
h1_spliced_bytes_out MCP u64 bytes sent past this program
"""


@dataclass(frozen=True, slots=True)
class Column:
    """One column: `tags` are the letters of origin, nature, scope; `type` u32, u64, s32 or str."""

    name: str
    tags: str
    type: str
    meaning: str

    def tags_of(self, row_type: int) -> str:
        """The tags in rows of this type: some numbers of backends are plain gauges there."""
        if row_type == TYPE_BACKEND and self.name in _GAUGES_OF_BACKENDS:
            return "MGP"
        return self.tags


_GAUGES_OF_BACKENDS = frozenset(("act", "bck", "rate", "rate_max"))

COLUMNS = tuple(Column(*line.split(" ", 3)) for line in _TABLE.strip().splitlines())
"""All columns in HAProxy's order, without the column `-`."""

FIXED_COLUMNS = 103
"""The columns that are there whatever modules HAProxy was built with; `-` follows them."""

_MODULES = tuple(column.name for column in COLUMNS[FIXED_COLUMNS:])
_TLS = _MODULES[:3]
_OF_EACH_SIDE = ("dreq", "dresp", "comp_in", "comp_out", "comp_byp", "comp_rsp", "wrew", "eint")
_HTTP_ANSWERS = ("hrsp_1xx", "hrsp_2xx", "hrsp_3xx", "hrsp_4xx", "hrsp_5xx", "hrsp_other")
_CACHE = ("cache_lookups", "cache_hits")

ALWAYS_ZERO = {
    TYPE_FRONTEND: (
        *_OF_EACH_SIDE,
        *("ereq", "req_rate", "req_rate_max", "req_tot", "dcon", "dses"),
        *_MODULES,
    ),
    TYPE_LISTENER: ("dreq", "dresp", "ereq", "dcon", "dses", "wrew", "eint", *_TLS),
    TYPE_SERVER: (
        *("dresp", "rtime", "wrew", "reuse", "srv_icur", "rtime_max", "eint"),
        *("idle_conn_cur", "safe_conn_cur"),
        *_TLS,
    ),
    TYPE_BACKEND: (
        *_OF_EACH_SIDE,
        *("rtime", "reuse", "rtime_max"),
        *("agg_server_status", "agg_server_check_status", "agg_check_status"),
        *_MODULES,
    ),
}
"""What HAProxy prints as a number for this type of row, and is 0 as long as a row says no other."""

ALWAYS_ZERO_OF_HTTP = {
    TYPE_FRONTEND: (*_HTTP_ANSWERS, *_CACHE, "intercepted"),
    TYPE_LISTENER: (),
    TYPE_SERVER: ("req_tot", *_HTTP_ANSWERS),
    TYPE_BACKEND: ("req_tot", *_HTTP_ANSWERS, *_CACHE),
}
"""The same of `mode http`, besides."""

LEGENDS = ("addr", "cookie", "algo")
"""Columns that are empty but with `stats show-legends`, and for operators of the runtime socket."""
