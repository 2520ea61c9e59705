"""What waits in a queue behind its front: a line of stretches, each in memory or in the store only.

A *stretch* is a run of consecutive positions that all hold a message. Owns where each of these
messages is; reading and writing the store, and who may forget what, are not its business.

Invariants: stretches stand in order of position and do not overlap; no two neighbours that are in
the store only follow one another without a gap (they are one); `count` is how many messages all
stretches have together.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from rabbitry.broker.message import Message


class Stretch:
    """Positions `first` to `last`, both held; their messages, or None: in the store only."""

    __slots__ = ("first", "last", "messages")

    def __init__(self, first: int, last: int, messages: deque[Message] | None) -> None:
        self.first = first
        self.last = last
        self.messages = messages


class Backlog:
    """See the module."""

    __slots__ = ("_line", "count")

    def __init__(self) -> None:
        self._line: deque[Stretch] = deque()
        self.count = 0

    @property
    def first(self) -> int:
        """The position of the first message; there has to be one."""
        return self._line[0].first

    def append(self, first: int, messages: deque[Message]) -> None:
        """Add messages, from position `first` on, behind everything."""
        self.count += len(messages)
        end = self._line[-1] if self._line else None
        if end is not None and end.messages is not None and end.last + 1 == first:
            end.messages.extend(messages)
            end.last += len(messages)
        else:
            self._line.append(Stretch(first, first + len(messages) - 1, messages))

    def append_stored(self, first: int, last: int) -> None:
        """Add messages that are in the store only, behind everything."""
        self.count += last - first + 1
        end = self._line[-1] if self._line else None
        if end is not None and end.messages is None and end.last + 1 == first:
            end.last = last
        else:
            self._line.append(Stretch(first, last, None))

    def take_front(self) -> tuple[int, deque[Message]] | None:
        """Take the first stretch, as (first position, messages). None: it must be loaded first."""
        front = self._line[0]
        if front.messages is None:
            return None
        self._line.popleft()
        self.count -= len(front.messages)
        return front.first, front.messages

    def ranges(self) -> list[tuple[int, int]]:
        """Return the positions held, ascending."""
        return [(one.first, one.last) for one in self._line]

    def runs(self) -> Iterator[tuple[int, deque[Message]]]:
        """Give the stretches that are in memory, as (first position, messages)."""
        for one in self._line:
            if one.messages is not None:
                yield one.first, one.messages

    def clear(self) -> None:
        """Forget everything."""
        self._line.clear()
        self.count = 0
