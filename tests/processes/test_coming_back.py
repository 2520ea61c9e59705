"""`rabbitry up` on a directory that was in use: what comes back, who is missed, what is not read.

What is lost and doubled when everything is killed under load is shown by the rounds of kills.
"""

from __future__ import annotations

import json
import signal
import socket
from collections.abc import Callable
from pathlib import Path

import pika
import pytest
from support.crashes import children_of
from support.running_cluster import NODES, RunningCluster, accepts

Up = Callable[..., RunningCluster]

pytestmark = pytest.mark.processes


def connect(port: int, user: str = "guest", password: str = "guest") -> pika.BlockingConnection:
    credentials = pika.PlainCredentials(user, password)
    return pika.BlockingConnection(
        pika.ConnectionParameters("127.0.0.1", port, credentials=credentials)
    )


def ready_line(cluster: RunningCluster) -> str:
    assert cluster.process.stdout is not None
    return str(cluster.process.stdout.readline())


def runs(pid: int) -> bool:
    """Whether a process is there, and not only its remains."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


def end(cluster: RunningCluster) -> str:
    """Stop it, and return what it wrote to standard error."""
    cluster.process.send_signal(signal.SIGTERM)
    return cluster.complaint()


def test_definitions_are_for_the_first_start(up: Up, tmp_path: Path) -> None:
    file = tmp_path / "definitions.json"
    may = {"user": "alice", "vhost": "/", "configure": ".*", "write": ".*", "read": ".*"}
    users = [{"name": "alice", "password": "first", "tags": ""}]
    file.write_text(json.dumps({"users": users, "permissions": [may]}))
    cluster = up(options=["--definitions", str(file)])
    assert ready_line(cluster) == f"ready: amqp://127.0.0.1:{cluster.front}/\n"
    cluster.command("users", "change-password", "alice", says="second\n")
    with connect(cluster.front, "alice", "second") as connection:
        connection.channel().exchange_declare("kept", durable=True)
    assert end(cluster) == ""
    cluster.begin()
    assert ready_line(cluster) == f"ready: amqp://127.0.0.1:{cluster.front}/\n"
    with connect(cluster.front, "alice", "second") as connection:
        connection.channel().exchange_declare("kept", passive=True)
    assert end(cluster) == (
        "rabbitry: --definitions is for a first start and not read now; "
        f"`rabbitry definitions import {file}` is for later\n"
    )


def test_a_node_that_cannot_start_keeps_nobody_waiting(cluster: RunningCluster) -> None:
    with connect(cluster.front) as connection:
        connection.channel().queue_declare("q", durable=True)
    cluster.wait_in_sync("q")
    assert end(cluster) == ""
    with socket.create_server(("127.0.0.1", cluster.port + 1)):
        cluster.begin()
        cluster.wait_ready()
        with connect(cluster.front) as connection:
            connection.channel().queue_declare("q", durable=True, passive=True)
        assert cluster.states()["rabbit_1"] in ("down", "starting")
    assert sorted(cluster.wait_in_sync("q")["in_sync"]) == NODES
    complaint = end(cluster)
    assert complaint.startswith("rabbitry: node rabbit_1: cannot listen on ")
    assert complaint.endswith("; going on without it, it is tried again\n")
    assert complaint.count("\n") == 1


def test_if_none_can_start_that_is_the_end(cluster: RunningCluster) -> None:
    assert end(cluster) == ""
    taken = [socket.create_server(("127.0.0.1", cluster.port + offset)) for offset in range(3)]
    try:
        cluster.begin()
        complaint = cluster.complaint()
    finally:
        for server in taken:
            server.close()
    assert cluster.process.returncode == 2
    assert complaint.startswith("rabbitry: node rabbit")
    assert "Address already in use" in complaint
    assert complaint.count("\n") == 1


def test_the_nodes_of_a_supervisor_that_was_killed_are_waited_for(cluster: RunningCluster) -> None:
    """They take a second to end, for they have clients that do not listen."""
    clients = [connect(cluster.node_port(name)) for name in NODES]
    clients[0].channel().queue_declare("q", durable=True)
    before = children_of(cluster.process.pid)
    cluster.process.kill()
    cluster.process.communicate()
    cluster.begin()
    cluster.wait_ready()
    assert not any(runs(pid) for pid in before.values())
    assert sorted(cluster.wait_in_sync("q")["in_sync"]) == NODES
    log = (cluster.data_dir / "log" / "rabbit.log").read_text()
    assert "in use" not in log
    end(cluster)
    assert not accepts(cluster.port)


def test_who_is_waited_for_is_said(cluster: RunningCluster) -> None:
    """Two nodes die and miss what the third confirms; then it is the third that cannot start."""
    with connect(cluster.node_port("rabbit_2")) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        channel.queue_declare("q", durable=True)
        cluster.wait_in_sync("q")
        for name in ("rabbit", "rabbit_1"):
            cluster.command("kill", name)
        channel.basic_publish("", "q", b"missed", pika.BasicProperties(delivery_mode=2))
        assert cluster.queue("q")["leader"] == "rabbit_2"
        for name in ("rabbit", "rabbit_1"):
            assert name not in cluster.queue("q")["stored"]
    end(cluster)
    with socket.create_server(("127.0.0.1", cluster.port + 2)):
        cluster.begin()
        cluster.wait_ready()
        queue = cluster.queue("q")
        assert not queue["leader"]
        assert queue["waits"].startswith("waits for rabbit_2: only it has all that was confirmed")
        assert "waits for rabbit_2" in cluster.command("status")
    cluster.wait_in_sync("q")
    complaint = end(cluster)
    assert "rabbitry: 1 of 1 queues wait: 'q' in '/' waits for rabbit_2: only it has" in complaint
