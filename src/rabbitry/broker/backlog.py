"""What waits in a queue behind its front: a line of stretches, each in memory or in the store only.

A *stretch* is a run of consecutive positions that all hold a message. Owns where each of these
messages is, and what should be loaded next; reading and writing the store, and what it has, are not
its business.

Everything works from one end of the line: what is loaded stands near the front, what has just been
stored near the tail. So the length of the line costs nothing.

Invariants: stretches stand in order of position and do not overlap; `count` is how many messages
all have together, `stored_count` how many of these are in the store only.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, MutableSequence, Sequence
from itertools import islice
from typing import Final

from rabbitry.broker.message import Message, MessagesAt
from rabbitry.broker.positions import count_of, cut, runs_within, without

# So many stretches, and messages of each, are looked at for an estimate of their size.
SAMPLED_STRETCHES: Final = 64
SAMPLED_MESSAGES: Final = 8
# What a message takes in memory besides its octets: a tuple, a bytes object, a place in a deque.
MESSAGE_OVERHEAD_BYTES: Final = 104

Range = tuple[int, int]


class Stretch:
    """Positions `first` to `last`, both held; their messages, or None: in the store only."""

    __slots__ = ("first", "last", "messages")

    def __init__(self, first: int, last: int, messages: deque[Message] | None) -> None:
        self.first = first
        self.last = last
        self.messages = messages


class Backlog:
    """See the module."""

    __slots__ = ("_line", "count", "stored_count")

    def __init__(self) -> None:
        self._line: deque[Stretch] = deque()
        self.count = 0
        self.stored_count = 0

    @property
    def first(self) -> int:
        """The position of the first message; there has to be one."""
        return self._line[0].first

    def ranges(self) -> list[Range]:
        """Return the positions held, ascending."""
        return [(one.first, one.last) for one in self._line]

    def runs(self) -> Iterator[tuple[int, deque[Message]]]:
        """Give the stretches that are in memory, as (first position, messages)."""
        for one in self._line:
            if one.messages is not None:
                yield one.first, one.messages

    def memory_bytes(self) -> int:
        """Return about how much memory the messages here take."""
        line = self._line
        step = len(line) // SAMPLED_STRETCHES | 1  # odd, for what alternates
        sampled = [line[at].messages for at in range(0, len(line), step)]
        found = [messages for messages in sampled if messages]
        count = sum(map(len, found))
        if not count:
            return 0
        in_memory = self.count - self.stored_count
        return sum(map(memory_bytes_of, found)) * in_memory // count

    # --- in and out -------------------------------------------------------------------------------

    def append(self, first: int, messages: deque[Message]) -> None:
        """Add messages, from position `first` on, behind everything."""
        self.count += len(messages)
        _join(self._line, first, messages)

    def append_stored(self, first: int, last: int) -> None:
        """Add messages that are in the store only, behind everything."""
        self.count += last - first + 1
        self.stored_count += last - first + 1
        end = self._line[-1] if self._line else None
        if end is not None and end.messages is None and end.last + 1 == first:
            end.last = last
        else:
            self._line.append(Stretch(first, last, None))

    def prepend(self, first: int, messages: deque[Message]) -> None:
        """Add messages, from position `first` on, before everything."""
        self.count += len(messages)
        self._line.appendleft(Stretch(first, first + len(messages) - 1, messages))

    def take_front(self) -> tuple[int, deque[Message]] | None:
        """Take the first stretch, as (first position, messages). None: it must be loaded first."""
        front = self._line[0]
        if front.messages is None:
            return None
        self._line.popleft()
        self.count -= len(front.messages)
        return front.first, front.messages

    def take_out(
        self, ranges: Sequence[Range], *, stored_too: bool
    ) -> tuple[list[tuple[int, Message]], list[Range]]:
        """Take messages out of the line, wherever they stand; `ranges` ascend.

        Return what was in memory, with its positions, and what is in the store only. That stays,
        unless `stored_too`.
        """
        taken: list[tuple[int, Message]] = []
        stored: list[Range] = []
        touched: list[Stretch] = []
        while ranges and self._line and self._line[0].first <= ranges[-1][1]:
            touched.append(self._line.popleft())
        left: list[Stretch] = []
        at = -1
        rest: Iterator[Message] | None = None
        for first, last, inside in cut([(one.first, one.last) for one in touched], ranges):
            if at < 0 or first > touched[at].last:
                at += 1
                messages = touched[at].messages
                rest = None if messages is None else iter(messages)
            part = None if rest is None else deque(islice(rest, last - first + 1))
            if inside and part is not None:
                taken += enumerate(part, first)
                self.count -= len(part)
                continue
            if inside:
                stored.append((first, last))
                if stored_too:
                    self.count -= last - first + 1
                    self.stored_count -= last - first + 1
                    continue
            left.append(Stretch(first, last, part))
        self._line.extendleft(reversed(left))
        return taken, stored

    def clear(self) -> None:
        """Forget everything."""
        self._line.clear()
        self.count = self.stored_count = 0

    # --- out of memory and back -------------------------------------------------------------------

    def page_out(self, stored: Sequence[Range], keep: int) -> list[Range]:
        """Drop from memory what is in `stored` (ascending); return the positions dropped.

        The first `keep` messages of the line stay as they are.
        """
        kept_before, kept_in_memory = self._front_of(keep)
        if kept_before is None or not stored:
            return []
        start = max(kept_before, stored[0][0])
        line: list[Stretch] = []
        # Whatever is in the store only, before the first that could be dropped, is not looked at.
        while self.count - self.stored_count > kept_in_memory and self._line[-1].last >= start:
            line.append(self._take_last())
        line.reverse()
        dropped: list[Range] = []
        rest: Iterator[Message] | None = None
        at = -1
        parts = [(max(first, start), last) for first, last in stored if last >= start]
        for first, last, inside in cut([(one.first, one.last) for one in line], parts):
            if at < 0 or first > line[at].last:
                at += 1
                messages = line[at].messages
                rest = None if messages is None else iter(messages)
            part = None if rest is None else deque(islice(rest, last - first + 1))
            if part is not None and not inside:
                self.append(first, part)
                continue
            self.append_stored(first, last)
            if part is not None:
                dropped.append((first, last))
        return dropped

    def _take_last(self) -> Stretch:
        last = self._line.pop()
        size = last.last - last.first + 1
        self.count -= size
        if last.messages is None:
            self.stored_count -= size
        return last

    def _front_of(self, count: int) -> tuple[int | None, int]:
        """Return the position behind the first `count` messages, and how many are in memory.

        None: there is nothing behind them.
        """
        in_memory = 0
        for one in self._line:
            size = one.last - one.first + 1
            here = min(count, size)
            in_memory += here if one.messages is not None else 0
            if count < size:
                return one.first + count, in_memory
            count -= size
        return None, in_memory

    def next_stored(self, memory_max: int, stored_max: int) -> Range | None:
        """Return where the first messages lie that are in the store only.

        From the first of them on as many as `stored_max`. None if `memory_max` messages, or more,
        stand before them in memory.
        """
        if not self.stored_count:
            return None
        first = last = None
        for one in self._line:
            size = one.last - one.first + 1
            if one.messages is None:
                size = min(size, stored_max)
                first = one.first if first is None else first
                last = one.first + size - 1
                stored_max -= size
            else:
                memory_max -= size
            if memory_max <= 0 or stored_max <= 0:
                break
        return None if first is None or last is None else (first, last)

    def put_in(
        self, first: int, last: int, runs: Sequence[MessagesAt]
    ) -> tuple[list[MessagesAt], list[Range]]:
        """Put messages in their places that were loaded from the store: all that it has there.

        Those that are no longer wanted fall away. What the store has not is no longer held
        afterwards. Return what was put in its place, and the positions of what the store lacks.
        """
        passed: list[Stretch] = []
        placed: list[MessagesAt] = []
        lacking: list[Range] = []
        while self._line and self._line[0].first <= last:
            one = self._line.popleft()
            if one.messages is not None or one.last < first:
                passed.append(one)
                continue
            start, end = max(one.first, first), min(one.last, last)
            if one.first < start:
                passed.append(Stretch(one.first, start - 1, None))
            found = runs_within(runs, start, end)
            lacking += without([(start, end)], [(at, at + len(held) - 1) for at, held in found])
            placed += found
            passed += _stretches(found)
            if end < one.last:
                self._line.appendleft(Stretch(end + 1, one.last, None))
                break
        self._line.extendleft(reversed(passed))
        self.count -= count_of(lacking)
        self.stored_count -= sum(len(held) for _, held in placed) + count_of(lacking)
        return placed, lacking


def _stretches(runs: Sequence[MessagesAt]) -> list[Stretch]:
    """Return runs as stretches in memory: as one what follows one another without a gap."""
    found: list[Stretch] = []
    for first, messages in runs:
        _join(found, first, deque(messages))
    return found


def _join(line: MutableSequence[Stretch], first: int, messages: deque[Message]) -> None:
    """Add messages behind a line: to its last stretch, if they follow it in memory."""
    end = line[-1] if line else None
    if end is not None and end.messages is not None and end.last + 1 == first:
        end.messages.extend(messages)
        end.last += len(messages)
    else:
        line.append(Stretch(first, first + len(messages) - 1, messages))


def memory_bytes_of(messages: Sequence[Message]) -> int:
    """Return about how much memory messages take: some of them are looked at."""
    if not messages:
        return 0
    step = len(messages) // SAMPLED_MESSAGES | 1
    sizes = [len(messages[at][1]) for at in range(0, len(messages), step)]
    return (sum(sizes) // len(sizes) + MESSAGE_OVERHEAD_BYTES) * len(messages)
