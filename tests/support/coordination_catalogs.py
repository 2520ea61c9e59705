"""Catalogs to try things on: histories of requests and nodes that come and go, and plain shapes.

A history is drawn as wishes; `History` judges each against the catalog as the coordinator does, so
only changes that a coordinator would make come out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from rabbitry.cluster.access_records import (
    AddVirtualHost,
    ClearPermissions,
    ClearTopicPermissions,
    DeletePolicy,
    DeleteUser,
    DeleteVirtualHost,
    SetParameter,
    SetPermissions,
    SetPolicy,
    SetTopicPermissions,
    SetUser,
)
from rabbitry.cluster.catalog import Catalog, QueueEntry
from rabbitry.cluster.declarations import delete_owned, judge
from rabbitry.cluster.placement import End, place_with, place_without
from rabbitry.cluster.records import (
    Bind,
    Change,
    DeclareExchange,
    DeclareQueue,
    DeleteExchange,
    DeleteOwned,
    DeleteQueue,
    NodeJoined,
    NodeLeft,
    QueueDeleted,
    Refused,
    Request,
    Unbind,
)
from rabbitry.wire.values import encode_table

NODES = ("a", "b", "c")
QUEUES = ("q", "r", "s")
EXCHANGES = ("x", "y", "z", "amq.topic")
OWNERS = ("a#1/1", "a#1/2", "b#1/1")
ARGUMENTS = (b"", encode_table({"one": 1}), encode_table({"x-queue-mode": "lazy"}))


@dataclass(frozen=True)
class NodeComes:
    """A node joins, in its first or a later incarnation."""

    node: str


@dataclass(frozen=True)
class NodeGoes:
    """A node leaves, dead or not; if so, its store may be kept."""

    node: str
    dead: bool
    kept: bool = False


Wish = Request | NodeComes | NodeGoes

_binding = st.tuples(
    st.just("/"),
    st.sampled_from(EXCHANGES),
    st.sampled_from(("queue", "exchange")),
    st.sampled_from((*QUEUES, *EXCHANGES[:3])),
    st.sampled_from(("", "key", "key.*")),
    st.sampled_from(ARGUMENTS[:2]),
    st.sampled_from(("", *OWNERS)),
)
_exchange = st.tuples(
    st.just("/"),
    st.sampled_from(EXCHANGES[:3]),
    st.sampled_from(("direct", "fanout", "topic")),
    st.booleans(),
    st.booleans(),
    st.booleans(),
    st.sampled_from(ARGUMENTS[:2]),
)
_queue = st.tuples(
    st.just("/"),
    st.sampled_from(QUEUES),
    st.booleans(),
    st.booleans(),
    st.sampled_from(("", "", *OWNERS)),
    st.sampled_from(ARGUMENTS),
)
_patterns = st.sampled_from(("", ".*", "^q", "("))
_hosts = st.sampled_from(("/", "v"))
_users = st.sampled_from(("guest", "u"))
_access: st.SearchStrategy[Wish] = st.one_of(
    st.builds(AddVirtualHost, _hosts, st.sampled_from(("", "words")), st.just(["t"]), st.just(b"")),
    st.builds(DeleteVirtualHost, _hosts),
    st.builds(
        SetUser,
        _users,
        st.none() | st.just(b"hash"),
        st.just(""),
        st.none() | st.just(["administrator"]),
        st.none() | st.just({"max-channels": 1}),
    ),
    st.builds(DeleteUser, _users),
    st.builds(SetPermissions, _users, _hosts, _patterns, _patterns, _patterns),
    st.builds(ClearPermissions, _users, _hosts),
    st.builds(SetTopicPermissions, _users, _hosts, st.just("x"), _patterns, _patterns),
    st.builds(ClearTopicPermissions, _users, _hosts, st.sampled_from((None, "x", "y"))),
    st.builds(
        SetPolicy,
        _hosts,
        st.sampled_from(("p", "r")),
        st.booleans(),
        _patterns,
        st.sampled_from(("queues", "exchanges", "all")),
        st.integers(0, 1),
        st.sampled_from(({"max-length": 5}, {"expires": 5}, {"alternate-exchange": "x"})),
    ),
    st.builds(DeletePolicy, _hosts, st.sampled_from(("p", "r")), st.booleans()),
    st.builds(
        SetParameter,
        _hosts,
        st.just("vhost-limits"),
        st.just("limits"),
        st.sampled_from((None, b'{"max-queues":2}', b'{"max-queues":-1}')),
    ),
    st.builds(SetParameter, st.just(""), st.just(""), st.just("g"), st.none() | st.just(b"1")),
)
wishes: st.SearchStrategy[list[Wish]] = st.lists(
    st.one_of(
        _queue.map(lambda drawn: DeclareQueue(*drawn)),
        _exchange.map(lambda drawn: DeclareExchange(*drawn)),
        _binding.map(lambda drawn: Bind(*drawn)),
        _binding.map(lambda drawn: Bind(*drawn)),
        _binding.map(lambda drawn: Unbind(*drawn)),
        st.integers(1, 8).map(DeleteQueue),
        st.sampled_from(EXCHANGES[:3]).map(lambda name: DeleteExchange("/", name, False)),
        st.sampled_from(OWNERS).map(DeleteOwned),
        st.sampled_from(NODES).map(NodeComes),
        st.builds(NodeGoes, st.sampled_from(NODES), st.booleans(), st.booleans()),
        _access,
    ),
    max_size=40,
)


class History:
    """A catalog in the making. `changes` are all that were made, in order."""

    def __init__(self) -> None:
        self.catalog = Catalog()
        self.changes: list[Change] = []
        self._next_queue = 1

    def grant(self, wish: Wish) -> list[Change]:
        """Make what is wished for, if it may be; return the changes."""
        changes = self.judged(wish)
        for change in changes:
            self.catalog.apply(change)
        self.changes += changes
        return changes

    def judged(self, wish: Wish) -> list[Change]:
        """Return what `grant` would change."""
        if isinstance(wish, NodeComes):
            return self._comes(wish.node)
        if isinstance(wish, NodeGoes):
            return self._goes(wish)
        judgement = judge(self.catalog, wish, "a", self._next_queue)
        self._next_queue += 1
        return [] if isinstance(judgement, Refused) else judgement

    def _comes(self, node: str) -> list[Change]:
        changes: list[Change] = [NodeJoined(node, "1", "127.0.0.1", 7000)]
        for entry in self.catalog.queues.values():
            placed = place_with(self.catalog, entry, node)
            if placed is not None:
                changes.append(placed)
        return changes

    def _goes(self, wish: NodeGoes) -> list[Change]:
        node = wish.node
        changes: list[Change] = [NodeLeft(node, "1", wish.dead)]
        if wish.dead:
            changes += delete_owned(self.catalog, f"{node}#1/")
        end: End = "away" if not wish.dead else "dead" if wish.kept else "lost"
        gone = [change.queue for change in changes if hasattr(change, "queue")]
        for entry in self.catalog.queues.values():
            departure = place_without(self.catalog, entry, node, end)
            if departure is not None and entry.number not in gone:
                changes.append(departure.placed or _deleted(entry))
        return changes


def _deleted(entry: QueueEntry) -> QueueDeleted:
    declared = entry.declared
    return QueueDeleted(declared.virtual_host, declared.name, declared.queue)


def made_of(changes: list[Change]) -> Catalog:
    """Return the catalog that these changes make from nothing."""
    catalog = Catalog()
    for change in changes:
        catalog.apply(change)
    return catalog


def shape(catalog: Catalog) -> dict[str, Any]:
    """Return all that a catalog knows as plain data, the order of bindings aside."""
    hosts: dict[str, Any] = {}
    for host in catalog.virtual_hosts.values():
        hosts[host.name] = {
            "added": host.added,
            "policies": host.policies,
            "exchanges": {
                one.name: (
                    one.kind,
                    one.durable,
                    one.auto_delete,
                    one.internal,
                    one.arguments,
                    sorted(one.bindings),
                )
                for one in host.exchanges.values()
            },
            "queues": {
                name: (entry.declared, entry.placed, sorted(entry.bound_from))
                for name, entry in host.queues.items()
            },
            "bound_to": {name: sorted(back) for name, back in host.bound_to.items() if back},
        }
    numbers = {number: entry.declared.name for number, entry in catalog.queues.items()}
    nodes, away = dict(catalog.nodes), dict(catalog.away)
    access = catalog.access
    return {
        "hosts": hosts,
        "nodes": nodes,
        "away": away,
        "numbers": numbers,
        "users": access.users,
        "permissions": access.permissions,
        "topic permissions": access.topic_permissions,
        "parameters": catalog.parameters,
    }
