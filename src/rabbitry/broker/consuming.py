"""From queues to a client: deliveries, and what the client says of them.

`Unsettled` knows which delivery tag of a channel stands for which position in which queue;
`Subscription` turns batches of messages into frames. This is the hot path of a broker: a delivery
is the head of the frame (made once for each consumer and route), the tag, the route's tail and the
content as it came.

Specification: basic.deliver, basic.ack; RabbitMQ: rabbit_channel.erl handle_deliver, collect_acks.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from itertools import repeat
from struct import Struct
from typing import Final, Protocol

from rabbitry.broker.message import Message, Route
from rabbitry.broker.ports import Lease, QueueHandle
from rabbitry.wire.errors import PRECONDITION_FAILED, ChannelException
from rabbitry.wire.frames import fit_content

HEADS_KEPT_MAX: Final = 1024
# How exactly the age of a delivery is known: to this part of the time it may be owed.
TIMEOUT_PARTS: Final = 32
_deliver_head = Struct(">BHIHH")
_tag_and_flag = Struct(">QB")

Entry = tuple[Lease, int]  # a delivery: its lease, and its position in the queue
Owed = list[tuple[Lease, list[int]]]  # deliveries grouped by lease


class Unsettled:
    """Deliveries of one channel that the client has not settled, by delivery tag, in order."""

    def __init__(self) -> None:
        self.next_tag = 1
        self._owed: dict[int, Entry] = {}
        self._gotten: dict[int, None] = {}  # tags of basic.get, as `note_gotten` was told
        # (tag, time): all before this tag was delivered by that time.
        self._marks: deque[tuple[int, int]] = deque()

    def __len__(self) -> int:
        return len(self._owed)

    def add(self, lease: Lease, positions: Sequence[int]) -> int:
        """Number deliveries that must be settled; return the first tag."""
        first = self.next_tag
        self.next_tag += len(positions)
        tags = range(first, self.next_tag)
        self._owed.update(zip(tags, zip(repeat(lease), positions), strict=False))
        return first

    def entries(self) -> Iterable[Entry]:
        """Return the deliveries, in order."""
        return self._owed.values()

    def note_gotten(self, tag: int) -> None:
        """A delivery that was added answers basic.get, which no prefetch limits."""
        self._gotten[tag] = None

    def volume(self) -> int:
        """Return how many deliveries to consumers are owed."""
        if self._gotten:
            self._gotten = {tag: None for tag in self._gotten if tag in self._owed}
        return len(self._owed) - len(self._gotten)

    def skip(self, count: int) -> int:
        """Number deliveries that need no settling; return the first tag."""
        first = self.next_tag
        self.next_tag += count
        return first

    def take(self, tag: int, multiple: bool, method_id: int = 80) -> Owed:
        """Remove what a client settles, grouped by lease. Raises 406 for a tag it does not owe.

        With `multiple`, all through `tag`; 0 stands for all there are. `method_id` is of the method
        of class basic that settles: ack, unless it is told.
        """
        owed = self._owed
        if not multiple:
            entry = owed.pop(tag, None)
            if entry is None:
                raise _unknown(tag, method_id)
            return [(entry[0], [entry[1]])]
        return grouped(self.remove(tag, multiple, method_id).values())

    def remove(self, tag: int, multiple: bool, method_id: int = 80) -> dict[int, Entry]:
        """Remove what a client settles, as `take` does, but return it by tag."""
        owed = self._owed
        if multiple and tag == 0:
            self._owed = {}
            return owed
        if tag not in owed:
            raise _unknown(tag, method_id)
        if not multiple:
            return {tag: owed.pop(tag)}
        tags = []
        for one in owed:
            if one > tag:
                break
            tags.append(one)
        return {one: owed.pop(one) for one in tags}

    def restore(self, entries: dict[int, Entry]) -> None:
        """Have the client owe again what `remove` returned: a transaction is rolled back."""
        if entries:
            self._owed = dict(sorted({**self._owed, **entries}.items()))

    def overdue(self, now: int, timeout_us: int) -> bool:
        """Whether the oldest delivery owed is older than `timeout_us`. To be asked now and then.

        A delivery bears no time of its own, which would cost each one: asking notes how far the
        tags have come by now, and that is how old they are at least.
        """
        marks = self._marks
        oldest = next(iter(self._owed), None)
        if oldest is None:
            marks.clear()
            return False
        while marks and marks[0][0] <= oldest:
            marks.popleft()
        if not marks or now - marks[-1][1] >= timeout_us // TIMEOUT_PARTS:
            marks.append((self.next_tag, now))
        return now - marks[0][1] > timeout_us

    def take_all(self) -> Owed:
        """Remove everything, grouped by lease."""
        owed, self._owed = self._owed, {}
        return grouped(owed.values())


def _unknown(tag: int, method_id: int) -> ChannelException:
    return ChannelException(PRECONDITION_FAILED, f"unknown delivery tag {tag}", 60, method_id)


def grouped(entries: Iterable[Entry]) -> Owed:
    """Group deliveries by lease, in the order in which they come."""
    groups: Owed = []
    by_lease: dict[Lease, list[int]] = {}
    for lease, position in entries:
        positions = by_lease.get(lease)
        if positions is None:
            positions = by_lease[lease] = []
            groups.append((lease, positions))
        positions.append(position)
    return groups


class DeliveryWriter(Protocol):
    """Where frames of deliveries go: the channel's connection."""

    @property
    def frame_size_max(self) -> int:
        """The longest frame that the client takes, in bytes; 0 for no limit."""
        ...

    def write(self, parts: Sequence[bytes]) -> None:
        """Queue frames for the client."""
        ...


