"""Headers exchanges: does a message's header table match the arguments of a binding?

A binding's `x-match` says whether all or any of its arguments must be there; arguments whose name
begins with `x-` count only under `all-with-x` and `any-with-x`. An argument without a value (void)
asks only that the header is there. Values are compared as Erlang compares them, whatever their
type on the wire: numbers by value, so 1, 1.0 and the timestamp 1 are the same; a long string and a
byte array with the same bytes too; the number 1 and the text "1" are not.

RabbitMQ: rabbit_exchange_type_headers.erl.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final

from rabbitry.wire.erlang_terms import term, type_name
from rabbitry.wire.values import FieldValue, decode_table

Table = dict[str, FieldValue]
MATCHES: Final = ("all", "any", "all-with-x", "any-with-x")


def check_match(arguments: Table) -> str:
    """Return what is wrong with the `x-match` of a binding, "" where nothing is."""
    if "x-match" not in arguments:
        return ""
    value = arguments["x-match"]
    if type_name(value) != "longstr":
        kind = type_name(value)
        return f"Invalid x-match field type {kind} (value {term(value)}); expected longstr"
    if value in MATCHES:
        return ""
    return (
        f"Invalid x-match field value {term(value)}; expected all, any, all-with-x, or any-with-x"
    )


class HeadersPattern:
    """The arguments of one binding, ready to be compared. `arguments` are an encoded table."""

    __slots__ = ("_needs_all", "_wanted")

    def __init__(self, arguments: bytes) -> None:
        table = decode_table(arguments, 0)[0] if arguments else {}
        match = table.pop("x-match", "all")
        self._needs_all = match not in ("any", "any-with-x")
        with_x = match in ("all-with-x", "any-with-x")
        self._wanted: list[tuple[str, Any]] = [
            (name, comparable(value))
            for name, value in table.items()
            if with_x or not name.startswith("x-")
        ]

    def matches(self, headers: dict[str, Any]) -> bool:
        """Whether a message with these headers, made `comparable` one by one, goes this way."""
        for name, wanted in self._wanted:
            is_match = name in headers and (wanted == _VOID or wanted == headers[name])
            if is_match != self._needs_all:
                return is_match
        return self._needs_all


def comparable(value: FieldValue) -> Any:
    """Return a value that is equal to another one where Erlang would find them equal."""
    if isinstance(value, bool) or value is None:
        return ("atom", value)
    if isinstance(value, str):
        return value.encode("utf-8", "surrogateescape")
    if isinstance(value, bytes):
        return bytes(value)
    if isinstance(value, Decimal):
        return ("decimal", term(value))
    if isinstance(value, list):
        return [(type_name(one), comparable(one)) for one in value]
    if isinstance(value, dict):
        return [(name, type_name(one), comparable(one)) for name, one in value.items()]
    return value


_VOID: Final = comparable(None)
