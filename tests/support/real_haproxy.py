"""Runs Debian's HAProxy itself, with a runtime socket, for tests that ask it what is right."""

from __future__ import annotations

import socket
import subprocess
from pathlib import Path
from types import TracebackType


class RealHaproxy:
    """A running HAProxy, as a context. `{directory}` in its sections is a place for its files."""

    def __init__(self, directory: Path, sections: str) -> None:
        self._socket = directory / "haproxy.socket"
        self._file = directory / "haproxy.cfg"
        text = f"global\n    stats socket {self._socket} level admin\n"
        text += "defaults\n    timeout connect 1s\n    timeout client 1s\n    timeout server 1s\n"
        self._file.write_text(text + sections.replace("{directory}", str(directory)))
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> RealHaproxy:
        command = ["haproxy", "-W", "-db", "-f", str(self._file)]
        self._process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        assert self._process.stderr is not None
        said = []
        while "Loading success" not in (line := self._process.stderr.readline()):
            said.append(line)
            assert line, "haproxy did not start: " + "".join(said)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        assert self._process is not None
        self._process.terminate()
        self._process.communicate()

    def ask(self, *lines: str) -> str:
        """What the runtime socket answers to these lines, one after another, all together."""
        with socket.socket(socket.AF_UNIX) as link:
            link.settimeout(10)
            link.connect(str(self._socket))
            link.sendall("".join(f"{line}\n" for line in lines).encode())
            return b"".join(iter(lambda: link.recv(65536), b"")).decode()
