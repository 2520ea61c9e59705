"""Disks that are full, read-only or broken while clients publish and consume.

Each time the same is promised: publishers are blocked and lose nothing, consumers go on, status,
log and statistics page say why, and when the disk is well again publishing goes on by itself, over
the same connections. What was confirmed is there in the end, also if everything is killed
meanwhile.
"""

from __future__ import annotations

import contextlib
import errno
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support import stores
from support.crashes import kill_everything
from support.crashing_clients import Clients
from support.faulty_disk import COMPILER, WITHOUT_COMPILER, FaultyDisk
from support.ledger import Ledger
from support.queue_contents import declare, look_at_all, publish
from support.raw_client import RawClient
from support.running_cluster import NODES, RunningCluster
from support.small_disk import WITHOUT_NAMESPACES, SmallDisk, namespace_options

from rabbitry.wire.methods import BasicProperties, ConfirmSelect, QueueDeclare

Up = Callable[..., RunningCluster]

QUEUE = "orders"
SMALL_BYTES = 24 * 1024 * 1024
LONG_S = 60.0
LOW = "low on disk: publishers wait"

pytestmark = pytest.mark.processes
needs_compiler = pytest.mark.skipif(COMPILER is None, reason=WITHOUT_COMPILER)
needs_namespaces = pytest.mark.skipif(namespace_options() is None, reason=WITHOUT_NAMESPACES)


@pytest.fixture
def clients() -> Iterator[Clients]:
    started = Clients(Ledger(), QUEUE, body_size_bytes=2000)
    yield started
    started.close()


def wait_alarm(cluster: RunningCluster, nodes: list[str]) -> None:
    """Wait until these nodes say that their disk is in trouble; any node, if none is named."""
    wanted = len(nodes) or 1
    cluster.wait_status(
        f"{nodes} are low on disk",
        lambda status: (
            sum(
                "disk" in node["alarms"] and node["name"] in (nodes or NODES)
                for node in status["nodes"]
            )
            >= wanted
        ),
    )


def wait_page(cluster: RunningCluster, nodes: list[str]) -> None:
    """Wait until the statistics page says the same, for programs and for people."""
    cluster.wait_page(
        f"{nodes} are low on disk",
        lambda servers: (
            sum(
                server["last_agt"].startswith(f"via agent : up ({LOW}")
                and server["agent_status"].endswith("L7OK")
                and server["status"] == "UP"
                for name, server in servers.items()
                if name in (nodes or NODES)
            )
            >= (len(nodes) or 1)
        ),
    )
    assert cluster.page().count(f"<br>{LOW}") >= (len(nodes) or 1)


def wait_no_alarm(cluster: RunningCluster) -> None:
    cluster.wait_status(
        "no node is low on anything",
        lambda status: not any(node["alarms"] for node in status["nodes"]),
    )
    cluster.wait_page(
        "no agent knows of an alarm",
        lambda servers: all(row["last_agt"] == "via agent : up" for row in servers.values()),
    )
    assert LOW not in cluster.page()


def check_blocked(port: int, ledger: Ledger) -> None:
    """A publisher that understands it is told that it is blocked, and gets no confirm."""
    transcript: list[str] = []
    capabilities = ("connection.blocked",)
    with RawClient(port, transcript, capabilities=capabilities) as client:
        client.open().ask(ConfirmSelect())
        ledger.sent("blocked 0")
        client.publish(QUEUE, b"blocked 0", properties=BasicProperties(delivery_mode=2))
        client.hear()
    assert transcript == ["1 confirm.select-ok", "0 connection.blocked reason='low on disk'"]


def logged(log: Path, pattern: str) -> bool:
    return any(re.search(pattern, line) for line in log.read_text().splitlines())


def publish_under_trouble(
    cluster: RunningCluster, clients: Clients, begin: Callable[[], None], nodes: list[str]
) -> None:
    """Publish, break the disk of these nodes, and see who stops and who goes on."""
    ledger = clients.ledger
    declare(cluster.front, QUEUE)
    for node in NODES:
        clients.publish_in_windows(f"publisher-{node}", cluster.node_port(node))
    ledger.wait_progress([], confirms=500)
    begin()
    wait_alarm(cluster, [])
    for node in NODES:
        check_blocked(cluster.node_port(node), ledger)
    for node in NODES:
        clients.consume(f"consumer-{node}", cluster.node_port(node))
    ledger.wait("consumers get all that was confirmed", ledger.all_arrived, LONG_S)
    # The first alarm stops all publishers; a node that has written all that came before hears of
    # its disk by acknowledgements only.
    wait_alarm(cluster, nodes)
    wait_page(cluster, nodes)


def finish(cluster: RunningCluster, clients: Clients) -> None:
    """Wait until publishing goes on, end it, and check the ledger."""
    ledger = clients.ledger
    ledger.wait_progress([], confirms=500)
    wait_no_alarm(cluster)
    clients.stop_publishing()
    ledger.wait("all that was confirmed arrives", ledger.all_arrived, LONG_S)
    cluster.wait_empty(QUEUE)
    clients.close()
    ledger.check()


# --- no room ------------------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[SmallDisk]:
    disk = SmallDisk(tmp_path / "data", SMALL_BYTES)
    yield disk
    disk.close()


@pytest.fixture
def on_small_disk(up: Up, small_disk: SmallDisk) -> RunningCluster:
    """All three nodes, the supervisor and their logs on one small disk, watched by nobody."""
    return up(options=["--disk-free-limit", "0"], inside=small_disk.inside).wait_ready()


