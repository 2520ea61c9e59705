"""When a worker process hangs: it gave no sign of life after several pings in a row.

Owns the decision, and the words in which people hear of workers; knows no process and no clock. The
first process pings all its workers in rounds (`Rounds`) and asks the `Vigil` of each what to think.
HAProxy's watchdog (src/wdt.c) ends the whole process when a thread is stuck; here what is stuck is
a process, and the others go on.

The first process may itself have been stopped, or have had no time, and then a worker's answer
lies unread: what is counted are pings that had their time, never seconds. A round that begins late
says nothing about a worker, neither good nor bad, and the pings of the next have their time anew.

Invariants: a sign of life clears everything; a worker is called hung once.
"""

from __future__ import annotations

PING_INTERVAL_S = 1.0

PINGS_MAX = 4
"""After so many pings in a row without a sign of life a worker hangs."""

STARTING_PINGS_MAX = 30
"""The same for one that has never given any: it may have a slow disk to start from."""

DIED = "a worker process died, another takes its place"
HUNG = "a worker process gives no sign of life and is killed, another takes its place"
STARTED_AGAIN = "a worker process is started again"
CANNOT_START = "cannot start a worker process"
CANNOT_KILL = "cannot kill a worker process that gives no sign of life"
ABOUT_WORKERS = frozenset((DIED, HUNG, STARTED_AGAIN, CANNOT_START, CANNOT_KILL))


class Rounds:
    """The times at which all workers are pinged."""

    __slots__ = ("_last_at",)

    def __init__(self) -> None:
        self._last_at: int | None = None

    def begin(self, now: int, interval_us: int) -> bool:
        """Begin a round; return whether it comes in time: at most half an interval late."""
        last_at, self._last_at = self._last_at, now
        return last_at is not None and now - last_at <= interval_us * 3 // 2


class Vigil:
    """What the first process thinks of one worker. Ask `is_hung` once a round, then ping it."""

    __slots__ = ("_is_called_hung", "_signs", "unanswered")

    def __init__(self) -> None:
        self._signs: int | None = None  # None: not pinged yet
        self._is_called_hung = False
        self.unanswered = 0

    def is_silent(self, signs: int) -> bool:
        """Whether it has not answered in time, nor anything has come of it since: nobody should
        wait for it. `signs` counts what has ever come of it."""
        return self.unanswered > 0 and signs == self._signs

    def is_hung(self, signs: int, *, in_time: bool) -> bool:
        """Judge at the begin of a round: whether it hangs, which is said once.

        `signs` counts what has ever come of it; `in_time` is what `Rounds.begin` returned.
        """
        before, self._signs = self._signs, signs
        if before is None or signs != before:
            self.unanswered = 0
            return False
        if not in_time:
            return False
        self.unanswered += 1
        hangs = self.unanswered >= (PINGS_MAX if signs else STARTING_PINGS_MAX)
        if not hangs or self._is_called_hung:
            return False
        self._is_called_hung = True
        return True
