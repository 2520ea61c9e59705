"""Tests of log targets on real sockets and descriptors."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from rabbitry.balancer.configuration.model import LogTarget
from rabbitry.balancer.syslog_lines import Sender
from rabbitry.machine import Address
from rabbitry.runtime.syslog import Syslog

SENDER = Sender("haproxy", 7)


@pytest.fixture
def syslog() -> Iterator[Syslog]:
    made = Syslog()
    yield made
    made.close()


def listening(family: int, place: str | tuple[str, int]) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_DGRAM)
    sock.bind(place)
    sock.settimeout(10)
    return sock


def test_udp_and_unix(syslog: Syslog, tmp_path: Path) -> None:
    path = str(tmp_path / "log")
    with (
        listening(socket.AF_INET, ("127.0.0.1", 0)) as udp,
        listening(socket.AF_UNIX, path) as unix,
    ):
        host, port = udp.getsockname()
        targets = [
            LogTarget(Address(host, port), "local0", format="short"),
            LogTarget(Address(path, 0), "user", format="priority"),
            LogTarget(Address(host, port), "local0", level="alert"),  # wants no "info"
        ]
        syslog.send(targets, "info", SENDER, "one")
        assert udp.recv(1000) == b"<6>one\n"
        assert unix.recv(1000) == b"<14>one\n"
        udp.setblocking(False)
        with pytest.raises(BlockingIOError):
            udp.recv(1000)


def test_who_is_not_there_is_told_once(
    syslog: Syslog, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    missing = [LogTarget(Address(str(tmp_path / "nothing"), 0), "local0")]
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            syslog.send(missing, "info", SENDER, "one")
    assert [record.getMessage() for record in caplog.records] == [
        f"cannot log to {tmp_path}/nothing: No such file or directory"
    ]
    assert syslog.dropped == 3


def test_a_daemon_that_reads_nothing_costs_lines_not_time(syslog: Syslog, tmp_path: Path) -> None:
    path = str(tmp_path / "log")
    with listening(socket.AF_UNIX, path):
        targets = [LogTarget(Address(path, 0), "local0")]
        for _ in range(2000):
            syslog.send(targets, "info", SENDER, "one")
    assert 0 < syslog.dropped < 2000


def test_a_full_pipe_costs_lines_not_time(syslog: Syslog) -> None:
    reading, writing = os.pipe()
    try:
        targets = [LogTarget(None, "local0", stream=f"fd@{writing}", format="raw")]
        for _ in range(200):
            syslog.send(targets, "info", SENDER, "x" * 1000)
        assert 0 < syslog.dropped < 200
        assert os.read(reading, 1001) == b"x" * 1000 + b"\n"
    finally:
        os.close(reading)
        os.close(writing)


def test_no_such_descriptor_is_harmless(syslog: Syslog) -> None:
    syslog.send([LogTarget(None, "local0", stream="fd@999")], "info", SENDER, "one")
    assert syslog.dropped == 1
