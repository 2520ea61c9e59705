"""Records of access: all are records of the history or of a request, and know their way back."""

from __future__ import annotations

from typing import get_args

from rabbitry.cluster.access_records import AccessChange, AccessRequest, SetUser, UserSet
from rabbitry.cluster.records import Change, Request, Requested, decode, decode_change, encode


def test_they_are_changes_and_requests() -> None:
    assert set(get_args(AccessChange)) <= set(get_args(Change))
    assert set(get_args(AccessRequest)) <= set(get_args(Request))


def test_they_come_back_from_the_store_and_over_a_link() -> None:
    change = UserSet("u", b"\xff\x00", "rabbit_password_hashing_md5", ["a"], {"max-channels": 1})
    assert decode_change(encode(change)) == change
    request = Requested(1, SetUser("u", tags=[]))
    assert decode(encode(request)) == request


def test_what_is_not_said_is_not_set() -> None:
    request = SetUser("u")
    assert (request.password_hash, request.tags, request.limits) == (None, None, None)
