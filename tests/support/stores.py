"""Where the stores of a running cluster lie, and what accidents do to their files.

Owns no knowledge of what is in them: bytes are flipped, files cut, emptied and removed.
"""

from __future__ import annotations

import random
import shutil
from pathlib import Path


def of_node(data_dir: Path, name: str) -> Path:
    """Return the directory of a node's store."""
    return data_dir / "store" / name


def of_coordinator(data_dir: Path) -> Path:
    """Return the directory of the catalog."""
    return data_dir / "store" / "coordinator"


def of_single(data_dir: Path) -> Path:
    """Return the directory of the store of a `rabbitry node`."""
    return data_dir / "node-rabbit"


def data_file(store: Path) -> Path:
    """Return the one file of a store that holds its data."""
    return store / "data.mdb"


def write_format(store: Path, version: int) -> None:
    """Make a store say that it is of this version."""
    (store / "format").write_text(f"rabbitry store {version}\n")


def flip_at(file: Path, at: int) -> None:
    """Change one bit of the byte at this offset."""
    with file.open("r+b") as opened:
        opened.seek(at)
        byte = opened.read(1)[0]
        opened.seek(at)
        opened.write(bytes([byte ^ 0x10]))


def flip_in_value(file: Path, text: bytes) -> int:
    """Change a byte in each copy of a text that is somewhere in the file; return how many."""
    content = file.read_bytes()
    count, at = 0, content.find(text)
    while at >= 0:
        flip_at(file, at + len(text) // 2)
        count += 1
        at = content.find(text, at + 1)
    return count


def flip_anywhere(file: Path, chance: random.Random, count: int) -> None:
    """Change bytes at random places, all over what is written of the file."""
    for _ in range(count):
        flip_at(file, chance.randrange(file.stat().st_size))


def cut(file: Path, part: float) -> None:
    """Leave the first part of a file, from 0 to 1, as when the rest was never written."""
    with file.open("r+b") as opened:
        opened.truncate(int(file.stat().st_size * part))


def remove(store: Path) -> None:
    """Remove all of a store."""
    shutil.rmtree(store)
