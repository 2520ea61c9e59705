"""Processes of `rabbitry balance` that start in a hundredth of a second: forked from one that has
imported everything.

`WarmBalancers` keeps that one, and starts this file as a program for it. The program reads a line
of JSON for each process that is wanted, `{"arguments": [...], "output": PATH}`, and answers with
its number; what that process prints goes to PATH. It ends with its input; the processes are their
owners' to end.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path


class WarmBalancers:
    """Starts `rabbitry` with arguments, quickly after the first."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._program: subprocess.Popen[str] | None = None

    def start(self, arguments: list[str], output: Path) -> int:
        """Start one that prints to `output`, a FIFO that somebody reads; return its number."""
        with self._lock:
            if self._program is None:
                self._program = subprocess.Popen(
                    [sys.executable, __file__],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                )
            program = self._program
            assert program.stdin is not None
            assert program.stdout is not None
            program.stdin.write(json.dumps({"arguments": arguments, "output": str(output)}) + "\n")
            program.stdin.flush()
            return int(program.stdout.readline())

    def close(self) -> None:
        """Start no more."""
        if self._program is not None:
            self._program.communicate()


def main() -> None:
    """Fork a process for each line."""
    import rabbitry.cli
    import rabbitry.console.balancer_process
    import rabbitry.console.http_server
    import rabbitry.console.statistics_page  # noqa: F401

    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # so nobody has to wait for them
    for line in sys.stdin:
        order = json.loads(line)
        process = os.fork()
        if process == 0:
            _run(order["arguments"], order["output"])
        print(process, flush=True)


def _run(arguments: list[str], output: str) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    descriptor = os.open(output, os.O_WRONLY)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)
    from rabbitry.cli import run

    code = run(arguments)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    main()
