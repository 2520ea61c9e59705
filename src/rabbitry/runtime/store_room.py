"""Room on the disk for a store: what LMDB can take again, and the reserve that lets it delete.

LMDB's file never shrinks, and LMDB copies pages before it frees any: on a disk that the store
itself has filled not even a batch that only deletes can be written. So blocks are allocated behind
the end of the file, ahead of use (fallocate(2), KEEP_SIZE: the file stays as long as what is in
it), and a batch that writes bulk values is refused when it would leave less than the reserve. Where
blocks cannot be allocated ahead there is no reserve, and batches fail when the disk says so.

Used by the thread that commits only; `reusable_bytes` by any.
"""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import lmdb

from rabbitry.machine import BULK

RESERVE_BYTES = 4 << 20
"""Enough to delete some thousand keys at once."""

_PART_OF_DISK = 20  # on a small disk, which several nodes may share, the reserve is such a part
_STEP_PART = 4  # allocated at once beyond the reserve: such a part of it
_GRAIN_BYTES = 64 << 10
_KEEP_SIZE = 1  # FALLOC_FL_KEEP_SIZE
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


def reusable_bytes(
    environment: lmdb.Environment,
    transaction: lmdb.Transaction[bytes] | lmdb.Transaction[memoryview],
    tables: Sequence[lmdb._Database],
) -> int:
    """Return the bytes of the pages that neither these tables nor that of their names use.

    Some of them LMDB takes two commits later, or when readers that still see them have ended.
    """
    main = environment.stat()
    pages = 2 + sum(  # the two meta pages
        stat["branch_pages"] + stat["leaf_pages"] + stat["overflow_pages"]
        for stat in [main, *map(transaction.stat, tables)]
    )
    return max(0, environment.info()["last_pgno"] + 1 - pages) * main["psize"]


def _room_of(record_bytes: int, page_bytes: int) -> int:
    """Return what a record takes with its header: whole pages, or its part of one half full."""
    record_bytes += 16
    return min(2 * record_bytes, -(-record_bytes // page_bytes) * page_bytes)


def _of_c_library() -> Callable[[int, int, int, int], int] | None:
    """Return fallocate(2): `os` has but posix_fallocate, which makes the file longer."""
    library = ctypes.CDLL(None, use_errno=True)
    found = getattr(library, "fallocate64", None) or getattr(library, "fallocate", None)
    if found is None:
        return None
    found.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)
    call: Callable[[int, int, int, int], int] = found
    return call


_fallocate = _of_c_library()


class Reserve:
    """The blocks that are allocated behind the end of the file `data`."""

    def __init__(self, data: Path) -> None:
        self._data = data
        disk = os.statvfs(data)
        self._bytes = min(RESERVE_BYTES, disk.f_blocks * disk.f_frsize // _PART_OF_DISK)
        self._allocated_to = 0  # all below is, as far as this process knows

    def claim(
        self,
        environment: lmdb.Environment,
        transaction: lmdb.Transaction[bytes],
        tables: Sequence[lmdb._Database],
        records: list[tuple[bytes, bytes | None]],
    ) -> None:
        """See that the reserve outlasts a batch. Raises OSError (ENOSPC) if it would not.

        Called at the begin of its transaction. A batch without bulk values may use the reserve.
        """
        page_bytes = environment.stat()["psize"]
        wanted = sum(
            _room_of(len(key) + len(record), page_bytes)
            for key, record in records
            if record is not None and key.startswith(BULK)
        )
        if not wanted:
            return
        end = (environment.info()["last_pgno"] + 1) * page_bytes
        if self._allocated_to >= end + wanted + self._bytes:
            return
        try:
            if self._ahead(end, wanted):
                return
        except OSError:
            return  # it cannot be done here, or not now: what LMDB says counts
        left = max(0, self._allocated_to - end)
        left += reusable_bytes(environment, transaction, tables)
        if left < wanted + self._bytes:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _ahead(self, end: int, wanted: int) -> bool:
        """Allocate what is wanted beyond `end` and the reserve, or what there is of the reserve."""
        file = os.open(self._data, os.O_RDWR | os.O_CLOEXEC)
        try:
            enough = end + wanted + self._bytes
            if self._allocate(file, enough + self._bytes // _STEP_PART):
                return True
            if self._allocate(file, enough):
                return True
            low, high = max(self._allocated_to, end), end + self._bytes
            while high - low > _GRAIN_BYTES:
                middle = (low + high) // 2
                if self._allocate(file, middle):
                    low = middle
                else:
                    high = middle
            return False
        finally:
            os.close(file)

    def _allocate(self, file: int, length: int) -> bool:
        """Allocate all below `length`; False: no room. Raises OSError if it cannot be done here."""
        if _fallocate is None:
            raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))
        if _fallocate(file, _KEEP_SIZE, 0, length) == 0:
            self._allocated_to = max(self._allocated_to, length)
            return True
        error = ctypes.get_errno()
        if error in _NO_ROOM:
            return False
        raise OSError(error, os.strerror(error))
