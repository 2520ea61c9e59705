"""Before leaders end: they let nothing more out, and what is on its way settles.

Told race by race, each with its test of the same name in tests/cluster/test_quiescing.py:

dead letters come once. A message whose dead letter is on its way is removed when that is safe. Were
the leader another by then, it would not know, and have it dead-lettered again: unmarked, for a dead
letter is a new message. So none is begun any more, those under way are waited for, and all mirrors
that count have to know of their removal.

gone without an acknowledgement. What consumers without acknowledgements were sent is removed as it
goes out. A successor that does not know of it delivers it again. So nothing goes out any more, and
the removals have to be known.

rejected at the last moment. A rejection that comes meanwhile is not carried out, and the node that
sent it does not hear that it is known; so it tells the next leader (`cluster.unsure`).

nobody takes over. If leadership stays after all, it goes on after `RESUME_US`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from rabbitry.cluster.leader import QueueLeader
from rabbitry.machine import MICROSECONDS_PER_SECOND

# Longer than the coordinator waits before it hands over all the same.
RESUME_US: Final = 3 * MICROSECONDS_PER_SECOND


class _Wait(NamedTuple):
    leaders: list[QueueLeader]
    done: Callable[[], None]
    also: Callable[[], bool]


class Quiescing:
    """See the module. `leads` says whether a leader still is one."""

    def __init__(self, leads: Callable[[QueueLeader], bool]) -> None:
        self._leads = leads
        self._waits: list[_Wait] = []
        self._resume_at: dict[QueueLeader, int] = {}
        self._now = 0

    def begin(
        self,
        leaders: list[QueueLeader],
        done: Callable[[], None],
        also: Callable[[], bool] | None = None,
    ) -> None:
        """Have them let nothing more out; call `done` when all has settled.

        With `also`, which has to be so besides, they will not go on: the node ends.
        """
        for leader in leaders:
            leader.quiesce()
            if also is None:
                self._resume_at[leader] = self._now + RESUME_US
            else:
                self._resume_at.pop(leader, None)
        self._waits.append(_Wait(leaders, done, also or _yes))

    def look(self) -> None:
        """Tell those who wait. Called at the end of each step."""
        if not self._waits:
            return
        waits, self._waits = self._waits, []
        for wait in waits:
            left = [one for one in wait.leaders if self._leads(one) and not one.quiet]
            if left or not wait.also():
                self._waits.append(wait._replace(leaders=left))
            else:
                wait.done()

    def tick(self, now: int) -> None:
        """Go on with what nobody took over."""
        self._now = now
        for leader, at in list(self._resume_at.items()):
            if now >= at or not self._leads(leader):
                del self._resume_at[leader]
                if self._leads(leader):
                    leader.resume()


def _yes() -> bool:
    return True
