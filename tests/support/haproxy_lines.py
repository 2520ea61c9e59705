"""What a balancer logs, caught by a syslog socket and made comparable.

Owns `SyslogCatcher` (a UDP socket and what came to it) and `SessionLine`, a line of `option tcplog`
(configuration.txt 8.2.2) in its parts. What differs from run to run, ports, dates, process numbers
and durations, is written `N`.
"""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass

from support.scripted_links import PATIENCE_S

_TCPLOG = re.compile(
    r"(?P<client>\S+) \[(?P<date>[^]]+)\] (?P<front>\S+) (?P<back>[^/ ]+)/(?P<server>\S+) "
    r"(?P<wait>-?\d+)/(?P<connect>-?\d+)/(?P<total>\+?\d+) (?P<size>\+?\d+) (?P<state>..) "
    r"(?P<counts>\d+/\d+/\d+/\d+)/(?P<retries>\+?\d+) (?P<queues>\d+/\d+)$"
)
_CLIENT = re.compile(r"([0-9a-f.:]+):\d+ \[[^]]+\] ")
_DURATION = re.compile(r"(?<=duration: )\d+(?=ms)")


@dataclass(frozen=True)
class SessionLine:
    """A session as its log line tells it."""

    text: str
    client: str
    date: str
    front: str
    back: str
    server: str
    wait: int
    connect: int
    total: int
    size: int
    state: str
    counts: str
    retries: str
    queues: str

    @property
    def told(self) -> str:
        """The line without client, date and durations (`N`; -1 stays: it never came so far)."""
        times = "/".join("-1" if each < 0 else "N" for each in (self.wait, self.connect))
        return (
            f"{self.front} {self.back}/{self.server} {times} {self.size} {self.state} "
            f"{self.counts}/{self.retries} {self.queues}"
        )


def read_session_line(text: str) -> SessionLine | None:
    """The parts of a line in tcplog's format; None where it is something else."""
    found = _TCPLOG.match(text)
    if found is None:
        return None
    parts = found.groupdict()
    numbers = {
        name: int(parts.pop(name).lstrip("+")) for name in ("wait", "connect", "total", "size")
    }
    return SessionLine(text=text, **parts, **numbers)


def without_durations(text: str) -> str:
    """A line about a server with `N` for the duration of a check."""
    return _DURATION.sub("N", text)


class SyslogCatcher:
    """Catches syslog by UDP at `port`. `lines` has the texts without header, in order."""

    def __init__(self) -> None:
        self._sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        self._sock.bind(("127.0.0.1", 0))
        self.port: int = self._sock.getsockname()[1]
        self.packets: list[str] = []
        self.lines: list[str] = []
        self._changed = threading.Condition()
        threading.Thread(target=self._receive, daemon=True).start()

    def add(self, line: str) -> None:
        """Take a line."""
        with self._changed:
            self.lines.append(line)
            self._changed.notify_all()

    def wait(self, enough: Callable[[list[str]], bool], what: str) -> list[str]:
        """Wait until the lines are as wanted; return a copy of them."""
        with self._changed:
            if not self._changed.wait_for(lambda: enough(self.lines), PATIENCE_S):
                raise AssertionError(f"{what} was not logged, but:\n" + "\n".join(self.lines))
            return self.lines[:]

    def told_of_clients(self) -> list[str]:
        """The lines that begin with a client, but those of the page, with `N` for its port and
        the date."""
        lines = [line for line in self.lines if _CLIENT.match(line) and "<STATS>" not in line]
        return [_CLIENT.sub(r"\1:N [N] ", line) for line in lines]

    def close(self) -> None:
        """Catch no more."""
        self._sock.close()

    def _receive(self) -> None:
        while True:
            try:
                packet = self._sock.recv(65536).decode(errors="replace")
            except OSError:
                return
            if not packet:
                return
            self.packets.append(packet)
            _, _, text = packet.partition("]: ")
            self.add(text.rstrip("\n"))
