"""One chunk of a queue in a node's store, as the node knows it: consecutive messages, and holes.

Owned by the queue's `cluster.queue_store`; `cluster.merging` makes large ones of small ones.
"""

from __future__ import annotations

from typing import Final

from rabbitry.broker.positions import count_of, joined, without
from rabbitry.cluster.chunks import ChunkKey, ChunkRun
from rabbitry.cluster.queue_records import Range

# A chunk is closed when it has become so large: it is read, and taken into memory, as a whole.
CHUNK_BYTES_MAX: Final = 256 * 1024
CHUNK_MESSAGES_MAX: Final = 4096
# What is not larger than this is merged with what stands beside it.
SMALL_MESSAGES_MAX: Final = 16
SMALL_BYTES_MAX: Final = 8 * 1024


class Chunk:
    """Consecutive messages. `runs`: what is not durable yet; `written`: that a commit has it.

    `size_bytes`: of its messages, 0 where they were found at the start; `merging`: a commit that
    puts another in its place is under way, until when it stays even if nothing of it is held.
    """

    __slots__ = (
        "count",
        "first",
        "generation",
        "holes",
        "lasting",
        "live",
        "merging",
        "runs",
        "size_bytes",
        "written",
    )

    def __init__(self, first: int, count: int, generation: int, lasting: bool) -> None:
        self.first = first
        self.count = count
        self.generation = generation
        self.lasting = lasting
        self.live = count
        self.holes: list[Range] = []
        self.runs: list[ChunkRun] | None = None
        self.size_bytes = 0
        self.written = True
        self.merging = False

    @property
    def last(self) -> int:
        return self.first + self.count - 1

    @property
    def is_small(self) -> bool:
        return self.count <= SMALL_MESSAGES_MAX and 0 < self.size_bytes <= SMALL_BYTES_MAX

    def punch(self, holes: list[Range]) -> None:
        """From now on it has these holes, and no others."""
        self.holes = holes
        self.live = self.count - count_of(holes)

    def ranges(self) -> list[Range]:
        """Return what is held of it."""
        whole = [(self.first, self.last)]
        return without(whole, self.holes) if self.holes else whole

    def key(self, queue: int) -> ChunkKey:
        return ChunkKey(queue, self.first, self.count, self.generation, self.lasting)


def holes_of(chunks: list[Chunk]) -> list[Range]:
    """Return the holes of all of them, ascending as they do."""
    return joined(hole for chunk in chunks for hole in chunk.holes)
