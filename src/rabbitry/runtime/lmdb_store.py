"""The store on disk: LMDB, one sync for each batch, checked on the way in and out.

Two tables, one for small values and one for bulk values (`machine.BULK`). A record is the CRC-32 of
key and value, then the value: LMDB has no checksums of its own, and a value that is not what was
written is never given out.

Threads: one commits, one reads, one looks through the bulk values after the start; the event loop
waits for none of them. A read sees what was committed when it was asked for, however late it comes
to be read, because its transaction begins then.

The map grows when it is full, by opening the environment again: the only time that readers and
the committing thread wait for each other. After an error the batch is gone as a whole and the store
goes on; should LMDB declare itself unusable (it does when it could not write a meta page), it is
opened again. A disk that is full takes batches that only delete all the same: see `store_room`.

Never used in a process that was forked from the one that opened it: LMDB's locks and the flock of
the directory would be shared by both.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import shutil
import sys
import threading
from collections.abc import Awaitable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from time import monotonic

import lmdb
from zlib_ng.zlib_ng import crc32

from rabbitry.machine import BULK, Entropy, Started
from rabbitry.runtime.errors import UserError
from rabbitry.runtime.store import IDENTITY, Take
from rabbitry.runtime.store_directory import StoreDamaged, StoreDirectory, os_error
from rabbitry.runtime.store_loans import Loan, Loans
from rabbitry.runtime.store_room import Reserve, reusable_bytes

MAP_BYTES = 1 << 30
"""Size of the map at first: address space, not memory, and not disk."""

CHECK_S = 1.0
"""How long the start waits for bulk values to be checked; the others are checked behind it."""

SWITCH_INTERVAL_S = 0.000_2
"""How long a thread that wants Python's lock waits before it is given up for it.

