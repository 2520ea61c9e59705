"""Publisher confirms of one channel: what the queues have taken, or refused, told to the client.

A run of publishes has one `PublishReceipt`, which each of its queues tells what became of it. What
is settled in order goes out as few frames, `multiple` set, at the end of the step; what is settled
before older publishes are goes out one by one. A message that any of its queues refuses is nacked.

Specification: RabbitMQ's extension to AMQP, confirm.select, basic.nack; RabbitMQ:
rabbit_channel.erl send_confirms_and_nacks/1, rabbit_confirms.erl.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from struct import Struct
from typing import Final

# basic.ack and basic.nack as frames: type, channel, size, class, method, delivery tag, flags (1 is
# multiple; 2 requeue, which RabbitMQ leaves at its default, true, in the nacks that it sends), end
# octet.
_settle_frame = Struct(">BHIHHQBB")
_ACK: Final = 80
_NACK: Final = 120
_REQUEUE: Final = 2


class PublishReceipt:
    """A run in confirm mode: publishes `first` to `last`, which `remaining` queues have to take.

    `refused` holds the numbers of those that a queue did not take, None where there are none.
    """

    __slots__ = ("confirms", "first", "last", "refused", "remaining")

    def __init__(self, confirms: Confirms, first: int, last: int, remaining: int) -> None:
        self.confirms = confirms
        self.first = first
        self.last = last
        self.remaining = remaining
        self.refused: dict[int, None] | None = None

    def settled(self) -> None:
        """One of the queues is done with the run."""
        self.remaining -= 1
        if not self.remaining:
            self.confirms.take(self)

    def rejected(self, first: int, count: int) -> None:
        """One of the queues has refused messages of the run, `first` by its index in it."""
        if self.refused is None:
            self.refused = {}
        start = self.first + first
        self.refused.update(dict.fromkeys(range(start, start + count)))


class Confirms:
    """Publisher confirms of one channel, sent in as few frames as their order allows.

    `wants_flush` is called when there is something to `flush` at the end of the step.
    """

    def __init__(self, wants_flush: Callable[[], None]) -> None:
        self._wants_flush = wants_flush
        self._next = 1
        self._waiting: deque[PublishReceipt] = deque()
        self._through = 0  # everything through this number is to be confirmed at once
        self._confirmed_through = 0
        self._single: list[PublishReceipt] = []
        self._refused: list[int] = []  # of those through `_through`, in order

    def expect(self, count: int, queues: int) -> PublishReceipt:
        """Number `count` publishes; they are confirmed when `queues` have taken them."""
        receipt = PublishReceipt(self, self._next, self._next + count - 1, queues)
        self._next += count
        self._waiting.append(receipt)
        if not queues:
            self.take(receipt)
        return receipt

    def take(self, receipt: PublishReceipt) -> None:
        """All its queues are done with a run."""
        self._wants_flush()
        waiting = self._waiting
        if waiting[0] is not receipt:
            self._single.append(receipt)
            return
        while waiting and not waiting[0].remaining:
            receipt = waiting.popleft()
            self._through = receipt.last
            # Those that came before their turn and were flushed since have been nacked already.
            if receipt.refused:
                self._refused += sorted(receipt.refused)

    def flush(self, channel: int) -> list[bytes]:
        """Return the frames that tell what was settled since the last call."""
        frames = []
        through = self._through
        if through:
            if self._refused:
                frames += self._in_turn(channel)
            else:
                multiple = through > self._confirmed_through + 1
                frames.append(_frame(channel, _ACK, through, multiple))
            self._confirmed_through = through
        for receipt in self._single:
            if receipt.first > through:
                refused = receipt.refused or {}
                frames += [
                    _frame(channel, _NACK if tag in refused else _ACK, tag, False)
                    for tag in range(receipt.first, receipt.last + 1)
                ]
                receipt.refused = None
        self._through = 0
        self._single.clear()
        self._refused.clear()
        return frames

    def _in_turn(self, channel: int) -> list[bytes]:
        """Return acks and nacks in turn: each takes all that is settled alike since the last."""
        frames = []
        start = self._confirmed_through + 1
        refused = self._refused
        i = 0
        while i < len(refused):
            first = refused[i]
            if start < first:
                frames.append(_frame(channel, _ACK, first - 1, first - 1 > start))
            while i + 1 < len(refused) and refused[i + 1] == refused[i] + 1:
                i += 1
            frames.append(_frame(channel, _NACK, refused[i], True))  # as RabbitMQ: also alone
            start = refused[i] + 1
            i += 1
        if start <= self._through:
            frames.append(_frame(channel, _ACK, self._through, self._through > start))
        return frames


def _frame(channel: int, method: int, tag: int, multiple: bool) -> bytes:
    flags = int(multiple) | (_REQUEUE if method == _NACK else 0)
    return _settle_frame.pack(1, channel, 13, 60, method, tag, flags, 0xCE)
