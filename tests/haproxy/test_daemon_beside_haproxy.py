"""`daemon` beside HAProxy 2.6: how the process that was started ends, and what is left behind."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.balancer_sides import HAPROXY, POLL_S
from support.running_balancer import PATIENCE_S
from support.running_cluster import RABBITRY

from bench.ports import free_ports

TEXT = """\
global
    daemon
    pidfile {pidfile}
    stats socket {admin} level admin
    {words}
defaults
    mode tcp
    timeout connect 5s
    timeout client 20s
    timeout server 20s
listen front
    bind 127.0.0.1:{front}
    server s1 127.0.0.1:{server}
"""


class Started:
    """`haproxy` or `rabbitry balance` on a file in this directory."""

    def __init__(self, who: str, directory: Path) -> None:
        self.who = who
        self.front = free_ports()
        self.pidfile = directory / "pid"
        self.admin = directory / "admin"
        self.file = directory / "balancer.cfg"

    def command(self, *options: str) -> list[str]:
        """The command with these options."""
        command = [str(HAPROXY)] if self.who == "haproxy" else [*RABBITRY, "balance"]
        return [*command, *options, "-f", str(self.file)]

    def write(self, server: int, words: str = "", text: str = TEXT) -> None:
        """Write its file."""
        self.file.write_text(text.format(server=server, words=words, **vars(self)))

    def run(self, server: int, *options: str, words: str = "") -> tuple[int, str]:
        """Exit code and output: of the process that was started, and of all that may still write
        to where it wrote."""
        self.write(server, words)
        command = self.command(*options)
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S)
        return done.returncode, done.stdout + done.stderr

    @property
    def process(self) -> int:
        return int(self.pidfile.read_text())

    def reach(self) -> bytes:
        with socket.create_connection(("127.0.0.1", self.front), PATIENCE_S) as sock:
            return sock.recv(100)

    def ask(self, line: str) -> str:
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(PATIENCE_S)
            sock.connect(str(self.admin))
            sock.sendall(f"{line}\n".encode())
            return b"".join(iter(lambda: sock.recv(65536), b"")).decode()

    def end(self, how: signal.Signals = signal.SIGTERM) -> None:
        """End the process in the background; return when it is gone."""
        watch = os.pidfd_open(self.process)
        os.kill(self.process, how)
        gone, _, _ = select.select([watch], [], [], PATIENCE_S)
        os.close(watch)
        assert gone, "it does not end"

    def clear(self) -> None:
        """Leave nothing behind, whatever failed."""
        with contextlib.suppress(OSError):
            os.kill(self.process, signal.SIGKILL)


@pytest.fixture(params=["haproxy", "rabbitry"])
def side(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Started]:
    started = Started(request.param, tmp_path)
    yield started
    started.clear()


@pytest.fixture
def ours(tmp_path: Path) -> Iterator[Started]:
    started = Started("rabbitry", tmp_path)
    yield started
    started.clear()


@contextmanager
def greeter() -> Iterator[int]:
    """A server that greets everybody."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            while True:
                try:
                    link = listening.accept()[0]
                except OSError:
                    return
                with link:
                    link.sendall(b"hello")

        threading.Thread(target=serve, daemon=True).start()
        yield listening.getsockname()[1]
        listening.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize("words", ["", "nbthread 2"])
def test_serves_in_the_background_when_the_command_ends(side: Started, words: str) -> None:
    with greeter() as server:
        code, _ = side.run(server, words=words)
        assert code == 0
        assert side.reach() == b"hello"
        assert f"Pid: {side.process}\n" in side.ask("show info")
        assert os.getsid(side.process) == side.process
        files = [os.readlink(f"/proc/{side.process}/fd/{number}") for number in (0, 1, 2)]
        assert files == ["/dev/null"] * 3
        side.end()


def test_a_soft_stop_ends_it(side: Started) -> None:
    with greeter() as server:
        assert side.run(server)[0] == 0
        side.end(signal.SIGUSR1)
        with pytest.raises(ConnectionRefusedError):
            side.reach()


def test_a_port_that_is_taken_is_told_where_it_was_started(side: Started) -> None:
    with socket.create_server(("127.0.0.1", side.front)):
        code, output = side.run(1)
    assert code in (1, 2)
    assert f"127.0.0.1:{side.front}" in output
    assert not side.pidfile.exists()


def test_a_mistake_is_told_where_it_was_started(side: Started) -> None:
    code, output = side.run(1, words="nonsense")
    assert code in (1, 2)
    assert f"{side.file}:5" in output


@pytest.mark.parametrize("options", [["-D"], ["-D", "-db"]])
def test_the_option_does_as_the_word(side: Started, options: list[str]) -> None:
    with greeter() as server:
        side.write(server, text=TEXT.replace("    daemon\n", ""))
        command = side.command(*options)
        subprocess.run(command, check=True, capture_output=True, timeout=PATIENCE_S)
        assert side.reach() == b"hello"
        side.end()


def test_stays_in_the_foreground_when_told(side: Started) -> None:
    with greeter() as server:
        side.write(server)
        process = subprocess.Popen(side.command("-db"))
        deadline = time.monotonic() + PATIENCE_S
        while not side.admin.exists():
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(POLL_S)
        assert f"Pid: {process.pid}\n" in side.ask("show info")
        process.terminate()
        process.wait(PATIENCE_S)


def test_a_new_file_is_taken_in_the_background(ours: Started) -> None:
    """HAProxy takes no new file in the process that runs."""
    with greeter() as server:
        assert ours.run(server, words="nbthread 2")[0] == 0
        ours.front = free_ports()
        ours.write(server, words="nbthread 2")
        assert ours.ask("reload") == "Success=1\n"
        assert ours.reach() == b"hello"
        ours.end()
        assert not ours.pidfile.exists()
