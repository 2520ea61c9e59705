"""Nodes that come back in any order, some stale, some missing: nobody serves less than there was.

A queue waits for a replica that is known to be complete, `status` says for whom, and it serves as
soon as that one is there.
"""

from __future__ import annotations

import itertools

import pytest
from support.crashes import kill_everything
from support.queue_contents import declare, look_at_all, publish, take_all
from support.running_cluster import NODES, RunningCluster, Status, queue_of

QUEUE = "orders"

pytestmark = pytest.mark.processes


def bodies(first: int, last: int) -> list[bytes]:
    return [b"%d" % number for number in range(first, last)]


def served(status: Status) -> bool:
    queue = queue_of(status, QUEUE)
    return bool(queue["leader"]) and queue["messages"] is not None


def wait_served(cluster: RunningCluster) -> None:
    cluster.wait_status("the queue is served", served)


def fill_and_leave_stale(cluster: RunningCluster) -> tuple[str, str, str]:
    """Return the last, who has all; the one before; and the stale one, who has the least.

    Each was killed with SIGKILL while it still had all there was; only the last runs.
    """
    declare(cluster.front, QUEUE)
    queue = cluster.wait_in_sync(QUEUE)
    last, before, stale = queue["leader"], *queue["mirrors"]
    publish(cluster.node_port(last), QUEUE, bodies(0, 10))
    cluster.command("kill", stale)
    publish(cluster.node_port(last), QUEUE, bodies(10, 20))
    cluster.command("kill", before)
    publish(cluster.node_port(last), QUEUE, bodies(20, 30))
    return last, before, stale


def test_a_stale_node_that_comes_first_waits_for_one_that_has_all(cluster: RunningCluster) -> None:
    last, before, stale = fill_and_leave_stale(cluster)
    cluster.command("kill", last)
    for name in (stale, before):
        cluster.command("start", name)
        queue = cluster.queue(QUEUE)
        assert not queue["leader"]
        assert f"waits for {last}:" in queue["waits"]
        assert f"waits for {last}:" in cluster.command("status")
    cluster.command("start", last)
    wait_served(cluster)
    for name in NODES:
        assert look_at_all(cluster.node_port(name), QUEUE) == bodies(0, 30)
    cluster.wait_in_sync(QUEUE)


def test_who_is_stale_is_known_after_everything_was_killed(cluster: RunningCluster) -> None:
    last, before, stale = fill_and_leave_stale(cluster)
    kill_everything(cluster)
    cluster.begin()
    cluster.wait_ready()
    wait_served(cluster)
    assert cluster.queue(QUEUE)["leader"] == last
    assert look_at_all(cluster.front, QUEUE) == bodies(0, 30)
    cluster.wait_in_sync(QUEUE)
    # What the stale ones have now is complete: each serves alone.
    for name in (last, before):
        cluster.command("kill", name)
    cluster.wait_status("it leads", lambda status: queue_of(status, QUEUE)["leader"] == stale)
    wait_served(cluster)
    assert take_all(cluster.node_port(stale), QUEUE) == bodies(0, 30)


def test_complete_nodes_may_come_in_any_order_and_the_first_serves(cluster: RunningCluster) -> None:
    declare(cluster.front, QUEUE)
    cluster.wait_in_sync(QUEUE)
    publish(cluster.front, QUEUE, bodies(0, 20))
    for order in itertools.permutations(NODES):
        cluster.wait_in_sync(QUEUE)
        for name in reversed(order):
            # All die together as far as the queue is concerned: nothing is confirmed in between.
            cluster.command("kill", name)
        for name in order:
            cluster.command("start", name)
            if name == order[-1] or not cluster.queue(QUEUE)["waits"]:
                wait_served(cluster)
                assert look_at_all(cluster.node_port(name), QUEUE) == bodies(0, 20)
