"""Log lines in HAProxy's wording, rendered from the balancer's reports.

Owns the texts: server up and down, no server available (src/server.c, src/backend.c) and the line
of a session in the format of `option tcplog` (configuration.txt 8.2.2). Reports of others, and
our own without a counterpart in HAProxy, come out as `what name=value ...`.

Invariants: pure. The machine knows no calendar, so the caller hands in the date a session began.
"""

from __future__ import annotations

from typing import Any

from rabbitry.machine import Report


def line_of(report: Report, began: str = "") -> str:
    """Render a report as one line. `began` is the date of a session's first byte, in HAProxy's
    form `06/Feb/2009:12:12:51.443`; only the report "session ended" needs it."""
    details = report.details
    if report.what == "session ended":
        return _tcplog(details, began)
    if report.what == "server is down":
        running_on_backup = not details["active_left"] and details["backups_left"]
        return (
            f"{_server(details)} is DOWN, {_reason(details)} "
            f"{details['active_left']} active and {details['backups_left']} backup servers left."
            f"{' Running on backup.' if running_on_backup else ''} "
            f"{details['sessions']} sessions active, 0 requeued, 0 remaining in queue."
        )
    if report.what == "server is up":
        return (
            f"{_server(details)} is UP, {_reason(details)} "
            f"{details['active_left']} active and {details['backups_left']} backup servers online. "
            "0 sessions requeued, 0 total in queue."
        )
    if report.what == "proxy has no server available":
        return f"proxy {details['proxy']} has no server available!"
    return report.what + "".join(f" {name}={value}" for name, value in details.items())


def _server(details: dict[str, Any]) -> str:
    return f"{'Backup ' if details['backup'] else ''}Server {details['proxy']}/{details['server']}"


def _reason(details: dict[str, Any]) -> str:
    info = f', info: "{details["info"]}"' if details["info"] else ""
    return f"reason: {details['reason']}{info}, check duration: {details['check_duration_ms']}ms."


def _tcplog(details: dict[str, Any], began: str) -> str:
    retries = f"{'+' if details['redispatched'] else ''}{details['retries']}"
    return (
        f"{details['client']} [{began}] {details['frontend']} "
        f"{details['backend']}/{details['server']} "
        f"{details['wait_ms']}/{details['connect_ms']}/{details['total_ms']} "
        f"{details['bytes_out']} {details['state']} "
        f"{details['process_sessions']}/{details['front_sessions']}/{details['back_sessions']}/"
        f"{details['server_sessions']}/{retries} 0/0"
    )
