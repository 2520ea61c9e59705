"""`rabbitry backup` and `rabbitry restore`: all stores of a data directory in a file.

Owns the file's form, and how it is made and read. It works beside a running Rabbitry and without
one, for it opens the stores itself: LMDB lets other processes read what one writes.

All stores are copied as of one moment: the locks of their writers are taken, a view is opened in
each, the locks are given back. In these milliseconds nothing is committed, so nothing confirmed, by
anybody. What was confirmed before is in the views; and nothing is in one whose cause is missing in
another: a message moved from queue to queue is in one of them at least. What is restored is
therefore a Rabbitry that lost its power at that moment, which it knows how to start from (decision
23).

The file is a zip: `NAME/data.mdb` (LMDB's own compacted copy) and `NAME/format` for each store, the
marks of first starts (`begun`, see `data_directory`), and `manifest.json`, which says what must be
there. A zip has its directory at its end, so that a file
that was cut is known at once, and its parts may be written before their sizes are known.

Invariants: a file appears whole under its name or not at all, and so does a restored directory;
nothing that was there is overwritten, but an older backup of the same name.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import signal
import tempfile
import threading
import zipfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import IO, NamedTuple
from zlib import error as ZlibError

import lmdb
import msgspec

from rabbitry import __version__
from rabbitry.runtime.data_directory import Layout
from rabbitry.runtime.errors import EXIT_NOT_SO, UserError
from rabbitry.runtime.status import shown_bytes

FORMAT = 1
"""The version of the file that is written, and the only one that is read."""

HOLD_S = 2.0
"""How long the stores' writers may be waited for, and hence how long commits may be held up."""

TELL_S = 2.0
"""How often it is told how far it is."""

CHUNK_BYTES = 1 << 20
COMPRESSION_LEVEL = 1

DATA, FORMAT_FILE, BEGUN, MANIFEST = "data.mdb", "format", "begun", "manifest.json"
MANIFEST_BYTES_MAX = 16 * 1024 * 1024

_NO_STORE = re.compile(r"\.(new|damaged-\d+)$")
"""What `store_directory` calls one that is half made, or was set aside."""

Tell = Callable[[str], None]


class View(NamedTuple):
    """A store as it was at one moment."""

    environment: lmdb.Environment
    transaction: lmdb.Transaction[bytes]


class Part(msgspec.Struct):
    """One file in a backup: its size in bytes, its SHA-256."""

    size_bytes: int
    sha256: str


class Manifest(msgspec.Struct):
    """What a backup has. `parts` by their names; `made` is a time in UTC, ISO 8601."""

    rabbitry_backup: int
    made: str
    version: str
    parts: dict[str, Part]

    @property
    def stores(self) -> list[str]:
        """The names of the stores: where they lie in the data directory."""
        return sorted(name.removesuffix(f"/{DATA}") for name in self.parts if name.endswith(DATA))

    @property
    def size_bytes(self) -> int:
        """What it takes when it is restored."""
        return sum(part.size_bytes for part in self.parts.values())


# --- making ---------------------------------------------------------------------------------------


def back_up(data_dir: Path, file: Path, tell: Tell) -> Manifest:
    """Write a backup of `data_dir` to `file`, in place of an older one. Raises `UserError`."""
    stores = stores_of(data_dir)
    if not stores:
        raise UserError(f"there is nothing to back up in {data_dir}: it has no store")
    try:
        with views_of(stores) as views, _appearing(file) as opened:
            begun = sorted(path for path in data_dir.iterdir() if _is_begun(path))
            return _write(opened, stores, views, begun, tell)
    except lmdb.Error as error:
        raise UserError(f"cannot back up {data_dir}: {error}") from None
    except OSError as error:
        raise UserError(f"cannot write {file}: {error.strerror}") from None


