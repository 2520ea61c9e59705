"""Stores whose bytes were flipped, that were cut, emptied or removed while nobody ran.

The node says at its start what is damaged, serves nothing that it cannot vouch for, and has all
again from a mirror. Where there is no mirror, and for the catalog, the start is
refused in one line.
"""

from __future__ import annotations

import fcntl
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from support import stores
from support.crashes import kill_everything
from support.crashing_clients import padded, unpadded
from support.queue_contents import declare, look_at_all, publish
from support.running_cluster import NODES, RunningCluster, queue_of

QUEUE = "orders"
MESSAGES = 300
SIZE_BYTES = 2000
SEED = 5

Up = Callable[..., RunningCluster]
Damage = Callable[[Path], object]

pytestmark = pytest.mark.processes

chance = random.Random(SEED)


def flip_one_message(store: Path) -> None:
    """A bit in each copy of one body."""
    text = padded(f"m {MESSAGES // 2}", SIZE_BYTES)[:40]
    assert stores.flip_in_value(stores.data_file(store), text) > 0


def flip_a_page(store: Path) -> None:
    """Bits in the heads of some pages."""
    file = stores.data_file(store)
    for _ in range(20):
        page = chance.randrange(2, file.stat().st_size // 4096)
        stores.flip_at(file, page * 4096 + chance.randrange(64))


DAMAGES: dict[str, Damage] = {
    "a message": flip_one_message,
    "pages": flip_a_page,
    "bits": lambda store: stores.flip_anywhere(stores.data_file(store), chance, 30),
    "cut to half": lambda store: stores.cut(stores.data_file(store), 0.5),
    "cut by a bit": lambda store: stores.cut(stores.data_file(store), 0.97),
    "emptied": lambda store: stores.cut(stores.data_file(store), 0),
    "removed": stores.remove,
}


def fill(cluster: RunningCluster) -> None:
    declare(cluster.front, QUEUE)
    cluster.wait_in_sync(QUEUE)
    bodies = [padded(f"m {number}", SIZE_BYTES) for number in range(MESSAGES)]
    publish(cluster.front, QUEUE, bodies)


def numbers_at(port: int) -> list[int]:
    """Return the numbers of the messages in the queue, each of which is whole."""
    return [int(unpadded(body).split()[1]) for body in look_at_all(port, QUEUE)]


def start(cluster: RunningCluster) -> None:
    cluster.begin()
    cluster.wait_ready()


@pytest.mark.parametrize("kind", DAMAGES)
def test_a_damaged_node_has_all_again_from_a_mirror(cluster: RunningCluster, kind: str) -> None:
    fill(cluster)
    for victim in ("leader", "mirror"):
        queue = cluster.wait_in_sync(QUEUE)
        name = queue["leader"] if victim == "leader" else queue["mirrors"][0]
        kill_everything(cluster)
        DAMAGES[kind](stores.of_node(cluster.data_dir, name))
        start(cluster)
        assert numbers_at(cluster.front) == list(range(MESSAGES))
        cluster.wait_in_sync(QUEUE)
        log = (cluster.data_dir / "log" / f"{name}.log").read_text()
        assert kind not in ("a message", "emptied", "cut to half") or "damaged" in log
        # What it has now is whole: it serves alone.
        for other in NODES:
            if other != name:
                cluster.command("kill", other)
        cluster.wait_status(
            f"{name} leads",
            lambda status, name=name: (
                queue_of(status, QUEUE)["leader"] == name
                and queue_of(status, QUEUE)["messages"] is not None
            ),
        )
        assert numbers_at(cluster.node_port(name)) == list(range(MESSAGES))
        for other in NODES:
            if other != name:
                cluster.command("start", other)


@pytest.mark.parametrize("kind", ["a message", "cut to half"])
def test_the_terminal_tells_what_was_damaged_and_that_it_is_fetched(
    cluster: RunningCluster, kind: str
) -> None:
    fill(cluster)
    name = cluster.wait_in_sync(QUEUE)["mirrors"][0]
    kill_everything(cluster)
    DAMAGES[kind](stores.of_node(cluster.data_dir, name))
    start(cluster)
    told = cluster.wait_told("fetched").removeprefix(f"rabbitry: {name}: ")
    named = f"queue '{QUEUE}' in '/'"
    if kind == "a message":
        assert told == f"{named}, damaged in its store: fetched from mirrors"
    else:
        log = cluster.data_dir / "log" / f"{name}.log"
        its_store = f"its store was damaged or is another one (see {log})"
        assert told == f"{its_store}: fetched {named} from its mirrors"


def test_no_loss_is_told_where_one_of_three_is_whole(cluster: RunningCluster) -> None:
    fill(cluster)
    kill_everything(cluster)
    flip_one_message(stores.of_node(cluster.data_dir, "rabbit"))
    stores.cut(stores.data_file(stores.of_node(cluster.data_dir, "rabbit_1")), 0.5)
    start(cluster)
    assert numbers_at(cluster.front) == list(range(MESSAGES))
    cluster.wait_in_sync(QUEUE)
    log = (cluster.data_dir / "log" / "supervisor.log").read_text()
    assert f"replica is damaged node=rabbit queue={QUEUE}" in log
    assert "node has another store: what it had is lost node=rabbit_1" in log
    assert "lost all replicas" not in log


def test_a_queue_damaged_on_all_nodes_is_not_served(cluster: RunningCluster) -> None:
    declare(cluster.front, "whole")
    publish(cluster.front, "whole", [b"here"])
    fill(cluster)
    kill_everything(cluster)
    for name in NODES:
        flip_one_message(stores.of_node(cluster.data_dir, name))
    start(cluster)
    queue = cluster.queue(QUEUE)
    assert not queue["leader"]
    assert all(name in queue["waits"].partition(";")[0] for name in NODES)
    assert queue["waits"].startswith("damaged on")
    assert look_at_all(cluster.front, "whole") == [b"here"]


@pytest.mark.parametrize("kind", ["pages", "cut to half", "emptied", "removed"])
def test_a_damaged_catalog_is_refused_and_not_replaced(up: Up, kind: str) -> None:
    cluster = up().wait_ready()
    fill(cluster)
    kill_everything(cluster)
    store = stores.of_coordinator(cluster.data_dir)
    copy = cluster.data_dir.parent / "copy"
    shutil.copytree(store, copy)
    if kind == "pages":
        file = stores.data_file(store)
        for at in range(0, file.stat().st_size, 512):
            stores.flip_at(file, at)
    else:
        DAMAGES[kind](store)
    cluster.begin()
    complaint = cluster.complaint()
    assert cluster.process.returncode not in (0, None)
    assert complaint.count("\n") == 1
    assert str(store) in complaint
    shutil.rmtree(store, ignore_errors=True)
    shutil.copytree(copy, store)
    start(cluster)
    assert numbers_at(cluster.front) == list(range(MESSAGES))


def test_an_older_catalog_is_refused_and_nothing_is_deleted(up: Up) -> None:
    cluster = up().wait_ready()
    declare(cluster.front, "before")
    cluster.wait_in_sync("before")
    cluster.command("stop")
    cluster.complaint()
    store = stores.of_coordinator(cluster.data_dir)
    older, newer = cluster.data_dir.parent / "older", cluster.data_dir.parent / "newer"
    shutil.copytree(store, older)
    start(cluster)
    fill(cluster)
    kill_everything(cluster)
    store.rename(newer)
    for _ in range(2):
        shutil.rmtree(store, ignore_errors=True)
        shutil.copytree(older, store)
        cluster.begin()
        complaint = cluster.complaint()
        assert cluster.process.returncode == 2
        assert complaint.count("\n") == 1
        assert "the coordinator's store is older than that of node " in complaint
    shutil.rmtree(store)
    newer.rename(store)
    start(cluster)
    assert numbers_at(cluster.front) == list(range(MESSAGES))


def test_a_catalog_moved_away_is_refused_and_nothing_is_deleted(up: Up) -> None:
    cluster = up().wait_ready()
    fill(cluster)
    kill_everything(cluster)
    store = stores.of_coordinator(cluster.data_dir)
    away = cluster.data_dir.parent / "away"
    away.mkdir()
    lock = store.with_suffix(".lock")
    for path in (store, lock):
        path.rename(away / path.name)
    cluster.begin()
    complaint = cluster.complaint()
    assert cluster.process.returncode == 2
    assert complaint.count("\n") == 1
    assert "this node's store belongs to another cluster than the coordinator's" in complaint
    shutil.rmtree(store)
    for path in (store, lock):
        (away / path.name).rename(path)
    start(cluster)
    assert numbers_at(cluster.front) == list(range(MESSAGES))


def test_a_store_of_a_format_that_is_not_known_is_refused(up: Up) -> None:
    cluster = up().wait_ready()
    cluster.command("stop")
    store = stores.of_coordinator(cluster.data_dir)
    stores.write_format(store, 99)
    cluster.begin()
    complaint = cluster.complaint()
    assert cluster.process.returncode == 2
    assert complaint.count("\n") == 1
    assert "format 99" in complaint


def test_a_catalog_that_another_process_has_is_refused(up: Up) -> None:
    cluster = up().wait_ready()
    cluster.command("stop")
    lock = stores.of_coordinator(cluster.data_dir).with_suffix(".lock")
    with lock.open("r+b") as opened:
        fcntl.flock(opened, fcntl.LOCK_EX)
        cluster.begin()
        complaint = cluster.complaint()
    assert cluster.process.returncode == 2
    assert complaint.count("\n") == 1
    assert "in use" in complaint
    start(cluster)
