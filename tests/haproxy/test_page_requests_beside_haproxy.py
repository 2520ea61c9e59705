"""Log lines of requests at pages beside HAProxy 2.6: every format, and everything that may come.

Bytes out are not compared: HAProxy's page is another page, and it counts what it sends otherwise.
"""

from __future__ import annotations

import contextlib
import re
import socket

import pytest
from support.balancer_sides import Side
from support.beside_haproxy import PREAMBLE, play
from support.scripted_links import PATIENCE_S

PAGES = """
{kind} other
    bind 127.0.0.1:{{other}}
    mode http
    timeout client 300ms
    stats enable
    stats uri /stats
    stats admin if TRUE
    http-request use-service prometheus-exporter if {{{{ path /metrics }}}}
    {words}
"""
CLOSE = b"Host: x\r\nConnection: close\r\n\r\n"
FORM = b"s=s1&action=ready&b=front"
WHOLE = (
    b"GET /stats HTTP/1.1\r\n" + CLOSE,
    b"GET /stats;csv HTTP/1.0\r\n\r\n",
    b"GET http://x/stats;csv HTTP/1.1\r\n" + CLOSE,
    b'GET /stats;csv;"x HTTP/1.1\r\n' + CLOSE,
    b"HEAD /stats HTTP/1.1\r\n" + CLOSE,
    b"POST /stats HTTP/1.1\r\nContent-Length: %d\r\n" % len(FORM) + CLOSE + FORM,
    b"GET /metrics HTTP/1.1\r\n" + CLOSE,
    b"GET /nowhere HTTP/1.1\r\n" + CLOSE,
    b"OPTIONS /stats HTTP/1.1\r\n" + CLOSE,
    b"GET /stats;csv HTTP/1.1\r\nHost: x\r\n\r\nGET /stats;json HTTP/1.1\r\n" + CLOSE,
    b"GET /stats;csv HTTP/1.1\r\nHost: x\r\n\r\n",  # and waits until it is closed
)
BROKEN = (
    b"nonsense\r\n\r\n",
    b"GET /st\x01ats HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /stats HTTP/1.1\r\nHo",
    b"",
)
LINE = re.compile(
    r"^127\.0\.0\.1:\d+ \[[^]]+\] (?P<names>\S+ \S+) (?P<times>\S+) (?P<status>\d+ )?"
    r"(?P<soon>\+?)\d+ (?P<rest>.*)$"
)
CLF = re.compile(
    r"^127\.0\.0\.1 - - \[\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}\] (?P<request>\".*?\" \d+) "
    r'(?P<soon>\+?)\d+ "" "" \d+ \d+ (?P<names>"\S+ "\S+ "\S+) (?P<times>(?:\+?-?\d+ ){5})'
    r"(?P<rest>.*)$"
)


def comparable(line: str) -> str:
    """A line with `N` for ports, dates and times but -1, without the size."""
    found = LINE.match(line) or CLF.match(line)
    if found is None:
        return re.sub(r"127\.0\.0\.1:\d+", "N", line)
    parts = found.groupdict()
    parts["times"] = re.sub(r"(?<![-\d])\d+", "N", parts["times"])
    return " ".join(value or "" for value in parts.values())


def ask(side: Side, data: bytes, *, finish: bool = False) -> None:
    """Send something to the page and read until it closes."""
    with socket.create_connection(("127.0.0.1", side.names["other"]), PATIENCE_S) as sock:
        sock.sendall(data)
        if finish:
            sock.shutdown(socket.SHUT_WR)
        with contextlib.suppress(ConnectionError):
            while sock.recv(65536):
                pass


def lines_of(words: str, *requests: bytes, kind: str = "listen", lines: int) -> list[str]:
    """The lines of these requests, one after another."""

    def script(side: Side) -> list[str]:
        for request in requests:
            ask(side, request)
        ask(side, b"GET /last HTTP/1.0\r\n\r\n")  # the same for all
        found = side.log.wait(lambda told: len(told) > lines, "the last line")
        return [comparable(line) for line in found]

    return play(PAGES.format(kind=kind, words=words), script, preamble=PREAMBLE)


@pytest.mark.parametrize("kind", ["listen", "frontend"])
@pytest.mark.parametrize("words", ["", "option httplog", "option httplog clf"])
def test_requests(words: str, kind: str) -> None:
    told = lines_of(words, *WHOLE, kind=kind, lines=12)
    assert len(told) == 13
    assert [name for line in told if (name := re.search("<[A-Z]+>", line)[0]) != "<STATS>"] == [  # type: ignore[index]
        *("<PROMEX>", "<NOSRV>", "<NOSRV>", "<NOSRV>")
    ]


def test_requests_where_there_is_no_format() -> None:
    preamble = PREAMBLE.replace("    option tcplog\n", "")
    page = PAGES.format(kind="frontend", words="")

    def script(side: Side) -> list[str]:
        for request in (*WHOLE[:2], BROKEN[0], *WHOLE[:1]):
            ask(side, request)
        return [comparable(line) for line in side.log.wait(lambda told: len(told) >= 3, "three")]

    assert play(page, script, preamble=preamble) == ["Connect from N to N (other/HTTP)"] * 3


@pytest.mark.parametrize(
    ("words", "lines"),
    [
        ("option httplog", 4),
        ("option tcplog", 4),
        ("option httplog\n    option dontlognull", 3),
        ("option httplog\n    option dontlog-normal", 4),
        ("option httplog\n    option logasap", 4),
    ],
)
def test_what_is_no_request(words: str, lines: int) -> None:
    told = lines_of(words, *BROKEN, lines=lines)
    assert len(told) == lines + 1


@pytest.mark.parametrize("words", ["option dontlog-normal", "option logasap"])
def test_requests_that_are_told_otherwise(words: str) -> None:
    wanted = WHOLE[:1] + WHOLE[7:8]
    lines_of(f"option httplog\n    {words}", *wanted, lines=2 - ("normal" in words))


def test_who_leaves_before_the_request_is_whole() -> None:
    def script(side: Side) -> object:
        for part in (b"", b"GET /st"):
            ask(side, part, finish=True)
        found = side.log.wait(lambda told: len(told) >= 2, "two lines")
        rows = side.figures("ereq", "req_tot", "hrsp_4xx", proxy="other")
        return [comparable(line) for line in found if "<STATS>" not in line], rows["FRONTEND"]

    lines, figures = play(PAGES.format(kind="listen", words="option httplog"), script)
    line = 'other other/<NOSRV> -1/-1/-1/-1/N 400   - - CR-- 1/1/0/0/0 0/0 "<BADREQ>"'
    assert lines == [line] * 2
    assert figures == ["2", "2", "2"]


def test_errors_have_a_level_of_their_own() -> None:
    def script(side: Side) -> object:
        for request in (*WHOLE[:1], *WHOLE[7:8], *BROKEN[:1]):
            ask(side, request)
        side.log.wait(lambda told: len(told) >= 3, "three lines")
        return [packet.partition(">")[0] for packet in side.log.packets]

    words = "option httplog\n    option log-separate-errors"
    assert play(PAGES.format(kind="listen", words=words), script) == ["<134", "<131", "<131"]
