"""The disk fails as it is told, where it is told, and its counts are right."""

from __future__ import annotations

import errno
import select
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.faulty_disk import COMPILER, WITHOUT_COMPILER, Counts, FaultyDisk

pytestmark = [
    pytest.mark.processes,
    pytest.mark.skipif(COMPILER is None, reason=WITHOUT_COMPILER),
]

# Does one call a line of its input, and says how each ended.
WORKER = """
import errno, mmap, os, sys
disk, elsewhere = (os.open(path, os.O_RDWR | os.O_CREAT) for path in sys.argv[1:])
strict = os.open(sys.argv[1], os.O_WRONLY | os.O_DSYNC)
os.ftruncate(disk, 4096)
mapped = mmap.mmap(disk, 4096)
calls = {
    "write": lambda: os.write(disk, b"x"),
    "pwrite": lambda: os.pwrite(disk, b"x", 0),
    "writev": lambda: os.writev(disk, [b"x", b"y"]),
    "pwritev": lambda: os.pwritev(disk, [b"x", b"y"], 0),
    "ftruncate": lambda: os.ftruncate(disk, 4096),
    "fsync": lambda: os.fsync(disk),
    "fdatasync": lambda: os.fdatasync(disk),
    "msync": lambda: mapped.flush(),
    "strict": lambda: os.pwrite(strict, b"x", 0),
    "open": lambda: os.close(os.open(sys.argv[1], os.O_WRONLY)),
    "read": lambda: (os.pread(disk, 1, 0), os.close(os.open(sys.argv[1], os.O_RDONLY))),
    "elsewhere": lambda: (os.write(elsewhere, b"x"), os.fsync(elsewhere)),
}
print("begun", flush=True)
for line in sys.stdin:
    try:
        calls[line.strip()]()
        print("ok", flush=True)
    except OSError as error:
        print(errno.errorcode[error.errno], flush=True)
"""
WRITES = ["write", "pwrite", "writev", "pwritev", "ftruncate"]
SYNCS = ["fsync", "fdatasync", "msync"]


class Worker:
    """A process on the disk that makes the calls it is asked for."""

    def __init__(self, disk: FaultyDisk, *files: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", WORKER, *map(str, files)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=disk.environment,
        )
        assert self.hear() == "begun"

    def hear(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def ask(self, *names: str) -> None:
        """Have it make these calls."""
        assert self._process.stdin is not None
        self._process.stdin.write("".join(f"{name}\n" for name in names))
        self._process.stdin.flush()

    def has_answered(self) -> bool:
        """Say whether it says something within a moment."""
        return bool(select.select([self._process.stdout], [], [], 0.05)[0])

    def call(self, *names: str) -> list[str]:
        """Return how each call ended: ok, or the name of its errno."""
        self.ask(*names)
        return [self.hear() for _ in names]

    def end(self) -> None:
        self._process.kill()
        self._process.communicate()


@pytest.fixture
def disk(tmp_path: Path) -> FaultyDisk:
    under = tmp_path / "disk"
    under.mkdir()
    return FaultyDisk(under, tmp_path / "control")


@pytest.fixture
def worker(disk: FaultyDisk, tmp_path: Path) -> Iterator[Worker]:
    worker = Worker(disk, tmp_path / "disk" / "file", tmp_path / "elsewhere")
    yield worker
    worker.end()


def test_what_fails_and_what_does_not(disk: FaultyDisk, worker: Worker, tmp_path: Path) -> None:
    every = [*WRITES, *SYNCS, "strict", "open", "read", "elsewhere"]
    good = ["ok"] * len(every)
    assert worker.call(*every) == good
    with disk.failing(errno.EIO):
        ends = worker.call(*every)
        assert ends == ["EIO"] * 9 + ["ok"] * 3
    with disk.full():
        assert worker.call("pwrite", "fsync", "strict") == ["ENOSPC", "ok", "ENOSPC"]
    with disk.failing(errno.EIO, "s"):
        assert worker.call("pwrite", "fsync", "strict") == ["ok", "EIO", "EIO"]
    with disk.failing(errno.EROFS, "wo"):
        assert worker.call("pwrite", "open", "read") == ["EROFS", "EROFS", "ok"]
    with disk.failing(errno.EIO, below=tmp_path / "disk" / "other"):
        assert worker.call(*every) == good
    assert worker.call(*every) == good


def test_counts_of_writes_and_syncs(disk: FaultyDisk, worker: Worker) -> None:
    before = disk.counts()  # what the worker did to begin with
    worker.call(*WRITES, *SYNCS, "strict", "read", "elsewhere")
    now = disk.counts()
    done = Counts(now.writes - before.writes, now.syncs - before.syncs)
    assert done == Counts(len(WRITES) + 1, len(SYNCS) + 1)


def test_calls_that_are_held_go_on_in_the_end(disk: FaultyDisk, worker: Worker) -> None:
    with disk.held():
        assert worker.call("write") == ["ok"]
        worker.ask("fdatasync", "msync", "write")
        assert not worker.has_answered()
    assert [worker.hear() for _ in range(3)] == ["ok"] * 3
