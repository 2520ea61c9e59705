"""Brokers whose disk stands still, or is in alarm, behind `option amqp-check`: real ones.

A broker whose syncs hang accepts connections and answers methods: nothing but a durable message,
whose confirm does not come, finds it. Nothing here is timed: what must come is waited for, and a
single check that fails (a busy machine syncs late, too) is no server that is DOWN.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.faulty_disk import COMPILER, WITHOUT_COMPILER, FaultyDisk
from support.raw_client import RawClient
from support.running_cluster import RunningCluster
from support.running_node import RunningNode
from support.watching_balancer import Balancing, complaints, logs

from bench import rabbitmq
from rabbitry.wire.methods import BasicProperties, BasicQos, QueueDeclare

pytestmark = [
    pytest.mark.processes,
    pytest.mark.slow,
    pytest.mark.skipif(COMPILER is None, reason=WITHOUT_COMPILER),
]

STANDS_STILL = "disk: no confirm within 250ms"


@contextmanager
def balancing(directory: Path, ports: list[int], words: str = "") -> Iterator[Balancing]:
    one = Balancing(directory, ports, words)
    try:
        yield one
    finally:
        one.process.kill()
        one.process.wait()


def find_it_stands_still(watcher: Balancing, disk: FaultyDisk) -> None:
    """Hold the syncs until the server is DOWN, and let them go on until it is UP."""
    with disk.held():
        watcher.says("front/r0 failed", STANDS_STILL)
        watcher.says("Server front/r0 is DOWN")
    watcher.says("front/r0 succeeded")
    watcher.says("Server front/r0 is UP")


# --- RabbitMQ -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Broken:
    """One RabbitMQ, and its disk."""

    cluster: rabbitmq.Cluster
    disk: FaultyDisk

    def queues(self) -> list[str]:
        return self.cluster.control("list_queues", "--silent", "name").split()

    def wait_queues(self, count: int) -> None:
        """A queue goes a moment after its consumer: rabbitmqctl offers no event for that."""
        for _ in range(20):
            if len(self.queues()) == count:
                return
        pytest.fail(f"{self.queues()}, not {count}")


@pytest.fixture(scope="module")
def broken() -> Iterator[Broken]:
    if reason := rabbitmq.missing():
        pytest.skip(reason)
    disks: list[FaultyDisk] = []

    def with_disk(home: Path) -> dict[str, str]:
        disks.append(FaultyDisk(home / "0" / "mnesia", home / "control"))
        return disks[0].shim

    with rabbitmq.running(1, more_environment=with_disk) as cluster:
        yield Broken(cluster, disks[0])


def test_a_rabbitmq_whose_disk_stands_still_is_down_until_it_moves(
    broken: Broken, tmp_path: Path
) -> None:
    before = logs(broken.cluster)
    with balancing(tmp_path, broken.cluster.ports) as watcher:
        watcher.says("front/r0 succeeded", "RabbitMQ")
        client = RawClient(watcher.front, []).open()
        find_it_stands_still(watcher, broken.disk)
        client.hear_end()  # its session was ended
        broken.wait_queues(1)
        assert watcher.end() == 0
    broken.wait_queues(0)
    said = logs(broken.cluster)[len(before) :]
    assert complaints(said, "Rabbitry balancer") == []
    assert complaints(said, "amq.gen") == []
    # The session that was ended, in two lines, and nobody else.
    assert said.count("client unexpectedly closed TCP connection") == 1
    assert len(complaints(said, "connection")) == 2, complaints(said, "connection")


def test_a_rabbitmq_in_alarm_is_up_and_its_disk_is_not_blamed(
    broken: Broken, tmp_path: Path
) -> None:
    with balancing(tmp_path, broken.cluster.ports) as watcher:
        watcher.says("front/r0 succeeded", "RabbitMQ")
        broken.cluster.control("set_disk_free_limit", "1000000000000000")
        try:
            watcher.says("Server front/r0 blocks publishers: low on disk")
            # Meanwhile it is checked, several times: rabbitmqctl takes its time.
            assert len(broken.queues()) == 1
            assert not watcher.has_said("no confirm", after="blocks publishers")
        finally:
            broken.cluster.control("set_disk_free_limit", "1000000")
        watcher.says("Server front/r0 takes publishers again")
        find_it_stands_still(watcher, broken.disk)
    broken.wait_queues(0)  # though it was killed


def test_a_user_who_may_not_declare_is_told_and_the_server_is_up(
    broken: Broken, tmp_path: Path
) -> None:
    broken.cluster.control("add_user", "monitor", "secret")
    broken.cluster.control("set_permissions", "monitor", "", "", "")
    with balancing(tmp_path, broken.cluster.ports, "user monitor password secret") as watcher:
        watcher.says("Server front/r0 is checked without its disk: 403 ACCESS_REFUSED")
        client = RawClient(watcher.front, []).open()
        client.ask(BasicQos())
        assert watcher.end() == 0
        assert not watcher.has_said("is DOWN")
    before = logs(broken.cluster)
    with balancing(
        tmp_path, broken.cluster.ports, "user monitor password secret no-disk"
    ) as watcher:
        watcher.says("front/r0 succeeded", "RabbitMQ")
        assert watcher.end() == 0
    assert complaints(logs(broken.cluster)[len(before) :], "connection") == []


# --- our nodes ------------------------------------------------------------------------------------


@pytest.fixture
def disk(tmp_path: Path) -> FaultyDisk:
    return FaultyDisk(tmp_path / "node", tmp_path / "control")


def test_a_node_of_ours_whose_disk_stands_still_is_down_until_it_moves(
    node_alone: Callable[..., RunningNode], disk: FaultyDisk, tmp_path: Path
) -> None:
    node = node_alone(environment=disk.environment)
    node.wait_ready()
    with balancing(tmp_path, [node.port]) as watcher:
        watcher.says("front/r0 succeeded", "Rabbitry")
        find_it_stands_still(watcher, disk)
        node.kill()
        watcher.says("Server front/r0 is DOWN")
        node.begin()
        node.wait_ready()  # with what the check had in the store, of a queue that is no more
        watcher.says("Server front/r0 is UP")
        find_it_stands_still(watcher, disk)
        assert watcher.end() == 0
    node.process.terminate()
    assert node.complaint() == ""


def test_a_node_of_ours_in_alarm_is_up_and_says_so(
    node_alone: Callable[..., RunningNode], disk: FaultyDisk, tmp_path: Path
) -> None:
    node = node_alone(environment=disk.environment)
    node.wait_ready()
    with balancing(tmp_path, [node.port]) as watcher:
        watcher.says("front/r0 succeeded", "Rabbitry")
        client = RawClient(watcher.front, []).open()
        with disk.full():
            watcher.says("Server front/r0 blocks publishers: low on disk")
            client.ask(BasicQos())
        watcher.says("Server front/r0 takes publishers again")
        assert watcher.end() == 0
        assert not watcher.has_said("is DOWN")


def test_without_the_disk_an_alarm_of_ours_is_heard_of_too(
    node_alone: Callable[..., RunningNode], disk: FaultyDisk, tmp_path: Path
) -> None:
    node = node_alone(environment=disk.environment)
    node.wait_ready()
    with balancing(tmp_path, [node.port], "no-disk") as watcher:
        watcher.says("front/r0 succeeded", "Rabbitry")
        client = RawClient(node.port, []).open()
        client.ask(QueueDeclare(0, "q", durable=True))
        with disk.full():  # which is found by what shall be written
            client.publish("q", b"x", properties=BasicProperties(delivery_mode=2))
            watcher.says("Server front/r0 blocks publishers: low on disk")
        watcher.says("Server front/r0 takes publishers again")
        assert watcher.end() == 0
        assert not watcher.has_said("is DOWN")


# --- several --------------------------------------------------------------------------------------


def test_only_the_node_whose_disk_stands_still_is_down(
    up: Callable[..., RunningCluster], tmp_path: Path
) -> None:
    """Queues are mirrored on all three; that of a check is not, so nobody waits for another."""
    disk = FaultyDisk(tmp_path / "data" / "store" / "rabbit_1", tmp_path / "control")
    cluster = up(environment=disk.environment).wait_ready()
    ports = [cluster.node_port(name) for name in ("rabbit", "rabbit_1", "rabbit_2")]
    with balancing(tmp_path, ports) as watcher:
        watcher.says_of_each(("r0", "r1", "r2"), "succeeded", "Rabbitry")
        with disk.held():
            watcher.says("front/r1 failed", STANDS_STILL)
            watcher.says("Server front/r1 is DOWN")
        watcher.says("Server front/r1 is UP")
        assert watcher.end() == 0
        for name in ("r0", "r2"):
            assert not watcher.has_said(f"Server front/{name} is DOWN")
