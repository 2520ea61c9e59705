"""A node joins when its store is read, and ends when its store has everything."""

from __future__ import annotations

from random import Random
from typing import Any

from support.stored_messages import run

from rabbitry.broker.alarms import Alarms
from rabbitry.cluster.alarming import Alarming
from rabbitry.cluster.catalog import Catalog
from rabbitry.cluster.chunks import ChunkKey
from rabbitry.cluster.hosting import Hosting
from rabbitry.cluster.keeping import DAMAGED, SHUTDOWN_US, Keeping
from rabbitry.cluster.records import QueueDeclared
from rabbitry.machine import (
    Address,
    Answer,
    Commit,
    CommitFailed,
    Committed,
    Effect,
    Loaded,
    Started,
    Stop,
)
from rabbitry.simulation.schedule import SeededEntropy

HERE = Address("127.0.0.1", 5)


class Kept:
    def __init__(self, started: Started | None = None) -> None:
        self.effects: list[Effect] = []
        self.reports: list[str] = []
        self.details: list[dict[str, object]] = []
        self.joined: list[Address] = []
        alarming = Alarming(self, "a", Alarms())
        self.keeping = Keeping(self, alarming, SeededEntropy(Random(1)))
        nobody: Any = None
        self.keeping.hosting = Hosting(nobody, "a", "a#1", nobody, self.keeping.store)
        self.keeping.take(started or Started(), 0)

    def emit(self, effect: Effect) -> None:
        self.effects.append(effect)

    def report(self, level: str, what: str, **details: object) -> None:
        self.reports.append(what)
        self.details.append(details)

    def recovered(self, address: Address) -> None:
        self.joined.append(address)

    def low_on(self, resources: list[str]) -> None:
        pass

    def alarms_over(self) -> None:
        pass

    def commit(self) -> Commit:
        """Return the one commit that is handed over now."""
        (effect,) = self.keeping.store.take_effects()
        assert isinstance(effect, Commit)
        return effect


def test_it_joins_when_the_store_is_ready_and_it_listens() -> None:
    one = Kept()
    one.keeping.listening(HERE)
    assert one.joined == []
    one.keeping.take(Committed(one.commit().commit), 0)
    assert one.joined == [HERE]
    other = Kept(Started([(b"store", b"name")]))
    assert other.joined == []
    other.keeping.listening(HERE)
    assert other.joined == [HERE]


def test_it_ends_when_all_is_written() -> None:
    one = Kept(Started([(b"store", b"name")]))
    one.keeping.end(7, 0)
    assert one.keeping.ending
    one.keeping.clients_left(0)
    assert not one.keeping.hosting.halted, "nobody was asked to go yet"
    assert one.keeping.may_close(True, 0)
    one.keeping.clients_left(1)
    assert not one.keeping.hosting.halted
    one.keeping.clients_left(0)
    assert one.keeping.hosting.halted
    commit = one.commit()
    assert (b"orderly", b"") in commit.writes
    assert one.effects == []
    one.keeping.take(Committed(commit.commit), 0)
    assert one.effects == [Answer(7, None)]


def test_clients_are_closed_when_no_confirm_is_owed_or_after_a_while() -> None:
    one = Kept()
    one.keeping.end(7, 0)
    assert not one.keeping.may_close(False, SHUTDOWN_US - 1)
    assert not one.keeping.tick(SHUTDOWN_US), "not cut off before they were asked"
    assert one.keeping.may_close(False, SHUTDOWN_US)
    assert not one.keeping.may_close(True, SHUTDOWN_US), "once"
    assert not one.keeping.tick(SHUTDOWN_US + 1)
    assert one.keeping.tick(2 * SHUTDOWN_US)


def test_a_disk_that_refuses_holds_up_no_end_for_ever() -> None:
    one = Kept(Started([(b"store", b"name")]))
    one.keeping.end(7, 0)
    assert one.keeping.may_close(True, 0)
    one.keeping.clients_left(0)
    one.keeping.take(CommitFailed(one.commit().commit, "Input/output error"), 1)
    assert not one.keeping.tick(SHUTDOWN_US - 1)
    assert one.keeping.tick(SHUTDOWN_US)
    assert one.effects == []
    one.keeping.tick(2 * SHUTDOWN_US)
    assert one.effects == [Answer(7, None)]


def test_people_hear_of_a_store_that_refuses_and_of_its_end() -> None:
    one = Kept(Started([(b"store", b"name")]))
    one.keeping.store.queue(1).enqueue(1, run(b"a"))
    one.keeping.take(CommitFailed(one.commit().commit, "No space left on device"), 0)
    assert one.reports == [
        "the store cannot be written: publishers are blocked and confirms wait",
        "alarm: publishers are blocked",
    ]
    one.keeping.tick(SHUTDOWN_US)
    one.keeping.take(Committed(one.commit().commit), 0)  # of what goes
    one.keeping.take(Committed(one.commit().commit), 0)
    assert one.reports[2:] == ["the store can be written again", "alarm is over"]


def test_damage_in_the_middle_of_use_ends_the_process() -> None:
    one = Kept(Started([(b"store", b"name")]))
    one.keeping.store.load([b"k"], lambda values: one.keeping.store.fail(3))
    one.keeping.take(Loaded(1, [None]), 0)
    assert one.effects == [Stop("the store is damaged")]
    assert one.reports == ["the store is damaged: this node ends"]


def test_damaged_queues_have_names_as_soon_as_the_catalog_is_known() -> None:
    damaged = [ChunkKey(number, 1, 1, 0).encode() for number in (7, 8)]
    one = Kept(Started([(b"store", b"name")], [], damaged))
    assert one.reports == [DAMAGED, DAMAGED]
    assert one.details == [{"number": 7}, {"number": 8}]
    catalog = Catalog()
    catalog.apply(QueueDeclared("/", "orders", 7, True, False, "", b""))
    one.keeping.welcomed(catalog)
    named = {"number": 7, "queue": "orders", "virtual_host": "/"}
    assert one.details[2:] == [named], "8 has been deleted meanwhile"
    one.keeping.welcomed(catalog)
    assert len(one.details) == 3, "once is enough"
    one.keeping.store_failed(7)
    assert one.details[3:] == [named]
