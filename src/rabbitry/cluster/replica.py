"""A replica: what one node holds of a queue that another leads, or led.

A replica is a prefix of the stream of one leader, named by that leader's epoch: the messages by
position, how far they may have been seen, and the last number taken from each publishing node. All
of it belongs together: a new leader that had the messages of one prefix and the numbers of a
longer one would take publishes that it lacks for publishes that it holds.

Owns applying the stream's records; when a replica counts and where it comes from is
`cluster.mirror`.
"""

from __future__ import annotations

from rabbitry.broker.message import Message, Routes
from rabbitry.broker.waiting import note_expiries
from rabbitry.cluster.queue_records import (
    Announced,
    Begin,
    Counted,
    Enqueued,
    Range,
    Removed,
    StreamRecord,
)


class Replica:
    """An empty one is a prefix of every stream; its epoch is 0."""

    __slots__ = (
        "consumed",
        "counts",
        "epoch",
        "expiries",
        "messages",
        "next_position",
        "origins",
        "rejections",
        "seen_through",
    )

    def __init__(self) -> None:
        self.epoch = 0
        self.messages: dict[int, Message] = {}
        self.next_position = 1
        self.seen_through = 0
        self.origins: dict[str, int] = {}
        # By publishing node: numbers that were rejected, as far as it may not have heard of it.
        self.rejections: dict[str, list[Range]] = {}
        self.counts: dict[int, int] = {}  # position -> how often the message came back
        self.expiries: dict[int, int] = {}  # position -> when the message expires
        self.consumed = False  # the queue has had a consumer

    def entries(self) -> list[tuple[int, Message]]:
        """Return what is held as (position, message), in order of position."""
        return sorted(self.messages.items(), key=_position_of)

    def apply(self, record: StreamRecord, routes: Routes) -> None:
        """Take the next record of the stream."""
        if isinstance(record, Enqueued):
            messages = routes.messages(record.run)
            if record.expiries:
                note_expiries(self.expiries, record.first, len(messages), record.expiries)
            self.next_position = record.first + len(messages)
            self.messages.update(
                zip(range(record.first, self.next_position), messages, strict=True)
            )
            self.origins[record.origin] = record.last
            if record.rejected or record.origin in self.rejections:
                note_rejected(self.rejections, record.origin, record.rejected, record.settled)
        elif isinstance(record, Removed):
            self.remove(record.ranges, self.next_position)
        elif isinstance(record, Announced):
            self.seen_through = record.through
            self.consumed = record.consumed
        elif isinstance(record, Counted):
            self.counts.update(record.counts)
        else:
            for position, exchange, routing_key, flags, frames in record.entries:
                self.messages[position] = (routes.get(exchange, routing_key, flags), frames)
            self.expiries.update(record.expiries)

    def remove(self, ranges: list[Range], before: int) -> None:
        """Forget the messages in these ranges whose position is less than `before`."""
        for held in (self.messages, self.expiries, self.counts):
            pop = held.pop
            for first, last in ranges if held else ():
                for position in range(first, min(last + 1, before)):
                    pop(position, None)

    def common_before(self, begin: Begin) -> int:
        """Return before which position a message here and one of that leader are the same one.

        Two prefixes of one stream agree as far as both go. Where this replica and the leader's
        beginnings are of different epochs, nothing is known.
        """
        if self.epoch == begin.epoch:
            return self.next_position
        if self.epoch == begin.follows:
            return min(self.next_position, begin.first_position)
        return 0


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
