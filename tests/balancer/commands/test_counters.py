"""Tests of `clear counters`."""

from __future__ import annotations

from support.balancer_conversation import opened
from support.runtime_terminal import RuntimeTalk

from rabbitry.machine import LinkClosed

TEXT = """
listen front
    bind 127.0.0.1:1
    timeout connect 1s
    server a 127.0.0.1:28011
"""


def served() -> RuntimeTalk:
    talk = RuntimeTalk(TEXT)
    for link in (1, 2):
        (server,) = opened(talk.client(link))
        talk.connected(server)
        talk.bytes(link, b"123")
    talk.closed(1)
    talk.closed(-1)
    return talk


def test_maxima_only() -> None:
    talk = served()
    assert (talk.row("a").smax, talk.row("a").stot) == (2, 2)
    assert talk.say("clear counters") == "\n"
    row = talk.row("a")
    assert (row.smax, row.rate_max, row.stot, row.scur) == (0, 0, 2, 1)
    assert talk.row("FRONTEND").smax == 0


def test_what_failed_by_our_fault_is_counted_anew_with_all_else() -> None:
    talk = served()
    talk.take(LinkClosed(2, "its worker process died", failed_here=True))
    counted = []
    for line in ("clear counters", "clear counters all"):
        talk.say(line)
        rows = [talk.row(name) for name in ("FRONTEND", "a", "BACKEND")]
        counted.append([(row.cells or {})["eint"] for row in rows])
    assert counted == [[1, 1, 1], [0, 0, 0]]


def test_everything_but_what_is_under_way() -> None:
    talk = served()
    talk.say("clear counters all")
    for name in ("FRONTEND", "a", "BACKEND"):
        row = talk.row(name)
        assert (row.smax, row.stot, row.scur, row.bin) == (0, 0, 1, 0)
    talk.closed(2)
    talk.closed(-2)
    assert talk.row("a").scur == 0
