"""What follows from a batch of changes, and only once all of it is applied."""

from __future__ import annotations

from dataclasses import dataclass

from rabbitry.cluster.access_records import (
    PolicySet,
    UserDeleted,
    VirtualHostAdded,
    VirtualHostDeleted,
)
from rabbitry.cluster.catalog import Catalog
from rabbitry.cluster.consequences import Consequences, apply_all, left_without
from rabbitry.cluster.records import (
    NodeJoined,
    NodeLeft,
    QueueDeclared,
    QueueDeleted,
    QueuePlaced,
)


def declared(queue: int, name: str) -> QueueDeclared:
    return QueueDeclared("/", name, queue, True, False, "", b"")


def test_a_queue_is_placed_once_as_it_is_in_the_end() -> None:
    catalog = Catalog()
    last = QueuePlaced(1, 2, "b", [], ["b"])
    found = apply_all(catalog, [declared(1, "q"), QueuePlaced(1, 1, "a", [], ["a"]), last])
    assert found == Consequences([catalog.queues[1]])
    assert found.placed[0].placed == last


def test_what_is_declared_and_deleted_is_only_deleted() -> None:
    catalog = Catalog()
    found = apply_all(catalog, [declared(1, "q"), QueueDeleted("/", "q", 1), declared(2, "q")])
    assert found == Consequences([catalog.queues[2]], [1])


def test_queues_of_a_changed_policy_are_placed_anew() -> None:
    catalog = Catalog()
    apply_all(catalog, [declared(1, "q"), declared(2, "r")])
    policy = PolicySet("/", "p", False, "^r", "queues", 0, {"max-length": 1})
    assert apply_all(catalog, [policy]) == Consequences([catalog.queues[2]])
    assert apply_all(catalog, []) == Consequences()


def test_processes_that_have_ended_and_those_that_may_be_back() -> None:
    catalog = Catalog()
    joined = NodeJoined("a", "1", "127.0.0.1", 1)
    assert apply_all(catalog, [joined]) == Consequences(nodes_changed=True)
    found = apply_all(catalog, [NodeLeft("a", "1", False)])
    assert found == Consequences(nodes_changed=True)
    found = apply_all(catalog, [NodeLeft("a", "1", True)])
    assert found == Consequences(ended=["a#1"], nodes_changed=True)


def test_clients_lose_their_user_or_their_virtual_host() -> None:
    catalog = Catalog()
    gone = [UserDeleted("alice"), VirtualHostDeleted("v")]
    assert apply_all(catalog, [VirtualHostAdded("v", "", [], b""), *gone]).left_without == gone


@dataclass
class Connected:
    user: str
    virtual_host: str
    channel_count: int = 1


def test_a_catalog_told_anew_shows_whose_clients_are_left_without() -> None:
    clients = [
        Connected("", ""),  # has not logged in
        Connected("guest", ""),
        Connected("guest", "/"),
        Connected("guest", "v"),
        Connected("guest", "v"),
        Connected("alice", "v"),
    ]
    found = left_without(Catalog(), clients)
    assert found == [UserDeleted("alice"), VirtualHostDeleted("v")]
