"""`rabbitry balance -Ws -p FILE`: what a unit of systemd starts, hears and reads."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.ports import free_ports

PATIENCE_S = 20
OPEN_FILES = 200
TEXT = """
global
    {}
    maxconn {}
listen l
    bind 127.0.0.1:{}
    timeout connect 1s
    timeout client 1s
    timeout server 1s
    server s 127.0.0.1:1
"""


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    """Where systemd listens."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.settimeout(PATIENCE_S)
        yield listening


@pytest.mark.processes
@pytest.mark.parametrize("word", ["daemon", "pidfile /nowhere/at/all"])
def test_it_stays_and_says_when_it_serves_and_ends(
    word: str, manager: socket.socket, tmp_path: Path
) -> None:
    """`daemon` and `pidfile` of the file count for less, as with HAProxy."""
    file, pidfile = tmp_path / "balancer.cfg", tmp_path / "pid"
    port = free_ports()
    file.write_text(TEXT.format(word, 5000, port))
    process = subprocess.Popen(
        [
            *("prlimit", f"--nofile={OPEN_FILES}"),
            *(sys.executable, "-m", "rabbitry", "balance", "-Ws", "-f", file, "-p", pidfile),
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"NOTIFY_SOCKET": str(manager.getsockname())},
    )
    try:
        assert manager.recv(100) == b"READY=1"
        assert pidfile.read_text() == f"{process.pid}\n"
        assert process.poll() is None
        socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S).close()
        assert process.stderr is not None
        lacks = [next(line for line in process.stderr if "open files" in line)]
        file.write_text(TEXT.format(word, 6000, port))
        process.send_signal(signal.SIGUSR2)
        lacks.append(next(line for line in process.stderr if "open files" in line))
        process.terminate()
        assert manager.recv(100) == b"STOPPING=1"
        _, rest = process.communicate(timeout=PATIENCE_S)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0
    assert not pidfile.exists()
    for maxconn, line in zip((5000, 6000), lacks, strict=True):
        assert f"maxconn {maxconn} needs about" in line
        assert f"{OPEN_FILES} are allowed" in line
    assert "takes effect at the next start" not in rest


@pytest.mark.processes
def test_what_cannot_serve_never_says_that_it_does(manager: socket.socket, tmp_path: Path) -> None:
    file = tmp_path / "balancer.cfg"
    with socket.create_server(("127.0.0.1", 0)) as other:
        file.write_text(TEXT.format("daemon", 100, other.getsockname()[1]))
        done = subprocess.run(
            [sys.executable, "-m", "rabbitry", "balance", "-W", "-Ws", "-f", file],
            capture_output=True,
            env=os.environ | {"NOTIFY_SOCKET": str(manager.getsockname())},
            timeout=PATIENCE_S,
            check=False,
        )
    assert done.returncode == 2
    assert b"in use" in done.stderr
    assert manager.recv(100) == b"STOPPING=1"
