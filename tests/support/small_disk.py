"""A file system of a few megabytes that is filled up and emptied: a tmpfs that only a test sees.

Owns a process that holds a mount namespace (with a user namespace of its own where root is not
at hand), and the ballast file. Whoever is started with `inside` before its command sees the disk at
its place; this process sees the files on it through /proc.
"""

from __future__ import annotations

import contextlib
import functools
import os
import subprocess
from pathlib import Path

WITHOUT_NAMESPACES = "no mount namespace can be made here (unshare -rm, or root)"
_MOUNT = 'mount -t tmpfs -o "size=$1,mode=700" none "$0" && echo mounted && exec cat'


@functools.cache
def namespace_options() -> list[str] | None:
    """Return how `unshare` and `nsenter` make and enter a namespace here; None if they do not."""
    for options in (["--user", "--mount"], ["--mount"]):
        root = ["--map-root-user"] if "--user" in options else []
        with contextlib.suppress(OSError, subprocess.TimeoutExpired):
            tried = ["unshare", *options, *root, "mount", "-t", "tmpfs", "none", "/mnt"]
            if subprocess.run(tried, capture_output=True, timeout=10).returncode == 0:
                return options
    return None


class SmallDisk:
    """A disk of `size_bytes` at the directory `place`, which is made; until `close`."""

    def __init__(self, place: Path, size_bytes: int) -> None:
        options = namespace_options()
        assert options is not None, WITHOUT_NAMESPACES
        place.mkdir(parents=True)
        root = ["--map-root-user"] if "--user" in options else []
        self._holder = subprocess.Popen(
            ["unshare", *options, *root, "sh", "-c", _MOUNT, str(place), str(size_bytes)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._holder.stdout is not None
        assert self._holder.stdout.readline() == "mounted\n"
        keep = ["--preserve-credentials"] if "--user" in options else []
        # With its namespace it would change the directory as well.
        where = f"--wdns={os.getcwd()}"
        self.inside = ["nsenter", f"--target={self._holder.pid}", *options, *keep, where]
        self._place = place
        self._ballast = self.seen(place / "ballast")

    def seen(self, path: Path) -> Path:
        """Return where this process sees a path of the disk."""
        return Path(f"/proc/{self._holder.pid}/root{path}")

    def fill(self) -> None:
        """Leave not a byte free."""
        with self._ballast.open("ab", buffering=0) as file, contextlib.suppress(OSError):
            while file.write(bytes(64 * 1024)):
                pass
        with self._ballast.open("ab", buffering=0) as file, contextlib.suppress(OSError):
            while file.write(b"x" * 512):
                pass

    def make_room(self) -> None:
        """Undo `fill`."""
        self._ballast.unlink()

    def close(self) -> None:
        """The disk is gone with the last process that sees it."""
        self._holder.kill()
        self._holder.communicate()