def stores_of(data_dir: Path) -> dict[str, Path]:
    """Return the directories of stores in a data directory, by where they lie in it.

    Those that are its own: not what else has been put there, a data directory in it say.
    """
    stores = Layout(data_dir).store("coordinator").parent
    found = [path for path in stores.glob("*") if not _is_of_another(path)]
    found += data_dir.glob("node-*")
    return {
        str(path.relative_to(data_dir)): path
        for path in sorted(found)
        if (path / DATA).is_file()
        and (path / FORMAT_FILE).is_file()
        and not _NO_STORE.search(path.name)
    }


def _is_of_another(path: Path) -> bool:
    """Whether a `rabbitry node` that was given this place as its data directory has made it."""
    return path.name.startswith("node-") and Layout(path.parent).lock.exists()


def _is_begun(path: Path) -> bool:
    return path.name == BEGUN or path.suffix == f".{BEGUN}"


@contextlib.contextmanager
def views_of(stores: dict[str, Path]) -> Iterator[dict[str, View]]:
    """Open a view of each store, all of one moment; raises `UserError` if that is not to be had."""
    with contextlib.ExitStack() as closing:
        environments = {
            name: closing.enter_context(contextlib.closing(_environment(path)))
            for name, path in stores.items()
        }
        try:
            with _writers_held(environments):
                views = {name: View(one, one.begin()) for name, one in environments.items()}
        except UserError:
            closing.pop_all()  # closing one would wait for the writer that we would not wait for
            raise
        for view in views.values():
            closing.callback(view.transaction.abort)
        yield views


def _environment(path: Path) -> lmdb.Environment:
    # The map is address space; the store may grow between this and the view.
    size = (path / DATA).stat().st_size
    return lmdb.open(str(path), map_size=4 * size + (1 << 30), max_dbs=8, create=False)


@contextlib.contextmanager
def _writers_held(environments: dict[str, lmdb.Environment]) -> Iterator[None]:
    """Keep everybody from committing to any of these; raises `UserError` if one cannot be had."""
    release = threading.Event()
    held: dict[str, threading.Event] = {name: threading.Event() for name in environments}
    failed: list[lmdb.Error] = []

    def hold(name: str) -> None:
        try:
            transaction = environments[name].begin(write=True)
        except lmdb.Error as error:
            failed.append(error)
            held[name].set()
            return
        held[name].set()
        release.wait()
        transaction.abort()

    # Who is stopped by Ctrl-Z just now would stop the whole cluster with itself.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTSTP])
    threads = [threading.Thread(target=hold, args=(name,), daemon=True) for name in environments]
    try:
        for thread in threads:
            thread.start()
        until = monotonic() + HOLD_S
        late = [name for name in held if not held[name].wait(max(0.0, until - monotonic()))]
        if late:
            raise UserError(
                f"the writer of the store {late[0]} does not let go within {HOLD_S:g} s; if its "
                "process is stopped, let it go on; nothing was backed up",
                EXIT_NOT_SO,
            )
        if failed:
            raise failed[0]
        yield
    finally:
        release.set()
        for name, thread in zip(environments, threads, strict=True):
            if held[name].is_set():
                thread.join()
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _write(
    file: IO[bytes],
    stores: dict[str, Path],
    views: dict[str, View],
    begun: list[Path],
    tell: Tell,
) -> Manifest:
    made = datetime.now(UTC).isoformat(timespec="seconds")
    manifest = Manifest(FORMAT, made, __version__, {})
    with zipfile.ZipFile(
        file, "w", zipfile.ZIP_DEFLATED, compresslevel=COMPRESSION_LEVEL
    ) as archive:
        for name, path in stores.items():
            told = _Told(tell, name, (path / DATA).stat().st_size)
            with _compacted(views[name]) as copied:
                part = _put(archive, f"{name}/{DATA}", copied, told)
            manifest.parts[f"{name}/{DATA}"] = part
            with (path / FORMAT_FILE).open("rb") as line:
                manifest.parts[f"{name}/{FORMAT_FILE}"] = _put(
                    archive, f"{name}/{FORMAT_FILE}", line, told
                )
        for path in begun:
            archive.writestr(path.name, b"")
            manifest.parts[path.name] = Part(0, hashlib.sha256().hexdigest())
        archive.writestr(MANIFEST, msgspec.json.format(msgspec.json.encode(manifest)))
    return manifest


