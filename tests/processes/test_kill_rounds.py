"""SIGKILL at random moments, of one node up to everything at once, under a ledger of all clients.

Publishers have persistent messages confirmed, consumers acknowledge; what was confirmed is there in
the end, what was acknowledged comes again only with `redelivered`, and rarely. `--kills N` says how
many rounds; a dozen by default, a hundred take about five minutes.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from support.crashes import KillRounds, kill_everything
from support.crashing_clients import Clients
from support.ledger import Ledger
from support.queue_contents import declare, publish, take_all
from support.running_cluster import RunningCluster

QUEUE = "orders"
SEED = 4

pytestmark = pytest.mark.processes


def test_nothing_confirmed_is_lost_and_nothing_acknowledged_comes_unmarked(
    cluster: RunningCluster, kills: int, say: Callable[[str], None]
) -> None:
    declare(cluster.front, QUEUE)
    ledger = Ledger()
    clients = Clients(ledger, QUEUE, body_size_bytes=500)
    rounds = KillRounds(cluster, clients, SEED)
    try:
        for index in range(2):
            clients.publish(f"publisher-{index}", cluster.front)
            clients.publish_in_windows(f"window-{index}", cluster.front)
            clients.consume(f"consumer-{index}", cluster.front)
        clients.consume("consumer-2", cluster.node_port("rabbit_2"))
        rounds.run(kills)
        ledger.wait_progress([])
        clients.stop_publishing()
        ledger.wait("all that was confirmed arrives", ledger.all_arrived, 60)
        cluster.wait_empty(QUEUE)
    finally:
        clients.close()
    say(f"{dict(rounds.done)}: {ledger.summary()}")
    ledger.check()
    # A confirm covers what came to the queue before it: all the acknowledgements.
    publish(cluster.front, QUEUE, [b"marker"])
    kill_everything(cluster)
    cluster.begin()
    cluster.wait_ready()
    assert take_all(cluster.front, QUEUE) == [b"marker"]
