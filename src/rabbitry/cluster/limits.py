"""How old messages of a queue may be, how many it may have, how long it may go unused.

Owns the arithmetic, on the leader's queue and settings; what becomes of messages that are given up,
and who is told of those that are refused, is `cluster.leader`'s. Times are microseconds of the
node's clock since 1970, because they travel to mirrors, which may lead later.

Lengths count what waits, not what is out. Where mirrors are awaited, something may wait that a
consumer has room for: it is counted as gone already, as it would be in a queue without mirrors.

RabbitMQ: rabbit_amqqueue_process.erl message_properties/3, will_overflow/2, maybe_drop_head/2,
drop_expired_msgs/1, ensure_expiry_timer/1.
"""

from __future__ import annotations

from typing import Final

from rabbitry.broker.message import Message
from rabbitry.broker.positions import ranges_of
from rabbitry.broker.queue import AT_ONCE, Queue
from rabbitry.broker.queue_settings import QueueSettings
from rabbitry.cluster.queue_records import Range
from rabbitry.wire.frames import content_body_size_bytes
from rabbitry.wire.properties import EXPIRATION, expiration_ms_of

# More than any queue can have waiting.
UNLIMITED: Final = 1 << 62
NEVER: Final = -1


class Limits:
    """See the module."""

    def __init__(self, queue: Queue, settings: QueueSettings, now: int) -> None:
        self._queue = queue
        self.settings = settings
        self._used_at = now

    def touch(self, now: int) -> None:
        """Somebody uses the queue."""
        self._used_at = now

    def expiries(self, messages: list[Message], now: int) -> list[int]:
        """Return when messages of one route expire, as `Queue.publish` takes it."""
        ttl_ms = self.settings.message_ttl_ms
        if not messages:
            return []
        if not messages[0][0].flags & EXPIRATION:
            return [] if ttl_ms is None else [_due(now, ttl_ms)]
        found = []
        for _, frames in messages:
            own_ms = expiration_ms_of(frames)
            least = [one for one in (ttl_ms, own_ms) if one is not None]
            found.append(_due(now, min(least)) if least else NEVER)
        return found

    def admit(
        self, messages: list[Message], last: int
    ) -> tuple[list[Message], list[Message], list[Range]]:
        """Return what a queue that refuses when it is full takes, and the rest with its numbers.

        `last` is the number of the last message. Each is judged as if those before it had gone to
        the consumers that have room for them.
        """
        settings, queue = self.settings, self._queue
        length_max = UNLIMITED if settings.length_max is None else settings.length_max
        bytes_max = settings.length_bytes_max
        credit = queue.consumers.credit(UNLIMITED)
        length = max(queue.ready_count - credit, 0)
        room_out = max(credit - queue.ready_count, 0)
        size_bytes = queue.ready_bytes if length else 0
        taken: list[Message] = []
        refused: list[Message] = []
        numbers: list[int] = []
        for number, message in enumerate(messages, last - len(messages) + 1):
            body = content_body_size_bytes(message[1]) if bytes_max is not None else 0
            if length >= length_max or (bytes_max is not None and size_bytes + body > bytes_max):
                refused.append(message)
                numbers.append(number)
                continue
            taken.append(message)
            if room_out:
                room_out -= 1
            else:
                length += 1
                size_bytes += body
        return taken, refused, ranges_of(numbers)

    def drop(self) -> list[tuple[int, Message]]:
        """Take from the front what is too much, once consumers have what they have room for."""
        settings = self.settings
        if not settings.bounded or settings.rejects_publishes or self._queue.consumers.credit(1):
            return []
        return self._queue.drop_over(settings.length_max, settings.length_bytes_max)

    def unused(self, now: int) -> bool:
        """Whether nobody has used the queue for as long as it may go unused."""
        due = self._unused_at()
        return due is not None and due <= now

    def _unused_at(self) -> int | None:
        expires_ms = self.settings.expires_ms
        if expires_ms is None or self._queue.consumers:
            return None
        return self._used_at + expires_ms * 1000

    def next_due(self) -> int | None:
        """Return when the next of these limits will be passed, if time alone can do it."""
        dues = [
            due for due in (self._queue.next_expiry(), self._unused_at()) if due is not None and due
        ]
        return min(dues) if dues else None


def _due(now: int, ttl_ms: int) -> int:
    return now + ttl_ms * 1000 if ttl_ms else AT_ONCE
