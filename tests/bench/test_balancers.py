"""bench.balancers: one file that both take, commands, and a process family from outside."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench import balancers, idle
from bench.balancers import HAPROXY, Nothing, Watched
from bench.processes import Server, SideError
from bench.scenarios import RABBITRY


def installed() -> bool:
    return balancers.haproxy_version() != "missing"


def test_a_file_says_nothing_of_threads_where_none_are_asked_for() -> None:
    assert "nbthread" not in balancers.configuration(29999, 29998, 0, 10050)
    assert "    nbthread 2\n" in balancers.configuration(29999, 29998, 2, 10050)


@pytest.mark.processes
@pytest.mark.skipif(not installed(), reason="haproxy is not installed")
@pytest.mark.parametrize("threads", [0, 1, 2])
def test_the_file_is_taken_by_haproxy(tmp_path: Path, threads: int) -> None:
    file = tmp_path / "haproxy.cfg"
    file.write_text(balancers.configuration(29999, 29998, threads, 1000))
    said = subprocess.run(
        [balancers.haproxy_command(), "-c", "-f", str(file)], capture_output=True, text=True
    )
    assert said.returncode == 0, said.stderr
    assert "WARNING" not in said.stderr


def test_our_balancer_is_the_checkout(monkeypatch: pytest.MonkeyPatch) -> None:
    assert balancers.command(RABBITRY, "f")[1:] == ["-m", "rabbitry", "balance", "--config", "f"]
    assert (balancers.CHECKOUT / "src" / "rabbitry" / "cli.py").is_file()


def test_without_haproxy_one_line_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(balancers.shutil, "which", lambda name, path: None)
    assert balancers.haproxy_version() == "missing"
    with pytest.raises(SideError, match="haproxy is not installed: apt install haproxy"):
        balancers.command(HAPROXY, "f")


@pytest.mark.parametrize(("files", "sessions"), [(1 << 20, 10_000), (20_000, 9_850)])
def test_as_many_sessions_as_open_files_allow(
    monkeypatch: pytest.MonkeyPatch, files: int, sessions: int
) -> None:
    monkeypatch.setattr(idle.resource, "getrlimit", lambda _: (files, files))
    assert balancers.sessions_that_fit() == sessions


def fields(parent: int, session: int) -> list[str]:
    return ["S", str(parent), "1", str(session), *["0"] * 20]


def test_a_family_is_descendants_and_session() -> None:
    stats = {
        1: fields(0, 1),
        10: fields(1, 10),
        11: fields(10, 11),
        12: fields(11, 11),  # a grandchild in a session of its own
        13: fields(1, 10),  # its parent has ended
        20: fields(1, 20),
    }
    assert balancers.family(10, stats) == [10, 11, 12, 13]
    assert balancers.family(99, stats) == []


@pytest.mark.processes
def test_a_family_is_read_from_outside() -> None:
    code = (
        "import subprocess, sys;"
        "subprocess.run([sys.executable, '-c', 'sum(range(10**7))']);"  # it ended: its CPU counts
        "child = subprocess.Popen([sys.executable, '-c', 'import signal; signal.pause()']);"
        "print('child', child.pid, flush=True); child.wait()"
    )
    server = Server([sys.executable, "-c", code])
    try:
        child_pid = int(server.wait_for_line("child ", 30.0).split()[1])
        watched = Watched(server.pid)
        assert watched.processes() == sorted([server.pid, child_pid])
        assert watched.cpu_s() > 0
        assert watched.pss_bytes() > 1 << 20
    finally:
        server.stop()
    assert Watched(server.pid).cpu_s() == 0
    assert Nothing().cpu_s() == 0
    assert Nothing().pss_bytes() == 0


@pytest.mark.processes
def test_a_file_that_is_not_taken_is_one_line(tmp_path: Path) -> None:
    file = tmp_path / "bad.cfg"
    file.write_text("listen bench\n    no-such-word\n")
    with (
        pytest.raises(SideError, match="no-such-word"),
        balancers.running(RABBITRY, str(file), 29999),
    ):
        pass


@pytest.mark.processes
def test_our_balancer_runs_on_the_file() -> None:
    with balancers.configuration_file(1, 0) as (file, port):
        with balancers.running(RABBITRY, file, port) as watched:
            assert watched.pid in watched.processes()
        assert os.path.exists(file)
    assert not os.path.exists(file)
