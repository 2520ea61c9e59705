"""The coordinator's annals: what was decided, in which revision, and how much of it is durable.

Owns the revisions, the writes of each step and the commits under way; what is decided, and who
hears of it, is `cluster.coordinator`. A batch is what one revision changes; it may be told when the
commit that carries it is durable, not before.

The store may refuse (`failed`: the disk is full). Then nothing of that commit or of those behind it
was written: what they would have written is kept, merged, and handed over again with the next
change, or after `RETRY_US`. Batches wait meanwhile, and so do all that wait for them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from rabbitry.cluster.catalog import Catalog
from rabbitry.cluster.catalog_store import Counters, write_counters, writes_of
from rabbitry.cluster.records import Change
from rabbitry.machine import Commit

RETRY_US: Final = 1_000_000


@dataclass(slots=True)
class Batch:
    """What a revision changes. `commit` carries it; 0: the next one will."""

    revision: int
    changes: list[Change]
    commit: int = 0


class Annals:
    """See the module. `counters` tells what is kept besides the catalog, at each commit.

    `trouble` is why the store refuses, empty while it does not.
    """

    def __init__(self, catalog: Catalog, counters: Callable[[], Counters]) -> None:
        self.revision = 0
        self.trouble = ""
        self._catalog = catalog
        self._counters = counters
        self._made: list[Change] = []  # of the batch that is being made
        self._batches: list[Batch] = []
        self._writes: dict[bytes, bytes | None] = {}  # not handed over, or handed over in vain
        self._due = False  # to be handed over at the end of the step
        self._under_way: deque[tuple[int, dict[bytes, bytes | None]]] = deque()
        self._next_commit = 1

    def add(self, change: Change) -> None:
        """Make a change, as part of the next revision."""
        self._writes.update(writes_of(self._catalog, change))
        self._catalog.apply(change)
        self._made.append(change)

    def close_batch(self) -> None:
        """What was added since the last time is a revision, if it is anything."""
        if self._made:
            self.revision += 1
            self._batches.append(Batch(self.revision, self._made))
            self._made = []
            self._due = True

    def note(self) -> None:
        """Only the counters have changed: what comes next waits until that is durable."""
        self._batches.append(Batch(self.revision, []))
        self._due = True

    def retry(self) -> None:
        """Hand over again what the store has refused."""
        self._due |= bool(self.trouble) and not self._under_way

    def take_commit(self) -> Commit | None:
        """Return what is to be written at the end of a step."""
        if not self._due:
            return None
        key, value = write_counters(self._counters())
        writes = {**self._writes, key: value}
        number = self._next_commit
        self._next_commit += 1
        self._writes, self._due = {}, False
        self._under_way.append((number, writes))
        for batch in self._batches:
            batch.commit = batch.commit or number
        return Commit(number, list(writes.items()))

    def committed(self, commit: int) -> list[Batch]:
        """Return the batches that are durable now, by this commit and all before it."""
        while self._under_way and self._under_way[0][0] <= commit:
            self._under_way.popleft()
        durable = [batch for batch in self._batches if 0 < batch.commit <= commit]
        self._batches = self._batches[len(durable) :]
        return durable

    def failed(self, commit: int, reason: str) -> None:
        """Nothing of this commit or of any after it was written."""
        self.trouble = reason
        refused: dict[bytes, bytes | None] = {}
        while self._under_way and self._under_way[-1][0] >= commit:
            refused = self._under_way.pop()[1] | refused
        self._writes = refused | self._writes
        for batch in self._batches:
            if batch.commit >= commit:
                batch.commit = 0

    @property
    def durable(self) -> bool:
        """Whether all that was decided is in the store."""
        return not self._batches

    @property
    def durable_revision(self) -> int:
        """The last revision that is in the store."""
        return self._batches[0].revision - 1 if self._batches else self.revision
