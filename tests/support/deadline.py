"""A bound for each part of each test: what takes longer fails where it stands, and the run goes on.

Owns the alarm that `tests/conftest.py` sets around setup, call and teardown, and what is told then:
where every thread stands, and which processes the test has. `@pytest.mark.deadline(S)` gives a test
more time. A test has bounds of its own beside it, which say what did not come; this is for the wait
that nobody has thought of.

What it raises is a `SystemExit`, since uvloop drops what is none; and it raises it again and again,
since what a test waits for without end may be waited for once more while it is cleaned up. What
this does not end, a call into C that does not return, ends its worker (`faulthandler_timeout`).
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import pytest

DEADLINE_S = 240.0
"""Far more than any test takes beside others on a slow machine."""

AGAIN_S = 20.0


class TooLong(SystemExit):
    """A test has taken longer than it may."""


@contextlib.contextmanager
def bounded(item: pytest.Item, part: str) -> Iterator[None]:
    """Raise `TooLong` in the main thread when the block takes longer than the test's deadline."""
    if item.config.option.usepdb:  # somebody is looking at it
        yield
        return
    mark = item.get_closest_marker("deadline")
    limit_s = float(mark.args[0]) if mark is not None else DEADLINE_S
    said: list[str] = []

    def ring(number: int, frame: FrameType | None) -> None:
        if not said:
            item.add_report_section(part, "threads and processes", threads() + processes())
        said.append(f"{part} of {item.nodeid} has not ended after {limit_s:g} s")
        raise TooLong(said[0])

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, limit_s, AGAIN_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    if said:  # the test has caught it
        raise TooLong(said[0])


def threads() -> str:
    """Where each thread stands."""
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    told = [
        f"thread {names.get(ident, ident)}:\n{''.join(traceback.format_stack(frame))}"
        for ident, frame in sys._current_frames().items()
    ]
    return "\n".join(told)


def processes() -> str:
    """The descendants of this process, a line each: number, parent, state, command."""
    found: dict[int, tuple[int, str]] = {}
    for place in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            state, parent = (place / "stat").read_text().rpartition(")")[2].split()[:2]
            words = (place / "cmdline").read_bytes().replace(b"\0", b" ")
            shown = words.decode(errors="replace")[:200]
            found[int(place.name)] = int(parent), f"{place.name} of {parent} {state} {shown}"
    family = [os.getpid()]
    for pid in family:  # grows meanwhile
        family += [other for other, (parent, _) in found.items() if parent == pid]
    return "\n".join(["processes:", *(found[pid][1] for pid in family[1:])])
