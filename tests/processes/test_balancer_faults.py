"""What the balancer, a real process, does when clients, servers and the system fail it.

Every client is served or told so; what is lacking is said in one line; what is open stays open.
"""

from __future__ import annotations

import os
import resource
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.many_links import HELLO, Crowd, ManyServer
from support.running_balancer import RunningBalancer
from support.scripted_links import Link
from support.scripted_servers import Behaviour, ScriptedServer, greets

from bench.ports import free_ports

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
        server = ScriptedServer(name, behaviour, free_ports())
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
    port, page = free_ports(), free_ports()
    server = serve()
    line = f"s1 127.0.0.1:{server.port} check inter 300ms fall 3"
    balancer = balance(front(port, line) + PAGE % page, f"nbthread {processes}", open_files=200)
    links = [connect(port) for _ in range(100 * processes)]
    balancer.wait_printed("out of file descriptors (ulimit -n)", processes)
    assert links[0].line() == "s1"

    server.arrival(len(server.arrivals) + 2)
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


# --- many clients ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("process", "more"),
    [
        ("maxconnrate 200", ""),
        ("nbthread 2", "rate-limit sessions 200"),
    ],
)
def test_a_storm_waits_for_the_admission_rate_and_all_are_served(
    balance: Balance, process: str, more: str
) -> None:
    port = free_ports()
    with ManyServer() as server:
        balancer = balance(front(port, f"s1 127.0.0.1:{server.port}", more=more), process)
        crowd = Crowd(port, 300)
        assert crowd.heard() == {HELLO: 300}
        row = balancer.rows()["front", "FRONTEND"]
        assert int(row["rate_max"]) <= 200
        assert row["stot"] == "300"
        crowd.close()


def test_twenty_thousand_links(balance: Balance) -> None:
    sessions = min(10_000, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2)
    port = free_ports()
    with ManyServer() as server:
        line = f"s1 127.0.0.1:{server.port} check inter 1s fall 2"
        balancer = balance(front(port, line), "nbthread 2\n    maxconn 20000")
        empty_bytes = balancer.memory_bytes()
        crowd = Crowd(port, sessions)
        assert crowd.heard() == {HELLO: sessions}
        rows = balancer.rows()
        assert rows["front", "FRONTEND"]["scur"] == str(sessions)
        assert rows["front", "s1"]["status"] == "UP"
        grown = (balancer.memory_bytes() - empty_bytes) / sessions
        print(f"{sessions} sessions; bytes of the first process for each: {grown:.0f}")
        assert grown < 50_000
        # The end cuts off whom it cannot ask to leave, and is no failure.
        assert balancer.end() == 0
        crowd.close()


def test_clients_that_do_not_read_cost_little_and_nobody_else(balance: Balance) -> None:
    port = free_ports()
    with ManyServer(flood=True) as server:
        balancer = balance(front(port, f"s1 127.0.0.1:{server.port}"))
        empty_bytes = balancer.memory_bytes()
        crowd = Crowd(port, 200, buffer_bytes=4096)
        assert crowd.heard() == {HELLO: 200}
        left = 4_000_000
        with socket.create_connection(("127.0.0.1", port)) as reader:
            while left > 0:
                left -= len(reader.recv(1 << 20))
        grown = (balancer.memory_bytes() - empty_bytes) / 200
        print(f"bytes for each session whose client does not read: {grown:.0f}")
        assert grown < 512 * 1024
        assert int(balancer.rows()["front", "FRONTEND"]["scur"]) >= 200
        crowd.close()


# --- clients that leave ---------------------------------------------------------------------------


def test_clients_that_break_off_wherever_they_are_leave_nothing_behind(
    balance: Balance, serve: Serve, connect: Connect
) -> None:
    port = free_ports()
    server = serve()
    line = f"s1 127.0.0.1:{server.port} maxconn 3"
    balancer = balance(front(port, line), "nbthread 2")
    staying = [connect(port) for _ in range(3)]
    for link in staying:
        assert link.line() == "s1"
    going = [connect(port) for _ in range(90)]
    waiting = connect(port)
    for link in going[::3]:
        link.reset()
    for link in going[1::3]:
        link.finish()
    for link in going[2::3]:
        link.close()
    for link in going[1::3]:
        assert link.rest()[0] == b""
    staying[0].close()
    assert waiting.line() == "s1"
    rows = balancer.rows()
    assert [rows["front", name]["scur"] for name in ("FRONTEND", "s1", "BACKEND")] == ["3"] * 3
    assert rows["front", "BACKEND"]["qcur"] == "0"
    for link in (*staying[1:], waiting):
        link.send(b"still here\n")
        assert link.line() == "still here"


def test_a_client_that_vanished_is_asked_by_keepalive(
    balance: Balance, serve: Serve, connect: Connect
) -> None:
    port = free_ports()
    server = serve()
    more = "option tcpka\n    clitcpka-idle 100s\n    srvtcpka-idle 50s\n    timeout client 1m"
    balance(front(port, f"s1 127.0.0.1:{server.port}", more=more))
    assert connect(port).line() == "s1"
    assert 50 < keepalive_left_s(local=port) <= 100
    assert 0 < keepalive_left_s(remote=server.port) <= 50


