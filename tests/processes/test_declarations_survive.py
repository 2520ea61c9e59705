"""Everything killed at once: what was declared durable is there again, what was not is gone."""

from __future__ import annotations

import contextlib

import pika
import pytest
from pika.exceptions import AMQPConnectionError, ChannelClosedByBroker, ProbableAuthenticationError
from support.crashes import kill_everything, kill_supervisor
from support.queue_contents import connect, publish, take_all
from support.running_cluster import NODES, RunningCluster

pytestmark = pytest.mark.processes


def declare_all(port: int) -> None:
    """Two of each kind: one that is durable, and one that is not."""
    with connect(port) as connection:
        channel = connection.channel()
        for name, durable in (("kept", True), ("lost", False)):
            channel.exchange_declare(f"{name}.direct", "direct", durable=durable)
            channel.exchange_declare(f"{name}.topic", "topic", durable=durable)
            channel.queue_declare(f"{name}.q", durable=durable)
        channel.queue_declare("kept.limited", durable=True, arguments={"x-max-length": 2})
        channel.queue_bind("kept.q", "kept.direct", "key", {"why": "it is durable"})
        channel.queue_bind("kept.q", "kept.topic", "a.#")
        channel.exchange_bind("kept.topic", "kept.direct", "to.topic")
        channel.queue_bind("lost.q", "kept.direct", "key.lost")
        channel.queue_bind("kept.q", "lost.direct", "key")


def absent(port: int, kind: str, name: str) -> bool:
    """Say whether this queue or exchange is not there."""
    with connect(port) as connection:
        channel = connection.channel()
        ask = {"queue": channel.queue_declare, "exchange": channel.exchange_declare}[kind]
        try:
            ask(name, passive=True)
        except ChannelClosedByBroker as closed:
            assert closed.reply_code == 404
            return True
    return False


def routed_to(port: int, exchange: str, key: str) -> list[bytes]:
    """Publish through an exchange; return what comes to kept.q."""
    with connect(port) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        channel.basic_publish(exchange, key, exchange.encode(), mandatory=True)
    return take_all(port, "kept.q")


def test_declarations_survive_the_death_of_all(cluster: RunningCluster) -> None:
    declare_all(cluster.front)
    cluster.command("vhosts", "add", "shop")
    cluster.command("users", "add", "alice", says="alice\n")
    cluster.command("users", "set-permissions", "alice", ".*", ".*", "^$", "--vhost", "shop")
    cluster.command("policies", "set", "short", "^kept[.]q$", '{"max-length": 3}')
    for way in (kill_everything, kill_supervisor):
        way(cluster)
        cluster.begin()
        cluster.wait_ready()
        check_declarations(cluster)


def check_declarations(cluster: RunningCluster) -> None:
    for port in map(cluster.node_port, NODES):
        assert not absent(port, "queue", "kept.q")
        assert absent(port, "queue", "lost.q")
        assert not absent(port, "exchange", "kept.topic")
        assert absent(port, "exchange", "lost.topic")
        assert routed_to(port, "kept.direct", "key") == [b"kept.direct"]
        assert routed_to(port, "kept.topic", "a.b.c") == [b"kept.topic"]
        with pytest.raises(pika.exceptions.UnroutableError):
            routed_to(port, "kept.direct", "key.lost")
    for queue, length in (("kept.limited", 2), ("kept.q", 3)):  # its argument, a policy
        publish(cluster.front, queue, [b"%d" % number for number in range(5)])
        assert len(take_all(cluster.front, queue)) == length
    with connect(cluster.front, "alice", "shop") as connection:
        connection.channel().queue_declare("hers")
        with pytest.raises(ChannelClosedByBroker, match="ACCESS_REFUSED"):
            connection.channel().basic_get("hers")
    with pytest.raises(ProbableAuthenticationError):
        connect(cluster.front, "bob")


def test_persistent_messages_survive_in_order_and_others_do_not(cluster: RunningCluster) -> None:
    with connect(cluster.front) as connection:
        channel = connection.channel()
        channel.queue_declare("durable", durable=True)
        channel.queue_declare("transient")
    for number in range(20):
        persistent = number % 2 == 0
        publish(cluster.front, "durable", [b"%d" % number], persistent=persistent)
    publish(cluster.front, "transient", [b"in a queue that goes"])
    kill_everything(cluster)
    cluster.begin()
    cluster.wait_ready()
    assert absent(cluster.front, "queue", "transient")
    assert take_all(cluster.front, "durable") == [b"%d" % number for number in range(0, 20, 2)]


def test_a_committed_transaction_survives_and_one_that_is_not_leaves_nothing(
    cluster: RunningCluster,
) -> None:
    persistent = pika.BasicProperties(delivery_mode=2)
    with contextlib.suppress(AMQPConnectionError), connect(cluster.front) as connection:
        channel = connection.channel()
        channel.queue_declare("q", durable=True)
        channel.basic_publish("", "q", b"acknowledged in a transaction", persistent)
        channel.tx_select()
        method, _, _ = channel.basic_get("q")
        assert method is not None
        channel.basic_ack(method.delivery_tag)
        for number in range(10):
            channel.basic_publish("", "q", b"%d" % number, persistent)
        channel.tx_commit()
        for _ in range(10):
            channel.basic_publish("", "q", b"never committed", persistent)
        kill_everything(cluster)
    cluster.begin()
    cluster.wait_ready()
    assert take_all(cluster.front, "q") == [b"%d" % number for number in range(10)]
