"""A disk that fails, is full or read-only, or hangs for as long as a test wants, and counts syncs.

Owns the making of `faulty_disk.c` into a library and the files by which running processes are told
(they inherit `environment`). Files outside `under` are never touched. Knows nothing of stores.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import struct
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

SOURCE = Path(__file__).with_suffix(".c")
COMPILER = shutil.which("cc") or shutil.which("gcc")
WITHOUT_COMPILER = "there is no C compiler for faulty_disk.c: apt install gcc libc6-dev"


@dataclass(frozen=True, slots=True)
class Counts:
    """Calls on files of the disk since it was made: `writes`, and `syncs` of all kinds."""

    writes: int
    syncs: int


class FaultyDisk:
    """The disk is all that lies below `under`, an absolute path; `control` is a new directory, or
    that of the same disk.

    `shim` are the variables by which a process is told, `environment` those of this one with them.
    """

    def __init__(self, under: Path, control: Path) -> None:
        assert COMPILER is not None, WITHOUT_COMPILER
        library = control / "faulty_disk.so"
        is_new = not control.exists()
        if is_new:
            control.mkdir()
            build = [COMPILER, "-O1", "-Wall", "-shared", "-fPIC", "-o", str(library), str(SOURCE)]
            subprocess.run([*build, "-ldl"], check=True, timeout=60)
        self._under = under
        self._rule = control / "rule"
        self._counts = control / "counts"
        if is_new:
            self._counts.write_bytes(bytes(16))
        self.shim = {
            "LD_PRELOAD": str(library),
            "FAULTY_DISK_UNDER": str(under),
            "FAULTY_DISK_CONTROL": str(control),
        }
        self.environment = os.environ | self.shim

    def counts(self) -> Counts:
        """Return how often it was written and synced."""
        return Counts(*struct.unpack("QQ", self._counts.read_bytes()))

    @contextlib.contextmanager
    def failing(self, error: int, calls: str = "ws", below: Path | None = None) -> Iterator[None]:
        """Let calls fail with this errno: letters of w (write), s (sync), o (open to write)."""
        # Written aside and renamed: no call sees half a rule.
        aside = self._rule.with_suffix(".new")
        aside.write_text(f"{calls} {error} {below or self._under}\n")
        aside.replace(self._rule)
        try:
            yield
        finally:
            self._rule.unlink()

    def full(self, below: Path | None = None) -> contextlib.AbstractContextManager[None]:
        """Have no room on it: writes fail, syncs do not."""
        return self.failing(errno.ENOSPC, "w", below)

    def held(self, calls: str = "s") -> contextlib.AbstractContextManager[None]:
        """Let calls wait until the end of the block."""
        return self.failing(0, calls)
