"""Messages that a queue gives up: removed, or first brought to safety as dead letters.

Where the queue has a dead letter exchange, a message that it gives up stays in the stream, with a
holder of the leader's own, until the queues that its dead letter went to have it for good. Then it
is removed. If the leader dies in between, its successor has the message as one that came back, and
gives it up again or delivers it: a dead letter may come twice, but is never lost. (RabbitMQ's
classic queues publish without confirms, and may lose it: rabbit_dead_letter.erl.)

Very many may be given up at once: a hundred thousand that expire together, or a client that
refuses all it has. They leave in slices, one for each step and so many under way at most, for a
dead letter costs more than any other message, and the node has others to serve.

Before leadership is handed over this settles (`halt`, `settled`), or dead letters that are on their
way would come twice. What clients have rejected goes out first, for they were told nothing by which
it should come again; what expires meanwhile, or is too much, is there for the successor still.

Routing, and the shape of a dead letter, are behind the port.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final, Protocol

from rabbitry.broker.dead_letters import Reason
from rabbitry.broker.message import Message
from rabbitry.broker.positions import ranges_of
from rabbitry.broker.queue import Holder, Queue
from rabbitry.broker.queue_settings import REJECT_PUBLISH_DLX, QueueSettings
from rabbitry.cluster.queue_records import Range

# Names the holders; no channel's node has a name with a space in it.
HOLDER: Final = "dead letters"
SLICE_MESSAGES: Final = 256
UNDER_WAY_MESSAGES_MAX: Final = 16 * SLICE_MESSAGES


_Slice = tuple[Reason, Holder, list[Message]]


class DeadLetterPort(Protocol):
    """What this needs of the node."""

    def now(self) -> int:
        """Return the time, which is the same throughout a step."""
        ...

    def dead_letter(
        self, queue: int, reason: Reason, messages: list[Message], on_done: Callable[[], None]
    ) -> None:
        """Publish them to the dead letter exchange; `on_done` when they are safe or dropped."""
        ...


class DeadLettering:
    """See the module. `remove` takes messages out of the stream; `on_room`: `go_on` may do more."""

    def __init__(
        self,
        port: DeadLetterPort,
        number: int,
        queue: Queue,
        settings: QueueSettings,
        remove: Callable[[list[Range]], None],
        on_room: Callable[[], None],
    ) -> None:
        self._port = port
        self._number = number
        self._queue = queue
        self.settings = settings
        self._remove = remove
        self._on_room = on_room
        self._next = 1
        self._waiting: deque[_Slice] = deque()
        self._set_aside: deque[_Slice] | None = None  # while it is halted
        self._under_way = 0
        self._step_at = -1
        self._room = 0  # in this step

    def give_up(self, reason: Reason, entries: list[tuple[int, Message]]) -> None:
        """Dispose of messages that were taken from the queue, with their positions."""
        if not entries:
            return
        if self.settings.dead_letter_exchange is None:
            self._remove(ranges_of(sorted(position for position, _ in entries)))
            return
        for at in range(0, len(entries), SLICE_MESSAGES):
            part = entries[at : at + SLICE_MESSAGES]
            holder = (HOLDER, self._next)
            self._next += 1
            self._queue.hold(holder, part)
            waiting = self._waiting if self._set_aside is None else self._set_aside
            waiting.append((reason, holder, [message for _, message in part]))
        self.go_on()

    def halt(self) -> None:
        """Begin nothing new; only what clients have rejected so far goes out still."""
        if self._set_aside is None:
            self._set_aside = deque(one for one in self._waiting if one[0] != "rejected")
            self._waiting = deque(one for one in self._waiting if one[0] == "rejected")

    def resume(self) -> None:
        """Go on with everything: leadership stays."""
        self._waiting += self._set_aside or ()
        self._set_aside = None
        self._on_room()

    @property
    def settled(self) -> bool:
        """Whether nothing is on its way that was begun before it was halted."""
        return not self._waiting and not self._under_way

    @property
    def more(self) -> bool:
        """Whether there is something for `go_on` in a later step."""
        return bool(self._waiting) and self._under_way < UNDER_WAY_MESSAGES_MAX

    def go_on(self) -> None:
        """Publish what may go in this step of what waits."""
        if not self._waiting:
            return
        now = self._port.now()
        if now != self._step_at:
            self._step_at, self._room = now, SLICE_MESSAGES
        while self.more and self._room > 0:
            self._room -= len(self._waiting[0][2])
            self._publish(*self._waiting.popleft())

    def _publish(self, reason: Reason, holder: Holder, messages: list[Message]) -> None:
        def done() -> None:
            self._under_way -= len(messages)
            settled = self._queue.settle(holder, list(self._queue.held.get(holder, ())))
            self._remove(ranges_of(sorted(settled)))
            if self._waiting:
                self._on_room()

        self._under_way += len(messages)
        if self.settings.dead_letter_exchange is None:
            done()  # a policy that named one is gone
        else:
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
