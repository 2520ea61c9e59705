"""Consistent hashing: even, steady, and little moves when a destination comes."""

from __future__ import annotations

from collections import Counter
from hashlib import blake2b

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rabbitry.broker.consistent_hash import (
    HashRing,
    HashSource,
    check_arguments,
    check_weight,
    jump,
)
from rabbitry.wire.methods import BasicProperties
from rabbitry.wire.values import FieldValue

HASHES = [
    int.from_bytes(blake2b(str(number).encode(), digest_size=8).digest(), "big")
    for number in range(20_000)
]


@given(hashed=st.integers(0, 2**64 - 1), buckets=st.integers(1, 10**12))
def test_a_bucket_is_one_of_them_and_stays_or_is_the_new_one(hashed: int, buckets: int) -> None:
    before, after = jump(hashed, buckets), jump(hashed, buckets + 1)
    assert 0 <= before < buckets
    assert after in (before, buckets)


def test_buckets_get_the_same_share() -> None:
    counts = Counter(jump(hashed, 10) for hashed in HASHES)
    assert set(counts) == set(range(10))
    assert all(1800 < count < 2200 for count in counts.values())


def test_destinations_get_what_they_weigh() -> None:
    ring = HashRing([("a", 1), ("b", 3)])
    counts = Counter(ring.find(hashed) for hashed in HASHES)
    assert 4600 < counts["a"] < 5400
    assert counts["a"] + counts["b"] == len(HASHES)


def test_a_destination_that_comes_takes_its_share_and_nothing_else_moves() -> None:
    before, after = HashRing([("a", 2), ("b", 2)]), HashRing([("a", 2), ("b", 2), ("c", 1)])
    moved = [after.find(hashed) for hashed in HASHES if before.find(hashed) != after.find(hashed)]
    assert set(moved) == {"c"}
    assert 3600 < len(moved) < 4400


def test_a_second_binding_of_a_destination_does_not_count() -> None:
    one, two = HashRing([("a", 1), ("b", 1)]), HashRing([("a", 1), ("b", 1), ("a", 5)])
    assert all(one.find(hashed) == two.find(hashed) for hashed in HASHES[:500])


def test_where_there_are_no_destinations_nothing_is_found() -> None:
    assert HashRing[str]([]).find(5) is None


def test_a_great_weight_costs_no_memory() -> None:
    assert HashRing([("a", 10**18)]).find(12345) == "a"


@pytest.mark.parametrize(
    ("arguments", "properties"),
    [
        ({"hash-header": "h"}, BasicProperties(headers={"h": "v"})),
        ({"hash-property": "message_id"}, BasicProperties(message_id="v")),
        ({"hash-property": "correlation_id"}, BasicProperties(correlation_id="v")),
        ({"hash-property": "timestamp"}, BasicProperties(timestamp=7)),
    ],
)
def test_what_is_named_is_hashed_and_the_routing_key_is_not(
    arguments: dict[str, FieldValue], properties: BasicProperties
) -> None:
    source = HashSource(arguments)
    assert source.needs_properties
    assert source.hash_of("a", properties) == source.hash_of("b", properties)
    assert source.hash_of("a", properties) != source.hash_of("a", BasicProperties())
    assert source.hash_of("a", BasicProperties()) == source.hash_of("b", BasicProperties())


def test_else_the_routing_key_is_hashed() -> None:
    source = HashSource({})
    assert not source.needs_properties
    assert source.hash_of("a", None) == source.hash_of("a", BasicProperties(message_id="v"))
    assert source.hash_of("a", None) != source.hash_of("b", None)


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        ({}, ""),
        ({"hash-header": "h"}, ""),
        ({"hash-property": "timestamp"}, ""),
        ({"hash-property": "priority"}, "Unsupported property: priority"),
        (
            {"hash-header": "h", "hash-property": "message_id"},
            "hash-header and hash-property are mutually exclusive",
        ),
        ({"hash-header": 1}, "invalid type 'signedint' for arg 'hash-header'"),
    ],
)
def test_arguments(arguments: dict[str, FieldValue], fault: str) -> None:
    assert check_arguments(arguments) == fault


@pytest.mark.parametrize(
    ("key", "fault"),
    [
        ("1", ""),
        ("+20", ""),
        ("0", "The binding key must be greater than 0"),
        ("-3", "The binding key must be greater than 0"),
        ("", "The binding key must be an integer: <<>>"),
        ("a.b", 'The binding key must be an integer: <<"a.b">>'),
        (" 1", 'The binding key must be an integer: <<" 1">>'),
        ("1_0", 'The binding key must be an integer: <<"1_0">>'),
    ],
)
def test_weights(key: str, fault: str) -> None:
    assert check_weight(key) == fault
