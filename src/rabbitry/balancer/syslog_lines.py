"""A log line as a syslog daemon, or a file, takes it: severity, header, length.

Owns who gets a line (a target's levels) and the bytes of it, in HAProxy's formats
(configuration.txt 3.1, "log"; src/log.c, `build_log_header`). Does not own the text (`log_lines`)
or the sending (`runtime.syslog`). The standard library's `SysLogHandler` knows no severity clamp,
no tag, and no format but one, and would need a logger a target: see decision note 111.

Invariants: pure; a line is one line, ended by a newline, whatever its text has in it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from rabbitry.balancer.configuration.model import LogTarget
from rabbitry.machine import Report

SEVERITIES = ("emerg", "alert", "crit", "err", "warning", "notice", "info", "debug")
FACILITIES = (
    *("kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news"),
    *("uucp", "cron", "auth2", "ftp", "ntp", "audit", "alert", "cron2"),
    *("local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7"),
)
FORMATS = ("local", "rfc3164", "rfc5424", "priority", "short", "timed", "iso", "raw")
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_BREAKS = str.maketrans({"\r": " ", "\n": " ", "\0": " "})

_BY_WHAT = {
    "session ended": "info",
    "server is down": "alert",
    "server is up": "notice",
    "proxy has no server available": "emerg",
}
_BY_LEVEL = {"debug": "debug", "info": "info", "warning": "warning", "error": "err"}


@dataclass(frozen=True, slots=True)
class Sender:
    """Who logs: `log-tag`, the process, `log-send-hostname` ("" where it is not sent)."""

    tag: str
    pid: int
    hostname: str = ""


def severity_of(report: Report) -> str:
    """The severity at which HAProxy logs what this report says."""
    told = report.details.get("severity")
    if told in SEVERITIES:
        return str(told)
    return _BY_WHAT.get(report.what) or _BY_LEVEL.get(report.level, "info")


def packet(
    target: LogTarget, severity: str, sender: Sender, date: datetime, text: str
) -> bytes | None:
    """One line for `target`; None where it does not want lines of this severity.

    `date` is local time with its zone. What is longer than the target's `len` is cut off.
    """
    rank = SEVERITIES.index(severity)
    if rank > SEVERITIES.index(target.level):
        return None
    rank = max(rank, SEVERITIES.index(target.minimum_level))
    kind = target.format or _format_of_old(target, sender)
    line = _header(kind, target.facility, rank, sender, date) + text.translate(_BREAKS)
    return line.encode("utf-8", "surrogateescape")[: target.length_bytes] + b"\n"


def _format_of_old(target: LogTarget, sender: Sender) -> str:
    """The format where none is given: `rfc3164` without a hostname, unless one is to be sent."""
    return "rfc3164" if sender.hostname else "local"


def _header(kind: str, facility: str, rank: int, sender: Sender, date: datetime) -> str:
    priority = FACILITIES.index(facility) * 8 + rank
    tag = f"{sender.tag}[{sender.pid}]: "
    if kind == "local":
        return f"<{priority}>{_legacy(date)} {tag}"
    if kind == "rfc3164":
        return f"<{priority}>{_legacy(date)} {sender.hostname or 'localhost'} {tag}"
    if kind == "rfc5424":
        host = sender.hostname or "-"
        return f"<{priority}>1 {_iso(date)} {host} {sender.tag} {sender.pid} - - "
    if kind == "priority":
        return f"<{priority}>"
    if kind == "short":
        return f"<{rank}>"
    if kind == "timed":
        return f"<{rank}>{_iso(date)} "
    return f"{_iso(date)} " if kind == "iso" else ""


def _legacy(date: datetime) -> str:
    """`Nov  3 04:00:00`, whatever the locale."""
    return f"{MONTHS[date.month - 1]} {date.day:2d} {date:%H:%M:%S}"


def _iso(date: datetime) -> str:
    return date.isoformat(timespec="microseconds")
