"""A new file beside HAProxy 2.6: what is told of sessions whose section it has no more.

HAProxy's master starts a second process for it, and the first one is asked about its sessions
through the master (`@!PID`); ours is one process before and after.
"""

from __future__ import annotations

import contextlib
import re
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from support.balancer_sides import HAPROXY, POLL_S
from support.running_balancer import PATIENCE_S, RunningBalancer
from support.scripted_links import Link
from support.scripted_servers import ScriptedServer, greets

from bench.ports import free_ports

HEAD = """\
global
    stats socket {socket} level admin
    nbthread 1
defaults
    mode tcp
    timeout connect 5s
    timeout client 20s
    timeout server 20s
listen stays
    bind 127.0.0.1:%d
    server s2 127.0.0.1:%d
"""
GOES = """\
listen goes
    bind 127.0.0.1:%d
    server s1 127.0.0.1:%d
"""


class Ours:
    """`rabbitry balance`."""

    def __init__(self, directory: Path, text: str) -> None:
        self._running = RunningBalancer(directory, text)
        self._file = directory / "balancer.cfg"

    def reload(self, text: str) -> None:
        """Have it take another file."""
        self._file.write_text(text.replace("{socket}", str(self._running.socket)))
        assert self._running.ask("reload").startswith("Success=1")

    def ask(self, line: str) -> str:
        """Ask the process that has the sessions from before."""
        return self._running.ask(line)

    def close(self) -> None:
        self._running.kill()


class Theirs:
    """HAProxy with a master and a worker."""

    def __init__(self, directory: Path, text: str) -> None:
        self._directory = directory
        self._master = directory / "master"
        self._file = directory / "haproxy.cfg"
        self._write(text)
        command = [str(HAPROXY), "-W", "-S", str(self._master), "-f", str(self._file)]
        self._process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        try:
            self._worker = self._await(r"# workers\n(\d+)")
        except BaseException:
            self.close()
            raise

    def _write(self, text: str) -> None:
        self._file.write_text(text.replace("{socket}", str(self._directory / "socket")))

    def _await(self, pattern: str) -> str:
        """Wait until the master tells so of its processes: it starts itself anew meanwhile."""
        give_up = time.monotonic() + PATIENCE_S
        while True:
            with contextlib.suppress(OSError):
                if found := re.search(pattern, self._tell("show proc")):
                    return found[1]
            assert self._process.poll() is None
            assert time.monotonic() < give_up, "the master does not answer"
            time.sleep(POLL_S)

    def _tell(self, line: str) -> str:
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(PATIENCE_S)
            sock.connect(str(self._master))
            sock.sendall(f"{line}\n".encode())
            sock.shutdown(socket.SHUT_WR)  # else it waits for more
            return b"".join(iter(lambda: sock.recv(65536), b"")).decode()

    def reload(self, text: str) -> None:
        """Have it take another file."""
        self._write(text)
        self._process.send_signal(signal.SIGUSR2)
        self._await(rf"# old workers\n({self._worker}) ")

    def ask(self, line: str) -> str:
        """Ask the process that has the sessions from before."""
        return self._tell(f"@!{self._worker} {line}")

    def close(self) -> None:
        """End it at once."""
        self._process.terminate()
        self._process.wait(PATIENCE_S)


Kind = type[Ours] | type[Theirs]


@contextmanager
def reloaded(side: Kind, directory: Path) -> Iterator[tuple[Ours | Theirs, Link, Link]]:
    """A balancer with a session at a section that its file has no more, and one at one it has."""
    directory.mkdir()
    with ExitStack() as stack:
        servers = [ScriptedServer(name, greets, free_ports()) for name in ("s1", "s2")]
        for server in servers:
            stack.callback(server.close)
            server.come()
        goes, stays = free_ports(), free_ports()
        before = HEAD % (stays, servers[1].port)
        balancer = side(directory, before + GOES % (goes, servers[0].port))
        stack.callback(balancer.close)
        links = []
        for port in (goes, stays):
            link = Link(socket.create_connection(("127.0.0.1", port), PATIENCE_S))
            stack.callback(link.close)
            link.line()
            links.append(link)
        balancer.reload(before)
        yield balancer, links[0], links[1]


def seen(side: Kind, directory: Path) -> object:
    """What is told of these two sessions, before and after one is ended by hand."""
    with reloaded(side, directory) as (balancer, gone, stays):
        found = []
        for _ in range(2):
            lines = balancer.ask("show sess").splitlines()
            lines = [line for line in lines if "fe=GLOBAL" not in line and "fe=" in line]
            found.append([re.findall(r"(?:fe|be|srv)=\S+", line) for line in lines])
            (count,) = re.findall(r"^CurrConns: (\d+)", balancer.ask("show info"), re.M)
            found.append(int(count))
            number = next((line.split(":")[0] for line in lines if "fe=goes" in line), "")
            balancer.ask(f"shutdown session {number}")
            if number:
                gone.ends()
        stays.send(b"x")
        return found


def test_sessions_of_a_section_that_went_are_told_of_and_ended(tmp_path: Path) -> None:
    ours, theirs = (seen(side, tmp_path / side.__name__) for side in (Ours, Theirs))
    assert ours == theirs
    assert ours == [
        [["fe=goes", "be=goes", "srv=s1"], ["fe=stays", "be=stays", "srv=s2"]],
        2,
        [["fe=stays", "be=stays", "srv=s2"]],
        1,
    ]
