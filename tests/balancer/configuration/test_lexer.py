"""Tests of the words and values of HAProxy's language."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rabbitry.balancer.configuration.lexer import (
    WORDS_MAX,
    Mistake,
    argument,
    as_bytes,
    at_most,
    expand,
    hint,
    read_choice,
    read_name,
    read_number,
    read_time_us,
    split_words,
)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("", []),
        ("   \t  ", []),
        ("  mode\ttcp  ", ["mode", "tcp"]),
        ("a # b c", ["a"]),
        ("# all of it", []),
        ("a#b", ["a"]),
        (r"a\ b c\#d", ["a b", "c#d"]),
        ("'a b' \"c d\"", ["a b", "c d"]),
        ("a'b c'd", ["ab cd"]),
        (r"'a\b # $x'", [r"a\b # $x"]),
        (r'"a\"b\\c\$d"', [r'a"b\c$d']),
        (r'"a\b"', [r"a\b"]),
        (r"^\d+\.[a-z]$", [r"^\d+\.[a-z]$"]),
        (r"\$x $HOME", [r"\$x", "$HOME"]),
        ("a\\", ["a\\"]),
        (r'"\n\t\\"', ["\n\t\\"]),
        ("a\vb\fc", ["a", "b", "c"]),
        (r"\x41\n", ["A\n"]),
        ("'' x", ["", "x"]),
        ("a\r", ["a"]),
    ],
)
def test_lines_become_words(line: str, words: list[str]) -> None:
    assert split_words(line) == words


@pytest.mark.parametrize(
    "line",
    [
        "'a",
        '"a',
        r"\xg1",
        r"\x4",
        r"\x00",
        '"$"',
        '"$1"',
        '"${A"',
        '"${A-x"',
        '"${A[x]}"',
        '"${.LINE}"',
    ],
)
def test_what_cannot_be_split_says_so(line: str) -> None:
    with pytest.raises(Mistake):
        split_words(line)


@pytest.mark.parametrize(
    ("word", "time_us"),
    [
        ("0", 0),
        ("5000", 5_000_000),
        ("7us", 1_000),
        ("1001us", 2_000),
        ("2147483647", 2_147_483_647_000),
        ("7ms", 7_000),
        ("5s", 5_000_000),
        ("2m", 120_000_000),
        ("1h", 3_600_000_000),
        ("1d", 86_400_000_000),
    ],
)
def test_times(word: str, time_us: int) -> None:
    assert read_time_us(word) == time_us


def test_a_bare_time_takes_the_unit_of_its_keyword() -> None:
    assert read_time_us("5", default_unit="s") == 5_000_000


@pytest.mark.parametrize(
    "word", ["", "s", "5 s", "-1", "5x", "1.5s", "25d", "99999999999", "2147483648", "5sx"]
)
def test_wrong_times(word: str) -> None:
    with pytest.raises(Mistake):
        read_time_us(word)


def test_numbers() -> None:
    assert read_number("256", 0, 256) == 256
    for word in ("257", "-1", "x", "", "1.0", "9" * 30):
        with pytest.raises(Mistake, match="from 0 to 256"):
            read_number(word, 0, 256)


def test_names() -> None:
    assert read_name("rabbit_1.a:b-c") == "rabbit_1.a:b-c"
    with pytest.raises(Mistake):
        read_name("<b>")


ENVIRONMENT = {"A": "x y", "EMPTY": "", "PORT": "5672"}


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('"$A"', ["x y"]),
        ('"${A}z"', ["x yz"]),
        ('"${A[*]}"', ["x", "y"]),
        ('"${NONE-a b}"', ["a b"]),
        ('"${NONE[*]-a b}"', ["a", "b"]),
        ('"${EMPTY-a}"', [""]),
        ('"${NONE}"', [""]),
        ("'$A'", ["$A"]),
        (r'"\$A"', ["$A"]),
        ("h:$PORT", ["h:$PORT"]),
    ],
)
def test_variables_are_expanded_in_double_quotes(line: str, words: list[str]) -> None:
    assert split_words(line, ENVIRONMENT) == words


def test_variables_of_addresses_are_expanded_unquoted() -> None:
    assert expand("h:$PORT", ENVIRONMENT) == "h:5672"
    assert expand("h:${PORT},$NONE", ENVIRONMENT) == "h:5672,"


def test_a_line_has_so_many_words_at_most() -> None:
    assert len(split_words("a " * WORDS_MAX)) == WORDS_MAX
    with pytest.raises(Mistake, match="word 65"):
        split_words("a " * WORDS_MAX + "b")


def test_bytes() -> None:
    (word,) = split_words(r"é\x41\xff")
    assert as_bytes(word) == "é".encode() + b"A\xff"


@given(st.text())
def test_any_line_is_split_or_refused(line: str) -> None:
    try:
        words = split_words(line, ENVIRONMENT)
    except Mistake:
        return
    assert sum(map(len, words)) <= len(line) * 8 + 8


@given(
    st.lists(
        st.text(st.characters(exclude_characters="\0'\n\r", codec="utf-8"), min_size=1), max_size=9
    )
)
def test_quoted_words_come_out_as_they_are(words: list[str]) -> None:
    assert split_words(" ".join(f"'{word}'" for word in words)) == words


def test_choices_arguments_and_hints() -> None:
    assert read_choice("b", ("a", "b")) == "b"
    with pytest.raises(Mistake, match="use one of a, b"):
        read_choice("zzz", ("a", "b"))
    assert argument(["k", "v"], 1, "a value") == "v"
    with pytest.raises(Mistake, match="'k' needs a value"):
        argument(["k"], 1, "a value")
    with pytest.raises(Mistake, match="'w' is one word too many"):
        at_most(["k", "v", "w"], 1)
    assert hint("servr", ("server", "bind")) == "did you mean 'server'?"
    assert "configuration.txt" in hint("zzz", [f"word{number}" for number in range(20)])
