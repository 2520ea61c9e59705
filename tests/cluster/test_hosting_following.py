"""Hosting: whoever is called while a node follows the catalog may ask for any queue of it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from support.cluster_clients import Receipt
from support.cluster_hostings import QUEUE, HostingCluster, Node

from rabbitry.broker.message import Route
from rabbitry.broker.ports import QueueReply
from rabbitry.cluster.catalog import Catalog
from rabbitry.cluster.consequences import apply_all
from rabbitry.cluster.records import Change, QueueDeclared, QueueDeleted, QueuePlaced
from rabbitry.wire.frames import content_frames
from rabbitry.wire.methods import BasicProperties

LATER = QUEUE + 1
FRAMES = content_frames(1, BasicProperties().encode(), b"1", 0)
LED_HERE = [
    QueueDeclared("/", "r", LATER, True, False, "", b""),
    QueuePlaced(LATER, 1, "a", [], ["a"]),
]


class GoingOn:
    """A publisher that publishes to the later queue as soon as the first is done with its."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.then = Receipt(b"1")
        self.went_on = 0

    def rejected(self, first: int, count: int) -> None:
        raise AssertionError((first, count))

    def settled(self) -> None:
        self.went_on += 1
        proxy = self.node.hosting.proxy(self.node.catalog.queues[LATER])
        proxy.publish([(Route(b"", b"r", 0), FRAMES)], self.then)


def in_a_batch(node: Node, changes: list[Change]) -> None:
    found = apply_all(node.catalog, changes)
    gone = node.hosting.follow(found.placed, found.deleted, found.ended)
    for proxy in gone:
        proxy.deleted()


def anew(node: Node, changes: list[Change]) -> None:
    catalog = Catalog()
    apply_all(catalog, [*node.catalog.as_changes(), *changes])
    node.catalog = catalog
    for proxy in node.hosting.set_catalog(catalog):
        proxy.deleted()


@pytest.mark.parametrize("follow", [in_a_batch, anew])
@pytest.mark.parametrize(
    "change",
    [
        QueueDeleted("/", "q", QUEUE),
        QueuePlaced(QUEUE, 1, "a", [], ["a"]),  # what waited for the mirror is confirmed
        QueuePlaced(QUEUE, 2, "a", [], ["a"]),  # what waited is published again
    ],
    ids=["deleted", "without its mirror", "in a new epoch"],
)
def test_a_queue_that_is_new_is_there_for_whoever_goes_on(
    change: Change, follow: Callable[[Node, list[Change]], None]
) -> None:
    node = HostingCluster(("a", "b")).nodes["a"]
    publisher = GoingOn(node)
    node.hosting.proxy(node.catalog.queues[QUEUE]).publish(
        [(Route(b"", b"q", 0), FRAMES)], publisher
    )
    assert not publisher.went_on
    follow(node, [change, *LED_HERE])
    node.hosting.flush()
    assert publisher.went_on == 1
    assert publisher.then.accepted
    led = {number: messages for number, messages, _ in node.hosting.statistics()}
    assert led[LATER] == 1


def test_a_session_with_this_node_begins_when_it_leads() -> None:
    """Queues that it leads from now on: the first's publisher uses the second at once."""
    cluster = HostingCluster(("b", "a"))
    node = cluster.nodes["a"]
    second = [
        QueueDeclared("/", "r", LATER, True, False, "", b""),
        QueuePlaced(LATER, 1, "b", ["a"], ["b", "a"]),
    ]
    in_a_batch(node, second)
    publisher = GoingOn(node)
    first = node.hosting.proxy(node.catalog.queues[QUEUE])
    first.publish([(Route(b"", b"q", 0), FRAMES)], publisher)
    answers: list[QueueReply] = []
    node.hosting.proxy(node.catalog.queues[LATER]).inquire("count", answers.append)
    in_a_batch(node, [QueuePlaced(QUEUE, 2, "a", [], ["a"]), QueuePlaced(LATER, 2, "a", [], ["a"])])
    node.hosting.flush()
    assert publisher.went_on == 1
    assert publisher.then.accepted
    assert [one.refusal for one in answers] == [None]
    assert node.hosting.statistics() == [(QUEUE, 1, 0), (LATER, 1, 0)]


def test_who_waited_is_told_only_by_who_asked_to_follow() -> None:
    """Before that all the node does follows the catalog: nobody is called on the way."""
    node = HostingCluster(("b", "a")).nodes["a"]
    publisher = GoingOn(node)
    proxy = node.hosting.proxy(node.catalog.queues[QUEUE])
    proxy.publish([(Route(b"", b"q", 0), FRAMES)], publisher)
    found = apply_all(node.catalog, [QueueDeleted("/", "q", QUEUE), *LED_HERE])
    assert node.hosting.follow(found.placed, found.deleted) == [proxy]
    assert not publisher.went_on
    assert not proxy.connected_to[0]
    proxy.deleted()
    assert publisher.then.accepted
