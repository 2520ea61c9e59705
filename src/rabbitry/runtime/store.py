"""The seam behind which what a machine commits is kept, and the store that keeps it in memory.

The driver gathers the commits of one turn of the event loop into one call of `commit` (group
commit) and tells the machine `Committed` when that call is done. A store knows ordered keys and
atomic batches, nothing else: no tables, no queries, no meaning of a key.

Invariants: a batch is kept as a whole or not at all; of two writes to one key in a batch the later
one counts; `load` returns keys in ascending order.
"""

from __future__ import annotations

from collections.abc import Awaitable, Iterable
from typing import Protocol


class Store(Protocol):
    """What the driver needs of a store."""

    def load(self) -> list[tuple[bytes, bytes]]:
        """Return all that is kept, as (key, value) in ascending order of keys."""
        ...

    def commit(self, writes: list[tuple[bytes, bytes | None]]) -> Awaitable[None] | None:
        """Write a batch atomically; a value of `None` deletes its key.

        Returns `None` when the batch is durable on return, otherwise an awaitable that ends when it
        is. The driver starts no further commit before that. Raises OSError if the world refuses.
        """
        ...


class MemoryStore:
    """Keeps everything in this process: as durable as the process, and it promises no more."""

    __slots__ = ("_values",)

    def __init__(self, stored: Iterable[tuple[bytes, bytes]] = ()) -> None:
        self._values: dict[bytes, bytes] = dict(stored)

    def load(self) -> list[tuple[bytes, bytes]]:
        """Return all that is kept, as (key, value) in ascending order of keys."""
        return sorted(self._values.items())

    def commit(self, writes: list[tuple[bytes, bytes | None]]) -> None:
        """Write a batch; a value of `None` deletes its key, whether it is there or not."""
        for key, value in writes:
            if value is None:
                self._values.pop(key, None)
            else:
                self._values[key] = value
