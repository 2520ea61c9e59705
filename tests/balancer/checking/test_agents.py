"""Tests of agents' answers; the texts are those of HAProxy 2.6.12 for the same answers."""

from __future__ import annotations

import pytest

from rabbitry.balancer.checking.agents import REPLY_SIZE_BYTES_MAX, AgentRun, Reply, read
from rabbitry.balancer.checking.results import Connect, Result, Send


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("up", Result("L7OK", "via agent : up")),
        ("UP 999999%", Result("L7OK", "via agent : UP")),
        ("up foo", Result("L7OK", "via agent : up (foo)")),
        ("down", Result("L7STS", "via agent : down")),
        ("down # because I say so", Result("L7STS", "via agent : down (because I say so)")),
        ("stopped # going away", Result("L7STS", "via agent : stopped (going away)")),
        ("stopped, 20%", Result("L7STS", "via agent : stopped")),
        ("down foo #", Result("L7STS", "via agent : down (foo)")),
        ("75%", Result("CHECKED")),
        ("ready", Result("CHECKED")),
        ("", Result("CHECKED")),
        ("foo", Result("CHECKED", "agent reports an error : foo")),
        ("fail#x", Result("CHECKED", "agent reports an error : fail#x")),
        ("failed", Result("CHECKED", "agent reports an error : failed")),
    ],
)
def test_a_line_has_haproxys_result(line: str, expected: Result) -> None:
    assert read(line).result() == expected


def test_words_of_all_kinds_in_any_order() -> None:
    reply = read("maxconn:30,DRAIN\tup 50% 60% maint ready # fine")
    assert reply == Reply("up", "ready", "60%", "30", "fine")


def test_whether_the_server_is_up() -> None:
    assert [read(line).health_up for line in ("up", "fail", "75%")] == [True, False, None]


def test_a_warning_is_told_where_nothing_worse_is() -> None:
    warning = "Trailing garbage in weight string"
    assert read("12%abc").result(warning) == Result("CHECKED", f"agent warns : {warning}")
    assert read("up 1%x").result(warning) == Result("L7OK", f"via agent : up ({warning})")
    assert read("down 1%x # why").result(warning) == Result("L7STS", "via agent : down (why)")


def run(question: bytes = b"", before: str = "INI") -> AgentRun:
    """A question to an agent that is connected."""
    agent = AgentRun(question, before)
    assert agent.begin() == [Connect()]
    assert agent.opened() == ([Send(question)] if question else [])
    return agent


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\ragain\n"])
def test_the_first_line_is_the_reply_and_comes_in_pieces(end: bytes) -> None:
    agent = run(b"hello\n")
    for byte in b"up 50%" + end:
        agent.received(bytes((byte,)))
    assert agent.reply == Reply("up", weight="50%")
    assert agent.result is None


def test_an_incomplete_line_leaves_the_status_as_it_was() -> None:
    agent = run(before="L7TOUT")
    agent.received(b"up")
    agent.finished()
    assert agent.result == Result("L7TOUT", "Ignoring incomplete line from agent")
    assert agent.reply is None


def test_an_incomplete_first_line_is_a_timeout() -> None:
    agent = run()
    agent.received(b"up")
    agent.finished()
    assert agent.result is None
    agent.expired("L4TOUT")
    assert agent.result == Result("L7TOUT")


def test_an_empty_answer() -> None:
    agent = run()
    agent.finished()
    assert agent.result == Result("L7RSP", "TCPCHK got an empty response at step 2")


def test_an_agent_that_cannot_be_reached() -> None:
    agent = AgentRun(b"", "INI")
    agent.begin()
    agent.broken("Connection refused", "L4CON")
    assert agent.result == Result("L4CON", "Connection refused")


def test_an_endless_line_ends() -> None:
    agent = run(before="L7OK")
    agent.received(b"x" * REPLY_SIZE_BYTES_MAX)
    assert agent.result is not None
