"""What does not fit: alarms block publishers in the whole cluster, backlogs those of a node."""

from __future__ import annotations

import pytest
from support.coordination_network import Client, Network

from rabbitry.broker import reading
from rabbitry.machine import AlarmChanged, Asked
from rabbitry.wire.methods import (
    BasicAck,
    BasicConsume,
    ConfirmSelect,
    QueueDeclare,
    QueueDeclareOk,
)

SECOND_US = 1_000_000


def running(*names: str) -> Network:
    network = Network(*names)
    network.wait(SECOND_US)
    return network


def declared(client: Client) -> Client:
    assert client.say(QueueDeclare(queue="q")).take() == ["queue.declare-ok"]
    return client


def confirmed(client: Client) -> bool:
    client.publish("q", b"m")
    client.network.wait(SECOND_US)
    return client.take() == ["basic.ack"]


def test_one_node_low_on_memory_blocks_publishers_on_all_and_consumers_go_on() -> None:
    network = running("a", "b", "c")
    publisher = declared(network.client("a").open()).say(ConfirmSelect())
    publisher.take()
    network.kill("coordinator")
    consumer = network.client("b", heartbeat_s=0).open().say(BasicConsume(queue="q"))
    assert confirmed(publisher)
    network.hosts["c"].step(AlarmChanged("memory", True))
    network.run()
    assert not confirmed(publisher)
    assert network.hosts["a"].reading_paused.keys() == {publisher.link}
    consumer.say(BasicAck(delivery_tag=1))
    assert consumer.take()[-1] == "basic.deliver"
    network.wait(200 * SECOND_US)  # far more than two heartbeats
    assert not publisher.closed
    network.hosts["c"].step(AlarmChanged("memory", False))
    network.wait(SECOND_US)
    assert publisher.take() == ["basic.ack"]
    assert confirmed(publisher)
    assert consumer.bodies == [b"m"] * 3


def test_the_alarm_of_a_node_ends_with_it_and_a_new_node_hears_of_alarms() -> None:
    network = running("a", "b")
    client = declared(network.client("a").open()).say(ConfirmSelect())
    client.take()
    network.hosts["b"].step(AlarmChanged("disk", True))
    network.kill("b")
    network.wait(3 * SECOND_US)
    assert confirmed(client)
    network.hosts["a"].step(AlarmChanged("disk", True))
    network.start("b", "2")
    network.wait(SECOND_US)
    late = network.client("b").open().say(ConfirmSelect())
    late.take()
    assert not confirmed(late)
    network.hosts["a"].step(AlarmChanged("memory", True))
    network.hosts["a"].step(AlarmChanged("disk", False))
    network.wait(SECOND_US)
    assert late.take() == []
    network.hosts["a"].step(AlarmChanged("memory", False))
    network.wait(SECOND_US)
    assert late.take() == ["basic.ack"]


def test_a_node_that_is_shut_down_lets_blocked_clients_say_goodbye() -> None:
    network = running("a")
    client = declared(network.client("a").open())
    host = network.hosts["a"]
    host.step(AlarmChanged("memory", True))
    client.publish("q", b"m")
    network.run()
    assert client.link in host.reading_paused
    host.step(Asked(1, "shutdown"))
    assert client.link not in host.reading_paused


def test_a_few_long_messages_are_a_backlog_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "BACKLOG_BYTES_HIGH", 1_000_000)
    monkeypatch.setattr(reading, "BACKLOG_BYTES_LOW", 500_000)
    network = running("a", "b")
    declared(network.client("a").open())
    publisher = network.client("b").open()
    network.hosts["a"].frozen = True
    publisher.publish("q", *[b"m" * 300_000] * 3)
    network.run()
    assert publisher.read
    publisher.publish("q", b"m" * 300_000)
    network.run()
    assert not publisher.read
    network.hosts["a"].frozen = False
    network.run()
    assert publisher.read
    publisher.heard.clear()
    publisher.say(QueueDeclare(queue="q", passive=True))
    assert publisher.heard == [QueueDeclareOk("q", 4, 0)]
