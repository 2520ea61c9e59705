"""`daemon` of a balancer's `global` section: work that goes to the background once it serves.

Owns the fork, the new session and where output goes. What is done there is handed in. The process
that was started waits until the work serves and ends with 0 then, or with the exit code of what
failed before: so a script that starts a balancer knows whether it has one, as with HAProxy.

Invariants: the fork comes before there is an event loop or a thread. Standard input, output and
error of the process in the background are /dev/null from its beginning, for its own children too;
until it serves it says what it has to say through `sys.stdout` and `sys.stderr`, which still are
those of the process that was started. (docs/decisions/0136)
"""

from __future__ import annotations

import contextlib
import io
import os
import signal
import sys
from collections.abc import Callable

from rabbitry.runtime.errors import EXIT_SOFTWARE

Detach = Callable[[], None]


def in_background(work: Callable[[Detach], int]) -> int:
    """Have `work` done by a process in the background.

    `work` calls what it is given when it serves. In the process that was started this returns then,
    with 0, or else with the exit code with which the other ended; in that other process it returns
    what `work` returns. Raises `OSError` if there can be no other process.
    """
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()  # else both processes would print what waits
    reading, writing = os.pipe()
    # Ctrl-C waits until this process is where it ends the other one too: between the fork and there
    # it would end this one alone, and leave the other in the background, unknown to anybody.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        process = os.fork()
    except OSError:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        raise
    if process:
        os.close(writing)
        return _exit_code_of_start(process, reading, mask)
    os.close(reading)
    os.setsid()
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    return work(_Terminal(writing).leave)


def _exit_code_of_start(process: int, reading: int, mask: set[int]) -> int:
    """Wait until it serves or has ended. `mask` is of the signals that were blocked before."""
    try:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        with open(reading, "rb") as told:
            serves = bool(told.read(1))
    except KeyboardInterrupt:
        # It has a session of its own, where Ctrl-C does not reach it.
        os.kill(process, signal.SIGTERM)
        os.waitpid(process, 0)
        raise
    if serves:
        return 0
    code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    if code >= 0:
        return code
    name = signal.Signals(-code).name
    print(f"rabbitry: it was killed by {name} before it served", file=sys.stderr)
    return EXIT_SOFTWARE


class _Terminal:
    """Where the process that was started prints, for as long as it is there."""

    def __init__(self, writing: int) -> None:
        self._writing = writing
        self._kept: list[io.TextIOWrapper] = [self._keep(1), self._keep(2)]
        sys.stdout, sys.stderr = self._kept
        self._nothing = os.open(os.devnull, os.O_RDWR)
        for standard in (0, 1, 2):
            os.dup2(self._nothing, standard)

    def _keep(self, standard: int) -> io.TextIOWrapper:
        return open(os.dup(standard), "w", buffering=1, errors="backslashreplace")

    def leave(self) -> None:
        """Print nowhere from now on, and let the process that was started end with 0."""
        for stream in self._kept:
            stream.flush()
            os.dup2(self._nothing, stream.fileno(), inheritable=False)
        os.close(self._nothing)
        with contextlib.suppress(BrokenPipeError):  # nobody waits any more
            os.write(self._writing, b"1")
        os.close(self._writing)
