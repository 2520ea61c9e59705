"""Tests of CSV, typed lines and JSON."""

from __future__ import annotations

import csv
import io
import json

from rabbitry.balancer.statistics.columns import TYPE_BACKEND, TYPE_LISTENER, TYPE_SERVER
from rabbitry.balancer.statistics.formats import HEADER, json_schema, to_csv, to_json, to_typed
from rabbitry.balancer.statistics.rows import Selection, StatisticsRow

SERVER = StatisticsRow("p", "s", TYPE_SERVER, "DOWN", "tcp", iid=2, sid=1, scur=3, addr="h:1")


def read_csv(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text.removeprefix("# "))))


def test_csv_quotes_what_needs_it() -> None:
    row = StatisticsRow("p", "s", TYPE_SERVER, "DOWN", "tcp", last_chk='a, "b"')
    text = to_csv([row])
    assert '"a, ""b"""' in text
    assert read_csv(text)[0]["last_chk"] == 'a, "b"'
    assert all(line.endswith(",") for line in text.splitlines())


def test_csv_has_zeros_where_haproxy_has_them_and_nothing_where_it_has_nothing() -> None:
    # What `show stat` of HAProxy 2.6.12 printed for a listener (option socket-stats), with the
    # section's and socket's names changed; recorded on 2026-11-23.
    recorded = (
        "front,sock-1,,,0,0,0,0,0,0,0,0,0,,,,,OPEN,,,,,,,,,1,2,1,,,,3,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,"
        ",,,,,,,,,,,127.0.0.1:28001,,tcp,,,,,,0,0,0,,,,,,,,,,,0,,,,,,,,,-,0,0,0,,,,,,,,,,,,,,,,,,,,,,\n"
    )
    row = StatisticsRow("front", "sock-1", TYPE_LISTENER, "OPEN", "tcp", iid=2, sid=1)
    row.scur = row.smax = row.slim = row.stot = row.bin = row.bout = 0
    row.addr = "127.0.0.1:28001"
    assert to_csv([row]) == HEADER + recorded


def test_legends_are_for_whom_they_are_for() -> None:
    assert read_csv(to_csv([SERVER]))[0]["addr"] == "h:1"
    assert read_csv(to_csv([SERVER], legends=False))[0]["addr"] == ""


def test_typed() -> None:
    lines = to_typed([SERVER]).splitlines()
    assert lines[:3] == [
        "S.2.1.0.pxname.1:KNS:str:p",
        "S.2.1.1.svname.1:KNS:str:s",
        "S.2.1.4.scur.1:MGP:u32:3",
    ]
    assert "S.2.1.103.ssl_sess.1:MCP:u64:0" in lines
    assert to_typed([SERVER], meanings=True).splitlines()[2].endswith(':3:"sessions open now"')


def test_json_is_haproxys() -> None:
    ((first, *_, last),) = json.loads(to_json([SERVER]))
    assert first == {
        "objType": "Server",
        "proxyId": 2,
        "id": 1,
        "field": {"pos": 0, "name": "pxname"},
        "processNum": 1,
        "tags": {"origin": "Key", "nature": "Name", "scope": "Service"},
        "value": {"type": "str", "value": "p"},
    }
    assert last["field"] == {"pos": 105, "name": "ssl_failed_handshake"}


def test_a_backend_says_how_many_serve_where_some_are_hidden() -> None:
    row = StatisticsRow("p", "BACKEND", TYPE_BACKEND, "UP", "tcp")
    row.servers_serving, row.servers_all = 2, 5
    assert read_csv(to_csv([row]))[0]["status"] == "UP"
    assert read_csv(to_csv([row], Selection(up_only=True)))[0]["status"] == "UP (2/5)"


def test_schema_names_what_json_has() -> None:
    schema = json.loads(json_schema())
    assert [each["title"] for each in schema["oneOf"]] == ["Info", "Stat", "Error"]
    item = schema["oneOf"][1]["items"]["items"]
    ((first, *_),) = json.loads(to_json([SERVER]))
    assert set(item["required"]) == set(first)
    assert first["objType"] in item["properties"]["objType"]["enum"]
    tags = schema["definitions"]["tags"]["properties"]
    assert all(first["tags"][name] in tags[name]["enum"] for name in tags)
