"""Headers exchanges match as rabbit_exchange_type_headers.erl of 3.10 does."""

from __future__ import annotations

from decimal import Decimal

import pytest

from rabbitry.broker.headers_matching import HeadersPattern, check_match, comparable
from rabbitry.wire.values import ByteArray, FieldValue, SignedLong, Timestamp, encode_table

Table = dict[str, FieldValue]


def matches(arguments: Table, headers: Table) -> bool:
    pattern = HeadersPattern(encode_table(arguments) if arguments else b"")
    return pattern.matches({name: comparable(value) for name, value in headers.items()})


@pytest.mark.parametrize(
    ("arguments", "headers", "expected"),
    [
        ({}, {}, True),
        ({}, {"a": 1}, True),
        ({"a": 1, "b": 2}, {"a": 1, "b": 2, "c": 3}, True),
        ({"a": 1, "b": 2}, {"a": 1}, False),
        ({"a": 1, "b": 2}, {"a": 1, "b": 3}, False),
        ({"x-match": "all", "a": 1}, {"a": 1}, True),
        ({"x-match": "any", "a": 1, "b": 2}, {"b": 2}, True),
        ({"x-match": "any", "a": 1, "b": 2}, {"b": 3}, False),
        ({"x-match": "any"}, {"a": 1}, False),
        # Arguments that begin with x- count only where x-match says so.
        ({"x-a": 1}, {}, True),
        ({"x-match": "any", "x-a": 1}, {"x-a": 1}, False),
        ({"x-match": "all-with-x", "x-a": 1}, {}, False),
        ({"x-match": "all-with-x", "x-a": 1}, {"x-a": 1}, True),
        ({"x-match": "any-with-x", "x-a": 1, "b": 1}, {"x-a": 1}, True),
        # An x-match that was never validated counts as all.
        ({"x-match": 7, "a": 1}, {"a": 2}, False),
        # No value: the header is there.
        ({"a": None}, {"a": "whatever"}, True),
        ({"a": None}, {"b": 1}, False),
        ({"a": 1}, {"a": None}, False),
    ],
)
def test_matching(arguments: Table, headers: Table, expected: bool) -> None:
    assert matches(arguments, headers) is expected


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        (1, SignedLong(1), True),
        (1, 1.0, True),
        (1, Timestamp(1), True),
        (1, True, False),
        (0, False, False),
        (1, "1", False),
        ("a", ByteArray(b"a"), True),
        ("a", b"a", True),
        (None, False, False),
        (Decimal("1.0"), Decimal("1.00"), False),
        (Decimal("1.0"), 1, False),
        ([1], [1], True),
        ([1], [SignedLong(1)], False),
        ({"a": 1}, {"a": 1}, True),
        ({"a": 1}, {"a": 2}, False),
        ([], {}, True),
    ],
)
def test_values_are_compared_as_erlang_does(
    one: FieldValue, other: FieldValue, equal: bool
) -> None:
    if one is not None:
        assert matches({"k": one}, {"k": other}) is equal
    assert matches({"k": other}, {"k": one}) is equal


def test_what_x_match_may_be() -> None:
    for right in ("all", "any", "all-with-x", "any-with-x"):
        assert check_match({"x-match": right, "a": 1}) == ""
    assert check_match({"a": 1}) == ""
    assert check_match({"x-match": "some"}) == (
        'Invalid x-match field value <<"some">>; expected all, any, all-with-x, or any-with-x'
    )
    assert check_match({"x-match": SignedLong(7)}) == (
        "Invalid x-match field type long (value 7); expected longstr"
    )
