"""Tests of writing configurations: what is written means the same."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.configuration_lines import (
    BACK,
    BIND,
    BOTH,
    FRONT,
    GLOBAL,
    PAGE,
    SERVER,
    configuration_text,
)
from support.configuration_text import LISTEN, TIMEOUTS, read

from rabbitry.balancer.configuration.model import Configuration
from rabbitry.balancer.configuration.rendering import AMQP_HEADER, render


def test_sections_of_resolvers_are_written_for_haproxy() -> None:
    section = "resolvers docker\n    nameserver dns 127.0.0.11:53\n    hold valid 10s"
    more = "resolvers 'an other'\n    parse-resolv-conf"
    peers = "peers none\n    peer a 127.0.0.1:1"
    text = f"{section}\n{LISTEN}{peers}\n{more}\n"
    rendered = render(read(text))
    assert f"\n\n{section}\nresolvers an\\ other\n    parse-resolv-conf\n\n" in rendered
    assert "peer" not in rendered
    assert render(read(rendered)) == rendered


def again(text: str) -> tuple[Configuration, Configuration]:
    """What a text means, and what the rendered one does."""
    first = read(text)
    return replace(first, warnings=()), replace(read(render(first)), warnings=())


def some(lines: tuple[str, ...], most: int = 6) -> st.SearchStrategy[list[str]]:
    return st.lists(st.sampled_from(lines), max_size=most)


@settings(deadline=None)
@given(
    some(GLOBAL),
    some((*BOTH, *FRONT, *BACK)),
    some((*BOTH, *FRONT)),
    some((*BOTH, *BACK)),
    some(BIND, 3),
    some(SERVER, 3),
    some(PAGE),
    st.booleans(),
)
def test_what_is_written_means_the_same(
    of_global: list[str],
    defaults: list[str],
    front: list[str],
    back: list[str],
    binds: list[str],
    servers: list[str],
    page: list[str],
    split: bool,
) -> None:
    # A connect comes before all other steps, which such a choice of lines does not keep to.
    defaults, back = (
        [line for line in lines if not line.startswith("tcp-check connect")]
        for lines in (defaults, back)
    )
    text = configuration_text(of_global, defaults, front, back, binds, servers, page, split)
    first, second = again(text)
    assert first == second


@pytest.mark.parametrize("line", [*BOTH, *FRONT, *BACK])
def test_every_line(line: str) -> None:
    first, second = again(configuration_text(back=[line, "option tcp-check"]))
    assert first == second


@pytest.mark.parametrize(
    "text",
    [
        LISTEN + "id 9\n",
        "global\nstats socket /x\n" + LISTEN,
        LISTEN + "global\nstats socket /x\n",
        LISTEN
        + "server t 127.0.0.1:3 id 7\nserver u 127.0.0.1:4 track t check-send-proxy\n"
        "server v 127.0.0.1:5 track u\n".replace("track u", "track s"),
        LISTEN + "description what it is\ndisabled\n",
        LISTEN.replace("1:2", "1:2 verify none") + "option tcp-check\ntcp-check connect ssl\n",
        "listen p\nbind 127.0.0.1:5\nmode http\n"
        "http-request use-service prometheus-exporter if { path /metrics /m }\n",
        f"defaults\n{TIMEOUTS}frontend f\nbind /run/x mode 660 user u gid 5\nbackend b\n",
        "listen p\nbind :::5 v6only\nmode http\nstats admin if LOCALHOST\nstats auth u:a\\'b\\#$\n",
    ],
)
def test_whole_files(text: str) -> None:
    if "track s" in text:
        text = text.replace("server s 127.0.0.1:2", "server s 127.0.0.1:2 check")
        text = text.replace("track t", "track s")
    first, second = again(text)
    assert first == second


def test_what_is_ours_becomes_what_is_nearest() -> None:
    text = render(read(LISTEN + "mode amqp\noption amqp-check user u password p vhost v\n"))
    back = read(text).backends[0]
    assert (back.mode, back.check) == ("tcp", "tcp-check")
    assert [step.kind for step in back.check_steps] == ["connect", "send", "expect"]
    assert back.check_steps[1].data == AMQP_HEADER
    assert "# mode amqp is Rabbitry's" in text
    assert "# option amqp-check is Rabbitry's" in text
