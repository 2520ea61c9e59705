"""Keys are in order of positions and come back as they were; so do values, or not at all."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rabbitry.cluster.chunks import (
    ChunkKey,
    Kept,
    chunk_key_of,
    decode_holes,
    decode_kept,
    decode_runs,
    encode_holes,
    encode_kept,
    encode_runs,
    holes_key,
    holes_key_of,
    kept_key,
    queue_of,
)
from rabbitry.machine import BULK

U64 = st.integers(0, (1 << 64) - 1)
U32 = st.integers(0, (1 << 32) - 1)
KEYS = st.builds(ChunkKey, U64, U64, U32, U32, st.booleans())


@given(KEYS, KEYS)
def test_keys_of_chunks_are_in_order_of_positions(one: ChunkKey, other: ChunkKey) -> None:
    assert chunk_key_of(one.encode()) == one
    assert one.encode().startswith(BULK)
    assert queue_of(one.encode()) == one.queue
    if one.lasting == other.lasting and (one.queue, one.first) < (other.queue, other.first):
        assert one.encode() < other.encode()


@given(U64, U64, U32)
def test_small_keys_name_their_queue(queue: int, first: int, generation: int) -> None:
    assert queue_of(kept_key(queue)) == queue
    assert queue_of(holes_key(queue, first, generation)) == queue
    assert holes_key_of(holes_key(queue, first, generation)) == (queue, first, generation)
    assert not kept_key(queue).startswith(BULK)


@pytest.mark.parametrize("key", [b"store", b"cluster", b"1", b"q", BULK, BULK + b"m1"])
def test_other_keys_are_no_queue_s(key: bytes) -> None:
    assert queue_of(key) is None
    with pytest.raises(ValueError, match="chunk"):
        chunk_key_of(key)


def test_values_come_back() -> None:
    runs = [((b"e", b"k", 4096, [b"one", b"two"]), [5]), ((b"", b"q", 0, [b"three"]), [])]
    assert decode_runs(encode_runs(runs)) == runs
    kept = Kept(3, 2, 9, 4, True, {"a#1": 7}, {"a#1": [(2, 3)]}, [(5, 1)])
    assert decode_kept(encode_kept(kept)) == kept
    assert decode_holes(encode_holes([(1, 2), (7, 7)])) == [(1, 2), (7, 7)]


@given(st.binary())
def test_noise_is_refused(data: bytes) -> None:
    for decode in (decode_runs, decode_kept):
        try:
            decode(data)
        except ValueError:
            continue
        assert data[:1] >= b"\x90"  # an array, by accident
