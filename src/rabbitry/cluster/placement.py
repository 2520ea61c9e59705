"""Where queues live: who leads a queue, who mirrors it, and who takes over.

Pure functions from the catalog to `QueuePlaced` changes; only the coordinator calls them. The
default policy is RabbitMQ's `ha-mode: all`: every node mirrors every queue, but exclusive ones,
which live and die with the node of their connection (RabbitMQ: rabbit_mirror_queue_misc.erl).

A new leader is chosen among the in-sync replicas only, for they hold all that was ever confirmed:
the one that leads the fewest queues, so that load spreads; the older in the list where equal. Where
the process of the leader is dead and no in-sync replica lives, what was confirmed is lost whatever
we do; the queue goes on with what a mirror has, or empty, and `forsaken` says so to people. Where
the leader only hangs, the queue waits for it.
"""

from __future__ import annotations

from rabbitry.cluster.catalog import Catalog, QueueEntry
from rabbitry.cluster.records import QueuePlaced


def place_new(catalog: Catalog, queue: int, exclusive: bool, node: str) -> QueuePlaced:
    """Place a queue just declared through `node`: it leads ("client-local"), the others mirror."""
    mirrors = [] if exclusive else [name for name in catalog.nodes if name != node]
    # An empty queue is in sync everywhere: there is nothing that a mirror could lack.
    return QueuePlaced(queue, 1, node, mirrors, [node, *mirrors])


def place_without(
    catalog: Catalog, entry: QueueEntry, node: str, dead: bool
) -> tuple[QueuePlaced, bool] | None:
    """Place a queue after `node` has left; None where nothing changes.

    The flag says that the queue is forsaken: all its in-sync replicas are gone.
    """
    placed = entry.placed
    if node not in placed.mirrors and node != placed.leader:
        return None
    mirrors = [name for name in placed.mirrors if name != node]
    in_sync = [name for name in placed.in_sync if name != node]
    if node != placed.leader:
        return QueuePlaced(placed.queue, placed.epoch, placed.leader, mirrors, in_sync), False
    candidates = [name for name in in_sync if name in catalog.nodes]
    forsaken = False
    if not candidates:
        if not dead:
            return None
        candidates = [name for name in mirrors if name in catalog.nodes] or list(catalog.nodes)
        forsaken = True
    if not candidates:
        return QueuePlaced(placed.queue, placed.epoch, "", mirrors, []), True
    leader = _least_loaded(catalog, candidates)
    mirrors = [name for name in mirrors if name != leader]
    in_sync = [leader] if forsaken else [name for name in in_sync if name != leader]
    if not forsaken:
        in_sync.insert(0, leader)
    return QueuePlaced(placed.queue, placed.epoch + 1, leader, mirrors, in_sync), forsaken


def place_with(entry: QueueEntry, node: str) -> QueuePlaced | None:
    """Place a queue after `node` has joined: it mirrors, or leads a queue that nobody leads."""
    placed = entry.placed
    if entry.declared.owner or node == placed.leader or node in placed.mirrors:
        return None
    if not placed.leader:
        return QueuePlaced(placed.queue, placed.epoch + 1, node, placed.mirrors, [node])
    return QueuePlaced(
        placed.queue, placed.epoch, placed.leader, [*placed.mirrors, node], placed.in_sync
    )


def _least_loaded(catalog: Catalog, candidates: list[str]) -> str:
    led = dict.fromkeys(candidates, 0)
    for entry in catalog.queues.values():
        leader = entry.placed.leader
        if leader in led:
            led[leader] += 1
    return min(candidates, key=lambda name: led[name])
