"""Log lines in HAProxy's wording, rendered from the balancer's reports.

Owns the texts: server up and down, no server available (src/server.c, src/backend.c) and the line
of a session in the format of `option tcplog` (configuration.txt 8.2.2). Reports of others, and
our own without a counterpart in HAProxy, come out as `what name=value ...`.

Invariants: pure. The machine knows no calendar, so the caller hands in the date a session began.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rabbitry.balancer.state_dump import STATE
from rabbitry.machine import Report

WITH_DATES = ("session ended", "request ended", "client refused")
"""Reports of what began `total_ms` before."""


def line_of(report: Report, began: str = "", zone: str = "+0000") -> str:
    """Render a report as one line. `began` is the date of a session's first byte, in HAProxy's
    form `06/Feb/2009:12:12:51.443`; what is in `WITH_DATES` needs
    it. `zone` is how far local time is from UTC."""
    details = report.details
    if report.what == "session ended":
        return _tcplog(details, began)
    if report.what == "request ended":
        format_ = details["format"]
        if format_ == "clf":
            return _http_clf(details, began, zone)
        return (_http if format_ else _http_as_tcp)(details, began)
    if report.what == "client refused":
        return _refused(details, began)
    if report.what == "client connected":
        return _connected(details)
    if report.what in _OF_SERVERS:
        return f"{_server(details)} {_OF_SERVERS[report.what](details)}{_status(details)}."
    if report.what == "check ended":
        return _check(details)
    if report.what in _OF_ALARMS:
        return f"{_server(details)} {_OF_ALARMS[report.what]}: {details['alarm']}."
    if report.what == "server lets nobody ask its disk":
        return f"{_server(details)} is checked without its disk: {details['refusal']}."
    if report.what == "proxy stopped":
        return (
            f"Proxy {details['proxy']} stopped (cumulated conns: "
            f"FE: {details['frontend_connections']}, BE: {details['backend_connections']})."
        )
    if report.what in ("proxy paused", "proxy resumed"):
        return f"{report.what[6:].capitalize()} {details['kind']} {details['proxy']}."
    if report.what == STATE:
        line: str = details["line"]
        return line
    if report.what == "proxy has no server available":
        return f"proxy {details['proxy']} has no server available!"
    if report.what == "configuration reloaded":
        parts = [f"{word} {', '.join(details[word])}" for word in details if details[word]]
        return f"configuration reloaded: {'; '.join(parts) or 'the same servers'}"
    return report.what + "".join(f" {name}={value}" for name, value in details.items())


def _server(details: dict[str, Any]) -> str:
    return f"{'Backup ' if details['backup'] else ''}Server {details['proxy']}/{details['server']}"


def _cause(details: dict[str, Any]) -> str:
    return f" ({details['reason']})" if details["reason"] else ""


def _up_or_down(details: dict[str, Any]) -> str:
    return "UP" if details["up"] else "DOWN"


def _out_of_maintenance(details: dict[str, Any]) -> str:
    drained = "DRAIN" if details["drained"] else "READY"
    forced = "forced " if details["forced"] else ""
    return f"is {_up_or_down(details)}/{drained} (leaving {forced}maintenance)"


def _out_of_drain(details: dict[str, Any]) -> str:
    forced = "forced " if details["forced"] else ""
    return f"is {_up_or_down(details)} (leaving {forced}drain)"


def _as_it_is(details: dict[str, Any]) -> str:
    state = "drain mode" if details["group"] == "drain" else "maintenance"
    if not details["forced"]:
        return f"remains in forced {state}"
    left = "drain" if details["group"] == "drain" else "maintenance"
    return f"is leaving forced {left} but remains in {state} via {details['via']}"


_OF_SERVERS: dict[str, Callable[[dict[str, Any]], str]] = {
    "server is down": lambda _: "is DOWN",
    "server is up": lambda _: "is UP",
    "server is stopping": lambda _: "is stopping",
    "server is drained": lambda details: f"enters drain state{_cause(details)}",
    "server enters maintenance": (
        lambda details: f"is going DOWN for maintenance{_cause(details)}"
    ),
    "server was down and enters maintenance": (
        lambda details: f"was DOWN and now enters maintenance{_cause(details)}"
    ),
    "server leaves maintenance": _out_of_maintenance,
    "server leaves drain": _out_of_drain,
    "server stays as it is": _as_it_is,
}


_OF_ALARMS = {
    "server blocks publishers": "blocks publishers",
    "server takes publishers again": "takes publishers again, it was",
}


def _status(details: dict[str, Any]) -> str:
    """What HAProxy appends (src/server.c, `srv_append_status`)."""
    text = ""
    if details["status"]:
        text = f", reason: {details['reason']}"
        if details["code"] is not None:
            text += f", code: {details['code']}"
        if details["info"]:
            text += f', info: "{details["info"]}"'
        if details["check_duration_ms"] >= 0:
            text += f", check duration: {details['check_duration_ms']}ms"
    elif details["explanation"]:
        text = f", {details['explanation']}"
    elif details["via"] and not details["forced"]:
        text = f" via {details['via']}"
    if details["moved"] is None:
        return text
    on_backup = details["backups_left"] and not details["active_left"]
    running_on_backup = " Running on backup." if on_backup else ""
    servers = f"{details['active_left']} active and {details['backups_left']} backup servers"
    if details["up"]:
        return (
            f"{text}. {servers} online.{running_on_backup} "
            f"{details['moved']} sessions requeued, {details['queued']} total in queue"
        )
    return (
        f"{text}. {servers} left.{running_on_backup} {details['sessions']} sessions active, "
        f"{details['moved']} requeued, {details['queued']} remaining in queue"
    )


def _check(details: dict[str, Any]) -> str:
    """A check that is news (src/check.c, `set_server_check_status`)."""
    backup = "backup " if details["backup"] else ""
    conditionally = "conditionally " if details["conditionally"] else ""
    succeeded = "succeeded" if details["succeeded"] else "failed"
    return (
        f"{details['kind']} check for {backup}server {details['proxy']}/{details['server']} "
        f"{conditionally}{succeeded}{_status(details | {'moved': None})}, "
        f"status: {details['health']}/{details['of']} {details['state']}."
    )


def _tcplog(details: dict[str, Any], began: str) -> str:
    """The line of `option tcplog`. HAProxy reckons Tw from the request that it never waits for in
    mode tcp, and so tells one millisecond too many.
    """
    wait_ms = details["wait_ms"] + 1 if details["wait_ms"] >= 0 else -1
    retries = f"{'+' if details['redispatched'] else ''}{details['retries']}"
    soon = "+" if details["soon"] else ""
    return (
        f"{details['client']} [{began}] {details['frontend']} "
        f"{details['backend']}/{details['server']} "
        f"{wait_ms}/{details['connect_ms']}/{soon}{details['total_ms']} "
        f"{soon}{details['bytes_out']} {details['state']} "
        f"{details['process_sessions']}/{details['front_sessions']}/{details['back_sessions']}/"
        f"{details['server_sessions']}/{retries} "
        f"{details['server_queue']}/{details['backend_queue']}"
    )


def _connected(details: dict[str, Any]) -> str:
    """What HAProxy tells of a client where no log format is set (src/frontend.c)."""
    where = f"({details['frontend']}/{details.get('of', 'TCP')})"
    if details["client"] is None:
        return f"Connect to unix:{details['listener']} {where}"
    return f"Connect from {details['client']} to {details['local']} {where}"


def _refused(details: dict[str, Any], began: str) -> str:
    """What HAProxy tells of a client that never became a session (src/session.c)."""
    where = f"{details['frontend']}/{details['listener']}"
    return f"{details['client']} [{began}] {where}: {details['text']}"


def _http_as_tcp(details: dict[str, Any], began: str) -> str:
    """A request in tcplog's format (configuration.txt 8.2.2)."""
    soon = "+" if details["soon"] else ""
    return (
        f"{details['client']} [{began}] {details['frontend']} "
        f"{details['backend']}/{details['server']} "
        f"{details['served_ms']}/{details['served_ms']}/{soon}{details['total_ms']} "
        f"{soon}{details['bytes_out']} {details['state']} {_counts(details)}"
    )


