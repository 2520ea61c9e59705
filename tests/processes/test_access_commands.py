"""Users, permissions and policies of a running cluster, as an operator types them."""

from __future__ import annotations

from pathlib import Path

import pika
import pytest
from pika.exceptions import ChannelClosedByBroker, ProbableAuthenticationError
from support.running_cluster import NODES, RunningCluster

pytestmark = pytest.mark.processes

EXPORT = Path(__file__).parent.parent / "cluster" / "data" / "rabbitmq-3.10.8-definitions.json"
ALICES = "wonderland"  # her password at the RabbitMQ that wrote the file


def connect(port: int, password: str = ALICES) -> pika.BlockingConnection:
    credentials = pika.PlainCredentials("alice", password)
    return pika.BlockingConnection(
        pika.ConnectionParameters("127.0.0.1", port, "shop", credentials, connection_attempts=1)
    )


def test_what_rabbitmq_exported_holds_on_every_node_and_can_be_changed(
    cluster: RunningCluster,
) -> None:
    with pytest.raises(ProbableAuthenticationError):
        connect(cluster.front)
    cluster.command("definitions", "import", str(EXPORT))
    for node in NODES:
        with connect(cluster.node_port(node)) as connection:
            channel = connection.channel()
            channel.queue_declare("alice.q", passive=True)
            with pytest.raises(ChannelClosedByBroker, match="access to queue 'bobs' in vhost"):
                channel.queue_declare("bobs")
    cluster.command("users", "set-permissions", "alice", "--vhost", "shop")
    two = '{"ha-mode": "exactly", "ha-params": 2}'
    cluster.command("policies", "set", "two", "^bobs$", two, "--vhost", "shop")
    with connect(cluster.front) as connection:
        connection.channel().queue_declare("bobs", durable=True)
    placed = next(one for one in cluster.status()["queues"] if one["name"] == "bobs")
    assert len(placed["mirrors"]) == 1
    cluster.command("limits", "set-user", "alice")
    log = cluster.data_dir / "log"
    assert not any(ALICES in file.read_text() for file in log.iterdir())


def test_a_mistake_is_one_line(cluster: RunningCluster) -> None:
    line = cluster.command("users", "set-permissions", "nobody", exit_code=2)
    assert "user 'nobody' does not exist" in line
