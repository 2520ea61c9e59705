"""A replica: what one node holds of a queue that another leads, or led.

A replica is a prefix of the stream of one leader, named by that leader's epoch: the positions of
the messages, those of them that are in memory (the others are in the node's store only), how far
they may have been seen, and the last number taken from each publishing node. All of it belongs
together: a new leader that had the messages of one prefix and the numbers of a longer one would
take publishes that it lacks for publishes that it holds.

Owns applying the stream's records; when a replica counts and where it comes from is
`cluster.mirror`.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import Final

from rabbitry.broker.backlog import memory_bytes_of
from rabbitry.broker.message import Message, Routes
from rabbitry.broker.position_set import PositionSet
from rabbitry.broker.positions import forget, ranges_of
from rabbitry.broker.waiting import note_expiries
from rabbitry.cluster.chunks import Kept
from rabbitry.cluster.queue_records import (
    Announced,
    Begin,
    Counted,
    Enqueued,
    Range,
    Removed,
    StreamRecord,
)

# A leader gives out so many positions at most; its successor's lie behind them. So a position names
# one message for ever, whoever has led and whatever a mirror may have of it.
POSITIONS_OF_EPOCH: Final = 1 << 40

# What an entry of a dictionary takes besides its value, and how many are looked at for an estimate.
ENTRY_BYTES: Final = 100
SAMPLED_MESSAGES: Final = 64


def first_position_of(epoch: int) -> int:
    """Return the first position that the leader of an epoch gives out."""
    return (epoch - 1) * POSITIONS_OF_EPOCH + 1


class Replica:
    """An empty one is a prefix of every stream; its epoch is 0."""

    __slots__ = (
        "consumed",
        "counts",
        "epoch",
        "expiries",
        "generation",
        "messages",
        "next_position",
        "origins",
        "positions",
        "rejections",
        "seen_through",
    )

    def __init__(self) -> None:
        self.epoch = 0
        self.generation = 0  # of its chunks in the store, at most
        self.positions = PositionSet()  # of all its messages
        self.messages: dict[int, Message] = {}  # those in memory
        self.next_position = 1
        self.seen_through = 0
        self.origins: dict[str, int] = {}
        # By publishing node: numbers that were rejected, as far as it may not have heard of it.
        self.rejections: dict[str, list[Range]] = {}
        self.counts: dict[int, int] = {}  # position -> how often the message came back
        self.expiries: dict[int, int] = {}  # position -> when the message expires
        self.consumed = False  # the queue has had a consumer

    def forget_origin(self, origin: str) -> None:
        """That process has ended and will never publish again."""
        self.origins.pop(origin, None)
        self.rejections.pop(origin, None)

    def entries(self) -> list[tuple[int, Message]]:
        """Return what is in memory as (position, message), in order of position."""
        return sorted(self.messages.items(), key=_position_of)

    def memory_ranges(self) -> list[Range]:
        """Return the positions of what is in memory, ascending."""
        return ranges_of(sorted(self.messages))

    def apply(self, record: StreamRecord, routes: Routes) -> None:
        """Take the next record of the stream."""
        if isinstance(record, Enqueued):
            messages = routes.messages(record.run)
            if record.expiries:
                note_expiries(self.expiries, record.first, len(messages), record.expiries)
            self.next_position = record.first + len(messages)
            self.positions.add(record.first, self.next_position - 1)
            self.messages.update(
                zip(range(record.first, self.next_position), messages, strict=True)
            )
            self.origins[record.origin] = record.last
            if record.rejected or record.origin in self.rejections:
                note_rejected(self.rejections, record.origin, record.rejected, record.settled)
        elif isinstance(record, Removed):
            self.remove(record.ranges)
        elif isinstance(record, Announced):
            self.seen_through = record.through
            self.consumed = record.consumed
        elif isinstance(record, Counted):
            self.counts.update(record.counts)
        else:
            for position, exchange, routing_key, flags, frames in record.entries:
                self.messages[position] = (routes.get(exchange, routing_key, flags), frames)
                self.positions.add(position, position)
            self.expiries.update(record.expiries)

    def remove(self, ranges: list[Range]) -> None:
        """Forget the messages in these ranges."""
        self.positions.remove(ranges)
        forget(self.counts, ranges)
        self.drop_from_memory(ranges)

    def drop_from_memory(self, ranges: Iterable[Range]) -> None:
        """Forget of these positions what the store has too."""
        forget(self.messages, ranges)
        forget(self.expiries, ranges)

    def in_memory(self, first: int, last: int) -> list[tuple[int, list[Message]]]:
        """Return what is in memory from position `first` to `last`: (first position, run)."""
        messages = self.messages
        runs = ranges_of([at for at in range(first, last + 1) if at in messages])
        return [(one, [messages[at] for at in range(one, end + 1)]) for one, end in runs]

    def memory_bytes(self) -> int:
        """Return about how much memory its messages take: some of them are looked at."""
        sampled = list(islice(self.messages.values(), SAMPLED_MESSAGES))
        if not sampled:
            return 0
        size_bytes = memory_bytes_of(sampled) // len(sampled) + ENTRY_BYTES
        return size_bytes * len(self.messages)

    def settled_before(self, begin: Begin) -> int:
        """Return before which position what that leader lacks was removed by it.

        Where this replica and the leader's beginnings are prefixes of one stream, the leader has
        had everything as far as both go. It may never have had what lies beyond, or is of a stream
        that it does not know.
        """
        if self.epoch == begin.epoch:
            return self.next_position
        if self.epoch == begin.follows:
            return min(self.next_position, begin.first_position)
        return 0

    def describe(self) -> Kept:
        """Return what the store keeps of it besides its messages."""
        return Kept(
            self.epoch,
            self.generation,
            self.next_position,
            self.seen_through,
            self.consumed,
            dict(self.origins),
            dict(self.rejections),
            list(self.counts.items()),
        )

    @classmethod
    def of(cls, kept: Kept) -> Replica:
        """Return the replica that was kept, without its messages."""
        replica = cls()
        replica.epoch = kept.epoch
        replica.generation = kept.generation
        replica.next_position = kept.next_position
        replica.seen_through = kept.seen_through
        replica.consumed = kept.consumed
        replica.origins = kept.origins
        replica.rejections = kept.rejections
        replica.counts = dict(kept.counts)
        return replica


def note_rejected(
    rejections: dict[str, list[Range]], origin: str, rejected: list[Range], settled: int
) -> None:
    """Note numbers that were rejected, and forget those that their publisher has heard of."""
    kept = [one for one in rejections.get(origin, ()) if one[1] > settled] + rejected
    if kept:
        rejections[origin] = kept
    else:
        rejections.pop(origin, None)


def _position_of(entry: tuple[int, Message]) -> int:
    return entry[0]
