"""What a user does to a running cluster by hand, and what accidents do to it.

The commands as they are typed; processes killed behind the supervisor's back; ends of every kind,
after which no process is left; starts that cannot work, each of them one line and exit code 2.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pika
import pytest
from support.running_cluster import (
    NODES,
    PATIENCE_S,
    RABBITRY,
    RunningCluster,
    accepts,
    all_gone_after,
)

from bench.ports import free_ports

Up = Callable[..., RunningCluster]

pytestmark = pytest.mark.processes


def connect(port: int) -> pika.BlockingConnection:
    return pika.BlockingConnection(pika.ConnectionParameters("127.0.0.1", port))


# --- the start ----------------------------------------------------------------------------------


def test_whoever_comes_right_after_the_ready_line_is_served(cluster: RunningCluster) -> None:
    print(f"ready after {cluster.ready_after_s:.2f} s")
    connections = [connect(cluster.front) for _ in range(6)]
    status = cluster.status()
    # "UP 1/2" is up: on a busy machine an answer may come too late for one check.
    backends = [(one["state"][:2], one["sessions"]) for one in status["balancer"]["backends"]]
    assert backends == [("UP", 2)] * 3
    with connections[0].channel() as channel:
        channel.queue_declare("q", durable=True)
    queue = cluster.wait_in_sync("q")
    assert sorted([queue["leader"], *queue["mirrors"]]) == NODES
    for connection in connections:
        connection.close()
    assert "DOWN" not in (cluster.data_dir / "log" / "balancer.log").read_text()


def test_the_walk_through(cluster: RunningCluster) -> None:
    with connect(cluster.front) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        channel.queue_declare("orders", durable=True)
        channel.basic_publish("", "orders", b"first")
    queue = cluster.wait_in_sync("orders")
    assert (queue["vhost"], queue["messages"], queue["consumers"]) == ("/", 1, 0)
    shown = cluster.command("status")
    for word in (*NODES, "running", "orders", f"127.0.0.1:{cluster.front}", "UP"):
        assert word in shown
    for_programs = json.loads(cluster.command("status", "--json"))
    assert for_programs["queues"] == [queue]
    assert [node["pid"] for node in for_programs["nodes"]] == list(cluster.pids().values())[:3]
    leader = queue["leader"]
    pid = cluster.pids()[leader]
    with all_gone_after([pid]):
        assert cluster.command("kill", leader) == f"sent SIGKILL to {leader} (pid {pid})\n"
    assert "is not running" in cluster.command("kill", leader, exit_code=1)
    assert cluster.states()[leader] == "killed"
    with connect(cluster.front) as connection:
        method, _, body = connection.channel().basic_get("orders", auto_ack=True)
        assert (method.redelivered, body) == (False, b"first")
    assert cluster.command("start", leader).startswith(f"started {leader} (pid ")
    assert leader in cluster.wait_in_sync("orders")["mirrors"]
    assert "running already" in cluster.command("start", leader, exit_code=1)
    assert "there is no node hare" in cluster.command("start", "hare", exit_code=2)
    with all_gone_after([*cluster.pids().values(), cluster.process.pid]):
        assert cluster.command("stop") == f"stopped the Rabbitry in {cluster.data_dir}\n"
        assert cluster.process.wait(PATIENCE_S) == 0
    assert "no Rabbitry is running" in cluster.command("status", exit_code=1)


def test_a_stopped_node_hears_only_some_signals(cluster: RunningCluster) -> None:
    cluster.command("kill", "rabbit_1", "--signal", "STOP")
    assert "--signal CONT" in cluster.command("kill", "rabbit_1", "--signal", "TERM", exit_code=1)
    assert "--signal CONT" in cluster.command("start", "rabbit_1", exit_code=1)
    assert cluster.states()["rabbit_1"] == "stopped"
    cluster.command("kill", "rabbit_1")
    assert cluster.states()["rabbit_1"] == "killed"
    cluster.command("start", "rabbit_1")
    cluster.command("kill", "rabbit_1", "--signal", "TERM")
    assert cluster.states() == {"rabbit": "running", "rabbit_1": "killed", "rabbit_2": "running"}


# --- accidents ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["rabbit_1", "balancer"])
def test_what_dies_by_itself_comes_back(cluster: RunningCluster, name: str) -> None:
    before = cluster.pids()[name]
    assert before is not None
    with all_gone_after([before]):
        os.kill(before, signal.SIGKILL)
    status = cluster.wait_status(
        f"{name} is back",
        lambda status: all(
            one["state"] == "running" and one["pid"] not in (None, before)
            for one in [*status["nodes"], {**status["balancer"], "name": "balancer"}]
            if one["name"] == name
        ),
    )
    assert [node["state"] for node in status["nodes"]] == ["running"] * 3
    cluster.wait_status(
        "the balancer sees all nodes",
        lambda status: [one["state"] for one in status["balancer"]["backends"]] == ["UP"] * 3,
    )
    connect(cluster.front).close()
    log = (cluster.data_dir / "log" / "supervisor.log").read_text()
    assert f"process ended name={name} pid={before} how=killed by SIGKILL" in log


def test_a_supervisor_that_slept_finds_everything_as_it_was(cluster: RunningCluster) -> None:
    """As when a laptop is closed: the leases run out meanwhile, and nothing is lost."""
    with connect(cluster.front) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        channel.queue_declare("q", durable=True)
        channel.basic_publish("", "q", b"before")
        cluster.process.send_signal(signal.SIGSTOP)
        # Messages flow while the coordinator is away; this is also what lets its leases run out.
        for _ in range(30):
            channel.basic_publish("", "q", b"meanwhile")
            connection.sleep(0.1)
        cluster.process.send_signal(signal.SIGCONT)
        cluster.wait_in_sync("q")
        channel.basic_publish("", "q", b"after")
        bodies = [channel.basic_get("q", auto_ack=True)[2] for _ in range(32)]
        assert bodies == [b"before", *[b"meanwhile"] * 30, b"after"]
    assert cluster.states() == dict.fromkeys(NODES, "running")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_end_it_and_leave_nothing(cluster: RunningCluster, number: signal.Signals) -> None:
    cluster.command("kill", "rabbit_1", "--signal", "STOP")
    assert cluster.states()["rabbit_1"] == "stopped"
    with connect(cluster.front):
        pass
    with all_gone_after(list(cluster.pids().values())):
        cluster.process.send_signal(number)
        assert cluster.process.wait(PATIENCE_S) == 0
    assert not any(accepts(cluster.port + offset) for offset in range(5))
    assert cluster.process.communicate() == ("", "")


def test_an_end_in_order_is_nothing_to_be_warned_of(cluster: RunningCluster) -> None:
    connect(cluster.front).close()
    cluster.command("stop")
    for name in NODES:
        log = (cluster.data_dir / "log" / f"{name}.log").read_text()
        assert " warning " not in log, log
        assert " error " not in log, log


def test_a_supervisor_killed_leaves_nothing_that_matters(cluster: RunningCluster, up: Up) -> None:
    cluster.command("kill", "rabbit_2", "--signal", "STOP")
    pids = cluster.pids()
    stopped = pids.pop("rabbit_2")
    assert stopped is not None
    with all_gone_after(list(pids.values())):
        cluster.process.kill()
    # One that is stopped cannot notice; it goes as soon as it may run.
    with all_gone_after([stopped]):
        os.kill(stopped, signal.SIGCONT)
    assert "no Rabbitry is running" in cluster.command("status", exit_code=1)
    again = up(data_dir=cluster.data_dir, port=cluster.port).wait_ready()
    assert again.states() == dict.fromkeys(NODES, "running")


# --- starts that cannot work --------------------------------------------------------------------


def refused(*arguments: str) -> str:
    """Run `rabbitry up`, which must end with exit code 2 and one line; return the line."""
    done = subprocess.run(
        [*RABBITRY, "up", *arguments], capture_output=True, text=True, timeout=PATIENCE_S
    )
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1), done
    return done.stderr


def test_a_second_one_in_the_same_directory(cluster: RunningCluster) -> None:
    line = refused("--data-dir", str(cluster.data_dir), "--port", "1")
    assert f"already running in {cluster.data_dir} (pid {cluster.process.pid})" in line
    assert cluster.states() == dict.fromkeys(NODES, "running")


@pytest.mark.parametrize(
    ("offset", "option"), [(0, "--port"), (2, "--port"), (3, "--balancer"), (4, "--stats")]
)
def test_a_port_in_use(offset: int, option: str, up: Up) -> None:
    first = free_ports(5)
    port = first + offset
    with socket.create_server(("127.0.0.1", port)):
        one = up(port=first)
        complaint = one.complaint()
    assert one.process.returncode == 2
    assert complaint.count("\n") == 1
    assert f"127.0.0.1:{port}" in complaint
    assert option in complaint
    assert not (one.data_dir / "control.sock").exists()


def test_data_directories_that_cannot_be_used(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("not a directory")
    assert f"cannot use the data directory {file}" in refused("--data-dir", str(file))
    assert "cannot use the data directory" in refused("--data-dir", str(file / "below"))
    assert "/proc/nowhere" in refused("--data-dir", "/proc/nowhere")
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o777)
    assert "others may write" in refused("--data-dir", str(shared))


def test_a_data_directory_with_a_very_long_name(tmp_path: Path, up: Up) -> None:
    """Longer than the path of a unix socket may be."""
    data_dir = tmp_path / ("x" * 100) / ("y" * 100)
    cluster = up(data_dir=data_dir).wait_ready()
    assert cluster.states() == dict.fromkeys(NODES, "running")
    home = Path(json.loads((data_dir / "rabbitry.lock").read_bytes())["socket"]).parent
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    cluster.command("stop")
    assert not home.exists()


def test_nothing_of_it_is_readable_by_others(cluster: RunningCluster) -> None:
    for path in [cluster.data_dir, *cluster.data_dir.rglob("*")]:
        assert stat.S_IMODE(path.lstat().st_mode) & 0o077 == 0, path


def listens_at(pid: int | None) -> list[tuple[str, int]]:
    """Return where a process accepts TCP connections, as proc(5) tells."""
    files = []
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed since
            files.append(str(link.readlink()))
    found = []
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and f"socket:[{fields[9]}]" in files:
                host, _, port = fields[1].partition(":")
                assert table == "tcp", "not loopback only"
                packed = int(host, 16).to_bytes(4, sys.byteorder)
                found.append((socket.inet_ntoa(packed), int(port, 16)))
    return found


def test_foreign_bytes_do_no_harm(cluster: RunningCluster) -> None:
    """Somebody speaks HTTP, or noise, to each port that listens; the cluster goes on."""
    pids = cluster.pids()
    listening = [
        address for pid in [*pids.values(), cluster.process.pid] for address in listens_at(pid)
    ]
    # Each node for clients and for nodes, its agent; the coordinator; the balancer and its page.
    assert len(listening) == 3 * len(NODES) + 1 + 2, listening
    assert {host for host, _ in listening} == {"127.0.0.1"}
    ports = [port for _, port in listening]
    for port in ports:
        for noise in (b"GET / HTTP/1.0\r\n\r\n", b"\xff" * 5000, b"AMQP\x00\x00\x09\x01" * 3):
            with socket.create_connection(("127.0.0.1", port), PATIENCE_S) as foreign:
                with contextlib.suppress(OSError):  # an agent has said its line and gone
                    foreign.sendall(noise)
                    foreign.shutdown(socket.SHUT_WR)
                select.select([foreign], [], [], PATIENCE_S)
    assert cluster.pids() == pids
    assert cluster.states() == dict.fromkeys(NODES, "running")
    connect(cluster.front).close()
