"""Whatever the text, the reader says what is wrong with it, and nothing else comes of it.

Lines are made of the language's own words, broken and in places where they do not belong, and of
noise.
"""

from __future__ import annotations

import tracemalloc

from hypothesis import given, settings
from hypothesis import strategies as st
from support.configuration_lines import BACK, BIND, BOTH, FRONT, GLOBAL, PAGE, SERVER

from rabbitry.balancer.configuration.bind_words import KNOWN as OF_BIND
from rabbitry.balancer.configuration.global_words import KEYWORDS as OF_GLOBAL
from rabbitry.balancer.configuration.model import ConfigurationError
from rabbitry.balancer.configuration.proxy_words import KEYWORDS as OF_PROXIES
from rabbitry.balancer.configuration.proxy_words import REFUSED
from rabbitry.balancer.configuration.reader import parse
from rabbitry.balancer.configuration.rendering import render
from rabbitry.balancer.configuration.sections import MISTAKES_MAX
from rabbitry.balancer.configuration.server_words import KNOWN as OF_SERVERS

SECTIONS = ("global", "defaults", "listen", "frontend", "backend", "peers", "program", "no", "")
LINES = [*GLOBAL, *BOTH, *FRONT, *BACK, *PAGE]
LINES += [f"bind 127.0.0.1:1 {words}" for words in BIND]
LINES += [f"server s 127.0.0.1:1 {words}" for words in SERVER]
WORDS = [*SECTIONS, *OF_GLOBAL, *OF_PROXIES, *REFUSED, *OF_BIND, *OF_SERVERS]
WORDS += ["from", "if", "unless", "TRUE", "a", "b", "0", "-1", "7", "99999999999", "1s", "x:1"]
WORDS += ["127.0.0.1:5", "[::1]:5", ":1-65535", "/x", "abns@a", '"$HOME"', '"${A[*]}"', "'", '"']
WORDS += ["\\", "\\xff", "\\x00", "!", "#", "$", "option", "tcp-check", "socket", "expect", "auth"]

a_word = st.one_of(st.sampled_from(WORDS), st.text(max_size=6))
a_line = st.one_of(
    st.sampled_from(LINES),
    st.lists(a_word, min_size=1, max_size=7).map(" ".join),
    st.tuples(st.sampled_from(LINES), a_word).map(" ".join),
    st.sampled_from(["listen a", "frontend f", "backend b", "defaults d", "listen b from d"]),
    st.text(max_size=30),
)


@settings(deadline=None, max_examples=100)
@given(st.lists(a_line, max_size=25))
def test_no_text_makes_anything_but_mistakes(lines: list[str]) -> None:
    try:
        configuration = parse("\n".join(lines), "x", {"A": "b c", "HOME": "/root"})
    except ConfigurationError as error:
        assert error.mistakes
        assert all(each.startswith("x:") and each.isprintable() for each in error.mistakes)
        return
    assert all(each.startswith("x:") for each in configuration.warnings)
    parse(render(configuration), "rendered")


def test_no_text_takes_more_memory_than_some_times_its_size() -> None:
    texts = (
        "listen a\n" + "bind :1-65535\n" * 300,
        "frob\n" * 20_000,
        "listen a\nbind :1\n" + "option splice-auto\n" * 12_000,
        "global\n" + "stats socket :1-9000\n" * 300,
        "global\nsetenv A " + "x" * 100_000 + "\n" + 'description "$A$A$A$A"\n' * 50,
        "backend b\n" + "tcp-check send a\n" * 3_000,
    )
    for text in texts:
        tracemalloc.start()
        try:
            parse(text, "x")
        except ConfigurationError as error:
            assert len(error.mistakes) <= MISTAKES_MAX
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert most < 64 << 20, text[:40]
