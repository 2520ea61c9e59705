"""A node that was away: what waited there for queues that are gone, and exist again."""

from __future__ import annotations

import pytest
from support.coordination_network import Network

from rabbitry.broker.passwords import hash_password
from rabbitry.cluster.access_records import (
    AddVirtualHost,
    DeleteUser,
    DeleteVirtualHost,
    SetPermissions,
    SetUser,
)
from rabbitry.cluster.records import QueueDeclared, QueueDeleted, QueuePlaced
from rabbitry.connection.handshake import Credentials
from rabbitry.machine import TimerFired
from rabbitry.node import Node
from rabbitry.wire.methods import (
    BasicCancel,
    BasicConsume,
    BasicGet,
    QueueDeclare,
    QueueDelete,
)

SECOND_US = 1_000_000


class Absence:
    """Node a leads q and hangs; then b does, whose client has asked a; c's exchanges the queue."""

    def __init__(self) -> None:
        self.network = Network("a", "b", "c")
        self.network.wait(SECOND_US)
        first = self.network.client("a").open()
        assert first.say(QueueDeclare(queue="q")).take() == ["queue.declare-ok"]
        self.client = self.network.client("b").open()
        self.other = self.network.client("c").open()

    def hang(self, name: str) -> None:
        self.network.run()
        self.network.hosts[name].frozen = True

    def exchange(self, *names: str) -> None:
        """Have these deleted and declared again while b is away."""
        self.hang("b")
        self.network.wait(4 * SECOND_US)
        for name in names:
            self.other.say(QueueDelete(queue=name), QueueDeclare(queue=name))
            assert self.other.take() == ["queue.delete-ok", "queue.declare-ok"]

    def come_back(self, *names: str) -> None:
        for name in names:
            self.network.hosts[name].frozen = False
            self.network.wait(2 * SECOND_US)


def test_a_declaration_that_waited_finds_the_queue_that_was_declared_again() -> None:
    stage = Absence()
    stage.hang("a")
    stage.client.say(QueueDeclare(queue="q"))
    assert stage.client.take() == []
    stage.exchange("q")
    stage.come_back("b")
    assert stage.client.take() == ["queue.declare-ok"]
    stage.client.publish("q", b"1")
    stage.client.say(BasicGet(queue="q", no_ack=True))
    assert stage.client.take() == ["basic.get-ok"]
    stage.come_back("a")
    last = stage.network.client("a").open().say(QueueDeclare(queue="q"))
    assert last.take() == ["queue.declare-ok"]


def test_consumers_end_one_after_another_though_their_queue_has_gone() -> None:
    stage = Absence()
    consumers = [BasicConsume(queue="q", consumer_tag=tag) for tag in "tuv"]
    stage.client.say(*consumers).take()
    stage.hang("a")
    stage.client.send(BasicCancel(consumer_tag="t"), BasicCancel(consumer_tag="u"))
    stage.client.send(QueueDeclare(queue="q"))
    stage.exchange("q")
    stage.come_back("b")
    heard = stage.client.take()
    assert heard == ["basic.cancel-ok", "basic.cancel-ok", "queue.declare-ok", "basic.cancel"]


def test_changes_of_one_batch_are_all_made_before_anybody_is_told() -> None:
    stage = Absence()
    stage.client.say(BasicConsume(queue="q", consumer_tag="t")).take()
    stage.hang("a")
    stage.client.say(BasicCancel(consumer_tag="t"), QueueDeclare(queue="r", passive=True))
    assert stage.client.take() == []
    node = stage.network.hosts["b"].machine
    assert isinstance(node, Node)
    declared = QueueDeclared("/", "r", 7, False, False, "", b"")
    placed = QueuePlaced(7, 1, "b", [], ["b"])
    node.changed([declared, placed, QueueDeleted("/", "q", 1)])
    stage.network.hosts["b"].step(TimerFired("go on"))
    stage.client.say(BasicGet(queue="r"))
    assert stage.client.take() == ["basic.cancel-ok", "queue.declare-ok", "basic.get-empty"]


@pytest.mark.parametrize(
    ("gone", "reason"),
    [
        (DeleteUser("alice"), "user 'alice' is deleted"),
        (DeleteVirtualHost("v"), "vhost 'v' is down"),
    ],
    ids=["user", "virtual host"],
)
def test_clients_whose_user_or_virtual_host_is_gone_are_closed(
    gone: DeleteUser | DeleteVirtualHost, reason: str
) -> None:
    stage = Absence()
    stage.network.operate(
        AddVirtualHost("v", "", [], b""),
        SetUser("alice", hash_password(b"secret", b"salt")),
        SetPermissions("alice", "v", ".*", ".*", ".*"),
    )
    alice = stage.network.client("b", credentials=Credentials("alice", "secret", "v")).open()
    alice.say(QueueDeclare(queue="q"), BasicConsume(queue="q")).take()
    stage.exchange()
    assert stage.network.operate(gone) is None
    stage.come_back("b")
    assert alice.endpoint.end_reason == f"320 CONNECTION_FORCED - {reason}"
    assert stage.client.endpoint.state == "open"
