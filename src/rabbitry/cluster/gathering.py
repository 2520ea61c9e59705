"""What a new leader asks the nodes before it lets anything out: who has which of the messages?

Told race by race, each with its test of the same name in tests/cluster/test_gathering.py:

acknowledged across a change. A channel lives on while its queue's leader changes, and its client
knows nothing of it. What it was sent it may still acknowledge, and what it has acknowledged may
have been lost on the way: the old leader had moved on, or had died, or its word came to the new one
too late. So each node says first what its channels hold, and what they have settled and cannot know
to be known (`Claimed`; `cluster.unsure` has the second). What is held stays with its channel, what
was settled goes, and only the rest is delivered again.

last word awaited. All of that is too late once a message is with another consumer. So nothing goes
out, and nothing that users ask is done, until every node of the cluster has spoken; also those that
have nothing to say, for the leader cannot know. A node that has left, or cannot be reached for some
time, is not waited for: what it has comes again. (So it is after a crash, marked `redelivered`.)

late word. A node that speaks later, because its link was broken or it was thought to be dead, gets
what still waits here. What is with another consumer stays there: both have it now, and the one that
has it here is listened to.

lost while gathering. The link to a node that has spoken breaks: its channels' business here ends,
as ever, and it has to speak again.

in the store only. What a channel holds must be in memory, for it may come back: it is read first.

Nothing can settle another message: a position names one for ever, and so does a queue's number a
queue, whatever is declared under its name later.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from rabbitry.broker.message import Message
from rabbitry.broker.positions import ranges_of, united
from rabbitry.broker.queue import Queue
from rabbitry.cluster.queue_records import Claimed, Range

# So many positions are read at a time.
READ_POSITIONS_MAX: Final = 1024


class Claims:
    """Carries out claims on a queue. `remove` and `reject` end what is taken from it."""

    def __init__(
        self,
        queue: Queue,
        remove: Callable[[list[Range]], None],
        reject: Callable[[list[tuple[int, Message]]], None],
    ) -> None:
        self._queue = queue
        self._remove = remove
        self._reject = reject

    def apply(self, claimed: Claimed) -> tuple[Claimed, list[Range]]:
        """Carry out one, on what waits.

        Return what of it concerns messages that are in the store only, and where these lie.
        """
        queue = self._queue
        taken, stored = queue.take_out(claimed.settled, stored_too=True)
        self._remove(united(ranges_of(sorted(at for at, _ in taken)), stored))
        taken, lying = queue.take_out(claimed.rejected, stored_too=False)
        self._reject(taken)
        left = Claimed(claimed.queue, claimed.epoch, [], [], _positions(lying))
        for holder, number, positions in claimed.owed:
            stored = queue.claim(holder, number, positions)
            if stored:
                left.owed.append((holder, number, _positions(stored)))
                lying = united(lying, stored)
        return left, lying


class Gathering:
    """See the module. `read` brings what lies there into memory; `done` is called once."""

    def __init__(
        self,
        names: Iterable[str],
        claims: Claims,
        read: Callable[[int, int, Callable[[], None]], None],
        done: Callable[[], None],
    ) -> None:
        self._awaited = dict.fromkeys(names)
        self._claims = claims
        self._read = read
        self._done = done
        self._claimed: list[tuple[str, Claimed]] = []
        self._postponed: list[tuple[str, Callable[[], None]]] = []
        self._applying = False

    @property
    def awaited(self) -> list[str]:
        """The nodes that have not spoken."""
        return list(self._awaited)

    def take(self, user: str, claimed: Claimed) -> None:
        """A node speaks."""
        self._claimed.append((user, claimed))
        self.give_up([user.partition("#")[0]])

    def give_up(self, names: Iterable[str]) -> None:
        """Wait no more for the word of these nodes."""
        for name in names:
            self._awaited.pop(name, None)
        if not self._awaited and not self._applying:
            self._applying = True
            self._apply()

    def lose(self, user: str) -> None:
        """A node is out of reach; if it lives, it will speak again."""
        self._claimed = [one for one in self._claimed if one[0] != user]
        self._postponed = [one for one in self._postponed if one[0] != user]
        if not self._applying:
            self._awaited[user.partition("#")[0]] = None

    def postpone(self, user: str, call: Callable[[], None]) -> None:
        """Do this when everybody has spoken."""
        self._postponed.append((user, call))

    def take_postponed(self) -> list[Callable[[], None]]:
        """Return what was postponed, in order."""
        return [call for _, call in self._postponed]

    def _apply(self) -> None:
        """Carry out what was claimed, and read what is needed for the rest of it."""
        left: list[tuple[str, Claimed]] = []
        lying: list[Range] = []
        for user, claimed in self._claimed:
            rest, ranges = self._claims.apply(claimed)
            if ranges:
                left.append((user, rest))
                lying = united(lying, ranges)
        self._claimed = left
        if lying:
            first, last = lying[0]
            self._read(first, min(last, first + READ_POSITIONS_MAX - 1), self._apply)
        else:
            self._done()


def _positions(ranges: Iterable[Range]) -> list[int]:
    return [at for first, last in ranges for at in range(first, last + 1)]
