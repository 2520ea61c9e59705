"""A node where a queue has no leader: who has all that was confirmed is away."""

from __future__ import annotations

from support.coordination_network import Network

from rabbitry.machine import Asked
from rabbitry.wire.methods import QueueDeclare, QueueDelete

SECOND_US = 1_000_000


def test_a_queue_that_nobody_can_lead_at_present_can_be_deleted() -> None:
    network = Network("a", "b")
    for name in "ab":
        network.hosts[name].machine._membership.store = f"the store of {name}"
    network.wait(SECOND_US)
    declaring = network.client("a").open().say(QueueDeclare(queue="q", durable=True))
    assert declaring.take() == ["queue.declare-ok"]
    for number, name in enumerate("ba"):
        network.kill(name)
        network.coordinator.inbox.append(Asked(number, ("node died", name)))
        network.wait(SECOND_US)
    network.start("b", "2").machine._membership.store = "the store of b"
    network.wait(SECOND_US)
    client = network.client("b").open().say(QueueDelete(queue="q", if_empty=True))
    assert client.take() == ["channel.close"]
    client = network.client("b").open()
    client.publish("q", b"waits for a")
    client.say(QueueDelete(queue="q"))
    assert client.take() == ["queue.delete-ok"]
    client.say(QueueDeclare(queue="q", passive=True))
    assert client.take() == ["channel.close"]
