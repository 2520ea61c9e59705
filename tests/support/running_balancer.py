"""A `rabbitry balance` of its own, as a process: started on a file, asked, told to end, killed.

Owns `RunningBalancer`. What it prints is kept in `printed`, line by line. Does not own servers or
clients (`scripted_servers`, `scripted_links`).
"""

from __future__ import annotations

import contextlib
import csv
import signal
import socket
import subprocess
import threading
import urllib.request
from pathlib import Path

from support.running_cluster import RABBITRY

PATIENCE_S = 20.0


class RunningBalancer:
    """The process on `text`, whose `{socket}` is its runtime socket. `begin` starts it (again).

    `open_files` is what `ulimit -n` gives it.
    """

    def __init__(self, directory: Path, text: str, *, open_files: int | None = None) -> None:
        self.socket = directory / "admin"
        self._file = directory / "balancer.cfg"
        self._file.write_text(text.replace("{socket}", str(self.socket)))
        limit = [] if open_files is None else ["prlimit", f"--nofile={open_files}"]
        self._command = [*limit, *RABBITRY, "balance", "--config", str(self._file)]
        self.printed: list[str] = []
        self._changed = threading.Condition()
        self.begin()

    def begin(self) -> None:
        """Start it; return when it serves."""
        self.process = subprocess.Popen(
            self._command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        before = len(self.printed)
        threading.Thread(target=self._read, args=(self.process,), daemon=True).start()
        self.wait_printed("ready: ", after=before)

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        with process.stdout as output:
            for line in output:
                with self._changed:
                    self.printed.append(line.rstrip("\n"))
                    self._changed.notify_all()

    def wait_printed(self, words: str, count: int = 1, *, after: int = 0) -> str:
        """Wait for so many lines with these words, behind so many others; return the last."""

        def came() -> bool:
            return len(self.lines(words, after=after)) >= count

        with self._changed:
            assert self._changed.wait_for(came, PATIENCE_S), self.printed
        return self.lines(words, after=after)[count - 1]

    def lines(self, words: str, *, after: int = 0) -> list[str]:
        """The lines so far with these words, behind so many others."""
        return [line for line in self.printed[after:] if words in line]

    def ask(self, line: str) -> str:
        """What the runtime socket answers to a line."""
        with contextlib.closing(socket.socket(socket.AF_UNIX)) as sock:
            sock.settimeout(PATIENCE_S)
            sock.connect(str(self.socket))
            sock.sendall(f"{line}\n".encode())
            return b"".join(iter(lambda: sock.recv(65536), b"")).decode()

    def rows(self) -> dict[tuple[str, str], dict[str, str]]:
        """The statistics as the runtime socket tells them, by names of proxy and server."""
        return _read_csv(self.ask("show stat"))

    def page_rows(self, port: int) -> dict[tuple[str, str], dict[str, str]]:
        """The statistics as the page `/stats` at this port tells them."""
        url = f"http://127.0.0.1:{port}/stats;csv"
        with urllib.request.urlopen(url, timeout=PATIENCE_S) as answer:
            return _read_csv(answer.read().decode())

    def memory_bytes(self) -> int:
        """What it has in memory."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith("VmRSS"))
        return int(line.split()[1]) * 1024

    def end(self) -> int:
        """SIGTERM; return its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE_S)

    def kill(self) -> None:
        """SIGKILL; return when it is gone."""
        self.process.kill()
        self.process.wait()


def _read_csv(text: str) -> dict[tuple[str, str], dict[str, str]]:
    rows = csv.DictReader(text.removeprefix("# ").splitlines())
    return {(row["pxname"], row["svname"]): row for row in rows}
