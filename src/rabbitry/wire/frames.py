"""Frames: the envelope in which everything of AMQP travels.

    type (1 byte) | channel (2) | size (4) | payload (size) | end octet 206 (1)

This module owns the constants and the small functions that build frames. Cutting a byte stream
into frames and joining contents is `rabbitry.wire.content`, in one loop, because that loop is
where a broker's time goes. Specification: AMQP 0-9-1 section 4.2.
"""

from __future__ import annotations

from struct import Struct
from typing import Final

FRAME_METHOD: Final = 1
FRAME_HEADER: Final = 2
FRAME_BODY: Final = 3
FRAME_HEARTBEAT: Final = 8
FRAME_END: Final = 206
FRAME_END_BYTES: Final = b"\xce"

# An empty frame: seven bytes of head and the end octet.
FRAME_OVERHEAD_BYTES: Final = 8
# The least that both sides must be able to take (specification: frame-min-size).
FRAME_SIZE_MIN: Final = 4096
HEARTBEAT_FRAME: Final = b"\x08\x00\x00\x00\x00\x00\x00\xce"
PROTOCOL_HEADER: Final = b"AMQP\x00\x00\x09\x01"
CLASS_BASIC: Final = 60

frame_head = Struct(">BHI")
# A content header frame up to its property flags: frame head, class, weight, body size, flags.
content_head = Struct(">BHIHHQH")
CONTENT_HEAD_PAYLOAD_BYTES: Final = 12


def method_frame(channel: int, payload: bytes) -> bytes:
    """Return the method frame of an encoded method (class id, method id, arguments)."""
    return frame_head.pack(FRAME_METHOD, channel, len(payload)) + payload + FRAME_END_BYTES


def content_frames(channel: int, properties: bytes, body: bytes, frame_size_max: int) -> bytes:
    """Return the header frame and the body frames of a content, each within `frame_size_max`.

    `properties` are the property flags and values as `BasicProperties.encode` gives them.
    `frame_size_max` counts whole frames in bytes; 0 means no limit. The header frame is not cut:
    AMQP has no way to; a peer whose limit it exceeds will say so.
    """
    size = CONTENT_HEAD_PAYLOAD_BYTES + len(properties)
    parts = [
        _head_to_body_size.pack(FRAME_HEADER, channel, size, CLASS_BASIC, 0, len(body)),
        properties,
        FRAME_END_BYTES,
    ]
    step = frame_size_max - FRAME_OVERHEAD_BYTES if frame_size_max else max(len(body), 1)
    for start in range(0, len(body), step):
        piece = body[start : start + step]
        parts += (frame_head.pack(FRAME_BODY, channel, len(piece)), piece, FRAME_END_BYTES)
    return b"".join(parts)


def fit_content(frames: bytes, channel: int, frame_size_max: int) -> bytes:
    """Return a content (its header frame and body frames) as it must look on another channel.

    The bytes go out as they came where channel and frame size allow, which is the common case and
    costs two comparisons. `frames` must be a whole content as the assembler gives it.
    """
    if frames[1:3] == channel.to_bytes(2, "big") and (
        len(frames) <= frame_size_max or not frame_size_max
    ):
        return frames
    return content_frames(channel, content_properties(frames), content_body(frames), frame_size_max)


def content_properties(frames: bytes) -> bytes:
    """Return the property flags and values of a content, undecoded."""
    (size,) = _U32.unpack_from(frames, 3)
    return frames[7 + CONTENT_HEAD_PAYLOAD_BYTES : 7 + size]


def replace_properties(frames: bytes, properties: bytes) -> bytes:
    """Return a content with other property flags and values; its body frames stay as they are."""
    (size,) = _U32.unpack_from(frames, 3)
    parts = (
        frames[:3],
        _U32.pack(CONTENT_HEAD_PAYLOAD_BYTES + len(properties)),
        frames[7 : 7 + CONTENT_HEAD_PAYLOAD_BYTES],
        properties,
        frames[7 + size :],
    )
    return b"".join(parts)


def content_body_size_bytes(frames: bytes) -> int:
    """Return how many bytes the body of a content has."""
    size: int = _U64.unpack_from(frames, 11)[0]
    return size


def content_body(frames: bytes) -> bytes:
    """Return the body of a content, its body frames joined."""
    (size,) = _U32.unpack_from(frames, 3)
    offset = size + FRAME_OVERHEAD_BYTES
    parts = []
    while offset < len(frames):
        (size,) = _U32.unpack_from(frames, offset + 3)
        parts.append(frames[offset + 7 : offset + 7 + size])
        offset += size + FRAME_OVERHEAD_BYTES
    return parts[0] if len(parts) == 1 else b"".join(parts)


_head_to_body_size = Struct(">BHIHHQ")
_U32 = Struct(">I")
_U64 = Struct(">Q")
