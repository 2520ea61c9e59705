"""Tests of `tcp-check` lines."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.configuration_text import LISTEN, back, mistake, read, small

from rabbitry.balancer.configuration.lexer import Mistake
from rabbitry.balancer.configuration.model import CheckStep, ServerTls
from rabbitry.balancer.configuration.tcp_check_words import read_binary, with_comments
from rabbitry.machine import Address


def step(line: str) -> CheckStep:
    text = LISTEN.replace("server s", "default-server verify none\nserver s")
    (told,) = read(f"{text}option tcp-check\ntcp-check {line}\n").backends[0].check_steps
    return told


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("connect", CheckStep("connect")),
        (
            "connect port 5 ssl sni s alpn a,b send-proxy linger default comment c",
            CheckStep(
                "connect",
                port=5,
                tls=True,
                sni="s",
                alpn=("a", "b"),
                send_proxy=True,
                linger=True,
                default=True,
                comment="c",
            ),
        ),
        ("connect addr 10.0.0.1", CheckStep("connect", address=Address("10.0.0.1", 0))),
        ("connect addr h:5", CheckStep("connect", address=Address("h", 5), port=5)),
        ("send PING\\r\\n", CheckStep("send", b"PING\r\n")),
        ("send \\xff\u00e9 comment c", CheckStep("send", b"\xff\xc3\xa9", comment="c")),
        ("send-binary 414D51500000", CheckStep("send", b"AMQP\0\0")),
        ("expect string +PONG", CheckStep("expect", b"+PONG", "string")),
        ("expect ! rstring ^[Ee]rr", CheckStep("expect", b"^[Ee]rr", "rstring", True)),
        ("expect !binary 00", CheckStep("expect", b"\0", "binary", True)),
        ("expect !! rbinary 0[01]", CheckStep("expect", b"0[01]", "rbinary")),
        (
            "expect min-recv 9 string a ok-status L7OKC error-status l4con tout-status L6TOUT "
            "on-success good on-error bad comment c",
            CheckStep(
                "expect",
                b"a",
                "string",
                minimum_bytes=9,
                comment="c",
                ok_status="L7OKC",
                error_status="L4CON",
                timeout_status="L6TOUT",
                on_success="good",
                on_error="bad",
            ),
        ),
        ("comment c", CheckStep("comment", comment="c")),
    ],
)
def test_steps(line: str, told: CheckStep) -> None:
    assert step(line) == told


@pytest.mark.parametrize(
    "line",
    [
        *("", "sned x", "connect port 0", "connect port x", "connect ssll", "connect addr"),
        *("send", "send a b", "send a comment", "send-binary 0", "send-binary zz", "send-lf %[x]"),
        *("expect", "expect x", "expect string", "expect string a string b", "expect ! comment c"),
        *("expect rstring (", "expect string a ok-status L7RSP", "expect string a on-error %[x]"),
        *("expect !", "expect min-recv 5", "expect min-recv x string a", "set-var(x) int(1)"),
        *("expect string-lf a", "comment"),
    ],
)
def test_mistakes(line: str) -> None:
    assert mistake(f"tcp-check {line}")


def test_connect_under_tls_goes_by_the_words_of_the_server() -> None:
    lines = "option tcp-check\ntcp-check connect ssl port 9\n"
    text = LISTEN.replace("127.0.0.1:2", "127.0.0.1:2 check verify none sni str(x)") + lines
    (server,) = read(text).backends[0].servers
    assert (server.tls, server.check_tls) == (None, None)
    assert server.script_tls == ServerTls("none")
    assert back("").servers[0].script_tls is None
    assert "nobody to trust" in _mistakes(lines)[0]


def test_connect_comes_first() -> None:
    lines = "tcp-check comment c\ntcp-check connect\ntcp-check send a\ntcp-check connect"
    assert len(small(f"option tcp-check\n{lines}").backends[0].check_steps) == 4
    assert "write it first" in "".join(_mistakes("tcp-check send a\ntcp-check connect"))


def _mistakes(lines: str) -> tuple[str, ...]:
    from support.configuration_text import mistakes

    return mistakes(LISTEN + lines + "\n")


def test_own_steps_replace_those_of_defaults() -> None:
    head = "defaults\noption tcp-check\ntcp-check send a\n"
    assert [each.data for each in read(head + LISTEN).backends[0].check_steps] == [b"a"]
    text = head + LISTEN + "tcp-check send b\ntcp-check send c\n"
    assert [each.data for each in read(text).backends[0].check_steps] == [b"b", b"c"]


def test_steps_without_the_option_are_ignored_with_a_warning() -> None:
    configuration = small("tcp-check send a")
    assert configuration.backends[0].check_steps == ()
    assert "no 'option tcp-check'" in configuration.warnings[0]


def test_a_comment_is_of_the_steps_behind_it() -> None:
    def steps(*told: tuple[str, str]) -> tuple[CheckStep, ...]:
        return tuple(CheckStep(kind, comment=comment) for kind, comment in told)

    told = (("comment", "x"), ("send", ""), ("send", ""), ("expect", "e"), ("expect", ""))
    assert with_comments(steps(*told)) == steps(
        ("comment", "x"), ("send", "x"), ("send", "x"), ("expect", "e"), ("expect", "")
    )
    told = (("comment", "x"), ("connect", ""), ("connect", ""))
    assert with_comments(steps(*told)) == steps(("comment", "x"), ("connect", "x"), ("connect", ""))


@given(st.text())
def test_binary_is_bytes_or_a_mistake(word: str) -> None:
    try:
        data = read_binary(word)
    except Mistake:
        return
    assert data.hex() == word.lower()
