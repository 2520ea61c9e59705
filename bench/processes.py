"""Broker processes as seen from outside: CPU time, memory, output, ending them.

Owns what both sides of the comparison need from the operating system. Linux only (``/proc``).
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import queue
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

STOP_TIMEOUT_S = 30.0
MEMORY_FILE_SYSTEMS = ("tmpfs", "ramfs")


class SideError(Exception):
    """One side of the comparison cannot be started or used; one line for the user."""


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


@dataclasses.dataclass(frozen=True)
class Memory:
    """Resident memory in bytes. Pages of mapped files, a store's too, are the kernel's to drop."""

    rss_bytes: int = 0
    anon_bytes: int = 0
    file_bytes: int = 0

    @staticmethod
    def total(parts: Iterable[Memory]) -> Memory:
        """The sum; shared pages count once for each process."""
        rows = [dataclasses.astuple(part) for part in parts]
        return Memory(*(sum(column) for column in zip(*rows, strict=True)))


def parse_memory(status: str) -> Memory:
    """What the text of ``/proc/PID/status`` says; all 0 for a zombie."""
    sizes = {}
    for line in status.splitlines():
        name, _, rest = line.partition(":")
        if name in ("VmRSS", "RssAnon", "RssFile"):
            sizes[name] = int(rest.split()[0]) * 1024
    return Memory(sizes.get("VmRSS", 0), sizes.get("RssAnon", 0), sizes.get("RssFile", 0))


def memory(pid: int) -> Memory:
    """Resident memory of one process; all 0 where it is gone."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return parse_memory(Path(f"/proc/{pid}/status").read_text())
    return Memory()


def rss_bytes(pids: Sequence[int]) -> int:
    """Resident memory of the processes in bytes; shared pages count once for each."""
    return Memory.total(memory(pid) for pid in pids).rss_bytes


def parse_written_bytes(io: str) -> int:
    """What the text of ``/proc/PID/io`` says the process had written to disks, in bytes."""
    for line in io.splitlines():
        if line.startswith("write_bytes:"):
            return int(line.split()[1])
    return 0


def written_bytes(pid: int) -> int:
    """What a process has had written to disks so far, in bytes; 0 where it is gone."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return parse_written_bytes(Path(f"/proc/{pid}/io").read_text())
    return 0


def file_system_in(mounts: str, path: str) -> str:
    """Type of the file system that holds ``path``, by the text of ``/proc/mounts``."""
    found, longest = "unknown", -1
    for line in mounts.splitlines():
        _, point, kind = line.split()[:3]
        point = point.replace("\\040", " ")
        inside = point == "/" or path == point or path.startswith(point + "/")
        if inside and len(point) >= longest:
            found, longest = kind, len(point)
    return found


def file_system_of(directory: str) -> str:
    """Type of the file system under an existing directory."""
    return file_system_in(Path("/proc/mounts").read_text(), os.path.realpath(directory))


def disk_usage_bytes(directory: str) -> int:
    """What the files below a directory take on the disk; a sparse file counts what it has."""
    total = 0
    for path, _, names in os.walk(directory):
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                total += os.lstat(os.path.join(path, name)).st_blocks * 512
    return total


def forget_pages(directory: str) -> None:
    """Write the files below a directory to the disk and drop them from the page cache.

    What a process has mapped stays.
    """
    for path, _, names in os.walk(directory):
        for name in names:
            file = os.path.join(path, name)
            if os.path.isfile(file):
                with open(file, "rb") as opened:
                    os.fsync(opened.fileno())
                    os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def disk_directory() -> str:
    """Where brokers shall keep their data: the first temporary directory that is on a disk.

    In memory a sync would cost nothing. Raises SideError where there is none.
    """
    for directory in (tempfile.gettempdir(), "/var/tmp", str(Path.cwd())):
        writable = os.access(directory, os.W_OK | os.X_OK)
        if writable and file_system_of(directory) not in MEMORY_FILE_SYSTEMS:
            return directory
    raise SideError("no temporary directory is on a disk; TMPDIR names one")


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

    def kill(self) -> None:
        """SIGKILL for the whole group, as if the machine had failed under it."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self._reader.join(1.0)

    def stop(self) -> None:
        """SIGTERM, then SIGKILL for the whole group; returns when it is gone."""
        if self.process.poll() is None:
            self.process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(STOP_TIMEOUT_S)
        self.kill()
