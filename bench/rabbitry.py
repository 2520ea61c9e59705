"""Rabbitry for the comparison: the installed command, on its own ports and data directory.

Owns a temporary data directory and the one process it starts (``rabbitry node`` or ``rabbitry
up``); leaving the context stops it and removes the directory. Looks at a cluster only through
``rabbitry status --json``, like any user.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.ports import free_ports
from bench.processes import Server, SideError, disk_directory

START_TIMEOUT_S = 30.0


def command() -> str:
    """The ``rabbitry`` command beside this Python, or on the PATH; SideError without one."""
    beside = Path(sys.executable).with_name("rabbitry")
    found = str(beside) if beside.exists() else shutil.which("rabbitry")
    if not found:
        raise SideError("the command rabbitry is not installed: pip install -e .")
    return found


def _environment(data_directory: str) -> dict[str, str]:
    return {**os.environ, "RABBITRY_DATA_DIR": data_directory}


@contextlib.contextmanager
def _temporary_directory() -> Iterator[str]:
    directory = tempfile.mkdtemp(prefix="rabbitry-bench-", dir=disk_directory())
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


class SingleNode:
    """A running ``rabbitry node``, which can be killed and started again where it was."""

    balancer_port = 0

    def __init__(self, directory: str, port: int, arguments: list[str]) -> None:
        self.directory = directory
        self.ports = [port]
        self.pids: dict[str, int] = {}
        self.servers: list[Server] = []
        self._arguments = arguments

    def start(self) -> None:
        """Start the node; it does not serve yet."""
        self.servers.append(Server(self._arguments, _environment(self.directory)))
        self.pids["node"] = self.servers[-1].pid

    def wait(self) -> None:
        """Until it serves; SideError where it does not."""
        self.servers[-1].wait_for_port(self.ports[0], START_TIMEOUT_S)

    def crash(self) -> None:
        """SIGKILL."""
        while self.servers:
            self.servers.pop().kill()

    def stop(self) -> None:
        """An orderly end."""
        while self.servers:
            self.servers.pop().stop()

    def leader_port(self, queue: str) -> int:
        """The one port there is."""
        return self.ports[0]


@dataclasses.dataclass(frozen=True)
class Cluster:
    """A running ``rabbitry up``."""

    ports: list[int]
    pids: dict[str, int]
    balancer_port: int
    data_directory: str

    def leader_port(self, queue: str) -> int:
        """Port of the node that leads ``queue``, once all nodes hold it in sync."""
        until_s = time.monotonic() + START_TIMEOUT_S
        while True:
            current = status(self.data_directory)
            port = leader_port_of(current, queue, in_sync=len(self.ports))
            if port:
                return port
            if time.monotonic() > until_s:
                raise SideError(f"queue {queue} is not in sync on all nodes: {current['queues']}")
            time.sleep(0.1)  # status is a question, not a subscription


def status(data_directory: str) -> dict[str, Any]:
    """What ``rabbitry status --json`` says; SideError where it fails."""
    done = subprocess.run(
        [command(), "status", "--json", "--data-dir", data_directory],
        capture_output=True,
        text=True,
        timeout=START_TIMEOUT_S,
    )
    if done.returncode:
        raise SideError(f"rabbitry status: {(done.stderr or done.stdout).strip()}")
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def leader_port_of(current: dict[str, Any], queue: str, *, in_sync: int) -> int:
    """Port of the node that leads ``queue`` of vhost /; 0 while fewer than ``in_sync`` hold it."""
    ports = {node["name"]: node["port"] for node in current["nodes"]}
    for entry in current["queues"]:
        if (entry["vhost"], entry["name"]) == ("/", queue):
            members = entry["in_sync"]
            held_by = len(members) if isinstance(members, list) else int(members)
            return int(ports[entry["leader"]]) if held_by >= in_sync else 0
    return 0


def process_ids(current: dict[str, Any], supervisor_pid: int) -> dict[str, int]:
    """Name to pid of all processes of a cluster, from its status."""
    pids = {node["name"]: int(node["pid"]) for node in current["nodes"]}
    balancer_pid = current["balancer"].get("pid")
    if balancer_pid:
        pids["balancer"] = int(balancer_pid)
    return pids | {"supervisor": supervisor_pid}


@contextlib.contextmanager
def running(
    node_count: int,
    profile: str = "",
    definitions: Path | None = None,
    options: tuple[str, ...] = (),
) -> Iterator[SingleNode | Cluster]:
    """One ``rabbitry node``, or ``rabbitry up`` with its three; raises SideError.

    One node only: ``profile``, a file for cProfile's statistics, written when the node ends;
    ``definitions``, a file that it begins with; ``options``, more arguments.
    """
    with _temporary_directory() as directory, contextlib.ExitStack() as stack:
        if node_count == 1:
            more = ("--definitions", str(definitions)) if definitions is not None else ()
            yield _start_single(stack, directory, profile, (*more, *options))
        else:
            yield _start_cluster(stack, directory)


def _start_single(
    stack: contextlib.ExitStack, directory: str, profile: str, options: tuple[str, ...]
) -> SingleNode:
    port = free_ports()
    profiler = [sys.executable, "-m", "cProfile", "-o", profile] if profile else []
    arguments = [*profiler, command(), "node", "--listen", f"127.0.0.1:{port}", *options]
    node = SingleNode(directory, port, arguments)
    stack.callback(node.stop)
    node.start()
    node.wait()
    return node


def _start_cluster(stack: contextlib.ExitStack, directory: str) -> Cluster:
    base = free_ports(5)
    balancer_port, stats_port = base + 3, base + 4
    ports = ("--port", str(base), "--balancer-port", str(balancer_port))
    arguments = ["up", "--data-dir", directory, *ports, "--stats-port", str(stats_port)]
    server = Server([command(), *arguments], _environment(directory))
    stack.callback(server.stop)
    server.wait_for_line("ready:", START_TIMEOUT_S)
    current = status(directory)
    return Cluster(
        ports=[int(node["port"]) for node in current["nodes"]],
        pids=process_ids(current, server.pid),
        balancer_port=balancer_port,
        data_directory=directory,
    )
