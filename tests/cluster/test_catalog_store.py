"""The catalog in the store: what was written makes the same catalog again, in key order."""

from __future__ import annotations

from hypothesis import given
from support.coordination_catalogs import History, NodeComes, Wish, shape, wishes

from rabbitry.cluster.access_records import (
    DeleteUser,
    DeleteVirtualHost,
    PermissionsCleared,
    SetParameter,
    UserDeleted,
    VirtualHostDeleted,
)
from rabbitry.cluster.catalog import Catalog
from rabbitry.cluster.catalog_store import Counters, load, write_counters, writes_of
from rabbitry.cluster.records import (
    Bind,
    Bound,
    DeclareExchange,
    DeclareQueue,
    DeleteExchange,
    DeleteQueue,
    ExchangeDeclared,
    NodeLeft,
    Unbind,
    decode_change,
)

LMDB_KEY_BYTES_MAX = 511


class Store:
    """Keys and values, as a driver's store keeps them."""

    def __init__(self) -> None:
        self.history = History()
        self.kept: dict[bytes, bytes] = {}

    def grant(self, *drawn: Wish) -> Store:
        for wish in drawn:
            shadow = self.history
            for change in shadow.judged(wish):
                for key, value in writes_of(shadow.catalog, change):
                    if value is None:
                        self.kept.pop(key, None)
                    else:
                        self.kept[key] = value
                shadow.catalog.apply(change)
        return self

    def loaded(self) -> Catalog:
        catalog = Catalog()
        load(catalog, sorted(self.kept.items()))
        return catalog


@given(wishes)
def test_writes_read_in_key_order_make_the_catalog_again(drawn: list[Wish]) -> None:
    store = Store().grant(*drawn)
    assert shape(store.loaded()) == shape(store.history.catalog)


@given(wishes)
def test_nothing_stays_of_what_was_deleted(drawn: list[Wish]) -> None:
    store = Store().grant(*drawn)
    catalog = store.history.catalog
    for number in list(catalog.queues):
        store.grant(DeleteQueue(number))
    for name in ("x", "y", "z"):
        store.grant(DeleteExchange("/", name, False))
    store.grant(DeleteVirtualHost("v"), DeleteUser("u"), DeleteUser("guest"))
    store.grant(DeleteVirtualHost("/"))
    store.grant(SetParameter("", "", "g", None))
    kept = len(catalog.nodes) + len(catalog.away)
    taken = [VirtualHostDeleted("/"), UserDeleted("guest"), PermissionsCleared("guest", "/")]
    rest = [decode_change(value) for key, value in store.kept.items() if key[:1] != b"2"]
    assert len(store.kept) == kept + len(taken)
    assert all(change in rest for change in taken)


def queue(name: str, owner: str = "") -> DeclareQueue:
    return DeclareQueue("/", name, True, False, owner, b"")


def exchange(name: str, auto_delete: bool = False) -> DeclareExchange:
    return DeclareExchange("/", name, "fanout", True, auto_delete, False, b"")


def bind(source: str, kind: str, destination: str) -> Bind:
    return Bind("/", source, kind, destination, "", b"")


def test_an_exchange_goes_with_its_bindings_both_ways() -> None:
    before = Store().grant(exchange("x"), queue("q"))
    store = Store().grant(exchange("x"), queue("q"), exchange("y"))
    store.grant(bind("x", "exchange", "y"), bind("y", "queue", "q"), bind("y", "exchange", "y"))
    assert len(store.kept) == len(before.kept) + 4
    store.grant(DeleteExchange("/", "y", False))
    assert store.kept == before.kept


def test_auto_delete_exchanges_that_wither_go_too() -> None:
    store = Store().grant(exchange("x", True), exchange("y", True), queue("q"))
    store.grant(bind("x", "exchange", "y"), bind("y", "queue", "q"))
    store.grant(DeleteQueue(3))
    assert store.kept == {}
    assert shape(store.loaded()) == shape(Catalog())


def test_unbinding_deletes_the_key_of_the_binding() -> None:
    store = Store().grant(exchange("x"), queue("q"))
    before = dict(store.kept)
    store.grant(bind("x", "queue", "q"))
    assert store.kept != before
    store.grant(Unbind("/", "x", "queue", "q", "", b""))
    assert store.kept == before


def test_a_node_is_kept_until_it_is_dead() -> None:
    store = Store().grant(NodeComes("a"))
    catalog = store.history.catalog
    (write,) = writes_of(catalog, NodeLeft("a", "1", False))
    assert write[1] is not None
    store.kept[write[0]] = write[1]
    assert list(store.loaded().away) == ["a"]
    assert writes_of(catalog, NodeLeft("a", "1", True)) == [(write[0], None)]


def test_keys_fit_any_store() -> None:
    longest = "n" * 255
    changes = [
        ExchangeDeclared("v" * 255, longest, "topic", True, False, False, b""),
        Bound("v" * 255, longest, "queue", longest, longest, b"a" * 1000),
        NodeLeft(longest, "1", False),
    ]
    for change in changes:
        ((key, _),) = writes_of(Catalog(), change)
        assert len(key) <= LMDB_KEY_BYTES_MAX


def test_keys_of_different_things_differ() -> None:
    catalog = Catalog()
    changes = [
        Bound("/", "x", "queue", "q", "", b""),
        Bound("/", "x", "exchange", "q", "", b""),
        Bound("/", "x", "queue", "q", "k", b""),
        Bound("/", "x", "queue", "q", "", b"k"),
        Bound("/", "xq", "queue", "", "", b""),
        ExchangeDeclared("/", "x", "fanout", True, False, False, b""),
        ExchangeDeclared("/x", "", "fanout", True, False, False, b""),
    ]
    keys = [key for change in changes for key, _ in writes_of(catalog, change)]
    assert len(dict.fromkeys(keys)) == len(changes)


def test_counters() -> None:
    assert load(Catalog(), []) == Counters(0, 1, {})
    counters = Counters(7, 3, {"a": 5})
    assert load(Catalog(), [write_counters(counters)]) == counters


def test_what_others_keep_in_the_same_store_is_theirs() -> None:
    counters = Counters(7, 3, {})
    stored = [write_counters(counters), (b"q" + bytes(8), b"of a queue"), (b"store", b"a name")]
    assert load(Catalog(), stored) == counters
