"""Logs are lines of time, level and text, in files that do not grow for ever."""

from __future__ import annotations

import errno
import io
import logging
import re
import stat
from collections.abc import Iterator
from logging.handlers import RotatingFileHandler as Rotating
from pathlib import Path

import pytest

from rabbitry.runtime import logs


@pytest.fixture(autouse=True)
def root_logger() -> Iterator[None]:
    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    yield
    for handler in set(root.handlers) - set(before):
        root.removeHandler(handler)
        handler.close()
    root.setLevel(level)


def test_a_line_has_time_level_and_text(tmp_path: Path) -> None:
    path = tmp_path / "node.log"
    logs.log_to(path)
    logging.getLogger("rabbitry").warning("node hung name=%s", "rabbit")
    logging.getLogger("rabbitry").debug("not this")
    assert re.fullmatch(
        r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} warning node hung name=rabbit\n", path.read_text()
    )
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_it_is_rotated_before_it_grows_too_large(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "LOG_BYTES_MAX", 1000)
    logs.log_to(tmp_path / "node.log")
    for number in range(200):
        logging.getLogger("rabbitry").info("line %d of many", number)
    files = sorted(path.name for path in tmp_path.iterdir())
    assert files == ["node.log", "node.log.1", "node.log.2", "node.log.3"]
    assert all(path.stat().st_size <= 1000 for path in tmp_path.iterdir())
    assert "line 199 of many" in (tmp_path / "node.log").read_text()


class FullDisk(io.TextIOWrapper):
    """A file that takes nothing while it is full."""

    full = True

    def flush(self) -> None:
        if self.full:
            raise OSError(errno.ENOSPC, "No space left on device")
        super().flush()


def test_what_a_full_disk_does_not_take_is_left_out_and_said_later(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    logs.log_to(tmp_path / "node.log")
    (handler,) = [one for one in logging.getLogger().handlers if isinstance(one, Rotating)]
    log = logging.getLogger("rabbitry")
    log.info("before")
    disk = FullDisk((tmp_path / "node.log").open("ab"), encoding="utf-8")
    handler.setStream(disk).close()
    for _ in range(3):
        log.info("meanwhile")
    disk.full = False
    log.info("after")
    log.info("the end")
    lines = [line[24:] for line in (tmp_path / "node.log").read_text().splitlines()]
    assert [line for line in lines if "meanwhile" not in line] == [
        "info before",
        "info after",
        "warning up to 3 lines before the last are missing: the disk did not take them",
        "info the end",
    ]
    assert capfd.readouterr().err == ""


def test_a_log_that_another_process_writes_is_moved_aside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "LOG_BYTES_MAX", 10)
    path = tmp_path / "balancer.log"
    logs.bound_log(path)  # not there yet: nothing to do
    with path.open("ab", buffering=0) as writer:
        writer.write(b"short")
        logs.bound_log(path)
        assert path.read_bytes() == b"short"
        writer.write(b" and now long")
        logs.bound_log(path)
        writer.write(b"new")
    assert path.read_bytes() == b"new"
    assert (tmp_path / "balancer.log.1").read_bytes() == b"short and now long"
