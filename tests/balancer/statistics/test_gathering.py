"""Tests of which counter stands in which column."""

from __future__ import annotations

import csv
import io

from support.balancer_conversation import Conversation, opened

from rabbitry.balancer.servers import Check
from rabbitry.balancer.statistics.columns import (
    TYPE_BACKEND,
    TYPE_FRONTEND,
    TYPE_LISTENER,
    TYPE_SERVER,
)
from rabbitry.balancer.statistics.formats import to_csv

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
    rows = talk.rows()
    assert [(row.pxname, row.svname, row.type, row.iid, row.sid) for row in rows] == [
        ("front", "FRONTEND", TYPE_FRONTEND, 1, 0),
        ("front", "a", TYPE_SERVER, 1, 1),
        ("front", "b", TYPE_SERVER, 1, 2),
        ("front", "BACKEND", TYPE_BACKEND, 1, 0),
        ("page", "FRONTEND", TYPE_FRONTEND, 2, 0),
        ("page", "BACKEND", TYPE_BACKEND, 2, 0),
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
    front, first, second, back, page, _ = read_csv(to_csv(talk.rows()))
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
    assert (page["stot"], page["hrsp_2xx"], front["hrsp_2xx"]) == ("0", "0", "")
    talk.closed(1)
    talk.closed(link)
    first = read_csv(to_csv(talk.rows()))[1]
    assert (first["bin"], first["ctime"], first["ttime_max"], first["scur"]) == ("5", "7", "7", "0")


def test_what_people_must_not_miss_of_a_check_goes_along() -> None:
    talk = Conversation(TEXT)
    server = talk.balancer.proxies.backends[0].servers[0]
    server.health.take(True, Check("L7OK", "passed", "Rabbit, in alarm", remark="in alarm"))
    assert [row.remark for row in talk.rows()[:3]] == ["", "in alarm", ""]


def test_a_check_under_way_has_a_star() -> None:
    talk = Conversation(TEXT)
    assert talk.rows()[1].check_status == "* INI"
    talk.connected(opened(talk.begun)[0])
    assert talk.rows()[1].check_status == "L4OK"


def test_listeners_have_rows_where_the_section_asks_for_them() -> None:
    talk = Conversation("""
listen front
    bind 127.0.0.1:1
    bind 127.0.0.1:3 name second
    option socket-stats
    server a 127.0.0.1:11
listen silent
    bind 127.0.0.1:2
    server a 127.0.0.1:11
""")
    (link,) = opened(talk.client(1, "front/2"))
    talk.connected(link)
    talk.client(2, "front/2")
    talk.closed(2)
    rows = [row for row in talk.balancer.statistics(talk.now) if row.pxname == "front"]
    assert [(row.svname, row.type, row.sid) for row in rows] == [
        ("FRONTEND", TYPE_FRONTEND, 0),
        ("sock-1", TYPE_LISTENER, 1),
        ("second", TYPE_LISTENER, 2),
        ("a", TYPE_SERVER, 1),
        ("BACKEND", TYPE_BACKEND, 0),
    ]
    first, second = rows[1:3]
    assert (first.stot, second.stot, second.scur, second.smax) == (0, 2, 1, 2)
    assert (second.status, second.slim, second.addr) == ("OPEN", 0, "127.0.0.1:3")
    assert not any(row.type == TYPE_LISTENER for row in talk.balancer.statistics(talk.now)[5:])
