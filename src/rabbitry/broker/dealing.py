"""Who consumes a queue, and whose turn it is.

Consumers of higher priority (`x-priority`) come first; among those of the same priority that can
take messages, each gets one in turn. In a queue with a single active consumer one gets all: the
first to come, and when it has gone the first of those that wait, by priority. The others hold
nothing and take nothing.

RabbitMQ: rabbit_queue_consumers.erl; rabbit_amqqueue_process.erl
maybe_deliver_or_enqueue/3, new_single_active_consumer_after_basic_cancel/5.
"""

from __future__ import annotations

from collections.abc import Iterator

# A channel, as queues know it: the node (with its incarnation) it is on, and its number there.
Holder = tuple[str, int]


class Consumer:
    """One subscription. `prefetch_count` 0 means no limit; it counts only where acks are due.

    `shares_limit`: its channel has a limit for all its consumers and may give back what is too
    much. It is dealt one message at a time, so that what its channel keeps comes before that.
    """

    __slots__ = (
        "exclusive",
        "holder",
        "no_ack",
        "number",
        "outstanding",
        "paused",
        "prefetch_count",
        "priority",
        "shares_limit",
    )

    def __init__(
        self,
        holder: Holder,
        number: int,
        *,
        no_ack: bool = False,
        prefetch_count: int = 0,
        exclusive: bool = False,
        priority: int = 0,
        shares_limit: bool = False,
    ) -> None:
        self.holder = holder
        self.number = number
        self.no_ack = no_ack
        self.prefetch_count = prefetch_count
        self.exclusive = exclusive
        self.priority = priority
        self.shares_limit = shares_limit
        self.outstanding = 0
        self.paused = False  # its client does not read fast enough

    def credit(self, wanted: int) -> int:
        """Return how many of `wanted` messages it may get now."""
        if self.paused:
            return 0
        if self.no_ack or not self.prefetch_count:
            return wanted
        return min(wanted, max(self.prefetch_count - self.outstanding, 0))


class QueueConsumers:
    """The consumers of one queue, in order of priority, then of arrival."""

    def __init__(self, single_active: bool = False) -> None:
        self.single_active = single_active
        self._all: list[Consumer] = []
        self._dealt: list[Consumer] = self._all  # those that get messages
        self._of_one_priority = True
        self._turn = 0

    def __len__(self) -> int:
        return len(self._all)

    def __iter__(self) -> Iterator[Consumer]:
        return iter(self._all)

    def add(self, consumer: Consumer) -> None:
        """Add one, behind those of the same priority."""
        at = len(self._all)
        while at and self._all[at - 1].priority < consumer.priority:
            at -= 1
        self._all.insert(at, consumer)
        self._changed()

    def remove(self, holder: Holder, number: int) -> bool:
        """Take one away. True: it was there."""
        found = self.find(holder, number)
        if found is not None:
            self._all.remove(found)
            self._changed()
        return found is not None

    def remove_all_of(self, holder: Holder) -> bool:
        """Take away those of a channel. True: it had any."""
        before = len(self._all)
        self._all = [one for one in self._all if one.holder != holder]
        self._changed()
        return len(self._all) != before

    def find(self, holder: Holder, number: int) -> Consumer | None:
        """Return one, or None."""
        for consumer in self._all:
            if consumer.holder == holder and consumer.number == number:
                return consumer
        return None

    def _changed(self) -> None:
        everyone = self._all
        if not self.single_active:
            self._dealt = everyone
        elif not (self._dealt and self._dealt is not everyone and self._dealt[0] in everyone):
            self._dealt = everyone[:1]
        self._of_one_priority = len({one.priority for one in self._dealt}) <= 1

    def credit(self, wanted: int) -> int:
        """Return how many of `wanted` messages they may get now, all together."""
        credit = 0
        for consumer in self._dealt:
            credit += consumer.credit(wanted)
            if credit >= wanted:
                return wanted
        return credit

    def alone(self) -> Consumer | None:
        """Return the one that gets everything, if there is just one."""
        return self._dealt[0] if len(self._dealt) == 1 else None

    def _able(self) -> list[Consumer]:
        """Return those among whom the next messages are dealt; not all may have credit."""
        if self._of_one_priority:
            return self._dealt
        able = [one for one in self._dealt if one.credit(1)]
        return [one for one in able if one.priority == able[0].priority]

    def next_able(self) -> Consumer | None:
        """Return whose turn it is, or None if nobody can take a message."""
        able = self._able()
        for _ in able:
            self._turn %= len(able)
            consumer = able[self._turn]
            self._turn += 1
            if consumer.credit(1):
                return consumer
        return None

    def deal(self, first: int, available: int) -> list[tuple[Consumer, list[int]]]:
        """Deal out positions from `first` on, as many of `available` as can be taken in turn.

        Those of highest priority that can take any come alone; call again for the others.
        """
        able = self._able()
        if any(consumer.shares_limit for consumer in able):
            available = 1
        credits = [consumer.credit(available) for consumer in able]
        count = min(available, sum(credits))
        shares: list[list[int]] = [[] for _ in able]
        turn = self._turn
        for position in range(first, first + count):
            turn %= len(able)
            while not credits[turn]:
                turn = (turn + 1) % len(able)
            credits[turn] -= 1
            shares[turn].append(position)
            turn += 1
        self._turn = turn
        return [(one, share) for one, share in zip(able, shares, strict=True) if share]
