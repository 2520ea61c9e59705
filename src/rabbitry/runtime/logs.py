"""The log file of a process: where its reports go, bounded in size.

Owns the file and the form of a line. Each process writes a file of its own, so no two ever rotate
the same one. Nothing of it goes to the terminal.
"""

from __future__ import annotations

import contextlib
import logging
import logging.handlers
import os
import shutil
from pathlib import Path

LOG_BYTES_MAX = 10 * 1024 * 1024
LOG_FILES_KEPT = 3


def log_to(path: Path) -> None:
    """Send the log of this process to the file `path`; at `LOG_BYTES_MAX` it is rotated.

    Lines look like `2026-11-22 18:30:26,123 info connection opened peer=127.0.0.1:40000`.
    Raises OSError if the file cannot be opened.
    """
    handler = logging.handlers.RotatingFileHandler(
        path, maxBytes=LOG_BYTES_MAX, backupCount=LOG_FILES_KEPT, encoding="utf-8"
    )
    os.chmod(path, 0o600)
    handler.setFormatter(_LowerCase("%(asctime)s %(levelname)s %(message)s"))
    root = logging.getLogger()
    root.addHandler(handler)
    root.setLevel(logging.INFO)


def bound_log(path: Path) -> None:
    """Keep a log that another process appends to within `LOG_BYTES_MAX`: move what it has aside.

    The file itself stays: its writer has it open. A line written in between may get lost.
    """
    with contextlib.suppress(OSError), path.open("r+b") as file:
        if file.seek(0, os.SEEK_END) >= LOG_BYTES_MAX:
            shutil.copyfile(path, path.with_name(f"{path.name}.1"))
            file.truncate(0)


class _LowerCase(logging.Formatter):
    """Writes levels as our reports name them."""

    def format(self, record: logging.LogRecord) -> str:
        record.levelname = record.levelname.lower()
        return super().format(record)