def test_a_client_that_vanished_is_ended_by_its_timeout(
    balance: Balance, serve: Serve, connect: Connect
) -> None:
    port = free_ports()
    server = serve()
    balance(front(port, f"s1 127.0.0.1:{server.port}", more="timeout client 1s"))
    link = connect(port)
    assert link.line() == "s1"
    assert link.ends() == (b"", "fin")
    assert server.arrival(0).wait() == (b"", "fin")


def keepalive_left_s(*, local: int = 0, remote: int = 0) -> float:
    """When the kernel will ask the peer of the one open link with these ports whether it lives."""
    for row in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, here, there, state, _, timer, *_ = row.split()
        ours = local in (0, _port(here)) and remote in (0, _port(there))
        kind, _, left = timer.partition(":")
        if ours and state == "01" and kind == "02":
            return int(left, 16) / os.sysconf("SC_CLK_TCK")
    return 0.0


def _port(place: str) -> int:
    return int(place.rpartition(":")[2], 16)


# --- servers that fail ----------------------------------------------------------------------------


def test_servers_that_refuse_or_never_answer_are_gone_around(
    balance: Balance, serve: Serve, connect: Connect
) -> None:
    port = free_ports()
    refusing, hanging, good = serve("s1"), serve("s2"), serve("s3")
    refusing.go()
    hanging.hang()
    lines = [f"{each.name} 127.0.0.1:{each.port}" for each in (refusing, hanging, good)]
    more = "option redispatch 1\n    retries 3\n    timeout connect 200ms"
    balancer = balance(front(port, *lines, more=more))
    assert [connect(port).line() for _ in range(4)] == ["s3"] * 4
    rows = balancer.rows()
    assert rows["front", "s3"]["scur"] == rows["front", "BACKEND"]["scur"] == "4"
    assert rows["front", "s2"]["wredis"] != "0"


def test_all_servers_down_then_back(balance: Balance, serve: Serve, connect: Connect) -> None:
    port = free_ports()
    server = serve()
    line = f"s1 127.0.0.1:{server.port} maxconn 1 check inter 50ms fall 1 rise 1"
    balancer = balance(front(port, line))
    first = connect(port)
    assert first.line() == "s1"
    queued = [connect(port) for _ in range(5)]
    server.go()
    balancer.wait_printed("is DOWN")
    assert connect(port).ends() == (b"", "fin")  # refused, as by HAProxy
    server.come()
    balancer.wait_printed("is UP")
    first.close()
    for link in queued:
        assert link.line() == "s1"
        link.close()


# --- its own end ----------------------------------------------------------------------------------


def test_sigterm_in_a_storm_ends_it_in_order(balance: Balance) -> None:
    port = free_ports()
    with ManyServer() as server:
        balancer = balance(front(port, f"s1 127.0.0.1:{server.port}"))
        crowd = Crowd(port, 1500)
        served = crowd.heard(100)
        assert balancer.end() == 0
        rest = crowd.heard(1500 - sum(served.values()))
        assert sum(rest.values()) + sum(served.values()) == 1500  # nobody is left hanging
        crowd.close()
        assert not balancer.lines("Traceback")


def test_killed_and_started_again_on_the_same_port(
    balance: Balance, serve: Serve, connect: Connect
) -> None:
    port = free_ports()
    server = serve()
    balancer = balance(front(port, f"s1 127.0.0.1:{server.port}"), "nbthread 2")
    links = [connect(port) for _ in range(20)]
    assert [link.line() for link in links] == ["s1"] * 20
    balancer.kill()
    balancer.begin()
    assert connect(port).line() == "s1"
    for link in links:
        assert link.rest()[0] == b""
    assert balancer.ask("show info").count("Name: ") == 1


# --- a process of several that hangs --------------------------------------------------------------


def test_a_worker_that_hangs_is_killed_and_its_clients_are_told(
    balance: Balance, connect: Connect
) -> None:
    port = free_ports()

    def served() -> Link:
        link = connect(port)
        link.send(b"hello\n")
        assert link.line() == "hello"
        return link

    process = "nbthread 2\n    log 127.0.0.1:9 local0"  # standard error has it all the same
    with ManyServer() as server:
        balancer = balance(front(port, f"s1 127.0.0.1:{server.port}"), process)
        balancer.rows()  # waits until the worker is there
        (worker,) = children_of(balancer.process.pid)
        links = [served()]
        while len(os.listdir(f"/proc/{worker}/fd")) < 30:  # it has some of them
            assert len(links) < 1000
            links.append(served())
        os.kill(worker, signal.SIGSTOP)
        said = balancer.wait_printed("gives no sign of life and is killed")
        lost = int(said.split("links=")[1].split()[0]) // 2
        assert f"pid={worker} " in said and 0 < lost <= len(links)
        balancer.wait_printed("a worker process is started again")
        row = balancer.rows()["front", "s1"]
        assert (row["scur"], row["cli_abrt"], row["srv_abrt"]) == (str(len(links) - lost), "0", "0")
        # Whom the first process serves it serves on, the others have heard an end.
        for link in links:
            link.send(b"again\n")
        answers = [link.line() for link in links]
        assert (answers.count("again"), answers.count("")) == (len(links) - lost, lost)
        for _ in range(40):
            served()
        assert len(balancer.lines("worker process")) == 2, balancer.printed
        assert balancer.end() == 0


def children_of(pid: int) -> list[int]:
    """The processes that a process has started."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
