"""What a node has to do about changes of the catalog.

Changes come in batches. A batch is applied as a whole before anything follows from it: whoever is
told that his queue is gone, or that his messages are safe, asks for other queues at once, and must
find each that the catalog shows.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from rabbitry.cluster.access_records import UserDeleted, VirtualHostDeleted
from rabbitry.cluster.catalog import Catalog, QueueEntry
from rabbitry.cluster.records import (
    Change,
    NodeJoined,
    NodeLeft,
    QueueDeclared,
    QueueDeleted,
    QueuePlaced,
)
from rabbitry.cluster.tracking import Tracked


@dataclass(slots=True)
class Consequences:
    """Of a batch. `ended`: processes (name#incarnation) that have ended for good."""

    placed: list[QueueEntry] = field(default_factory=list)  # also those whose policy has changed
    deleted: list[int] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)
    nodes_changed: bool = False
    # Their connections are to be closed.
    left_without: list[UserDeleted | VirtualHostDeleted] = field(default_factory=list)


def apply_all(catalog: Catalog, changes: Iterable[Change]) -> Consequences:
    """Apply changes, in order, and return what follows once they all are."""
    found = Consequences()
    placed: dict[int, None] = {}
    for change in changes:
        catalog.apply(change)
        if isinstance(change, QueuePlaced | QueueDeclared):
            placed[change.queue] = None
        elif isinstance(change, QueueDeleted):
            placed.pop(change.queue, None)
            found.deleted.append(change.queue)
        elif isinstance(change, NodeJoined):
            found.nodes_changed = True
        elif isinstance(change, UserDeleted | VirtualHostDeleted):
            found.left_without.append(change)
        elif isinstance(change, NodeLeft):
            found.nodes_changed = True
            if change.dead:
                found.ended.append(f"{change.name}#{change.incarnation}")
    for entry in catalog.take_governed():
        placed[entry.number] = None
    found.placed = [catalog.queues[queue] for queue in placed]
    return found


def left_without(
    catalog: Catalog, clients: Iterable[Tracked]
) -> list[UserDeleted | VirtualHostDeleted]:
    """Return the clients' users and virtual hosts that a catalog told anew does not show."""
    users: dict[str, None] = {}
    hosts: dict[str, None] = {}
    for client in clients:
        if client.user and client.user not in catalog.access.users:
            users[client.user] = None
        elif client.virtual_host and client.virtual_host not in catalog.virtual_hosts:
            hosts[client.virtual_host] = None
    return [*map(UserDeleted, users), *map(VirtualHostDeleted, hosts)]
