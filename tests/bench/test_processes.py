"""bench.processes: reading /proc, ending processes with their children."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import pytest

from bench import processes
from bench.ports import free_ports
from bench.processes import Memory, Server, SideError


def test_cpu_ticks_of_a_command_with_brackets_and_spaces() -> None:
    stat = "42 (a) b (c) S " + " ".join(str(number) for number in range(4, 53))
    assert processes.parse_cpu_ticks(stat) == 14 + 15


def test_memory_in_bytes_and_of_a_zombie() -> None:
    status = "Name:\tx\nVmRSS:\t    2048 kB\nRssAnon:\t 1536 kB\nRssFile:\t 512 kB\n"
    found = processes.parse_memory(status)
    assert found == Memory(2 << 20, 1536 << 10, 512 << 10)
    assert Memory.total([found, found]) == Memory(4 << 20, 3 << 20, 1 << 20)
    assert processes.parse_memory("Name:\tx\nState:\tZ (zombie)\n") == Memory()


def test_bytes_written_to_disks() -> None:
    assert processes.parse_written_bytes("wchar: 7\nwrite_bytes: 4096\nx: 1\n") == 4096
    assert processes.parse_written_bytes("") == 0
    assert processes.written_bytes(os.getpid()) >= 0


def test_a_directory_is_counted_and_its_pages_forgotten(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "file").write_bytes(b"x" * 100_000)
    processes.forget_pages(str(tmp_path))  # written to the disk, so blocks are allocated
    assert 100_000 <= processes.disk_usage_bytes(str(tmp_path)) < 200_000
    assert (tmp_path / "below" / "file").read_bytes() == b"x" * 100_000


def test_a_file_system_is_that_of_the_deepest_mount() -> None:
    mounts = "/dev/vda / ext4 rw 0 0\ntmpfs /tmp tmpfs rw 0 0\n/dev/vdb /a\\040b xfs rw 0 0\n"
    assert processes.file_system_in(mounts, "/tmp/x") == "tmpfs"
    assert processes.file_system_in(mounts, "/tmpx") == "ext4"
    assert processes.file_system_in(mounts, "/a b/c") == "xfs"


def test_data_is_never_kept_in_memory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    kinds = {tempfile.gettempdir(): "tmpfs"}
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(processes, "file_system_of", lambda path: kinds.get(path, "ext4"))
    assert processes.disk_directory() == "/var/tmp"
    monkeypatch.setattr(processes, "file_system_of", lambda path: "tmpfs")
    with pytest.raises(SideError, match="TMPDIR"):
        processes.disk_directory()


def test_own_process_has_cpu_time_and_memory() -> None:
    assert processes.cpu_seconds([os.getpid()]) > 0
    assert processes.rss_bytes([os.getpid()]) > 1 << 20


def test_waiting_for_a_line_finds_it_or_says_how_the_process_ended() -> None:
    code = "print('hello'); print('ready: here'); print('last word')"
    server = Server([sys.executable, "-c", code])
    assert server.wait_for_line("ready:", 30.0) == "ready: here"
    with pytest.raises(SideError, match="ended: last word"):
        server.wait_for_line("ready:", 30.0)
    server.stop()


def test_waiting_for_a_port_ends_with_the_process() -> None:
    server = Server([sys.executable, "-c", "print('port in use')"])
    with pytest.raises(SideError, match="ended: port in use"):
        server.wait_for_port(free_ports(), 30.0)
    server.stop()


def test_stop_ends_a_process_and_its_children() -> None:
    code = (
        "import subprocess, sys;"
        "child = subprocess.Popen([sys.executable, '-c', 'import signal; signal.pause()']);"
        "print(f'child {child.pid}', flush=True); child.wait()"
    )
    server = Server([sys.executable, "-c", code])
    child_pid = int(server.wait_for_line("child ", 30.0).split()[1])
    server.stop()
    assert server.process.returncode is not None
    assert processes.rss_bytes([child_pid]) == 0  # gone, or a zombie that init has yet to reap


def test_a_command_that_is_not_there_is_one_line() -> None:
    with pytest.raises(SideError, match="cannot start /nonexistent: No such file"):
        Server(["/nonexistent"])
