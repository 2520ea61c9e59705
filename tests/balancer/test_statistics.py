"""Tests of rows, CSV and JSON; the header against a real HAProxy where there is one."""

from __future__ import annotations

import csv
import io
import json
import shutil
import socket
import subprocess
from pathlib import Path

import pytest
from support.balancer_conversation import Conversation, opened

from rabbitry.balancer.statistics import (
    COLUMNS,
    TYPE_BACKEND,
    TYPE_FRONTEND,
    TYPE_SERVER,
    StatisticsRow,
    to_csv,
    to_json,
)

TEXT = """
listen front
    bind 127.0.0.1:1
    timeout connect 1s
    timeout client 1h
    timeout server 1h
    maxconn 95
    server a 127.0.0.1:11 check inter 1s rise 2 fall 3
    server b 127.0.0.1:12 weight 2 backup
listen page
    bind 127.0.0.1:2
    mode http
    stats enable
"""


def read_csv(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text.removeprefix("# "))))


def test_rows_are_front_servers_back_of_each_section() -> None:
    talk = Conversation(TEXT)
    rows = talk.balancer.statistics(talk.now)
    assert [(row.pxname, row.svname, row.type, row.iid, row.sid) for row in rows] == [
        ("front", "FRONTEND", TYPE_FRONTEND, 2, 0),
        ("front", "a", TYPE_SERVER, 2, 1),
        ("front", "b", TYPE_SERVER, 2, 2),
        ("front", "BACKEND", TYPE_BACKEND, 2, 0),
        ("page", "FRONTEND", TYPE_FRONTEND, 3, 0),
    ]
    assert rows[4].mode == "http"


def test_csv_is_haproxys() -> None:
    talk = Conversation(TEXT)
    talk.connected(opened(talk.begun)[0])
    (link,) = opened(talk.client(1))
    talk.now += 7_000
    talk.connected(link)
    talk.bytes(1, b"12345")
    talk.bytes(link, b"123")
    front, first, second, back, page = read_csv(to_csv(talk.balancer.statistics(talk.now)))
    assert (front["status"], front["slim"], front["scur"], front["rate"]) == (
        "OPEN",
        "95",
        "1",
        "1",
    )
    assert (first["status"], first["bin"], first["bout"]) == ("UP", "5", "3")
    assert (first["check_status"], first["check_health"]) == ("L4OK", "4")
    assert (first["act"], first["bck"], second["act"], second["bck"]) == ("1", "0", "0", "1")
    assert (second["status"], second["weight"], second["lastsess"]) == ("no check", "2", "-1")
    assert second["check_status"] == second["chkfail"] == second["downtime"] == ""
    assert (back["status"], back["act"], back["bck"], back["weight"]) == ("UP", "1", "1", "1")
    assert (back["slim"], back["algo"], first["addr"]) == ("10", "roundrobin", "127.0.0.1:11")
    assert page["stot"] == ""
    talk.closed(1)
    talk.closed(link)
    first = read_csv(to_csv(talk.balancer.statistics(talk.now)))[1]
    assert (first["bin"], first["ctime"], first["ttime_max"], first["scur"]) == ("5", "7", "7", "0")


def test_csv_quotes_what_needs_it() -> None:
    row = StatisticsRow("p", "s", TYPE_SERVER, "DOWN", "tcp", last_chk='a, "b"')
    text = to_csv([row])
    assert '"a, ""b"""' in text
    assert read_csv(text)[0]["last_chk"] == 'a, "b"'
    assert all(line.endswith(",") for line in text.splitlines())


def test_json_leaves_out_what_is_not_known() -> None:
    (row,) = json.loads(to_json([StatisticsRow("p", "s", TYPE_SERVER, "UP", "tcp", scur=3)]))
    assert row == {
        "pxname": "p",
        "svname": "s",
        "scur": 3,
        "status": "UP",
        "pid": 1,
        "iid": 0,
        "sid": 0,
        "type": 2,
        "mode": "tcp",
    }


def test_every_field_of_a_row_is_a_column() -> None:
    assert set(StatisticsRow.__slots__) <= set(COLUMNS)  # type: ignore[attr-defined]
    assert len(set(COLUMNS)) == len(COLUMNS)


@pytest.mark.processes
@pytest.mark.skipif(shutil.which("haproxy") is None, reason="haproxy is not installed")
def test_header_is_a_real_haproxys(tmp_path: Path) -> None:
    place = tmp_path / "stats.socket"
    path = tmp_path / "haproxy.cfg"
    path.write_text(f"global\n    stats socket {place}\n")
    with subprocess.Popen(
        ["haproxy", "-W", "-db", "-f", str(path)], stderr=subprocess.PIPE, text=True
    ) as haproxy:
        try:
            assert haproxy.stderr is not None
            while "Loading success" not in (line := haproxy.stderr.readline()):
                assert line, "haproxy did not start"
            with socket.socket(socket.AF_UNIX) as link:
                link.connect(str(place))
                link.sendall(b"show stat\n")
                answer = b"".join(iter(lambda: link.recv(65536), b"")).decode()
        finally:
            haproxy.terminate()
    # Newer ones have more columns behind ours, those of their modules behind a column "-".
    theirs = answer.splitlines()[0].split(",")
    ours = to_csv([]).rstrip("\n").rstrip(",").split(",")
    assert theirs[: len(ours)] == ours
