"""Tests of where log lines go."""

from __future__ import annotations

import logging
import os
import socket
from datetime import datetime

import pytest

from rabbitry.balancer.configuration.model import (
    BackendSection,
    Configuration,
    FrontendSection,
    Global,
    LogTarget,
)
from rabbitry.machine import Address, Report
from rabbitry.runtime.balancer_log import BalancerLog, haproxy_date, log_report
from rabbitry.runtime.watchdog import DIED

DOWN = Report("error", "proxy has no server available", {"proxy": "back"})
OTHER = Report("warning", "something else")


def test_dates_are_haproxys() -> None:
    date = datetime(2009, 2, 6, 12, 12, 51, 443_999)
    assert haproxy_date(date) == "06/Feb/2009:12:12:51.443"


def test_reports_become_lines_at_their_level(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        log_report(Report("error", "proxy has no server available", {"proxy": "p"}))
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert record.getMessage() == "proxy p has no server available!"


def test_lines_go_to_the_targets_of_their_section(caplog: pytest.LogCaptureFixture) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as daemon:
        daemon.bind(("127.0.0.1", 0))
        daemon.settimeout(10)
        target = LogTarget(Address(*daemon.getsockname()), "local0", format="local")
        configuration = Configuration(
            (
                (FrontendSection("front", 2, "tcp", ()), None),
                (None, BackendSection("back", 3, "tcp", log_targets=(target,))),
            ),
            Global(log_tag="rabbitry"),
        )
        log = BalancerLog(configuration)
        try:
            with caplog.at_level(logging.INFO):
                log.take(DOWN)
                log.take(OTHER)
            line = daemon.recv(2000).decode()
            assert line.startswith("<128>")
            assert line.endswith(f" rabbitry[{os.getpid()}]: proxy back has no server available!\n")
            # `global` has no target: standard error has it.
            assert [record.getMessage() for record in caplog.records] == ["something else"]
        finally:
            log.close()
    assert log.dropped == 0


def test_what_happens_to_workers_is_on_standard_error_too(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as daemon:
        daemon.bind(("127.0.0.1", 0))
        daemon.settimeout(10)
        target = LogTarget(Address(*daemon.getsockname()), "local0", format="raw")
        died = Report("error", DIED, {"pid": 7})
        for configuration in (Configuration((), Global(log_targets=(target,))), Configuration(())):
            log = BalancerLog(configuration)
            caplog.clear()
            with caplog.at_level(logging.INFO):
                log.take(died)
                log.take(OTHER)
            log.close()
            told = [record.getMessage() for record in caplog.records]
            if configuration.process.log_targets:
                assert told == [f"{DIED} pid=7"]
                assert [daemon.recv(2000), daemon.recv(2000)] == [
                    f"{DIED} pid=7\n".encode(),
                    b"something else\n",
                ]
            else:
                assert told == [f"{DIED} pid=7", "something else"]


def test_lines_of_clients_by_tls_go_to_the_targets_of_their_section() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as daemon:
        daemon.bind(("127.0.0.1", 0))
        daemon.settimeout(10)
        target = LogTarget(Address(*daemon.getsockname()), "local0", format="local")
        front = FrontendSection("front", 2, "tcp", (), log_targets=(target,))
        log = BalancerLog(Configuration(((front, None),), Global()))
        details = {"client": "c", "frontend": "front~", "listener": "1", "text": "t", "total_ms": 5}
        log.take(Report("info", "client refused", details))
        assert daemon.recv(2000).decode().endswith("] front~/1: t\n")
        log.close()
