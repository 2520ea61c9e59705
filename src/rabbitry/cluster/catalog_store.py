"""How the catalog lies in the store: one key for each thing declared.

    0 vhost                a virtual host
    1                      the coordinator's counters
    1p vhost, name         a policy or an operator policy
    2 name                 a node that is in the cluster, or has left and may be alive
    3 vhost, name          an exchange
    4 number               a queue
    5 number               where it is placed
    6 vhost, binding       a binding
    7 user                 a user
    8 user, vhost ...      permissions, and topic permissions by exchange
    9 vhost, name          a parameter

A value is the change that made the thing; or the one that took it away, where a fresh catalog has
it (`access.is_default`). Read in key order, the values make the catalog anew: each
kind of thing needs only kinds of smaller prefixes. A key is a prefix and a number, or a digest of
what names the thing: names and arguments together may be longer than a store's keys (LMDB: 511
bytes).
"""

from __future__ import annotations

from hashlib import blake2b

import msgspec

from rabbitry.broker.exchanges import Binding
from rabbitry.cluster.access import is_default
from rabbitry.cluster.access_records import (
    AccessChange,
    ParameterCleared,
    ParameterSet,
    PermissionsCleared,
    PermissionsSet,
    PolicyDeleted,
    PolicySet,
    TopicPermissionsCleared,
    TopicPermissionsSet,
    UserDeleted,
    UserSet,
    VirtualHostAdded,
    VirtualHostDeleted,
)
from rabbitry.cluster.catalog import Catalog
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
    decode_change,
    encode,
)

Writes = list[tuple[bytes, bytes | None]]

_COUNTERS = b"1"
_pack = msgspec.msgpack.Encoder().encode


def writes_of(catalog: Catalog, change: Change) -> Writes:
    """Return what a change writes. Call it before the change is applied to `catalog`."""
    match change:
        case NodeJoined():
            return [(_named(b"2", change.name), encode(change))]
        case NodeLeft():
            return [(_named(b"2", change.name), None if change.dead else encode(change))]
        case ExchangeDeclared():
            return [(_named(b"3", change.virtual_host, change.name), encode(change))]
        case ExchangeDeleted():
            writes: Writes = [(_named(b"3", change.virtual_host, change.name), None)]
            exchange = catalog.virtual_hosts[change.virtual_host].exchanges[change.name]
            bindings = [(change.name, binding) for binding in exchange.bindings]
            bindings += catalog.bindings_of(change.virtual_host, "exchange", change.name)
            return writes + _unbindings(change.virtual_host, bindings)
        case QueueDeclared():
            return [(_numbered(b"4", change.queue), encode(change))]
        case QueueDeleted():
            gone: Writes = [(_numbered(b"4", change.queue), None)]
            gone.append((_numbered(b"5", change.queue), None))
            bindings = catalog.bindings_of(change.virtual_host, "queue", change.name)
            return gone + _unbindings(change.virtual_host, bindings)
        case QueuePlaced():
            return [(_numbered(b"5", change.queue), encode(change))]
        case Bound():
            return [(_binding_key(change), encode(change))]
        case Unbound():
            return [(_binding_key(change), None)]
        case _:
            return [_access_write(change)]


def _access_write(change: AccessChange) -> tuple[bytes, bytes | None]:
    match change:
        case VirtualHostAdded() | VirtualHostDeleted():
            key = _named(b"0", change.name)
        case UserSet() | UserDeleted():
            key = _named(b"7", change.name)
        case PermissionsSet() | PermissionsCleared():
            key = _named(b"8", change.user, change.virtual_host)
        case TopicPermissionsSet() | TopicPermissionsCleared():
            key = _named(b"8", change.user, change.virtual_host, change.exchange)
        case PolicySet() | PolicyDeleted():
            operator = "operator" if change.operator else ""
            key = _named(b"1p", change.virtual_host, change.name, operator)
        case ParameterSet() | ParameterCleared():
            key = _named(b"9", change.virtual_host, change.component, change.name)
    gone = (
        VirtualHostDeleted
        | UserDeleted
        | PermissionsCleared
        | TopicPermissionsCleared
        | PolicyDeleted
        | ParameterCleared
    )
    kept = not isinstance(change, gone) or is_default(change)
    return key, encode(change) if kept else None


class Counters(msgspec.Struct, array_like=True):
    """What the coordinator counts and knows besides the catalog.

    `joined_at`: the revision at which each node joined last. `cluster`: the cluster's name, for
    ever the same. `stores` and `damaged`: see `cluster.stores`; `lives`: see `cluster.lives`.
    """

    revision: int = 0
    next_queue: int = 1
    joined_at: dict[str, int] = msgspec.field(default_factory=dict)
    cluster: str = ""
    stores: dict[str, str] = msgspec.field(default_factory=dict)
    damaged: dict[int, list[str]] = msgspec.field(default_factory=dict)
    lives: dict[str, int] = msgspec.field(default_factory=dict)


def write_counters(counters: Counters) -> tuple[bytes, bytes]:
    """Return the write that keeps the coordinator's counters."""
    return _COUNTERS, _pack(counters)


def load(catalog: Catalog, stored: list[tuple[bytes, bytes]]) -> Counters:
    """Make the catalog from what the store kept; return the counters."""
    counters = Counters()
    for key, value in stored:
        if key == _COUNTERS:
            counters = msgspec.msgpack.decode(value, type=Counters)
        elif key[:1].isdigit():  # others keep theirs in the same store
            catalog.apply(decode_change(value))
    return counters


def _named(prefix: bytes, *names: str | bytes) -> bytes:
    return prefix + blake2b(_pack(names), digest_size=16).digest()


def _numbered(prefix: bytes, number: int) -> bytes:
    return prefix + number.to_bytes(8, "big")


def _binding_key(change: Bound | Unbound) -> bytes:
    return _named(
        b"6",
        change.virtual_host,
        change.source,
        change.destination_kind,
        change.destination,
        change.routing_key,
        change.arguments,
    )


def _unbindings(virtual_host: str, bindings: list[tuple[str, Binding]]) -> Writes:
    return [
        (
            _binding_key(
                Unbound(
                    virtual_host,
                    source,
                    binding.destination.kind,
                    binding.destination.name,
                    binding.routing_key,
                    binding.arguments,
                )
            ),
            None,
        )
        for source, binding in bindings
        if source
    ]
