"""Confirms wait for what they must wait for, and in order."""

from __future__ import annotations

from typing import Any

from support.stored_messages import StoringNode, run

from rabbitry.broker.queue import Queue
from rabbitry.cluster.chunks import Kept
from rabbitry.cluster.queue_records import Record, Replied
from rabbitry.cluster.releasing import Releasing
from rabbitry.cluster.replication import Replication


class Recorded:
    """A leader's release with a store of its own, and no mirrors."""

    def __init__(self, stores: bool = True) -> None:
        self.node = StoringNode()
        self.node.start()
        self.node.commit()
        self.store = self.node.store.queue(1)
        self.store.describe = lambda: Kept(1, 0, 1, 0, False, {}, {}, [])
        self.said: list[Any] = []
        nobody: Any = None
        replication = Replication(nobody, 1, 1, Queue(nobody))
        self.releasing = Releasing(self, 1, replication, self.store if stores else None)

    def tell_user(self, user: str, record: Record) -> None:
        self.said.append((user, record))

    def accepted(self, queue: int, user: str, last: int) -> None:
        self.said.append((user, last))


def test_a_confirm_waits_until_the_store_has_the_message() -> None:
    one = Recorded()
    one.store.enqueue(1, run(b"a"))
    assert not one.releasing.add("u", 1)
    one.releasing.release()
    assert one.said == []
    one.node.commit()
    one.releasing.release()
    assert one.said == [("u", 1)]


def test_one_for_a_transient_message_waits_for_nothing_that_came_later() -> None:
    one = Recorded()
    one.store.enqueue(1, run(b"a", persistent=False))
    assert one.releasing.add("u", 1)
    one.store.enqueue(2, run(b"b"))
    one.releasing.release()
    assert one.said == [("u", 1)]


def test_none_overtakes_another() -> None:
    one = Recorded()
    one.store.enqueue(1, run(b"a"))
    one.releasing.add("u", 1)
    reply = Replied(1, 1, 1, None)
    one.releasing.add("v", reply)
    one.releasing.add("u", 2)
    one.releasing.release()
    assert one.said == []
    one.node.commit()
    one.releasing.release()
    assert one.said == [("v", reply), ("u", 2)]


def test_without_store_and_mirrors_nothing_waits() -> None:
    assert Recorded(stores=False).releasing.at_once
    assert not Recorded().releasing.at_once
