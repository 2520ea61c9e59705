"""The store on disk keeps the promises of the seam, also on a disk that does not keep its own."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.faulty_disk import COMPILER, WITHOUT_COMPILER, FaultyDisk
from support.forked import exit_code_in_a_fork
from support.store_reading import read

import rabbitry
from rabbitry.machine import BULK, Started
from rabbitry.runtime.entropy import SystemEntropy
from rabbitry.runtime.errors import UserError
from rabbitry.runtime.lmdb_store import LmdbStore
from rabbitry.runtime.store import IDENTITY, MemoryStore, Store

Run = Callable[[Coroutine[Any, Any, Any]], Any]
WORKER = Path(__file__).parent.parent / "support" / "store_worker.py"
PAGE = 4096


@contextlib.contextmanager
def opened(path: Path, *, replace: bool = False, **options: Any) -> Iterator[LmdbStore]:
    store = LmdbStore.open(path, SystemEntropy(), replace=replace, **options)
    try:
        yield store
    finally:
        store.close()


def filled(path: Path, run: Run, writes: list[tuple[bytes, bytes | None]]) -> None:
    """A store that was closed in order, with this in it."""

    async def fill() -> None:
        with opened(path) as store:
            store.load()
            await store.commit(writes)

    run(fill())


def values(started: Started) -> dict[bytes, bytes]:
    """What a machine finds of its own."""
    return {key: value for key, value in started.stored if key != IDENTITY}


KEYS = st.binary(min_size=1, max_size=3) | st.binary(max_size=2).map(lambda rest: BULK + rest)
VALUES = st.binary(max_size=3) | st.integers(0, 20_000).map(bytes)
BATCHES = st.lists(st.lists(st.tuples(KEYS, st.none() | VALUES), max_size=6), max_size=6)


@settings(deadline=None, max_examples=40)
@given(BATCHES)
def test_it_keeps_what_the_store_in_memory_keeps(
    tmp_path_factory: pytest.TempPathFactory,
    batches: list[list[tuple[bytes, bytes | None]]],
) -> None:
    path = tmp_path_factory.mktemp("stores") / "store"
    model = MemoryStore()
    keys = sorted({key for batch in batches for key, _ in batch if key.startswith(BULK)})

    async def play() -> None:
        for batch in [*batches, []]:
            with opened(path) as disk:
                store: Store = disk
                loaded = store.load()
                assert values(loaded) == dict(model.load().stored)
                assert [key for key, _ in loaded.stored] == sorted(dict(loaded.stored))
                assert (loaded.bulk, loaded.damaged) == (model.load().bulk, [])
                assert await read(store, keys) == await read(model, keys)
                done = store.commit(batch)
                assert done is not None
                await done
                model.commit(batch)

    asyncio.run(play())


def test_its_identity_stays_and_is_its_own(tmp_path: Path) -> None:
    names = []
    for name in ("one", "one", "other"):
        with opened(tmp_path / name) as store:
            names.append(dict(store.load().stored)[IDENTITY])
    assert len(names[0]) == 32
    assert names[0] == names[1] != names[2]


def test_only_one_has_it_open(tmp_path: Path) -> None:
    with opened(tmp_path / "store"), pytest.raises(UserError, match="in use by another process"):
        LmdbStore.open(tmp_path / "store", SystemEntropy(), replace=True)
    with opened(tmp_path / "store"):
        pass


def test_a_read_sees_what_was_there_when_it_was_asked_for(tmp_path: Path, run: Run) -> None:
    key = BULK + b"chunk"

    async def play() -> None:
        with opened(tmp_path / "store") as store:
            await store.commit([(key, b"first")])
            late = threading.Event()
            store._reads.submit(late.wait)
            reading = read(store, [key, BULK])
            await store.commit([(key, None)])  # and it does not wait for the reader
            late.set()
            assert await reading == [b"first", None]
            assert await read(store, [key]) == [None]

    run(play())


def test_more_reads_wait_than_there_are_readers(tmp_path: Path, run: Run) -> None:
    async def play() -> None:
        with opened(tmp_path / "store") as store:
            await store.commit([(BULK, b"value")])
            late = threading.Event()
            store._reads.submit(late.wait)
            reads = [read(store, [BULK]) for _ in range(5_000)]
            late.set()
            assert {value for values in await asyncio.gather(*reads) for value in values} == {
                b"value"
            }

    run(play())


def test_its_map_grows(tmp_path: Path, run: Run) -> None:
    big = [BULK + bytes([number]) for number in range(40)]

    async def play() -> None:
        with opened(tmp_path / "store", map_bytes=1 << 16) as store:
            for key in big:
                await store.commit([(key, key * 50_000)])
                assert await read(store, [key]) == [key * 50_000]
        with opened(tmp_path / "store", map_bytes=1 << 16) as store:
            assert store.load().bulk == big
            assert await read(store, big) == [key * 50_000 for key in big]

    run(play())


def test_it_grows_while_others_read(tmp_path: Path, run: Run) -> None:
    async def play() -> None:
        with opened(tmp_path / "store", map_bytes=1 << 16) as store:
            await store.commit([(BULK, b"value")])
            late = threading.Event()
            store._reads.submit(late.wait)
            reading = read(store, [BULK])
            growing = asyncio.ensure_future(store.commit([(BULK + b"big", bytes(1_000_000))]))
            late.set()
            assert await reading == [b"value"]
            await growing
            assert await read(store, [BULK + b"big"]) == [bytes(1_000_000)]

    run(play())


@pytest.mark.parametrize("key", [b"", b"k" * 512])
def test_a_key_that_it_cannot_have_is_a_fault_of_ours(tmp_path: Path, run: Run, key: bytes) -> None:
    async def play() -> None:
        with opened(tmp_path / "store") as store:
            with pytest.raises(ValueError, match="from 1 to 511 bytes"):
                await store.commit([(b"good", b"1"), (key, b"2")])
            await store.commit([(b"k" * 511, b"3")])

    run(play())
    with opened(tmp_path / "store") as store:
        assert values(store.load()) == {b"k" * 511: b"3"}


def test_who_ceases_to_wait_ends_nothing(tmp_path: Path, run: Run) -> None:
    async def play() -> None:
        with opened(tmp_path / "store") as store:
            late = threading.Event()
            store._commits.submit(late.wait)
            waiting = asyncio.ensure_future(store.commit([(b"key", b"value")]))
            await asyncio.sleep(0)
            waiting.cancel()
            late.set()

    run(play())
    with opened(tmp_path / "store") as store:
        assert values(store.load()) == {b"key": b"value"}


def test_it_is_not_used_in_a_forked_process(tmp_path: Path) -> None:
    with opened(tmp_path / "store") as store:

        def use_it() -> None:
            for use in (lambda: store.commit([]), lambda: read(store, []), store.close):
                with pytest.raises(RuntimeError, match="forked"):
                    use()

        assert exit_code_in_a_fork(use_it) == 0


# --- damage --------------------------------------------------------------------------------------


def flip(path: Path, at: int, bits: int = 1) -> None:
    with (path / "data.mdb").open("r+b") as data:
        data.seek(at)
        byte = data.read(1)[0]
        data.seek(at)
        data.write(bytes([byte ^ bits]))


def where(path: Path, what: bytes) -> int:
    """Where in the file this is; it must be there once."""
    data = (path / "data.mdb").read_bytes()
    assert data.count(what) == 1
    return data.index(what)


def test_values_that_are_not_what_was_written(
    tmp_path: Path, run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "store"
    chunks = {BULK + b"1": b"one" * 9000, BULK + b"2": b"two" * 9000 + b"!"}
    filled(path, run, [(b"a", b"value a"), (b"b", b"value b"), *chunks.items()])
    flip(path, where(path, b"value b"))
    flip(path, where(path, b"two!"))
    with opened(path, replace=True) as store:
        started = store.load()
        assert values(started) == {b"a": b"value a"}
        assert started.bulk == [BULK + b"1"]
        assert started.damaged == [b"b", BULK + b"2"]
        assert run(reading(store, [*chunks])) == [chunks[BULK + b"1"], None]
    # Nobody else has what a coordinator, or a node alone, has lost: it does not begin without.
    with pytest.raises(UserError, match=r"is damaged: 2 values are not .*\(keys 62, ff32\); bring"):
        LmdbStore.open(path, SystemEntropy(), replace=False)
    assert not list(tmp_path.glob("*.damaged-*"))


async def reading(store: LmdbStore, keys: list[bytes]) -> list[bytes | None]:
    return await read(store, keys)


def test_what_is_not_checked_at_the_start_is_checked_behind_it(
    tmp_path: Path, run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "store"
    filled(path, run, [(BULK + b"good", b"g" * 9000), (BULK + b"wrong", b"w" * 9000 + b"!")])
    flip(path, where(path, b"w!"))
    with opened(path, check_s=0) as store:
        started = store.load()
        assert (len(started.bulk), started.damaged) == (2, [])
        assert store._checking is not None
        store._checking.join(20)
        assert [record.levelname for record in caplog.records] == ["ERROR"]
        assert f"key={(BULK + b'wrong').hex()}" in caplog.text
        assert run(reading(store, started.bulk)) == [b"g" * 9000, None]


def test_a_damaged_store_is_replaced_where_others_have_what_it_had(
    tmp_path: Path, run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "store"
    filled(path, run, [(b"a", b"1")])
    with opened(path) as store:
        before = dict(store.load().stored)[IDENTITY]
    os.truncate(path / "data.mdb", 2 * PAGE + 100)
    with pytest.raises(
        UserError, match=f"the store {path} is damaged: .*; bring all stores back"
    ) as refused:
        LmdbStore.open(path, SystemEntropy(), replace=False)
    assert "\n" not in str(refused.value)
    with opened(path, replace=True) as store:
        assert dict(store.load().stored).keys() == {IDENTITY}
        assert dict(store.load().stored)[IDENTITY] != before
    assert (tmp_path / "store.damaged-1" / "data.mdb").stat().st_size == 2 * PAGE + 100
    assert f"is damaged: {'freeDB' if 'freeDB' in caplog.text else ''}" in caplog.text
    assert f"what is left of it is kept in {path}.damaged-1" in caplog.text
    with opened(path) as store:
        assert values(store.load()) == {}


def test_a_store_that_is_gone_is_told(
    tmp_path: Path, run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "store"
    filled(path, run, [(b"a", b"1")])
    path.rename(tmp_path / "elsewhere")
    with pytest.raises(UserError, match="is damaged: it is gone; bring all stores back"):
        LmdbStore.open(path, SystemEntropy(), replace=False)
    with opened(path, replace=True) as store:
        assert values(store.load()) == {}
    assert f"the store {path} is damaged: it is gone" in caplog.text


@pytest.mark.parametrize("table", [b"small", b"bulk"])
def test_a_table_whose_name_was_changed_is_not_replaced_by_an_empty_one(
    tmp_path: Path, run: Run, table: bytes
) -> None:
    path = tmp_path / "store"
    filled(path, run, [(b"a", b"1"), (BULK + b"b", b"2")])
    file = path / "data.mdb"
    file.write_bytes(file.read_bytes().replace(table, table[:-1] + b"_"))
    with pytest.raises(UserError, match="is damaged: "):
        LmdbStore.open(path, SystemEntropy(), replace=False)


FILLED: list[tuple[bytes, bytes | None]] = [
    *((b"small %d" % number, b"value %d" % number * 9) for number in range(200)),
    *((BULK + b"%d" % number, b"chunk %d" % number * 700) for number in range(20)),
]
COMMIT_NUMBERS = [*range(144, 152), *range(PAGE + 144, PAGE + 152)]
"""Where a wrong byte may have LMDB begin with the commit before the last: see store_directory."""


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, list[int], list[int]]:
    """A store's file; where in it anything is; and where of that its structure is."""
    path = tmp_path_factory.mktemp("whole") / "store"
    filled(path, asyncio.run, FILLED)
    contents = (path / "data.mdb").read_bytes()
    used = [at for at, byte in enumerate(contents) if byte and at not in COMMIT_NUMBERS]
    return contents, used, [at for at in used if at < 2 * PAGE or at % PAGE < 64]


