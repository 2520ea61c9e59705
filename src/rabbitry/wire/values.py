"""AMQP 0-9-1 values <-> bytes: short and long strings, field tables, field arrays.

Owns the type letters and their Python types; knows nothing of methods or frames. The letters are
those of RabbitMQ 3.10 (rabbit_binary_parser.erl, rabbit_binary_generator.erl), which differ from
the printed specification (https://www.rabbitmq.com/amqp-0-9-1-errata.html):

    t bool             b SignedByte       B UnsignedByte     s SignedShort      u UnsignedShort
    I int              i UnsignedInt      l SignedLong       L SignedLong, goes out as `l`
    f SingleFloat      d float            D Decimal          T Timestamp        V None
    S str, or bytes where it is not UTF-8                    x ByteArray
    F dict             A list

Invariants: what was decoded encodes to the same bytes (but for `L`, for a true bool that was not 1,
and for a name that a table has twice: the last value stays, at the first place). Lengths are
checked against what is there before anything is taken; tables and arrays nest at most
`TABLE_DEPTH_MAX` deep, both ways. Malformed bytes raise `MalformedValue`; a value that does not fit
its type raises `ValueError`, and one of a foreign type `TypeError`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from math import isfinite
from struct import Struct
from struct import error as StructError
from typing import TypeAlias

TABLE_DEPTH_MAX = 64
"""Tables and arrays inside one another, the outermost counted. RabbitMQ has no such bound."""

SHORT_STRING_SIZE_BYTES_MAX = 255


class MalformedValue(ValueError):
    """Bytes that are no AMQP value: cut short, too long, of an unknown type, nested too deep."""


class SignedByte(int):
    """`b`: -128 to 127."""

    __slots__ = ()


class UnsignedByte(int):
    """`B`: 0 to 255."""

    __slots__ = ()


class SignedShort(int):
    """`s`: 16 bits."""

    __slots__ = ()


class UnsignedShort(int):
    """`u`: 16 bits."""

    __slots__ = ()


class UnsignedInt(int):
    """`i`: 32 bits."""

    __slots__ = ()


class SignedLong(int):
    """`l`: 64 bits. A plain `int` beyond 32 bits is sent the same way."""

    __slots__ = ()


class Timestamp(int):
    """`T`: whole seconds since 1970-01-01T00:00:00Z, 64 bits without sign."""

    __slots__ = ()


class SingleFloat(float):
    """`f`: a float of 32 bits."""

    __slots__ = ()


class ByteArray(bytes):
    """`x`: bytes that are no text, where `bytes` alone would go out as a long string `S`."""

    __slots__ = ()


FieldValue: TypeAlias = (
    bool | int | float | Decimal | str | bytes | list["FieldValue"] | dict[str, "FieldValue"] | None
)

_INT8 = Struct(">b")
_UINT8 = Struct(">B")
_INT16 = Struct(">h")
_UINT16 = Struct(">H")
_INT32 = Struct(">i")
_UINT32 = Struct(">I")
_INT64 = Struct(">q")
_UINT64 = Struct(">Q")
_FLOAT32 = Struct(">f")
_FLOAT64 = Struct(">d")
_DECIMAL = Struct(">BI")

_DECIMAL_SCALE_MAX = 255


# --- encoding ------------------------------------------------------------------------------------


def encode_short_string(value: str) -> bytes:
    """Length octet and UTF-8; what `decode_short_string` escaped comes out as it was.

    Raises `ValueError` above 255 bytes.
    """
    raw = value.encode("utf-8", "surrogateescape")
    if len(raw) > SHORT_STRING_SIZE_BYTES_MAX:
        raise ValueError(
            f"a short string holds {SHORT_STRING_SIZE_BYTES_MAX} bytes at most, not {len(raw)}"
        )
    return _UINT8.pack(len(raw)) + raw


def encode_long_string(value: str | bytes) -> bytes:
    """Length of 32 bits, then the bytes (text as UTF-8)."""
    raw = value.encode("utf-8") if isinstance(value, str) else value
    return _pack(_UINT32, len(raw)) + raw


def encode_table(table: Mapping[str, FieldValue]) -> bytes:
    """A field table with its length of 32 bits, fields in the order of the mapping."""
    return _encode_table(table, 1)


def _pack(layout: Struct, value: int | float) -> bytes:
    try:
        return layout.pack(value)
    except (StructError, OverflowError):
        raise ValueError(f"{value!r} does not fit its AMQP type") from None


def _encode_table(table: Mapping[str, FieldValue], depth: int) -> bytes:
    _check_depth_to_encode(depth)
    parts: list[bytes] = []
    for name, value in table.items():
        parts.append(encode_short_string(name))
        parts.append(_encode_value(value, depth))
    body = b"".join(parts)
    return _pack(_UINT32, len(body)) + body


def _encode_array(array: list[FieldValue], depth: int) -> bytes:
    _check_depth_to_encode(depth)
    body = b"".join([_encode_value(value, depth) for value in array])
    return _pack(_UINT32, len(body)) + body


def _check_depth_to_encode(depth: int) -> None:
    if depth > TABLE_DEPTH_MAX:
        raise ValueError(f"tables and arrays nest at most {TABLE_DEPTH_MAX} deep")


def _encode_value(value: FieldValue, depth: int) -> bytes:
    if isinstance(value, dict):
        return b"F" + _encode_table(value, depth + 1)
    if isinstance(value, list):
        return b"A" + _encode_array(value, depth + 1)
    # The exact type decides, then the nearest ancestor, so that an IntEnum goes out as an int.
    for kind in type(value).__mro__:
        encoder = _ENCODERS.get(kind)
        if encoder is not None:
            return encoder(value)
    raise TypeError(f"AMQP has no field type for {type(value).__name__}")


def _number_encoder(letter: bytes, layout: Struct) -> Callable[[int], bytes]:
    def encode(value: int) -> bytes:
        return letter + _pack(layout, value)

    return encode


def _encode_int(value: int) -> bytes:
    if -0x8000_0000 <= value <= 0x7FFF_FFFF:
        return b"I" + _INT32.pack(value)
    return b"l" + _pack(_INT64, value)


def _encode_float(value: float) -> bytes:
    # Erlang has no infinity and no NaN: RabbitMQ refuses a table that holds one.
    if not isfinite(value):
        raise ValueError(f"AMQP tables of RabbitMQ hold no {value!r}")
    return b"d" + _FLOAT64.pack(value)


def _encode_single_float(value: float) -> bytes:
    if not isfinite(value):
        raise ValueError(f"AMQP tables of RabbitMQ hold no {value!r}")
    return b"f" + _pack(_FLOAT32, value)


def _encode_decimal(value: Decimal) -> bytes:
    sign, digits, exponent = value.as_tuple()
    if sign or not isinstance(exponent, int):
        raise ValueError(f"an AMQP decimal is finite and not negative: {value!r}")
    # Bounded before it is multiplied out: Decimal("1e999999") is a short thing to write.
    if not -_DECIMAL_SCALE_MAX <= exponent <= 9:
        raise ValueError(f"{value!r} does not fit an AMQP decimal")
    unscaled = int("".join(map(str, digits))) if len(digits) <= 10 else 1 << 32
    if exponent > 0:
        unscaled, exponent = unscaled * 10**exponent, 0
    if unscaled > 0xFFFF_FFFF:
        raise ValueError(f"{value!r} does not fit an AMQP decimal")
    return b"D" + _DECIMAL.pack(-exponent, unscaled)


_ENCODERS: dict[type, Callable[..., bytes]] = {
    str: lambda value: b"S" + encode_long_string(value),
    bytes: lambda value: b"S" + encode_long_string(value),
    ByteArray: lambda value: b"x" + encode_long_string(value),
    bool: lambda value: b"t\x01" if value else b"t\x00",
    int: _encode_int,
    SignedByte: _number_encoder(b"b", _INT8),
    UnsignedByte: _number_encoder(b"B", _UINT8),
    SignedShort: _number_encoder(b"s", _INT16),
    UnsignedShort: _number_encoder(b"u", _UINT16),
    UnsignedInt: _number_encoder(b"i", _UINT32),
    SignedLong: _number_encoder(b"l", _INT64),
    Timestamp: _number_encoder(b"T", _UINT64),
    float: _encode_float,
    SingleFloat: _encode_single_float,
    Decimal: _encode_decimal,
    type(None): lambda _value: b"V",
}


# --- decoding ------------------------------------------------------------------------------------


def decode_short_string(data: bytes, offset: int) -> tuple[str, int]:
    """The string at `offset` and the offset behind it; bytes that are no UTF-8 are escaped.

    Surrogate escapes keep a foreign name usable as a key, and let it out as it came in.
    """
    return _decode_short_string(data, offset, len(data))


def decode_long_string(data: bytes, offset: int) -> tuple[bytes, int]:
    """The bytes of the long string at `offset`, and the offset behind it."""
    start, end = _sized(data, offset, len(data))
    return data[start:end], end


def decode_table(data: bytes, offset: int) -> tuple[dict[str, FieldValue], int]:
    """The field table whose length is at `offset`, and the offset behind it."""
    start, end = _sized(data, offset, len(data))
    return _decode_table(data, start, end, 1), end


def _decode_short_string(data: bytes, offset: int, limit: int) -> tuple[str, int]:
    if offset >= limit:
        raise MalformedValue("a short string has no length")
    start = offset + 1
    end = start + data[offset]
    if end > limit:
        raise MalformedValue(f"a short string of {end - start} bytes, {limit - start} are there")
    return data[start:end].decode("utf-8", "surrogateescape"), end


def _sized(data: bytes, offset: int, limit: int) -> tuple[int, int]:
    """Start and end of what a length of 32 bits at `offset` announces."""
    start = offset + 4
    if start > limit:
        raise MalformedValue("a length of four bytes is cut short")
    end: int = start + _UINT32.unpack_from(data, offset)[0]
    if end > limit:
        raise MalformedValue(f"a value of {end - start} bytes, {limit - start} are there")
    return start, end


def _decode_table(data: bytes, offset: int, limit: int, depth: int) -> dict[str, FieldValue]:
    _check_depth_to_decode(depth)
    table: dict[str, FieldValue] = {}
    while offset < limit:
        name, offset = _decode_short_string(data, offset, limit)
        table[name], offset = _decode_value(data, offset, limit, depth)
    return table


def _decode_array(data: bytes, offset: int, limit: int, depth: int) -> list[FieldValue]:
    _check_depth_to_decode(depth)
    array: list[FieldValue] = []
    while offset < limit:
        value, offset = _decode_value(data, offset, limit, depth)
        array.append(value)
    return array


def _check_depth_to_decode(depth: int) -> None:
    if depth > TABLE_DEPTH_MAX:
        raise MalformedValue(f"tables and arrays nest more than {TABLE_DEPTH_MAX} deep")


def _decode_value(data: bytes, offset: int, limit: int, depth: int) -> tuple[FieldValue, int]:
    if offset >= limit:
        raise MalformedValue("a field has no type")
    letter = data[offset]
    offset += 1
    fixed = _FIXED.get(letter)
    if fixed is not None:
        size, layout, kind = fixed
        if offset + size > limit:
            raise MalformedValue(f"a value of type {chr(letter)} is cut short")
        return kind(*layout.unpack_from(data, offset)), offset + size
    if letter == 0x56:  # V
        return None, offset
    kind_of_bytes = _SIZED.get(letter)
    if kind_of_bytes is None:
        raise MalformedValue(f"there is no field type 0x{letter:02x}")
    start, end = _sized(data, offset, limit)
    return kind_of_bytes(data, start, end, depth + 1), end


def _decode_text(data: bytes, start: int, end: int, _depth: int) -> str | bytes:
    raw = data[start:end]
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw


def _decode_byte_array(data: bytes, start: int, end: int, _depth: int) -> ByteArray:
    return ByteArray(data[start:end])


def _decimal(scale: int, unscaled: int) -> Decimal:
    # From a tuple, for that is exact whatever the context of the caller rounds to.
    return Decimal((0, tuple(map(int, str(unscaled))), -scale))


def _finite(value: float) -> float:
    if not isfinite(value):
        raise MalformedValue(f"a float that is {value!r}")
    return value


def _single_float(value: float) -> SingleFloat:
    return SingleFloat(_finite(value))


_FIXED: dict[int, tuple[int, Struct, Callable[..., FieldValue]]] = {
    ord(letter): (layout.size, layout, kind)
    for letter, layout, kind in (
        ("t", _UINT8, bool),
        ("b", _INT8, SignedByte),
        ("B", _UINT8, UnsignedByte),
        ("s", _INT16, SignedShort),
        ("u", _UINT16, UnsignedShort),
        ("I", _INT32, int),
        ("i", _UINT32, UnsignedInt),
        ("l", _INT64, SignedLong),
        ("L", _INT64, SignedLong),
        ("T", _UINT64, Timestamp),
        ("f", _FLOAT32, _single_float),
        ("d", _FLOAT64, _finite),
        ("D", _DECIMAL, _decimal),
    )
}

FIXED_SIZES_BYTES = {"V": 0, **{chr(letter): size for letter, (size, _, _) in _FIXED.items()}}
"""How many bytes follow the type letters of values that have a fixed size."""

_SIZED: dict[int, Callable[[bytes, int, int, int], FieldValue]] = {
    ord("S"): _decode_text,
    ord("x"): _decode_byte_array,
    ord("F"): _decode_table,
    ord("A"): _decode_array,
}
