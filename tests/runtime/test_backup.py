"""A backup is of one moment, whole or not there; and what is restored is what was backed up.

The stores are LMDB's own, as the store on disk lays them out; a process of its own holds a writer.
"""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import lmdb
import msgspec
import pytest

from rabbitry.machine import BULK
from rabbitry.runtime import backup
from rabbitry.runtime.backup import back_up, restore, stores_of, views_of
from rabbitry.runtime.entropy import SystemEntropy
from rabbitry.runtime.errors import UserError
from rabbitry.runtime.lmdb_store import LmdbStore

Table = dict[bytes, bytes]


def quiet(line: str) -> None:
    pass


def make_store(path: Path, table: Table) -> lmdb.Environment:
    path.mkdir(parents=True)
    (path / "format").write_text("rabbitry store 1\n")
    environment = lmdb.open(str(path), map_size=1 << 30, max_dbs=2)
    put(environment, table)
    return environment


def put(environment: lmdb.Environment, table: Table) -> None:
    bulk = environment.open_db(b"bulk")
    with environment.begin(write=True) as transaction:
        for key, value in table.items():
            transaction.put(key, value, db=bulk)


def table_of(path: Path) -> Table:
    with (
        lmdb.open(str(path), map_size=1 << 30, max_dbs=2) as environment,
        environment.begin() as view,
    ):
        return dict(view.cursor(environment.open_db(b"bulk", txn=view, create=False)))


@pytest.fixture
def data_dir(tmp_path: Path) -> Iterator[Path]:
    """Two stores, open in this process as a node has its own open; and things that are none."""
    path = tmp_path / "data"
    stores = [
        make_store(path / "store" / "coordinator", {b"a": b"catalog"}),
        make_store(path / "store" / "rabbit", {b"%d" % one: os.urandom(5000) for one in range(99)}),
        make_store(path / "store" / "rabbit.damaged-1", {b"x": b"x"}),
        # Of nodes alone that were let in here once.
        make_store(path / "store" / "node-rabbit", {b"x": b"x"}),
        make_store(path / "store" / "rabbit" / "node-rabbit", {b"x": b"x"}),
        make_store(path / "elsewhere" / "node-rabbit", {b"x": b"x"}),
    ]
    for store in stores:
        store.close()
    (path / "store" / "rabbitry.lock").touch()
    (path / "log").mkdir()
    (path / "log" / "rabbit.log").write_text("a line")
    (path / "secret").write_bytes(bytes(32))
    (path / "begun").touch()
    (path / "node-x.begun").touch()
    yield path


def test_what_is_restored_is_what_was_backed_up(data_dir: Path, tmp_path: Path) -> None:
    file = tmp_path / "x.backup"
    made = back_up(data_dir, file, quiet)
    assert made.stores == ["store/coordinator", "store/rabbit"]
    assert file.stat().st_mode & 0o777 == 0o600
    target = tmp_path / "deep" / "down"
    found, gone = restore(file, target, replace=False, tell=quiet)
    assert (found, gone) == (made, None)
    assert sorted(str(path.relative_to(target)) for path in target.rglob("*.mdb")) == [
        "store/coordinator/data.mdb",
        "store/rabbit/data.mdb",
    ]
    for path in [target, *target.rglob("*")]:
        assert path.stat().st_mode & 0o077 == 0, path
    for name in made.stores:
        assert (target / name / "format").read_text() == "rabbitry store 1\n"
        assert table_of(target / name) == table_of(data_dir / name)
    assert not (target / "secret").exists(), "it makes its own"
    assert sorted(path.name for path in target.glob("*begun")) == ["begun", "node-x.begun"]
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_all_nodes_alone_are_backed_up(tmp_path: Path) -> None:
    for name in ("node-hare", "node-rabbit"):
        make_store(tmp_path / name, {b"a": b"value"}).close()
    (tmp_path / "rabbitry.lock").touch()
    assert list(stores_of(tmp_path)) == ["node-hare", "node-rabbit"]


def test_an_older_backup_is_replaced(data_dir: Path, tmp_path: Path) -> None:
    file = tmp_path / "x.backup"
    file.write_text("older")
    back_up(data_dir, file, quiet)
    assert zipfile.is_zipfile(file)


WRITER = """
import lmdb, sys
stores = [lmdb.open(path, map_size=1 << 30, max_dbs=2) for path in sys.argv[1:]]
tables = [store.open_db(b"bulk") for store in stores]
number = 0
print("writes", flush=True)
while True:
    number += 1
    for store, table in zip(stores, tables):
        with store.begin(write=True) as transaction:
            transaction.put(b"number", b"%d" % number, db=table)
"""


