"""Words of HAProxy's configuration language: splitting a line, reading times, numbers, addresses.

Owns quoting, escapes and comments (configuration.txt 2.2) and the formats of values (2.5, and
"bind"). Knows no keyword. Every function is pure and raises `Mistake` with the offending word and
what to do about it; it does not know the line's number.

Environment variables (`"${NAME}"`) would make the meaning of a file depend on the world, so `$` is
refused where HAProxy would expand it.
"""

from __future__ import annotations

import re

from rabbitry.machine import Address

TIME_US_MAX = 2**31 * 1000
"""HAProxy keeps times as signed 32-bit milliseconds: 24.8 days."""

_UNITS_US = {
    "us": 1,
    "ms": 1_000,
    "s": 1_000_000,
    "m": 60_000_000,
    "h": 3_600_000_000,
    "d": 86_400_000_000,
}
_TIME = re.compile(r"([0-9]+)(us|ms|s|m|h|d)?")
_NAME = re.compile(r"[A-Za-z0-9_.:-]+")
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t"}


class Mistake(ValueError):
    """Something the language does not allow: `word` is what stands there, `advice` what to do."""

    def __init__(self, word: str, advice: str) -> None:
        super().__init__(f"'{word}' {advice}")
        self.word = word
        self.advice = advice


def split_words(line: str) -> list[str]:
    """Split one line into words; comments are dropped, quotes and escapes resolved."""
    words: list[str] = []
    word: str | None = None  # None between words, "" in an empty quoted one
    quote = ""
    at = 0
    while at < len(line):
        char = line[at]
        if quote == "'":
            if char == "'":
                quote = ""
            else:
                word = (word or "") + char
        elif char == "\\":
            resolved, at = _escape(line, at, quote)
            word = (word or "") + resolved
            continue
        elif char == "$":
            raise Mistake("$", "starts an environment variable: write the value itself, or '\\$'")
        elif quote:
            if char == '"':
                quote = ""
            else:
                word = (word or "") + char
        elif char in "'\"":
            quote = char
            word = word or ""
        elif char == "#":
            break
        elif char in " \t\r\n":
            if word is not None:
                words.append(word)
                word = None
        else:
            word = (word or "") + char
        at += 1
    if quote:
        raise Mistake(quote, "opens a quote that is not closed on this line: close it")
    if word is not None:
        words.append(word)
    return words


def _escape(line: str, at: int, quote: str) -> tuple[str, int]:
    """Resolve the backslash at `at`; return its character and where to go on."""
    following = line[at + 1 : at + 2]
    if following == "":
        raise Mistake("\\", "ends the line: a line cannot be continued, write it in one")
    if quote == '"' and following not in '\\"$':
        # Weak quotes keep a backslash that escapes nothing.
        return "\\", at + 1
    if following in _ESCAPES:
        return _ESCAPES[following], at + 2
    if following == "x":
        digits = line[at + 2 : at + 4]
        if not re.fullmatch(r"[0-9a-fA-F]{2}", digits):
            raise Mistake("\\x" + digits, "needs two hexadecimal digits: write \\x41 for 'A'")
        return chr(int(digits, 16)), at + 4
    return following, at + 2


def read_time_us(word: str, default_unit: str = "ms") -> int:
    """Read a time such as `5000`, `5s`, `500us`; without a unit it is `default_unit`."""
    match = _TIME.fullmatch(word)
    if match is None:
        raise Mistake(word, "is not a time: write a number and one of us, ms, s, m, h, d")
    time_us = int(match[1]) * _UNITS_US[match[2] or default_unit]
    if time_us >= TIME_US_MAX:
        raise Mistake(word, "is longer than 24 days: write a shorter time")
    return time_us


def read_number(word: str, at_least: int, at_most: int) -> int:
    """Read a whole number within bounds."""
    if not re.fullmatch(r"-?[0-9]{1,10}", word) or not at_least <= int(word) <= at_most:
        raise Mistake(word, f"is not a number from {at_least} to {at_most}: write one")
    return int(word)


def read_name(word: str) -> str:
    """Check the name of a section or server (configuration.txt 4: letters, digits, - _ . :)."""
    if not _NAME.fullmatch(word):
        raise Mistake(word, "is not a name: use letters, digits, '-', '_', '.' and ':'")
    return word


def read_address(word: str) -> tuple[str, int]:
    """Read `HOST:PORT` into (host, port); the host is "" in `:PORT` and "*" in `*:PORT`."""
    host, colon, port = word.rpartition(":")
    if not colon or not port:
        raise Mistake(word, "has no port: write HOST:PORT")
    if not re.fullmatch(r"[0-9]{1,5}", port) or not 1 <= int(port) <= 65535:
        raise Mistake(word, "needs one port from 1 to 65535 after the last ':': write HOST:PORT")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    if "/" in host or "@" in host:
        raise Mistake(word, "is not a TCP address: write HOST:PORT")
    return host, int(port)


def read_bind_address(word: str) -> Address:
    """Read where to listen. `:PORT` and `*:PORT` mean all IPv4 addresses, as in HAProxy."""
    host, port = read_address(word)
    return Address("0.0.0.0" if host in ("", "*") else host, port)


def read_server_address(word: str) -> Address:
    """Read where a server is; a host is needed."""
    host, port = read_address(word)
    if host in ("", "*"):
        raise Mistake(word, "has no host: write HOST:PORT")
    return Address(host, port)
