"""A mirror of one queue: it follows the leader's stream, and decides nothing.

It applies records in order and answers with the number it has come to (see `cluster.leader` for
the protocol, race by race). At the beginning of a stream it makes a new replica beside the one it
has: out of the messages that both have, those that are copied, and what the stream brings. Only
when that is complete does it take the place of the old one. Until then the old one counts, for it
holds all that was ever confirmed, and fits together; so if this node is made the leader meanwhile,
`take_replica` gives the old one still.

mirror that lost the thread. After a new epoch or a broken link, `Begin` tells the mirror exactly
which positions the leader holds, and the mirror asks for what it lacks (`Lacked`). It is copied in
the background, in chunks, within the same stream: what is removed meanwhile is not copied or
removed again, because order decides. A position names one message for ever, so what both hold needs
no copying. What the leader lacks it has removed, as far as both hold prefixes of one stream, and
is gone here too; beyond that it may never have had it, and then it stays part of the old replica,
whose numbers count it as taken. So `Begin` says of which epoch, and how long, the prefix was that
the leader began with.

What is persistent goes to the node's store as it comes (`cluster.queue_store`), where both replicas
lie side by side: what is only of the new one has a later generation. The one that counts is the one
that is described there.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from rabbitry.broker.message import Routes
from rabbitry.broker.position_set import PositionSet
from rabbitry.broker.positions import united, within, without
from rabbitry.cluster.chunks import Kept
from rabbitry.cluster.paging import NOTHING_UNWRITTEN, Unwritten
from rabbitry.cluster.queue_records import (
    Applied,
    Begin,
    Copied,
    Counted,
    Enqueued,
    Lacked,
    Range,
    Record,
    Removed,
    ToMirror,
)
from rabbitry.cluster.queue_store import QueueStore
from rabbitry.cluster.replica import Replica


class QueueMirror:
    """What this node holds of a queue that another leads. `tell` sends a record to the leader.

    `store` is None for a queue of which nothing is kept.
    """

    leads = False

    def __init__(
        self,
        queue: int,
        epoch: int,
        routes: Routes,
        tell: Callable[[int, Record], None],
        store: QueueStore | None = None,
        held: Replica | None = None,
    ) -> None:
        self.number = queue
        self.epoch = epoch
        self.whole = False  # the queue needs all its messages in memory when this one leads
        self.sequence = 0
        self.begun = False  # in this epoch: the stream has started
        self.held = held or Replica()
        self._coming: Replica | None = None  # what is made in the place of `held`
        self._fresh = False  # `held` was not in sync, so whatever has come is better
        self._routes = routes
        self._tell = tell
        self._told = (0, 0)
        self._store = store
        # What the store had been given when the stream had come to a number, until it is durable.
        self._unstored: deque[tuple[int, int]] = deque()
        self._paging = False
        self._unwritten = NOTHING_UNWRITTEN
        self._stored = 0  # the number through which the store has all
        if store is not None:
            store.describe = self._describe

    def _describe(self) -> Kept:
        kept = self.held.describe()
        kept.whole = self.whole
        return kept

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
        replica = self.held
        if self._coming is not None and self._fresh:
            replica = self._coming
            replica.origins = {}
            replica.rejections = {}
        self._keep_only([replica])
        return replica

    def follow(self, epoch: int) -> None:
        """A new leader was named: what the old one still says does not count any more."""
        if epoch != self.epoch:
            self.epoch = epoch
            self.begun = False
            self._coming = None

    def forget_origin(self, origin: str) -> None:
        """That process has ended and will never publish again."""
        for replica in self._replicas():
            replica.forget_origin(origin)

    def receive(self, record: ToMirror) -> None:
        """Apply a record of the stream, of this epoch."""
        if isinstance(record, Begin):
            self._begin(record)
        elif self.begun:
            self.sequence = record.sequence
            self.current.apply(record, self._routes)
            if self._store is not None:
                self._keep(self._store, record)
            if self._coming is not None:
                if isinstance(record, Removed):
                    self.held.remove(record.ranges)
                elif isinstance(record, Copied) and record.complete:
                    self.held, self._coming = self._coming, None
                    self._keep_only([self.held])
                    if self._store is not None:
                        self._store.describe_again()

    def answer(self) -> None:
        """Tell the leader how far we have come, if that is news. Called once for each step."""
        if not self.begun:
            return
        told = self.sequence, self._stored_through()
        if told != self._told:
            self._told = told
            self._tell(self.number, Applied(self.number, self.epoch, *told))

    # --- memory -----------------------------------------------------------------------------------

    def memory_bytes(self) -> int:
        """Return about how much memory its messages take."""
        if self.whole:
            return 0  # none of it could go
        return sum(replica.memory_bytes() for replica in self._replicas())

    def page(self, read_bytes: int) -> None:
        """Drop from memory what the store has, now and from now on."""
        store = self._store
        if store is None or self.whole:
            return
        replica = self.current
        if not self._paging:
            self._paging = True
            self._unwritten = Unwritten(replica.memory_ranges(), store)
        for one in self._replicas():
            one.drop_from_memory(store.stored_within(one.memory_ranges()))
        count = read_bytes * len(replica.messages) // max(replica.memory_bytes(), 1)
        self._unwritten.write(max(count, 1), replica.in_memory, replica.expiries)

    def stored(self) -> None:
        """More of what the store was given is durable."""
        if self._paging and self._store is not None and not self.whole:
            for replica in self._replicas():
                replica.drop_from_memory(self._store.just_stored)

    def _replicas(self) -> list[Replica]:
        return [self.held] if self._coming is None else [self.held, self._coming]

    # --- the beginning of a stream ----------------------------------------------------------------

    def _begin(self, record: Begin) -> None:
        """Start a new replica with what we share with the leader, and ask for what we lack."""
        store = self._store
        if store is not None and store.damaged:
            store.discard()
        held = self.held
        before = held.settled_before(record)
        if before:
            held.remove(without(_before(held.positions.ranges(), before), record.ranges))
        known, messages, dues = held.positions.ranges(), held.messages, held.expiries
        if self._coming is not None:  # the link broke while messages were being copied
            known = united(known, self._coming.positions.ranges())
            messages, dues = messages | self._coming.messages, dues | self._coming.expiries
        coming = Replica()
        coming.epoch = record.epoch
        coming.next_position = record.next_position
        coming.seen_through = record.seen_through
        coming.origins = dict(record.origins)
        coming.rejections = dict(record.rejections)
        coming.counts = dict(record.counts)
        coming.consumed = record.consumed
        shared = within(record.ranges, known)
        coming.positions = PositionSet(shared)
        coming.messages = {at: one for at, one in messages.items() if at in coming.positions}
        coming.expiries = {at: due for at, due in dues.items() if at in coming.messages}
        ranges: list[Range] = without(record.ranges, shared)
        self._coming, self._fresh = coming, record.fresh
        self._keep_only([self.held, coming])
        if store is not None:
            coming.generation = store.begin_generation()
        self.begun = True
        self.sequence = record.sequence
        self._stored = -1
        self._unstored.clear()
        self._told = (self.sequence, self._stored_through())
        self._tell(self.number, Lacked(self.number, self.epoch, record.sequence, ranges))

    # --- the store --------------------------------------------------------------------------------

    def _keep(self, store: QueueStore, record: ToMirror) -> None:
        """Have the store follow a record of the stream."""
        if isinstance(record, Enqueued):
            store.enqueue(record.first, record.run, record.expiries, everything=self._paging)
        elif isinstance(record, Removed):
            store.remove(record.ranges)
        elif isinstance(record, Copied):
            dues = dict(record.expiries)
            for position, exchange, routing_key, flags, frames in record.entries:
                due = dues.get(position)
                run = exchange, routing_key, flags, [frames]
                store.enqueue(position, run, () if due is None else (due,), self._paging)
        elif isinstance(record, Counted):
            store.describe_again()

    def _keep_only(self, replicas: list[Replica]) -> None:
        """Have the store forget what is in none of these."""
        store = self._store
        if store is None:
            return
        stale = store.ranges()
        for replica in replicas:
            stale = without(stale, replica.positions.ranges())
        store.remove(stale)

    def _stored_through(self) -> int:
        """Return the number of the stream through which the store has what it must have."""
        store = self._store
        if store is None or store.is_durable:
            self._unstored.clear()
            self._stored = self.sequence
            return self._stored
        unstored = self._unstored
        if unstored and unstored[-1][0] == store.written:
            unstored.pop()
        unstored.append((store.written, self.sequence))
        while unstored[0][0] <= store.durable:
            self._stored = unstored.popleft()[1]
        return self._stored


def _before(ranges: list[Range], position: int) -> list[Range]:
    return [(first, min(last, position - 1)) for first, last in ranges if first < position]
