"""Where all queues go when a node comes, leaves, or is about to: `placement`, queue by queue.

Owns what the coordinator knows of stores, for by that it is judged what a node's replicas are worth
(see `cluster.placement`), and what people are told of losses. Yields changes one by one; each is to
be applied before the next is asked for, so that new leaders spread by what each leads by then.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from rabbitry.cluster.catalog import Catalog, QueueEntry
from rabbitry.cluster.declarations import delete_dead, delete_owned, delete_transient_exchanges
from rabbitry.cluster.placement import (
    End,
    is_kept,
    place_handed_over,
    place_with,
    place_without,
)
from rabbitry.cluster.records import Change, Join, NodeJoined, NodeLeft, QueueDeleted, QueuePlaced
from rabbitry.cluster.stores import Stores


class Reporting(Protocol):
    """How people are told."""

    def __call__(self, level: str, what: str, **details: str) -> None:
        """Say a line of the log."""
        ...


class Relocation:
    """See the module."""

    def __init__(self, catalog: Catalog, report: Reporting) -> None:
        self.stores = Stores({}, {})
        self._catalog = catalog
        self._report = report

    def joined(self, joined: NodeJoined) -> Iterator[Change]:
        """Let a node in: it leads what only it can, and mirrors what it shall."""
        yield joined
        for entry in self._catalog.queues.values():
            damaged = self.stores.damaged_on(entry)
            before = entry.placed
            complete = joined.name in before.in_sync or joined.name in before.stored
            placed = place_with(self._catalog, entry, joined.name, damaged)
            if placed is not None:
                yield placed
                # That others are damaged is no loss where this one has everything.
                if damaged and not complete and placed.leader == joined.name:
                    self._report_loss(entry, "forsaken")

    def left(self, name: str, incarnation: str, dead: bool) -> Iterator[Change]:
        """Take a node out; if it is dead, what lived and died with it goes as well."""
        catalog = self._catalog
        if name in catalog.nodes or dead:
            yield NodeLeft(name, incarnation, dead)
        if dead:
            yield from delete_owned(catalog, f"{name}#{incarnation}/")
        kept = self.stores.keeps(name)
        yield from self._without(name, "away" if not dead else "dead" if kept else "lost")
        if not catalog.nodes and not catalog.away:
            yield from delete_transient_exchanges(catalog)

    def store_told(self, join: Join) -> Iterator[Change]:
        """Another process of a node tells what it has found in its store."""
        name = join.name
        if self.stores.joined(name, join.store):
            self._report("error", "node has another store: what it had is lost", node=name)
            yield from self._without(name, "lost")
        for number in join.damaged:
            entry = self._catalog.queues.get(number)
            if entry is None or not is_kept(entry):
                continue
            self._report("error", "replica is damaged", node=name, **_named(entry))
            if entry.placed.leader not in self._catalog.nodes:
                self.stores.damage(number, name)
            yield from self._entry_without(entry, name, "damaged")

    def handed_over(self, name: str, kept: list[dict[str, str]]) -> Iterator[Change]:
        """Have others lead what this node leads; add what nobody else can lead to `kept`."""
        for entry in self._catalog.queues.values():
            declared = entry.declared
            if entry.placed.leader == name and not declared.owner:
                placed = place_handed_over(self._catalog, entry)
                if placed is not None:
                    yield placed
                else:
                    kept.append({"vhost": declared.virtual_host, "name": declared.name})

    def to_hand_over(self, name: str) -> list[int]:
        """Return the queues that this node leads and another can."""
        return [
            entry.number
            for entry in self._catalog.queues.values()
            if entry.placed.leader == name
            and not entry.declared.owner
            and place_handed_over(self._catalog, entry) is not None
        ]

    def applied(self, change: Change) -> None:
        """A change was made: what is led, or gone, has no damage that anybody waits for."""
        if isinstance(change, QueueDeleted) or (
            isinstance(change, QueuePlaced) and change.leader in self._catalog.nodes
        ):
            self.stores.damaged.pop(change.queue, None)

    def _without(self, name: str, end: End) -> Iterator[Change]:
        for entry in list(self._catalog.queues.values()):
            yield from self._entry_without(entry, name, end)

    def _entry_without(self, entry: QueueEntry, name: str, end: End) -> Iterator[Change]:
        damaged = self.stores.damaged_on(entry)
        departure = place_without(self._catalog, entry, name, end, damaged)
        if departure is None:
            return
        if departure.placed is None:
            yield from delete_dead(self._catalog, entry)
            return
        yield departure.placed
        if departure.loss:
            self._report_loss(entry, departure.loss)

    def _report_loss(self, entry: QueueEntry, loss: str) -> None:
        if loss == "forsaken":
            what = "queue has lost all replicas that held everything"
        else:
            what = "queue waits: the replica that held everything is damaged"
        self._report("error", what, **_named(entry))


def _named(entry: QueueEntry) -> dict[str, str]:
    return {"queue": entry.declared.name, "virtual_host": entry.declared.virtual_host}
