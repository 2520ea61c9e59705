"""Values against known bytes, round trips, and everything a hostile peer may cut or nest."""

from __future__ import annotations

import enum
import struct
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rabbitry.wire.values import (
    TABLE_DEPTH_MAX,
    ByteArray,
    MalformedValue,
    SignedByte,
    SignedLong,
    SignedShort,
    SingleFloat,
    Timestamp,
    UnsignedByte,
    UnsignedInt,
    UnsignedShort,
    decode_long_string,
    decode_short_string,
    decode_table,
    encode_long_string,
    encode_short_string,
    encode_table,
)

VECTORS: list[tuple[Any, bytes]] = [
    (True, b"t\x01"),
    (False, b"t\x00"),
    (SignedByte(-2), b"b\xfe"),
    (UnsignedByte(254), b"B\xfe"),
    (SignedShort(-2), b"s\xff\xfe"),
    (UnsignedShort(65534), b"u\xff\xfe"),
    (-2, b"I\xff\xff\xff\xfe"),
    (UnsignedInt(0xFFFFFFFE), b"i\xff\xff\xff\xfe"),
    (SignedLong(1), b"l\x00\x00\x00\x00\x00\x00\x00\x01"),
    (Timestamp(1), b"T\x00\x00\x00\x00\x00\x00\x00\x01"),
    (SingleFloat(1.5), b"f\x3f\xc0\x00\x00"),
    (1.5, b"d\x3f\xf8\x00\x00\x00\x00\x00\x00"),
    (Decimal("1.50"), b"D\x02\x00\x00\x00\x96"),
    ("é", b"S\x00\x00\x00\x02\xc3\xa9"),
    (b"\xff", b"S\x00\x00\x00\x01\xff"),
    (ByteArray(b"ab"), b"x\x00\x00\x00\x02ab"),
    (None, b"V"),
    ([1, "a"], b"A\x00\x00\x00\x0bI\x00\x00\x00\x01S\x00\x00\x00\x01a"),
    ({"k": None}, b"F\x00\x00\x00\x03\x01kV"),
]


def integers(kind: type[int], bits: int, signed: bool) -> st.SearchStrategy[int]:
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
    return st.integers(low, high).map(kind)


names = st.text(max_size=60)
leaves: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    st.booleans(),
    integers(int, 32, True),
    integers(SignedByte, 8, True),
    integers(UnsignedByte, 8, False),
    integers(SignedShort, 16, True),
    integers(UnsignedShort, 16, False),
    integers(UnsignedInt, 32, False),
    integers(SignedLong, 64, True),
    integers(Timestamp, 64, False),
    st.floats(allow_nan=False, allow_infinity=False),
    st.floats(allow_nan=False, allow_infinity=False, width=32).map(SingleFloat),
    st.builds(
        lambda digits, scale: Decimal((0, tuple(map(int, str(digits))), -scale)),
        st.integers(0, 0xFFFFFFFF),
        st.integers(0, 255),
    ),
    st.text(),
    st.binary().map(lambda raw: raw + b"\xff"),
    st.binary().map(ByteArray),
)
tables = st.dictionaries(
    names,
    st.recursive(
        leaves, lambda inner: st.lists(inner) | st.dictionaries(names, inner), max_leaves=12
    ),
)


def shape(value: Any) -> Any:
    """The value with its types, which equality of numbers alone would overlook."""
    if isinstance(value, dict):
        return [(name, shape(item)) for name, item in value.items()]
    if isinstance(value, list):
        return ["list", *map(shape, value)]
    return type(value), str(value)


def table_of(field: bytes, name: bytes = b"k") -> bytes:
    body = bytes([len(name)]) + name + field
    return struct.pack(">I", len(body)) + body


@pytest.mark.parametrize(("value", "encoded"), VECTORS)
def test_known_bytes(value: Any, encoded: bytes) -> None:
    assert encode_table({"k": value}) == table_of(encoded)
    decoded, offset = decode_table(b"??" + table_of(encoded) + b"rest", 2)
    assert shape(decoded) == shape({"k": value})
    assert offset == 2 + len(table_of(encoded))


@given(tables)
def test_tables_come_back_with_their_types(table: dict[str, Any]) -> None:
    encoded = encode_table(table)
    decoded, offset = decode_table(encoded, 0)
    assert shape(decoded) == shape(table)
    assert offset == len(encoded)
    assert encode_table(decoded) == encoded


@given(tables)
def test_every_truncation_is_malformed(table: dict[str, Any]) -> None:
    encoded = encode_table(table)
    for size in range(len(encoded)):
        with pytest.raises(MalformedValue):
            decode_table(encoded[:size], 0)


@given(st.binary(max_size=200))
def test_any_bytes_decode_or_are_malformed(raw: bytes) -> None:
    try:
        table, _ = decode_table(struct.pack(">I", len(raw)) + raw, 0)
    except MalformedValue:
        return
    again = encode_table(table)
    assert shape(decode_table(again, 0)[0]) == shape(table)


