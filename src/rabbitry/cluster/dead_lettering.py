"""Messages that a queue gives up: removed, or first brought to safety as dead letters.

Where the queue has a dead letter exchange, a message that it gives up stays in the stream, with a
holder of the leader's own, until the queues that its dead letter went to have it for good. Then it
is removed. If the leader dies in between, its successor has the message as one that came back, and
gives it up again or delivers it: a dead letter may come twice, but is never lost. (RabbitMQ's
classic queues publish without confirms, and may lose it: rabbit_dead_letter.erl.)

Routing, and the shape of a dead letter, are behind the port.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

from rabbitry.broker.dead_letters import Reason
from rabbitry.broker.message import Message
from rabbitry.broker.positions import ranges_of
from rabbitry.broker.queue import Queue
from rabbitry.broker.queue_settings import REJECT_PUBLISH_DLX, QueueSettings
from rabbitry.cluster.queue_records import Range

# Names the holders; no channel's node has a name with a space in it.
HOLDER: Final = "dead letters"


class DeadLetterPort(Protocol):
    """What this needs of the node."""

    def dead_letter(
        self, queue: int, reason: Reason, messages: list[Message], on_done: Callable[[], None]
    ) -> None:
        """Publish them to the dead letter exchange; `on_done` when they are safe or dropped."""
        ...


class DeadLettering:
    """See the module. `remove` takes messages out of the stream."""

    def __init__(
        self,
        port: DeadLetterPort,
        number: int,
        queue: Queue,
        settings: QueueSettings,
        remove: Callable[[list[Range]], None],
    ) -> None:
        self._port = port
        self._number = number
        self._queue = queue
        self.settings = settings
        self._remove = remove
        self._next = 1

    def give_up(self, reason: Reason, entries: list[tuple[int, Message]]) -> None:
        """Dispose of messages that were taken from the queue, with their positions."""
        if not entries:
            return
        if self.settings.dead_letter_exchange is None:
            self._remove(ranges_of(sorted(position for position, _ in entries)))
            return
        holder = (HOLDER, self._next)
        self._next += 1
        self._queue.hold(holder, entries)

        def done() -> None:
            settled = self._queue.settle(holder, list(self._queue.held.get(holder, ())))
            self._remove(ranges_of(sorted(settled)))

        messages = [message for _, message in entries]
        self._port.dead_letter(self._number, reason, messages, done)

    def refused(self, messages: list[Message]) -> None:
        """There was no room for these: nothing is kept, their publisher knows."""
        settings = self.settings
        if (
            messages
            and settings.overflow == REJECT_PUBLISH_DLX
            and settings.dead_letter_exchange is not None
        ):
            self._port.dead_letter(self._number, "maxlen", messages, _nothing)


def _nothing() -> None:
    """There is nothing left to do."""
