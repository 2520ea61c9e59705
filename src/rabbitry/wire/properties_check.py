"""Whether the properties of contents can be decoded, without decoding them.

A message whose properties cannot be read would end every client library that it is delivered to,
so a broker takes none. What is decodable is what `BasicProperties.decode` decodes, up to the end of
the header frame and not a byte less. Property flags say which values there are; a `Layout` is made
of them once, and then looks at messages: where all values have a fixed size the size of the header
frame is all there is to see, strings are stepped over, and only a table of headers is walked.

RabbitMQ: rabbit_binary_parser.erl ensure_content_decoded/1, parse_table/1. As there, the bytes of
strings may be anything, and the flag bit that basic does not define is ignored. Two things more are
refused: tables nested deeper than `TABLE_DEPTH_MAX`, and flags that announce further flags, which
RabbitMQ takes only where they do not follow.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from struct import Struct
from struct import error as StructError
from typing import Final

from rabbitry.wire.frames import CONTENT_HEAD_PAYLOAD_BYTES
from rabbitry.wire.properties import (
    CONTENT_ENCODING,
    CONTENT_TYPE,
    FURTHER_FLAGS,
    HEADERS,
    PROPERTY_SIZES_BYTES,
    VARIABLE_PROPERTIES,
)
from rabbitry.wire.values import FIXED_SIZES_BYTES, TABLE_DEPTH_MAX, MalformedValue

_u32: Final = Struct(">I").unpack_from
_FLAGS_END: Final = 7 + CONTENT_HEAD_PAYLOAD_BYTES + 2
# What follows a field's type letter: a fixed number of bytes, or as much as four bytes say.
_SKIPPED, _NESTED, _SINGLE, _DOUBLE, _UNKNOWN = -1, -2, -3, -4, -5
_FIELDS: Final = [_UNKNOWN] * 256
for _letter, _size_bytes in FIXED_SIZES_BYTES.items():
    _FIELDS[ord(_letter)] = 1 + _size_bytes
for _letter, _kind in zip("SxFAfd", (-1, -1, -2, -2, -3, -4), strict=True):
    _FIELDS[ord(_letter)] = _kind


class Layout:
    """How the properties of messages with certain flags are laid out.

    `header_size_bytes` is the size that the payloads of their header frames must have; -1 where the
    flags do not say it.
    """

    __slots__ = ("_after", "_before", "_start", "_table", "_unknown", "header_size_bytes")

    def __init__(self, flags: int) -> None:
        start = _FLAGS_END
        before: list[int] = []
        table = 0
        after: list[int] = []
        # Each step goes over what is of a fixed size behind a string too: the string's own size is
        # added to the number of its step.
        for flag, size in PROPERTY_SIZES_BYTES.items():
            if not flags & flag:
                continue
            if flag == HEADERS:
                table = 4
            elif flag in (CONTENT_TYPE, CONTENT_ENCODING):
                before.append(1)
            elif not size:
                after.append(1)
            elif after:
                after[-1] += size
            elif table:
                table += size
            elif before:
                before[-1] += size
            else:
                start += size
        self._start = start
        self._table = table
        self._before = tuple(before if table else before + after)
        self._after = tuple(after)
        self._unknown = bool(flags & FURTHER_FLAGS)
        fixed = not flags & (VARIABLE_PROPERTIES | FURTHER_FLAGS)
        self.header_size_bytes = start - 7 if fixed else -1

    def count_sound(self, contents: Sequence[bytes]) -> int:
        """Return how many contents, from the first on, come before one that cannot be decoded.

        All must have the flags of this layout, and be whole.
        """
        if self._unknown:
            return 0
        start, before, table, after = self._start, self._before, self._table, self._after
        sound = 0
        try:
            for frames in contents:
                offset = start
                for step in before:
                    offset += step + frames[offset]
                if table:
                    offset = _over_headers(frames, offset) + table
                    for step in after:
                        offset += step + frames[offset]
                # Steps lead only forward: who ends at the end was nowhere behind it.
                if offset != 7 + _u32(frames, 3)[0]:
                    break
                sound += 1
        except (IndexError, StructError, MalformedValue):
            pass
        return sound


@lru_cache(maxsize=256)
def layout_of(flags: int) -> Layout:
    """Return the layout of properties with these flags."""
    return Layout(flags)


def _over_headers(frames: bytes, offset: int) -> int:
    """Walk the table at `offset`; return its end, without the four bytes of its size."""
    (size,) = _u32(frames, offset)
    if size:
        end = offset + 4 + size
        if end > 7 + _u32(frames, 3)[0]:
            raise MalformedValue("a table that ends behind its frame")
        _walk(frames, offset + 4, end, True, 1)
    return offset + int(size)


def _walk(frames: bytes, offset: int, end: int, named: bool, depth: int) -> None:
    """Step over the fields of a table, or the values of an array, up to its end."""
    if depth > TABLE_DEPTH_MAX:
        raise MalformedValue(f"tables and arrays nest more than {TABLE_DEPTH_MAX} deep")
    fields = _FIELDS
    while offset < end:
        if named:
            offset += 1 + frames[offset]
        letter = frames[offset]
        step = fields[letter]
        if step > 0:
            offset += step
        elif step >= _NESTED:
            start = offset + 5
            offset = start + _u32(frames, offset + 1)[0]
            if step == _NESTED:
                if offset > end:
                    break
                _walk(frames, start, offset, letter == 0x46, depth + 1)
        elif step != _UNKNOWN:
            # Erlang has no infinity and no NaN, which have all bits of the exponent set.
            infinite = 0xF0 if step == _DOUBLE else 0x80
            if frames[offset + 1] & 0x7F == 0x7F and frames[offset + 2] & infinite == infinite:
                raise MalformedValue("a float that is not finite")
            offset += 9 if step == _DOUBLE else 5
        else:
            raise MalformedValue(f"there is no field type 0x{letter:02x}")
    if offset != end:
        raise MalformedValue("a field ends behind its table")
