"""A queue as its leader holds it: what is ready, who consumes, who owes an acknowledgement.

Every message has a position (see `message`). Messages that nobody has seen are `ready`: a deque
whose positions follow one another, so that only the first one's needs keeping (`head`). Messages
that came back (nack with requeue, a closed channel, a failover) are `returned`: a heap by position.
What has been out was out from the head, so everything returned stands before everything ready, and
taking from `returned` first gives every message its original place (RabbitMQ: rabbit_variable_queue
requeue, "original position"). Messages that are out are kept by their *holder*, the channel that
must settle them.

In a queue with priorities (`x-max-priority`) the heap is ordered by priority first, and has all
messages that wait: nothing is `ready`, and `head` stands behind the last position. (RabbitMQ:
rabbit_priority_queue, a queue for each priority.)

Messages may expire (`expiries`: position -> microseconds since 1970, by the node's clock). They do
so at the head of the queue only, as in RabbitMQ: one that waits behind another goes when it comes
to the front. `AT_ONCE` as expiry means that a message goes out as soon as it comes to the front,
or never. Whoever removes messages for good says so (`forget`).

A quorum queue counts how often each message came back (`counts`). One that came back more often
than its delivery limit allows is no longer in the queue; `take_over_limit` gives it out.

`deliver_through` is the last position that may go out, for the first time or again. An unmirrored
queue has no limit; a mirrored one raises it as its mirrors learn what may be seen from now on (see
`cluster.leader`, which also says why).

Deliveries leave as batches, `sink(consumer, positions, messages, redelivered)`, one for each
consumer: all the cost of dealing is paid for a run and not for each message where there is one
consumer. Several consumers are dealt to in turn (see `dealing`). One `deal` hands out
some megabytes at most; `sated` says that there is more for them.

Invariants: positions in `returned`, those held and those ready are disjoint, and all are below
`next_position`; a consumer's `outstanding` never exceeds its prefetch count.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from heapq import heapify, heappop, heappush
from itertools import accumulate, islice, repeat, takewhile
from operator import itemgetter
from typing import Final

from rabbitry.broker.dealing import Consumer, Holder, QueueConsumers
from rabbitry.broker.delivery_counts import with_delivery_count
from rabbitry.broker.message import Message
from rabbitry.broker.positions import ranges_of
from rabbitry.broker.queue_settings import DEFAULT, QueueSettings
from rabbitry.wire.frames import content_body_size_bytes
from rabbitry.wire.properties import PRIORITY, priority_of

__all__ = ["Consumer", "Holder", "Queue"]

# An expiry in place of a time.
AT_ONCE: Final = 0
# So much goes out at one `deal`: what a consumer without prefetch may take is no reason to make a
# queue's whole length one answer, before it is known how fast its client reads.
DEALT_BYTES_MAX: Final = 1 << 20
DEALT_MESSAGES_MAX: Final = 1 << 14

Sink = Callable[[Consumer, Sequence[int], list[Message], bool], None]


class Queue:
    """Messages of one queue in order, and the consumers they go to."""

    def __init__(self, sink: Sink, settings: QueueSettings = DEFAULT) -> None:
        self._sink = sink
        self._allowance_bytes = 0
        self.sated = False
        self.priority_max = settings.priority_max
        self.ready: deque[Message] = deque()
        self.head = 1
        # heap: rank (see `_rank`), position, the mark `redelivered`, message
        self.returned: list[tuple[int, int, bool, Message]] = []
        self.held: dict[Holder, dict[int, tuple[Consumer | None, Message]]] = {}
        self.consumers = QueueConsumers(settings.single_active_consumer)
        self.deliver_through: int | None = None
        self.expiries: dict[int, int] = {}
        self.weighs = settings.length_bytes_max is not None
        self.counts: dict[int, int] = {}  # position -> how often it came back
        self._counting = settings.kind == "quorum"
        self._delivery_limit = settings.delivery_limit
        self._counted: dict[int, int] = {}  # since the last `take_counted`
        self._over_limit: list[tuple[int, Message]] = []
        self.ready_bytes = 0  # sum of the bodies of what waits, where the queue `weighs`

    # --- what is in it ----------------------------------------------------------------------------

    @property
    def next_position(self) -> int:
        """The position that the next message published will have."""
        return self.head + len(self.ready)

    @property
    def ready_count(self) -> int:
        """How many messages wait to be delivered."""
        return len(self.ready) + len(self.returned)

    @property
    def held_count(self) -> int:
        """How many messages are out and not settled."""
        return sum(len(held) for held in self.held.values())

    def entries_out(self) -> list[tuple[int, Message]]:
        """Return the messages that have been out, held or returned, in order of position."""
        found = [(position, message) for _, position, _, message in self.returned]
        for held in self.held.values():
            found += [(position, message) for position, (_, message) in held.items()]
        found.sort(key=_position_of)
        return found

    def entries(self) -> list[tuple[int, Message]]:
        """Return all messages, wherever they are, as (position, message) in order of position."""
        return self.entries_out() + list(enumerate(self.ready, self.head))

    def configure(self, settings: QueueSettings) -> None:
        """Follow settings that have changed. (What depends on arguments alone cannot.)"""
        self._delivery_limit = settings.delivery_limit
        self.weighs = settings.length_bytes_max is not None
        self._weigh()

    def _weigh(self) -> None:
        if self.weighs:
            self.ready_bytes = sum(_size_bytes(message) for _, _, _, message in self.returned)
            self.ready_bytes += sum(map(_size_bytes, self.ready))

    def restore(
        self,
        entries: list[tuple[int, Message]],
        seen_through: int,
        next_position: int,
    ) -> None:
        """Take over what a mirror holds: `entries` in order of position, into an empty queue.

        Messages up to `seen_through` may have been out and are marked redelivered. Gaps occur among
        these, and behind them where the mirror was still copying; what lies behind the last gap is
        ready, everything before it is returned.
        """
        first_ready = len(entries)
        expected = next_position - 1 if not self.priority_max else 0
        while first_ready and entries[first_ready - 1][0] == expected and expected > seen_through:
            first_ready -= 1
            expected -= 1
        self.returned = [
            (self._rank(message), position, position <= seen_through, message)
            for position, message in entries[:first_ready]
        ]
        heapify(self.returned)
        self.ready = deque(message for _, message in entries[first_ready:])
        self.head = next_position - len(self.ready)
        self._weigh()

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
        if not self.priority_max:
            self.ready.extend(messages)
            return
        for message in messages:
            heappush(self.returned, (self._rank(message), self.head, False, message))
            self.head += 1

    def _rank(self, message: Message) -> int:
        """Return what messages are ordered by before their position: less goes first."""
        if not self.priority_max or not message[0].flags & PRIORITY:
            return 0
        return -min(priority_of(message[1]) or 0, self.priority_max)

    def may_go(self) -> int:
        """Return how many messages may go out now by `deliver_through`, consumers aside."""
        limit = self.deliver_through
        if limit is None:
            return self.ready_count
        if self.returned and self.returned[0][1] > limit:
            return 0
        return min(max(limit - self.head + 1, 0), len(self.ready)) + len(self.returned)

    def deal(self, now: int = 0) -> list[tuple[int, int]]:
        """Hand out what consumers can take. Return the ranges this settled (no-ack).

        What has expired by `now` stays where it is, and everything behind it: call `expire` first,
        and again afterwards.
        """
        gone: list[tuple[int, int]] = []
        self._allowance_bytes = DEALT_BYTES_MAX
        self.sated = False
        while self.consumers and (available := self.may_go()):
            if self.expiries:
                available = self._unexpired(available, now)
                if not available:
                    break
            if self._allowance_bytes <= 0 and self.expiries.get(self.head) != AT_ONCE:
                self.sated = self.consumers.credit(1) > 0
                break
            if not self._deal_once(available, gone):
                break
        return gone

    def _deal_once(self, available: int, gone: list[tuple[int, int]]) -> bool:
        """Deal either one returned message or a run of ready ones. False: nobody can take any."""
        if self.returned:
            consumer = self.consumers.next_able()
            if consumer is None:
                return False
            position, redelivered, message = self._take_returned()
            self._allowance_bytes -= len(message[1])
            self._hand_out(consumer, range(position, position + 1), [message], redelivered, gone)
            return True
        consumer = self.consumers.alone()
        if consumer is not None:
            count = self._allowed(consumer.credit(available))
            if not count:
                return False
            positions = range(self.head, self.head + count)
            self._hand_out(consumer, positions, self._take_ready(count), False, gone)
            return True
        return self._deal_in_turn(available, gone)

    def _deal_in_turn(self, available: int, gone: list[tuple[int, int]]) -> bool:
        """Deal ready messages one by one to consumers in turn, then hand out each one's share."""
        head = self.head
        allowed = self._allowed(self.consumers.credit(available))
        shares = self.consumers.deal(head, allowed)
        messages = self._take_ready(sum(len(share) for _, share in shares))
        for consumer, share in shares:
            taken = [messages[position - head] for position in share]
            self._hand_out(consumer, share, taken, False, gone)
        return bool(shares)

    def _allowed(self, count: int) -> int:
        """Return how many of the `count` first ready messages may go out now: one at least."""
        count = min(count, DEALT_MESSAGES_MAX)
        size_bytes = sum(map(len, map(_frames_of, islice(self.ready, count))))
        if size_bytes > self._allowance_bytes and count > 1:
            sizes = accumulate(map(len, map(_frames_of, islice(self.ready, count))))
            count = 1 + sum(1 for _ in takewhile(self._allowance_bytes.__gt__, sizes))
        self._allowance_bytes -= size_bytes
        return count

    def _take_ready(self, count: int) -> list[Message]:
        ready = self.ready
        self.head += count
        if count == len(ready):
            taken = list(ready)
            ready.clear()
        else:
            popleft = ready.popleft
            taken = [popleft() for _ in range(count)]
        if self.weighs:
            self.ready_bytes -= sum(map(_size_bytes, taken))
        return taken

    def _take_returned(self) -> tuple[int, bool, Message]:
        _, position, redelivered, message = heappop(self.returned)
        if self.weighs:
            self.ready_bytes -= _size_bytes(message)
        return position, redelivered, message

    def _take_first(self) -> tuple[int, Message]:
        if self.returned:
            position, _, message = self._take_returned()
            return position, message
        return self.head, self._take_ready(1)[0]

    def _hand_out(
        self,
        consumer: Consumer,
        positions: Sequence[int],
        messages: list[Message],
        redelivered: bool,
        gone: list[tuple[int, int]],
    ) -> None:
        if consumer.no_ack:
            gone += ranges_of(positions)
        else:
            consumer.outstanding += len(positions)
            held = self.held.setdefault(consumer.holder, {})
            held.update(zip(positions, zip(repeat(consumer), messages), strict=True))
        if self.counts:
            messages = list(map(self._as_delivered, positions, messages))
        self._sink(consumer, positions, messages, redelivered)

    def get(self, holder: Holder, no_ack: bool) -> tuple[int, bool, Message] | None:
        """Take one message for `basic.get`: (position, redelivered, message), or None."""
        if not self.may_go():
            return None
        if self.returned:
            position, redelivered, message = self._take_returned()
        else:
            position, redelivered = self.head, False
            (message,) = self._take_ready(1)
        if not no_ack:
            self.held.setdefault(holder, {})[position] = (None, message)
        # RabbitMQ: a quorum queue that is asked for one message tells a count of nothing too.
        count = self.counts.get(position, 0 if self._counting else None)
        delivered = message if count is None else with_delivery_count(message, count)
        return position, redelivered, delivered

    def _as_delivered(self, position: int, message: Message) -> Message:
        count = self.counts.get(position)
        return message if count is None else with_delivery_count(message, count)

    # --- coming back ------------------------------------------------------------------------------

    def settle(self, holder: Holder, positions: Iterable[int]) -> list[int]:
        """Forget messages that their holder is done with; return those that it really held."""
        held = self.held.get(holder)
        if held is None:
            return []
        settled = []
        for position in positions:
            entry = held.pop(position, None)
            if entry is not None:
                settled.append(position)
                if entry[0] is not None:
                    entry[0].outstanding -= 1
        if not held:
            del self.held[holder]
        return settled

    def requeue(self, holder: Holder, positions: Iterable[int], redelivered: bool = True) -> None:
        """Put messages that their holder gives back to their places. Call `deal` afterwards.

        `redelivered` is the mark that they go out with when they go again.
        """
        held = self.held.get(holder)
        if held is None:
            return
        for position in positions:
            entry = held.pop(position, None)
            if entry is not None:
                consumer, message = entry
                if consumer is not None:
                    consumer.outstanding -= 1
                if redelivered and self._counting and not self._count(position):
                    self._over_limit.append((position, message))
                    continue
                heappush(self.returned, (self._rank(message), position, redelivered, message))
                if self.weighs:
                    self.ready_bytes += _size_bytes(message)
        if not held:
            del self.held[holder]

    def _count(self, position: int) -> bool:
        """Count that a message came back. False: once more than it may."""
        count = self.counts.get(position, 0) + 1
        self.counts[position] = self._counted[position] = count
        return self._delivery_limit is None or count <= self._delivery_limit

    def take_counted(self) -> list[tuple[int, int]]:
        """Return what has come back since the last call, with how often it has by now."""
        counted, self._counted = self._counted, {}
        return list(counted.items())

    def take_over_limit(self) -> list[tuple[int, Message]]:
        """Return what has come back too often since the last call, with its positions."""
        taken, self._over_limit = self._over_limit, []
        return taken

    def release(self, holder: Holder) -> bool:
        """A channel is gone: its consumers end, what it held comes back. True: it had consumers."""
        ended = self.consumers.remove_all_of(holder)
        self.requeue(holder, list(self.held.get(holder, ())))
        return ended

    def purge(self) -> list[tuple[int, int]]:
        """Drop all that waits (not what is out); return the ranges of positions dropped."""
        dropped = ranges_of(sorted(position for _, position, _, _ in self.returned))
        if self.ready:
            dropped.append((self.head, self.next_position - 1))
        self.head = self.next_position
        self.ready.clear()
        self.returned.clear()
        self.ready_bytes = 0
        return dropped

    # --- given up -----------------------------------------------------------------------------

    def _first_position(self) -> int | None:
        """Return the position of the message that goes next, or None."""
        if self.returned:
            return self.returned[0][1]
        return self.head if self.ready else None

    def next_expiry(self) -> int | None:
        """Return when the message that goes next expires, or None."""
        first = self._first_position() if self.expiries else None
        return self.expiries.get(first) if first is not None else None

    def _unexpired(self, available: int, now: int) -> int:
        """Return how many of `available` messages stand before the first that has expired.

        Fewer where consumers cannot take so many anyway. `AT_ONCE` has come to the front in time.
        """
        due_of = self.expiries.get
        if self.returned:
            due = due_of(self.returned[0][1])
            return 0 if due and due <= now else available
        available = self.consumers.credit(available)
        for position in range(self.head, self.head + available):
            due = due_of(position)
            if due and due <= now:
                return position - self.head
        return available

    def expire(self, now: int) -> list[tuple[int, Message]]:
        """Take what has expired by `now` from the front, and return it with its positions."""
        expired: list[tuple[int, Message]] = []
        while (due := self.next_expiry()) is not None and due <= now:
            if due == AT_ONCE and self.consumers.credit(1):
                break  # it goes out with the next deal, or when the mirrors have it
            expired.append(self._take_first())
        return expired

    def drop_over(
        self, length_max: int | None, length_bytes_max: int | None
    ) -> list[tuple[int, Message]]:
        """Take from the front what waits beyond these limits, and return it with its positions."""
        dropped: list[tuple[int, Message]] = []
        while self.ready_count and (
            (length_max is not None and self.ready_count > length_max)
            or (length_bytes_max is not None and self.ready_bytes > length_bytes_max)
        ):
            dropped.append(self._take_first())
        return dropped

    def withdraw(self, holder: Holder, positions: Iterable[int]) -> list[tuple[int, Message]]:
        """Take what a holder refuses, and return what it really held with its positions."""
        held = self.held.get(holder, {})
        withdrawn = [(one, held[one][1]) for one in positions if one in held]
        self.settle(holder, [position for position, _ in withdrawn])
        return withdrawn

    def hold(self, holder: Holder, entries: list[tuple[int, Message]]) -> None:
        """Put messages that were taken from the queue with a holder that is no channel."""
        held = self.held.setdefault(holder, {})
        held.update((position, (None, message)) for position, message in entries)

    def forget(self, ranges: list[tuple[int, int]]) -> None:
        """Messages are no more: nothing need be known of them."""
        for known in (self.expiries, self.counts):
            for first, last in ranges if known else ():
                for position in range(first, last + 1):
                    known.pop(position, None)

    # --- consumers --------------------------------------------------------------------------------

    def add_consumer(self, consumer: Consumer) -> None:
        """Add a subscription. Call `deal` afterwards."""
        self.consumers.add(consumer)

    def remove_consumer(self, holder: Holder, number: int) -> bool:
        """End a subscription; what it holds stays with the channel. True: it was there."""
        return self.consumers.remove(holder, number)

    def holders(self) -> list[Holder]:
        """Return the channels that consume here or hold messages, each once."""
        return list(dict.fromkeys([*(one.holder for one in self.consumers), *self.held]))

    def find_consumer(self, holder: Holder, number: int) -> Consumer | None:
        """Return a subscription, or None."""
        return self.consumers.find(holder, number)


_frames_of = itemgetter(1)


def _position_of(entry: tuple[int, Message]) -> int:
    return entry[0]


def _size_bytes(message: Message) -> int:
    return content_body_size_bytes(message[1])


def note_expiries(expiries: dict[int, int], first: int, count: int, given: Sequence[int]) -> None:
    """Note when `count` messages from position `first` on expire (as in `Queue.publish`)."""
    dues = repeat(given[0], count) if len(given) == 1 else given
    expiries.update((at, due) for at, due in enumerate(dues, first) if due >= 0)
