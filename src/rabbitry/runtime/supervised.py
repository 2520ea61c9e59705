"""The child's side of `processes`: settings in, readiness out, and going when the supervisor goes.

Owns what any process that the supervisor starts has to do. Imports little, since it stands before
everything else at the start of each of them.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable

import msgspec

SETTINGS_BYTES_MAX = 1024 * 1024


def read_settings_line(file: int = 0) -> bytes:
    """Return the first line of standard input, without its end, taking no byte beyond it."""
    line = bytearray()
    # Byte by byte: what a buffer took beyond the line would be missed by the watch for the end.
    while (byte := os.read(file, 1)) not in (b"", b"\n"):
        line += byte
        if len(line) > SETTINGS_BYTES_MAX:
            raise ValueError("the settings are too long")
    return bytes(line)


def ready_file(arguments: list[str]) -> int | None:
    """Return N of `--ready-fd N`, if it is among the arguments."""
    if "--ready-fd" in arguments:
        file = int(arguments[arguments.index("--ready-fd") + 1])
        os.set_inheritable(file, False)
        return file
    return None


def tell_ready(file: int | None, **ready: object) -> None:
    """Say that this process serves, with what the supervisor wants to know of it."""
    _tell(file, {"ready": ready})


def tell_failed(file: int | None, line: str) -> None:
    """Say in one line why this process cannot serve; on standard error if nobody listens."""
    if file is None:
        print(f"rabbitry: {line}", file=sys.stderr)
    _tell(file, {"failed": line})


def _tell(file: int | None, message: dict[str, object]) -> None:
    if file is None:
        return
    try:
        os.write(file, msgspec.json.encode(message) + b"\n")
        os.close(file)
    except BrokenPipeError:
        pass  # the supervisor is gone; the end of standard input will say so


def when_to_stop(
    loop: asyncio.AbstractEventLoop, stop: Callable[[], None], *, supervised: bool
) -> None:
    """Call `stop` at SIGTERM, SIGINT and, if `supervised`, when standard input ends."""
    loop.add_signal_handler(signal.SIGTERM, stop)
    loop.add_signal_handler(signal.SIGINT, stop)
    if not supervised:
        return

    def read() -> None:
        if os.read(0, 4096) == b"":
            loop.remove_reader(0)
            stop()

    loop.add_reader(0, read)
