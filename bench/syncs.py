"""How often a broker syncs under durable load, counted by strace: is the sync honestly made?

Owns one measurement: a single node, the load of durable-single's first row, and `strace -f -c`
attached to the node from before the load until after it. strace slows what it traces, so the rates
stand beside those of the same load without it.

LMDB syncs pages with fdatasync and writes the meta page, which makes a commit valid, through a
descriptor opened with O_DSYNC: a pwrite that is a sync too.

A message that was acknowledged before it was its turn to be written need not be written, on either
side. How much of it was is told in bytes; `--alone` leaves the consumer out.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from bench import load, rabbitmq, rabbitry
from bench.connection import LoadError
from bench.load import Figures, Load
from bench.processes import SideError, disk_directory, file_system_of, written_bytes
from bench.scenarios import RABBITMQ, RABBITRY

SYNC_CALLS = ("fdatasync", "fsync", "msync", "sync_file_range", "syncfs")
WRITE_CALLS = ("pwrite64", "pwritev", "pwritev2", "writev", "write")
ATTACH_TIMEOUT_S = 10.0


@dataclasses.dataclass(frozen=True)
class Syncs:
    """What strace counted of one load. Rates in messages a second."""

    side: str
    figures: Figures
    untraced: Figures
    calls: dict[str, int]
    table: str
    written_bytes: int

    @property
    def syncs(self) -> int:
        """Calls that return when data is on the device."""
        return sum(self.calls.get(name, 0) for name in SYNC_CALLS)

    def text(self) -> str:
        """The table and what follows from it."""
        confirmed, seconds = self.figures.messages, self.figures.duration_s
        each_bytes = self.written_bytes / max(1, confirmed)
        return (
            f"{self.side}: {confirmed:,} confirmed in {seconds:.1f} s traced"
            f" ({self.figures.publish_per_s:,}/s; untraced {self.untraced.publish_per_s:,}/s)\n"
            f"{self.syncs} syncs, {self.syncs / seconds:.0f} a second,"
            f" {confirmed / max(1, self.syncs):.0f} confirms for each;"
            f" {each_bytes:.0f} bytes written for a message\n{self.table}"
        )


def parse_calls(table: str) -> dict[str, int]:
    """Calls by name from the table of `strace -c`."""
    calls = {}
    for line in table.splitlines():
        fields = line.split()
        if len(fields) >= 5 and fields[-1] != "total" and fields[3].isdigit():
            calls[fields[-1]] = int(fields[3])
    return calls


def _traced(pid: int, work: Callable[[], Figures]) -> tuple[Figures, str]:
    """Do ``work`` while strace counts what process ``pid`` calls."""
    if not shutil.which("strace"):
        raise SideError("strace is not installed: apt install strace")
    names = ",".join((*SYNC_CALLS, *WRITE_CALLS))
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "counts"
        command = ["strace", "-f", "-c", "-e", f"trace={names}", "-o", str(file), "-p", str(pid)]
        tracer = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        try:
            _wait_until_attached(pid, tracer)
            figures = work()
        finally:
            tracer.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                tracer.communicate(timeout=ATTACH_TIMEOUT_S)
            tracer.kill()
            tracer.wait()
        return figures, file.read_text()


def _wait_until_attached(pid: int, tracer: subprocess.Popen[str]) -> None:
    until_s = time.monotonic() + ATTACH_TIMEOUT_S
    tasks = Path(f"/proc/{pid}/task")
    while not all(_is_traced(task) for task in tasks.iterdir()):
        if tracer.poll() is not None or time.monotonic() > until_s:
            raise SideError(f"strace cannot attach to process {pid}")
        time.sleep(0.01)  # no event tells that a foreign process is being traced


def _is_traced(task: Path) -> bool:
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return "\nTracerPid:\t0\n" not in (task / "status").read_text()
    return True  # a thread that is gone need not be


def measure(side: str, count: int, size: int, publishers: int, alone: bool) -> Syncs:
    """The load on one node of ``side``, first without strace and then with it.

    ``alone``: nobody consumes, so that nothing can be acknowledged before it is written.
    """
    starter = rabbitmq.running if side == RABBITMQ else rabbitry.running
    with starter(1) as node:
        work = Load(
            port=node.ports[0],
            count=count,
            size=size,
            confirm=2000,
            persistent=True,
            durable=True,
            ack=True,
            prefetch=2000,
            publishers=publishers,
            prefix="syncs",
        )
        (pid,) = node.pids.values()
        roles: tuple[load.Role, ...] = ("publisher",) if alone else ("consumer", "publisher")
        untraced = load.run(work, roles=roles)
        before = written_bytes(pid)
        figures, table = _traced(pid, lambda: load.run(work, roles=roles))
        written = written_bytes(pid) - before
    return Syncs(side, figures, untraced, parse_calls(table), table, written)


def main(arguments: list[str] | None = None) -> int:
    """``python -m bench.syncs``: 0, or 2 and one line where it fails."""
    parser = argparse.ArgumentParser(prog="python -m bench.syncs", description=__doc__)
    parser.add_argument("--only", choices=(RABBITRY, RABBITMQ))
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--size", type=int, default=1024, help="bytes of a body")
    parser.add_argument("--publishers", type=int, default=1)
    parser.add_argument("--alone", action="store_true", help="publishers without a consumer")
    options = parser.parse_args(arguments)
    sides = [options.only] if options.only else [RABBITRY, RABBITMQ]
    try:
        directory = disk_directory()
        print(f"data in {directory} ({file_system_of(directory)})")
        for side in sides:
            found = measure(side, options.count, options.size, options.publishers, options.alone)
            print(f"\n{found.text()}", flush=True)
    except (SideError, LoadError) as error:
        print(f"bench.syncs: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
