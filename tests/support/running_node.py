"""A `rabbitry node` of its own on a data directory: started, killed and started again."""

from __future__ import annotations

import select
import subprocess
from pathlib import Path

from support.running_cluster import PATIENCE_S, RABBITRY

from bench.ports import free_ports


class RunningNode:
    """One `rabbitry node` at `port`; `begin` starts it, again if it has ended."""

    def __init__(self, data_dir: Path, environment: dict[str, str] | None = None) -> None:
        self.data_dir = data_dir
        self.port = free_ports()
        self._environment = environment
        self.begin()

    def begin(self) -> None:
        arguments = ["--listen", f"127.0.0.1:{self.port}", "--data-dir", str(self.data_dir)]
        self.process = subprocess.Popen(
            [*RABBITRY, "node", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self._environment,
        )

    def wait_ready(self) -> None:
        """Wait for the ready line."""
        assert self.process.stdout is not None
        assert select.select([self.process.stdout], [], [], PATIENCE_S)[0], "not ready"
        line = self.process.stdout.readline()
        assert line == f"ready: amqp://guest:guest@127.0.0.1:{self.port}/\n", self.complaint()

    def complaint(self) -> str:
        """Wait for its end and return what it wrote to standard error."""
        return str(self.process.communicate(timeout=PATIENCE_S)[1])

    def kill(self) -> None:
        """SIGKILL; return when it is gone."""
        self.process.kill()
        self.process.communicate()
