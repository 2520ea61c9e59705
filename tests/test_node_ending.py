"""A node that is about to end: publishers have what they are owed before their connections go."""

from __future__ import annotations

import pytest
from support.coordination_network import Network

from rabbitry.machine import Asked, BytesReceived, Commit
from rabbitry.wire.frames import content_frames, method_frame
from rabbitry.wire.methods import (
    BasicAck,
    BasicConsume,
    BasicProperties,
    BasicPublish,
    ConfirmSelect,
    ConnectionClose,
    QueueDeclare,
)


def test_confirms_of_what_is_on_its_way_into_the_store_come_before_the_end() -> None:
    network = Network("a")
    network.run()
    host = network.hosts["a"]
    client = network.client("a").open()
    client.say(QueueDeclare(queue="q", durable=True), ConfirmSelect())
    client.take()
    publish = method_frame(1, BasicPublish(exchange="", routing_key="q").encode())
    content = content_frames(1, BasicProperties(delivery_mode=2).encode(), b"body", 131072)
    effects = host.step(BytesReceived(client.link, publish + content))
    assert any(isinstance(effect, Commit) for effect in effects)
    host.step(Asked(7, "shutdown"))
    assert client.heard == [] and not client.read, "not confirmed, and not told to go"
    network.run()
    network.wait(200_000)
    assert client.take() == ["basic.ack"]
    assert client.endpoint.end_reason.startswith("320 CONNECTION_FORCED")
    assert host.answers == {7: None}


def test_one_that_publishes_nothing_is_told_at_once() -> None:
    network = Network("a")
    network.run()
    host = network.hosts["a"]
    client = network.client("a").open()
    host.step(Asked(7, "shutdown"))
    assert client.endpoint.state != "open"
    assert ConnectionClose not in map(type, client.heard)


@pytest.mark.parametrize("leader", ["a", "b"])
def test_acknowledgements_that_cross_the_close_are_kept(leader: str) -> None:
    """The client sent them before it heard of the end: they count, wherever the queue is led."""
    network = Network("a", "b")
    network.run()
    publisher = network.client(leader).open()
    publisher.say(QueueDeclare(queue="q", durable=True))
    publisher.publish("q", b"1", b"2", b"3")
    client = network.client("a").open()
    client.say(BasicConsume(queue="q", consumer_tag="t"))
    assert client.bodies == [b"1", b"2", b"3"]
    client.send(BasicAck(2, multiple=True))  # it is not at the node yet
    network.hosts["a"].step(Asked(7, "shutdown"))
    assert client.endpoint.state == "closed"
    network.run()
    network.wait(500_000)
    assert network.hosts["a"].answers == {7: None}
    held = network.hosts[leader].machine.inspect()["q"]["messages"]  # type: ignore[attr-defined]
    assert [position for position, _ in held] == [3]
