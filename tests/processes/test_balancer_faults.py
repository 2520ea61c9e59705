"""What the balancer, a real process, does when clients, servers and the system fail it.

Every client is served or told so; what is lacking is said in one line; what is open stays open.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.running_balancer import RunningBalancer
from support.scripted_links import Link
from support.scripted_servers import Behaviour, ScriptedServer, free_port, greets

pytestmark = pytest.mark.processes

PREAMBLE = """
global
    stats socket {socket} level admin
    %s
defaults
    mode tcp
    timeout connect 5s
    timeout client 60s
    timeout server 60s
    timeout queue 60s
"""
PAGE = """
listen page
    bind 127.0.0.1:%d
    mode http
    stats enable
    stats uri /stats
"""

Balance = Callable[..., RunningBalancer]
Serve = Callable[..., ScriptedServer]
Connect = Callable[[int], Link]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Return a function that starts a server."""
    servers: list[ScriptedServer] = []

    def start(name: str = "s1", behaviour: Behaviour = greets) -> ScriptedServer:
        server = ScriptedServer(name, behaviour, free_port())
        servers.append(server)
        server.come()
        return server

    yield start
    for server in servers:
        server.close()


@pytest.fixture
def balance(tmp_path: Path) -> Iterator[Balance]:
    """Return a function that starts a balancer on these sections."""
    started: list[RunningBalancer] = []

    def start(
        sections: str, process: str = "", *, open_files: int | None = None
    ) -> RunningBalancer:
        text = PREAMBLE % process + sections
        started.append(RunningBalancer(tmp_path, text, open_files=open_files))
        return started[-1]

    yield start
    for balancer in started:
        balancer.kill()


@pytest.fixture
def connect() -> Iterator[Connect]:
    """Return a function that opens a client's link to a port."""
    links: list[Link] = []

    def open_one(port: int) -> Link:
        links.append(Link(socket.create_connection(("127.0.0.1", port), 10)))
        return links[-1]

    yield open_one
    for link in links:
        link.close()


def front(port: int, *servers: str, more: str = "") -> str:
    lines = [f"    server {server}\n" for server in servers]
    return f"listen front\n    bind 127.0.0.1:{port}\n    {more}\n{''.join(lines)}"


# --- out of file descriptors ----------------------------------------------------------------------


@pytest.mark.parametrize("processes", [1, 2])
def test_out_of_descriptors_is_said_once_and_all_goes_on(
    balance: Balance, serve: Serve, connect: Connect, processes: int
) -> None:
    port, page = free_port(), free_port()
    server = serve()
    line = f"s1 127.0.0.1:{server.port} check inter 20ms fall 1"
    balancer = balance(front(port, line) + PAGE % page, f"nbthread {processes}", open_files=200)
    links = [connect(port) for _ in range(100 * processes)]
    balancer.wait_printed("out of file descriptors (ulimit -n)", processes)
    assert links[0].line() == "s1"

    server.arrival(len(server.arrivals) + 3)
    # Checks, the runtime socket and the page go on, though no client more is let in.
    for rows in (balancer.rows(), balancer.page_rows(page)):
        assert rows["front", "s1"]["status"] == "UP"
        assert 60 * processes <= int(rows["front", "FRONTEND"]["scur"]) < 100 * processes
    # Who is served is served on; who waits comes in as they leave, and nobody is refused.
    links[0].send(b"hello\n")
    assert links[0].line() == "hello"
    links[0].close()
    for link in links[1:]:
        assert link.line() == "s1"
        link.close()
    said = [line for line in balancer.printed if "descriptors" in line or "open files" in line]
    assert len(said) == processes, said
    assert not balancer.lines("is DOWN")
    assert balancer.end() == 0
