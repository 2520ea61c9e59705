"""What a node's store has of one queue, or is about to have: messages, and their replica.

The leader or the mirror of the queue tells what comes (`enqueue`) and goes (`remove`), and
describes its replica when asked (`describe`); `cluster.node_store` asks for what is to be written
(`gather`) when the commit before is durable, and says when that is so for this one (`stored`). So
whatever comes while a commit is under way lies in one chunk, and what has gone again by then is
never written.

`written` counts what was given, `durable` tells how far of that is safe: what has to wait for the
store notes the one and waits for the other. Removals are not counted: one that a crash forgets
means that a message comes again.

A position names one message for ever, so two replicas of the queue may share chunks: the one that
counts, and one that a mirror is making beside it (`cluster.mirror`). What belongs to the second
alone has a later *generation* than `Kept.generation`; when the second takes the place of the first,
one commit writes the new `Kept` and removes what only the first had.

Invariants: chunks do not overlap; `_firsts` is sorted; a chunk has at least one message that is
held, unless a commit is about to merge it; a chunk in memory (`runs`) is one that is not durable
yet.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from operator import attrgetter
from typing import Final

from rabbitry.broker.message import Message, MessagesAt, Routes, Run
from rabbitry.broker.persistence import persistent_parts
from rabbitry.broker.positions import forget, joined, united, within, without
from rabbitry.broker.waiting import note_expiries
from rabbitry.cluster.chunk import CHUNK_BYTES_MAX, CHUNK_MESSAGES_MAX, Chunk, holes_of
from rabbitry.cluster.chunks import (
    ChunkKey,
    ChunkRun,
    Kept,
    decode_runs,
    encode_holes,
    encode_kept,
    encode_runs,
    holes_key,
    kept_key,
)
from rabbitry.cluster.queue_records import Range
from rabbitry.machine import Value

Writes = list[tuple[bytes, bytes | None]]

_HEAD_MAX: Final = 1024


class QueueStore:
    """See the module. `touched` is called when there is something to write."""

    def __init__(self, number: int, touched: Callable[[QueueStore], None]) -> None:
        self.number = number
        self.generation = 0  # of chunks that are written from now on
        self.written = 0
        self.durable = 0
        self.lasting = True  # what is persistent is there to stay
        self.just_stored: list[Range] = []  # what became durable with the last commit
        self.damaged = False  # nothing of what was found here can be vouched for
        self.describe: Callable[[], Kept] | None = None
        self.small: list[Chunk] = []  # durable, small, and not merged yet (`cluster.merging`)
        self._touched = touched
        self._firsts: list[int] = []  # from `_head` on; what lies before is gone
        self._head = 0
        self._chunks: dict[int, Chunk] = {}
        self._fresh: list[Chunk] = []  # not handed over yet
        self._under_way: list[Chunk] = []
        self._gathered = 0  # `written` when the commit under way was made
        self._gone: list[bytes] = []  # keys
        self._holed: dict[Chunk, None] = {}  # whose holes are to be written

    # --- what was found at start ------------------------------------------------------------------

    def found(self, key: ChunkKey) -> None:
        """Take a chunk that the store has. Call it in order of keys."""
        chunk = Chunk(key.first, key.count, key.generation, key.lasting)
        self._firsts.append(key.first)
        self._chunks[key.first] = chunk

    def found_holes(self, first: int, generation: int, holes: list[Range]) -> bool:
        """Take the holes of a chunk that was found; False: there is no such chunk."""
        chunk = self._chunks.get(first)
        if chunk is None or chunk.generation != generation:
            return False
        chunk.punch(holes)
        return True

    # --- what is held -----------------------------------------------------------------------------

    def ranges(self) -> list[Range]:
        """Return the positions that are held here, as ranges."""
        firsts = self._firsts[self._head :]
        return joined(part for first in firsts for part in self._chunks[first].ranges())

    def stored_within(self, wanted: Iterable[Range]) -> list[Range]:
        """Return which of these positions, ascending, are durable here.

        What it costs depends on them, not on how much there is.
        """
        return self._within(wanted, durable_only=True)

    def held_within(self, wanted: Iterable[Range]) -> list[Range]:
        """Return which of these positions, ascending, are held here, durable or soon to be."""
        return self._within(wanted, durable_only=False)

    def _within(self, wanted: Iterable[Range], *, durable_only: bool) -> list[Range]:
        held: list[Range] = []
        for first, last in wanted:
            for chunk in self._overlapping(first, last):
                if not (durable_only and chunk.runs is not None):
                    held += within(chunk.ranges(), [(first, last)])
        return held

    def chunk_keys(self, first: int, last: int) -> list[bytes]:
        """Return the keys of the chunks that hold any of these positions and are in the store."""
        return [
            chunk.key(self.number).encode()
            for chunk in self._overlapping(first, last)
            if chunk.runs is None
        ]

    def holds(self, key: ChunkKey) -> bool:
        """Whether this very chunk is here still: that of the key, and no merged one."""
        chunk = self._chunks.get(key.first)
        return chunk is not None and chunk.key(self.number) == key

    def messages_in(
        self, key: ChunkKey, value: Value, routes: Routes
    ) -> tuple[list[MessagesAt], dict[int, int]]:
        """Return what is held of a chunk's messages, and when they expire, out of its value.

        They may lie in another chunk by now. Raises ValueError where the value is not that of the
        chunk.
        """
        whole = [(key.first, key.first + key.count - 1)]
        held: list[Range] = []
        for chunk in self._overlapping(*whole[0]):
            held += within(chunk.ranges(), whole)
        if not held:
            return [], {}  # gone since it was asked for
        runs = decode_runs(value)
        if sum(len(run[3]) for run, _ in runs) != key.count:
            raise ValueError("not the messages of this chunk")
        return _messages_in(key.first, held, runs, routes)

    # --- what comes and goes ----------------------------------------------------------------------

    def enqueue(
        self, first: int, run: Run, expiries: Sequence[int] = (), everything: bool = False
    ) -> None:
        """Keep what is persistent of a run whose first message has this position.

        With `everything`, keep the rest too, until the process ends.
        """
        contents = run[3]
        at = 0
        for start, end in persistent_parts(run[2], contents) if self.lasting else ():
            if everything and at < start:
                self._keep_part(first, run, expiries, at, start, lasting=False)
            self._keep_part(first, run, expiries, start, end, lasting=True)
            at = end
        if everything and at < len(contents):
            self._keep_part(first, run, expiries, at, len(contents), lasting=False)

    def _keep_part(
        self, first: int, run: Run, expiries: Sequence[int], start: int, end: int, *, lasting: bool
    ) -> None:
        if end - start < len(run[3]):
            run, expiries = _part(run, expiries, start, end)
        self.keep(first + start, run, list(expiries), lasting)

    def keep(self, first: int, run: Run, expiries: list[int], lasting: bool = True) -> None:
        """Keep all messages of a run."""
        if self._firsts and first <= self._chunks_end():
            self._keep_again(first, run, expiries, lasting)
        else:
            self._keep_new(first, run, expiries, lasting)

    def _chunks_end(self) -> int:
        if self._head == len(self._firsts):
            return 0
        return self._chunks[self._firsts[-1]].last

    def _keep_again(self, first: int, run: Run, expiries: list[int], lasting: bool) -> None:
        """Keep what may have been here: a leader whose store missed its removal has it still.

        A position names one message for ever, so in the chunk that had it it is there to be held
        again.
        """
        contents = run[3]
        at = 0
        for chunk in list(self._overlapping(first, first + len(contents) - 1)):
            start, end = max(chunk.first - first, 0), min(chunk.last - first + 1, len(contents))
            if start > at:
                self._keep_new(first + at, *_part(run, expiries, at, start), lasting)
            chunk.punch(without(chunk.holes, [(first + start, first + end - 1)]))
            self._holed[chunk] = None
            at = end
        if at < len(contents):
            self._keep_new(first + at, *_part(run, expiries, at, len(contents)), lasting)
        self.written += 1
        self._touched(self)

    def _keep_new(self, first: int, run: Run, expiries: list[int], lasting: bool) -> None:
        contents = run[3]
        count, size_bytes = len(contents), sum(map(len, contents))
        chunk = self._fresh[-1] if self._fresh else None
        if (
            chunk is None
            or chunk.first + chunk.count != first
            or chunk.size_bytes + size_bytes > CHUNK_BYTES_MAX
            or chunk.count + count > CHUNK_MESSAGES_MAX
            or chunk.generation != self.generation
            or chunk.lasting != lasting
            or not chunk.live
        ):
            chunk = self._open_chunk(first, lasting)
        assert chunk.runs is not None
        chunk.runs.append((run, expiries))
        chunk.count += count
        chunk.live += count
        chunk.size_bytes += size_bytes
        self.written += 1
        self._touched(self)

    def _open_chunk(self, first: int, lasting: bool) -> Chunk:
        chunk = Chunk(first, 0, self.generation, lasting)
        chunk.runs, chunk.written = [], False
        self._fresh.append(chunk)
        firsts = self._firsts
        if not firsts or first > firsts[-1]:
            firsts.append(first)
        else:
            firsts.insert(bisect_left(firsts, first, self._head), first)
        self._chunks[first] = chunk
        return chunk

    def remove(self, ranges: Sequence[Range]) -> None:
        """Messages are no more, or never were here."""
        if not self._chunks:
            return
        touched = False
        for first, last in ranges:
            for chunk in list(self._overlapping(first, last)):
                touched = True
                self._remove_of(chunk, max(first, chunk.first), min(last, chunk.last))
        if touched:
            self._touched(self)

    def _remove_of(self, chunk: Chunk, first: int, last: int) -> None:
        if first == chunk.first and last == chunk.last and not chunk.merging:
            self._forget(chunk)
            return
        chunk.punch(united(chunk.holes, [(first, last)]))
        if chunk.live or chunk.merging:
            self._holed[chunk] = None
        else:
            self._forget(chunk)

    def _forget(self, chunk: Chunk) -> None:
        """Nothing of a chunk is held any more."""
        chunk.live = 0
        del self._chunks[chunk.first]
        self._unlist(chunk.first)
        holed = chunk in self._holed
        self._holed.pop(chunk, None)
        if chunk.written:
            self._gone.append(chunk.key(self.number).encode())
            if chunk.holes or holed:
                self._gone.append(holes_key(self.number, chunk.first, chunk.generation))

    def _unlist(self, first: int) -> None:
        """Take a chunk out of the order; the first one, as it mostly is, without moving others."""
        firsts = self._firsts
        if firsts[self._head] != first:
            del firsts[bisect_left(firsts, first, self._head)]
            return
        self._head += 1
        if self._head > _HEAD_MAX and self._head * 2 > len(firsts):
            del firsts[: self._head]
            self._head = 0

    def discard(self) -> None:
        """What was found here is damaged, and another replica takes its place."""
        self.damaged = False
        self.remove(self.ranges())

    def describe_again(self) -> None:
        """What `describe` tells has changed, and is to be written."""
        self.written += 1
        self._touched(self)

    def begin_generation(self) -> int:
        """A replica is made beside the one that counts; return the number of its generation."""
        self.generation += 1
        return self.generation

    def drop(self) -> None:
        """The queue is no more, or not here: nothing of it stays in the store."""
        for chunk in list(self._chunks.values()):
            self._forget(chunk)
        self.describe = None
        self._touched(self)

    # --- into the store ---------------------------------------------------------------------------

    @property
    def is_durable(self) -> bool:
        """Whether the store has all that it was given."""
        return self.durable == self.written

    def gather(self) -> Writes:
        """Return what is to be written now; `stored` or `failed` follows."""
        writes: Writes = [(key, None) for key in self._gone]
        self._gone = []
        for chunk in self._fresh:
            if chunk.live:
                assert chunk.runs is not None
                writes.append((chunk.key(self.number).encode(), encode_runs(chunk.runs)))
                chunk.written = True
                self._under_way.append(chunk)
        self._fresh = []
        for chunk in self._holed:
            key = holes_key(self.number, chunk.first, chunk.generation)
            writes.append((key, encode_holes(chunk.holes) if chunk.holes else None))
        self._holed = {}
        kept = None if self.describe is None else encode_kept(self.describe())
        writes.append((kept_key(self.number), kept))
        self._gathered = self.written
        return writes

    def stored(self) -> None:
        """What was gathered is durable."""
        self.just_stored = [(chunk.first, chunk.last) for chunk in self._under_way]
        self.just_stored.sort()
        for chunk in self._under_way:
            chunk.runs = None
            if chunk.is_small:
                self.small.append(chunk)
        self._under_way = []
        self.durable = self._gathered

    # --- merging: see `cluster.merging` -----------------------------------------------------------

    def has(self, chunk: Chunk) -> bool:
        """Whether this chunk is one of those that count."""
        return self._chunks.get(chunk.first) is chunk

    def take_small(self, most: int) -> list[Chunk]:
        """Return small chunks that nobody has looked at, those that are left, ascending."""
        found, self.small = self.small[:most], self.small[most:]
        return sorted(filter(self.has, found), key=_first_of)

    def replaced(self, chunks: list[Chunk], merged: Chunk) -> None:
        """One chunk is durable in the place of these. What has changed since is written next."""
        if not self.has(chunks[0]):  # none is: the queue is no more
            self._gone.append(merged.key(self.number).encode())
            self._gone.append(holes_key(self.number, merged.first, merged.generation))
            self._touched(self)
            return
        at = bisect_left(self._firsts, merged.first, self._head)
        self._firsts[at : at + len(chunks)] = [merged.first]
        for chunk in chunks:
            del self._chunks[chunk.first]
            self._holed.pop(chunk, None)
        self._chunks[merged.first] = merged
        holes = holes_of(chunks)
        if holes != merged.holes:
            merged.punch(holes)
            self._holed[merged] = None
            if not merged.live:
                self._forget(merged)
            self._touched(self)

    def kept_apart(self, chunks: list[Chunk]) -> None:
        """These were not merged. Their holes may not have been written either."""
        left = [chunk for chunk in chunks if self.has(chunk)]
        for chunk in left:
            chunk.merging = False
            self._holed[chunk] = None
            if not chunk.live:
                self._forget(chunk)
        self.small = [*filter(self.has, left), *self.small]
        self._touched(self)

    def _overlapping(self, first: int, last: int) -> Iterator[Chunk]:
        firsts = self._firsts
        at = max(bisect_right(firsts, first, self._head) - 1, self._head)
        while at < len(firsts) and firsts[at] <= last:
            chunk = self._chunks[firsts[at]]
            if chunk.last >= first:
                yield chunk
            at += 1


def _messages_in(
    first: int, held: list[Range], runs: list[ChunkRun], routes: Routes
) -> tuple[list[MessagesAt], dict[int, int]]:
    messages: list[Message] = []
    expiries: dict[int, int] = {}
    for run, dues in runs:
        if dues:
            note_expiries(expiries, first + len(messages), len(run[3]), dues)
        messages += routes.messages(run)
    whole = (first, first + len(messages) - 1)
    if held == [whole]:
        return [(first, messages)], expiries
    forget(expiries, without([whole], held))
    return [(start, messages[start - first : end + 1 - first]) for start, end in held], expiries


def _part(run: Run, expiries: Sequence[int], start: int, end: int) -> tuple[Run, list[int]]:
    dues = expiries[start:end] if len(expiries) > 1 else expiries
    return (*run[:3], run[3][start:end]), list(dues)


_first_of = attrgetter("first")
