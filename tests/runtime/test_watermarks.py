"""Watermarks: how they are written, what is measured, and that a machine hears of changes only."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from rabbitry.machine import AlarmChanged
from rabbitry.runtime import watermarks
from rabbitry.runtime.watermarks import (
    GIVE_BACK_BYTES,
    GIVE_BACK_LOOKS,
    Watch,
    Watermarks,
    memory_total_bytes,
    memory_used_bytes,
    parse_bytes,
    parse_watermark,
)

GIB = 1 << 30


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("7", 7),
        ("50MB", 50_000_000),
        ("50 MiB", 50 << 20),
        ("50m", 50 << 20),
        ("1gb", 1_000_000_000),
        ("2GiB", 2 * GIB),
        ("1k", 1024),
    ],
)
def test_sizes(text: str, size: int) -> None:
    assert parse_bytes(text) == size


@pytest.mark.parametrize("text", ["", "x", "-1", "1.5GB", "5 apples", "nan"])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(ValueError, match="is no size"):
        parse_watermark(text)


@pytest.mark.parametrize(
    ("text", "mark"),
    [("0.4", 0.4), ("0", 0.0), ("1.0", 1.0), ("16MiB", 16 << 20), ("2GiB", 2 * GIB)],
)
def test_a_watermark_is_a_part_or_a_size(text: str, mark: float) -> None:
    found = parse_watermark(text)
    assert (found, type(found)) == (mark, type(mark))


@pytest.mark.parametrize(
    ("text", "meant"),
    [("7", "0.7"), ("2", "0.2"), ("40", "0.4"), ("100", "1"), ("4096", "0.4"), ("16MB", "0.4")],
)
def test_a_size_that_no_node_stays_below_is_refused(text: str, meant: str) -> None:
    with pytest.raises(ValueError, match=f"^{text} is a size of .*; write {meant} for that part"):
        parse_watermark(text)


class Told:
    """A watch with memory and disk of the test's choice."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, marks: Watermarks) -> None:
        self.used: int | None = 300
        self.reusable = 0
        self.alarms: list[tuple[str, bool]] = []
        self.reports: list[tuple[str, str]] = []
        monkeypatch.setattr(watermarks, "memory_used_bytes", lambda: self.used)
        monkeypatch.setattr(watermarks, "memory_total_bytes", lambda: 1000)
        self.watch = Watch(marks, self._take, self._report, lambda: self.reusable)

    def _take(self, alarm: AlarmChanged) -> None:
        self.alarms.append((alarm.resource, alarm.low))

    def _report(self, level: str, what: str, details: dict[str, object]) -> None:
        self.reports.append((level, what))

    def look(self) -> list[tuple[str, bool]]:
        self.alarms.clear()
        self.watch.look()
        return self.alarms


@pytest.mark.parametrize("memory", [0.4, 400])
def test_memory_above_its_mark_is_told_once(monkeypatch: pytest.MonkeyPatch, memory: float) -> None:
    told = Told(monkeypatch, Watermarks(memory, 0))
    assert told.look() == []
    told.used = 401
    assert told.look() == [("memory", True)]
    assert told.look() == []
    told.used = 400
    assert told.look() == [("memory", False)]
    assert told.reports == [("warning", "memory is low"), ("info", "memory is enough again")]


def test_a_mark_of_nothing_is_always_crossed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Told(monkeypatch, Watermarks(parse_watermark("0"), 0)).look() == [("memory", True)]


def test_where_memory_cannot_be_measured_there_is_no_alarm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Told, "used", None, raising=False)
    monkeypatch.setattr(watermarks, "memory_used_bytes", lambda: None)
    reports: list[Any] = []
    watch = Watch(
        Watermarks(0, 0), reports.append, lambda *report: reports.append(report[0]), lambda: 0
    )
    watch.look()
    assert reports == ["warning"]


def test_disk_that_is_not_free(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert Told(monkeypatch, Watermarks(1.0, 1 << 62, str(tmp_path))).look() == [("disk", True)]
    assert Told(monkeypatch, Watermarks(1.0, 1, str(tmp_path))).look() == []
    assert Told(monkeypatch, Watermarks(1.0, 1 << 62, str(tmp_path / "gone"))).look() == []
    assert Told(monkeypatch, Watermarks(1.0, 1 << 62)).look() == []


def test_what_the_store_can_write_again_is_free(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    told = Told(monkeypatch, Watermarks(1.0, 1 << 62, str(tmp_path)))
    assert told.look() == [("disk", True)]
    told.reusable = 1 << 62
    assert told.look() == [("disk", False)]


def test_memory_that_is_held_free_is_given_back_now_and_then(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given: list[int] = []
    told = Told(monkeypatch, Watermarks(1 << 40, 0))
    monkeypatch.setattr(watermarks, "_give_back_memory", lambda: given.append(1))
    for used, times in ((GIVE_BACK_BYTES, 0), (GIVE_BACK_BYTES + 1, 1)):
        told.used = used
        for _ in range(GIVE_BACK_LOOKS):
            assert told.look() == []
        assert len(given) == times


MEASURED = """
import mmap, sys
from rabbitry.runtime.watermarks import memory_used_bytes
size = int(sys.argv[2])
with open(sys.argv[1], "rb") as file:
    before = memory_used_bytes()
    with mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ) as pages:
        assert sum(pages[::4096]) == 0
        used = memory_used_bytes()
own = bytearray(b"1") * size
print(used - before, memory_used_bytes() - used)
"""


def test_pages_of_a_file_are_not_the_process_s_memory(tmp_path: Path) -> None:
    """A store's map would raise an alarm that no consumer could end.

    In a process of its own: others free and take memory meanwhile.
    """
    size = 64 << 20
    (tmp_path / "file").write_bytes(bytes(size))
    command = [sys.executable, "-c", MEASURED, str(tmp_path / "file"), str(size)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    of_file, own = map(int, done.stdout.split())
    assert of_file < size / 4
    assert own > size / 2


def test_this_process_has_some_of_what_there_is() -> None:
    used = memory_used_bytes()
    assert used is not None
    assert 1 << 20 < used < memory_total_bytes()
