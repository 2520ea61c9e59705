"""The two balancers of the comparison, on one and the same configuration file.

Owns the file's text, the commands that run on it, and what is read from outside about a running
balancer: CPU time and memory of all its processes. One balancer runs at a time, since the file
names one port. Knows nothing of what either is inside.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from bench.idle import connections_that_fit
from bench.ports import free_ports
from bench.processes import Server, SideError
from bench.scenarios import RABBITRY

HAPROXY = "haproxy"
DIRECT = "direct"
"""The load without a balancer: what the generator and its backend can reach."""

SESSIONS = 10_000
SESSIONS_SPARED = 50
"""Of the file's maxconn, for the harness's own looks at the port."""

START_TIMEOUT_S = 15.0
CHECKOUT = Path(__file__).parent.parent

FILE = """\
global
    maxconn {sessions}
{threads}\
defaults
    mode tcp
    maxconn {sessions}
    timeout connect 5s
    timeout client 10m
    timeout server 10m
listen bench
    bind 127.0.0.1:{port}
    server backend 127.0.0.1:{backend}
"""


def sessions_that_fit() -> int:
    """How many sessions a balancer can hold, two open files each; raises this process's limit."""
    return connections_that_fit(2 * (SESSIONS + SESSIONS_SPARED)) // 2 - SESSIONS_SPARED


def configuration(port: int, backend: int, threads: int, maxconn: int) -> str:
    """The text of the file; `threads` 0: it says nothing of threads."""
    line = f"    nbthread {threads}\n" if threads else ""
    return FILE.format(port=port, backend=backend, threads=line, sessions=maxconn)


def haproxy_command() -> str:
    """The installed haproxy; SideError without one."""
    path = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/sbin"))
    found = shutil.which("haproxy", path=path)
    if not found:
        raise SideError("haproxy is not installed: apt install haproxy")
    return found


def haproxy_version() -> str:
    """The installed version; "missing" where there is none."""
    with contextlib.suppress(SideError, OSError, subprocess.SubprocessError):
        said = subprocess.run([haproxy_command(), "-v"], capture_output=True, text=True, timeout=10)
        if found := re.search(r"version (\S+)", said.stdout):
            return found[1]
    return "missing"


def command(side: str, file: str) -> list[str]:
    """What runs a side on a file; ours is the checkout this module stands in."""
    if side == RABBITRY:
        return [sys.executable, "-m", "rabbitry", "balance", "--config", file]
    return [haproxy_command(), "-f", file]


def _environment() -> dict[str, str]:
    path = [str(CHECKOUT / "src"), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(part for part in path if part)}


class Watched:
    """A running balancer from outside: its first process and all that descend from it."""

    def __init__(self, pid: int) -> None:
        self.pid = pid

    def processes(self) -> list[int]:
        """All its processes: descendants, and whatever shares its session."""
        return family(self.pid, _stats())

    def cpu_s(self) -> float:
        """CPU seconds so far, user and system, threads and ended children included."""
        stats = _stats()
        ticks = sum(_ticks(stats[pid]) for pid in family(self.pid, stats))
        return ticks / os.sysconf("SC_CLK_TCK")

    def pss_bytes(self) -> int:
        """Memory now: resident, what is shared counted by its share."""
        return sum(_pss_bytes(pid) for pid in self.processes())


class Nothing(Watched):
    """No balancer: costs nothing."""

    def __init__(self) -> None:
        super().__init__(0)

    def processes(self) -> list[int]:
        """There are none."""
        return []


def _stats() -> dict[int, list[str]]:
    """Fields of /proc/PID/stat behind the command's name, for every process there is."""
    found = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                text = Path(f"/proc/{entry}/stat").read_text()
                found[int(entry)] = text[text.rindex(")") + 2 :].split()
    return found


def family(pid: int, stats: dict[int, list[str]]) -> list[int]:
    """`pid`, its descendants and its session, by the fields of /proc/PID/stat after the name."""
    found = {pid} & stats.keys()
    if not found:
        return []
    while True:
        more = {
            other
            for other, fields in stats.items()
            if other not in found and (int(fields[1]) in found or int(fields[3]) == pid)
        }
        if not more:
            return sorted(found)
        found |= more


def _ticks(fields: list[str]) -> int:
    """utime, stime, and those of children that have ended and were waited for."""
    return sum(int(field) for field in fields[11:15])


def _pss_bytes(pid: int) -> int:
    with contextlib.suppress(FileNotFoundError, ProcessLookupError, PermissionError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0


@contextlib.contextmanager
def configuration_file(backend: int, threads: int) -> Iterator[tuple[str, int]]:
    """One file for both sides, in a directory that goes with the context; and its port."""
    port = free_ports()
    with tempfile.TemporaryDirectory(prefix="rabbitry-bench-") as directory:
        file = Path(directory, "haproxy.cfg")
        maxconn = sessions_that_fit() + SESSIONS_SPARED
        file.write_text(configuration(port, backend, threads, maxconn))
        yield str(file), port


@contextlib.contextmanager
def running(side: str, file: str, port: int) -> Iterator[Watched]:
    """A balancer while the context lasts; SideError, one line, where it does not start."""
    server = Server(command(side, file), _environment())
    try:
        server.wait_for_port(port, START_TIMEOUT_S)
        yield Watched(server.pid)
    finally:
        server.stop()