A commit takes the lock some ten times. With the usual 5 ms and a busy event loop one took 25 ms,
with this it takes 1 ms, and the event loop is as fast (decision 13).
"""

_READERS_MAX = 1024
_SUM_BYTES = 4
_LOCK_BYTES = (_READERS_MAX + 64) * 64  # 64 for each reader, and a header
_TABLES = (b"small", b"bulk")
_CHECK_REST = 4  # the thread that checks sleeps so many times as long as it works
_CHECK_STRETCH = 64
_ROOM_BYTES = 1 << 20  # what a commit may take besides its values

_log = logging.getLogger("rabbitry")


class LmdbStore:
    """`rabbitry.runtime.store.Store` in a directory. Made by `open`, ended by `close`."""

    def __init__(self, directory: StoreDirectory, map_bytes: int, check_s: float) -> None:
        self._directory = directory
        self._owner = os.getpid()
        self._check_s = check_s
        self._commits = ThreadPoolExecutor(1, "rabbitry commits")
        self._reads = ThreadPoolExecutor(1, "rabbitry reads")
        self._loans = Loans()
        self._closing = threading.Event()
        self._checking: threading.Thread | None = None
        self._gate = threading.Condition()
        """Guards `_environment`, `_reading` and `_late`."""
        self._reading = 0  # transactions of readers
        self._late = 0  # reads that were asked for when there were as many as there can be
        size = (directory.path / "data.mdb").stat().st_size
        while map_bytes < 2 * size:
            map_bytes *= 2
        self._map_bytes = map_bytes
        self._environment: lmdb.Environment | None = _open(directory.path, map_bytes)
        try:
            self._tables = _tables(self._environment)
        except lmdb.NotFoundError:  # a wrong byte in its name, and LMDB would begin an empty one
            self._environment.close()
            raise StoreDamaged("one of its two tables is not there") from None
        self._reserve = Reserve(directory.path / "data.mdb")
        self._unchecked: list[bytes] = []
        self._started = self._look()

    @classmethod
    def open(
        cls,
        path: Path,
        entropy: Entropy,
        *,
        replace: bool,
        patience_s: float = 0.0,
        map_bytes: int = MAP_BYTES,
        check_s: float = CHECK_S,
    ) -> LmdbStore:
        """Open the store in the directory `path`, or make one with an identity out of `entropy`.

        One that is damaged is set aside and a fresh one made, with an error in the log, if it may
        be replaced (by what others have). Otherwise `UserError`, as also for one that
        is in use (for longer than `patience_s`), of another format, or cannot be opened.
        """
        sys.setswitchinterval(SWITCH_INTERVAL_S)
        directory = StoreDirectory.hold(path, patience_s)

        def sound(found: bool) -> LmdbStore:
            if not found:
                _make(directory, entropy.token_bytes(16).hex().encode())
            return cls(directory, map_bytes, check_s)._vouched(replace)

        try:
            try:
                return sound(directory.look())
            except StoreDamaged as damage:
                if not replace:
                    raise _refused(path, damage) from None
                aside = directory.set_aside()
                where = f"; what is left of it is kept in {aside}" if aside else ""
                _log.error("the store %s is damaged: %s%s", path, damage, where)
                return sound(found=False)
        except BaseException as error:
            directory.release()
            if isinstance(error, OSError | lmdb.Error):
                why = os_error(error) if isinstance(error, lmdb.Error) else error
                raise UserError(f"cannot open the store {path}: {why.strerror}") from None
            raise

    def _vouched(self, replace: bool) -> LmdbStore:
        """Return this, or close it and raise `StoreDamaged` if values are what they cannot be."""
        identity = dict(self._started.stored).get(IDENTITY)
        damaged = self._started.damaged
        if identity is None or (damaged and not replace):
            self._end()
            shown = ", ".join(key.hex() for key in damaged[:3]) + (", ..." if damaged[3:] else "")
            raise StoreDamaged(
                f"{len(damaged)} values are not what was written (keys {shown})"
                if damaged
                else "it has no identity"
            )
        self._directory.remember(identity)
        return self

    def load(self) -> Started:
        """Return all that was kept when it was opened. Bulk values are looked through from now."""
        unchecked, self._unchecked = self._unchecked, []
        if unchecked:
            self._checking = threading.Thread(
                target=self._check_rest, args=(unchecked,), name="rabbitry checks", daemon=True
            )
            self._checking.start()
        return self._started

    def commit(self, writes: list[tuple[bytes, bytes | None]]) -> Awaitable[None]:
        """Write a batch; the awaitable ends when it is on the disk, or raises OSError."""
        self._mine()
        # Shielded: whoever ceases to wait for it does not end it.
        return asyncio.shield(asyncio.wrap_future(self._commits.submit(self._write, writes)))

    def read(self, keys: list[bytes], take: Take) -> Awaitable[None]:
        """Lend the values of bulk keys as they are now. None: not there, or not what it was."""
        self._mine()
        # Behind one that waits for a reader nobody has one, or it would wait for ever.
        with self._gate:
            view = None if self._late else self._begin_read()
            self._late += view is None
        return self._loans.lend(self._reads.submit(self._read, view, keys), take)

    def reusable_bytes(self) -> int:
        """Return how much can be written before the file grows; 0 while it cannot be looked at."""
        view = self._begin_read()
        if view is None:
            return 0
        try:
            environment = self._environment  # stays open while there are readers
            assert environment is not None
            return reusable_bytes(environment, view, self._tables)
        finally:
            self._end_read(view)

    def close(self) -> None:
        """End what is under way, and let others have the directory."""
        self._mine()
        if not self._closing.is_set():
            self._end()
            self._directory.release()

    def _end(self) -> None:
        with self._gate:
            self._closing.set()
            self._gate.notify_all()
        self._reads.shutdown()
        self._loans.end()  # before the thread that commits: it may wait for the readers to go
        self._commits.shutdown()
        if self._checking is not None:
            self._checking.join()
        with self._gate:
            if self._environment is not None:
                self._environment.close()
                self._environment = None

    def _mine(self) -> None:
        if os.getpid() != self._owner:
            raise RuntimeError(
                "a store cannot be used in a process forked from the one that has it"
            )

    # --- writing: on the thread that commits ----------------------------------------------------

    def _write(self, writes: list[tuple[bytes, bytes | None]]) -> None:
        records = [
            (key, None if value is None else _sealed(key, value))
            for key, value in dict(writes).items()
        ]
        waited = False
        while True:
            try:
                if self._environment is None:
                    self._open_again(self._map_bytes)
                self._put(records)
                return
            except lmdb.MapFullError:
                self._grow()
            except lmdb.BadValsizeError as error:
                raise ValueError(f"a key has from 1 to 511 bytes: {error}") from None
            except lmdb.Error as error:
                self._recover()
                reason = self._reason(error, records)
                if waited or reason.errno != errno.ENOSPC or not self._ripen():
                    raise reason from None
                waited = True

    def _ripen(self) -> bool:
        """Commit next to nothing: what one commit freed LMDB takes again in the next but one.

        Without this a batch that waits for what the last one freed would wait for ever.
        """
        small, _ = self._tables
        try:
            if self._environment is None:
                return False
            with self._environment.begin(write=True) as transaction:
                identity = transaction.get(IDENTITY, db=small)
                assert identity is not None, "it is there from the beginning, and nobody deletes it"
                transaction.put(IDENTITY, identity, db=small)
        except lmdb.Error:
            self._recover()
            return False
        return True

    def _reason(self, error: lmdb.Error, records: list[tuple[bytes, bytes | None]]) -> OSError:
        """Return what the world refused. LMDB calls a write that was done by half EIO."""
        reason = os_error(error)
        wanted = sum(len(record) for _, record in records if record is not None)
        with contextlib.suppress(OSError):
            free = shutil.disk_usage(self._directory.path).free
            if reason.errno == errno.EIO and free < wanted + _ROOM_BYTES:
                return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return reason

    def _put(self, records: list[tuple[bytes, bytes | None]]) -> None:
        assert self._environment is not None
        small, bulk = self._tables
        with self._environment.begin(write=True) as transaction:
            self._reserve.claim(self._environment, transaction, self._tables, records)
            for key, record in records:
                table = bulk if key.startswith(BULK) else small
                if record is None:
                    transaction.delete(key, db=table)
                else:
                    transaction.put(key, record, db=table)

    def _grow(self) -> None:
        before = self._map_bytes
        try:
            self._open_again(2 * before)
        except (lmdb.Error, OSError) as error:
            self._open_again(before)
            raise os_error(error) if isinstance(error, lmdb.Error) else error from None
        _log.debug("the map of the store has grown bytes=%s", 2 * before)

    def _recover(self) -> None:
        """See whether LMDB goes on after an error, and open it again if it does not."""
        try:
            with self._gate:
                if self._environment is not None:
                    self._environment.begin().abort()
        except lmdb.Error:
            try:
                self._open_again(self._map_bytes)
            except (lmdb.Error, OSError) as error:
                _log.error("the store cannot be opened again: %s", error)

    def _open_again(self, map_bytes: int) -> None:
        with self._gate:
            self._gate.wait_for(lambda: not self._reading)
            if self._environment is not None:
                self._environment.close()
                self._environment = None
            self._environment = _open(self._directory.path, map_bytes)
            self._tables = _tables(self._environment)
            self._map_bytes = map_bytes

    # --- reading --------------------------------------------------------------------------------

    def _begin_read(self) -> lmdb.Transaction[memoryview] | None:
        with self._gate:
            if self._environment is None:
                return None
            try:
                view = self._environment.begin(buffers=True)
            except lmdb.ReadersFullError:  # it will see what is there when it comes to it
                return None
            self._reading += 1
            return view

    def _begin_late(self) -> lmdb.Transaction[memoryview] | None:
        """Begin when some of those who read are done: all of them have been lent what they want."""
        with self._gate:
            self._late -= 1
            self._gate.wait_for(lambda: self._closing.is_set() or self._reading < _READERS_MAX // 2)
        return self._begin_read()

    def _end_read(self, view: lmdb.Transaction[memoryview]) -> None:
        view.abort()
        with self._gate:
            self._reading -= 1
            self._gate.notify_all()

    def _read(self, view: lmdb.Transaction[memoryview] | None, keys: list[bytes]) -> Loan:
        if view is None:
            view = self._begin_late()
            if view is None:
                _log.error("the store cannot be read: it is not open")
                return Loan([None] * len(keys))
        lent = partial(self._end_read, view)
        try:
            return Loan([self._value(view, key) for key in keys], lent)
        except lmdb.Error as error:
            _log.error("the store cannot be read: %s", error)
            return Loan([None] * len(keys), lent)
        except BaseException:
            lent()
            raise

    def _value(self, view: lmdb.Transaction[memoryview], key: bytes) -> memoryview | None:
        """Return a value where it lies. It has been looked through: its pages are in memory."""
        record = view.get(key, db=self._tables[1])
        if record is None:
            return None
        if not _sound(key, record):
            _log.error("a stored value is not what was written key=%s", key.hex())
            return None
        return record[_SUM_BYTES:]

    # --- what is there at the start -------------------------------------------------------------

    def _look(self) -> Started:
        assert self._environment is not None
        small, bulk = self._tables
        started = Started()
        with self._environment.begin(buffers=False) as view:
            for key, record in view.cursor(small):
                if _sound(key, record):
                    started.stored.append((key, record[_SUM_BYTES:]))
                else:
                    started.damaged.append(key)
            # Keys only: values are not touched, so they are not fetched from the disk.
            keys = list(view.cursor(bulk).iternext(values=False))
        until = monotonic() + self._check_s
        checked = 0
        while checked < len(keys) and monotonic() < until:
            started.damaged += self._damaged(keys[checked : checked + _CHECK_STRETCH])
            checked += _CHECK_STRETCH
        damaged = set(started.damaged)
        started.bulk = [key for key in keys if key not in damaged] if damaged else keys
        self._unchecked = keys[checked:]
        return started

    def _damaged(self, keys: list[bytes]) -> list[bytes]:
        """Return those of the keys that are there and whose values are not what was written."""
        view = self._begin_read()
        if view is None:
            return []
        try:
            found = [(key, view.get(key, db=self._tables[1])) for key in keys]
            return [key for key, record in found if record is not None and not _sound(key, record)]
        finally:
            self._end_read(view)

    def _check_rest(self, keys: list[bytes]) -> None:
        for start in range(0, len(keys), _CHECK_STRETCH):
            began = monotonic()
            for key in self._damaged(keys[start : start + _CHECK_STRETCH]):
                _log.error("a stored value is not what was written key=%s", key.hex())
            if self._closing.wait(_CHECK_REST * (monotonic() - began)):
                return


def _open(path: Path, map_bytes: int) -> lmdb.Environment:
    """Open LMDB: every commit is synced. Readers that died are forgotten: nobody else has it.

    Raises OSError if there is no room for the lock file. LMDB writes to it through a map, where
    a page that the disk has no room for ends the process (SIGBUS): so all of it is there before.
    """
    lock = os.open(path / "lock.mdb", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.posix_fallocate(lock, 0, _LOCK_BYTES)
    finally:
        os.close(lock)
    return lmdb.open(
        str(path),
        map_size=map_bytes,
        max_dbs=len(_TABLES),
        max_readers=_READERS_MAX,
        mode=0o600,
        lib_version=0,
    )


def _tables(
    environment: lmdb.Environment, *, create: bool = False
) -> tuple[lmdb._Database, lmdb._Database]:
    small, bulk = (environment.open_db(name, create=create) for name in _TABLES)
    return small, bulk


def _make(directory: StoreDirectory, identity: bytes) -> None:
    environment = _open(directory.begin(), MAP_BYTES)
    try:
        small, _ = _tables(environment, create=True)
        with environment.begin(write=True) as transaction:
            transaction.put(IDENTITY, _sealed(IDENTITY, identity), db=small)
    finally:
        environment.close()
    directory.finish()


def _sealed(key: bytes, value: bytes) -> bytes:
    return crc32(value, crc32(key)).to_bytes(_SUM_BYTES, "big") + value


def _sound(key: bytes, record: bytes | memoryview) -> bool:
    found = crc32(memoryview(record)[_SUM_BYTES:], crc32(key))
    return record[:_SUM_BYTES] == found.to_bytes(_SUM_BYTES, "big")


def _refused(path: Path, damage: StoreDamaged) -> UserError:
    return UserError(
        f"the store {path} is damaged: {damage}; bring all stores back from a backup with "
        "`rabbitry restore FILE --replace` (an older copy of this one alone does not go with the "
        "others), or choose another directory with --data-dir to begin with nothing"
    )
