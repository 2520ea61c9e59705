"""Pipes that bytes pass through on their way from one socket to another, inside the kernel.

Owns the pool of a process: at most `PIPES_MAX` pipes, borrowed only while bytes are under way, a
few kept for the next. Where there is none to be had (too many sessions are stuck at once, no file
descriptor left, no Linux), bytes take the way through a buffer of ours instead.

Invariant: a pipe that is given back is empty; one that is not is dropped.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from typing import NamedTuple

PIPE_SIZE_BYTES = 1024 * 1024
"""What one splice can move, and what one slow reader can bind of the kernel's memory.

64 KiB costs twice the CPU of 1 MiB for a byte, 256 KiB a third more. It is what an unprivileged
process may ask for at most.
"""

PIPES_MAX = 64
IDLE_PIPES_MAX = 8

CAN_SPLICE = hasattr(os, "splice") and hasattr(fcntl, "F_SETPIPE_SZ")
SPLICE_FLAGS: int = os.SPLICE_F_MOVE | os.SPLICE_F_NONBLOCK if CAN_SPLICE else 0


class Pipe(NamedTuple):
    """The two ends of a pipe."""

    reader: int
    writer: int


class PipePool:
    """The pipes of a process."""

    def __init__(self, pipes_max: int = PIPES_MAX) -> None:
        self.pipes_max = pipes_max
        self._idle: list[Pipe] = []
        self.count = 0

    def take(self) -> Pipe | None:
        """Return an empty pipe, or None where none can be had now."""
        if self._idle:
            return self._idle.pop()
        if not CAN_SPLICE or self.count >= self.pipes_max:
            return None
        try:
            pipe = Pipe(*os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC))
        except OSError:
            return None
        with contextlib.suppress(OSError):  # over the user's quota of pipe pages: smaller, then
            fcntl.fcntl(pipe.writer, fcntl.F_SETPIPE_SZ, PIPE_SIZE_BYTES)
        self.count += 1
        return pipe

    def give(self, pipe: Pipe) -> None:
        """Give back an empty pipe."""
        if len(self._idle) < IDLE_PIPES_MAX:
            self._idle.append(pipe)
        else:
            self.drop(pipe)

    def drop(self, pipe: Pipe) -> None:
        """Close a pipe, whatever is in it."""
        self.count -= 1
        os.close(pipe.reader)
        os.close(pipe.writer)

    def close(self) -> None:
        """Close the idle pipes."""
        while self._idle:
            self.drop(self._idle.pop())