@pytest.mark.parametrize(
    "field",
    [
        b"",
        b"?",
        b"S\x00\x00\x00\x05abc",
        b"S\xff\xff\xff\xffabc",
        b"F\x00\x00\x00\x02\x05k",
        b"A\x00\x00\x00\x01I",
        b"I\x00\x00",
        b"f\x7f\x80\x00\x00",
        b"d\x7f\xf8\x00\x00\x00\x00\x00\x00",
    ],
)
def test_malformed_fields(field: bytes) -> None:
    with pytest.raises(MalformedValue):
        # What follows the table must not be taken for a part of it.
        decode_table(table_of(field) + b"\x00" * 20, 0)


def test_unsigned_letter_of_the_specification_is_signed_long_as_in_rabbitmq() -> None:
    decoded, _ = decode_table(table_of(b"L" + b"\xff" * 8), 0)
    assert shape(decoded) == shape({"k": SignedLong(-1)})
    assert encode_table(decoded) == table_of(b"l" + b"\xff" * 8)


def test_integers_beyond_32_bits_and_subclasses_find_their_type() -> None:
    class Level(enum.IntEnum):
        HIGH = 7

    assert encode_table({"k": 1 << 40}) == table_of(b"l" + struct.pack(">q", 1 << 40))
    assert encode_table({"k": Level.HIGH}) == table_of(b"I\x00\x00\x00\x07")
    assert encode_table({"k": Decimal("1e3")}) == table_of(b"D\x00\x00\x00\x03\xe8")


@pytest.mark.parametrize(
    "value",
    [
        1 << 63,
        UnsignedByte(256),
        SignedByte(-129),
        UnsignedShort(-1),
        Timestamp(-1),
        float("nan"),
        float("inf"),
        SingleFloat("inf"),
        SingleFloat(1e300),
        Decimal("-1"),
        Decimal("NaN"),
        Decimal(1 << 32),
        Decimal("1e-256"),
        Decimal("1e999999"),
        Decimal("1." + "1" * 50),
        "\ud800",
    ],
)
def test_values_that_do_not_fit_are_refused(value: Any) -> None:
    with pytest.raises(ValueError):
        encode_table({"k": value})


def test_foreign_types_are_refused() -> None:
    foreign: Any = object()
    with pytest.raises(TypeError, match="object"):
        encode_table({"k": foreign})


def nested(letter: bytes, depth: int) -> bytes:
    """A table of `depth` tables or arrays inside one another, itself counted."""
    body = b""
    for _ in range(depth - 1):
        inner = letter + struct.pack(">I", len(body)) + body
        body = b"\x00" + inner if letter == b"F" else inner
    if letter == b"A":
        body = b"\x00" + body
    return struct.pack(">I", len(body)) + body


@pytest.mark.parametrize("letter", [b"F", b"A"])
def test_nesting_is_bounded_both_ways(letter: bytes) -> None:
    deepest, _ = decode_table(nested(letter, TABLE_DEPTH_MAX), 0)
    assert encode_table(deepest) == nested(letter, TABLE_DEPTH_MAX)
    for depth in (TABLE_DEPTH_MAX + 1, 20_000):
        with pytest.raises(MalformedValue, match="nest"):
            decode_table(nested(letter, depth), 0)
    with pytest.raises(ValueError, match="nest"):
        encode_table({"": deepest})
    endless: dict[str, Any] = {}
    endless["again"] = [endless]
    with pytest.raises(ValueError, match="nest"):
        encode_table(endless)


@given(st.binary(max_size=255))
def test_short_strings_let_any_bytes_out_as_they_came(raw: bytes) -> None:
    encoded = bytes([len(raw)]) + raw
    text, offset = decode_short_string(b"?" + encoded, 1)
    assert offset == 1 + len(encoded)
    assert encode_short_string(text) == encoded


def test_short_strings_hold_255_bytes_of_utf_8() -> None:
    assert encode_short_string("a" * 255) == b"\xff" + b"a" * 255
    for text in ("a" * 256, "é" * 128):
        with pytest.raises(ValueError, match="255"):
            encode_short_string(text)


@pytest.mark.parametrize("raw", [b"", b"\x01", b"\xffabc"])
def test_short_strings_cut_short(raw: bytes) -> None:
    with pytest.raises(MalformedValue):
        decode_short_string(raw, 0)


@given(st.binary())
def test_long_strings(raw: bytes) -> None:
    encoded = encode_long_string(raw)
    assert encoded == struct.pack(">I", len(raw)) + raw
    assert decode_long_string(b"?" + encoded + b"?", 1) == (raw, 1 + len(encoded))
    for size in range(len(encoded)):
        with pytest.raises(MalformedValue):
            decode_long_string(encoded[:size], 0)


def test_long_strings_take_text() -> None:
    assert encode_long_string("é") == b"\x00\x00\x00\x02\xc3\xa9"
