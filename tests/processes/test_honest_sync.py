"""A confirm comes after the disk has synced, and one sync serves many confirms."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from support.crashing_clients import PERSISTENT
from support.faulty_disk import COMPILER, WITHOUT_COMPILER, FaultyDisk
from support.queue_contents import connect, declare
from support.raw_client import RawClient
from support.running_cluster import RunningCluster

from rabbitry.wire.methods import ConfirmSelect, QueueDeclare, TxCommit, TxSelect

Up = Callable[..., RunningCluster]

QUEUE, TRANSIENT = "orders", "transient"
MESSAGES = 5000

pytestmark = [
    pytest.mark.processes,
    pytest.mark.skipif(COMPILER is None, reason=WITHOUT_COMPILER),
]


@pytest.fixture
def disk(tmp_path: Path) -> FaultyDisk:
    return FaultyDisk(tmp_path / "data", tmp_path / "control")


@pytest.fixture
def watched_cluster(up: Up, disk: FaultyDisk) -> RunningCluster:
    cluster = up(environment=disk.environment).wait_ready()
    declare(cluster.front, QUEUE)
    with connect(cluster.front) as connection:
        connection.channel().queue_declare(TRANSIENT)
    for name in (QUEUE, TRANSIENT):
        cluster.wait_in_sync(name)
    return cluster


def check_waits_for_the_disk(
    cluster: RunningCluster,
    disk: FaultyDisk,
    client: RawClient,
    send: Callable[[], None],
    name: str,
) -> None:
    """Check that the answer of this name comes when the disk goes on, while others are served."""
    with disk.held():
        send()
        # What need not be kept is confirmed meanwhile by the same node.
        with RawClient(cluster.node_port("rabbit"), []) as other:
            other.open().ask(ConfirmSelect())
            for _ in range(20):
                other.publish(TRANSIENT, b"need not be kept")
                assert other.take_method().name == "basic.ack"
        assert not client.has_heard()
    assert client.take_method().name == name


def test_no_confirm_before_the_sync(watched_cluster: RunningCluster, disk: FaultyDisk) -> None:
    with RawClient(watched_cluster.node_port("rabbit"), []) as client:
        client.open().ask(ConfirmSelect())
        for _ in range(3):
            check_waits_for_the_disk(
                watched_cluster,
                disk,
                client,
                lambda: client.publish(QUEUE, b"x", properties=PERSISTENT),
                "basic.ack",
            )


def test_no_transaction_is_committed_before_the_sync(
    watched_cluster: RunningCluster, disk: FaultyDisk
) -> None:
    with RawClient(watched_cluster.node_port("rabbit"), []) as client:
        client.open().ask(TxSelect())

        def commit() -> None:
            client.publish(QUEUE, b"x", b"y", properties=PERSISTENT)
            client.send(TxCommit())

        check_waits_for_the_disk(watched_cluster, disk, client, commit, "tx.commit-ok")


def test_no_declaration_is_answered_before_the_sync(
    watched_cluster: RunningCluster, disk: FaultyDisk
) -> None:
    with RawClient(watched_cluster.node_port("rabbit"), []) as client:
        client.open()
        check_waits_for_the_disk(
            watched_cluster,
            disk,
            client,
            lambda: client.send(QueueDeclare(0, "other", durable=True)),
            "queue.declare-ok",
        )


def test_one_sync_serves_many_confirms(
    watched_cluster: RunningCluster, disk: FaultyDisk, say: Callable[[str], None]
) -> None:
    before = disk.counts()
    with RawClient(watched_cluster.front, []) as client:
        client.open().ask(ConfirmSelect())
        client.publish(QUEUE, *[b"x" * 1000] * MESSAGES, properties=PERSISTENT)
        client.confirms(MESSAGES)
    now = disk.counts()
    syncs = now.syncs - before.syncs
    say(f"{MESSAGES} messages on three nodes: {syncs} syncs")
    assert 3 <= syncs < MESSAGES / 5