@settings(deadline=None, max_examples=60)
@given(places=st.lists(st.tuples(st.booleans(), st.integers(0), st.integers(1, 255)), min_size=1))
def test_no_wrong_byte_gives_wrong_values(
    whole: tuple[bytes, list[int], list[int]],
    tmp_path_factory: pytest.TempPathFactory,
    places: list[tuple[bool, int, int]],
) -> None:
    path = tmp_path_factory.mktemp("flipped")
    (path / "format").write_text("rabbitry store 1\n")
    contents = bytearray(whole[0])
    for structure, number, bits in places:
        among = whole[2] if structure else whole[1]
        contents[among[number % len(among)]] ^= bits
    (path / "data.mdb").write_bytes(contents)
    written = dict(FILLED)
    try:
        store = LmdbStore.open(path, SystemEntropy(), replace=False)
    except UserError:
        return
    try:
        started = store.load()
        assert values(started) == {k: v for k, v in written.items() if not k.startswith(BULK)}
        assert started.bulk == sorted(key for key in written if key.startswith(BULK))
        found = asyncio.run(reading(store, started.bulk))
        assert found == [written[key] for key in started.bulk]
    finally:
        store.close()


# --- a disk that refuses -------------------------------------------------------------------------


def test_a_file_that_was_cut_anywhere_ends_no_process(tmp_path: Path, run: Run) -> None:
    """Also within a large value, whose end stands on pages that have no heads."""
    # The last value is too large for what the others leave, so it stands at the end of the file.
    early = [(BULK + b"%d" % number, bytes([number]) * 30_000) for number in range(20)]
    last = [(BULK + b"last", b"l" * 900_000)]
    filled(tmp_path / "whole", run, early)
    for batch in ([(key, None) for key, _ in early[5:]], [(b"a", b"1")], [(b"a", b"2")], last):
        filled(tmp_path / "whole", run, batch)
    writes = early[:5] + last
    whole = (tmp_path / "whole" / "data.mdb").stat().st_size
    found_by_value = 0
    for length in range(2 * PAGE, whole, 3 * PAGE):
        path = tmp_path / f"cut-{length}"
        shutil.copytree(tmp_path / "whole", path)
        os.truncate(path / "data.mdb", length)
        with contextlib.suppress(UserError), opened(path, replace=True) as store:
            started = store.load()
            found_by_value += bool(started.damaged)
            sound = [key for key, _ in writes if key in started.bulk]
            expected = [value for key, value in writes if key in sound]
            assert run(reading(store, sound)) == expected
    assert found_by_value > 30


