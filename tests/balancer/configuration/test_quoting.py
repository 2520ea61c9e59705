"""Tests of writing words: what is written is read as it was."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rabbitry.balancer.configuration.addresses import read_host, read_server_address
from rabbitry.balancer.configuration.lexer import as_bytes, read_time_us, split_words
from rabbitry.balancer.configuration.quoting import address_of, quoted, quoted_bytes, time_of
from rabbitry.machine import Address


@given(st.text(st.characters(exclude_characters="\0", codec="utf-8"), min_size=1))
def test_words(word: str) -> None:
    assert split_words(f"a {quoted(word)} b") == ["a", word, "b"]


@given(st.binary(min_size=1).filter(lambda data: 0 not in data))
def test_bytes(data: bytes) -> None:
    (word,) = split_words(quoted_bytes(data))
    assert as_bytes(word) == data


def test_plain_words_stay_plain() -> None:
    assert quoted("rabbit-1:5672/a%b") == "rabbit-1:5672/a%b"
    assert quoted("a b'c#$") == "a\\ b\\'c\\#$"
    assert quoted("") == '""'


@given(st.integers(0, 2**31 - 1))
def test_times(time_ms: int) -> None:
    assert read_time_us(time_of(time_ms * 1000)) == time_ms * 1000


def test_addresses() -> None:
    for address in (Address("h", 5), Address("::1", 5), Address("/run/x", 0), Address("@x", 0)):
        assert read_server_address(address_of(address), {}) == address
    assert read_host(address_of(Address("::1", 0)), {}) == Address("::1", 0)
