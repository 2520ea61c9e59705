"""The small disk is seen where it should be, gets full, and has room again."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from support.small_disk import WITHOUT_NAMESPACES, SmallDisk, namespace_options

pytestmark = [
    pytest.mark.processes,
    pytest.mark.skipif(namespace_options() is None, reason=WITHOUT_NAMESPACES),
]


def test_it_gets_full_and_has_room_again(tmp_path: Path) -> None:
    place = tmp_path / "disk"
    disk = SmallDisk(place, 1_000_000)

    def write() -> int:
        script = f'cd {tmp_path} && printf hello > "{place}/file"'
        done = subprocess.run([*disk.inside, "sh", "-c", script], capture_output=True)
        return done.returncode

    try:
        assert write() == 0
        assert disk.seen(place / "file").read_text() == "hello"
        assert list(place.iterdir()) == [], "nobody else sees it"
        disk.seen(place / "file").unlink()
        disk.fill()
        assert write() != 0
        disk.make_room()
        assert write() == 0
    finally:
        disk.close()
