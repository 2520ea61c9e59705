"""The prefetch that all consumers of a channel share: basic.qos with `global`.

At most `prefetch_count` deliveries are unacknowledged on the channel at any time. Each queue's
leader pushes to each consumer by itself, so a channel with several consumers can be sent more than
it may pass on. It passes on what there is room for and gives the rest back to where it was, having
stopped its consumers first. What a leader sent before it heard of this is still on the way; passing
that on when room appears would overtake what was given back. So after giving back, everything from
that queue is given back until the queue has answered a question put after it (`draining`): its
answers come in the order of its deliveries.

Decides only; `consumers` carries it out. A consumer runs while the channel is not stopped and its
queue is not draining.

RabbitMQ: rabbit_limiter.erl, in which the queues ask before they send, so that nothing need be
given back.
"""

from __future__ import annotations

from rabbitry.broker.ports import QueueHandle


class Limiter:
    """See the module. `prefetch_count` 0: no limit."""

    def __init__(self) -> None:
        self.prefetch_count = 0
        self.stopped = False  # no room: no consumer runs
        self._draining: dict[QueueHandle, None] = {}

    def admit(self, queue: QueueHandle, count: int, volume: int) -> int:
        """Return how many of `count` deliveries of `queue` go out; the rest must be given back.

        After fewer than `count`, the limiter is stopped and the queue drains.
        """
        if queue in self._draining:
            return 0
        if not self.prefetch_count:
            return count
        admitted = min(count, max(self.prefetch_count - volume, 0))
        self.stopped = self.stopped or admitted < count
        return admitted

    def stop_if_full(self, volume: int) -> bool:
        """Stop consumers before one is sent too much: those whose deliveries cannot be given back.

        True: they were going on until now.
        """
        if self.stopped or not self.prefetch_count or volume < self.prefetch_count:
            return False
        self.stopped = True
        return True

    def drain(self, queue: QueueHandle) -> bool:
        """Deliveries were given back. True: a question must be put to the queue behind them."""
        if queue in self._draining:
            return False
        self._draining[queue] = None
        return True

    def drained(self, queue: QueueHandle) -> None:
        """The queue has answered: what it sends from now on comes after what was given back."""
        self._draining.pop(queue, None)

    def resumes(self, volume: int) -> bool:
        """Deliveries were settled, or the limit is another. True: consumers go on."""
        if self.stopped and (not self.prefetch_count or volume < self.prefetch_count):
            self.stopped = False
            return True
        return False

    def share(self, prefetch_count: int) -> int:
        """Return how many a consumer with a prefetch of its own may be sent by its queue."""
        if not prefetch_count or not self.prefetch_count:
            return prefetch_count or self.prefetch_count
        return min(prefetch_count, self.prefetch_count)

    def runs(self, queue: QueueHandle) -> bool:
        """Whether consumers of this queue may be sent more."""
        return not self.stopped and queue not in self._draining
