"""A node and its store: from what is found at the start to the orderly stop.

Owns when the node may join (all that was found is in its place, and the word of an orderly stop is
taken back), what people and other nodes hear of a store that refuses, and the order of an end: the
clients are gone, what was on its way has settled (`cluster.quiescing`), nothing goes out any more,
everything is written.
"""

from __future__ import annotations

from typing import Final, Protocol

from rabbitry.cluster.alarming import Alarming
from rabbitry.cluster.catalog import Catalog
from rabbitry.cluster.hosting import Hosting
from rabbitry.cluster.node_store import NodeStore
from rabbitry.cluster.recovering import Recovering
from rabbitry.machine import (
    MICROSECONDS_PER_SECOND,
    Address,
    Answer,
    CommitFailed,
    Committed,
    Effect,
    Entropy,
    Loaded,
    Started,
    Stop,
)

SHUTDOWN_US: Final = MICROSECONDS_PER_SECOND
DAMAGED: Final = "messages of a queue are damaged in the store"
SHUTDOWN_TEXT: Final = "CONNECTION_FORCED - broker forced connection closure with reason 'shutdown'"


class KeepingPort(Protocol):
    """What it needs of its node."""

    def report(self, level: str, what: str, **details: object) -> None:
        """Tell people."""
        ...

    def emit(self, effect: Effect) -> None:
        """Have this done by the driver."""
        ...

    def recovered(self, address: Address) -> None:
        """All that was kept is in its place, and other nodes reach this one at `address`: join."""
        ...


class Keeping:
    """See the module. `hosting` is to be set before the first event."""

    hosting: Hosting

    def __init__(
        self,
        port: KeepingPort,
        alarming: Alarming,
        entropy: Entropy,
    ) -> None:
        self.store = NodeStore(self, entropy)
        self.ending = False  # no more clients are taken
        self._closing = False  # those there are were asked to go
        self._settling = False  # they are gone
        self._port = port
        self._alarming = alarming
        self._recovered = False
        self._catalog: Catalog | None = None
        self._address: Address | None = None
        self._asked: int | None = None  # the number of the question to end
        self._until = 0

    def take(self, event: Started | Committed | CommitFailed | Loaded, now: int) -> None:
        """Take an event of the store."""
        match event:
            case Committed():
                self.store.committed(event.commit)
            case CommitFailed():
                self.store.failed(event.reason, now)
            case Loaded():
                self.store.loaded(event.load, event.values)
            case Started():
                self._start(event)

    # --- the beginning ----------------------------------------------------------------------------

    def _start(self, event: Started) -> None:
        self.store.start(event)
        for queue in self.store.damaged:
            self._port.report("error", DAMAGED, number=queue)
        hosting = self.hosting
        Recovering(self.store, hosting.routes, hosting.recover, self._all_recovered).begin()

    def _all_recovered(self) -> None:
        self._recovered = True
        self._join()

    def listening(self, address: Address) -> None:
        """Other nodes reach this one at `address`."""
        self._address = address
        self._join()

    def welcomed(self, catalog: Catalog) -> None:
        """The catalog is known: say the names of queues of which only the numbers were known."""
        if self._catalog is None:
            for queue in self.store.damaged:
                if queue in catalog.queues:
                    self._port.report("error", DAMAGED, **_named(catalog, queue))
        self._catalog = catalog

    def _join(self) -> None:
        if self._recovered and self._address is not None:
            self._port.recovered(self._address)

    # --- what the store needs ---------------------------------------------------------------------

    def queue_stored(self, queue: int) -> None:
        """More of what this queue's store was given is durable."""
        self.hosting.stored(queue)

    def store_refuses(self, reason: str) -> None:
        """The disk takes nothing at present; empty: it does again."""
        if reason:
            what = "the store cannot be written: publishers are blocked and confirms wait"
            self._port.report("error", what, reason=reason)
        else:
            self._port.report("warning", "the store can be written again")
        self._alarming.changed("store", "disk", bool(reason))

    def store_failed(self, queue: int) -> None:
        """What was written of this queue cannot be read again: the process must end."""
        named = _named(self._catalog, queue)
        self._port.report("error", "the store is damaged: this node ends", **named)
        self._port.emit(Stop("the store is damaged"))

    # --- the end ----------------------------------------------------------------------------------

    def end(self, number: int, now: int) -> None:
        """The clients are to go; answer this number when all is written."""
        self.ending = True
        self._asked, self._until = number, now + SHUTDOWN_US

    def may_close(self, idle: bool, now: int) -> bool:
        """Whether clients are to be closed now: once, when no confirm is owed, or after a while."""
        if not self.ending or self._closing or not (idle or now >= self._until):
            return False
        self._closing, self._until = True, now + SHUTDOWN_US
        return True

    def clients_left(self, count: int) -> None:
        """So many are there still. None: let everything settle, then end."""
        if not count and self._closing and not self._settling:
            self._settling = True
            self.hosting.wind_up(self._settled)

    def _settled(self) -> None:
        """Let nothing more out, and write that this is all."""
        if not self.hosting.halted:
            self.hosting.halted = True
            self.store.stop(self._answer)

    def tick(self, now: int) -> bool:
        """Try again what was refused. True: clients that are still there are to be cut off."""
        self.store.tick(now)
        if self._asked is None or not self._closing or now < self._until:
            return False
        if self._settling:
            self._settled()  # other nodes do not answer
        if now >= self._until + SHUTDOWN_US:
            self._answer()  # the disk refuses: what is unsaid is unsaid
        return True

    def _answer(self) -> None:
        if self._asked is not None:
            self._port.emit(Answer(self._asked, None))
            self._asked = None


def _named(catalog: Catalog | None, queue: int) -> dict[str, object]:
    """Return what people are told of a queue: its name too, where it is known."""
    entry = catalog.queues.get(queue) if catalog is not None else None
    if entry is None:
        return {"number": queue}
    declared = entry.declared
    return {"number": queue, "queue": declared.name, "virtual_host": declared.virtual_host}
