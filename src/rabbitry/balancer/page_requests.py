"""What is told of a request at a section with `mode http`: a report for each, as HAProxy logs them.

Owns which requests a section wants told (`option dontlognull`, `dontlog-normal`,
`log-separate-errors`) and what stands in the report (src/log.c, `strm_log`, `sess_log`). The
conversation is the console's, the wording `log_lines`'s.

Invariants: pure; of what a client sent there is only the first line of its request, and of a
request that is none nothing at all.
"""

from __future__ import annotations

from dataclasses import dataclass

from rabbitry.balancer.configuration.model import FrontendSection
from rabbitry.balancer.ending import line_report
from rabbitry.machine import Report

STATS = "<STATS>"
PROMEX = "<PROMEX>"
NOSRV = "<NOSRV>"

INTERCEPTED = "LR"
NOT_FOUND = "SC"
BAD = "PR"
LATE = "cR"
LEFT = "CR"
ABORTED = "CD"
"""Termination states (configuration.txt 8.5) of what can happen to a request here."""


@dataclass(frozen=True, slots=True)
class PageRequest:
    """A request that has ended, or a client that made none.

    `client` is None for one of a Unix socket, which has only the number of its `listener`. `server`
    is who answered: `STATS`, `PROMEX`, `NOSRV`. `line` is the first line of the request, empty for
    one that is none; `has_bytes`: something came. `receive_ms` is how long it took to come, from
    its first byte, None if it never was whole; `total_ms` runs from there to the end, `since_ms`
    from when its client came, or had its answer before.
    """

    client: str | None
    local: str
    listener: int
    is_tls: bool
    server: str
    status: int
    bytes_out: int
    state: str
    line: bytes
    has_bytes: bool
    receive_ms: int | None
    total_ms: int
    since_ms: int
    front_sessions: int


def told_of(
    request: PageRequest, section: FrontendSection, process_sessions: int, *, has_back: bool
) -> Report | None:
    """Return what to tell of a request; None where its section wants none of it. `has_back`: that
    is a `listen`."""
    name = section.name
    if not section.tcplog:
        if not request.line or not section.log_targets:
            return None
        where = {"local": request.local, "listener": request.listener, "frontend": name}
        return Report("info", "client connected", {"client": request.client, **where, "of": "HTTP"})
    is_error = request.state[0] != "L" or request.status >= 500
    if (section.dontlognull and not request.has_bytes) or (section.dontlog_normal and not is_error):
        return None
    unserved = request.server == NOSRV
    # What is only a frontend looks for no server, and reckons no time.
    is_timed = request.receive_ms is not None and (has_back or not unserved)
    details: dict[str, object] = {
        "client": request.client or f"unix:{request.listener}",
        "frontend": name + "~" * request.is_tls,
        "backend": name,
        "server": request.server,
        "receive_ms": request.receive_ms if is_timed else -1,
        "served_ms": -1 if unserved or not is_timed else 0,
        "total_ms": request.total_ms if section.http_lines else request.since_ms,
        "status": request.status,
        "bytes_out": request.bytes_out,
        "state": request.state,
        "process_sessions": process_sessions,
        "front_sessions": request.front_sessions,
        "line": shown_line(request.line),
        "soon": section.logasap,
        "format": section.http_lines,
    }
    return line_report("request ended", details, section, is_error)


def shown_line(line: bytes) -> str:
    """The first line of a request as HAProxy writes it: what is not printable, `"` and `#` as `#`
    and two hexadecimal digits."""
    if not line:
        return "<BADREQ>"
    return "".join(
        chr(each) if 32 <= each < 127 and each not in b'"#' else f"#{each:02X}" for each in line
    )
