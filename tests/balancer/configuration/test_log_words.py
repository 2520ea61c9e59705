"""Tests of `log` lines."""

from __future__ import annotations

import pytest
from support.configuration_text import LISTEN, back, front, mistake, mistakes, process, read

from rabbitry.balancer.configuration.log_words import TARGETS_MAX
from rabbitry.balancer.configuration.model import LogTarget
from rabbitry.machine import Address


@pytest.mark.parametrize(
    ("words", "target"),
    [
        ("127.0.0.1 local0", LogTarget(Address("127.0.0.1", 514), "local0")),
        ("[::1]:5 daemon info", LogTarget(Address("::1", 5), "daemon", level="info")),
        (
            "/dev/log len 4096 format rfc5424 local7 notice alert",
            LogTarget(Address("/dev/log", 0), "local7", "", "rfc5424", "notice", "alert", 4096),
        ),
        ("stdout format raw local0", LogTarget(None, "local0", "stdout", "raw")),
        ("fd@3 local0", LogTarget(None, "local0", "fd@3")),
    ],
)
def test_targets(words: str, target: LogTarget) -> None:
    assert process(f"log {words}").log_targets == (target,)
    assert front(f"log {words}").log_targets == (target,)


def test_global_stands_for_those_of_global_wherever_it_is() -> None:
    text = "defaults\nlog global\nlog global\nlog stderr local1\n" + LISTEN
    text += "global\nlog stdout local0\nlog /dev/log local0\n"
    targets = read(text).frontends[0].log_targets
    assert [each.stream for each in targets] == ["stdout", "", "stderr"]
    assert read(text).backends[0].log_targets == targets


def test_no_log_forgets() -> None:
    text = "defaults\nlog stdout local0\n" + LISTEN + "no log\n"
    assert read(text).frontends[0].log_targets == ()
    assert process("log stdout local0\nno log\nlog stderr local1").log_targets == (
        LogTarget(None, "local1", "stderr"),
    )


def test_tags() -> None:
    assert front("log-tag t").log_tag == back("log-tag t").log_tag == "t"
    assert process("log-tag t").log_tag == "t"


@pytest.mark.parametrize(
    "words",
    [
        *("", "127.0.0.1", "127.0.0.1 local8", "127.0.0.1 local0 loud", "stdout len 70 local0"),
        *("stdout format pretty local0", "stdout local0 info info info", "ring@r local0"),
        *("stdout sample 1:2 local0", "tcp@127.0.0.1:5 local0", "global info"),
    ],
)
def test_mistakes(words: str) -> None:
    assert mistake(f"log {words}")


def test_there_are_so_many_at_most() -> None:
    lines = "log stdout local0\n" * (TARGETS_MAX + 1)
    assert "more than" in mistakes(LISTEN + lines)[0]
    assert "where this line stands" in mistakes("global\nlog global\n" + LISTEN)[0]
