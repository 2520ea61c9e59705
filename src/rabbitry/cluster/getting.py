"""Those who ask a queue for one message (`basic.get`), until the head of the queue may be seen."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Protocol

from rabbitry.broker.message import run_of
from rabbitry.broker.queue import Holder, Queue
from rabbitry.cluster.queue_records import Got, Range, Record


class GettingPort(Protocol):
    """What this needs of the node."""

    def tell_user(self, user: str, record: Record) -> None:
        """Send a record to the node that uses the queue, or hand it over where that is this one."""
        ...


class Getting:
    """See the module. `expire` gives up what is due at the front; `remove` ends messages."""

    def __init__(
        self,
        port: GettingPort,
        number: int,
        epoch: int,
        queue: Queue,
        expire: Callable[[int], bool],
        remove: Callable[[list[Range]], None],
    ) -> None:
        self._port = port
        self._number = number
        self._epoch = epoch
        self._queue = queue
        self._expire = expire
        self._remove = remove
        self._waiting: deque[tuple[str, int, Holder, bool]] = deque()

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, user: str, request: int, holder: Holder, no_ack: bool) -> None:
        """Somebody asks; `answer` follows."""
        self._waiting.append((user, request, holder, no_ack))

    def release(self, holder: Holder) -> None:
        """A channel has ended."""
        self._waiting = deque(one for one in self._waiting if one[2] != holder)

    def release_user(self, user: str) -> None:
        """A node is gone, or out of reach."""
        self._waiting = deque(one for one in self._waiting if one[0] != user)

    def answer(self, now: int) -> None:
        """Answer those who can be."""
        queue = self._queue
        while self._waiting and (queue.may_go() or not queue.ready_count):
            if self._expire(now):
                continue
            user, request, holder, no_ack = self._waiting.popleft()
            got = queue.get(holder, no_ack)
            if got is None:
                record = Got(self._number, self._epoch, request, 0, False, None, 0)
            else:
                position, redelivered, message = got
                if no_ack:
                    self._remove([(position, position)])
                run = run_of([message])
                self._expire(now)
                remaining = queue.ready_count
                record = Got(
                    self._number, self._epoch, request, position, redelivered, run, remaining
                )
            self._port.tell_user(user, record)
