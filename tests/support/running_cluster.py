"""A `rabbitry up` of real processes, driven by the commands that a user types.

Owns its data directory, its ports and its end: whatever a test does, `destroy` leaves nothing
behind. What can be awaited is awaited with a deadline; what only `rabbitry status` tells is asked
for again until it is so (`wait_status`), and a failure shows the status as it was.
"""

from __future__ import annotations

import contextlib
import csv
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from bench.ports import free_ports
from rabbitry.runtime import control
from rabbitry.runtime.status import from_reply

PATIENCE_S = 30.0
"""Far more than anything here takes: a hang becomes a failure."""

RABBITRY = [sys.executable, "-m", "rabbitry"]
NODES = ["rabbit", "rabbit_1", "rabbit_2"]

Status = dict[str, Any]


class RunningCluster:
    """One `rabbitry up` with three nodes at `port`, `port + 1`, `port + 2`."""

    def __init__(
        self,
        data_dir: Path,
        port: int | None = None,
        *,
        options: Sequence[str] = (),
        environment: dict[str, str] | None = None,
        inside: Sequence[str] = (),
    ) -> None:
        """`options` are more options of `rabbitry up`; `inside` stands before every command."""
        self.data_dir = data_dir
        self.port = free_ports(5) if port is None else port
        self.front = self.port + 3
        own = ["--data-dir", str(data_dir), "--port", str(self.port)]
        own += ["--balancer-port", str(self.front), "--stats-port", str(self.port + 4)]
        self._inside = list(inside)
        self._arguments = [*inside, *RABBITRY, "up", *own, *options]
        self._environment = environment
        self.begin()

    def begin(self) -> None:
        """Start it, again if it has ended: on the same directory, at the same ports."""
        self.started_at = time.monotonic()
        self._heard = ""  # of standard error, and not returned yet
        self.process = subprocess.Popen(
            self._arguments,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self._environment,
        )

    def wait_ready(self) -> RunningCluster:
        """Wait for the ready line, which is the only thing that it prints."""
        assert self.process.stdout is not None
        assert select.select([self.process.stdout], [], [], PATIENCE_S)[0], "not ready"
        line = self.process.stdout.readline()
        self.ready_after_s = time.monotonic() - self.started_at
        assert line == f"ready: amqp://guest:guest@127.0.0.1:{self.front}/\n", self.complaint()
        return self

    def wait_told(self, part: str) -> str:
        """Return the next line on its terminal that has this in it; lines before it are gone."""
        assert self.process.stderr is not None
        error = self.process.stderr.fileno()
        while True:
            line, end, rest = self._heard.partition("\n")
            if end:
                self._heard = rest
                if part in line:
                    return line
                continue
            assert select.select([error], [], [], PATIENCE_S)[0], f"not told: {part}"
            data = os.read(error, 65536)
            assert data, f"ended, and never told: {part}"
            self._heard += data.decode()

    def complaint(self) -> str:
        """Wait for its end and return what it wrote to standard error."""
        return str(self.process.communicate(timeout=PATIENCE_S)[1])

    def node_port(self, name: str) -> int:
        """Return the port of a node itself, past the balancer."""
        return self.port + NODES.index(name)

    # --- commands -------------------------------------------------------------------------------

    def command(self, *arguments: str, exit_code: int = 0, says: str | None = None) -> str:
        """Run `rabbitry ARGUMENTS` on this cluster; return its output, or its one line of error.

        `says` is its standard input.
        """
        done = subprocess.run(
            [*self._inside, *RABBITRY, *arguments, "--data-dir", str(self.data_dir)],
            capture_output=True,
            text=True,
            input=says,
            timeout=PATIENCE_S,
        )
        assert done.returncode == exit_code, f"{arguments}: {done}"
        if exit_code:
            assert done.stdout == ""
            assert done.stderr.startswith("rabbitry: ")
            assert done.stderr.count("\n") == 1, done.stderr
            return done.stderr
        assert done.stderr == ""
        return done.stdout

    def status(self) -> Status:
        """Return what `rabbitry status --json` prints.

        Asked for by a process only where the socket is out of reach: one costs a fifth of a second
        of CPU time, and waits ask again and again.
        """
        if self._inside:
            text = self.command("status", "--json")
        else:
            found = from_reply(control.ask(self.data_dir, control.Status()))
            text = msgspec.json.encode(found).decode()
        status: Status = json.loads(text)
        return status

    def wait_status(self, what: str, so: Callable[[Status], bool]) -> Status:
        """Return the first status that is `so`; fail with the last one when there is none."""
        until = time.monotonic() + PATIENCE_S
        while not so(status := self.status()):
            if time.monotonic() > until:
                raise AssertionError(f"not so within {PATIENCE_S} s: {what}\n{status}")
            # Nobody tells when a status changes.
            threading.Event().wait(0.02)
        return status

    def page(self, format: str = "") -> str:
        """Return the balancer's statistics page, or another format of it (";csv")."""
        url = f"http://127.0.0.1:{self.port + 4}/stats{format}"
        with urllib.request.urlopen(url, timeout=PATIENCE_S) as answer:
            return str(answer.read().decode())

    def wait_page(self, what: str, so: Callable[[dict[str, dict[str, str]]], bool]) -> None:
        """Wait until the servers on the page, rows of its CSV by their names, are `so`."""
        until = time.monotonic() + PATIENCE_S
        while True:
            rows = csv.DictReader(self.page(";csv").removeprefix("# ").splitlines())
            servers = {row["svname"]: row for row in rows if row["svname"] in NODES}
            if so(servers):
                return
            if time.monotonic() > until:
                raise AssertionError(f"not so within {PATIENCE_S} s: {what}\n{servers}")
            # Nobody tells when the page changes.
            threading.Event().wait(0.02)

    def queue(self, name: str) -> dict[str, Any]:
        """Return the status of one queue."""
        return queue_of(self.status(), name)

    def wait_in_sync(self, name: str, at_least: int = 3) -> dict[str, Any]:
        """Wait until that many replicas of a queue hold everything; return its status."""
        status = self.wait_status(
            f"{at_least} replicas of {name} in sync",
            lambda status: len(queue_of(status, name)["in_sync"]) >= at_least,
        )
        return queue_of(status, name)

    def wait_empty(self, name: str) -> None:
        """Wait until a queue holds nothing, neither ready nor unacknowledged."""
        self.wait_status(f"{name} is empty", lambda status: queue_of(status, name)["messages"] == 0)

    def pids(self) -> dict[str, int | None]:
        """Return the PIDs of the children by name, None for those that are down."""
        status = self.status()
        pids = {node["name"]: node["pid"] for node in status["nodes"]}
        return {**pids, "balancer": status["balancer"]["pid"]}

    def states(self) -> dict[str, str]:
        """Return the state of each node."""
        return {node["name"]: node["state"] for node in self.status()["nodes"]}

    # --- the end --------------------------------------------------------------------------------

    def destroy(self) -> None:
        """End it at once, whatever state it is in."""
        with contextlib.suppress(OSError):
            os.kill(self.process.pid, signal.SIGCONT)
        self.process.kill()  # its children end with it: they watch their standard input
        self.process.communicate()


def queue_of(status: Status, name: str) -> dict[str, Any]:
    """Return one queue of a status."""
    found: list[dict[str, Any]] = [one for one in status["queues"] if one["name"] == name]
    assert len(found) == 1, status["queues"]
    return found[0]


@contextlib.contextmanager
def all_gone_after(pids: list[int | None]) -> Iterator[None]:
    """Check that all these processes have ended soon after the block."""
    files = [os.pidfd_open(pid) for pid in pids if pid is not None]
    try:
        yield
        for file in files:
            assert select.select([file], [], [], PATIENCE_S)[0], "a process is left"
    finally:
        for file in files:
            os.close(file)


def accepts(port: int) -> bool:
    """Say whether somebody listens on a port."""
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except ConnectionRefusedError:
        return False
    return True
