"""The directory of a store on disk: who holds it, its format, whether it is sound, its replacement.

Beside the directory `NAME` lie `NAME.lock` (held, with flock(2), by the one process that has the
store open; it names the store that was made here last), `NAME.new` while one is made, and
`NAME.damaged-1`, `-2`, ...: what was found unsound and set aside. In it lie LMDB's two files and
`format`, which says in a line which version of all this it is.

Invariants: a directory is made complete and then renamed, so one that is there was complete once;
nothing is ever deleted; a store that was here and is gone or damaged is an error that
somebody is told, never a fresh start. LMDB never sees a file that was not walked through before: a
wrong byte in it can end the process (SIGSEGV), a cut file does (SIGBUS).
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import sys
from pathlib import Path
from time import monotonic, sleep
from typing import BinaryIO

import lmdb
from lmdb import verify

from rabbitry.runtime.errors import UserError

FORMAT = 1
"""The version that this code writes, and the only one that it reads."""

_LOOK_AGAIN_S = 0.02
_FORMAT_LINE = "rabbitry store "
_IDENTITY_BYTES_MAX = 64


_PAGE_BYTES_AT = 40
_LAST_PAGE_AT = 136
_COMMIT_AT = 144
"""Where in the first page the size of pages is; in a meta page its last page and commit."""


class StoreDamaged(Exception):
    """The store is gone, or not sound: what was in it cannot be vouched for."""


class StoreDirectory:
    """The directory `path`, held by this process from `hold` to `release`."""

    def __init__(self, path: Path, lock: int) -> None:
        self.path = path
        self._lock = lock

    @classmethod
    def hold(cls, path: Path, patience_s: float = 0.0) -> StoreDirectory:
        """Take the lock. Raises `UserError` if another process has it, or it cannot be written.

        With patience for another one that is about to end, if it was told to.
        """
        until = monotonic() + patience_s
        path = path.absolute()
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            file = _beside(path, "lock")
            lock = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise _cannot_use(path, error) from None
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return cls(path, lock)
            except BlockingIOError:
                if monotonic() < until:
                    sleep(_LOOK_AGAIN_S)  # nobody tells when a lock is given back
                    continue
                os.close(lock)
                raise UserError(
                    f"the store {path} is in use by another process; "
                    "end that one, or choose another with --data-dir"
                ) from None
            except OSError as error:
                os.close(lock)
                raise _cannot_use(path, error) from None

    def look(self) -> bool:
        """Say whether a store is here, and sound; False: there was none.

        Raises `StoreDamaged` if it is not as it was left, `UserError` if it is of another version.
        """
        if not self.path.is_dir():
            if self._made():
                raise StoreDamaged("it is gone")
            return False
        try:
            _check_format(self.path)
            problems = verify.verify(str(self.path), subdir=True)  # type: ignore[no-untyped-call]
        except verify.VerifyError as error:
            raise StoreDamaged(str(error)) from None
        except FileNotFoundError as error:
            raise StoreDamaged(f"it has no file {Path(error.filename).name}") from None
        except OSError as error:
            if error.errno == errno.EIO:
                raise StoreDamaged(f"it cannot be read: {error.strerror}") from None
            raise _cannot_use(self.path, error) from None
        problems = problems or _metas_out_of_step(self.path / "data.mdb")
        if problems:
            more = f", and {len(problems) - 1} more" if len(problems) > 1 else ""
            raise StoreDamaged(f"{problems[0]}{more}")
        try:
            _fill_up(self.path / "data.mdb")
        except OSError as error:
            raise _cannot_use(self.path, error) from None
        return True

    def begin(self) -> Path:
        """Return an empty directory in which a store is made, for `finish`. Raises `UserError`."""
        new = _beside(self.path, "new")
        try:
            shutil.rmtree(new, ignore_errors=True)  # of a process that died while making one
            new.mkdir(mode=0o700)
        except OSError as error:
            raise _cannot_use(self.path, error) from None
        return new

    def finish(self) -> None:
        """Put what was made in its place, durably. Raises `UserError`."""
        new = _beside(self.path, "new")
        try:
            (new / "format").write_text(f"{_FORMAT_LINE}{FORMAT}\n")
            for path in (new / "format", new):
                _sync(path)
            new.rename(self.path)
            _sync(self.path.parent)
        except OSError as error:
            raise _cannot_use(self.path, error) from None

    def remember(self, identity: bytes) -> None:
        """Note which store is here, to know one that is gone from one that never was."""
        if self._made() != identity:
            os.ftruncate(self._lock, 0)
            os.pwrite(self._lock, identity, 0)
            os.fsync(self._lock)

    def set_aside(self) -> Path | None:
        """Rename what is here; return its new name, None if there is nothing."""
        if not self.path.exists():
            return None
        number = 1
        while (aside := _beside(self.path, f"damaged-{number}")).exists():
            number += 1
        try:
            self.path.rename(aside)
            _sync(self.path.parent)
        except OSError as error:
            raise _cannot_use(self.path, error) from None
        return aside

    def release(self) -> None:
        """Let others have it."""
        os.close(self._lock)

    def _made(self) -> bytes:
        return os.pread(self._lock, _IDENTITY_BYTES_MAX, 0)


def _check_format(path: Path) -> None:
    line = (path / "format").read_bytes().decode(errors="replace").strip()
    if line == f"{_FORMAT_LINE}{FORMAT}":
        return
    version = line.removeprefix(_FORMAT_LINE)
    if version == line or not version.isdecimal():
        raise StoreDamaged("its file format is not what was written")
    raise UserError(
        f"the store {path} has format {version}, and this Rabbitry knows format {FORMAT} only; "
        "run the version of Rabbitry that wrote it, or choose another directory with --data-dir"
    )


def _metas_out_of_step(file: Path) -> list[str]:
    """Say so if the two meta pages are not of consecutive commits, as they always are.

    A wrong number in the newer one would have LMDB take the older, and lose a commit in silence.
    LMDB's `mdb.c`: page header, MDB_meta; commit n is in page n modulo 2.
    """
    with file.open("rb") as data:
        page_bytes = _number(data, _PAGE_BYTES_AT, 4)
        first, second = (_number(data, page * page_bytes + _COMMIT_AT, 8) for page in (0, 1))
    if abs(first - second) == 1 and first % 2 == 0:
        return []
    return [f"its meta pages are of the commits {first} and {second}"]


def _fill_up(file: Path) -> None:
    """Give a file that was cut its length again, with zeros.

    What was cut off a large value alone `verify` does not see, for that has a head on its first
    page only. LMDB would read it through its map, where a page behind the end of the file ends the
    process (SIGBUS); zeros are found as any damage is.
    """
    with file.open("r+b") as data:
        page_bytes = _number(data, _PAGE_BYTES_AT, 4)
        last = max(_number(data, page * page_bytes + _LAST_PAGE_AT, 8) for page in (0, 1))
        if data.seek(0, os.SEEK_END) < (last + 1) * page_bytes:
            data.truncate((last + 1) * page_bytes)


def _number(data: BinaryIO, at: int, size: int) -> int:
    data.seek(at)
    return int.from_bytes(data.read(size), sys.byteorder)


def _beside(path: Path, ending: str) -> Path:
    return path.with_name(f"{path.name}.{ending}")


def _cannot_use(path: Path, error: OSError) -> UserError:
    return UserError(
        f"cannot use the store {path}: {error.strerror}; mend that, or choose another directory "
        "with --data-dir"
    )


def _sync(path: Path) -> None:
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def os_error(error: lmdb.Error) -> OSError:
    """Return what LMDB raises as what the world refused: its errno, EIO for LMDB's own codes."""
    code = error.code if getattr(error, "code", 0) > 0 else errno.EIO
    text = os.strerror(code) if code == getattr(error, "code", 0) else str(error)
    return OSError(code, text)
