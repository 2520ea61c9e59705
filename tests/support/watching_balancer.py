"""`rabbitry balance` that judges real brokers by `option amqp-check`, and what RabbitMQ logs of it.

Owns the file and the process; the log is followed line by line, so that what must come can be
waited for.
"""

from __future__ import annotations

import queue
import subprocess
import threading
from collections.abc import Iterable
from pathlib import Path

import pytest
from support.running_cluster import PATIENCE_S, RABBITRY

from bench import rabbitmq
from bench.ports import free_ports

FILE = """
defaults
    mode tcp
    timeout connect 2s
    timeout client 1h
    timeout server 1h
listen front
    bind 127.0.0.1:{front}
    option amqp-check {words}
    option log-health-checks
    balance roundrobin
    default-server check inter 500ms fall 3 rise 2 on-marked-down shutdown-sessions
{servers}
listen connects_only
    bind 127.0.0.1:{other}
    server plain 127.0.0.1:{first} check inter 200ms
"""


class Balancing:
    """`rabbitry balance` in front of some ports; what it logs can be waited for."""

    def __init__(self, directory: Path, ports: list[int], words: str = "") -> None:
        self.front = free_ports(2)
        servers = [f"    server r{n} 127.0.0.1:{port}" for n, port in enumerate(ports)]
        text = FILE.format(
            front=self.front,
            other=self.front + 1,
            first=ports[0],
            servers="\n".join(servers),
            words=words,
        )
        path = directory / "haproxy.cfg"
        path.write_text(text)
        self.process = subprocess.Popen(
            [*RABBITRY, "balance", "--config", str(path)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._seen: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(line)

    def says(self, *words: str) -> str:
        """Wait for a line with all these words, one that was said since the last wait or will be;
        lines before it are not looked at again."""
        while True:
            line = self._next_line(f"{words}")
            if all(word in line for word in words):
                return line

    def says_of_each(self, names: Iterable[str], *words: str) -> None:
        """As `says`, for a line about each server of `front`, in whatever order they come."""
        missing = [f"front/{name} " for name in names]
        while missing:
            line = self._next_line(f"{words} of {missing}")
            if all(word in line for word in words):
                missing = [each for each in missing if each not in line]

    def _next_line(self, wanted: str) -> str:
        try:
            line = self._lines.get(timeout=PATIENCE_S)
        except queue.Empty:
            pytest.fail(f"never said {wanted}; but {self._seen[-10:]}")
        self._seen.append(line)
        return line

    def end(self) -> int:
        """SIGTERM; return the exit code, when all was read that it said."""
        self.process.terminate()
        code = self.process.wait(PATIENCE_S)
        self._reader.join(PATIENCE_S)
        return code

    def has_said(self, words: str, after: str = "") -> bool:
        """Whether a line had these words, of all, or of those after the last with `after`."""
        while not self._lines.empty():
            self._seen.append(self._lines.get())
        for line in reversed(self._seen):
            if words in line:
                return True
            if after and after in line:
                break
        return False


def logs(cluster: rabbitmq.Cluster) -> str:
    return "".join(path.read_text() for path in Path(cluster.directory).glob("*/log/*.log"))


def complaints(log: str, about: str) -> list[str]:
    """Warnings and errors of a RabbitMQ log that name somebody.

    Not those of connections that were gone before it looked at them (enotconn): on a machine that
    is slow enough a check is over by then.
    """
    return [
        line
        for line in log.splitlines()
        if about in line and ("[warning]" in line or "[error]" in line) and "enotconn" not in line
    ]
