"""Where a balancer's log lines go: the targets of the section they concern, or standard error.

Owns the choice of targets: a session's line goes to those of its frontend, a server's to those of
its backend, what concerns neither to those of `global`. Where there are none, and only there, lines
go to standard error, each behind time and level, so that nothing is lost. What befalls a worker
process is there in any case: who looks at the terminal shall not miss it. Lines are HAProxy's
(`balancer.log_lines`), and so are packets (`balancer.syslog_lines`).
"""

from __future__ import annotations

import logging
import os
import socket
import sys
from collections.abc import Sequence
from datetime import datetime, timedelta

from rabbitry.balancer.configuration.model import Configuration, LogTarget
from rabbitry.balancer.log_lines import WITH_DATES, line_of
from rabbitry.balancer.syslog_lines import Sender, severity_of
from rabbitry.machine import Report
from rabbitry.runtime.syslog import Syslog
from rabbitry.runtime.watchdog import ABOUT_WORKERS

_log = logging.getLogger("rabbitry.balancer.lines")
_LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


class BalancerLog:
    """Takes every report of a balancer. `use` is called again when it has a new configuration."""

    def __init__(self, configuration: Configuration) -> None:
        self._syslog = Syslog()
        self.use(configuration)

    @property
    def dropped(self) -> int:
        """How many lines could not be sent."""
        return self._syslog.dropped

    def use(self, configuration: Configuration) -> None:
        """Send to the targets of this configuration from now on."""
        process = configuration.process
        hostname = process.log_send_hostname
        if hostname == "":
            hostname = socket.gethostname()
        sender = Sender(process.log_tag, os.getpid(), hostname or "")
        self._of_process = (process.log_targets, sender)
        self._of_frontends: dict[str, tuple[Sequence[LogTarget], Sender]] = {}
        for front in configuration.frontends:
            own = Sender(front.log_tag or sender.tag, sender.pid, sender.hostname)
            self._of_frontends[front.name] = (front.log_targets, own)
        self._of_backends: dict[str, tuple[Sequence[LogTarget], Sender]] = {
            back.name: (back.log_targets, sender) for back in configuration.backends
        }
        for targets, _ in (
            self._of_process,
            *self._of_frontends.values(),
            *self._of_backends.values(),
        ):
            self._syslog.resolve(targets)

    def take(self, report: Report) -> None:
        """Send a report where it belongs."""
        targets, sender = self._targets(report)
        if targets:
            self._syslog.send(targets, severity_of(report), sender, _line_now(report))
        if not targets or report.what in ABOUT_WORKERS:
            log_report(report)

    def _targets(self, report: Report) -> tuple[Sequence[LogTarget], Sender]:
        details = report.details
        if "frontend" in details:
            name = details["frontend"].removesuffix("~")  # `~`: by TLS
            return self._of_frontends.get(name, self._of_process)
        if "proxy" in details:
            name = details["proxy"]
            found = self._of_backends.get(name) or self._of_frontends.get(name)
            return found or self._of_process
        return self._of_process

    def close(self) -> None:
        """Send no more."""
        self._syslog.close()


def log_report(report: Report) -> None:
    """Write a report of the balancer to standard error as a log line."""
    _log.log(_LEVELS.get(report.level, logging.INFO), "%s", _line_now(report))


def _line_now(report: Report) -> str:
    if report.what not in WITH_DATES:
        return line_of(report)
    began = datetime.now() - timedelta(milliseconds=report.details["total_ms"])
    zone = f"{began.astimezone():%z}" if report.details.get("format") == "clf" else ""
    return line_of(report, haproxy_date(began), zone)


def haproxy_date(date: datetime) -> str:
    """Write a date as HAProxy's `%t` does, whatever the locale: `06/Feb/2009:12:12:51.443`."""
    month = _MONTHS[date.month - 1]
    return f"{date:%d}/{month}/{date:%Y:%H:%M:%S}.{date.microsecond // 1000:03d}"


def log_to_standard_error() -> None:
    """Send the balancer's lines, and tracebacks of bugs of ours, to standard error.

    The driver logs every report too, in its own words; those are left out, else each would be there
    twice.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_LowerCase("%(asctime)s %(levelname)s %(message)s"))
    handler.addFilter(lambda record: record.name == _log.name or record.exc_info is not None)
    root = logging.getLogger()
    root.addHandler(handler)
    root.setLevel(logging.INFO)


class _LowerCase(logging.Formatter):
    """Writes levels as our reports name them."""

    def format(self, record: logging.LogRecord) -> str:
        record.levelname = record.levelname.lower()
        return super().format(record)
