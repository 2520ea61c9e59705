"""A node that hangs, behind `rabbitry balance` with `option amqp-check`: real brokers, SIGSTOP.

A stopped process accepts connections still, as the kernel does that; so nothing but a question
finds it. Nothing here is timed: what must come is waited for.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.faulty_disk import COMPILER, WITHOUT_COMPILER, FaultyDisk
from support.raw_client import RawClient
from support.running_cluster import NODES, PATIENCE_S, RunningCluster
from support.running_node import RunningNode
from support.watching_balancer import Balancing, complaints, logs

from bench import rabbitmq
from rabbitry.wire.methods import BasicQos, ConnectionClose

pytestmark = [pytest.mark.processes, pytest.mark.slow]


@pytest.fixture(scope="module")
def brokers() -> Iterator[rabbitmq.Cluster]:
    """Three RabbitMQ nodes, clustered; the disk of the second can stand still."""
    if reason := rabbitmq.missing():
        pytest.skip(reason)
    with rabbitmq.running(3, more_environment=_second_disk) as cluster:
        yield cluster


def _second_disk(home: Path) -> dict[str, str]:
    return second_disk(home).shim if COMPILER is not None else {}


def second_disk(home: Path) -> FaultyDisk:
    return FaultyDisk(home / "1" / "mnesia", home / "control")


@contextlib.contextmanager
def stopped(pid: int) -> Iterator[None]:
    """A process under SIGSTOP; it goes on afterwards, whatever happens."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def answers(client: RawClient) -> None:
    """Assert that a client is connected to somebody who answers."""
    client.ask(BasicQos())
    assert [method.name for method in client.heard] == ["basic.qos-ok"]


def test_a_stopped_rabbitmq_is_down_and_its_sessions_end_and_nobody_complains(
    brokers: rabbitmq.Cluster, tmp_path: Path
) -> None:
    pids = list(brokers.pids.values())
    before = logs(brokers)
    balancing = Balancing(tmp_path, brokers.ports)
    try:
        balancing.says("ready: ")
        balancing.says_of_each(("r0", "r1", "r2"), "succeeded", "RabbitMQ")
        clients = [RawClient(balancing.front, []).open() for _ in range(3)]  # one on each, in turn
        with stopped(pids[1]):
            balancing.says("front/r1 failed", "accepts but does not answer")
            balancing.says("Server front/r1 is DOWN")
            clients[1].hear_end()  # its session was ended, else it would hear nothing for ever
            for client in (clients[0], clients[2]):
                answers(client)
            for _ in range(4):
                clients.append(RawClient(balancing.front, []).open())
                answers(clients[-1])
        balancing.says("Server front/r1 is UP")
        for client in (clients[0], *clients[2:]):
            client.ask(ConnectionClose(200, "", 0, 0), channel=0)
        assert balancing.end() == 0
    finally:
        balancing.process.kill()
        balancing.process.wait()
    said = logs(brokers)[len(before) :]
    assert "Rabbitry balancer: check of front/r1" in said
    assert complaints(said, "Rabbitry balancer") == []
    # The session that was ended, and nobody else: no check that connects, either.
    assert said.count("client unexpectedly closed TCP connection") == 1
    assert len(complaints(said, "connection")) == 2, complaints(said, "connection")


@pytest.mark.skipif(COMPILER is None, reason=WITHOUT_COMPILER)
def test_where_one_disk_stands_still_the_others_are_up_though_queues_are_mirrored(
    brokers: rabbitmq.Cluster, tmp_path: Path
) -> None:
    balancing = Balancing(tmp_path, brokers.ports)
    try:
        balancing.says_of_each(("r0", "r1", "r2"), "succeeded", "RabbitMQ")
        with second_disk(Path(brokers.directory)).held():
            balancing.says("front/r1 failed", "disk: no confirm")
            balancing.says("Server front/r1 is DOWN")
        balancing.says("Server front/r1 is UP")
        assert balancing.end() == 0
        for name in ("r0", "r2"):
            # A busy machine may be late with one confirm: that is no server that is DOWN.
            assert not balancing.has_said(f"Server front/{name} is DOWN")
    finally:
        balancing.process.kill()
        balancing.process.wait()


def test_a_stopped_node_of_ours_is_down_by_amqp_check_too(
    node_alone: Callable[..., RunningNode], tmp_path: Path
) -> None:
    node = node_alone()
    node.wait_ready()
    balancing = Balancing(tmp_path, [node.port])
    try:
        balancing.says("front/r0 succeeded", "Rabbitry")
        client = RawClient(balancing.front, []).open()
        answers(client)
        with stopped(node.process.pid):
            balancing.says("front/r0 failed", "accepts but does not answer")
            balancing.says("Server front/r0 is DOWN")
            client.hear_end()
        balancing.says("Server front/r0 is UP")
        assert balancing.end() == 0
        node.process.terminate()
        log = node.complaint()
    finally:
        balancing.process.kill()
        balancing.process.wait()
    # Of the client whose session was ended, and of no check.
    assert log.count("client unexpectedly closed TCP connection") == 1
    assert len(log.splitlines()) == 1


def test_a_stopped_node_of_up_is_down_and_its_sessions_end(cluster: RunningCluster) -> None:
    log = cluster.data_dir / "log" / "balancer.log"
    clients = [RawClient(cluster.front, []).open() for _ in range(3)]  # one on each, in turn
    cluster.command("kill", "rabbit_1", "--signal", "STOP")
    clients[1].hear_end()
    wait_for("Server rabbitmq_local_cluster/rabbit_1 is DOWN", log)
    answers(clients[0])
    answers(clients[2])
    for _ in range(4):
        clients.append(RawClient(cluster.front, []).open())
        answers(clients[-1])
    cluster.command("kill", "rabbit_1", "--signal", "CONT")
    wait_for("Server rabbitmq_local_cluster/rabbit_1 is UP", log)
    for name in NODES:
        assert "no login" not in (cluster.data_dir / "log" / f"{name}.log").read_text()


def wait_for(words: str, log: Path) -> None:
    """Until a log has them: a file offers no event for that."""
    until_s = time.monotonic() + PATIENCE_S
    while words not in (text := log.read_text()):
        assert time.monotonic() < until_s, f"never said {words!r}: {text[-2000:]}"
        time.sleep(0.05)
