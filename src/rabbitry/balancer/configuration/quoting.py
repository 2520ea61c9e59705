"""Writing words of HAProxy's language: what `lexer` and `addresses` read, the other way round.

Owns escapes, times and addresses as text. Every word that is written is read as it was.
"""

from __future__ import annotations

import re

from rabbitry.balancer.configuration.addresses import is_unix
from rabbitry.machine import Address

_PLAIN = re.compile(r"[A-Za-z0-9_.:/@*,=+%()!?&<>|{}\[\]^~;-]")
_ESCAPED = {" ": "\\ ", "\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"}
_UNITS_US = (("d", 86_400_000_000), ("h", 3_600_000_000), ("m", 60_000_000), ("s", 1_000_000))


def quoted(word: str) -> str:
    """Write a word so that it is read as it is, whatever is in it."""
    return "".join(map(_char, word)) or '""'


def quoted_bytes(data: bytes) -> str:
    """Write bytes so that `lexer.as_bytes` of the word gives them; none of them may be 0."""
    return quoted(data.decode("utf-8", "surrogateescape"))


def _char(char: str) -> str:
    if _PLAIN.match(char):
        return char
    if char in _ESCAPED:
        return _ESCAPED[char]
    if char in "#'\"":
        return "\\" + char
    code = ord(char)
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    return f"\\x{code:02x}" if code < 0x20 or code == 0x7F else char


def time_of(time_us: int) -> str:
    """Write a time of whole milliseconds in the largest unit that holds it."""
    for unit, unit_us in _UNITS_US:
        if time_us and time_us % unit_us == 0:
            return f"{time_us // unit_us}{unit}"
    return f"{time_us // 1000}ms"


def address_of(address: Address) -> str:
    """Write an address; without its port where it has none."""
    if is_unix(address):
        return f"abns@{address.host[1:]}" if address.host[0] == "@" else address.host
    host = f"[{address.host}]" if ":" in address.host else address.host
    return f"{host}:{address.port}" if address.port else host
