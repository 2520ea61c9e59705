"""`rabbitry up` as its user sees it: one line when it serves, nothing left when it ends.

Real processes on ports that happen to be free. Whatever a test starts, it ends.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pika
import pytest

from bench.ports import free_ports
from rabbitry.runtime import control
from rabbitry.runtime.errors import UserError

PATIENCE_S = 30.0


class Rabbits:
    """A `rabbitry up` in a data directory and on ports of its own."""

    def __init__(self, data_dir: Path, port: int, *more: str) -> None:
        self.data_dir = data_dir
        self.port = port
        self.front = port + 3
        options = ["--data-dir", str(data_dir), "--port", str(port)]
        options += ["--balancer-port", str(self.front), "--stats-port", str(port + 4)]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "rabbitry", "up", *options, *more],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def ready(self, login: str = "guest:guest@") -> Rabbits:
        """Wait for the ready line."""
        assert self.process.stdout is not None
        readable, _, _ = select.select([self.process.stdout], [], [], PATIENCE_S)
        assert readable, "not ready"
        line = self.process.stdout.readline()
        assert line == f"ready: amqp://{login}127.0.0.1:{self.front}/\n", self.complaint()
        return self

    def complaint(self) -> str:
        """Return what it wrote to standard error, once it has ended."""
        _, err = self.process.communicate(timeout=PATIENCE_S)
        return str(err)

    def ask(self, request: control.Request) -> dict[str, Any]:
        return control.ask(self.data_dir, request)

    def status(self) -> dict[str, Any]:
        return self.ask(control.Status())

    def states(self) -> dict[str, str]:
        return {node["name"]: node["state"] for node in self.status()["nodes"]}

    def pids(self) -> dict[str, int]:
        """Return the PIDs of all children by name."""
        status = self.status()
        pids = {node["name"]: node["pid"] for node in status["nodes"]}
        return pids | {"balancer": status["balancer"]["pid"]}

    def end(self) -> int:
        """End it as Ctrl-C does; return its exit code."""
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(PATIENCE_S)


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Callable[..., Rabbits]]:
    started: list[Rabbits] = []

    def start(name: str = "data", port: int | None = None, *more: str) -> Rabbits:
        rabbits = Rabbits(tmp_path / name, port or free_ports(5), *more)
        started.append(rabbits)
        return rabbits

    yield start
    for rabbits in started:
        rabbits.process.kill()  # its children end with it
        rabbits.process.communicate()


@contextlib.contextmanager
def all_gone_after(pids: list[int]) -> Iterator[None]:
    """Check that all these processes have ended soon after the block."""
    files = [os.pidfd_open(pid) for pid in pids]
    try:
        yield
        for file in files:
            assert select.select([file], [], [], PATIENCE_S)[0], "a process is left"
    finally:
        for file in files:
            os.close(file)


def accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except ConnectionRefusedError:
        return False
    return True


@pytest.mark.processes
def test_up_status_stop_and_up_again(up: Callable[..., Rabbits]) -> None:
    rabbits = up().ready()
    status = rabbits.status()
    assert [(node["name"], node["port"], node["state"]) for node in status["nodes"]] == [
        ("rabbit", rabbits.port, "running"),
        ("rabbit_1", rabbits.port + 1, "running"),
        ("rabbit_2", rabbits.port + 2, "running"),
    ]
    assert status["queues"] == []
    assert status["balancer"]["address"] == f"127.0.0.1:{rabbits.front}"
    names = [backend["name"] for backend in status["balancer"]["backends"]]
    assert names == ["rabbit", "rabbit_1", "rabbit_2"]
    assert all(accepts(rabbits.port + offset) for offset in range(5))
    with all_gone_after([*rabbits.pids().values(), rabbits.process.pid]):
        rabbits.ask(control.Stop())
        assert rabbits.process.poll() == 0, "stop returns when all is gone"
    assert not any(accepts(rabbits.port + offset) for offset in range(5))
    assert rabbits.process.communicate() == ("", "")
    again = up(port=rabbits.port).ready()
    assert again.end() == 0


@pytest.mark.processes
def test_a_killed_node_stays_down_until_it_is_started(up: Callable[..., Rabbits]) -> None:
    rabbits = up().ready()
    pid = rabbits.pids()["rabbit_1"]
    with all_gone_after([pid]):
        assert rabbits.ask(control.Kill("rabbit_1")) == {"node": "rabbit_1", "pid": pid}
    assert rabbits.states() == {"rabbit": "running", "rabbit_1": "killed", "rabbit_2": "running"}
    assert not accepts(rabbits.port + 1)
    with pytest.raises(UserError, match="node rabbit_1 is not running"):
        rabbits.ask(control.Kill("rabbit_1"))
    assert rabbits.ask(control.Start("rabbit_1"))["pid"] == rabbits.pids()["rabbit_1"] != pid
    assert rabbits.states()["rabbit_1"] == "running"
    with pytest.raises(UserError, match="node rabbit_1 is running already"):
        rabbits.ask(control.Start("rabbit_1"))
    with pytest.raises(UserError, match="there is no node hare; there are rabbit, rabbit_1, rab"):
        rabbits.ask(control.Kill("hare"))
    assert rabbits.end() == 0


@pytest.mark.processes
def test_a_node_told_to_terminate_ends_in_order(up: Callable[..., Rabbits]) -> None:
    rabbits = up().ready()
    rabbits.ask(control.Kill("rabbit_2", "TERM"))
    assert rabbits.states()["rabbit_2"] == "killed"
    log = (rabbits.data_dir / "log" / "supervisor.log").read_text()
    assert "process ended name=rabbit_2" in log
    assert "how=ended with exit code 0" in log
    assert rabbits.end() == 0


@pytest.mark.processes
def test_a_process_that_dies_by_itself_comes_back(up: Callable[..., Rabbits]) -> None:
    rabbits = up().ready()
    for name in ("rabbit", "balancer"):
        before = rabbits.pids()[name]
        with all_gone_after([before]):
            os.kill(before, signal.SIGKILL)
        while rabbits.pids()[name] in (before, None):
            pass
        if name == "rabbit":
            with contextlib.suppress(UserError):  # joined already
                rabbits.ask(control.Start(name))
            assert rabbits.states()[name] == "running"
    log = (rabbits.data_dir / "log" / "supervisor.log").read_text()
    assert "name=rabbit pid=" in log
    assert "how=killed by SIGKILL" in log
    assert rabbits.end() == 0


@pytest.mark.processes
def test_a_stopped_node_is_seen_and_does_not_keep_the_rest_from_ending(
    up: Callable[..., Rabbits],
) -> None:
    rabbits = up().ready()
    rabbits.ask(control.Kill("rabbit_1", "STOP"))
    assert rabbits.states()["rabbit_1"] == "stopped"
    with pytest.raises(UserError, match="--signal CONT"):
        rabbits.ask(control.Start("rabbit_1"))
    with all_gone_after(list(rabbits.pids().values())):
        rabbits.process.send_signal(signal.SIGTERM)
        assert rabbits.process.wait(PATIENCE_S) == 0


@pytest.mark.processes
def test_children_go_when_the_supervisor_is_killed(up: Callable[..., Rabbits]) -> None:
    rabbits = up().ready()
    with all_gone_after(list(rabbits.pids().values())):
        rabbits.process.kill()
    with pytest.raises(UserError, match="no Rabbitry is running"):
        rabbits.status()
    assert up(port=rabbits.port).ready().end() == 0


@pytest.mark.processes
def test_after_a_kill_of_all_what_is_not_durable_is_gone(up: Callable[..., Rabbits]) -> None:
    rabbits = up().ready()
    connection = pika.BlockingConnection(pika.ConnectionParameters(port=rabbits.front))
    channel = connection.channel()
    channel.queue_declare("durable", durable=True)
    channel.queue_declare("transient")
    with all_gone_after(list(rabbits.pids().values())):
        rabbits.process.kill()
    again = up(port=rabbits.port).ready()
    assert [(one["name"], one["waits"]) for one in again.status()["queues"]] == [("durable", "")]
    assert again.end() == 0


@pytest.mark.processes
def test_two_never_share_a_data_directory(up: Callable[..., Rabbits]) -> None:
    rabbits = up().ready()
    second = up(port=free_ports(5))
    assert second.complaint() == (
        f"rabbitry: a Rabbitry is already running in {rabbits.data_dir} "
        f"(pid {rabbits.process.pid}); use --data-dir or `rabbitry stop`\n"
    )
    assert second.process.returncode == 2
    assert rabbits.end() == 0


@pytest.mark.processes
@pytest.mark.parametrize(
    ("offset", "what", "hint"),
    [
        (1, "node rabbit_1: cannot listen on", "--port"),
        (3, "balancer: cannot listen on", "--balancer-port"),
        (4, "balancer: cannot listen on", "--stats-port"),
    ],
)
def test_a_port_in_use_is_one_line_and_nothing_stays(
    up: Callable[..., Rabbits], offset: int, what: str, hint: str
) -> None:
    port = free_ports(5)
    with socket.create_server(("127.0.0.1", port + offset)):
        rabbits = up(port=port)
        complaint = rabbits.complaint()
    assert rabbits.process.returncode == 2
    assert complaint.startswith(f"rabbitry: {what} 127.0.0.1:{port + offset} ")
    assert "Address already in use" in complaint
    assert hint in complaint
    assert complaint.count("\n") == 1
    assert not any(accepts(port + other) for other in range(5))


@pytest.mark.processes
def test_secrets_are_in_no_log_argument_or_environment(up: Callable[..., Rabbits]) -> None:
    rabbits = up().ready()
    secret = (rabbits.data_dir / "secret").read_bytes()
    for pid in rabbits.pids().values():
        for name in ("cmdline", "environ"):
            seen = Path(f"/proc/{pid}/{name}").read_bytes()
            assert secret not in seen
            assert secret.hex().encode() not in seen
    assert rabbits.end() == 0
    for log in (rabbits.data_dir / "log").iterdir():
        assert secret.hex().encode() not in log.read_bytes()


@pytest.mark.processes
def test_definitions_settle_who_may_log_in_before_there_is_a_node(
    up: Callable[..., Rabbits], tmp_path: Path
) -> None:
    file = tmp_path / "definitions.json"
    may = '"vhost": "/", "configure": ".*", "write": ".*", "read": ".*"'
    text = '{"users": [{"name": "alice", "password": "a", "tags": ""}], "permissions": [{%s}]}'
    file.write_text(text % f'"user": "guest", {may}')
    refused = up("refused", None, "--definitions", str(file), "--nodes", "1")
    assert "permissions[0] ('guest'): user 'guest' does not exist" in refused.complaint()
    assert refused.process.returncode == 2
    assert not (refused.data_dir / "log" / "rabbit.log").exists()
    file.write_text(text % f'"user": "alice", {may}')
    rabbits = up("data", None, "--definitions", str(file), "--nodes", "1").ready(login="")
    found = rabbits.ask(control.Definitions())
    assert [user["name"] for user in found["users"]] == ["alice"]
    assert rabbits.end() == 0
    assert (rabbits.data_dir / "log" / "rabbit.log").exists()
    told = (rabbits.data_dir / "log" / "supervisor.log").read_text()
    assert told.index("user deleted user=guest") < told.index("user added user=alice")
