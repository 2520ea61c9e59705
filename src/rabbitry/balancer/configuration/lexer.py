r"""Words of HAProxy's configuration language: splitting a line, reading times and numbers.

Owns quoting, escapes, comments and environment variables (configuration.txt 2.2 and 2.3,
`parse_line` of tools.c) and the formats of values (2.5). Knows no keyword, no address. Every
function is pure and raises `Mistake` with the offending word and what to do about it; it does not
know the line's number. The environment is handed in.

As in HAProxy, a variable is expanded by this room only inside double quotes, `"${NAME}"`; what
stands unquoted in an address is expanded where the address is read (`expand`). A number that
HAProxy would cut short (`5x` is 5 to it, `abc` 0) is a mistake here.

A byte of `\xNN` above 7f is kept as Python's "surrogateescape" does: `as_bytes` gives it back.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping

WORDS_MAX = 64
"""MAX_LINE_ARGS of HAProxy's defaults.h."""
TIME_MS_MAX = 2**31 - 1
"""HAProxy keeps times as signed 32-bit milliseconds: 24.8 days."""
_VARIABLE_LENGTH_MAX = 65_536

_UNITS_US = {
    "us": 1,
    "ms": 1_000,
    "s": 1_000_000,
    "m": 60_000_000,
    "h": 3_600_000_000,
    "d": 86_400_000_000,
}
_TIME = re.compile(r"([0-9]{1,20})(us|ms|s|m|h|d)?")
_NAME = re.compile(r"[A-Za-z0-9_.:-]+")
_SPACE = " \t\n\v\f\r"
_ESCAPES = {" ": " ", "\\": "\\", "t": "\t", "n": "\n", "r": "\r", "#": "#", "'": "'", '"': '"'}
_EXPANDED = re.compile(r"\$(\{)?(\.?[A-Za-z_][A-Za-z0-9_]*)")
_PLAIN = re.compile(r"[^\\'\"$# \t\n\v\f\r]+")
_UNQUOTED = re.compile(r"\$(?:\{([A-Za-z0-9_]*)\}?|([A-Za-z0-9_]*))")


class Mistake(ValueError):
    """Something the language does not allow: `word` is what stands there, `advice` what to do."""

    def __init__(self, word: str, advice: str) -> None:
        super().__init__(f"'{word}' {advice}")
        self.word = word
        self.advice = advice


def split_words(line: str, environment: Mapping[str, str] | None = None) -> list[str]:
    """Split one line into words; comments are dropped, quotes, escapes and variables resolved."""
    words = _Splitter(line, environment or {}).words()
    if len(words) > WORDS_MAX:
        raise Mistake(
            words[WORDS_MAX], f"is word {WORDS_MAX + 1} of the line: write at most {WORDS_MAX}"
        )
    return words


