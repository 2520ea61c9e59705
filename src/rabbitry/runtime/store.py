"""The seam behind which what a machine commits is kept, and the store that keeps it in memory.

The driver gathers the commits of one turn of the event loop into one call of `commit` (group
commit) and tells the machine `Committed` when that call is done. A store knows ordered keys and
atomic batches, nothing else: no tables, no queries, no meaning of a key, but that bulk values
(`machine.BULK`) are read one by one when they are wanted.

A key has from 1 to 511 bytes (LMDB's limit). `IDENTITY` is the store's own: a name that no other
store has, made with it; it is among what a store on disk loads.

Invariants: a batch is kept as a whole or not at all; of two writes to one key in a batch the later
one counts; `load` returns keys in ascending order; no value is given out that is not what was
written.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Protocol

from rabbitry.machine import BULK, Started, Value

Values = list[Value | None]
Take = Callable[[Values], None]

IDENTITY = b"store"
"""The key of the store's name: 32 hexadecimal digits."""


class Store(Protocol):
    """What the driver needs of a store."""

    def load(self) -> Started:
        """Return all that is kept: see `machine.Started`. Called once, before anything else."""
        ...

    def commit(self, writes: list[tuple[bytes, bytes | None]]) -> Awaitable[None] | None:
        """Write a batch atomically; a value of `None` deletes its key.

        Returns `None` when the batch is durable on return, otherwise an awaitable that ends when it
        is. The driver starts no further commit before that. Raises OSError if the world refuses,
        out of the call or the awaitable: nothing of the batch is written then.
        """
        ...

    def read(self, keys: list[bytes], take: Take) -> Awaitable[None] | None:
        """Call `take` with the values of bulk keys, None for one that is not there or is damaged.

        They are good until it returns, and perhaps no longer. Returns `None` if that has been done,
        otherwise an awaitable that ends when it has. Not called any more after `close`.
        """
        ...

    def reusable_bytes(self) -> int:
        """Return how much of its room on the disk it can write again, since nothing is in it."""
        ...

    def close(self) -> None:
        """Give the store back. Nothing is called afterwards."""
        ...


class MemoryStore:
    """Keeps everything in this process: as durable as the process, and it promises no more."""

    __slots__ = ("_values",)

    def __init__(self, stored: Iterable[tuple[bytes, bytes]] = ()) -> None:
        self._values: dict[bytes, bytes] = dict(stored)

    def load(self) -> Started:
        """Return all that is kept."""
        return started(self._values)

    def commit(self, writes: list[tuple[bytes, bytes | None]]) -> None:
        """Write a batch; a value of `None` deletes its key, whether it is there or not."""
        for key, value in writes:
            if value is None:
                self._values.pop(key, None)
            else:
                self._values[key] = value

    def read(self, keys: list[bytes], take: Take) -> None:
        """Call `take` with the values of these keys."""
        take([self._values.get(key) for key in keys])

    def reusable_bytes(self) -> int:
        """It has no room on a disk."""
        return 0

    def close(self) -> None:
        """Nothing is held."""


def started(values: dict[bytes, bytes]) -> Started:
    """Return what a machine is started with that has kept these values."""
    stored = sorted((key, value) for key, value in values.items() if not key.startswith(BULK))
    return Started(stored, sorted(key for key in values if key.startswith(BULK)))
