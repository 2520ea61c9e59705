"""A store's directory: one holder, one format, and nothing damaged, gone or half made is taken."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import lmdb
import pytest

from rabbitry.runtime.errors import EXIT_USAGE, UserError
from rabbitry.runtime.store_directory import StoreDamaged, StoreDirectory, os_error


def make(path: Path, commits: int = 3) -> StoreDirectory:
    """A store that is sound, and held."""
    directory = StoreDirectory.hold(path)
    with lmdb.open(str(directory.begin())) as environment:
        for number in range(commits):
            with environment.begin(write=True) as transaction:
                transaction.put(b"key %d" % number, b"value" * 1000)
    directory.finish()
    directory.remember(b"identity")
    return directory


def test_what_was_made_is_found(tmp_path: Path) -> None:
    directory = StoreDirectory.hold(tmp_path / "deep" / "down" / "store")
    assert directory.look() is False
    directory.release()
    directory = make(tmp_path / "deep" / "down" / "store")
    assert directory.look() is True
    directory.release()
    again = StoreDirectory.hold(directory.path)
    assert again.look() is True
    again.release()


def test_only_one_holds_it(tmp_path: Path) -> None:
    directory = StoreDirectory.hold(tmp_path / "store")
    with pytest.raises(UserError, match="is in use by another process; end that one") as refused:
        StoreDirectory.hold(tmp_path / "store")
    assert refused.value.exit_code == EXIT_USAGE
    directory.release()
    StoreDirectory.hold(tmp_path / "store").release()


def test_who_has_patience_gets_it_after_the_other(tmp_path: Path) -> None:
    first = StoreDirectory.hold(tmp_path / "store")
    with ThreadPoolExecutor(1) as executor:
        waiting = executor.submit(StoreDirectory.hold, tmp_path / "store", 20)
        first.release()
        waiting.result().release()


def test_a_place_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="File exists; mend that, or choose another"):
        StoreDirectory.hold(tmp_path / "file" / "store")


def test_one_that_was_half_made_is_made_anew(tmp_path: Path) -> None:
    directory = StoreDirectory.hold(tmp_path / "store")
    (directory.begin() / "data.mdb").write_bytes(b"half")
    assert directory.look() is False
    assert list(directory.begin().iterdir()) == []
    directory.release()


def test_a_format_that_is_not_known_is_refused(tmp_path: Path) -> None:
    directory = make(tmp_path / "store")
    (directory.path / "format").write_text("rabbitry store 2\n")
    with pytest.raises(UserError, match="has format 2, and this Rabbitry knows format 1 only"):
        directory.look()
    directory.release()


@pytest.mark.parametrize("line", ["", "rabbitry store x\n", "rabbitry stare 1\n", "1"])
def test_a_format_that_is_none_is_damage(tmp_path: Path, line: str) -> None:
    directory = make(tmp_path / "store")
    (directory.path / "format").write_text(line)
    with pytest.raises(StoreDamaged, match="its file format is not what was written"):
        directory.look()
    directory.release()


@pytest.mark.parametrize("name", ["format", "data.mdb"])
def test_a_file_that_is_gone_is_damage(tmp_path: Path, name: str) -> None:
    directory = make(tmp_path / "store")
    (directory.path / name).unlink()
    with pytest.raises(StoreDamaged, match=f"it has no file {name}|cannot stat|data.mdb"):
        directory.look()
    directory.release()


def test_a_store_that_is_gone_is_damage(tmp_path: Path) -> None:
    directory = make(tmp_path / "store")
    directory.release()
    directory.path.rename(tmp_path / "elsewhere")
    again = StoreDirectory.hold(tmp_path / "store")
    with pytest.raises(StoreDamaged, match="it is gone"):
        again.look()
    assert again.set_aside() is None
    again.release()


@pytest.mark.parametrize("left", [0, 100, 4096, 8192, 3 * 4096, -4096, -1])
def test_a_file_that_was_cut_is_damage(tmp_path: Path, left: int) -> None:
    directory = make(tmp_path / "store")
    file = directory.path / "data.mdb"
    os.truncate(file, left if left >= 0 else file.stat().st_size + left)
    with pytest.raises(StoreDamaged):
        directory.look()
    directory.release()


@pytest.mark.parametrize("page", [0, 1])
@pytest.mark.parametrize("bit", [1, 2, 8, 64])
def test_a_commit_with_a_wrong_number_is_damage(tmp_path: Path, page: int, bit: int) -> None:
    directory = make(tmp_path / "store", commits=4)
    with (directory.path / "data.mdb").open("r+b") as data:
        data.seek(page * 4096 + 144)
        number = int.from_bytes(data.read(8), "little") ^ bit
        data.seek(page * 4096 + 144)
        data.write(number.to_bytes(8, "little"))
    with pytest.raises(StoreDamaged):
        directory.look()
    directory.release()


def test_what_is_set_aside_is_kept(tmp_path: Path) -> None:
    for number in (1, 2):
        directory = make(tmp_path / "store")
        kept = (directory.path / "data.mdb").read_bytes()
        aside = directory.set_aside()
        assert aside == tmp_path / f"store.damaged-{number}"
        assert (aside / "data.mdb").read_bytes() == kept
        assert not directory.path.exists()
        directory.release()


def test_what_the_world_refuses_has_its_number(tmp_path: Path) -> None:
    refused = lmdb.DiskError("mdb_txn_commit: No space left on device")
    vars(refused)["code"] = 28  # as LMDB raises it
    assert (os_error(refused).errno, os_error(refused).strerror) == (28, "No space left on device")
    with (
        lmdb.open(str(tmp_path), map_size=1 << 16) as environment,
        pytest.raises(lmdb.MapFullError) as own,
        environment.begin(write=True) as transaction,
    ):
        transaction.put(b"key", bytes(1 << 17))
    assert os_error(own.value).errno == 5
    assert "MDB_MAP_FULL" in str(os_error(own.value))
