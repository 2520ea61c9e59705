"""A balancer as a process, and toy servers behind it that say their names."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from bench.ports import free_ports

PATIENCE_S = 20
COMMAND = (sys.executable, "-m", "rabbitry.console.balancer_process")


class ToyServer:
    """Says its name to whoever connects, then echoes."""

    def __init__(self, name: str, port: int | None = None) -> None:
        self.name = name
        self._links: list[socket.socket] = []
        self.port = free_ports() if port is None else port
        self._sock = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self._accept, daemon=True).start()

    def die(self) -> None:
        """Go as a killed process goes: the port is closed, all links are cut."""
        for sock in (self._sock, *self._links):
            with contextlib.suppress(OSError):  # closed before
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()

    def _accept(self) -> None:
        while True:
            try:
                link, _ = self._sock.accept()
            except OSError:
                return
            self._links.append(link)
            threading.Thread(target=self._echo, args=(link,), daemon=True).start()

    def _echo(self, link: socket.socket) -> None:
        try:
            link.sendall(self.name.encode() + b"\n")
            while data := link.recv(65536):
                link.sendall(data)
            link.close()
        except OSError:
            return


class Process:
    """A balancer process that serves, with its log read line by line."""

    def __init__(self, path: Path, *options: str, command: Sequence[str] = COMMAND) -> None:
        reading, writing = os.pipe()
        self.process = subprocess.Popen(
            [*command, "--config", str(path), "--ready-fd", str(writing), *options],
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            pass_fds=(writing,),
        )
        os.close(writing)
        with os.fdopen(reading) as said:
            self.said = json.loads(said.read() or "{}")
        self.lines: list[str] = []

    def wait_for(self, text: str) -> str:
        """Read the log until a line has `text`."""
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.lines.append(line)
            if text in line:
                return line
        raise AssertionError(f"{text!r} never came; the log was:\n{''.join(self.lines)}")

    def end(self) -> int:
        self.process.terminate()
        self.process.communicate(timeout=PATIENCE_S)
        return self.process.returncode


def connect(port: int) -> tuple[socket.socket, str]:
    """Connect; return the link and the name of the server at its other end."""
    link = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S)
    name = b""
    while not name.endswith(b"\n"):
        byte = link.recv(1)
        assert byte, "closed without a name"
        name += byte
    return link, name.decode().strip()
