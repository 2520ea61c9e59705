"""A queue as its leader holds it: what is ready, who consumes, who owes an acknowledgement.

Every message has a position (see `message`). Messages that nobody has seen are `ready`: a deque
whose positions follow one another, so that only the first one's needs keeping (`head`). Messages
that came back (nack with requeue, a closed channel, a failover) are `returned`: a heap by position.
What has been out was out from the head, so everything returned stands before everything ready, and
taking from `returned` first gives every message its original place (RabbitMQ: rabbit_variable_queue
requeue, "original position"). Messages that are out are kept by their *holder*, the channel that
must settle them.

`deliver_through` is the last position that may go out, for the first time or again. An unmirrored
queue has no limit; a mirrored one raises it as its mirrors learn what may be seen from now on (see
`cluster.leader`, which also says why).

Deliveries leave as batches, `sink(consumer, positions, messages, redelivered)`, one for each
consumer: all the cost of dealing is paid for a run and not for each message where there is one
consumer. Several consumers are dealt to in turn, one message each, as RabbitMQ does.

Invariants: positions in `returned`, those held and those ready are disjoint, and all are below
`next_position`; a consumer's `outstanding` never exceeds its prefetch count.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from heapq import heapify, heappop, heappush
from itertools import repeat

from rabbitry.broker.message import Message

# A channel, as queues know it: the node (with its incarnation) it is on, and its number there.
Holder = tuple[str, int]


class Consumer:
    """One subscription. `prefetch_count` 0 means no limit; it counts only where acks are due."""

    __slots__ = (
        "exclusive",
        "holder",
        "no_ack",
        "number",
        "outstanding",
        "paused",
        "prefetch_count",
    )

    def __init__(
        self,
        holder: Holder,
        number: int,
        *,
        no_ack: bool = False,
        prefetch_count: int = 0,
        exclusive: bool = False,
    ) -> None:
        self.holder = holder
        self.number = number
        self.no_ack = no_ack
        self.prefetch_count = prefetch_count
        self.exclusive = exclusive
        self.outstanding = 0
        self.paused = False  # its client does not read fast enough

    def credit(self, wanted: int) -> int:
        """Return how many of `wanted` messages it may get now."""
        if self.paused:
            return 0
        if self.no_ack or not self.prefetch_count:
            return wanted
        return min(wanted, max(self.prefetch_count - self.outstanding, 0))


Sink = Callable[[Consumer, Sequence[int], list[Message], bool], None]


class Queue:
    """Messages of one queue in order, and the consumers they go to."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self.ready: deque[Message] = deque()
        self.head = 1
        self.returned: list[tuple[int, bool, Message]] = []  # heap: position, was it out, message
        self.held: dict[Holder, dict[int, tuple[Consumer | None, Message]]] = {}
        self.consumers: list[Consumer] = []
        self.deliver_through: int | None = None
        self._turn = 0  # whose turn it is among the consumers

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
        found = [(position, message) for position, _, message in self.returned]
        for held in self.held.values():
            found += [(position, message) for position, (_, message) in held.items()]
        found.sort(key=_position_of)
        return found

    def entries(self) -> list[tuple[int, Message]]:
        """Return all messages, wherever they are, as (position, message) in order of position."""
        return self.entries_out() + list(enumerate(self.ready, self.head))

    def restore(
        self, entries: list[tuple[int, Message]], seen_through: int, next_position: int
    ) -> None:
        """Take over what a mirror holds: `entries` in order of position, into an empty queue.

        Messages up to `seen_through` may have been out and are marked redelivered. Gaps occur among
        these, and behind them where the mirror was still copying; what lies behind the last gap is
        ready, everything before it is returned.
        """
        first_ready = len(entries)
        expected = next_position - 1
        while first_ready and entries[first_ready - 1][0] == expected and expected > seen_through:
            first_ready -= 1
            expected -= 1
        self.returned = [
            (position, position <= seen_through, message)
            for position, message in entries[:first_ready]
        ]
        heapify(self.returned)
        self.ready = deque(message for _, message in entries[first_ready:])
        self.head = next_position - len(self.ready)

    # --- in and out -------------------------------------------------------------------------------

    def publish(self, messages: list[Message]) -> None:
        """Add messages at the tail. Call `deal` afterwards."""
        self.ready.extend(messages)

    def may_go(self) -> int:
        """Return how many messages may go out now by `deliver_through`, consumers aside."""
        limit = self.deliver_through
        if limit is None:
            return self.ready_count
        if self.returned and self.returned[0][0] > limit:
            return 0
        return min(max(limit - self.head + 1, 0), len(self.ready)) + len(self.returned)

    def deal(self) -> list[tuple[int, int]]:
        """Hand out what consumers can take. Return the ranges this settled (no-ack)."""
        gone: list[tuple[int, int]] = []
        while self.consumers and (available := self.may_go()):
            if not self._deal_once(available, gone):
                break
        return gone

    def _deal_once(self, available: int, gone: list[tuple[int, int]]) -> bool:
        """Deal either one returned message or a run of ready ones. False: nobody can take any."""
        if self.returned:
            consumer = self._next_able()
            if consumer is None:
                return False
            position, redelivered, message = heappop(self.returned)
            self._hand_out(consumer, range(position, position + 1), [message], redelivered, gone)
            return True
        if len(self.consumers) == 1:
            consumer = self.consumers[0]
            count = consumer.credit(available)
            if not count:
                return False
            positions = range(self.head, self.head + count)
            self._hand_out(consumer, positions, self._take_ready(count), False, gone)
            return True
        return self._deal_in_turn(available, gone)

    def _deal_in_turn(self, available: int, gone: list[tuple[int, int]]) -> bool:
        """Deal ready messages one by one to consumers in turn, then hand out each one's share."""
        consumers = self.consumers
        credits = [consumer.credit(available) for consumer in consumers]
        count = min(available, sum(credits))
        if not count:
            return False
        shares: list[list[int]] = [[] for _ in consumers]
        turn = self._turn
        for position in range(self.head, self.head + count):
            turn %= len(consumers)
            while not credits[turn]:
                turn = (turn + 1) % len(consumers)
            credits[turn] -= 1
            shares[turn].append(position)
            turn += 1
        self._turn = turn
        head = self.head
        messages = self._take_ready(count)
        for consumer, share in zip(list(consumers), shares, strict=True):
            if share:
                taken = [messages[position - head] for position in share]
                self._hand_out(consumer, share, taken, False, gone)
        return True

    def _take_ready(self, count: int) -> list[Message]:
        ready = self.ready
        self.head += count
        if count == len(ready):
            taken = list(ready)
            ready.clear()
            return taken
        popleft = ready.popleft
        return [popleft() for _ in range(count)]

    def _next_able(self) -> Consumer | None:
        for _ in self.consumers:
            self._turn %= len(self.consumers)
            consumer = self.consumers[self._turn]
            self._turn += 1
            if consumer.credit(1):
                return consumer
        return None

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
        self._sink(consumer, positions, messages, redelivered)

    def get(self, holder: Holder, no_ack: bool) -> tuple[int, bool, Message] | None:
        """Take one message for `basic.get`: (position, redelivered, message), or None."""
        if not self.may_go():
            return None
        if self.returned:
            position, redelivered, message = heappop(self.returned)
        else:
            position, redelivered = self.head, False
            (message,) = self._take_ready(1)
        if not no_ack:
            self.held.setdefault(holder, {})[position] = (None, message)
        return position, redelivered, message

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

    def requeue(self, holder: Holder, positions: Iterable[int]) -> None:
        """Put messages that their holder gives back to their places. Call `deal` afterwards."""
        held = self.held.get(holder)
        if held is None:
            return
        for position in positions:
            entry = held.pop(position, None)
            if entry is not None:
                consumer, message = entry
                if consumer is not None:
                    consumer.outstanding -= 1
                heappush(self.returned, (position, True, message))
        if not held:
            del self.held[holder]

    def release(self, holder: Holder) -> bool:
        """A channel is gone: its consumers end, what it held comes back. True: it had consumers."""
        before = len(self.consumers)
        self.consumers = [one for one in self.consumers if one.holder != holder]
        self.requeue(holder, list(self.held.get(holder, ())))
        return len(self.consumers) != before

    def purge(self) -> list[tuple[int, int]]:
        """Drop all that waits (not what is out); return the ranges of positions dropped."""
        dropped = ranges_of(sorted(position for position, _, _ in self.returned))
        if self.ready:
            dropped.append((self.head, self.next_position - 1))
        self.head = self.next_position
        self.ready.clear()
        self.returned.clear()
        return dropped

    # --- consumers --------------------------------------------------------------------------------

    def add_consumer(self, consumer: Consumer) -> None:
        """Add a subscription. Call `deal` afterwards."""
        self.consumers.append(consumer)

    def remove_consumer(self, holder: Holder, number: int) -> bool:
        """End a subscription; what it holds stays with the channel. True: it was there."""
        for index, consumer in enumerate(self.consumers):
            if consumer.holder == holder and consumer.number == number:
                del self.consumers[index]
                return True
        return False

    def find_consumer(self, holder: Holder, number: int) -> Consumer | None:
        """Return a subscription, or None."""
        for consumer in self.consumers:
            if consumer.holder == holder and consumer.number == number:
                return consumer
        return None


def _position_of(entry: tuple[int, Message]) -> int:
    return entry[0]


def ranges_of(positions: Sequence[int]) -> list[tuple[int, int]]:
    """Return ascending positions as inclusive ranges: 1, 2, 3, 7 -> (1, 3), (7, 7)."""
    if not positions:
        return []
    if isinstance(positions, range) and positions.step == 1:
        return [(positions[0], positions[-1])]
    ranges = []
    first = last = positions[0]
    for position in positions[1:]:
        if position == last + 1:
            last = position
        else:
            ranges.append((first, last))
            first = last = position
    ranges.append((first, last))
    return ranges
