"""Frames are built as the specification draws them, and contents fit other channels and limits."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rabbitry.wire import frames
from rabbitry.wire.methods import BasicProperties, BasicQos

PROPERTIES = BasicProperties(content_type="text/plain", delivery_mode=2).encode()


def split(data: bytes) -> list[tuple[int, int, bytes]]:
    """Cut frames by the letter of the specification, 4.2.3: (type, channel, payload)."""
    found = []
    while data:
        size = int.from_bytes(data[3:7], "big")
        assert data[7 + size] == 206
        found.append((data[0], int.from_bytes(data[1:3], "big"), data[7 : 7 + size]))
        data = data[8 + size :]
    return found


def test_a_method_frame_is_head_payload_and_end_octet() -> None:
    payload = BasicQos(0, 10, False).encode()
    frame = frames.method_frame(0x0102, payload)
    assert frame == b"\x01\x01\x02\x00\x00\x00\x0b" + payload + b"\xce"


def test_the_heartbeat_frame_is_empty_on_channel_0() -> None:
    assert split(frames.HEARTBEAT_FRAME) == [(8, 0, b"")]


def test_a_content_without_body_is_its_header_frame_alone() -> None:
    data = frames.content_frames(7, b"\0\0", b"", 4096)
    assert split(data) == [(2, 7, b"\0\x3c\0\0" + bytes(8) + b"\0\0")]


@given(
    body=st.binary(max_size=300),
    channel=st.integers(1, 65535),
    limit=st.sampled_from([0, 9, 24, 64, 4096]),
)
def test_contents_keep_their_body_and_the_frame_size(body: bytes, channel: int, limit: int) -> None:
    data = frames.content_frames(channel, PROPERTIES, body, limit)
    (kind, _, header), *rest = split(data)
    assert kind == frames.FRAME_HEADER
    assert int.from_bytes(header[4:12], "big") == len(body)
    assert {part[:2] for part in rest} <= {(frames.FRAME_BODY, channel)}
    assert b"".join(payload for _, _, payload in rest) == body
    assert all(payload for _, _, payload in rest), "no empty body frames"
    if limit:
        assert all(len(payload) + 8 <= limit for _, _, payload in rest)
    assert frames.content_body(data) == body
    assert frames.content_properties(data) == PROPERTIES
    assert frames.content_body_size_bytes(data) == len(body)


@given(
    body=st.binary(max_size=300), limit=st.sampled_from([0, 40, 4096]), channel=st.integers(1, 3)
)
def test_a_content_fits_another_channel_and_limit(body: bytes, limit: int, channel: int) -> None:
    data = frames.content_frames(1, PROPERTIES, body, 4096)
    assert frames.fit_content(data, channel, limit) == (
        frames.content_frames(channel, PROPERTIES, body, limit)
    )


@pytest.mark.parametrize("limit", [0, 4096])
def test_a_content_that_fits_goes_out_as_the_same_object(limit: int) -> None:
    data = frames.content_frames(258, PROPERTIES, b"x" * 1000, 4096)
    assert frames.fit_content(data, 258, limit) is data


@given(body=st.binary(max_size=40), limit=st.sampled_from([0, 9, 24]))
def test_properties_are_replaced_and_nothing_else(body: bytes, limit: int) -> None:
    data = frames.content_frames(3, PROPERTIES, body, limit)
    other = BasicProperties(content_type="x", expiration="60000").encode()
    assert frames.replace_properties(data, other) == frames.content_frames(3, other, body, limit)
