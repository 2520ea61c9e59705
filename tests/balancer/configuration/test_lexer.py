"""Tests of the words and values of HAProxy's language."""

from __future__ import annotations

import pytest

from rabbitry.balancer.configuration.lexer import (
    Mistake,
    read_bind_address,
    read_name,
    read_number,
    read_server_address,
    read_time_us,
    split_words,
)
from rabbitry.machine import Address


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
        (r"\x41\n", ["A\n"]),
        ("'' x", ["", "x"]),
        ("a\r", ["a"]),
    ],
)
def test_lines_become_words(line: str, words: list[str]) -> None:
    assert split_words(line) == words


@pytest.mark.parametrize("line", ["'a", '"a', "a\\", "a $HOME", '"${HOME}"', r"\xg1"])
def test_what_cannot_be_split_says_so(line: str) -> None:
    with pytest.raises(Mistake):
        split_words(line)


@pytest.mark.parametrize(
    ("word", "time_us"),
    [
        ("0", 0),
        ("5000", 5_000_000),
        ("7us", 7),
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


@pytest.mark.parametrize("word", ["", "s", "5 s", "-1", "5x", "1.5s", "25d", "99999999999"])
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


def test_addresses() -> None:
    assert read_bind_address("127.0.0.1:5670") == Address("127.0.0.1", 5670)
    assert read_bind_address(":8100") == Address("0.0.0.0", 8100)
    assert read_bind_address("*:8100") == Address("0.0.0.0", 8100)
    assert read_bind_address("[::1]:5672") == Address("::1", 5672)
    assert read_server_address("localhost:5672") == Address("localhost", 5672)


@pytest.mark.parametrize(
    "word", ["127.0.0.1", "h:", "h:0", "h:65536", "h:1-2", "/run/x:1", "a@b:1"]
)
def test_wrong_addresses(word: str) -> None:
    with pytest.raises(Mistake, match="write HOST:PORT"):
        read_bind_address(word)


def test_a_server_needs_a_host() -> None:
    with pytest.raises(Mistake, match="no host"):
        read_server_address(":5672")
