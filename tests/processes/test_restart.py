"""`rabbitry restart`: nodes are restarted under load, and the clients see reconnections only."""

from __future__ import annotations

import signal
import subprocess
import threading
from collections.abc import Callable

import pika
import pika.exceptions
import pytest
from support.running_cluster import NODES, PATIENCE_S, RABBITRY, RunningCluster

from rabbitry.runtime import control
from rabbitry.runtime.errors import UserError

Up = Callable[..., RunningCluster]

pytestmark = pytest.mark.processes


class Load:
    """Publishes with confirms and consumes, over the balancer, until `end`.

    No two publishes have the same body: what was not confirmed may come, and nothing else in its
    place. What comes is acknowledged. Each side knows one thing about failure: connect again.
    """

    def __init__(self, port: int) -> None:
        self._parameters = pika.ConnectionParameters("127.0.0.1", port)
        self._ending = threading.Event()
        self.published = 0
        self.confirmed: set[bytes] = set()
        self.received: set[bytes] = set()
        self.marked_twice: list[bytes] = []
        self.unmarked_twice: list[bytes] = []
        self._threads = [
            threading.Thread(target=self._again, args=(one,), daemon=True) for one in self._sides()
        ]
        for thread in self._threads:
            thread.start()

    def _sides(self) -> list[Callable[[], None]]:
        return [self._publish, self._consume]

    def _again(self, side: Callable[[], None]) -> None:
        while not self._ending.is_set():
            try:
                side()
            except (pika.exceptions.AMQPError, ConnectionError):
                self._ending.wait(0.05)

    def _publish(self) -> None:
        channel = pika.BlockingConnection(self._parameters).channel()
        channel.confirm_delivery()
        while not self._ending.is_set():
            self.published += 1
            body = b"%d" % self.published
            persistent = pika.BasicProperties(delivery_mode=2)
            channel.basic_publish("", "load", body, persistent, mandatory=True)
            self.confirmed.add(body)
        channel.connection.close()

    def _consume(self) -> None:
        channel = pika.BlockingConnection(self._parameters).channel()
        channel.basic_qos(prefetch_count=20)
        for method, _, body in channel.consume("load", inactivity_timeout=0.1):
            if self._ending.is_set():
                break
            if method is not None:
                if body in self.received:
                    twice = self.marked_twice if method.redelivered else self.unmarked_twice
                    twice.append(body)
                channel.basic_ack(method.delivery_tag)
                self.received.add(body)
        channel.connection.close()

    def end(self) -> None:
        self._ending.set()
        for thread in self._threads:
            thread.join(PATIENCE_S)
            assert not thread.is_alive(), "a client waits for an answer that never comes"


def test_all_nodes_one_after_another_under_load(cluster: RunningCluster) -> None:
    with pika.BlockingConnection(pika.ConnectionParameters("127.0.0.1", cluster.front)) as first:
        first.channel().queue_declare("load", durable=True)
    cluster.wait_in_sync("load")
    before = cluster.pids()
    load = Load(cluster.front)
    try:
        shown = cluster.command("restart", "--all")
    finally:
        load.end()
    after = cluster.pids()
    assert shown.endswith("restarted rabbit, rabbit_1, rabbit_2\n")
    for name in NODES:
        assert (
            f"{name}: stopping (pid {before[name]})\n{name}: started (pid {after[name]})" in shown
        )
        assert before[name] != after[name]
    assert before["balancer"] == after["balancer"]
    assert sorted(cluster.queue("load")["in_sync"]) == NODES
    assert cluster.states() == dict.fromkeys(NODES, "running")
    received = set(load.received)
    with pika.BlockingConnection(pika.ConnectionParameters("127.0.0.1", cluster.front)) as last:
        channel = last.channel()
        while (found := channel.basic_get("load", auto_ack=True))[0] is not None:
            received.add(found[2])
    assert load.confirmed, "nothing was published: the test shows nothing"
    assert load.confirmed <= received, "a confirmed message is lost"
    assert load.unmarked_twice == []
    print(f"{len(load.confirmed)} confirmed; acknowledged, but came again: {load.marked_twice}")


def test_restarts_that_cannot_be(cluster: RunningCluster) -> None:
    assert "there is no node hare" in cluster.command("restart", "hare", exit_code=2)
    assert "or say --all" in cluster.command("restart", exit_code=2)
    assert "not both" in cluster.command("restart", "rabbit", "--all", exit_code=2)
    cluster.command("kill", "rabbit_1")
    pids = cluster.pids()
    assert "rabbit_1 is not running" in cluster.command("restart", "--all", exit_code=1)
    cluster.command("kill", "rabbit_2", "--signal", "STOP")
    why = cluster.command("restart", "rabbit_2", exit_code=1)
    assert f"rabbit_2 (pid {pids['rabbit_2']}) is stopped; continue it with `rabbitry kill" in why
    cluster.command("kill", "rabbit_2", "--signal", "CONT")
    assert cluster.pids() == pids


def test_when_all_is_stopped_meanwhile_that_is_all_it_says(cluster: RunningCluster) -> None:
    restart = subprocess.Popen(
        [*RABBITRY, "restart", "--all", "--data-dir", str(cluster.data_dir)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert restart.stdout is not None
    while "rabbit: stopping" not in restart.stdout.readline():
        assert restart.poll() is None
    cluster.process.send_signal(signal.SIGINT)
    shown, why = restart.communicate(timeout=PATIENCE_S)
    assert (restart.returncode, why) == (1, "rabbitry: this Rabbitry is being stopped\n")
    assert "balancer" not in shown
    assert cluster.complaint() == ""
    assert cluster.process.returncode == 0


def test_interrupted_it_says_what_is_finished_and_what_is_untouched(
    cluster: RunningCluster,
) -> None:
    before = cluster.pids()
    restart = subprocess.Popen(
        [*RABBITRY, "restart", "--all", "--data-dir", str(cluster.data_dir)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert restart.stdout is not None
    while "rabbit: stopping" not in restart.stdout.readline():
        assert restart.poll() is None
    restart.send_signal(signal.SIGINT)
    _, why = restart.communicate(timeout=PATIENCE_S)
    assert restart.returncode == 130
    assert why == (
        "rabbitry: interrupted: rabbit is being restarted to the end; "
        "rabbit_1, rabbit_2 are untouched\n"
    )

    def restarts(status: object) -> bool:
        try:
            return bool(control.ask(cluster.data_dir, control.Restart(["rabbit_2"], PATIENCE_S)))
        except UserError as error:
            assert "a restart is under way already" in str(error)
            return False

    cluster.wait_status("the first is over", restarts)
    after = cluster.pids()
    assert before["rabbit"] != after["rabbit"]
    assert before["rabbit_1"] == after["rabbit_1"]


def test_one_node_by_name(cluster: RunningCluster) -> None:
    before = cluster.pids()
    told = cluster.command("restart", "rabbit_2")
    assert "rabbit_2: drained, the balancer sends no new connection" in told
    assert told.endswith("restarted rabbit_2\n")
    after = cluster.pids()
    assert {name for name in before if before[name] != after[name]} == {"rabbit_2"}
