"""Single properties of a content, read in place, where decoding all of them would cost too much.

Owns stepping over what stands before them (specification section 4.2.6.1; the order of class
basic's properties), and what each property's value is. Which properties a message has is known by
its flags before anybody looks here; that they can be decoded is seen to by `properties_check`.
A content whose properties cannot be read has none, for this purpose.
"""

from __future__ import annotations

from struct import Struct
from typing import Final

from rabbitry.wire.frames import CONTENT_HEAD_PAYLOAD_BYTES
from rabbitry.wire.values import MalformedValue

CONTENT_TYPE: Final = 0x8000
CONTENT_ENCODING: Final = 0x4000
HEADERS: Final = 0x2000
DELIVERY_MODE: Final = 0x1000
PRIORITY: Final = 0x0800
CORRELATION_ID: Final = 0x0400
REPLY_TO: Final = 0x0200
EXPIRATION: Final = 0x0100
MESSAGE_ID: Final = 0x0080
TIMESTAMP: Final = 0x0040
TYPE: Final = 0x0020
USER_ID: Final = 0x0010
APP_ID: Final = 0x0008
CLUSTER_ID: Final = 0x0004
# More flags follow in the next two bytes: basic has no property there, and RabbitMQ reads none.
FURTHER_FLAGS: Final = 0x0001
# Their values in the order in which they stand, with the sizes that are fixed; others are 0 here.
PROPERTY_SIZES_BYTES: Final = {
    CONTENT_TYPE: 0,
    CONTENT_ENCODING: 0,
    HEADERS: 0,
    DELIVERY_MODE: 1,
    PRIORITY: 1,
    CORRELATION_ID: 0,
    REPLY_TO: 0,
    EXPIRATION: 0,
    MESSAGE_ID: 0,
    TIMESTAMP: 8,
    TYPE: 0,
    USER_ID: 0,
    APP_ID: 0,
    CLUSTER_ID: 0,
}
# Flags of which one is enough that a header's size is not known from its flags.
VARIABLE_PROPERTIES: Final = sum(flag for flag, size in PROPERTY_SIZES_BYTES.items() if not size)

_FLAGS_OFFSET: Final = 7 + CONTENT_HEAD_PAYLOAD_BYTES
_U16 = Struct(">H")
_U32 = Struct(">I")


def header_end(frames: bytes) -> int:
    """Return where the payload of the header frame ends."""
    return 7 + int(_U32.unpack_from(frames, 3)[0])


def delivery_mode_of(frames: bytes) -> int | None:
    """Return the property `delivery-mode` of a content, or None."""
    try:
        offset, flags = _values(frames)
        if not flags & DELIVERY_MODE:
            return None
        offset = _to_priority(frames, offset, flags) - 1
        return frames[offset] if offset < header_end(frames) else None
    except IndexError:
        return None


def priority_of(frames: bytes) -> int | None:
    """Return the property `priority` of a content, or None."""
    try:
        offset, flags = _values(frames)
        if not flags & PRIORITY:
            return None
        offset = _to_priority(frames, offset, flags)
        return frames[offset] if offset < header_end(frames) else None
    except IndexError:
        return None


def expiration_ms_of(frames: bytes) -> int | None:
    """Return the property `expiration` of a content, or None where it is not a number."""
    try:
        offset, flags = _values(frames)
        if not flags & EXPIRATION:
            return None
        offset = _to_priority(frames, offset, flags)
        if flags & PRIORITY:
            offset += 1
        for flag in (CORRELATION_ID, REPLY_TO):
            if flags & flag:
                offset += 1 + frames[offset]
        text = frames[offset + 1 : offset + 1 + frames[offset]]
        return int(text) if text.isdigit() and offset + len(text) < header_end(frames) else None
    except IndexError:
        return None


def short_string_property(frames: bytes, wanted: int) -> bytes:
    """Return a property behind `priority` that is a short string, which the content has.

    Raises `MalformedValue` where it is cut short.
    """
    try:
        offset, flags = _values(frames)
        offset = _to_priority(frames, offset, flags)
        if flags & PRIORITY:
            offset += 1
        flag = CORRELATION_ID
        while flag != wanted:
            if flags & flag:
                offset += 8 if flag == TIMESTAMP else 1 + frames[offset]
            flag >>= 1
        start, end = offset + 1, offset + 1 + frames[offset]
    except IndexError:
        end = len(frames)
    if end > header_end(frames):
        raise MalformedValue("the properties of basic are cut short")
    return frames[start:end]


def _values(frames: bytes) -> tuple[int, int]:
    """Return where the values begin, and the flags."""
    (flags,) = _U16.unpack_from(frames, _FLAGS_OFFSET)
    return _FLAGS_OFFSET + 2, flags


def _to_priority(frames: bytes, offset: int, flags: int) -> int:
    for flag in (CONTENT_TYPE, CONTENT_ENCODING):
        if flags & flag:
            offset += 1 + frames[offset]
    if flags & HEADERS:
        if offset + 4 > header_end(frames):
            raise IndexError
        offset += 4 + int(_U32.unpack_from(frames, offset)[0])
    if flags & DELIVERY_MODE:
        offset += 1
    return offset
