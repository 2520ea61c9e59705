"""The catalog's knowledge of who may: what is there at first, and what stays taken away."""

from __future__ import annotations

import pytest
from hypothesis import given
from support.coordination_catalogs import History, Wish, made_of, shape, wishes

from rabbitry.broker.passwords import is_password
from rabbitry.cluster.access import (
    access_as_changes,
    apply_access,
    default_access,
    is_default,
)
from rabbitry.cluster.access_records import (
    DeleteUser,
    DeleteVirtualHost,
    PermissionsCleared,
    PolicyDeleted,
    SetUser,
    UserDeleted,
    VirtualHostDeleted,
)
from rabbitry.cluster.catalog import Catalog


def test_a_fresh_cluster_has_guest_who_may_everything() -> None:
    access = default_access()
    guest = access.users["guest"]
    assert is_password(b"guest", guest.password_hash, guest.hashing_algorithm)
    assert guest.tags == ("administrator",)
    assert access.may("guest", "/", "configure", "anything")
    assert access_as_changes(Catalog()) == []


@given(wishes)
def test_told_as_changes_it_is_the_same(drawn: list[Wish]) -> None:
    history = History()
    for wish in drawn:
        history.grant(wish)
    assert shape(made_of(history.catalog.as_changes())) == shape(history.catalog)


def test_what_a_fresh_cluster_has_can_be_taken_away_for_good() -> None:
    history = History()
    history.grant(DeleteUser("guest"))
    history.grant(DeleteVirtualHost("/"))
    again = made_of(history.catalog.as_changes())
    assert (again.virtual_hosts, again.access.users, again.access.permissions) == ({}, {}, {})


def test_guest_back_without_permissions_stays_without() -> None:
    history = History()
    history.grant(DeleteUser("guest"))
    history.grant(SetUser("guest", b"hash"))
    again = made_of(history.catalog.as_changes())
    assert again.access.users["guest"].password_hash == b"hash"
    assert again.access.permissions == {}


def test_what_is_default() -> None:
    assert is_default(VirtualHostDeleted("/"))
    assert not is_default(VirtualHostDeleted("v"))
    assert is_default(UserDeleted("guest"))
    assert not is_default(UserDeleted("u"))
    assert is_default(PermissionsCleared("guest", "/"))
    assert not is_default(PermissionsCleared("guest", "v"))


def test_every_change_of_access_has_another_version() -> None:
    history = History()
    before = history.catalog.access.version
    history.grant(SetUser("u"))
    assert history.catalog.access.version > before


def test_policies_are_the_catalogs_own() -> None:
    with pytest.raises(AssertionError):
        apply_access(Catalog(), PolicyDeleted("/", "p", False))
