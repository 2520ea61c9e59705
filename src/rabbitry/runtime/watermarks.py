"""Memory and disk of one process: measured each second, told to its machine at the marks.

Owns the settings (RabbitMQ's vm_memory_high_watermark and disk_free_limit) and the measuring.
Memory is what the process has in RAM for itself (pages of the store's file are the system's to take
away), against a part of what the system (or its control group) has, or against an absolute size.
What the C library holds free after a burst is given back now and then. Disk is what is free where
the node keeps its data, and what its store can write again: the file of a store never shrinks, so
consumers make room there only. What cannot be measured on a system raises no alarm, and is said
once.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rabbitry.machine import AlarmChanged

INTERVAL_S: Final = 1.0
MEMORY_BYTES_MIN: Final = 16 << 20
"""The least size that can be meant as a mark for memory: an idle node takes more."""
# So often, in looks, a process that has more than this gives back what it holds free.
GIVE_BACK_LOOKS: Final = 30
GIVE_BACK_BYTES: Final = 128 << 20
_UNITS: Final = {"": 1, "k": 1024, "m": 1024**2, "g": 1024**3, "t": 1024**4}
_DECIMAL: Final = {"k": 1000, "m": 1000**2, "g": 1000**3, "t": 1000**4}


def parse_bytes(text: str) -> int:
    """Return a size as RabbitMQ reads it: 50MB is decimal, 50MiB and 50M binary; bare is bytes.

    Raises ValueError. RabbitMQ: rabbit_resource_monitor_misc.erl.
    """
    found = re.fullmatch(r"(\d+)\s*(?:([kmgt])(i?b)?)?", text.strip().lower())
    if found is None:
        raise ValueError(f"{text} is no size; write 50MB, 2GiB or a number of bytes")
    unit = found[2] or ""
    return int(found[1]) * (_DECIMAL[unit] if found[3] == "b" else _UNITS[unit])


def parse_watermark(text: str) -> float | int:
    """Return a part of the memory (a float, at most 1) or a size in bytes.

    Raises ValueError, also for a size that no node could stay below: RabbitMQ takes 7 as 7 bytes,
    and blocks publishers for ever. Who wants that writes 0.
    """
    try:
        part = float(text)
    except ValueError:
        part = -1.0
    if 0 <= part <= 1:
        return part
    size = parse_bytes(text)
    if size < MEMORY_BYTES_MIN:
        meant = f"{size / (10 if size < 10 else 100):g}" if size <= 100 else "0.4"
        raise ValueError(
            f"{text} is a size of {size} bytes, less than any node takes; write {meant} for that "
            "part of the memory, or a size from 16MiB, as 2GiB"
        )
    return size


@dataclass(frozen=True, slots=True)
class Watermarks:
    """Above `memory` (bytes, or a part of all there is) or with less free than `disk_free_bytes`
    at `path`: alarm. An empty path has no disk to watch."""

    memory: float | int
    disk_free_bytes: int
    path: str = ""


class Watch:
    """Measures for a machine. `take` hears `AlarmChanged`, `report` what cannot be measured.

    `reusable_bytes` says what the machine's store can write again: that counts as free.
    """

    def __init__(
        self,
        marks: Watermarks,
        take: Callable[[AlarmChanged], None],
        report: Callable[[str, str, dict[str, object]], None],
        reusable_bytes: Callable[[], int],
    ) -> None:
        self._marks = marks
        self._take = take
        self._report = report
        self._reusable_bytes = reusable_bytes
        self._low: dict[str, bool] = {}
        self._looks = 0
        total = memory_total_bytes()
        part = isinstance(marks.memory, float)
        self._memory_max = int(marks.memory * total) if part else int(marks.memory)
        # A part of nobody knows what is no mark.
        self._memory_known = memory_used_bytes() is not None and bool(total or not part)
        if not self._memory_known:
            report("warning", "memory cannot be measured here, no alarm will be raised", {})

    async def run(self) -> None:
        """Measure for ever."""
        import asyncio  # here, since the command line reads settings with this module

        while True:
            self.look()
            await asyncio.sleep(INTERVAL_S)

    def look(self) -> None:
        """Measure once, and tell what has changed."""
        if self._memory_known:
            used = memory_used_bytes() or 0
            self._looks += 1
            due = self._looks % GIVE_BACK_LOOKS == 0 and used > GIVE_BACK_BYTES
            if due or used > self._memory_max:
                _give_back_memory()
                used = memory_used_bytes() or 0
            self._tell("memory", used > self._memory_max, used, self._memory_max)
        if self._marks.path:
            try:
                found = os.statvfs(self._marks.path)
            except OSError:
                return  # the directory is gone: others will say so
            free = found.f_bavail * found.f_frsize + self._reusable_bytes()
            limit = self._marks.disk_free_bytes
            self._tell("disk", free < limit, free, limit)

    def _tell(self, resource: str, low: bool, measured: int, limit: int) -> None:
        if low != self._low.get(resource, False):
            self._low[resource] = low
            what = f"{resource} {'is low' if low else 'is enough again'}"
            details: dict[str, object] = {"measured_bytes": measured, "limit_bytes": limit}
            self._report("warning" if low else "info", what, details)
            self._take(AlarmChanged(resource, low))


def memory_used_bytes() -> int | None:
    """Return what this process has in RAM for itself; None where the system does not say."""
    try:
        _, resident, of_files = map(int, Path("/proc/self/statm").read_bytes().split()[:3])
    except (OSError, ValueError):
        return None
    return (resident - of_files) * os.sysconf("SC_PAGE_SIZE")


def memory_total_bytes() -> int:
    """Return the memory there is: the system's, or the control group's if that is less."""
    try:
        total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        total = 0
    for file in (
        "/sys/fs/cgroup/memory.max",
        "/sys/fs/cgroup/memory/memory.limit_in_bytes",
    ):
        try:
            limit = int(Path(file).read_text())
        except (OSError, ValueError):  # none such, or "max"
            continue
        total = min(total, limit) if total else limit
    return total


def _give_back_memory() -> None:
    """Have the C library return what it holds free: else an alarm would outlast its cause.

    It takes 45 ms where half a gigabyte is free, 3 ms where next to nothing is.
    """
    import ctypes

    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (OSError, AttributeError):  # another C library
        return
