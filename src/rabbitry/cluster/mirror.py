"""A mirror of one queue: it follows the leader's stream, and decides nothing.

It applies records in order and answers with the number it has come to (see `cluster.leader` for
the protocol, race by race). At the beginning of a stream it makes a new replica beside the one it
has: out of the messages that both have, those that are copied, and what the stream brings. Only
when that is complete does it take the place of the old one. Until then the old one counts, for it
holds all that was ever confirmed, and fits together; so if this node is made the leader meanwhile,
`take_replica` gives the old one still.
"""

from __future__ import annotations

from collections.abc import Callable

from rabbitry.broker.message import Message, Routes
from rabbitry.broker.positions import ranges_of
from rabbitry.cluster.queue_records import (
    Applied,
    Begin,
    Copied,
    Lacked,
    Range,
    Record,
    Removed,
    ToMirror,
)
from rabbitry.cluster.replica import Replica


class QueueMirror:
    """What this node holds of a queue that another leads. `tell` sends a record to the leader."""

    def __init__(
        self, queue: int, epoch: int, routes: Routes, tell: Callable[[int, Record], None]
    ) -> None:
        self.number = queue
        self.epoch = epoch
        self.sequence = 0
        self.begun = False  # in this epoch: the stream has started
        self.held = Replica()
        self._coming: Replica | None = None  # what is made in the place of `held`
        self._common_before = 0  # as far as positions in both name the same message
        self._fresh = False  # `held` was not in sync, so whatever has come is better
        self._routes = routes
        self._tell = tell
        self._told = 0

    @property
    def complete(self) -> bool:
        """Whether what was lacking at the start of the stream has been copied."""
        return self.begun and self._coming is None

    @property
    def current(self) -> Replica:
        """What the stream has brought so far, complete or not."""
        return self.held if self._coming is None else self._coming

    def take_replica(self) -> Replica:
        """Return what a new leader takes over (see the module), and end.

        A mirror that never was in sync is made the leader only where nobody is left who was. Then
        it gives what it has, and forgets what was accepted: a message twice is better than none.
        """
        if self._coming is not None and self._fresh:
            self._coming.origins = {}
            self._coming.rejections = {}
            return self._coming
        return self.held

    def follow(self, epoch: int) -> None:
        """A new leader was named: what the old one still says does not count any more."""
        if epoch != self.epoch:
            self.epoch = epoch
            self.begun = False
            self._coming = None

    def forget_origin(self, origin: str) -> None:
        """That process has ended and will never publish again."""
        for replica in (self.held, self._coming):
            if replica is not None:
                replica.origins.pop(origin, None)
                replica.rejections.pop(origin, None)

    def receive(self, record: ToMirror) -> None:
        """Apply a record of the stream, of this epoch."""
        if isinstance(record, Begin):
            self._begin(record)
        elif self.begun:
            self.sequence = record.sequence
            self.current.apply(record, self._routes)
            if self._coming is not None:
                if isinstance(record, Removed):
                    self.held.remove(record.ranges, self._common_before)
                elif isinstance(record, Copied) and record.complete:
                    self.held, self._coming = self._coming, None

    def answer(self) -> None:
        """Tell the leader how far we have come, if that is news. Called once for each step."""
        if self.begun and self.sequence != self._told:
            self._told = self.sequence
            self._tell(self.number, Applied(self.number, self.epoch, self.sequence))

    def _begin(self, record: Begin) -> None:
        """Start a new replica with what we share with the leader, and ask for what we lack."""
        known = self._share(record)
        coming = Replica()
        coming.epoch = record.epoch
        coming.next_position = record.next_position
        coming.seen_through = record.seen_through
        coming.origins = dict(record.origins)
        coming.rejections = dict(record.rejections)
        coming.counts = dict(record.counts)
        coming.consumed = record.consumed
        ranges: list[Range] = record.ranges
        dues = self.current.expiries | self.held.expiries
        if known:
            lacking: list[int] = []
            for first, last in record.ranges:
                for position in range(first, last + 1):
                    message = known.get(position)
                    if message is None:
                        lacking.append(position)
                    else:
                        coming.messages[position] = message
            coming.expiries = {at: due for at, due in dues.items() if at in coming.messages}
            ranges = ranges_of(lacking)
        self._coming, self._fresh = coming, record.fresh
        self.begun = True
        self.sequence = self._told = record.sequence
        self._tell(self.number, Lacked(self.number, self.epoch, record.sequence, ranges))

    def _share(self, record: Begin) -> dict[int, Message]:
        """Return the messages that are the leader's too, after what it has removed is gone."""
        held, before = self.held, self.held.common_before(record)
        self._common_before = before
        shared: dict[int, Message] = {}
        for first, last in record.ranges:
            for position in range(first, min(last + 1, before)):
                message = held.messages.get(position)
                if message is not None:
                    shared[position] = message
        beyond = {one: message for one, message in held.messages.items() if one >= before}
        held.messages = shared | beyond
        if self._coming is not None and self._coming.epoch == record.epoch:
            # The link broke while this leader's messages were being copied.
            return self._coming.messages | shared
        return shared
