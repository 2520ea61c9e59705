"""Policies, end to end: what exists follows them, and mirrors go where they say."""

from __future__ import annotations

from typing import Any

from support.coordination_network import Network

from rabbitry.cluster.access_records import DeletePolicy, SetPolicy
from rabbitry.node import Node
from rabbitry.wire.methods import (
    BasicGet,
    BasicProperties,
    BasicPublish,
    ExchangeDeclare,
    QueueBind,
    QueueDeclare,
)

SECOND_US = 1_000_000


def running() -> Network:
    network = Network("a", "b", "c")
    network.wait(SECOND_US)
    return network


def held(network: Network, queue: str = "q") -> dict[str, int]:
    """Return how many messages of the queue each node holds."""
    found: dict[str, int] = {}
    for name, host in network.hosts.items():
        if isinstance(host.machine, Node) and queue in (inside := host.machine.inspect()):
            found[name] = len(inside[queue]["messages"])
    return found


def exactly(replicas: int) -> SetPolicy:
    definition: dict[str, Any] = {"ha-mode": "exactly", "ha-params": replicas}
    return SetPolicy("/", "p", False, "^q", "queues", 0, definition)


def test_mirrors_follow_a_policy_and_hold_everything_again() -> None:
    network = running()
    client = network.client("a").open()
    client.say(QueueDeclare(queue="q")).take()
    client.publish("q", b"1", b"2")
    network.run()
    assert held(network) == {"a": 2, "b": 2, "c": 2}
    assert network.operate(exactly(2)) is None
    network.wait(SECOND_US)
    assert held(network) == {"a": 2, "b": 2}
    client.publish("q", b"3")
    network.run()
    assert network.operate(DeletePolicy("/", "p", False)) is None
    network.wait(SECOND_US)
    assert held(network) == {"a": 3, "b": 3, "c": 3}
    network.kill("a")
    network.wait(SECOND_US)
    other = network.client("c").open()
    other.say(*[BasicGet(queue="q", no_ack=True)] * 4)
    network.wait(SECOND_US)
    assert other.bodies == [b"1", b"2", b"3"]


def test_a_queue_declared_under_a_policy() -> None:
    network = running()
    network.operate(exactly(1))
    client = network.client("b").open()
    client.say(QueueDeclare(queue="q"), QueueDeclare(queue="another"))
    client.publish("q", b"1")
    network.run()
    assert held(network) == {"b": 1}
    assert held(network, "another") == {"a": 0, "b": 0, "c": 0}


def test_a_queue_that_is_there_is_shortened_by_a_policy_and_lengthened_by_none() -> None:
    network = running()
    client = network.client("a").open()
    client.say(QueueDeclare(queue="q")).take()
    client.publish("q", b"1", b"2", b"3")
    network.run()
    network.operate(SetPolicy("/", "p", False, "^q", "queues", 0, {"max-length": 2}))
    network.wait(SECOND_US)
    assert held(network) == {"a": 2, "b": 2, "c": 2}
    network.operate(SetPolicy("/", "o", True, "", "queues", 0, {"max-length": 1}))
    network.wait(SECOND_US)
    client.say(*[BasicGet(queue="q", no_ack=True)] * 2)
    network.wait(SECOND_US)
    assert client.bodies == [b"3"], "the oldest go first; the operator's number is less"
    network.operate(DeletePolicy("/", "p", False), DeletePolicy("/", "o", True))
    client.publish("q", b"4", b"5", b"6")
    network.wait(SECOND_US)
    assert held(network) == {"a": 3, "b": 3, "c": 3}


def test_an_alternate_exchange_by_policy() -> None:
    network = running()
    client = network.client("a").open()
    client.say(QueueDeclare(queue="q"), QueueBind(queue="q", exchange="amq.fanout"))
    client.say(ExchangeDeclare(exchange="x", type="direct"))

    def publish(body: bytes) -> None:
        method = BasicPublish(exchange="x", routing_key="nowhere")
        client.endpoint.send_content(1, method, BasicProperties(), body)
        client.flush()
        network.run()

    publish(b"1")
    definition: dict[str, Any] = {"alternate-exchange": "amq.fanout"}
    network.operate(SetPolicy("/", "p", False, "^x$", "exchanges", 0, definition))
    publish(b"2")
    client.say(*[BasicGet(queue="q", no_ack=True)] * 2)
    network.wait(SECOND_US)
    assert client.bodies == [b"2"]