def _http(details: dict[str, Any], began: str) -> str:
    """The line of `option httplog` (configuration.txt 8.2.3)."""
    soon = "+" if details["soon"] else ""
    served_ms = details["served_ms"]
    return (
        f"{details['client']} [{began}] {details['frontend']} "
        f"{details['backend']}/{details['server']} "
        f"{details['receive_ms']}/{served_ms}/{served_ms}/{served_ms}/{soon}{details['total_ms']} "
        f"{details['status']} {soon}{details['bytes_out']} - - {details['state']}-- "
        f'{_counts(details)} "{details["line"]}"'
    )


def _http_clf(details: dict[str, Any], began: str, zone: str) -> str:
    """The line of `option httplog clf`: what programs read that know Apache's."""
    client, _, port = details["client"].rpartition(":")
    date, _, thousandths = began.partition(".")
    soon = "+" if details["soon"] else ""
    served_ms = details["served_ms"]
    return (
        f'{client} - - [{date} {zone}] "{details["line"]}" {details["status"]} '
        f'{soon}{details["bytes_out"]} "" "" {port} {thousandths} "{details["frontend"]}" '
        f'"{details["backend"]}" "{details["server"]}" {details["receive_ms"]} {served_ms} '
        f"{served_ms} {served_ms} {soon}{details['total_ms']} {details['state']}-- "
        f'{details["process_sessions"]} {details["front_sessions"]} 0 0 0 0 0 "" "" '
    )


def _counts(details: dict[str, Any]) -> str:
    return f"{details['process_sessions']}/{details['front_sessions']}/0/0/0 0/0"
