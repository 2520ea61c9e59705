"""What waits in a queue to be delivered, in order.

Every message has a position (see `message`). Messages that nobody has seen are the *front* and the
*backlog*. The front, `ready`, is a deque whose positions follow one another, so that only the first
one's needs keeping (`head`). Where positions jump, because a new leader began at others, or lie in
the store only, the backlog begins: a line of stretches (see `backlog`), the first of which becomes
the front when that is empty. If it is in the store only, nothing goes out until it was loaded.

Messages that came back (nack with requeue, a closed channel) are `returned`: a heap by position.
What has been out was out from the head, so everything returned stands before everything ready, and
taking from `returned` first gives every message its original place (RabbitMQ: rabbit_variable_queue
requeue, "original position").

After a failover messages up to `seen_through` may have been out: they go out marked redelivered,
also those that nobody has seen from here.

In a queue with priorities (`x-max-priority`) the heap is ordered by priority first, and has all
messages that wait: nothing is `ready`, and `head` stands behind the last position. (RabbitMQ:
rabbit_priority_queue, a queue for each priority.)

Messages may expire (`expiries`: position -> microseconds since 1970, by the node's clock). They do
so at the head of the queue only, as in RabbitMQ: one that waits behind another goes when it comes
to the front. Whoever removes messages for good says so (`forget`).

`deliver_through` is the last position that may go out, for the first time or again. An unmirrored
queue has no limit; a mirrored one raises it as its mirrors learn what may be seen from now on (see
`cluster.leader`, which also says why).

Invariants: positions in `returned`, ready and in the backlog are disjoint and below
`next_position`; `ready` is empty only if the backlog is too, or begins in the store; if both are,
`head` is `next_position`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from heapq import heapify, heappop, heappush
from itertools import islice, repeat
from typing import Final

from rabbitry.broker.backlog import Backlog, memory_bytes_of
from rabbitry.broker.message import Message, MessagesAt
from rabbitry.broker.position_set import PositionSet
from rabbitry.broker.positions import (
    any_within,
    count_of,
    cut,
    forget,
    joined,
    ranges_of,
    without,
)
from rabbitry.broker.queue_settings import QueueSettings
from rabbitry.wire.frames import content_body_size_bytes
from rabbitry.wire.properties import PRIORITY, priority_of

# What the time at which one message expires takes in memory.
EXPIRY_BYTES: Final = 120
# So many of the messages that came back are looked at for an estimate of their size.
SAMPLED_RETURNED: Final = 64


class Waiting:
    """The part of a queue that the module tells of."""

    def __init__(self, settings: QueueSettings) -> None:
        self.priority_max = settings.priority_max
        self.ready: deque[Message] = deque()
        self.head = 1
        self.next_position = 1  # that the next message published will have
        self.seen_through = 0
        # heap: rank (see `_rank`), position, the mark `redelivered`, message
        self.returned: list[tuple[int, int, bool, Message]] = []
        self.deliver_through: int | None = None
        self.expiries: dict[int, int] = {}
        self.counts: dict[int, int] = {}  # position -> how often it came back
        self.weighs = settings.length_bytes_max is not None
        self.ready_bytes = 0  # sum of the bodies of what waits, where the queue `weighs`
        self._backlog = Backlog()
        self._loading: tuple[int, int] | None = None

    # --- what is in it ----------------------------------------------------------------------------

    @property
    def ready_count(self) -> int:
        """How many messages wait to be delivered, also those in the store only."""
        return len(self.ready) + len(self.returned) + self._backlog.count

    @property
    def memory_count(self) -> int:
        """How many of these messages are in memory."""
        return self.ready_count - self._backlog.stored_count

    @property
    def waiting_in_memory(self) -> int:
        """How many of them could go: what came back stays where it is."""
        return self.memory_count - len(self.returned)

    @property
    def needs_all_in_memory(self) -> bool:
        """Whether each message has to be looked at, so that none may be in the store only."""
        return self.priority_max > 0 or self.weighs

    def waiting_ranges(self) -> list[tuple[int, int]]:
        """Return the positions of the front and the backlog, ascending; neighbours may touch."""
        front = [(self.head, self.head + len(self.ready) - 1)] if self.ready else []
        return front + self._backlog.ranges()

    def waiting_runs(self) -> list[tuple[int, list[Message]]]:
        """Return the front and what of the backlog is in memory, as (first position, messages)."""
        front = [(self.head, list(self.ready))] if self.ready else []
        return front + [(first, list(messages)) for first, messages in self._backlog.runs()]

    def configure(self, settings: QueueSettings) -> None:
        """Follow settings that have changed. (What depends on arguments alone cannot.)"""
        self.weighs = settings.length_bytes_max is not None
        self._weigh()

    def _weigh(self) -> None:
        if self.weighs:
            self.ready_bytes = sum(_size_bytes(message) for _, _, _, message in self.returned)
            for messages in (self.ready, *(run for _, run in self._backlog.runs())):
                self.ready_bytes += sum(map(_size_bytes, messages))

    # --- beginning --------------------------------------------------------------------------------

    def restore(
        self,
        ranges: list[tuple[int, int]],
        messages: dict[int, Message],
        seen_through: int,
        next_position: int,
    ) -> None:
        """Take over what a replica holds, into an empty queue.

        `ranges` are all positions held, ascending; `messages` those that are in memory, the others
        are in the store only. Messages up to `seen_through` may have been out.
        """
        self.head = self.next_position = next_position
        self.seen_through = seen_through
        if self.priority_max:
            self.returned = [
                (self._rank(messages[at]), at, at <= seen_through, messages[at])
                for first, last in ranges
                for at in range(first, last + 1)
            ]
            heapify(self.returned)
        else:
            in_memory = ranges_of(sorted(messages))
            for first, last, here in cut(ranges, in_memory):
                if here:
                    found = map(messages.__getitem__, range(first, last + 1))
                    self._backlog.append(first, deque(found))
                else:
                    self._backlog.append_stored(first, last)
            self._to_front()
        self._weigh()

    def begin_at(self, position: int) -> None:
        """Give positions from this one on, if they would be lesser ones otherwise."""
        if position > self.next_position:
            self.next_position = position
            if not self.ready and not self._backlog.count:
                self.head = position

    # --- in and out -------------------------------------------------------------------------------

    def publish(self, messages: list[Message], expiries: Sequence[int] = ()) -> None:
        """Add messages at the tail. Call `deal` afterwards.

        `expiries`, if any of them expires: one for each message (-1: this one does not), or one
        for all.
        """
        if expiries:
            note_expiries(self.expiries, self.next_position, len(messages), expiries)
        if self.weighs:
            self.ready_bytes += sum(map(_size_bytes, messages))
        first = self.next_position
        self.next_position += len(messages)
        if self.priority_max:
            for position, message in enumerate(messages, first):
                heappush(self.returned, (self._rank(message), position, False, message))
            self.head = self.next_position
        elif first == self.head + len(self.ready) and not self._backlog.count:
            self.ready.extend(messages)
        elif messages:
            self._backlog.append(first, deque(messages))

    def _rank(self, message: Message) -> int:
        """Return what messages are ordered by before their position: less goes first."""
        if not self.priority_max or not message[0].flags & PRIORITY:
            return 0
        return -min(priority_of(message[1]) or 0, self.priority_max)

    def may_go(self) -> int:
        """Return how many messages may go out now by `deliver_through`, consumers aside.

        At most those returned and the front: ask again when they are gone.
        """
        limit = self.deliver_through
        if limit is None:
            return len(self.ready) + len(self.returned)
        if self.returned and self.returned[0][1] > limit:
            return 0
        return min(max(limit - self.head + 1, 0), len(self.ready)) + len(self.returned)

    def _put_back(self, position: int, redelivered: bool, message: Message) -> None:
        """Put a message that was out in its place."""
        heappush(self.returned, (self._rank(message), position, redelivered, message))
        if self.weighs:
            self.ready_bytes += _size_bytes(message)

    def _take_ready(self, count: int) -> list[Message]:
        ready = self.ready
        self.head += count
        if count == len(ready):
            taken = list(ready)
            ready.clear()
            self._to_front()
        else:
            popleft = ready.popleft
            taken = [popleft() for _ in range(count)]
        if self.weighs:
            self.ready_bytes -= sum(map(_size_bytes, taken))
        return taken

    def _to_front(self) -> None:
        """Have the backlog begin at the front, which is empty."""
        if not self._backlog.count:
            self.head = self.next_position
            return
        self.head = self._backlog.first
        front = self._backlog.take_front()
        if front is not None:
            self.ready = front[1]

    def _take_returned(self) -> tuple[int, bool, Message]:
        _, position, redelivered, message = heappop(self.returned)
        if self.weighs:
            self.ready_bytes -= _size_bytes(message)
        return position, redelivered, message

    def _take_first(self) -> tuple[int, bool, Message]:
        if self.returned:
            return self._take_returned()
        position = self.head
        return position, position <= self.seen_through, self._take_ready(1)[0]

    def take_out(
        self, positions: Iterable[int], *, stored_too: bool
    ) -> tuple[list[tuple[int, Message]], list[tuple[int, int]]]:
        """Take messages out from wherever they wait.

        Return what was in memory, with its positions, and where the others lie that wait, but in
        the store only. They stay, unless `stored_too`.
        """
        ranges = ranges_of(sorted(positions))
        taken: list[tuple[int, Message]] = []
        if self.returned:
            wanted = PositionSet(ranges)
            taken += [(one[1], one[3]) for one in self.returned if one[1] in wanted]
            if taken:
                self.returned = [one for one in self.returned if one[1] not in wanted]
                heapify(self.returned)
        if any_within(ranges, self.head, self.head + len(self.ready) - 1):
            self._backlog.prepend(self.head, self.ready)
            self.ready = deque()
        found, stored = self._backlog.take_out(ranges, stored_too=stored_too)
        taken += found
        if not self.ready:
            self._to_front()
        if self.weighs:
            self.ready_bytes -= sum(_size_bytes(message) for _, message in taken)
        return taken, stored

    # --- out of memory and back -------------------------------------------------------------------

    def page_out(self, stored: Sequence[tuple[int, int]], keep: int) -> int:
        """Drop from memory what waits and is in the store; return how many messages that were.

        `stored` are positions, ascending: all that the store has, or those it has got just now. The
        first `keep` messages stay, and so does what lies where a load is under way: that was asked
        for when the store did not have it yet, perhaps, and would not bring it. Expiries go too.
        """
        if self._loading is not None:
            stored = without(stored, [self._loading])
        if self.needs_all_in_memory or not stored:
            return 0
        ready, backlog = self.ready, self._backlog
        if any_within(stored, self.head + keep, self.head + len(ready) - 1):
            self.ready = deque(islice(ready, keep))
            backlog.prepend(self.head + keep, deque(islice(ready, keep, None)))
        dropped = backlog.page_out(stored, max(keep - len(self.ready), 0))
        if not self.ready:
            self._to_front()
        forget(self.expiries, dropped)
        return count_of(dropped)

    def memory_ranges(self) -> list[tuple[int, int]]:
        """Return the positions of the front and what of the backlog is in memory, ascending."""
        runs = ((self.head, self.ready), *self._backlog.runs())
        return joined((first, first + len(run) - 1) for first, run in runs if run)

    def in_memory(self, first: int, last: int) -> list[tuple[int, list[Message]]]:
        """Return what waits in memory from position `first` to `last`: (first position, run)."""
        found: list[tuple[int, list[Message]]] = []
        for start, run in ((self.head, self.ready), *self._backlog.runs()):
            begin, end = max(first - start, 0), min(last - start + 1, len(run))
            if begin < end:
                found.append((start + begin, list(islice(run, begin, end))))
        return found

    def wanted(self, messages_max: int) -> tuple[int, int] | None:
        """Return which positions are to be loaded from the store now, for `loaded`; each once.

        That is so when less than half of `messages_max` stand in memory before what is in the store
        only. About so many messages lie there.
        """
        if self._loading is not None or not self._backlog.stored_count:
            return None
        if self.needs_all_in_memory:
            ahead_max = self.ready_count
        else:
            ahead_max = messages_max // 2 - len(self.ready)
            if ahead_max <= 0 and self.ready:
                return None
        self._loading = self._backlog.next_stored(max(ahead_max, 1), messages_max)
        return self._loading

    def loaded(
        self,
        first: int,
        last: int,
        runs: Sequence[MessagesAt],
        expiries: Iterable[tuple[int, int]] = (),
    ) -> list[tuple[int, int]]:
        """Put in place what the store has at these positions: all of it, ascending.

        Call `deal` afterwards. Return positions that should be there and are not: they are no
        longer in the queue.
        """
        if (first, last) == self._loading:
            self._loading = None
        placed, lacking = self._backlog.put_in(first, last, runs)
        due = dict(expiries)
        for at, messages in placed if due or self.weighs else ():
            if self.weighs:
                self.ready_bytes += sum(map(_size_bytes, messages))
            for position in range(at, at + len(messages)) if due else ():
                if position in due:
                    self.expiries[position] = due[position]
        if not self.ready:
            self._to_front()
        return lacking

    def memory_bytes_estimate(self) -> int:
        """Return about how much memory the messages that wait take."""
        found = memory_bytes_of(self.ready) + self._backlog.memory_bytes()
        returned = [one[3] for one in self.returned[:: len(self.returned) // SAMPLED_RETURNED + 1]]
        if returned:
            found += memory_bytes_of(returned) * len(self.returned) // len(returned)
        return found + len(self.expiries) * EXPIRY_BYTES

    # --- given up ---------------------------------------------------------------------------------

    def purge(self) -> list[tuple[int, int]]:
        """Drop all that waits (not what is out); return the ranges of positions dropped."""
        dropped = ranges_of(sorted(position for _, position, _, _ in self.returned))
        dropped = joined(dropped + self.waiting_ranges())
        self.head = self.next_position
        self.ready.clear()
        self.returned.clear()
        self._backlog.clear()
        self.ready_bytes = 0
        return dropped

    def _first_position(self) -> int | None:
        """Return the position of the message that goes next; None: there is none in memory."""
        if self.returned:
            return self.returned[0][1]
        return self.head if self.ready else None

    def next_expiry(self) -> int | None:
        """Return when the message that goes next expires, or None."""
        first = self._first_position() if self.expiries else None
        return self.expiries.get(first) if first is not None else None

    def drop_over(
        self, length_max: int | None, length_bytes_max: int | None
    ) -> list[tuple[int, Message]]:
        """Take from the front what waits beyond these limits, and return it with its positions.

        What has to be loaded first stays: call again when it was.
        """
        dropped: list[tuple[int, Message]] = []
        while (self.ready or self.returned) and (
            (length_max is not None and self.ready_count > length_max)
            or (length_bytes_max is not None and self.ready_bytes > length_bytes_max)
        ):
            position, _, message = self._take_first()
            dropped.append((position, message))
        return dropped

    def forget(self, ranges: list[tuple[int, int]]) -> None:
        """Messages are no more: nothing need be known of them."""
        forget(self.expiries, ranges)
        forget(self.counts, ranges)


def needs_all_in_memory(settings: QueueSettings) -> bool:
    """Whether a queue with these settings has to look at each of its messages."""
    return settings.priority_max > 0 or settings.length_bytes_max is not None


def _size_bytes(message: Message) -> int:
    return content_body_size_bytes(message[1])


def note_expiries(expiries: dict[int, int], first: int, count: int, given: Sequence[int]) -> None:
    """Note when `count` messages from position `first` on expire (as in `Queue.publish`)."""
    dues = repeat(given[0], count) if len(given) == 1 else given
    expiries.update((at, due) for at, due in enumerate(dues, first) if due >= 0)
