"""Tests of the question that a disk answers, with a server endpoint at the other end."""

from __future__ import annotations

from support.amqp_server import DISK, AmqpServer

from rabbitry.balancer.checking.amqp_asking import AmqpAsking
from rabbitry.balancer.checking.amqp_disk import DURABLY, EXPIRES_MS, DiskAsking
from rabbitry.cluster.placement import CONFIRM_DURABLY
from rabbitry.connection.handshake import Credentials


class Talk:
    """A connection that asks the disk of a server; both talk until both are silent."""

    def __init__(
        self, product: str = "RabbitMQ", refused: int = 0, version: str = "3.10.8"
    ) -> None:
        self.asking = AmqpAsking(
            Credentials("guest", "guest"), "b/s", 0, probes=False, asks_disk=True
        )
        self.server = AmqpServer(product, version)
        self.server.refused = refused
        self.go_on()

    @property
    def disk(self) -> DiskAsking:
        assert self.asking.disk is not None
        return self.asking.disk

    def go_on(self, data: bytes = b"") -> None:
        if data:
            self.asking.received(data, 0)
        while sent := self.asking.take_bytes(0):
            if reply := self.server.feed(sent):
                self.asking.received(reply, 0)

    def ask(self) -> None:
        self.asking.ask(0, probe=False)
        self.go_on()


def test_rabbitmq_has_a_queue_that_goes_with_its_consumer() -> None:
    talk = Talk()
    (declared,) = talk.server.declarations
    assert (declared.queue, declared.durable, declared.exclusive) == ("", True, False)
    assert declared.auto_delete
    assert declared.arguments["x-expires"] == EXPIRES_MS
    assert declared.arguments["x-queue-master-locator"] == "client-local"
    assert "basic.consume" in talk.server.received
    for _ in range(3):
        talk.ask()
        assert not talk.asking.outstanding
    assert talk.server.received.count("basic.publish") == 4
    assert talk.server.unacknowledged == 0
    assert talk.server.declarations == [declared]


def test_rabbitmq_4_is_not_told_where_it_is_to_be() -> None:
    (declared,) = Talk(version="4.0.9").server.declarations
    assert "x-queue-master-locator" not in declared.arguments
    assert "x-queue-type" in declared.arguments


def test_a_node_of_ours_has_one_that_goes_with_its_connection() -> None:
    talk = Talk("Rabbitry")
    (declared,) = talk.server.declarations
    assert (declared.durable, declared.exclusive, declared.auto_delete) == (True, True, False)
    assert declared.arguments[DURABLY] is True
    assert DURABLY == CONFIRM_DURABLY
    assert "basic.consume" not in talk.server.received
    assert not talk.asking.outstanding


def test_other_brokers_are_not_asked() -> None:
    assert Talk("LavinMQ").asking.disk is None


def test_no_confirm_while_it_stands_still_and_one_message_at_a_time() -> None:
    talk = Talk()
    talk.server.change_disk("stuck")
    talk.ask()
    assert talk.asking.owing_disk is talk.disk
    assert not talk.disk.pressed
    talk.disk.press()
    talk.go_on()
    assert talk.disk.pressed
    assert not talk.disk.waive()
    talk.ask()
    assert talk.server.received.count("basic.publish") == 2
    talk.go_on(talk.server.change_disk())
    assert not talk.asking.outstanding
    assert talk.disk.remark == ""
    assert talk.server.unacknowledged == 0


def test_a_connection_that_is_blocked_owes_no_confirm() -> None:
    talk = Talk()
    talk.server.change_disk("stuck")
    talk.server.alarm = "low on disk"
    talk.ask()
    assert talk.disk.owes
    assert talk.asking.blocked_by == "low on disk"
    assert not talk.asking.outstanding
    talk.go_on(talk.server.calm())
    assert talk.asking.owing_disk is talk.disk


def test_what_is_unconfirmed_is_not_acknowledged() -> None:
    talk = Talk()
    talk.server.change_disk("stuck elsewhere")
    talk.ask()
    assert talk.server.unacknowledged == 1
    talk.go_on(talk.server.change_disk())
    assert talk.server.unacknowledged == 0


def test_a_queue_that_answers_waits_for_another_disk() -> None:
    talk = Talk()
    talk.server.change_disk("stuck elsewhere")
    talk.ask()
    assert talk.asking.outstanding
    talk.disk.press()
    talk.go_on()
    assert not talk.asking.outstanding
    assert talk.disk.waive()
    assert talk.disk.remark == "confirms wait for other nodes"
    talk.ask()  # it is asked again each time
    assert not talk.asking.outstanding
    assert talk.server.received.count("queue.declare") == 3


def test_our_nodes_mirror_it_not_and_are_not_asked_whose_disk_it_is() -> None:
    talk = Talk("Rabbitry")
    talk.server.change_disk("stuck")
    talk.ask()
    assert talk.disk.pressed
    talk.disk.press()
    talk.go_on()
    assert talk.server.received.count("queue.declare") == 1
    assert not talk.disk.waive()


def test_a_queue_that_somebody_deleted_is_declared_anew() -> None:
    talk = Talk()
    talk.server.lose_queue()
    talk.ask()
    assert len(talk.server.declarations) == 2
    assert not talk.asking.outstanding
    talk.server.change_disk("stuck elsewhere")
    talk.ask()
    talk.server.lose_queue()
    talk.disk.press()
    talk.go_on()  # 404, which closes the channel
    talk.server.change_disk()
    assert not talk.asking.outstanding
    talk.ask()
    assert len(talk.server.declarations) == 3
    assert talk.disk.refusal == ""


def test_a_refusal_is_told_and_nothing_more_is_asked() -> None:
    talk = Talk(refused=403)
    assert not talk.asking.outstanding
    assert talk.asking.conclusion is None
    assert talk.disk.remark == "its disk is not asked: 403 ACCESS_REFUSED - no"
    talk.ask()
    assert not talk.asking.outstanding
    assert talk.server.received.count("queue.declare") == 1


def test_its_channel_is_the_third() -> None:
    assert Talk().disk._channel == DISK
