"""What `show info` says of the whole process: plain, typed or as JSON.

Owns the fields, their order and tags (src/stats.c, `stats_fill_info`) and the counters that belong
to no section. What only the world around the machine knows comes in as `Facts`.

Invariants: pure; what HAProxy has and we have not (pipes, compression, HTTP caches) is 0.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from rabbitry.balancer.configuration.model import Global
from rabbitry.balancer.rates import Rate
from rabbitry.balancer.session import Frontend, Session
from rabbitry.balancer.statistics.formats import json_value
from rabbitry.balancer.statistics.http_use import HttpUse
from rabbitry.balancer.tls_use import TlsUse
from rabbitry.machine import MICROSECONDS_PER_SECOND

# Place, name (with `_` for a space where HAProxy has one), tags, type, meaning. The two places that
# are missing are of a compression library, which Debian's HAProxy has not either.
_TABLE = """
0 Name POS str name of the program
1 Version POS str version of the program
2 Release_date POS str when this version was made
3 Nbthread CGS u32 processes that pass bytes (nbthread times nbproc)
4 Nbproc CGS u32 always 1
5 Process_num KGP u32 always 1
6 Pid SGP u32 process id
7 Uptime MDP str time since the start, in words
8 Uptime_sec MDP u32 seconds since the start
9 Memmax_MB CLP u32 limit of memory, 0 for none
10 PoolAlloc_MB MGP u32 memory in use, in MB
11 PoolUsed_MB MGP u32 memory in use, in MB
12 PoolFailed MCP u32 allocations that failed
13 Ulimit-n CLP u32 limit of open files
14 Maxsock CLP u32 limit of open sockets
15 Maxconn CLP u32 limit of client connections
16 Hard_maxconn CLP u32 limit of client connections at the start
17 CurrConns MGP u32 client connections open now
18 CumConns MCP u32 client connections so far
19 CumReq MCP u32 sessions and requests so far
20 MaxSslConns MMP u32 limit of TLS connections, 0 for none
21 CurrSslConns MGP u32 TLS connections open now
22 CumSslConns MCP u32 TLS connections so far
23 Maxpipes CLP u32 limit of pipes, 0 for none
24 PipesUsed MGP u32 pipes in use
25 PipesFree MGP u32 pipes not in use
26 ConnRate MRP u32 client connections of the last second
27 ConnRateLimit CLP u32 limit of new connections a second
28 MaxConnRate MMP u32 most connections in a second
29 SessRate MRP u32 sessions of the last second
30 SessRateLimit CLP u32 limit of new sessions a second
31 MaxSessRate MRP u32 most sessions in a second
32 SslRate MRP u32 TLS connections of the last second
33 SslRateLimit CLP u32 limit of new TLS connections a second
34 MaxSslRate MMP u32 most TLS connections in a second
35 SslFrontendKeyRate MGP u32 TLS keys made for clients in the last second
36 SslFrontendMaxKeyRate MMP u32 most TLS keys made for clients in a second
37 SslFrontendSessionReuse_pct MGP u32 percent of TLS connections that needed no new key
38 SslBackendKeyRate MRP u32 TLS keys made for servers in the last second
39 SslBackendMaxKeyRate MMP u32 most TLS keys made for servers in a second
40 SslCacheLookups MCP u32 TLS sessions looked up
41 SslCacheMisses MCP u32 TLS sessions looked up and not found
42 CompressBpsIn MRP u32 bytes into HTTP compression in the last second
43 CompressBpsOut MRP u32 bytes out of HTTP compression in the last second
44 CompressBpsRateLim CLP u32 limit of HTTP compression
47 Tasks MGP u32 things under way: connections, checks, listeners
48 Run_queue MGP u32 things waiting for the processor
49 Idle_pct MaP u32 percent of the last second in which nothing was to be done
50 node COS str name of this node
51 description COS str description of this node
52 Stopping MGP u32 1 while it finishes what it has
53 Jobs MGP u32 client connections and listeners
54 Unstoppable_Jobs MGP u32 jobs that do not end with a stop
55 Listeners MGP u32 addresses that are listened at
56 ActivePeers MGP u32 there are no peers
57 ConnectedPeers MGP u32 there are no peers
58 DroppedLogs MGP u32 log lines that nobody took
59 BusyPolling MGP u32 always 0
60 FailedResolutions MGP u32 names that could not be looked up
61 TotalBytesOut MGP u64 bytes sent so far
62 TotalSplicdedBytesOut MGP u64 bytes sent past this program
63 BytesOutRate MRP u64 bytes sent in the last second
64 DebugCommandsIssued MGP u32 always 0
65 CumRecvLogs MCP u32 always 0
66 Build_info POS str version of the program
67 Memmax_bytes CLP u32 limit of memory, 0 for none
68 PoolAlloc_bytes MGP u64 memory in use
69 PoolUsed_bytes MGP u64 memory in use
70 Start_time_sec MDP u32 time of the start, in seconds since 1970
71 Tainted SGP str always 0
"""


@dataclass(frozen=True, slots=True)
class Facts:
    """What the world around the machine knows of this process. `now` is local time, `date` the
    same as HAProxy writes it: `06/Feb/2009:12:12:51.443`; `pages` is how sections with `mode http`
    are used, by their names."""

    version: str = "0"
    release_date: str = ""
    pid: int = 0
    node: str = ""
    open_files_max: int = 0
    memory_bytes: int = 0
    started_at_s: int = 0
    now: datetime | None = None
    date: str = ""
    idle_percent: int = 100
    dropped_logs: int = 0
    pages: Mapping[str, HttpUse] = field(default_factory=dict)


class ProcessCounters:
    """What is counted for all frontends together. `maxconn` and limits can be changed.

    `left` are the frontends that a reload took away and whose sessions may live on; `past_sessions`
    and `past_bytes_out` are what those counted that are forgotten, or begin to count anew: what is
    told of the process never becomes less.
    """

    def __init__(self, process: Global) -> None:
        self.started_at = 0
        self.maxconn = process.maxconn
        self.hard_maxconn = process.maxconn
        self.connections_per_s = process.connections_per_s or 0
        self.sessions_per_s = process.sessions_per_s or 0
        self.connection_rate = Rate()
        self.connections_total = 0
        self.tls = TlsUse()
        self.listeners = 0
        self.is_stopping = False
        self.left: list[Frontend] = []
        self.past_sessions = 0
        self.past_bytes_out = 0

    def connection_opened(self, now: int) -> None:
        """A client connected."""
        self.connections_total += 1
        self.connection_rate.count(now)

    def frontends_left(self, frontends: Sequence[Frontend]) -> None:
        """A reload took these frontends away; those without sessions are forgotten."""
        for frontend in [*self.left, *frontends]:
            if not frontend.sessions:
                self.past_sessions += frontend.sessions_total
                self.past_bytes_out += frontend.bytes_out
        self.left = [each for each in [*self.left, *frontends] if each.sessions]

    @property
    def bytes_out_left(self) -> int:
        """What frontends that are in no section any more have sent to clients."""
        under_way = sum(
            session.bytes_out for each in self.left for session in each.sessions.values()
        )
        return self.past_bytes_out + sum(each.bytes_out for each in self.left) + under_way


@dataclass(frozen=True, slots=True)
class Field:
    """One line of `show info`."""

    place: int
    name: str
    tags: str
    type: str
    meaning: str
    value: int | str


def info_of(
    process: Global,
    counters: ProcessCounters,
    frontends: Sequence[Frontend],
    bytes_out: int,
    facts: Facts,
    now: int,
) -> list[Field]:
    """All fields at `now`; `bytes_out` is what these frontends have sent to clients."""
    values = _values(process, counters, [*frontends, *counters.left], facts, now)
    values["TotalBytesOut"] = bytes_out + counters.bytes_out_left
    fields = []
    for line in _TABLE.strip().splitlines():
        place, name, tags, type_, meaning = line.split(" ", 4)
        value = values.get(name, "" if type_ == "str" else 0)
        if name == "description" and not value:
            continue
        if name in ("Unstoppable_Jobs", "Build_info"):
            name = name.replace("_", " ")
        fields.append(Field(int(place), name, tags, type_, meaning, value))
    return fields


def _values(
    process: Global,
    counters: ProcessCounters,
    frontends: Sequence[Frontend],
    facts: Facts,
    now: int,
) -> dict[str, int | str]:
    pages = facts.pages.values()
    open_now = sum(len(front.sessions) for front in frontends) + sum(use.open_now for use in pages)
    uptime_s = (now - counters.started_at) // MICROSECONDS_PER_SECOND
    rate = counters.connection_rate
    memory_mb = facts.memory_bytes // 1_048_576
    return {
        "Name": "HAProxy",  # programs look for it; who it is stands in the version
        "Version": facts.version,
        "Build_info": facts.version,
        "Release_date": facts.release_date,
        "Nbthread": process.processes,
        "Nbproc": 1,
        "Process_num": 1,
        "Pid": facts.pid,
        "Uptime": _in_words(uptime_s),
        "Uptime_sec": uptime_s,
        "Start_time_sec": facts.started_at_s,
        "PoolAlloc_MB": memory_mb,
        "PoolUsed_MB": memory_mb,
        "PoolAlloc_bytes": facts.memory_bytes,
        "PoolUsed_bytes": facts.memory_bytes,
        "Ulimit-n": facts.open_files_max,
        "Maxsock": facts.open_files_max,
        "Maxconn": counters.maxconn or process.maxconn_default,
        "Hard_maxconn": counters.hard_maxconn or process.maxconn_default,
        "CurrConns": open_now,
        "CumConns": counters.connections_total + sum(use.connections_total for use in pages),
        "CumReq": counters.past_sessions
        + sum(front.sessions_total for front in frontends)
        + sum(use.requests_total for use in pages),
        "ConnRate": rate.per_second(now),
        "ConnRateLimit": counters.connections_per_s,
        "MaxConnRate": rate.highest,
        "SessRate": sum(front.rate.per_second(now) for front in frontends),
        "SessRateLimit": counters.sessions_per_s,
        "MaxSessRate": rate.highest,
        "Idle_pct": facts.idle_percent,
        "node": process.node or facts.node,
        "description": process.description or "",
        "Stopping": int(counters.is_stopping),
        "Jobs": open_now + counters.listeners + 1,  # who asks is one
        "Tasks": open_now + counters.listeners,
        "Listeners": counters.listeners,
        "DroppedLogs": facts.dropped_logs,
        "Tainted": "0",
        "CurrSslConns": sum(
            _tls_links(session) for front in frontends for session in front.sessions.values()
        ),
        **counters.tls.values(now),
    }


def _tls_links(session: Session) -> int:
    """How many of its links have TLS now."""
    server = session.server
    behind = server is not None and server.line.tls is not None and session.server_side.is_open
    return (session.listener.bind.tls is not None) + behind


def _in_words(uptime_s: int) -> str:
    hours = uptime_s % 86400 // 3600
    return f"{uptime_s // 86400}d {hours}h{uptime_s % 3600 // 60:02d}m{uptime_s % 60:02d}s"


def info_text(fields: Sequence[Field], meanings: bool = False) -> str:
    """`show info`: a line a field. `meanings`: with `desc`."""
    return "".join(f"{each.name}: {each.value}{_meaning(each, meanings)}\n" for each in fields)


def info_typed(fields: Sequence[Field], meanings: bool = False) -> str:
    """`show info typed`."""
    return "".join(
        f"{each.place}.{each.name}.1:{each.tags}:{each.type}:{each.value}"
        f"{_meaning(each, meanings)}\n"
        for each in fields
    )


def _meaning(field: Field, meanings: bool) -> str:
    return f':"{field.meaning}"' if meanings else ""


def info_json(fields: Sequence[Field]) -> str:
    """`show info json`."""
    return json.dumps(
        [json_value(each.place, each.name, each.tags, each.type, each.value) for each in fields],
        separators=(",", ":"),
    )