@contextlib.contextmanager
def _compacted(view: View) -> Iterator[IO[bytes]]:
    """Give what LMDB writes of a view: without free pages, cut from any file or its size."""
    reading, writing = os.pipe()
    failed: list[lmdb.Error] = []

    def copy() -> None:
        try:
            view.environment.copyfd(writing, compact=True, txn=view.transaction)
        except lmdb.Error as error:
            failed.append(error)
        finally:
            os.close(writing)

    thread = threading.Thread(target=copy, daemon=True)
    try:
        with os.fdopen(reading, "rb") as copied:
            thread.start()
            yield copied
    finally:
        thread.join()  # what it still wants to write, nobody reads: it ends
    if failed:
        raise failed[0]


class _Told:
    """Tells how far a store is, now and then."""

    def __init__(self, tell: Tell, name: str, size_bytes: int) -> None:
        self._tell = tell
        self._name = name
        self._size_bytes = size_bytes
        self._at = monotonic()

    def through(self, done_bytes: int) -> None:
        if monotonic() - self._at >= TELL_S:
            self._at = monotonic()
            most = shown_bytes(self._size_bytes)
            self._tell(f"{self._name}: {shown_bytes(done_bytes)} of {most} at most")


def _put(archive: zipfile.ZipFile, name: str, source: IO[bytes], told: _Told) -> Part:
    with archive.open(name, "w", force_zip64=True) as written:
        return _copy(source, written, told)


def _copy(source: IO[bytes], target: IO[bytes], told: _Told) -> Part:
    digest = hashlib.sha256()
    size = 0
    while chunk := source.read(CHUNK_BYTES):
        target.write(chunk)
        digest.update(chunk)
        size += len(chunk)
        told.through(size)
    return Part(size, digest.hexdigest())


@contextlib.contextmanager
def _appearing(file: Path) -> Iterator[IO[bytes]]:
    """Give a file that is there under its name, and on the disk, when the block has ended well."""
    with tempfile.NamedTemporaryFile(
        dir=file.absolute().parent, prefix=f".{file.name}.", suffix=".part", delete=False
    ) as opened:
        try:
            yield opened
            opened.flush()
            os.fsync(opened.fileno())
            Path(opened.name).replace(file)
            _sync(file.absolute().parent)
        except BaseException:
            Path(opened.name).unlink(missing_ok=True)
            raise


# --- restoring ------------------------------------------------------------------------------------


def restore(
    file: Path, data_dir: Path, *, replace: bool, tell: Tell
) -> tuple[Manifest, Path | None]:
    """Make `data_dir` of a backup; return its manifest, and where what was there has gone.

    Raises `UserError` if that is no whole backup of a version that is known, if somebody uses the
    directory, or if something is in it and is not to be replaced. Then nothing has changed.
    """
    data_dir = Path(os.path.realpath(data_dir))
    try:
        with file.open("rb") as opened, _archive(opened, file) as archive:
            manifest = _manifest(archive, file)
            with _unused(data_dir):
                occupied = data_dir.exists() and any(data_dir.iterdir())
                if occupied and not replace:
                    raise UserError(
                        f"{data_dir} is not empty; choose another with --data-dir, or say "
                        "--replace to have it renamed"
                    )
                return manifest, _restore(archive, manifest, file, data_dir, occupied, tell)
    except OSError as error:
        where = error.filename or data_dir
        raise UserError(f"cannot restore {file}: {where}: {error.strerror}") from None


