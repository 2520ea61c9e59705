"""What the log says of an operator's changes: who may log in, who may do what, what governs.

One line for each change, as RabbitMQ has them at level info (rabbit_auth_backend_internal.erl,
rabbit_vhost.erl, rabbit_policy.erl, rabbit_runtime_parameters.erl).

Invariant: names only. No password and no hash, and no value of a parameter, which may hold one.
Queues, exchanges and bindings are not told: with a file of definitions they are thousands.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from rabbitry.cluster.access_records import (
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
from rabbitry.cluster.records import Change

Line = tuple[str, dict[str, Any]]
"""What happened and its details, as `rabbitry.machine.Report` has them."""

_WORDS: Final[dict[type, tuple[str, tuple[str, ...]]]] = {
    PermissionsSet: ("permissions set", ("user", "virtual_host")),
    PermissionsCleared: ("permissions cleared", ("user", "virtual_host")),
    TopicPermissionsSet: ("topic permissions set", ("user", "virtual_host", "exchange")),
    TopicPermissionsCleared: ("topic permissions cleared", ("user", "virtual_host", "exchange")),
    ParameterSet: ("parameter set", ("virtual_host", "component", "name")),
    ParameterCleared: ("parameter cleared", ("virtual_host", "component", "name")),
}


def lines_of(catalog: Catalog, changes: Iterable[Change]) -> list[Line]:
    """Return what is said of changes that are about to be made to `catalog`."""
    return [line for change in changes for line in _lines(catalog, change)]


def _lines(catalog: Catalog, change: Change) -> list[Line]:
    match change:
        case UserSet():
            return [_user_set(catalog, change)]
        case UserDeleted():
            return [("user deleted", {"user": change.name})]
        case VirtualHostAdded():
            known = change.name in catalog.virtual_hosts
            what = "virtual host changed" if known else "virtual host added"
            return [(what, {"virtual_host": change.name})]
        case VirtualHostDeleted():
            return [("virtual host deleted", {"virtual_host": change.name})]
        case PolicySet() | PolicyDeleted():
            kind = "operator policy" if change.operator else "policy"
            done = "set" if isinstance(change, PolicySet) else "deleted"
            details = {"virtual_host": change.virtual_host, "policy": change.name}
            return [(f"{kind} {done}", details)]
    if type(change) not in _WORDS:
        return []
    what, names = _WORDS[type(change)]
    return [(what, {name: getattr(change, name) for name in names})]


def _user_set(catalog: Catalog, change: UserSet) -> Line:
    found = catalog.access.users.get(change.name)
    if found is None:
        return "user added", {"user": change.name, "tags": ", ".join(change.tags)}
    changed = {
        "password": (change.password_hash, change.hashing_algorithm)
        != (found.password_hash, found.hashing_algorithm),
        "tags": tuple(change.tags) != tuple(found.tags),
        "limits": change.limits != found.limits,
    }
    what = ", ".join(name for name, so in changed.items() if so)
    return "user changed", {"user": change.name, "changed": what}
