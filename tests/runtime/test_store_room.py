"""A store that has filled its disk: what it can write again, and that it can always delete."""

from __future__ import annotations

import asyncio
import errno
import os
import subprocess
import sys
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.small_disk import WITHOUT_NAMESPACES, SmallDisk, namespace_options
from support.store_reading import read

import rabbitry
from rabbitry.machine import BULK
from rabbitry.runtime import store_room
from rabbitry.runtime.entropy import SystemEntropy
from rabbitry.runtime.lmdb_store import LmdbStore
from rabbitry.runtime.store_room import RESERVE_BYTES

Run = Callable[[Coroutine[Any, Any, Any]], Any]
DISK_BYTES = 30 << 20
needs_namespaces = pytest.mark.skipif(namespace_options() is None, reason=WITHOUT_NAMESPACES)


def bulk(number: int) -> bytes:
    return BULK + number.to_bytes(4, "big")


def opened(path: Path) -> LmdbStore:
    store = LmdbStore.open(path, SystemEntropy(), replace=False)
    store.load()
    return store


def test_what_was_deleted_can_be_written_again(tmp_path: Path, run: Run) -> None:
    async def play() -> None:
        store = opened(tmp_path / "store")
        assert store.reusable_bytes() < 100_000
        await store.commit([(bulk(number), bytes(10_000)) for number in range(1_000)])
        assert store.reusable_bytes() < 100_000
        await store.commit([(bulk(number), None) for number in range(1_000)])
        free = store.reusable_bytes()
        assert 10_000_000 < free < 14_000_000
        await store.commit([(b"a", b"1")])
        await store.commit([(bulk(number), bytes(10_000)) for number in range(500)])
        assert store.reusable_bytes() < free - 5_000_000
        store.close()
        assert store.reusable_bytes() == 0

    run(play())


def test_the_reserve_is_allocated_and_the_file_no_longer_than_what_is_in_it(
    tmp_path: Path, run: Run
) -> None:
    async def play() -> None:
        store = opened(tmp_path / "store")
        await store.commit([(bulk(0), bytes(10_000))])
        found = (tmp_path / "store" / "data.mdb").stat()
        assert found.st_size < 1_000_000
        assert found.st_blocks * 512 >= RESERVE_BYTES
        store.close()
        store = opened(tmp_path / "store")  # and what is looked through at the start is sound
        assert await read(store, [bulk(0)]) == [bytes(10_000)]
        store.close()

    run(play())


def test_where_nothing_can_be_allocated_ahead_it_does_without(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def play() -> None:
        store = opened(tmp_path / "store")
        await store.commit([(bulk(0), bytes(10_000))])
        assert await read(store, [bulk(0)]) == [bytes(10_000)]
        store.close()

    monkeypatch.setattr(store_room, "_fallocate", None)
    run(play())


# --- on a disk that it fills: in a process of its own, which sees that disk -----------------------


def several(first: int, count: int) -> list[bytes]:
    return [bulk(first + number) for number in range(count)]


async def fill(store: LmdbStore, value_bytes: int, batch: int) -> list[bytes]:
    """Write until there is no room; return the keys that are there."""
    keys: list[bytes] = []
    while True:
        new = several(len(keys), batch)
        try:
            await store.commit([(key, bytes(value_bytes)) for key in new])
        except OSError as error:
            assert error.errno == errno.ENOSPC
            return keys
        keys += new
        assert len(keys) * value_bytes < DISK_BYTES


async def fill_and_empty(path: Path, value_bytes: int, batch: int) -> None:
    store = opened(path)
    more: list[tuple[bytes, bytes | None]]
    more = [(key, bytes(value_bytes)) for key in several(1 << 24, batch)]
    counts = []
    for _ in range(3):
        keys = await fill(store, value_bytes, batch)
        counts.append(len(keys))
        for _ in range(3):  # refused again and again, and it costs nothing of the reserve
            with pytest.raises(OSError, match="No space left"):
                await store.commit(more)
        await store.commit([(key, None) for key in keys])
        assert store.reusable_bytes() > len(keys) * value_bytes
    assert min(counts) > 0.9 * counts[0], "the disk is as large as it was"
    assert counts[0] * value_bytes > 0.3 * DISK_BYTES  # LMDB may leave its pages half full
    keys = await fill(store, value_bytes, batch)
    store.close()
    store = opened(path)  # another process knows the reserve of the one before
    with pytest.raises(OSError, match="No space left"):
        await store.commit(more)
    await store.commit([*((key, None) for key in keys[10:]), (b"acknowledged", b"10")])
    await store.commit(more)
    store.close()
    store = opened(path)
    assert store.load().bulk == [*keys[:10], *several(1 << 24, batch)]
    store.close()
    print("done")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    disk = SmallDisk(tmp_path / "disk", DISK_BYTES)
    yield disk
    disk.close()


@pytest.mark.processes
@needs_namespaces
@pytest.mark.parametrize(("value_bytes", "batch"), [(10_000, 20), (1_500, 100), (900_000, 1)])
def test_a_store_that_filled_the_disk_deletes_and_writes_again(
    tmp_path: Path, disk: SmallDisk, value_bytes: int, batch: int
) -> None:
    place = str(tmp_path / "disk" / "store")
    paths = [str(Path(rabbitry.__file__).parent.parent), str(Path(__file__).parent.parent)]
    done = subprocess.run(
        [*disk.inside, sys.executable, __file__, place, str(value_bytes), str(batch)],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
    )
    assert (done.stdout, done.stderr) == ("done\n", ""), done.stderr


if __name__ == "__main__":
    asyncio.run(fill_and_empty(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))
