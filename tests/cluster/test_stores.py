"""What the coordinator remembers of stores."""

from __future__ import annotations

from rabbitry.cluster.catalog import QueueEntry
from rabbitry.cluster.records import QueueDeclared
from rabbitry.cluster.stores import Stores


def test_a_store_is_known_by_its_name() -> None:
    stores = Stores({}, {})
    assert not stores.keeps("a")
    assert not stores.joined("a", "")
    assert not stores.keeps("a")
    assert not stores.joined("a", "one"), "there was none that could be lost"
    assert stores.keeps("a")
    assert not stores.joined("a", "one")
    assert stores.joined("a", "other")
    assert stores.joined("a", "")
    assert not stores.keeps("a")


def test_damage_is_remembered_by_queue() -> None:
    stores = Stores({}, {})
    entry = QueueEntry(QueueDeclared("/", "q", 5, True, False, "", b""))
    assert stores.damaged_on(entry) == []
    stores.damage(5, "a")
    stores.damage(5, "a")
    stores.damage(5, "b")
    assert stores.damaged_on(entry) == ["a", "b"]
