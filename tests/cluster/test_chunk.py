"""One chunk: what of it is held, and what makes it a small one."""

from __future__ import annotations

import pytest

from rabbitry.cluster.chunk import SMALL_BYTES_MAX, SMALL_MESSAGES_MAX, Chunk, holes_of
from rabbitry.cluster.chunks import ChunkKey


def test_holes_are_what_is_not_held() -> None:
    chunk = Chunk(10, 5, 2, lasting=True)
    assert (chunk.ranges(), chunk.live) == ([(10, 14)], 5)
    chunk.punch([(10, 10), (12, 13)])
    assert (chunk.ranges(), chunk.live) == ([(11, 11), (14, 14)], 2)
    assert chunk.key(7) == ChunkKey(7, 10, 5, 2, True)


@pytest.mark.parametrize(
    ("count", "size_bytes", "small"),
    [
        (1, 1, True),
        (SMALL_MESSAGES_MAX, SMALL_BYTES_MAX, True),
        (SMALL_MESSAGES_MAX + 1, 100, False),
        (1, SMALL_BYTES_MAX + 1, False),
        (1, 0, False),  # found at the start: how large it is nobody knows
    ],
)
def test_small_ones_have_few_messages_and_bytes(count: int, size_bytes: int, small: bool) -> None:
    chunk = Chunk(1, count, 0, lasting=True)
    chunk.size_bytes = size_bytes
    assert chunk.is_small is small


def test_holes_of_chunks_side_by_side_are_those_of_one() -> None:
    first, second = Chunk(1, 3, 0, lasting=True), Chunk(4, 3, 0, lasting=True)
    first.punch([(1, 1), (3, 3)])
    second.punch([(4, 5)])
    assert holes_of([first, second]) == [(1, 1), (3, 5)]
