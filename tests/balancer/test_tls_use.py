"""Tests of what is counted of TLS."""

from __future__ import annotations

from support.balancer_conversation import Conversation

from rabbitry.balancer.balancer import RuntimeLine
from rabbitry.balancer.commands.terminal import Terminal
from rabbitry.balancer.handshakes import FAILED, TOOK_TOO_LONG
from rabbitry.balancer.statistics.process import Facts
from rabbitry.balancer.tls_use import TlsCounters, TlsUse
from rabbitry.machine import (
    Address,
    Answer,
    Asked,
    LinkClosed,
    LinkOpened,
    LinksMeasured,
    MeasureLinks,
    OpenLink,
    Report,
)

HERE = Address("127.0.0.1", 4)
SECOND = 1_000_000


def test_handshakes_are_new_resumed_or_failed() -> None:
    use, front, server = TlsUse(), TlsCounters(), TlsCounters()
    for resumed in (False, True, True, True):
        use.client_done((front,), resumed, SECOND)
    use.client_failed((front,), True, SECOND)
    use.client_failed((front,), False, SECOND)
    use.server_done((server,), False, SECOND)
    use.server_failed((server,))
    assert front.cells() == {"ssl_sess": 1, "ssl_reused_sess": 3, "ssl_failed_handshake": 1}
    assert server.cells() == {"ssl_sess": 1, "ssl_reused_sess": 0, "ssl_failed_handshake": 1}
    assert use.values(SECOND) == {
        "CumSslConns": 8,
        "SslRate": 6,
        "MaxSslRate": 6,
        "SslFrontendKeyRate": 1,
        "SslFrontendMaxKeyRate": 1,
        "SslFrontendSessionReuse_pct": 83,
        "SslBackendKeyRate": 1,
        "SslBackendMaxKeyRate": 1,
    }
    use.clear_highest()
    front.clear()
    assert use.values(SECOND)["MaxSslRate"] == 0
    assert front.cells() == dict.fromkeys(front.cells(), 0)
    assert TlsUse().values(SECOND)["SslFrontendSessionReuse_pct"] == 0


TEXT = """
listen front
    bind 127.0.0.1:1 ssl crt x.pem
    option socket-stats
    retries 0
    server a 127.0.0.1:3 ssl verify none check
"""


def cells(talk: Conversation) -> dict[str, list[int]]:
    return {
        row.svname: [
            row.known()[name] for name in ("ssl_sess", "ssl_reused_sess", "ssl_failed_handshake")
        ]
        for row in talk.balancer.statistics(talk.now)
        if row.pxname == "front"
    }


def test_rows_and_the_process_are_told() -> None:
    talk = Conversation(TEXT)
    machine = talk.balancer

    def opening(event: LinkOpened) -> int:
        (opened,) = (each for each in machine.step(event, talk.now) if isinstance(each, OpenLink))
        return opened.link

    link = opening(LinkOpened(1, "front", HERE, None, HERE, resumed=False))
    machine.step(LinkOpened(link, "", HERE, None, None, resumed=True), talk.now)
    link = opening(LinkOpened(2, "front", HERE, None, HERE, resumed=True))
    machine.step(LinkClosed(link, "no TLS there", in_handshake=True), talk.now)
    for text in (FAILED, TOOK_TOO_LONG):
        details: dict[str, object] = {"listener": "front", "peer": "a:1", "text": text}
        machine.told_of_handshake(Report("info", "", details | {"total_ms": 1}), talk.now)
    assert cells(talk) == {
        "FRONTEND": [1, 1, 1],
        "sock-1": [1, 1, 1],
        "a": [0, 1, 1],
        "BACKEND": [0, 1, 1],
    }
    answered = said(talk, "show info")
    fields = dict(line.split(": ", 1) for line in answered.splitlines() if line)
    assert (fields["CumSslConns"], fields["SslFrontendKeyRate"]) == ("6", "1")
    assert fields["CurrSslConns"] == "2"  # the first client and its server
    said(talk, "clear counters")
    assert set(map(tuple, cells(talk).values())) == {(0, 0, 0)}


def said(talk: Conversation, line: str) -> str:
    """What the runtime socket answers; all links have been measured first."""
    question = RuntimeLine(Terminal("operator", SECOND), line, Facts())
    effects = talk.balancer.step(Asked(1, question), talk.now)
    for each in effects:
        if isinstance(each, MeasureLinks):
            effects = talk.balancer.step(LinksMeasured([], each.number), talk.now)
    (answer,) = (each for each in effects if isinstance(each, Answer))
    return str(answer.answer)
