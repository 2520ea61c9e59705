"""The log file of a process: where its reports go, bounded in size.

Owns the file and the form of a line. Each process writes a file of its own, so no two ever rotate
the same one. Nothing of it goes to the terminal: what the disk does not take is left out, and that
is said in the log when the disk does again.
"""

from __future__ import annotations

import contextlib
import logging
import logging.handlers
import os
import shutil
import sys
from pathlib import Path

LOG_BYTES_MAX = 10 * 1024 * 1024
LOG_FILES_KEPT = 3


def log_to(path: Path) -> None:
    """Send the log of this process to the file `path`; at `LOG_BYTES_MAX` it is rotated.

    Lines look like `2026-11-22 18:30:26,123 info connection opened peer=127.0.0.1:40000`.
    Raises OSError if the file cannot be opened.
    """
    handler = _LogFile(path, maxBytes=LOG_BYTES_MAX, backupCount=LOG_FILES_KEPT, encoding="utf-8")
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


class _LogFile(logging.handlers.RotatingFileHandler):
    """Goes on where `logging` would write a traceback to the terminal for each line."""

    _left_out = 0

    def emit(self, record: logging.LogRecord) -> None:
        before = self._left_out
        super().emit(record)
        if before and self._left_out == before:  # it was written
            self._left_out = 0
            text = f"up to {before} lines before the last are missing: the disk did not take them"
            super().emit(logging.LogRecord("rabbitry", logging.WARNING, "", 0, text, None, None))

    def handleError(self, record: logging.LogRecord) -> None:
        if isinstance(sys.exception(), OSError):
            self._left_out += 1
        else:
            super().handleError(record)


class _LowerCase(logging.Formatter):
    """Writes levels as our reports name them."""

    def format(self, record: logging.LogRecord) -> str:
        record.levelname = record.levelname.lower()
        return super().format(record)