def _restore(
    archive: zipfile.ZipFile,
    manifest: Manifest,
    file: Path,
    data_dir: Path,
    occupied: bool,
    tell: Tell,
) -> Path | None:
    if os.path.ismount(data_dir):
        raise UserError(
            f"{data_dir} is where a file system is mounted and cannot be replaced; "
            f"name a directory in it, as --data-dir {data_dir / 'rabbitry'}"
        )
    parent = data_dir.parent
    parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    free = shutil.disk_usage(parent).free
    if free < manifest.size_bytes:
        needed = shown_bytes(manifest.size_bytes)
        raise UserError(f"{parent} has {shown_bytes(free)} free, and the backup takes {needed}")
    made = Path(tempfile.mkdtemp(prefix=f".{data_dir.name}.", suffix=".restoring", dir=parent))
    mask = os.umask(0o077)
    try:
        for name, part in manifest.parts.items():
            _extract(archive, name, part, made / name, file, tell)
        for path in [*made.rglob("*"), made]:
            if path.is_dir():
                _sync(path)
        gone: Path | None = None
        if occupied:
            gone = data_dir.with_name(f"{data_dir.name}.replaced-{datetime.now(UTC):%Y%m%dT%H%M%S}")
            data_dir.rename(gone)
        made.rename(data_dir)
        _sync(parent)
        return gone
    finally:
        os.umask(mask)
        shutil.rmtree(made, ignore_errors=True)  # it is there no more if all went well


def _extract(
    archive: zipfile.ZipFile, name: str, part: Part, path: Path, file: Path, tell: Tell
) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    told = _Told(tell, str(Path(name).parent), part.size_bytes)
    number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(number, "wb") as target:
        try:
            with archive.open(name) as source:
                found = _copy(source, target, told)
        except _UNREADABLE as error:
            raise _damaged(file, f"{name}: {error}") from None
        target.flush()
        os.fsync(target.fileno())
    if found != part:
        raise _damaged(file, f"{name} is not what was written")


@contextlib.contextmanager
def _archive(opened: IO[bytes], file: Path) -> Iterator[zipfile.ZipFile]:
    try:
        archive = zipfile.ZipFile(opened)
    except (zipfile.BadZipFile, ValueError) as error:
        raise _damaged(file, str(error)) from None
    with archive:
        yield archive


def _manifest(archive: zipfile.ZipFile, file: Path) -> Manifest:
    try:
        with archive.open(MANIFEST) as opened:
            text = opened.read(MANIFEST_BYTES_MAX)
        version = msgspec.json.decode(text, type=_Versioned).rabbitry_backup
        if version != FORMAT:
            raise UserError(
                f"{file} is a backup of format {version}, and this Rabbitry knows format {FORMAT} "
                "only; restore it with the version that made it"
            )
        manifest = msgspec.json.decode(text, type=Manifest)
    except (*_UNREADABLE, msgspec.DecodeError) as error:
        raise _damaged(file, f"no {MANIFEST}, or {error}") from None
    for name in manifest.parts:
        path = Path(name)
        if path.is_absolute() or ".." in path.parts or not _is_part(path):
            raise _damaged(file, f"it has a part {name}")
    return manifest


def _is_part(path: Path) -> bool:
    return path.name in (DATA, FORMAT_FILE) or (len(path.parts) == 1 and _is_begun(path))


class _Versioned(msgspec.Struct):
    rabbitry_backup: int


_UNREADABLE = (zipfile.BadZipFile, KeyError, EOFError, NotImplementedError, ZlibError)
"""What `zipfile` raises where bytes are not what they were."""


def _damaged(file: Path, why: str) -> UserError:
    return UserError(f"{file} is no backup of a Rabbitry, or is damaged: {why}")


@contextlib.contextmanager
def _unused(data_dir: Path) -> Iterator[None]:
    """Hold all locks of a data directory; raises `UserError` if somebody has one of them."""
    with contextlib.ExitStack() as closing:
        for path in sorted(data_dir.rglob("*.lock")):
            number = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            closing.callback(os.close, number)
            try:
                fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise UserError(
                    f"a Rabbitry is running in {data_dir}; `rabbitry stop` ends it", EXIT_NOT_SO
                ) from None
        yield


def _sync(path: Path) -> None:
    number = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(number)
    finally:
        os.close(number)
