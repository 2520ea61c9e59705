"""What the check takes is what can be decoded, and nothing else."""

from __future__ import annotations

import struct

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rabbitry.wire.frames import content_frames, replace_properties
from rabbitry.wire.methods import BasicProperties
from rabbitry.wire.properties_check import Layout, layout_of
from rabbitry.wire.values import TABLE_DEPTH_MAX, MalformedValue

BODIES = (b"", b"body" * 20, b"\xce" * 300, bytes(300))


def decodable(encoded: bytes) -> bool:
    try:
        return BasicProperties.decode(encoded, 0)[1] == len(encoded)
    except MalformedValue:
        return False


def sound(encoded: bytes) -> bool:
    """What the check says, which must not depend on the body that follows."""
    layout = Layout(int.from_bytes(encoded[:2], "big"))
    found = {layout.count_sound([content_frames(1, encoded, body, 64)]) for body in BODIES}
    if layout.header_size_bytes >= 0:
        found.add(int(layout.header_size_bytes == 12 + len(encoded)))
    (one,) = found
    return bool(one)


def table(fields: bytes) -> bytes:
    return len(fields).to_bytes(4, "big") + fields


# --- any bytes ------------------------------------------------------------------------------------

names = st.sampled_from([b"\0", b"\x01a", b"\x02\xff\xfe", b"\x09a"])
floats = st.sampled_from([0.0, 1.5, float("inf"), float("-inf"), float("nan")])
plain = st.one_of(
    st.sampled_from(
        [b"V", b"t\x02", b"b\xff", b"s\0\1", b"I\0\0\0\1", b"D\xff\0\0\0\1", b"?", b""]
    ),
    st.sampled_from([b"B\1", b"u\1\1", b"i\0\0\0\0", b"l" + bytes(8), b"L" + bytes(8), b"T\0"]),
    floats.map(lambda value: b"d" + struct.pack(">d", value)),
    floats.map(lambda value: b"f" + struct.pack(">f", value)),
    st.binary(max_size=4).map(lambda raw: b"f" + raw.rjust(4, b"\x7f")),
    st.binary(max_size=8).map(lambda raw: b"d" + raw.rjust(8, b"\x7f")),
    st.binary(max_size=9).map(lambda raw: b"S" + table(raw)),
    st.binary(max_size=9).map(lambda raw: b"x" + table(raw)),
    st.binary(max_size=12),
)


