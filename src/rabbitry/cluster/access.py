"""The catalog's knowledge of who may and what governs: made of changes, told as changes.

Owns applying the changes of `cluster.access_records`, telling them anew, and what a catalog that
nothing has happened to contains, which is what a fresh RabbitMQ does: the virtual host "/", and the
administrator `guest` with password `guest`, who may do everything in it. Because that needs no
change to be there, its absence is told by a change, and the store keeps that change (`is_default`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rabbitry.broker.passwords import DEFAULT_ALGORITHM, hash_password
from rabbitry.broker.permissions import Access, Permission, User
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

if TYPE_CHECKING:
    from rabbitry.cluster.catalog import Catalog

DEFAULT_VIRTUAL_HOST: Final = "/"
DEFAULT_USER: Final = "guest"


def default_access() -> Access:
    """Return what a fresh cluster has."""
    access = Access()
    # The published default is no secret, so neither need its salt be one.
    password_hash = hash_password(DEFAULT_USER.encode(), b"salt")
    access.users[DEFAULT_USER] = User(
        DEFAULT_USER, password_hash, DEFAULT_ALGORITHM, ("administrator",)
    )
    access.permissions[DEFAULT_USER, DEFAULT_VIRTUAL_HOST] = Permission(".*", ".*", ".*")
    return access


def is_default(change: AccessChange) -> bool:
    """Whether this change takes away what a fresh cluster has."""
    match change:
        case VirtualHostDeleted():
            return change.name == DEFAULT_VIRTUAL_HOST
        case UserDeleted():
            return change.name == DEFAULT_USER
        case PermissionsCleared():
            return (change.user, change.virtual_host) == (DEFAULT_USER, DEFAULT_VIRTUAL_HOST)
    return False


def apply_access(catalog: Catalog, change: AccessChange) -> None:
    """Make a change of users, permissions, or parameters."""
    access = catalog.access
    access.version += 1
    match change:
        case UserSet():
            access.users[change.name] = User(
                change.name,
                change.password_hash,
                change.hashing_algorithm,
                tuple(change.tags),
                change.limits,
            )
        case UserDeleted():
            access.users.pop(change.name, None)
        case PermissionsSet():
            access.permissions[change.user, change.virtual_host] = Permission(
                change.configure, change.write, change.read
            )
        case PermissionsCleared():
            access.permissions.pop((change.user, change.virtual_host), None)
        case TopicPermissionsSet():
            key = (change.user, change.virtual_host, change.exchange)
            access.topic_permissions[key] = Permission("", change.write, change.read)
        case TopicPermissionsCleared():
            key = (change.user, change.virtual_host, change.exchange)
            access.topic_permissions.pop(key, None)
        case ParameterSet():
            name = (change.virtual_host, change.component, change.name)
            catalog.parameters[name] = change.value
        case ParameterCleared():
            catalog.parameters.pop((change.virtual_host, change.component, change.name), None)
        case VirtualHostAdded() | VirtualHostDeleted() | PolicySet() | PolicyDeleted():
            raise AssertionError("the catalog makes these itself")


def access_as_changes(catalog: Catalog) -> list[AccessChange]:
    """Return the changes that make users, permissions and parameters of an empty catalog's."""
    access = catalog.access
    changes: list[AccessChange] = []
    default = (DEFAULT_USER, DEFAULT_VIRTUAL_HOST)
    if default not in access.permissions:
        changes.append(PermissionsCleared(*default))
    if DEFAULT_USER not in access.users:
        changes.append(UserDeleted(DEFAULT_USER))
    fresh = default_access()
    changes += [
        UserSet(user.name, user.password_hash, user.hashing_algorithm, list(user.tags), user.limits)
        for user in access.users.values()
        if user != fresh.users.get(user.name)
    ]
    changes += [
        PermissionsSet(*key, *found)
        for key, found in access.permissions.items()
        if found != fresh.permissions.get(key)
    ]
    changes += [
        TopicPermissionsSet(*key, found.write, found.read)
        for key, found in access.topic_permissions.items()
    ]
    changes += [ParameterSet(*key, value) for key, value in catalog.parameters.items()]
    return changes
