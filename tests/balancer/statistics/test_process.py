"""Tests of `show info`; its fields against a real HAProxy where there is one."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from support.real_haproxy import RealHaproxy

from rabbitry.balancer.configuration.model import FrontendSection, Global
from rabbitry.balancer.session import Frontend
from rabbitry.balancer.statistics.process import (
    Facts,
    Field,
    ProcessCounters,
    info_json,
    info_of,
    info_text,
    info_typed,
)

DAY_US = 86_400_000_000


def fields(description: str | None = None, maxconn: int | None = 500) -> list[Field]:
    process = Global(maxconn, 900, node="n1", description=description, processes=2)
    counters = ProcessCounters(process)
    counters.started_at = 5_000_000
    counters.connection_opened(6_000_000)
    front = Frontend(FrontendSection("front", 2, "tcp", ()), None)
    front.sessions_total = 7
    facts = Facts(version="0.1.0", pid=42, open_files_max=1037, memory_bytes=3 << 20)
    return info_of(process, counters, [front], 99, facts, 5_000_000 + DAY_US + 3_723_000_000)


def test_text() -> None:
    lines = info_text(fields()).splitlines()
    assert lines[0] == "Name: HAProxy"
    for line in (
        "Version: 0.1.0",
        "Nbthread: 2",
        "Pid: 42",
        "Uptime: 1d 1h02m03s",
        "Uptime_sec: 90123",
        "Maxconn: 500",
        "CumConns: 1",
        "CumReq: 7",
        "PoolUsed_MB: 3",
        "node: n1",
        "Unstoppable Jobs: 0",
        "TotalBytesOut: 99",
        "Tainted: 0",
    ):
        assert line in lines
    assert not any(line.startswith("description") for line in lines)
    assert "description: mine" in info_text(fields("mine")).splitlines()
    unlimited = info_text(fields(maxconn=None)).splitlines()
    assert "Maxconn: 900" in unlimited
    assert "Hard_maxconn: 900" in unlimited
    assert 'Pid: 42:"process id"' in info_text(fields(), meanings=True)


def test_typed_and_json() -> None:
    assert "6.Pid.1:SGP:u32:42" in info_typed(fields()).splitlines()
    first, *_ = json.loads(info_json(fields()))
    assert first["field"] == {"pos": 0, "name": "Name"}
    assert first["value"] == {"type": "str", "value": "HAProxy"}


@pytest.mark.processes
@pytest.mark.skipif(shutil.which("haproxy") is None, reason="haproxy is not installed")
def test_fields_are_a_real_haproxys(tmp_path: Path) -> None:
    sections = "frontend front\n    bind unix@{directory}/front.socket\n"
    with RealHaproxy(tmp_path, sections) as haproxy:
        theirs = haproxy.ask("show info typed").splitlines()
    keys = [line.rsplit(":", 1)[0] for line in theirs if line]
    ours = [line.rsplit(":", 1)[0] for line in info_typed(fields()).splitlines()]
    assert ours == [key for key in keys if ".Tainted." not in key] + ["71.Tainted.1:SGP:str"]
