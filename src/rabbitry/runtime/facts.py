"""What the system knows of this process, for `show info`: memory, descriptors, time, idleness.

Owns asking for it. What is said of it is `balancer.statistics.process`'.
"""

from __future__ import annotations

import os
import resource
import socket
import time
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from rabbitry import __version__
from rabbitry.balancer.statistics.http_use import HttpUse
from rabbitry.balancer.statistics.process import Facts
from rabbitry.runtime.balancer_log import haproxy_date

RELEASE_DATE = "2026/11/23"
_PAGE_BYTES = resource.getpagesize()


class FactFinder:
    """Finds `Facts`, since the process began."""

    def __init__(self) -> None:
        self._started_at_s = int(time.time())
        self._looked_at_s = time.monotonic()
        self._used_s = time.process_time()
        self._idle_percent = 100

    def find(self, dropped_logs: int = 0, pages: Mapping[str, HttpUse] | None = None) -> Facts:
        """The facts now; `pages` is how sections with `mode http` are used."""
        open_files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        now = datetime.now()
        return Facts(
            version=__version__,
            release_date=RELEASE_DATE,
            pid=os.getpid(),
            node=socket.gethostname(),
            open_files_max=open_files,
            memory_bytes=_memory_bytes(),
            started_at_s=self._started_at_s,
            now=now,
            date=haproxy_date(now),
            idle_percent=self._idle(),
            dropped_logs=dropped_logs,
            pages=pages or {},
        )

    def _idle(self) -> int:
        """Percent of the time in which the processor was not used, since it was last asked for at
        least a second ago."""
        passed_s = time.monotonic() - self._looked_at_s
        if passed_s >= 1:
            used_s = time.process_time()
            self._idle_percent = round(100 * (1 - min((used_s - self._used_s) / passed_s, 1)))
            self._looked_at_s += passed_s
            self._used_s = used_s
        return self._idle_percent


def _memory_bytes() -> int:
    """What the process has in memory now; 0 where the system does not say."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE_BYTES
    except OSError:
        return 0
