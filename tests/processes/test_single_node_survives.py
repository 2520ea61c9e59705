"""`rabbitry node` alone on a data directory: SIGKILL again and again, damage, a second one."""

from __future__ import annotations

import random
import shutil
import threading
from collections.abc import Callable

import pytest
from support import stores
from support.crashes import LONGEST_WAIT_S
from support.crashing_clients import Clients
from support.ledger import Ledger
from support.queue_contents import declare, look_at_all, publish, take_all
from support.running_cluster import RunningCluster
from support.running_node import RunningNode

NodeAlone = Callable[..., RunningNode]

QUEUE = "orders"
SEED = 6

pytestmark = pytest.mark.processes


def test_kill_after_kill(node_alone: NodeAlone, kills: int, say: Callable[[str], None]) -> None:
    node = node_alone()
    node.wait_ready()
    declare(node.port, QUEUE)
    ledger = Ledger()
    clients = Clients(ledger, QUEUE, body_size_bytes=500)
    chance = random.Random(SEED)
    try:
        for index in range(2):
            clients.publish(f"publisher-{index}", node.port)
            clients.publish_in_windows(f"window-{index}", node.port)
            clients.consume(f"consumer-{index}", node.port)
        for number in range(kills):
            wait_for_a_moment(ledger, chance, number)
            node.kill()
            node.begin()
            clients.check()
        node.wait_ready()
        ledger.wait_progress([])
        clients.stop_publishing()
        ledger.wait("all that was confirmed arrives", ledger.all_arrived, LONGEST_WAIT_S)
    finally:
        clients.close()
    say(f"{kills} kills of a single node: {ledger.summary()}")
    ledger.check()
    # A confirm covers what came to the queue before it: all the acknowledgements.
    publish(node.port, QUEUE, [b"marker"])
    node.kill()
    node.begin()
    node.wait_ready()
    assert take_all(node.port, QUEUE) == [b"marker"]


def wait_for_a_moment(ledger: Ledger, chance: random.Random, number: int) -> None:
    """A number of confirms, or a time, so that some kills fall into a start."""
    if chance.random() < 0.3:
        threading.Event().wait(chance.random())
        return
    confirmed = ledger.confirmed_count() + chance.randrange(1, 1000)
    ledger.wait(
        f"confirms after {number} kills",
        lambda: ledger.confirmed_count() >= confirmed,
        LONGEST_WAIT_S,
    )


@pytest.mark.parametrize("kind", ["a message", "cut", "emptied", "removed"])
def test_a_damaged_store_is_refused_and_not_replaced(node_alone: NodeAlone, kind: str) -> None:
    node = node_alone()
    node.wait_ready()
    declare(node.port, QUEUE)
    publish(node.port, QUEUE, [b"%d" % number * 100 for number in range(1000, 1100)])
    node.kill()
    store = stores.of_single(node.data_dir)
    copy = node.data_dir.parent / "copy"
    shutil.copytree(store, copy)
    file = stores.data_file(store)
    match kind:
        case "a message":
            assert stores.flip_in_value(file, b"1050" * 100)
        case "cut":
            stores.cut(file, 0.5)
        case "emptied":
            stores.cut(file, 0)
        case "removed":
            stores.remove(store)
    node.begin()
    complaint = node.complaint()
    assert node.process.returncode == 2
    assert complaint.count("\n") == 1
    assert str(store) in complaint
    assert "damaged" in complaint
    shutil.rmtree(store, ignore_errors=True)
    shutil.copytree(copy, store)
    node.begin()
    node.wait_ready()
    assert len(look_at_all(node.port, QUEUE)) == 100


def test_two_on_one_directory(node_alone: NodeAlone) -> None:
    first = node_alone()
    first.wait_ready()
    second = node_alone(first.data_dir)
    complaint = second.complaint()
    assert second.process.returncode == 2
    assert complaint.count("\n") == 1
    assert str(first.data_dir) in complaint
    assert "use" in complaint
    declare(first.port, QUEUE)


def test_a_node_and_a_cluster_never_share_a_directory(
    node_alone: NodeAlone, up: Callable[..., RunningCluster]
) -> None:
    """Not while the other runs, not afterwards; what each has is there as before."""
    node = node_alone()
    node.wait_ready()
    declare(node.port, QUEUE)
    beside = up(data_dir=node.data_dir)
    assert "a `rabbitry node` is running in" in refused(beside)
    node.kill()
    beside.begin()
    assert "has node-rabbit, the store of a `rabbitry node`" in refused(beside)
    node.begin()
    node.wait_ready()
    assert look_at_all(node.port, QUEUE) == []

    cluster = up().wait_ready()
    before = sorted(path.name for path in cluster.data_dir.iterdir())
    intruder = node_alone(cluster.data_dir)
    assert "a `rabbitry up` is running in" in refused(intruder)
    cluster.command("stop")
    intruder.begin()
    assert "has the stores of a `rabbitry up`" in refused(intruder)
    assert {path.name for path in cluster.data_dir.iterdir()} <= set(before)


def refused(one: RunningNode | RunningCluster) -> str:
    """Return the line with which it has ended."""
    complaint = one.complaint()
    assert one.process.returncode == 2
    assert complaint.count("\n") == 1
    return complaint


def test_a_format_that_is_not_known_is_refused(node_alone: NodeAlone) -> None:
    node = node_alone()
    node.wait_ready()
    node.kill()
    stores.write_format(stores.of_single(node.data_dir), 99)
    node.begin()
    complaint = node.complaint()
    assert node.process.returncode == 2
    assert complaint.count("\n") == 1
    assert "format 99" in complaint