def test_it_is_of_one_moment_however_fast_others_write(data_dir: Path) -> None:
    """A number goes into one store, then into the other: so the other is never ahead."""
    stores = {name: data_dir / name for name in ("store/coordinator", "store/rabbit")}
    paths = [str(path) for path in stores.values()]
    writer = subprocess.Popen([sys.executable, "-c", WRITER, *paths], stdout=subprocess.PIPE)
    try:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"writes\n"
        seen = set()
        for _ in range(30):
            with views_of(stores) as views:
                numbers = []
                for environment, transaction in views.values():
                    table = environment.open_db(b"bulk", txn=transaction, create=False)
                    numbers.append(int(transaction.get(b"number", b"0", db=table)))
            assert numbers[0] - numbers[1] in (0, 1), numbers
            seen.add(numbers[0])
        assert len(seen) > 1, "it wrote meanwhile"
    finally:
        writer.kill()
        writer.communicate()


def test_a_view_is_not_changed_by_what_is_written_later(data_dir: Path, tmp_path: Path) -> None:
    before = table_of(data_dir / "store" / "rabbit")
    file = tmp_path / "x.backup"
    program = WRITER.replace("number += 1", "number += 1; key = b'%d' % (number % 99)")
    program = program.replace('b"number"', "key")
    stores = stores_of(data_dir)
    with views_of(stores) as views:
        writer = subprocess.Popen(
            [sys.executable, "-c", program, str(data_dir / "store" / "rabbit")],
            stdout=subprocess.PIPE,
        )
        try:
            assert writer.stdout is not None
            assert writer.stdout.readline() == b"writes\n"
            with file.open("w+b") as opened:
                backup._write(opened, stores, views, [], quiet)
        finally:
            writer.kill()
            writer.communicate()
    restore(file, tmp_path / "new", replace=False, tell=quiet)
    assert table_of(tmp_path / "new" / "store" / "rabbit") == before


def test_a_writer_that_does_not_let_go_ends_it_and_holds_up_nobody(
    data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backup, "HOLD_S", 0.05)
    program = "import lmdb, sys\nenvironment = lmdb.open(sys.argv[1], map_size=1 << 30)\n"
    program += "held = environment.begin(write=True)\nprint('held', flush=True)\nsys.stdin.read()"
    stuck = subprocess.Popen(
        [sys.executable, "-c", program, str(data_dir / "store" / "rabbit")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        assert stuck.stdout is not None
        assert stuck.stdout.readline() == b"held\n"
        with pytest.raises(UserError, match=r"store store/rabbit does not let go within 0.05 s"):
            back_up(data_dir, tmp_path / "x.backup", quiet)
        assert not (tmp_path / "x.backup").exists()
    finally:
        stuck.kill()
        stuck.communicate()


def test_what_cannot_be_written_leaves_nothing(data_dir: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"cannot write .*No such file or directory"):
        back_up(data_dir, tmp_path / "nowhere" / "x.backup", quiet)
    with pytest.raises(UserError, match="there is nothing to back up in"):
        back_up(tmp_path / "nowhere", tmp_path / "x.backup", quiet)


def test_a_disk_that_fills_up_leaves_nothing(
    data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(backup, "_copy", full)
    with pytest.raises(UserError, match=r"cannot write .*x.backup: No space left on device"):
        back_up(data_dir, tmp_path / "x.backup", quiet)
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


# --- restores that cannot be ----------------------------------------------------------------------


def refused(file: Path, target: Path, why: str, *, replace: bool = False) -> None:
    """It is refused, and nothing is other than it was."""
    before = sorted(target.parent.rglob("*"))
    with pytest.raises(UserError, match=why):
        restore(file, target, replace=replace, tell=quiet)
    assert sorted(target.parent.rglob("*")) == before


def test_a_directory_in_which_something_is(data_dir: Path, tmp_path: Path) -> None:
    file = tmp_path / "x.backup"
    back_up(data_dir, file, quiet)
    refused(file, data_dir, "is not empty; choose another with --data-dir, or say --replace")
    (tmp_path / "empty").mkdir()
    restore(file, tmp_path / "empty", replace=False, tell=quiet)
    _, gone = restore(file, data_dir, replace=True, tell=quiet)
    assert gone is not None
    assert (gone / "log" / "rabbit.log").read_text() == "a line"
    assert table_of(gone / "store" / "coordinator") == table_of(data_dir / "store" / "coordinator")


@pytest.mark.parametrize("lock", ["rabbitry.lock", "store/rabbit.lock"])
def test_a_directory_that_is_in_use(data_dir: Path, tmp_path: Path, lock: str) -> None:
    file = tmp_path / "x.backup"
    back_up(data_dir, file, quiet)
    with (data_dir / lock).open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        refused(file, data_dir, "a Rabbitry is running in", replace=True)
    restore(file, data_dir, replace=True, tell=quiet)


@pytest.mark.parametrize("left", [0, 1, 100, -1, -22, -100])
def test_a_file_that_was_cut(data_dir: Path, tmp_path: Path, left: int) -> None:
    file = tmp_path / "x.backup"
    back_up(data_dir, file, quiet)
    os.truncate(file, left if left >= 0 else file.stat().st_size + left)
    refused(file, tmp_path / "new", "is no backup of a Rabbitry, or is damaged")


def test_a_byte_that_is_another(data_dir: Path, tmp_path: Path) -> None:
    file = tmp_path / "x.backup"
    back_up(data_dir, file, quiet)
    whole = file.read_bytes()
    with zipfile.ZipFile(file) as archive:
        starts = [one.header_offset for one in archive.infolist()]
    for at in (starts[2] + 5_000, starts[2] + 90_000, starts[-1] + 100):
        file.write_bytes(whole[:at] + bytes([whole[at] ^ 4]) + whole[at + 1 :])
        refused(file, tmp_path / "new", "is no backup of a Rabbitry, or is damaged")


def rewritten(file: Path, change: object) -> None:
    """Write the backup again, with another manifest."""
    with zipfile.ZipFile(file) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    manifest = msgspec.json.decode(parts.pop("manifest.json"))
    assert callable(change)
    change(manifest)
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in {**parts, "manifest.json": msgspec.json.encode(manifest)}.items():
            archive.writestr(name, data)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda it: it.update(rabbitry_backup=2), "a backup of format 2, and this Rabbitry knows"),
        (lambda it: it.pop("rabbitry_backup"), "or is damaged"),
        (
            lambda it: it["parts"].update({"../data.mdb": it["parts"]["store/coordinator/format"]}),
            "part",
        ),
        (
            lambda it: it["parts"].update({"/data.mdb": it["parts"]["store/coordinator/format"]}),
            "part",
        ),
        (
            lambda it: it["parts"].update({"secret": it["parts"]["store/coordinator/format"]}),
            "a part",
        ),
        (
            lambda it: it["parts"].update({"x/format": it["parts"]["store/coordinator/format"]}),
            "x/form",
        ),
        (
            lambda it: it["parts"]["store/coordinator/format"].update(sha256="0"),
            "is not what was written",
        ),
        (
            lambda it: it["parts"]["store/coordinator/format"].update(size_bytes=1 << 60),
            "GB free, and",
        ),
    ],
)
def test_a_file_that_is_not_what_it_says(
    data_dir: Path, tmp_path: Path, change: object, why: str
) -> None:
    file = tmp_path / "x.backup"
    back_up(data_dir, file, quiet)
    rewritten(file, change)
    refused(file, tmp_path / "new", why)