class Worker:
    """`support/store_worker.py`, and what it answers."""

    def __init__(self, *arguments: str, environment: dict[str, str] | None = None) -> None:
        paths = os.pathsep.join([str(Path(rabbitry.__file__).parent.parent)])
        self._process = subprocess.Popen(
            [sys.executable, str(WORKER), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**(environment or os.environ), "PYTHONPATH": paths},
        )
        assert self._hear() == "open"

    def ask(self, line: str) -> str:
        assert self._process.stdin is not None
        print(line, file=self._process.stdin, flush=True)
        return self._hear()

    def _hear(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def end(self) -> None:
        assert self._process.communicate("end\n", timeout=20) == ("", None)
        assert self._process.returncode == 0

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()


@pytest.mark.processes
def test_a_file_that_may_not_grow_refuses_batches_and_nothing_else(tmp_path: Path) -> None:
    worker = Worker(str(tmp_path / "store"), "1000000")
    assert worker.ask("first 300000") == "ok"
    # LMDB calls a write that was done by half an I/O error.
    assert worker.ask("second 900000") in ("EFBIG", "EIO")
    assert worker.ask("?first 300000") == "ok"
    assert worker.ask("?second 900000") == "none"
    assert worker.ask("third 300000") == "ok"
    worker.kill()
    with opened(tmp_path / "store") as store:
        assert store.load().bulk == [BULK + b"first", BULK + b"third"]


@pytest.mark.processes
@pytest.mark.skipif(COMPILER is None, reason=WITHOUT_COMPILER)
@pytest.mark.parametrize(
    ("calls", "error"),
    [("w", errno.ENOSPC), ("w", errno.EROFS), ("w", errno.EIO), ("s", errno.EIO)],
)
def test_a_disk_that_fails_for_a_while(tmp_path: Path, calls: str, error: int) -> None:
    disk = FaultyDisk(tmp_path / "disk", tmp_path / "control")
    worker = Worker(str(tmp_path / "disk" / "store"), environment=disk.environment)
    assert worker.ask("first 300000") == "ok"
    before = disk.counts().syncs
    assert worker.ask("first 300000") == "ok"
    assert disk.counts().syncs > before
    with disk.failing(error, calls):
        for name in ("second", "third"):
            assert worker.ask(f"{name} 100000") == errno.errorcode[error]
        assert worker.ask("?first 300000") == "ok"
        assert worker.ask("?second 100000") == "none"
    assert worker.ask("third 100000") == "ok"
    assert worker.ask("?third 100000") == "ok"
    worker.kill()
    with opened(tmp_path / "disk" / "store") as store:
        assert store.load().bulk == [BULK + b"first", BULK + b"third"]


@pytest.mark.processes
def test_a_disk_without_room_says_so_and_goes_on_when_there_is_some(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 2_000_000) as disk:
        worker = Worker(str(disk / "store"))
        assert worker.ask("first 500000") == "ok"
        (disk / "other").write_bytes(bytes(600_000))
        for name in ("second", "third"):
            assert worker.ask(f"{name} 900000") == "ENOSPC"
        assert worker.ask("?first 500000") == "ok"
        (disk / "other").unlink()
        assert worker.ask("third 900000") == "ok"
        worker.kill()
        with contextlib.suppress(OSError):
            (disk / "other").write_bytes(bytes(2_000_000))
        with opened(disk / "store") as store:
            assert store.load().bulk == [BULK + b"first", BULK + b"third"]
        with pytest.raises(UserError, match=r"cannot (use|open) the store .*No space left"):
            LmdbStore.open(disk / "new", SystemEntropy(), replace=True)


@contextlib.contextmanager
def small_disk(path: Path, size_bytes: int) -> Iterator[Path]:
    path.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size_bytes}", "tmpfs", str(path)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("this user may not mount a tmpfs")
    try:
        yield path
    finally:
        subprocess.run(["umount", "--lazy", str(path)], check=True)
