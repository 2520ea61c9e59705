"""Publisher confirms of one channel: what the queues have taken, or refused, told to the client.

A run of publishes has one `PublishReceipt`, which each of its queues tells what became of it. What
is settled in order goes out as few frames, `multiple` set, at the end of the step; what is settled
before older publishes are goes out one by one. A message that any of its queues refuses is nacked.

Each publish is answered once. Every frame, also one with `multiple`, bears a tag that no frame has
answered before, for there are clients that drop what they hear about any other (aiormq). A frame
with `multiple` answers what the client still has outstanding through that tag, and all of that is
settled alike.

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
_TOLD: Final = -1  # what remains of a run that the client has been told of before its turn


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
        # What is to be told next, settled in order: (_ACK or _NACK, tag, multiple) in turn, and
        # after these a confirm of what is between the tags `_first` and `_through` and has not been
        # told before its turn; neither of the two has. There is none where `_through` is 0.
        self._turns: list[tuple[int, int, bool]] = []
        self._first = 0
        self._through = 0
        self._single: list[PublishReceipt] = []

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
        while waiting and (remaining := waiting[0].remaining) <= 0:
            receipt = waiting.popleft()
            if remaining == _TOLD:
                continue
            if receipt.refused:
                self._take_in_turn(receipt, receipt.refused)
                continue
            if not self._through:
                self._first = receipt.first
            self._through = receipt.last

    def _take_in_turn(self, receipt: PublishReceipt, refused: dict[int, None]) -> None:
        """Have acks and nacks sent in turn: each takes all that is settled alike since the last."""
        turns = self._turns
        for tag in range(receipt.first, receipt.last + 1):
            if tag not in refused:
                if not self._through:
                    self._first = tag
                self._through = tag
                continue
            if self._through:
                turns.append((_ACK, self._through, self._through > self._first))
                self._through = 0
            elif turns:  # the last of them is a nack
                turns.pop()
            turns.append((_NACK, tag, True))  # as RabbitMQ: `multiple` also where it is alone

    def flush(self, channel: int) -> list[bytes]:
        """Return the frames that tell what was settled since the last call."""
        frames = []
        if self._turns:
            frames += [_frame(channel, *turn) for turn in self._turns]
            self._turns.clear()
        through = self._through
        if through:
            frames.append(_frame(channel, _ACK, through, through > self._first))
            self._through = 0
        if self._single:
            self._flush_single(channel, frames)
        return frames

    def _flush_single(self, channel: int, frames: list[bytes]) -> None:
        """Tell, one by one, what is settled but for which it is not the turn yet."""
        waiting = self._waiting
        oldest = waiting[0].first if waiting else self._next
        for receipt in self._single:
            if receipt.first > oldest:  # else its turn has come since it was settled
                refused = receipt.refused or {}
                frames += [
                    _frame(channel, _NACK if tag in refused else _ACK, tag, False)
                    for tag in range(receipt.first, receipt.last + 1)
                ]
                receipt.remaining = _TOLD
        self._single.clear()


def _frame(channel: int, method: int, tag: int, multiple: bool) -> bytes:
    flags = int(multiple) | (_REQUEUE if method == _NACK else 0)
    return _settle_frame.pack(1, channel, 13, 60, method, tag, flags, 0xCE)
