"""Relocation: what all queues become when nodes come and go, and what people hear of it."""

from __future__ import annotations

from collections.abc import Iterable

from rabbitry.cluster.catalog import Catalog
from rabbitry.cluster.records import (
    Bound,
    Change,
    ExchangeDeclared,
    Join,
    NodeJoined,
    QueueDeclared,
    QueuePlaced,
)
from rabbitry.cluster.relocation import Relocation


class Stage:
    """A catalog with relocation; nodes have stores named as they are."""

    def __init__(self, *nodes: str) -> None:
        self.catalog = Catalog()
        self.reports: list[str] = []
        self.relocation = Relocation(self.catalog, self.report)
        for name in nodes:
            self.comes(name)

    def report(self, level: str, what: str, **details: str) -> None:
        self.reports.append(what)

    def make(self, changes: Iterable[Change]) -> Stage:
        for change in changes:
            self.catalog.apply(change)
            self.relocation.applied(change)
        return self

    def declare(self, name: str, leader: str, mirrors: str, durable: bool = True) -> Stage:
        number = len(self.catalog.queues) + 1
        declared = QueueDeclared("/", name, number, durable, False, "", b"")
        placed = QueuePlaced(number, 1, leader, list(mirrors), [leader, *mirrors])
        return self.make([declared, placed])

    def comes(self, name: str, store: str | None = None, damaged: tuple[int, ...] = ()) -> Stage:
        store = name if store is None else store
        self.make(self.relocation.store_told(Join(name, "1", "h", 1, store, list(damaged))))
        return self.make(self.relocation.joined(NodeJoined(name, "1", "h", 1)))

    def dies(self, *names: str) -> Stage:
        for name in names:
            self.make(self.relocation.left(name, "1", True))
        return self

    def placed(self, name: str) -> QueuePlaced:
        entry = self.catalog.find_queue("/", name)
        assert entry is not None
        return entry.placed

    @property
    def queues(self) -> list[str]:
        return [entry.declared.name for entry in self.catalog.queues.values()]


def exchange(name: str, durable: bool, auto_delete: bool = False) -> ExchangeDeclared:
    return ExchangeDeclared("/", name, "fanout", durable, auto_delete, False, b"")


def test_new_leaders_spread() -> None:
    stage = Stage("a", "b", "c")
    for name in "pqrs":
        stage.declare(name, "a", "bc")
    stage.dies("a")
    assert [stage.placed(name).leader for name in "pqrs"] == ["b", "c", "b", "c"]


def test_transient_queues_go_with_their_last_replica_and_what_withers_by_it() -> None:
    stage = Stage("a", "b").declare("q", "a", "", durable=False)
    stage.make([exchange("x", True, auto_delete=True), Bound("/", "x", "queue", "q", "", b"")])
    stage.dies("a")
    assert stage.queues == []
    assert stage.catalog.find_exchange("/", "x") is None


def test_after_all_have_died_only_what_is_durable_is_there() -> None:
    stage = Stage("a", "b").declare("q", "a", "b").declare("transient", "a", "b", durable=False)
    stage.make([exchange("x", True, auto_delete=True), exchange("y", False), exchange("z", True)])
    for source, queue in (("x", "transient"), ("y", "q"), ("z", "transient"), ("z", "q")):
        stage.make([Bound("/", source, "queue", queue, "", b"")])
    stage.dies("b")
    assert stage.catalog.find_exchange("/", "y") is not None
    stage.dies("a")
    assert stage.queues == ["q"]
    assert stage.placed("q") == QueuePlaced(1, 1, "", ["b", "a"], [], ["b", "a"])
    exchanges = stage.catalog.virtual_hosts["/"].exchanges
    assert "y" not in exchanges
    assert "x" in exchanges, "nobody was left to see that it has no bindings"
    bindings = [one.destination.name for one in exchanges["z"].bindings]
    assert bindings == ["q"]


def test_transient_exchanges_stay_while_a_node_may_be_alive() -> None:
    stage = Stage("a", "b").make([exchange("y", False)])
    stage.make(stage.relocation.left("b", "1", False)).dies("a")
    assert stage.catalog.find_exchange("/", "y") is not None
    stage.dies("b")
    assert stage.catalog.find_exchange("/", "y") is None


def test_a_process_without_a_store_keeps_nothing() -> None:
    stage = Stage("b").comes("a", "").declare("q", "a", "").dies("a")
    assert stage.placed("q") == QueuePlaced(1, 2, "b", [], ["b"])
    assert stage.reports == ["queue has lost all replicas that held everything"]


def test_another_store_has_nothing() -> None:
    stage = Stage("a", "b").declare("q", "a", "b").dies("b", "a").comes("b", "another")
    assert stage.placed("q") == QueuePlaced(1, 1, "", ["a"], [], ["a"])
    assert stage.reports == ["node has another store: what it had is lost"]
    stage.comes("a", "")
    assert stage.placed("q").leader == "b"
    assert stage.reports[-1] == "queue has lost all replicas that held everything"


def test_damage_is_no_loss_where_a_complete_replica_comes_later() -> None:
    stage = Stage("a", "b").declare("q", "a", "b").dies("b", "a").comes("a", damaged=(1,))
    assert stage.placed("q") == QueuePlaced(1, 1, "", ["b", "a"], [], ["b"])
    stage.comes("b")
    assert stage.placed("q").leader == "b"
    assert stage.reports == ["replica is damaged"]


def test_damage_of_the_only_complete_replica_is_remembered_until_somebody_leads() -> None:
    stage = Stage("a", "b").declare("q", "a", "b").declare("r", "a", "b")
    stage.make([QueuePlaced(1, 1, "a", ["b"], ["a"])]).dies("b", "a").comes("a", damaged=(1, 9))
    assert stage.placed("q") == QueuePlaced(1, 1, "", ["b", "a"], [], [])
    assert stage.placed("r").leader == "a", "the others are as good as ever"
    assert stage.relocation.stores.damaged == {1: ["a"]}
    assert stage.reports == [
        "replica is damaged",
        "queue waits: the replica that held everything is damaged",
    ]
    stage.comes("b")
    assert stage.placed("q").leader == "b"
    assert stage.relocation.stores.damaged == {}
    assert stage.reports[-1] == "queue has lost all replicas that held everything"


def test_damage_where_there_is_another_is_only_said() -> None:
    stage = Stage("a", "b").declare("q", "a", "b").dies("b").comes("b", damaged=(1,))
    assert stage.placed("q") == QueuePlaced(1, 1, "a", ["b"], ["a"])
    assert stage.relocation.stores.damaged == {}
    assert stage.reports == ["replica is damaged"]


def test_handing_over_says_what_it_cannot() -> None:
    stage = Stage("a", "b", "c").declare("q", "a", "bc").declare("r", "a", "").declare("s", "b", "")
    kept: list[dict[str, str]] = []
    stage.make(stage.relocation.handed_over("a", kept))
    assert stage.placed("q").leader == "c", "b leads already"
    assert kept == [{"vhost": "/", "name": "r"}]
