"""When to start a process again that has died: at once, then ever later while it keeps dying.

Owns the decision for one process; knows no process. A death is one of a row if the process had run
for less than `SETTLED_US`; the first of a row is answered at once, each further one after twice the
delay of the one before, up to `DELAY_MAX_US`. A process that had settled begins a new row, so one
that is killed now and then comes back at once each time.
"""

from __future__ import annotations

SETTLED_US = 5_000_000
DELAY_FIRST_US = 250_000
DELAY_MAX_US = 8_000_000


class Restarts:
    """The deaths of one process."""

    __slots__ = ("_deaths_in_row", "total")

    def __init__(self) -> None:
        self.total = 0
        self._deaths_in_row = 0

    def died(self, started_at: int, now: int) -> int:
        """Note a death and return the delay before the next start, in microseconds.

        `started_at` and `now` are microseconds of one clock.
        """
        self.total += 1
        if now - started_at >= SETTLED_US:
            self._deaths_in_row = 0
        self._deaths_in_row += 1
        if self._deaths_in_row == 1:
            return 0
        # The shift is bounded: a process that dies all day must not make a number of a mile.
        return min(DELAY_FIRST_US << min(self._deaths_in_row - 2, 16), DELAY_MAX_US)
