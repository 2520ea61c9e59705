"""Broker processes as seen from outside: ports, CPU time, memory, output, ending them.

Owns what both sides of the comparison need from the operating system. Linux only (``/proc``).
"""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Sequence
from pathlib import Path

STOP_TIMEOUT_S = 30.0


class SideError(Exception):
    """One side of the comparison cannot be started or used; one line for the user."""


def free_ports(count: int, *, first: int = 21000, last: int = 31999) -> int:
    """The first of ``count`` consecutive free loopback ports, below the ephemeral range.

    Raises SideError where there are none. Free when looked at: nothing keeps them so.
    """
    for base in range(first, last - count, count):
        with contextlib.ExitStack() as stack:
            try:
                for port in range(base, base + count):
                    probe = stack.enter_context(socket.socket())
                    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return base
    raise SideError(f"no {count} consecutive free ports on 127.0.0.1 from {first} to {last}")


def parse_cpu_ticks(stat: str) -> int:
    """utime + stime in clock ticks from the text of ``/proc/PID/stat``."""
    # The command name is in brackets and may hold spaces and brackets itself.
    fields = stat[stat.rindex(")") + 2 :].split()
    return int(fields[11]) + int(fields[12])


def cpu_seconds(pids: Sequence[int]) -> float:
    """CPU time of the processes so far, in seconds; one that is gone counts 0."""
    ticks = 0
    for pid in pids:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            ticks += parse_cpu_ticks(Path(f"/proc/{pid}/stat").read_text())
    return ticks / os.sysconf("SC_CLK_TCK")


def parse_rss_bytes(status: str) -> int:
    """Resident set in bytes from the text of ``/proc/PID/status``; 0 for a zombie."""
    for line in status.splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    return 0


def rss_bytes(pids: Sequence[int]) -> int:
    """Resident memory of the processes in bytes; shared pages count once for each."""
    total = 0
    for pid in pids:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            total += parse_rss_bytes(Path(f"/proc/{pid}/status").read_text())
    return total


class Server:
    """A server process in its own process group, its output drained and its end certain."""

    def __init__(self, command: Sequence[str], environment: dict[str, str] | None = None) -> None:
        self.command = list(command)
        self._lines: list[str] = []
        self._news: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        try:
            self.process = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env=environment,
                start_new_session=True,
                text=True,
                errors="replace",
            )
        except OSError as error:
            raise SideError(f"cannot start {self.command[0]}: {error.strerror}") from None
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        """The process id."""
        return self.process.pid

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines = [*self._lines[-49:], line.rstrip()]
            self._news.put(line.rstrip())
        self._news.put(None)

    def last_line(self) -> str:
        """The last line it printed that is not empty."""
        return next((line for line in reversed(self._lines) if line.strip()), "(no output)")

    def wait_for_line(self, beginning: str, timeout_s: float) -> str:
        """The first line not yet looked at that begins so; SideError where none comes."""
        until_s = time.monotonic() + timeout_s
        while True:
            try:
                line = self._news.get(timeout=max(0.0, until_s - time.monotonic()))
            except queue.Empty:
                raise SideError(
                    f"{self.command[0]} did not say {beginning!r} within {timeout_s:g} s; "
                    f"last line: {self.last_line()}"
                ) from None
            if line is None:
                raise SideError(f"{self.command[0]} ended: {self.last_line()}")
            if line.startswith(beginning):
                return line

    def wait_for_port(self, port: int, timeout_s: float) -> None:
        """Until ``port`` on 127.0.0.1 accepts; SideError where it does not or the process ends."""
        until_s = time.monotonic() + timeout_s
        while True:
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", port), timeout=1.0).close()
                return
            # A foreign process offers no event for "I listen now"; its end is the only one.
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(0.05)
                self._reader.join(1.0)
                raise SideError(f"{self.command[0]} ended: {self.last_line()}")
            if time.monotonic() > until_s:
                raise SideError(f"{self.command[0]} does not listen on 127.0.0.1:{port}")

    def stop(self) -> None:
        """SIGTERM, then SIGKILL for the whole group; returns when it is gone."""
        if self.process.poll() is None:
            self.process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(STOP_TIMEOUT_S)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self._reader.join(1.0)
