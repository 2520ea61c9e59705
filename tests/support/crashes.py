"""SIGKILL for the processes of a running cluster, several at once, as a power cut does it.

Owns finding them (in /proc: no question to a supervisor that may be dead), killing them in one go,
and waiting until they are gone. What is asked of the survivors is the tests' business.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import threading
from collections import Counter
from pathlib import Path

from support.crashing_clients import Clients
from support.running_cluster import NODES, PATIENCE_S, RABBITRY, RunningCluster, all_gone_after

LONGEST_WAIT_S = 90.0
"""For confirms after a crash, on a machine that has much else to do."""


def children_of(pid: int) -> dict[str, int]:
    """Return the PIDs of the nodes by name, and of the balancer, that a supervisor runs."""
    found = {}
    for place in Path("/proc").iterdir():
        if not place.name.isdigit():
            continue
        with contextlib.suppress(OSError):
            parent = int(place.joinpath("stat").read_text().rpartition(")")[2].split()[1])
            if parent != pid:
                continue
            words = place.joinpath("cmdline").read_bytes().decode().split("\0")
            name = words[words.index("--name") + 1] if "--name" in words else "balancer"
            found[name] = int(place.name)
    return found


def kill_at_once(pids: list[int]) -> None:
    """Send SIGKILL to all, then wait until all are gone; one that is gone already is no error."""
    with all_gone_after([pid for pid in pids if Path(f"/proc/{pid}").exists()]):
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def kill_everything(cluster: RunningCluster) -> None:
    """The supervisor first, so that it cannot start again what dies; all within microseconds."""
    children = children_of(cluster.process.pid)
    kill_at_once([cluster.process.pid, *children.values()])
    cluster.process.communicate()


def kill_supervisor(cluster: RunningCluster) -> None:
    """It alone: the others notice, and end in order."""
    with all_gone_after(list(children_of(cluster.process.pid).values())):
        cluster.process.kill()
        cluster.process.communicate()


class KillRounds:
    """Kills at moments that `seed` decides; each time everything comes back by itself, or by `up`.

    Moments are counted in confirms, so that they fall under load, or are a time, so that some fall
    while nodes are starting still.
    """

    KINDS = ("one node", "two nodes", "all nodes", "everything", "the supervisor")
    WEIGHTS = (4, 2, 3, 4, 1)

    def __init__(self, cluster: RunningCluster, clients: Clients, seed: int) -> None:
        self.done: Counter[str] = Counter()
        self._cluster = cluster
        self._clients = clients
        self._random = random.Random(seed)
        self._starts: list[subprocess.Popen[bytes]] = []

    def run(self, rounds: int) -> None:
        """Kill that often."""
        try:
            for _ in range(rounds):
                self._wait_for_a_moment()
                kind = self._random.choices(self.KINDS, self.WEIGHTS)[0]
                self._kill(kind)
                self.done[kind] += 1
                self._clients.check()
        finally:
            for start in self._starts:
                start.wait(PATIENCE_S * 2)

    def _wait_for_a_moment(self) -> None:
        if self._random.random() < 0.3:
            threading.Event().wait(self._random.random() * 1.5)
            return
        ledger = self._clients.ledger
        confirmed = ledger.confirmed_count() + self._random.randrange(1, 1000)
        ledger.wait(
            f"confirms after {dict(self.done)}",
            lambda: ledger.confirmed_count() >= confirmed,
            LONGEST_WAIT_S,
        )

    def _kill(self, kind: str) -> None:
        cluster = self._cluster
        if kind in ("everything", "the supervisor"):
            (kill_everything if kind == "everything" else kill_supervisor)(cluster)
            cluster.begin()
            cluster.wait_ready()
            return
        running = children_of(cluster.process.pid)
        names = self._random.sample(NODES, {"one node": 1, "two nodes": 2}.get(kind, 3))
        kill_at_once([running[name] for name in names if name in running])
        # The supervisor starts them again by itself, but later each time if they die often.
        self._starts += [
            subprocess.Popen(
                [*RABBITRY, "start", name, "--data-dir", str(cluster.data_dir)],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            for name in names
        ]
