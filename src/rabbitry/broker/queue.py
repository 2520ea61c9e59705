"""A queue as its leader holds it: what waits, who consumes, who owes an acknowledgement.

What waits, and in which order, is `waiting`'s. Messages that are out are kept by their *holder*,
the channel that must settle them.

`AT_ONCE` as expiry means that a message goes out as soon as it comes to the front, or never.

A quorum queue counts how often each message came back (`counts`). One that came back more often
than its delivery limit allows is no longer in the queue; `take_over_limit` gives it out.

Deliveries leave as batches, `sink(consumer, positions, messages, redelivered)`, one for each
consumer: all the cost of dealing is paid for a run and not for each message where there is one
consumer. Several consumers are dealt to in turn (see `dealing`). One `deal` hands out
some megabytes at most; `sated` says that there is more for them.

Invariants: positions held and those that wait are disjoint; a consumer's `outstanding` never
exceeds its prefetch count.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate, islice, repeat, takewhile
from operator import itemgetter
from typing import Final

from rabbitry.broker.backlog import memory_bytes_of
from rabbitry.broker.dealing import Consumer, Holder, QueueConsumers
from rabbitry.broker.delivery_counts import with_delivery_count
from rabbitry.broker.message import Message
from rabbitry.broker.positions import ranges_of, united
from rabbitry.broker.queue_settings import DEFAULT, QueueSettings
from rabbitry.broker.waiting import Waiting

__all__ = ["Consumer", "Holder", "Queue"]

# An expiry in place of a time.
AT_ONCE: Final = 0
# So much goes out at one `deal`: what a consumer without prefetch may take is no reason to make a
# queue's whole length one answer, before it is known how fast its client reads.
DEALT_BYTES_MAX: Final = 1 << 20
DEALT_MESSAGES_MAX: Final = 1 << 14

# So many of the messages that a channel holds are looked at for an estimate of their size.
SAMPLED_HELD: Final = 64

Sink = Callable[[Consumer, Sequence[int], list[Message], bool], None]


class Queue(Waiting):
    """Messages of one queue in order, and the consumers they go to."""

    def __init__(self, sink: Sink, settings: QueueSettings = DEFAULT) -> None:
        super().__init__(settings)
        self._sink = sink
        self._allowance_bytes = 0
        self.sated = False
        self.held: dict[Holder, dict[int, tuple[Consumer | None, Message]]] = {}
        self.consumers = QueueConsumers(settings.single_active_consumer)
        # Consumers that hold something and are not there, or not yet.
        self._expected: dict[tuple[Holder, int], Consumer] = {}
        self._counting = settings.kind == "quorum"
        self._delivery_limit = settings.delivery_limit
        self._counted: dict[int, int] = {}  # since the last `take_counted`
        self._over_limit: list[tuple[int, Message]] = []

    # --- what is in it ----------------------------------------------------------------------------

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
        """Return all messages in memory, as (position, message) in order of position."""
        found = self.entries_out()
        for first, messages in self.waiting_runs():
            found += enumerate(messages, first)
        found.sort(key=_position_of)
        return found

    def ranges(self) -> list[tuple[int, int]]:
        """Return the positions of all messages, wherever they are, as ascending ranges."""
        out = ranges_of([position for position, _ in self.entries_out()])
        # What was claimed under a new leader may lie behind what waits.
        return united(self.waiting_ranges(), out)

    def memory_bytes_estimate(self) -> int:
        """Return about how much memory all messages take that are in memory."""
        found = super().memory_bytes_estimate()
        for held in self.held.values():
            sampled = [message for _, message in islice(held.values(), SAMPLED_HELD)]
            found += memory_bytes_of(sampled) * len(held) // max(len(sampled), 1)
        return found

    def configure(self, settings: QueueSettings) -> None:
        """Follow settings that have changed. (What depends on arguments alone cannot.)"""
        self._delivery_limit = settings.delivery_limit
        super().configure(settings)

    # --- out --------------------------------------------------------------------------------------

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
        seen = self.head <= self.seen_through
        if seen:
            available = min(available, self.seen_through - self.head + 1)
        consumer = self.consumers.alone()
        if consumer is not None:
            count = self._allowed(consumer.credit(available))
            if not count:
                return False
            positions = range(self.head, self.head + count)
            self._hand_out(consumer, positions, self._take_ready(count), seen, gone)
            return True
        return self._deal_in_turn(available, seen, gone)

    def _deal_in_turn(self, available: int, seen: bool, gone: list[tuple[int, int]]) -> bool:
        """Deal ready messages one by one to consumers in turn, then hand out each one's share."""
        head = self.head
        allowed = self._allowed(self.consumers.credit(available))
        shares = self.consumers.deal(head, allowed)
        messages = self._take_ready(sum(len(share) for _, share in shares))
        for consumer, share in shares:
            taken = [messages[position - head] for position in share]
            self._hand_out(consumer, share, taken, seen, gone)
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
        position, redelivered, message = self._take_first()
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
                self._put_back(position, redelivered, message)
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
        self._expected = {key: one for key, one in self._expected.items() if key[0] != holder}
        return ended

    # --- given up -----------------------------------------------------------------------------

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
            position, _, message = self._take_first()
            expired.append((position, message))
        return expired

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

    def claim(self, holder: Holder, number: int, positions: Iterable[int]) -> list[tuple[int, int]]:
        """Let a channel hold what it got from another leader, of what waits here.

        `number` is of the consumer that got it, which may have ended or be added yet; 0: none did.
        Return where the messages lie
        that are in the store only: they are not claimed, load them first.
        """
        taken, stored = self.take_out(positions, stored_too=False)
        if taken:
            consumer = self.consumers.find(holder, number) if number else None
            if number and consumer is None:
                key = holder, number
                consumer = self._expected.setdefault(key, Consumer(holder, number))
            held = self.held.setdefault(holder, {})
            held.update((position, (consumer, message)) for position, message in taken)
            if consumer is not None:
                consumer.outstanding += len(taken)
        return stored

    def _recognise(self, consumer: Consumer) -> None:
        """Count with a consumer what it has held since before it was added."""
        expected = self._expected.pop((consumer.holder, consumer.number), None)
        if expected is not None:
            consumer.outstanding = expected.outstanding
            held = self.held.get(consumer.holder, {})
            for position, (holding, message) in held.items():
                if holding is expected:
                    held[position] = consumer, message

    def bring_back(self, last: int) -> None:
        """Count as having come back what waits through position `last`, among what is held.

        Else what stands before it in the queue would go out after it, if it comes back.
        """
        runs = self.in_memory(0, last)
        between = [at for first, run in runs for at in range(first, first + len(run))]
        for position, message in self.take_out(between, stored_too=False)[0]:
            self._put_back(position, position <= self.seen_through, message)

    # --- consumers --------------------------------------------------------------------------------

    def add_consumer(self, consumer: Consumer) -> None:
        """Add a subscription. Call `deal` afterwards."""
        if self._expected:
            self._recognise(consumer)
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
