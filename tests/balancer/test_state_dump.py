"""Tests of what is told at SIGHUP; the lines are HAProxy's own."""

from __future__ import annotations

from support.balancer_conversation import Conversation, opened

from rabbitry.balancer.balancer import DumpStates
from rabbitry.balancer.log_lines import line_of
from rabbitry.balancer.syslog_lines import severity_of
from rabbitry.machine import Answer, Asked, Report

TEXT = """
listen front
    bind 127.0.0.1:1
    timeout connect 1s
    server a 127.0.0.1:11 maxconn 1
    server b 127.0.0.1:12 disabled
frontend bare
    bind 127.0.0.1:2
    timeout client 1s
backend spare
    server a 127.0.0.1:11 disabled
    server b 127.0.0.1:12 backup
backend gone
    server a 127.0.0.1:11 disabled
"""


def test_each_section_its_servers_and_its_sums() -> None:
    talk = Conversation(TEXT)
    (server,) = opened(talk.client(1))
    talk.connected(server)
    talk.client(2)  # waits
    *told, answer = talk.take(Asked(7, DumpStates()))
    assert answer == Answer(7, None)
    reports = [each for each in told if isinstance(each, Report)]
    assert {severity_of(each) for each in reports} == {"notice"}
    assert [line_of(each) for each in reports] == [
        "SIGHUP received, dumping servers states for proxy front.",
        "SIGHUP: Server front/a is UP. Conn: 1 act, 0 pend, 1 tot.",
        "SIGHUP: Server front/b is DOWN. Conn: 0 act, 0 pend, 0 tot.",
        "SIGHUP: Proxy front has 1 active servers and 0 backup servers available. "
        "Conn: act(FE+BE): 2+2, 1 pend (1 unass), tot(FE+BE): 2+2.",
        "SIGHUP received, dumping servers states for proxy bare.",
        "SIGHUP: Proxy bare has no servers. "
        "Conn: act(FE+BE): 0+0, 0 pend (0 unass), tot(FE+BE): 0+0.",
        "SIGHUP received, dumping servers states for proxy spare.",
        "SIGHUP: Server spare/a is DOWN. Conn: 0 act, 0 pend, 0 tot.",
        "SIGHUP: Server spare/b is UP. Conn: 0 act, 0 pend, 0 tot.",
        "SIGHUP: Proxy spare is running on backup servers ! "
        "Conn: act(FE+BE): 0+0, 0 pend (0 unass), tot(FE+BE): 0+0.",
        "SIGHUP received, dumping servers states for proxy gone.",
        "SIGHUP: Server gone/a is DOWN. Conn: 0 act, 0 pend, 0 tot.",
        "SIGHUP: Proxy gone has no server available ! "
        "Conn: act(FE+BE): 0+0, 0 pend (0 unass), tot(FE+BE): 0+0.",
    ]