class Gate(Protocol):
    """What limits the deliveries of several consumers together."""

    def admit(self, subscription: Subscription, count: int) -> int:
        """Return how many of `count` deliveries may go out."""
        ...

    def return_surplus(
        self, subscription: Subscription, lease: Lease, positions: list[int], redelivered: bool
    ) -> None:
        """Give back to the queue what may not go out."""
        ...


class Subscription:
    """One consumer of a channel: what a queue delivers becomes frames.

    `prefetch_count` is its own; `gate` is there where a limit is shared with others.
    """

    def __init__(
        self,
        writer: DeliveryWriter,
        channel: int,
        unsettled: Unsettled,
        handle: QueueHandle,
        tag: str,
        number: int,
        *,
        no_ack: bool,
        prefetch_count: int = 0,
        cancel_on_failover: bool,
        on_cancelled: Callable[[Subscription], None],
    ) -> None:
        self.handle = handle
        self.tag = tag
        self.number = number
        self.prefetch_count = prefetch_count
        self.gate: Gate | None = None
        self.paused = False  # its queue was told to send nothing
        self._writer = writer
        self._channel = channel
        self._channel_bytes = channel.to_bytes(2, "big")
        self._unsettled = unsettled
        self.no_ack = no_ack
        self._cancel_on_failover = cancel_on_failover
        self._on_cancelled = on_cancelled
        self._heads: dict[Route, bytes] = {}

    def deliver(
        self, lease: Lease, positions: Sequence[int], messages: list[Message], redelivered: bool
    ) -> None:
        """Send messages to the client."""
        if self.no_ack:
            tag = self._unsettled.skip(len(messages))
        else:
            if self.gate is not None:
                count = self.gate.admit(self, len(messages))
                if count < len(messages):
                    surplus = list(positions[count:])
                    self.gate.return_surplus(self, lease, surplus, redelivered)
                    positions, messages = positions[:count], messages[:count]
                    if not count:
                        return
            tag = self._unsettled.add(lease, positions)
        writer = self._writer
        pack = _tag_and_flag.pack
        channel_bytes = self._channel_bytes
        size_max = writer.frame_size_max or 0xFFFFFFFF
        flag = 1 if redelivered else 0
        last_route: Route | None = None
        head = tail = b""
        parts: list[bytes] = []
        for route, frames in messages:
            if route is not last_route:
                last_route = route
                head = self._heads.get(route) or self._make_head(route)
                tail = route.tail
            if frames[1:3] != channel_bytes or len(frames) > size_max:
                frames = fit_content(frames, self._channel, writer.frame_size_max)
            parts += (head, pack(tag, flag), tail, frames)
            tag += 1
        writer.write(parts)

    def _make_head(self, route: Route) -> bytes:
        tag = self.tag.encode("utf-8", "surrogateescape")
        # class, method, consumer tag, delivery tag, redelivered, and the tail but its end octet
        size = 4 + 1 + len(tag) + 9 + len(route.tail) - 1
        head = _deliver_head.pack(1, self._channel, size, 60, 60) + bytes((len(tag),)) + tag
        if len(self._heads) >= HEADS_KEPT_MAX:
            self._heads.clear()
        self._heads[route] = head
        return head

    def cancelled(self) -> None:
        """The queue will send no more."""
        self._on_cancelled(self)

    def failed_over(self) -> bool:
        """The leader has changed; True: the client asked to hear of it, and the consumer ends."""
        if self._cancel_on_failover:
            self._on_cancelled(self)
        return self._cancel_on_failover