def fields_of(value: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    return st.lists(st.builds(bytes.__add__, names, value), max_size=4).map(b"".join)


values = st.recursive(
    plain,
    lambda inner: st.one_of(
        fields_of(inner).map(lambda raw: b"F" + table(raw)),
        st.lists(inner, max_size=4).map(lambda parts: b"A" + table(b"".join(parts))),
    ),
    max_leaves=8,
)
short_strings = st.one_of(
    st.binary(max_size=9).map(lambda raw: bytes([len(raw)]) + raw),
    st.text("ab", max_size=9).map(lambda text: bytes([len(text)]) + text.encode()),
)


@st.composite
def encoded_properties(draw: st.DrawFn) -> bytes:
    """Flags and values of the right kinds; now and then a byte is changed, gone, or too many."""
    flags = draw(st.one_of(st.integers(0, 0xFFFF), st.integers(0, 0x3FFF).map(lambda n: n << 2)))
    parts = [flags.to_bytes(2, "big")]
    for place in range(14):
        if flags & 0x8000 >> place:
            if place == 2:
                parts.append(table(draw(fields_of(values))))
            elif place in (3, 4):
                parts.append(draw(st.binary(min_size=1, max_size=1)))
            elif place == 9:
                parts.append(draw(st.binary(min_size=8, max_size=8)))
            else:
                parts.append(draw(short_strings))
    said = bytearray(b"".join(parts))
    how = draw(st.sampled_from(["right", "right", "byte", "cut", "more"]))
    at = draw(st.integers(2, len(said)))
    if how == "byte" and at < len(said):
        said[at] = draw(st.integers(0, 255))
    elif how == "cut":
        del said[at : at + draw(st.integers(1, 4))]
    elif how == "more":
        said[at:at] = draw(st.binary(min_size=1, max_size=4))
    return bytes(said)


@given(encoded_properties())
@example(b"\x20\x00\x00\x00\x00\x06\x01ad\x7f\xf0\x00")
def test_the_check_takes_what_can_be_decoded(encoded: bytes) -> None:
    assert sound(encoded) == decodable(encoded)


@given(st.binary(min_size=2, max_size=40))
def test_any_bytes(encoded: bytes) -> None:
    assert sound(encoded) == decodable(encoded)


@given(fields_of(values))
def test_tables_of_headers(fields: bytes) -> None:
    encoded = b"\x20\x00" + table(fields)
    assert sound(encoded) == decodable(encoded)


# --- kinds ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "encoded",
    [
        b"\x00\x00x",  # something behind them
        b"\x10\x00",  # no value
        b"\x10\x00\x02x",
        b"\x00\x40\x00\x00\x00\x01",  # a timestamp cut short
        b"\x80\x00\x05ab",
        b"\x80\x00\x01ab",
        b"\x00\x01",  # further flags announced,
        b"\x00\x01\x00\x00",  # and there
        b"\x20\x00\x00\x00",
        b"\x20\x00\x00\x00\x00\x09abc",
        b"\x20\x00" + table(b"\x01a?"),
        b"\x20\x00" + table(b"\x05a"),
        b"\x20\x00" + table(b"\x01a"),
        b"\x20\x00" + table(b"\x01aS\x00\x00\x00\x09ab"),
        b"\x20\x00" + table(b"\x01aF\x00\x00\x00\x05\x01bV") + b"V",
        b"\x20\x00" + table(b"\x01aA" + table(b"?")),
        b"\x20\x00" + table(b"\x01ad\x7f\xf8" + bytes(6)),
        b"\x20\x00" + table(b"\x01af\xff\x80\x00\x00"),
    ],
)
def test_what_cannot_be_decoded(encoded: bytes) -> None:
    assert not decodable(encoded)
    assert not sound(encoded)


@pytest.mark.parametrize(
    "encoded",
    [
        b"\x00\x00",
        b"\x00\x02",  # the flag that basic does not define
        b"\x18\x40\x02\x05" + bytes(8),
        b"\x80\x00\x02\xff\xfe",  # no UTF-8
        b"\x20\x00" + table(b"\x02\xff\xfeV"),
        b"\x20\x00" + table(b"\x01aV\x01aV"),  # a name that is there twice
        BasicProperties(
            "a", "b", {"c": [1, {"d": 1.5}]}, 2, 3, "e", "f", "g", "h", 4, "i", "j", "k", "l"
        ).encode(),
    ],
)
def test_what_can_be_decoded(encoded: bytes) -> None:
    assert decodable(encoded)
    assert sound(encoded)


@pytest.mark.parametrize("letter", [b"F", b"A"])
def test_tables_and_arrays_nest_as_deep_as_they_can_be_decoded(letter: bytes) -> None:
    name = b"\x01a" if letter == b"F" else b""
    nested = b""
    for depth in range(1, 3 * TABLE_DEPTH_MAX):
        encoded = b"\x20\x00" + table(b"\x01v" + letter + table(nested))
        assert sound(encoded) == decodable(encoded) == (depth < TABLE_DEPTH_MAX)
        nested = name + letter + table(nested)


def test_the_flags_say_the_size_where_all_values_have_one() -> None:
    assert layout_of(0).header_size_bytes == 14
    assert layout_of(0x1000).header_size_bytes == 15
    assert layout_of(0x1842).header_size_bytes == 24
    for flags in (0x8000, 0x3000, 0x0004, 0x1001):
        assert layout_of(flags).header_size_bytes == -1


def test_those_before_the_first_that_cannot_be_decoded_are_counted() -> None:
    good = content_frames(1, b"\x80\x00\x02ab", b"body", 0)
    bad = replace_properties(good, b"\x80\x00\x03ab")
    layout = layout_of(0x8000)
    assert layout.count_sound([good, good, bad, good]) == 2
    assert layout.count_sound([good] * 3) == 3
    assert layout.count_sound([bad, good]) == 0