@needs_namespaces
def test_a_full_disk_stops_publishers_until_there_is_room(
    on_small_disk: RunningCluster, small_disk: SmallDisk, clients: Clients
) -> None:
    publish_under_trouble(on_small_disk, clients, small_disk.fill, [])
    assert not clients.ledger.breaks, "no connection ended"
    told = on_small_disk.wait_told("low on disk")
    assert told.startswith("rabbitry: ")
    assert told.endswith(" low on disk: publishers wait, on all nodes")
    small_disk.make_room()
    finish(on_small_disk, clients)
    on_small_disk.wait_told("no node is low on anything any more: publishers go on")
    assert not clients.ledger.breaks, "no connection ended"


@needs_namespaces
def test_everything_killed_while_the_disk_is_full(
    on_small_disk: RunningCluster, small_disk: SmallDisk, clients: Clients
) -> None:
    publish_under_trouble(on_small_disk, clients, small_disk.fill, [])
    kill_everything(on_small_disk)
    small_disk.make_room()
    on_small_disk.begin()
    on_small_disk.wait_ready()
    finish(on_small_disk, clients)


def test_below_the_limit_the_terminal_is_told_and_nothing_restarted(up: Up) -> None:
    cluster = up(options=["--disk-free-limit", "1000TB"]).wait_ready()
    assert "low on disk: publishers wait, on all nodes" in cluster.wait_told("low on disk")
    before = cluster.pids()
    for which in ("--all", "rabbit_1"):
        why = cluster.command("restart", which, exit_code=1)
        assert "low on disk: a node that restarts could not write what it has missed" in why
    assert cluster.pids() == before


# --- errors of the device -----------------------------------------------------------------------


@pytest.fixture
def faulty(tmp_path: Path) -> FaultyDisk:
    return FaultyDisk(tmp_path / "data", tmp_path / "control")


@needs_compiler
@pytest.mark.parametrize(
    ("error", "calls", "nodes"),
    [
        (errno.EIO, "ws", ["rabbit_1"]),
        (errno.EIO, "s", NODES),
        (errno.ENOSPC, "w", ["rabbit_2"]),
        (errno.EROFS, "wo", NODES),
    ],
    ids=["errors of one", "errors of syncing at all", "one is full", "all are read-only"],
)
def test_a_disk_that_fails_and_is_well_again(
    up: Up, faulty: FaultyDisk, clients: Clients, error: int, calls: str, nodes: list[str]
) -> None:
    cluster = up(environment=faulty.environment).wait_ready()
    with contextlib.ExitStack() as trouble:
        below = cluster.data_dir / "store" / (nodes[0] if len(nodes) == 1 else "")

        def begin() -> None:
            trouble.enter_context(faulty.failing(error, calls, below))

        publish_under_trouble(cluster, clients, begin, nodes)
        for name in nodes:
            assert logged(cluster.data_dir / "log" / f"{name}.log", "cannot be written")
    finish(cluster, clients)
    assert not clients.ledger.breaks, "no connection ended"


@needs_compiler
def test_everything_killed_while_the_disk_fails(
    up: Up, faulty: FaultyDisk, clients: Clients
) -> None:
    cluster = up(environment=faulty.environment).wait_ready()
    with contextlib.ExitStack() as trouble:
        below = cluster.data_dir / "store"

        def begin() -> None:
            trouble.enter_context(faulty.failing(errno.EIO, "ws", below))

        publish_under_trouble(cluster, clients, begin, NODES)
        kill_everything(cluster)
    cluster.begin()
    cluster.wait_ready()
    finish(cluster, clients)


@needs_compiler
def test_a_catalog_that_cannot_be_written_keeps_declarations_waiting_and_no_messages(
    up: Up, faulty: FaultyDisk
) -> None:
    cluster = up(environment=faulty.environment).wait_ready()
    declare(cluster.front, QUEUE)
    cluster.wait_in_sync(QUEUE)
    with RawClient(cluster.front, []) as client:
        client.open()
        with faulty.failing(errno.EIO, "ws", stores.of_coordinator(cluster.data_dir)):
            client.send(QueueDeclare(0, "later", durable=True))
            cluster.wait_status("it says so", lambda status: bool(status["catalog_trouble"]))
            assert "the catalog cannot be written" in cluster.command("status")
            cluster.wait_page(
                "every agent says so",
                lambda servers: all(
                    "the catalog cannot be written" in row["last_agt"] for row in servers.values()
                ),
            )
            publish(cluster.front, QUEUE, [b"one", b"two"])
            assert not client.has_heard()
        assert client.take_method().name == "queue.declare-ok"
    cluster.wait_status("it is over", lambda status: not status["catalog_trouble"])
    kill_everything(cluster)
    cluster.begin()
    cluster.wait_ready()
    assert look_at_all(cluster.front, QUEUE) == [b"one", b"two"]
    assert look_at_all(cluster.front, "later") == []


@needs_namespaces
def test_a_start_on_a_full_disk_serves_or_says_why(
    on_small_disk: RunningCluster, small_disk: SmallDisk
) -> None:
    """Nothing is lost by trying: with room it is all there."""
    cluster = on_small_disk
    declare(cluster.front, QUEUE)
    publish(cluster.front, QUEUE, [b"one", b"two"])
    kill_everything(cluster)
    small_disk.fill()
    cluster.begin()
    try:
        cluster.wait_ready()
        cluster.command("stop")
    except AssertionError:
        assert cluster.process.returncode in (1, 2)
    complaint = cluster.complaint()
    assert "Traceback" not in complaint
    small_disk.make_room()
    cluster.begin()
    cluster.wait_ready()
    assert look_at_all(cluster.front, QUEUE) == [b"one", b"two"]
