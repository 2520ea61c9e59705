"""The catalog: changes make it, it tells itself as changes, and nothing dangles."""

from __future__ import annotations

from hypothesis import given
from support.coordination_catalogs import History, Wish, made_of, shape, wishes

from rabbitry.broker.exchanges import Binding, Destination
from rabbitry.cluster.catalog import Catalog, VirtualHost, binding_of, is_predeclared
from rabbitry.cluster.records import (
    Bound,
    Change,
    ExchangeDeclared,
    ExchangeDeleted,
    NodeJoined,
    NodeLeft,
    QueueDeclared,
    QueueDeleted,
    QueuePlaced,
    Unbound,
)

QUEUE = QueueDeclared("/", "q", 1, True, False, "", b"")
EXCHANGE = ExchangeDeclared("/", "x", "topic", True, False, False, b"")
OTHER = ExchangeDeclared("/", "y", "fanout", False, True, True, b"")
TO_QUEUE = Bound("/", "x", "queue", "q", "a.#", b"")
TO_EXCHANGE = Bound("/", "x", "exchange", "y", "", b"")
Q_BINDING = Binding(Destination("queue", "q"), "a.#")


def made(*changes: Change) -> Catalog:
    return made_of(list(changes))


@given(wishes)
def test_as_changes_rebuilds_an_equal_catalog(drawn: list[Wish]) -> None:
    history = History()
    for wish in drawn:
        history.grant(wish)
    assert shape(made_of(history.catalog.as_changes())) == shape(history.catalog)
    assert shape(made_of(history.changes)) == shape(history.catalog)


@given(wishes)
def test_bindings_are_known_from_both_ends(drawn: list[Wish]) -> None:
    history = History()
    for wish in drawn:
        history.grant(wish)
    catalog = history.catalog
    host = catalog.virtual_hosts.setdefault("/", VirtualHost("/"))
    forward = {
        (source, binding)
        for source, exchange in host.exchanges.items()
        for binding in exchange.bindings
        if source
    }
    back = {
        pair
        for kind, names in (("queue", host.queues), ("exchange", host.exchanges))
        for name in names
        for pair in catalog.bindings_of("/", kind, name)
    }
    assert forward == back
    names = {"queue": host.queues, "exchange": host.exchanges}
    assert all(one.destination.name in names[one.destination.kind] for _, one in forward)


def test_every_change_makes_routes_found_before_void() -> None:
    catalog = Catalog()
    changes: list[Change] = [QUEUE, EXCHANGE, TO_QUEUE, QueuePlaced(1, 1, "a", [], ["a"])]
    for change in changes:
        before = catalog.routing_version
        catalog.apply(change)
        assert catalog.routing_version > before


def test_a_queue_is_bound_to_the_default_exchange_by_its_name() -> None:
    catalog = made(QUEUE)
    default = catalog.find_exchange("/", "")
    assert default is not None
    assert list(default.match(["q"]) or ()) == [Destination("queue", "q")]
    catalog.apply(QueueDeleted("/", "q", 1))
    assert list(default.match(["q"]) or ()) == []
    assert catalog.find_queue("/", "q") is None
    assert catalog.queues == {}


def test_deleting_a_queue_takes_its_bindings_away() -> None:
    catalog = made(QUEUE, EXCHANGE, TO_QUEUE)
    assert catalog.bindings_of("/", "queue", "q") == [("x", Q_BINDING)]
    catalog.apply(QueueDeleted("/", "q", 1))
    exchange = catalog.find_exchange("/", "x")
    assert exchange is not None
    assert exchange.bindings == {}
    assert catalog.bindings_of("/", "queue", "q") == []


def test_queues_that_a_node_leads_are_counted() -> None:
    catalog = made(QUEUE, QueuePlaced(1, 1, "a", [], ["a"]))
    assert catalog.led == {"a": 1}
    catalog.apply(QueuePlaced(1, 1, "a", ["b"], ["a"]))
    catalog.apply(QueuePlaced(1, 2, "b", ["a"], ["b"]))
    assert catalog.led == {"a": 0, "b": 1}
    catalog.apply(QueuePlaced(1, 2, "", ["a", "b"], [], ["b"]))
    assert catalog.led == {"a": 0, "b": 0}
    catalog.apply(QueuePlaced(1, 3, "b", ["a"], ["b"]))
    catalog.apply(QueueDeleted("/", "q", 1))
    assert catalog.led == {"a": 0, "b": 0}


def test_deleting_an_exchange_takes_bindings_away_both_ways() -> None:
    onward = Bound("/", "y", "queue", "q", "", b"")
    catalog = made(QUEUE, EXCHANGE, OTHER, TO_EXCHANGE, onward)
    catalog.apply(ExchangeDeleted("/", "y"))
    assert shape(catalog) == shape(made(QUEUE, EXCHANGE))
    assert "y" not in catalog.virtual_hosts["/"].bound_to


def test_deleting_an_exchange_bound_to_itself() -> None:
    catalog = made(EXCHANGE, Bound("/", "x", "exchange", "x", "", b""))
    catalog.apply(ExchangeDeleted("/", "x"))
    assert shape(catalog) == shape(Catalog())


def test_unbinding() -> None:
    catalog = made(QUEUE, EXCHANGE, TO_QUEUE)
    catalog.apply(Unbound("/", "x", "queue", "q", "a.#", b""))
    assert shape(catalog) == shape(made(QUEUE, EXCHANGE))


def test_nodes_that_left_alive_are_away_until_they_join_or_are_dead() -> None:
    joined = NodeJoined("a", "1", "127.0.0.1", 7000)
    left = NodeLeft("a", "1", False)
    catalog = made(joined, left)
    assert (catalog.nodes, catalog.away) == ({}, {"a": left})
    catalog.apply(joined)
    assert (catalog.nodes, catalog.away) == ({"a": joined}, {})
    catalog.apply(left)
    catalog.apply(NodeLeft("a", "1", True))
    assert (catalog.nodes, catalog.away) == ({}, {})


def test_predeclared_exchanges_are_there_and_not_told() -> None:
    catalog = Catalog()
    assert catalog.find_exchange("/", "amq.direct") is not None
    assert is_predeclared("")
    assert not is_predeclared("x")
    assert catalog.as_changes() == []
    bound = Bound("/", "amq.topic", "queue", "q", "k", b"")
    assert made(QUEUE, bound).as_changes()[-1] == bound


def test_binding_of_tells_kinds_apart() -> None:
    assert binding_of(TO_EXCHANGE) == Binding(Destination("exchange", "y"), "")
    assert binding_of(TO_QUEUE) == Q_BINDING


def test_exclusive_queues_are_known_by_their_connection() -> None:
    catalog = Catalog()
    for number, (name, owner) in enumerate([("q", "a#1/1"), ("r", "a#1/1"), ("s", "")], 1):
        catalog.apply(QueueDeclared("/", name, number, False, False, owner, b""))
    assert {owner: list(owned) for owner, owned in catalog.owned.items()} == {"a#1/1": [1, 2]}
    catalog.apply(QueueDeleted("/", "q", 1))
    catalog.apply(QueueDeleted("/", "s", 3))
    assert list(catalog.owned["a#1/1"]) == [2]
    catalog.apply(QueueDeleted("/", "r", 2))
    assert catalog.owned == {}
