"""Large chunks out of small ones, so that what is published one by one is not kept one by one.

A publisher that waits for each confirm makes a chunk of each message: twice the bytes on the disk,
some 300 bytes of memory each for as long as it is stored, and one key more to read at the next
start. When a queue has written `MERGE_AT` small chunks, those that stand side by side and are still
held are read back, and the next commit has one chunk in place of many. One queue is read at a time.

What may happen meanwhile:

- Before the commit is handed over, nothing has changed: a chunk of which nothing is held any more
  has gone, and its group is left as it is.
- While it is under way, the small chunks are still those that count, and none of them goes
  (`Chunk.merging`): what is removed, or held again, is noted in their holes, as always. When it is
  durable, the new chunk takes their holes over, and those that came meanwhile are written next.
- A commit that fails is handed over again without the merge, and nothing is merged until one
  succeeds: on a full disk removals are written alone, and those of a merge must not be.
- Who reads a small chunk asked before the commit gets its value all the same, for a read sees what
  was there when it was asked for; the position still names the message, wherever it lies by now.
- A queue that is deleted meanwhile takes the new chunk along.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Final

from rabbitry.cluster.chunk import CHUNK_BYTES_MAX, CHUNK_MESSAGES_MAX, Chunk, holes_of
from rabbitry.cluster.chunks import (
    ChunkRun,
    decode_runs,
    encode_holes,
    encode_runs,
    holes_key,
)
from rabbitry.machine import Value

if TYPE_CHECKING:
    from rabbitry.cluster.queue_store import QueueStore, Writes

MERGE_AT = 64
GROUP_MIN = 4
READ_MAX: Final = 512

Read = Callable[[list[bytes], Callable[[Sequence[Value | None]], None]], None]


@dataclass(slots=True)
class _Merge:
    """`chunks` of a queue, side by side, become `merged`, which has this value."""

    store: QueueStore
    chunks: list[Chunk]
    merged: Chunk
    value: bytes
    keys: list[bytes] = field(default_factory=list)  # that a commit of it writes


class Merging:
    """See the module. `read` has values of keys read."""

    def __init__(self, read: Read) -> None:
        self._read = read
        self._reading = False
        self._waiting: dict[QueueStore, None] = {}
        self._ready: list[_Merge] = []  # for the next commit
        self._under_way: list[_Merge] = []

    @property
    def is_ready(self) -> bool:
        """Whether the next commit could have something of this."""
        return bool(self._ready)

    def stored(self, store: QueueStore) -> None:
        """More of a queue is durable."""
        if len(store.small) >= MERGE_AT:
            self._waiting[store] = None
            self._go_on()

    def _go_on(self) -> None:
        while self._waiting and not (self._reading or self._ready or self._under_way):
            store = next(iter(self._waiting))
            del self._waiting[store]
            groups = groups_of(store.take_small(READ_MAX))
            groups = [group for group in groups if len(group) >= GROUP_MIN]
            if groups:
                self._reading = True
                keys = [one.key(store.number).encode() for one in chain.from_iterable(groups)]
                self._read(keys, partial(self._found, store, groups))

    def _found(
        self, store: QueueStore, groups: list[list[Chunk]], values: Sequence[Value | None]
    ) -> None:
        self._reading = False
        at = 0
        for group in groups:
            found = values[at : at + len(group)]
            at += len(group)
            sound = [value for value in found if value is not None]
            if len(sound) == len(group):
                self._ready.append(_merged(store, group, sound))
        self._go_on()

    def gather(self) -> Writes:
        """Return what the commit that is made now has of this; `committed` or `failed` follows."""
        writes: Writes = []
        ready, self._ready = self._ready, []
        for one in ready:
            if all(map(one.store.has, one.chunks)):
                self._under_way.append(one)
                found = _replace(one)
                one.keys = [key for key, _ in found]
                writes += found
        return writes

    def committed(self) -> None:
        """What was gathered is durable."""
        done, self._under_way = self._under_way, []
        for one in done:
            one.store.replaced(one.chunks, one.merged)
        self._go_on()

    def failed(self) -> list[bytes]:
        """What was gathered is not written, nor is it to be; return its keys."""
        keys = []
        undone, self._under_way = self._under_way, []
        for one in undone:
            keys += one.keys
            one.store.kept_apart(one.chunks)
        return keys


def groups_of(chunks: list[Chunk]) -> list[list[Chunk]]:
    """Return those, ascending, that can become one chunk each, in groups."""
    groups: list[list[Chunk]] = []
    count = size_bytes = 0
    for chunk in chunks:
        last = groups[-1][-1] if groups else None
        count += chunk.count
        size_bytes += chunk.size_bytes
        if (
            last is None
            or last.last + 1 != chunk.first
            or (last.generation, last.lasting) != (chunk.generation, chunk.lasting)
            or count > CHUNK_MESSAGES_MAX
            or size_bytes > CHUNK_BYTES_MAX
        ):
            groups.append([])
            count, size_bytes = chunk.count, chunk.size_bytes
        groups[-1].append(chunk)
    return groups


def _merged(store: QueueStore, chunks: list[Chunk], values: list[Value]) -> _Merge:
    """Raises ValueError where a value is not that of a chunk."""
    head = chunks[0]
    count = sum(chunk.count for chunk in chunks)
    merged = Chunk(head.first, count, head.generation, head.lasting)
    merged.size_bytes = sum(chunk.size_bytes for chunk in chunks)
    runs = _coalesced(chain.from_iterable(map(decode_runs, values)))
    return _Merge(store, chunks, merged, encode_runs(runs))


def _coalesced(runs: Iterable[ChunkRun]) -> list[ChunkRun]:
    """Return the same messages, those of one route that never expire in one run."""
    found: list[ChunkRun] = []
    for run, dues in runs:
        if found and not dues and not found[-1][1] and found[-1][0][:3] == run[:3]:
            found[-1][0][3].extend(run[3])
        else:
            found.append((run, dues))
    return found


def _replace(one: _Merge) -> Writes:
    """Return what puts one chunk in the place of many. Its holes stand where those of the first."""
    number, merged = one.store.number, one.merged
    writes: Writes = []
    for chunk in one.chunks:
        chunk.merging = True
        writes.append((chunk.key(number).encode(), None))
        writes.append((holes_key(number, chunk.first, chunk.generation), None))
    writes.append((merged.key(number).encode(), one.value))
    merged.punch(holes_of(one.chunks))
    if merged.holes:
        key = holes_key(number, merged.first, merged.generation)
        writes.append((key, encode_holes(merged.holes)))
    return writes
