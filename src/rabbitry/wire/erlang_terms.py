"""How Erlang writes values: for reply texts that RabbitMQ makes with `~p`.

Owns the words that RabbitMQ has for the types of field values, and the notation of the terms that
its reply texts show. Lines are not broken as Erlang breaks long ones.

RabbitMQ: rabbit_binary_parser.erl parse_table/1; Erlang/OTP: io_lib_pretty.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from rabbitry.wire.values import FieldValue

_TYPE_NAMES: Final = {
    "str": "longstr",
    "bytes": "longstr",
    "int": "signedint",
    "dict": "table",
    "list": "array",
    "float": "double",
    "NoneType": "void",
    "SignedByte": "byte",
    "SignedShort": "short",
    "SignedLong": "long",
    "SingleFloat": "float",
    "ByteArray": "binary",
}
_ESCAPED: Final = {
    "\\": "\\\\",
    '"': '\\"',
    "\n": "\\n",
    "\r": "\\r",
    "\t": "\\t",
    "\b": "\\b",
    "\f": "\\f",
    "\v": "\\v",
    "\x1b": "\\e",
}


def type_name(value: FieldValue) -> str:
    """Return RabbitMQ's word for the type of a field value."""
    name = type(value).__name__
    return _TYPE_NAMES.get(name, name.lower())


def binary(raw: bytes) -> str:
    """Return `~p` of a binary."""
    if raw and all(32 <= byte < 127 for byte in raw):
        text = raw.decode("ascii").replace("\\", "\\\\").replace('"', '\\"')
        return f'<<"{text}">>'
    return f"<<{','.join(map(str, raw))}>>"


def string(text: str) -> str:
    """Return `~p` of a string, which to Erlang is a list of characters."""
    if not text:
        return "[]"
    if all(32 <= ord(character) < 127 or character in _ESCAPED for character in text):
        escaped = "".join(_ESCAPED.get(character, character) for character in text)
        return f'"{escaped}"'
    return f"[{','.join(str(ord(character)) for character in text)}]"


def term(value: FieldValue) -> str:
    """Return `~p` of a field value as RabbitMQ holds it."""
    if value is None:
        return "undefined"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return binary(value.encode("utf-8", "surrogateescape"))
    if isinstance(value, bytes):
        return binary(value)
    if isinstance(value, Decimal):
        _, digits, exponent = value.as_tuple()
        return f"{{{-int(exponent)},{int(''.join(map(str, digits)))}}}"
    if isinstance(value, list):
        return f"[{','.join(f'{{{type_name(one)},{term(one)}}}' for one in value)}]"
    if isinstance(value, dict):
        fields = [f"{{{term(name)},{type_name(one)},{term(one)}}}" for name, one in value.items()]
        return f"[{','.join(fields)}]"
    return str(value)
