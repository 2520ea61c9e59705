"""What was settled and may be forgotten if the leader changes: kept until it cannot be.

An acknowledgement travels from the node of its channel to the leader, and from there to the
mirrors, one of which may lead next. Nobody answers it: that would cost a record for each. So a node
keeps what its channels have settled (`Unsure`), asks now and then whether everything so far is
known to all mirrors that count (`Mark`), and tells the next leader what is left. The leader answers
when they hold the stream (`Marks`); it need not be on any disk, for what has died with a process
need not have been known.

Owns the bookkeeping of both sides; who says what to whom is `cluster.proxy` and `cluster.leader`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable


class Unsure:
    """What a proxy's channels have settled, in order, and the next leader may not know.

    What was acknowledged is kept as the list that it came in, so that it costs no more than that.
    """

    def __init__(self) -> None:
        # Lists of positions acknowledged, tuples of those rejected.
        self._entries: deque[list[int] | tuple[int, ...]] = deque()
        self.note = self._entries.append  # these have been acknowledged
        self._forgotten = 0  # entries, ever: so many stand before the first
        self._asked: int | None = None  # about so many, in this session

    def __bool__(self) -> bool:
        return bool(self._entries)

    def note_rejected(self, positions: list[int]) -> None:
        """A client has rejected these."""
        self._entries.append(tuple(positions))

    def ask(self) -> int | None:
        """Return the number to ask about; None: nothing is left, or an answer is awaited."""
        if not self._entries or self._asked is not None:
            return None
        self._asked = self._forgotten + len(self._entries)
        return self._asked

    def answered(self, number: int) -> None:
        """All that was noted before this number was asked about is known."""
        self._asked = None
        while self._forgotten < number and self._entries:
            self._entries.popleft()
            self._forgotten += 1

    def start_again(self) -> tuple[list[int], list[int]]:
        """A new session begins: return what it is to be told of, acknowledged and rejected."""
        self._asked = None
        settled: list[int] = []
        rejected: list[int] = []
        for positions in self._entries:
            (rejected if isinstance(positions, tuple) else settled).extend(positions)
        return settled, rejected

    def clear(self) -> None:
        """The queue is gone."""
        self._entries.clear()


class Marks:
    """Questions that a leader answers when its mirrors have come far enough."""

    def __init__(self, answer: Callable[[str, int], None]) -> None:
        self._answer = answer
        self._waiting: deque[tuple[int, str, int]] = deque()

    def add(self, sequence: int, user: str, number: int) -> None:
        """Answer this user when mirrors hold the stream through `sequence`."""
        self._waiting.append((sequence, user, number))

    def advance(self, held: int) -> None:
        """All mirrors that count hold the stream through this number."""
        while self._waiting and self._waiting[0][0] <= held:
            _, user, number = self._waiting.popleft()
            self._answer(user, number)