class _Splitter:
    """Splits one line, character by character, as `parse_line` does."""

    def __init__(self, line: str, environment: Mapping[str, str]) -> None:
        self._line = line
        self._environment = environment
        self._at = 0
        self._words: list[str] = []
        self._parts: list[str] | None = None  # None between words, [] in an empty quoted one

    def words(self) -> list[str]:
        line, quote = self._line, ""
        while self._at < len(line):
            char = line[self._at]
            plain = _PLAIN.match(line, self._at)
            if plain is not None:
                self._emit(plain[0])
                self._at = plain.end()
            elif char == quote:
                quote = ""
                self._at += 1
            elif char in "'\"" and not quote:
                quote = char
                self._emit("")
                self._at += 1
            elif quote == "'":
                self._emit(char)
                self._at += 1
            elif char == "\\":
                self._escape(quote)
            elif char == "$" and quote:
                self._variable()
            elif char == "#" and not quote:
                break
            elif char in _SPACE and not quote:
                self._end_word()
                self._at += 1
            else:
                self._emit(char)
                self._at += 1
        if quote:
            raise Mistake(quote, "opens a quote that is not closed on this line: close it")
        self._end_word()
        return self._words

    def _emit(self, text: str) -> None:
        if self._parts is None:
            self._parts = []
        self._parts.append(text)

    def _end_word(self) -> None:
        if self._parts is not None:
            self._words.append("".join(self._parts))
            self._parts = None

    def _escape(self, quote: str) -> None:
        """Resolve a backslash; one that escapes nothing stays, as in a regular expression."""
        following = self._line[self._at + 1 : self._at + 2]
        if following == "x":
            digits = self._line[self._at + 2 : self._at + 4]
            if not re.fullmatch(r"[0-9a-fA-F]{2}", digits):
                raise Mistake("\\x" + digits, "needs two hexadecimal digits: write \\x41 for 'A'")
            byte = int(digits, 16)
            if byte == 0:
                raise Mistake("\\x00", "ends a word for HAProxy: leave it out, or use send-binary")
            self._emit(chr(byte if byte < 0x80 else 0xDC00 + byte))
            self._at += 4
        elif following == "$" and quote == '"':
            self._emit("$")
            self._at += 2
        elif following in _ESCAPES:
            self._emit(_ESCAPES[following])
            self._at += 2
        else:
            self._emit("\\")
            self._at += 1

    def _variable(self) -> None:
        """Expand `$NAME`, `${NAME}`, `${NAME-default}`, `${NAME[*]}` inside double quotes."""
        match = _EXPANDED.match(self._line, self._at)
        if match is None:
            raise Mistake("$", "starts no environment variable: write its name, or '\\$'")
        brace, name = match[1], match[2]
        if name.startswith("."):
            raise Mistake(f"${name}", "is not known here: write the value itself")
        value = self._environment.get(name)
        self._at = match.end()
        spread = False
        if brace:
            if self._line.startswith("[", self._at):
                if not self._line.startswith("[*]", self._at):
                    raise Mistake(f"${{{name}[", "is no list of words: write ${NAME[*]}")
                spread = True
                self._at += 3
            end = self._line.find("}", self._at)
            default = self._line[self._at : end]
            if end < 0 or (default and not default.startswith("-")):
                raise Mistake(f"${{{name}", "opens a brace that is not closed: write ${NAME}")
            self._at = end + 1
            if default and value is None:
                value = default[1:]
        value = (value or "")[:_VARIABLE_LENGTH_MAX]
        if not spread:
            self._emit(value)
            return
        first, *rest = re.split(r"[ \t\n\v\f\r]+", value)
        self._emit(first)
        for word in rest:
            self._end_word()
            self._emit(word)


def as_bytes(word: str) -> bytes:
    """The bytes that a word stands for: UTF-8, and those that were written as `\\xNN`."""
    return word.encode("utf-8", "surrogateescape")


def expand(word: str, environment: Mapping[str, str]) -> str:
    """Expand variables of an address that stands unquoted, as HAProxy's `env_expand` does."""
    if "$" not in word:
        return word

    def value(match: re.Match[str]) -> str:
        return environment.get(match[1] or match[2] or "", "")[:_VARIABLE_LENGTH_MAX]

    return _UNQUOTED.sub(value, word)


def read_time_us(word: str, default_unit: str = "ms", smallest_unit: str | None = None) -> int:
    """Read a time such as `5000`, `5s`, `500us`; without a unit it is `default_unit`.

    It is rounded up to `smallest_unit` (the default unit, if not given), as HAProxy keeps it.
    """
    match = _TIME.fullmatch(word)
    if match is None:
        raise Mistake(word, "is not a time: write a number and one of us, ms, s, m, h, d")
    unit_us = _UNITS_US[smallest_unit or default_unit]
    time_us = int(match[1]) * _UNITS_US[match[2] or default_unit]
    units = -(-time_us // unit_us)
    if units > TIME_MS_MAX:
        raise Mistake(
            word,
            f"is longer than {TIME_MS_MAX} {smallest_unit or default_unit}: write a shorter time",
        )
    return units * unit_us


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


def read_choice(word: str, choices: Iterable[str]) -> str:
    """Check that the word is one of some."""
    choices = list(choices)
    if word not in choices:
        raise Mistake(word, f"is not known here: {hint(word, choices)}")
    return word


def argument(words: list[str], index: int, what: str) -> str:
    """The word at `index`, which must be there and not empty."""
    if len(words) <= index or words[index] == "":
        raise Mistake(" ".join(words[:index]), f"needs {what} behind it: add it")
    return words[index]


def at_most(words: list[str], arguments: int) -> None:
    """Refuse a line with more than so many words behind its keyword."""
    if len(words) > arguments + 1:
        raise Mistake(words[arguments + 1], f"is one word too many after '{words[0]}': remove it")


def hint(word: str, known: Iterable[str]) -> str:
    """Say which of the known words was meant, or, of a few, what they are."""
    words = list(known)
    near = difflib.get_close_matches(word[:100], words, n=1)
    if near:
        return f"did you mean '{near[0]}'?"
    if len(words) > 12:
        return "remove it, or look it up in HAProxy's configuration.txt"
    return f"use one of {', '.join(words)}"
