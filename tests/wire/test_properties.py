"""Single properties read in place: what decoding all of them gives."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rabbitry.wire.frames import content_frames, replace_properties
from rabbitry.wire.methods import BasicProperties
from rabbitry.wire.properties import (
    CORRELATION_ID,
    EXPIRATION,
    MESSAGE_ID,
    REPLY_TO,
    USER_ID,
    expiration_ms_of,
    priority_of,
    short_string_property,
)
from rabbitry.wire.values import MalformedValue

short = st.none() | st.text("ab", max_size=9)
octet = st.none() | st.integers(0, 255)


@given(
    st.builds(
        BasicProperties,
        content_type=short,
        content_encoding=short,
        headers=st.none() | st.dictionaries(st.sampled_from("abc"), st.integers(0, 9)),
        delivery_mode=octet,
        priority=octet,
        correlation_id=short,
        reply_to=short,
        expiration=st.none() | st.integers(0, 10**9).map(str),
        message_id=short,
        timestamp=st.none() | st.integers(0, 2**64 - 1),
        type=short,
        user_id=short,
        app_id=short,
    )
)
def test_whatever_stands_before_them(properties: BasicProperties) -> None:
    frames = content_frames(1, properties.encode(), b"body", 0)
    assert priority_of(frames) == properties.priority
    expiration = properties.expiration
    assert expiration_ms_of(frames) == (None if expiration is None else int(expiration))
    for flag, value in (
        (CORRELATION_ID, properties.correlation_id),
        (REPLY_TO, properties.reply_to),
        (EXPIRATION, expiration),
        (MESSAGE_ID, properties.message_id),
        (USER_ID, properties.user_id),
    ):
        if value is not None:
            assert short_string_property(frames, flag) == value.encode()


@pytest.mark.parametrize("text", ["", "-1", "1.5", "soon", " 1"])
def test_an_expiration_that_is_no_number_is_none(text: str) -> None:
    frames = content_frames(1, BasicProperties(expiration=text).encode(), b"1234", 0)
    assert expiration_ms_of(frames) is None


@given(st.integers(0, 0xFFFF), st.binary(max_size=12), st.binary(max_size=12))
def test_what_cannot_be_read_is_no_fault(flags: int, values: bytes, body: bytes) -> None:
    frames = content_frames(1, flags.to_bytes(2, "big") + values, body, 0)
    for found in (priority_of(frames), expiration_ms_of(frames)):
        assert found is None or found >= 0


@pytest.mark.parametrize(
    "encoded",
    [
        b"\x01\0",  # no value at all
        b"\x01\0\x0560",  # longer than what is there
        b"\x21\0\xff\xff\xff\xff\x0260",  # a table that ends behind it
        b"\x81\0\x0a\x0260",
    ],
)
def test_a_string_that_is_cut_short_is_malformed(encoded: bytes) -> None:
    for body in (b"", b"body" * 9):
        frames = replace_properties(content_frames(1, b"\0\0", body, 0), encoded)
        with pytest.raises(MalformedValue):
            short_string_property(frames, EXPIRATION)
