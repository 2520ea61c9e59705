"""A node that is about to end: publishers have what they are owed before their connections go."""

from __future__ import annotations

from support.coordination_network import Network

from rabbitry.machine import Asked, BytesReceived, Commit
from rabbitry.wire.frames import content_frames, method_frame
from rabbitry.wire.methods import (
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
