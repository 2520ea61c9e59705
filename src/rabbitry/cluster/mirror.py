"""A mirror of one queue: the messages by position, kept as the leader's stream says.

A mirror decides nothing. It applies records in order and answers with the number it has come to; what
it holds is a prefix of what its leader did (see `cluster.leader` for the protocol, race by race).
When the coordinator makes it the leader, `entries`, `seen_through`, `next_position` and `origins` are
what a new `QueueLeader` takes over.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable

from rabbitry.broker.message import Message, Routes, messages_of
from rabbitry.broker.queue import ranges_of
from rabbitry.cluster.records import (
    Announced,
    Applied,
    Begin,
    Copied,
    Enqueued,
    Lacked,
    Range,
    Record,
    Removed,
    ToMirror,
)


class QueueMirror:
    """What this node holds of a queue that another leads. `tell` sends a record to the leader."""

    def __init__(
        self, queue: int, epoch: int, routes: Routes, tell: Callable[[int, Record], None]
    ) -> None:
        self.number = queue
        self.epoch = epoch
        self.seen_through = 0
        self.next_position = 1
        self.origins: dict[str, int] = {}
        self.sequence = 0
        self._messages: dict[int, Message] = {}
        self._routes = routes
        self._tell = tell
        self._told = 0
        self.begun = False  # in this epoch: the stream has started
        self.complete = False  # what was lacking at its start has been copied

    def __len__(self) -> int:
        return len(self._messages)

    def entries(self) -> list[tuple[int, Message]]:
        """Return what is held as (position, message), in order of position."""
        return sorted(self._messages.items(), key=_position_of)

    def follow(self, epoch: int) -> None:
        """A new leader was named: what the old one still says does not count any more."""
        if epoch != self.epoch:
            self.epoch = epoch
            self.begun = self.complete = False

    def forget_origin(self, origin: str) -> None:
        """That process has ended and will never publish again."""
        self.origins.pop(origin, None)

    def receive(self, record: ToMirror) -> None:
        """Apply a record of the stream, of this epoch."""
        if isinstance(record, Begin):
            self._begin(record)
            return
        if not self.begun:
            return
        self.sequence = record.sequence
        if isinstance(record, Enqueued):
            exchange, routing_key, contents = record.run
            messages = messages_of(self._routes.get(exchange, routing_key), contents)
            self.next_position = record.first + len(messages)
            self._messages.update(zip(range(record.first, self.next_position), messages))
            self.origins[record.origin] = record.last
        elif isinstance(record, Removed):
            pop = self._messages.pop
            for first, last in record.ranges:
                for position in range(first, last + 1):
                    pop(position, None)
        elif isinstance(record, Announced):
            self.seen_through = record.through
        elif isinstance(record, Copied):
            for position, exchange, routing_key, frames in record.entries:
                self._messages[position] = (self._routes.get(exchange, routing_key), frames)
            self.complete = self.complete or record.complete

    def _begin(self, record: Begin) -> None:
        """Start anew from what the leader holds: drop what it lacks, ask for what we lack."""
        if record.fresh:
            self._messages = {}
        else:
            keep = _Membership(record.ranges)
            self._messages = {
                position: message
                for position, message in self._messages.items()
                if position in keep
            }
        self.begun, self.complete = True, False
        self.sequence = self._told = record.sequence
        self.next_position = record.next_position
        self.seen_through = record.seen_through
        self.origins = dict(record.origins)
        lacking: list[int] = []
        whole: list[Range] = []
        held = self._messages
        if not held:
            whole = record.ranges
        else:
            for first, last in record.ranges:
                lacking += [one for one in range(first, last + 1) if one not in held]
        ranges = whole or ranges_of(lacking)
        self._tell(self.number, Lacked(self.number, self.epoch, record.sequence, ranges))

    def answer(self) -> None:
        """Tell the leader how far we have come, if that is news. Called once for each step."""
        if self.begun and self.sequence != self._told:
            self._told = self.sequence
            self._tell(self.number, Applied(self.number, self.epoch, self.sequence))


class _Membership:
    """Whether a position lies in one of many ascending ranges."""

    def __init__(self, ranges: list[Range]) -> None:
        self._firsts = [first for first, _ in ranges]
        self._lasts = [last for _, last in ranges]

    def __contains__(self, position: int) -> bool:
        index = bisect_right(self._firsts, position) - 1
        return index >= 0 and position <= self._lasts[index]


def _position_of(entry: tuple[int, Message]) -> int:
    return entry[0]
