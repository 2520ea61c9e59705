"""Tests of the hashes: values worked out from HAProxy's own C, compiled once by hand."""

from __future__ import annotations

from rabbitry.balancer.algorithms.hashes import full_hash, hash_of_address


def test_addresses_are_folded_by_four_bytes() -> None:
    assert hash_of_address(bytes([127, 0, 0, 1])) == 0x7F000001
    assert hash_of_address(bytes(15) + b"\x01") == 1
    assert hash_of_address(bytes([1, 2, 3, 4] * 4)) == 0
    assert hash_of_address(b"") == 0


def test_avalanche_spreads() -> None:
    near = {hash_of_address(bytes([10, 0, 0, last]), avalanche=True) >> 28 for last in range(64)}
    assert len(near) > 8
    assert all(0 <= full_hash(number) <= 0xFFFFFFFF for number in (0, 1, 0xFFFFFFFF))
    assert len({full_hash(number) for number in range(5000)}) == 5000
