"""How one queue lies in a node's store: the keys, and what is in the values.

    BULK m queue first count generation    a chunk: consecutive messages from position `first` on
    BULK t queue first count generation    the same, only written to get it out of memory
    q queue                                what is known of the replica that counts: `Kept`
    h queue first generation               positions in that chunk that are held no more: ranges

Numbers are big-endian, so keys in order are positions in order. A chunk's value is its runs, each
with the times at which its messages expire (as in `Enqueued`). What chunks there are can be told
from keys alone; so a node starts without reading its messages.

Owns encoding; what is written and when is `cluster.queue_store`. Values come back as they were
written, or not at all: the store sees to it (`rabbitry.machine`).
"""

from __future__ import annotations

from collections.abc import Sequence
from struct import Struct
from typing import Final

import msgspec

from rabbitry.broker.message import Run
from rabbitry.cluster.queue_records import Range
from rabbitry.machine import BULK, Value

LASTING: Final = BULK + b"m"
PASSING: Final = BULK + b"t"
KEPT: Final = b"q"
HOLES: Final = b"h"

_chunk_key = Struct(">2sQQII")
_kept_key = Struct(">cQ")
_holes_key = Struct(">cQQI")

# A run, and when its messages expire: nobody does, one time for all, or one for each (-1: never).
ChunkRun = tuple[Run, list[int]]


class Kept(msgspec.Struct, array_like=True, gc=False):
    """What belongs to the messages of a replica; see `cluster.replica.Replica`.

    Chunks of a later generation than `generation` are not of this replica, but of one that was
    being made beside it. `whole`: the queue needs all messages in memory.
    """

    epoch: int
    generation: int
    next_position: int
    seen_through: int
    consumed: bool
    origins: dict[str, int]
    rejections: dict[str, list[Range]]
    counts: list[tuple[int, int]]
    whole: bool = False


class ChunkKey(msgspec.Struct, frozen=True, gc=False):
    """Which messages a chunk holds. `lasting`: it is there to stay, also after a restart."""

    queue: int
    first: int
    count: int
    generation: int
    lasting: bool = True

    def encode(self) -> bytes:
        """Return the key."""
        kind = LASTING if self.lasting else PASSING
        return _chunk_key.pack(kind, self.queue, self.first, self.count, self.generation)


def chunk_key_of(key: bytes) -> ChunkKey:
    """Return what a bulk key says; raises ValueError where it is none of a chunk."""
    if len(key) != _chunk_key.size or key[:2] not in (LASTING, PASSING):
        raise ValueError("no key of a chunk")
    kind, queue, first, count, generation = _chunk_key.unpack(key)
    return ChunkKey(queue, first, count, generation, kind == LASTING)


def kept_key(queue: int) -> bytes:
    """Return the key of what is known of a queue's replica."""
    return _kept_key.pack(KEPT, queue)


def holes_key(queue: int, first: int, generation: int) -> bytes:
    """Return the key of the holes of a chunk."""
    return _holes_key.pack(HOLES, queue, first, generation)


def queue_of(key: bytes) -> int | None:
    """Return the queue whose data lies under a key, None where it is no queue's."""
    if key[:1] in (KEPT, HOLES) and len(key) >= _kept_key.size:
        return int(_kept_key.unpack_from(key)[1])
    if key[:2] in (LASTING, PASSING) and len(key) == _chunk_key.size:
        return int(_chunk_key.unpack(key)[1])
    return None


def holes_key_of(key: bytes) -> tuple[int, int, int]:
    """Return (queue, first position, generation) of a key of holes."""
    _, queue, first, generation = _holes_key.unpack(key)
    return queue, first, generation


def encode_runs(runs: Sequence[ChunkRun]) -> bytes:
    """Return the value of a chunk."""
    return _encoder.encode(runs)


def decode_runs(value: Value) -> list[ChunkRun]:
    """Return the runs of a chunk, copied out of it. Raises ValueError for anything else."""
    return _runs_decoder.decode(value)


def encode_kept(kept: Kept) -> bytes:
    """Return the value under `kept_key`."""
    return _encoder.encode(kept)


def decode_kept(value: bytes) -> Kept:
    """Return what is known of a replica. Raises ValueError for anything else."""
    return _kept_decoder.decode(value)


def encode_holes(holes: list[Range]) -> bytes:
    """Return the value under `holes_key`."""
    return _encoder.encode(holes)


def decode_holes(value: bytes) -> list[Range]:
    """Return the holes of a chunk. Raises ValueError for anything else."""
    return _holes_decoder.decode(value)


_encoder = msgspec.msgpack.Encoder()
_runs_decoder = msgspec.msgpack.Decoder(list[ChunkRun])
_kept_decoder = msgspec.msgpack.Decoder(Kept)
_holes_decoder = msgspec.msgpack.Decoder(list[Range])