def test_files_that_are_no_backups(tmp_path: Path) -> None:
    refused(tmp_path / "nowhere", tmp_path / "new", "cannot restore .*nowhere: No such file")
    file = tmp_path / "x.backup"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a", "b")
    refused(file, tmp_path / "new", "is no backup of a Rabbitry, or is damaged: no manifest")


def test_it_tells_how_far_it_is(
    data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backup, "TELL_S", 0.0)
    lines: list[str] = []
    back_up(data_dir, tmp_path / "x.backup", lines.append)
    assert lines[0].startswith("store/coordinator: 0.0 MB of 0.0 MB at most")
    assert any(line.startswith("store/rabbit: 0.") for line in lines)


def test_the_writers_are_let_go_when_the_views_are_there(data_dir: Path) -> None:
    """From then on others commit, for as long as the copying takes."""
    with views_of(stores_of(data_dir)) as views:
        began = time.monotonic()
        done = threading.Event()

        def write() -> None:
            put(views["store/coordinator"].environment, {b"new": b"value"})
            done.set()

        threading.Thread(target=write, daemon=True).start()
        assert done.wait(10), f"held for {time.monotonic() - began} s"
    assert table_of(data_dir / "store" / "coordinator")[b"new"] == b"value"


def test_a_store_in_use_is_sound_when_it_is_restored(tmp_path: Path) -> None:
    """Of the store on disk itself, with a process that has it open and has grown its map."""
    store = tmp_path / "data" / "store" / "rabbit"
    program = str(Path(__file__).parent.parent / "support" / "store_worker.py")
    worker = subprocess.Popen(
        [sys.executable, program, str(store)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert worker.stdin is not None
    assert worker.stdout is not None
    assert worker.stdout.readline() == "open\n"
    file = tmp_path / "x.backup"
    try:
        for key in ("one", "two"):
            worker.stdin.write(f"{key} 100000\n")
            worker.stdin.flush()
            assert worker.stdout.readline() == "ok\n"
            back_up(tmp_path / "data", file, quiet)
    finally:
        worker.kill()
        worker.communicate()
    restore(file, tmp_path / "new", replace=False, tell=quiet)
    opened = LmdbStore.open(tmp_path / "new" / "store" / "rabbit", SystemEntropy(), replace=False)
    started = opened.load()
    assert started.bulk == [BULK + b"one", BULK + b"two"]
    assert started.damaged == []
    opened.close()
