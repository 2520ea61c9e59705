"""What publishers were promised and what consumers were given, compared.

Owns the promises to clients as checks: a confirmed message arrives; one that arrives twice is
marked `redelivered`, unless its publisher sent it twice; each consumer sees what a publisher sent
once, and what was not redelivered, in the order it was sent. Safe for threads; whoever waits for
something to be so gets it or an error that says what was awaited.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable

WAIT_S = 20.0
"""Far longer than a failover takes."""


class Ledger:
    """Bodies are `PUBLISHER NUMBER`, the numbers of a publisher rising."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._sent: Counter[str] = Counter()
        self._confirmed: dict[str, None] = {}
        self._missing: dict[str, None] = {}  # confirmed, and not delivered yet
        self._received: dict[str, list[bool]] = {}  # the redelivered flag of each delivery
        self._acknowledged: dict[str, None] = {}
        self._returned: Counter[str] = Counter()  # deliveries after the acknowledgement
        self._by_consumer: dict[str, list[tuple[str, bool]]] = {}
        self.breaks: Counter[str] = Counter()  # how often each client lost its connection

    # --- what clients tell ----------------------------------------------------------------------

    def sent(self, body: str) -> None:
        """It is being published: once more, if it was before."""
        with self._changed:
            self._sent[body] += 1

    def confirmed(self, body: str) -> None:
        """The broker has taken responsibility for it."""
        with self._changed:
            self._confirmed[body] = None
            if body not in self._received:
                self._missing[body] = None
            self._changed.notify_all()

    def received(self, consumer: str, body: str, redelivered: bool) -> None:
        """It was delivered."""
        with self._changed:
            self._received.setdefault(body, []).append(redelivered)
            self._missing.pop(body, None)
            if body in self._acknowledged:
                self._returned[body] += 1
            self._by_consumer.setdefault(consumer, []).append((body, redelivered))
            self._changed.notify_all()

    def acknowledged(self, bodies: list[str]) -> None:
        """Their consumer has sent the acknowledgement; nobody tells it whether it got there."""
        with self._changed:
            self._acknowledged |= dict.fromkeys(bodies)
            self._changed.notify_all()

    def broke(self, client: str) -> None:
        """A client lost its connection, or its channel, or was cancelled."""
        with self._changed:
            self.breaks[client] += 1
            self._changed.notify_all()

    # --- what tests await -----------------------------------------------------------------------

    def confirmed_count(self, publisher: str = "") -> int:
        """How many messages were confirmed, of one publisher or of all."""
        with self._changed:
            return sum(body.startswith(publisher) for body in self._confirmed)

    def backlog(self) -> int:
        """How many of the bodies that were confirmed have not been delivered yet."""
        with self._changed:
            return len(self._missing)

    def received_count(self, consumer: str) -> int:
        """How many deliveries a consumer has had."""
        with self._changed:
            return len(self._by_consumer.get(consumer, ()))

    def wait(self, what: str, so: Callable[[], bool], wait_s: float = WAIT_S) -> None:
        """Return as soon as it is so."""
        with self._changed:
            if not self._changed.wait_for(so, wait_s):
                raise AssertionError(f"not within {wait_s} s: {what}; {self.summary()}")

    def wait_progress(self, consumers: list[str], confirms: int = 30) -> None:
        """Wait until `confirms` more messages are confirmed and each consumer has had some more."""
        marks = {consumer: self.received_count(consumer) + 5 for consumer in consumers}
        confirmed = self.confirmed_count() + confirms
        self.wait(f"{confirms} more confirms", lambda: self.confirmed_count() >= confirmed)
        for consumer, mark in marks.items():
            self.wait(
                f"more for consumer {consumer}",
                lambda consumer=consumer, mark=mark: self.received_count(consumer) >= mark,
            )

    def all_arrived(self) -> bool:
        """Say whether every confirmed body was delivered."""
        with self._changed:
            return not self._missing

    def summary(self) -> str:
        """Tell the figures."""
        with self._changed:
            return (
                f"{len(self._sent)} bodies sent, {len(self._confirmed)} confirmed, "
                f"{len(self._received)} received, {len(self._acknowledged)} acknowledged "
                f"({len(self._returned)} of these came again), missing {list(self._missing)[:5]}, "
                f"breaks {dict(self.breaks)}"
            )

    # --- the promises ---------------------------------------------------------------------------

    def check(self) -> None:
        """Fail where a promise was broken."""
        assert self._confirmed, "nothing was confirmed, so nothing was shown"
        assert self.all_arrived(), self.summary()
        unknown = [body for body in self._received if body not in self._sent]
        assert not unknown, f"never sent: {unknown[:5]}"
        unmarked = {
            body: flags
            for body, flags in self._received.items()
            if flags.count(False) > self._sent[body]
        }
        assert not unmarked, f"doubled without a mark: {dict(list(unmarked.items())[:5])}"
        for consumer, deliveries in self._by_consumer.items():
            last: dict[str, int] = {}
            for body, redelivered in deliveries:
                publisher, _, number = body.partition(" ")
                if redelivered or self._sent[body] > 1:
                    continue
                assert int(number) > last.get(publisher, -1), (
                    f"consumer {consumer} had {body} after {last[publisher]}"
                )
                last[publisher] = int(number)
