"""From bytes to commands: one loop that cuts frames and joins contents.

A *command* is a method with the contents that came under it. A method without content (most) is a
command alone. A method with content (`basic.publish` at a broker; `deliver`, `get-ok`, `return` at
a client) is followed by a header frame and as many body frames as its body needs; consecutive
contents on one channel under byte-for-byte the same method frame, with the same property flags (and
with header frames of one size, where these flags fix it), make ONE command with many contents, a
*run*. A publisher that sends to one routing key thus costs the broker one command for each read,
not one for each message, and no object for each frame.

A content is kept as the bytes it arrived in (header frame and body frames, with their heads and end
octets): it can be sent on unchanged, and its properties stay undecoded until somebody asks.

The loop has a fast way (method, header and one body frame are all in the buffer; where messages
repeat all but their bodies, they are not even looked at, see `_cut_repeats`) and a slow way
(anything else), which keeps one `_Partial` for each channel in the middle of a content. Everything
is checked before it is kept: frame size, end octet, order (RabbitMQ: rabbit_command_assembler.erl,
rabbit_reader.erl handle_input). What breaks the framing ends the connection: `failure` is set,
commands that came before it are still returned, and later bytes are discarded unread.

Invariants: feeding bytes whole or one by one gives the same messages in the same order (runs may be
cut differently); memory held is bounded by one frame and, per channel, by what the frames of a body
of `body_size_bytes_max` take.
"""

from __future__ import annotations

from dataclasses import fields
from struct import Struct
from typing import Any, Final

from rabbitry.wire.errors import (
    COMMAND_INVALID,
    FRAME_ERROR,
    PRECONDITION_FAILED,
    UNEXPECTED_FRAME,
    AmqpException,
    ChannelException,
    ConnectionException,
)
from rabbitry.wire.frames import (
    CLASS_BASIC,
    CONTENT_HEAD_PAYLOAD_BYTES,
    FRAME_BODY,
    FRAME_END,
    FRAME_HEADER,
    FRAME_HEARTBEAT,
    FRAME_METHOD,
    FRAME_OVERHEAD_BYTES,
    content_head,
    frame_head,
)
from rabbitry.wire.methods import METHODS, Method, UnknownMethod, decode_method
from rabbitry.wire.properties import VARIABLE_PROPERTIES
from rabbitry.wire.values import MalformedValue

# Class and method ids, as on the wire, of the methods that contents follow.
CONTENT_METHODS: Final = frozenset(
    class_id.to_bytes(2, "big") + method_id.to_bytes(2, "big")
    for (class_id, method_id), method in METHODS.items()
    if method.has_content
)
# RabbitMQ 3.10's default of `max_message_size`.
BODY_SIZE_BYTES_MAX: Final = 134_217_728
# Its ?MAX_MSG_SIZE: more cannot be configured.
BODY_SIZE_BYTES_LIMIT: Final = 536_870_912
# The property flags word at least follows the fixed part of a content header.
_HEADER_PAYLOAD_BYTES_MIN: Final = CONTENT_HEAD_PAYLOAD_BYTES + 2
_CONTENT_HEAD_FRAME_BYTES_MIN: Final = _HEADER_PAYLOAD_BYTES_MIN + FRAME_OVERHEAD_BYTES
_IDS: Final = Struct(">HH")
# What a payload of each kind of frame has at least and at most; others RabbitMQ calls unknown.
_PAYLOAD_BYTES: Final = {
    FRAME_METHOD: (_IDS.size, 0xFFFFFFFF),
    FRAME_HEADER: (_HEADER_PAYLOAD_BYTES_MIN, 0xFFFFFFFF),
    FRAME_BODY: (0, 0xFFFFFFFF),
    FRAME_HEARTBEAT: (0, 0),
}
_NO_PAYLOAD: Final = (1, 0)
_NO_HEAD: Final = (0, 0, 0, 0, 0, 0, 0)
# Whether the next message is like the last one is not asked any more after so many vain tries.
REPEAT_TRIES: Final = 3
# More than fits a reply text.
_OCTETS_SHOWN_MAX: Final = 128


class Command:
    """A method frame with the contents under it.

    `frame` is the whole method frame, head and end octet included: equal bytes mean the same
    channel, method and arguments, so it serves as a key. `contents` is empty for methods without
    content; `flags` is the property flags word that all of them have, `header_size_bytes` the size
    of the first one's header payload, and of all, unless the flags have `VARIABLE_PROPERTIES`.
    `fault` is set instead where the command cannot be carried out for a reason that the channel
    must be told.
    """

    __slots__ = ("channel", "contents", "fault", "flags", "frame", "header_size_bytes")

    def __init__(
        self,
        channel: int,
        frame: bytes,
        contents: list[bytes],
        fault: AmqpException | None = None,
        flags: int = 0,
        header_size_bytes: int = 0,
    ) -> None:
        self.channel = channel
        self.frame = frame
        self.contents = contents
        self.fault = fault
        self.flags = flags
        self.header_size_bytes = header_size_bytes

    def method(self) -> Method:
        """Decode the method. Raises `ConnectionException` for unknown or malformed ones.

        RabbitMQ 3.10 drops the link without a word for an unknown method and for a table with a
        value of an unknown type; the specification's 503, and 501, say more.
        """
        payload = self.frame[7:-1]
        try:
            method = decode_method(payload)
        except UnknownMethod as fault:
            text = f"unknown method {fault.class_id}.{fault.method_id}"
            ids = (fault.class_id, fault.method_id)
            raise ConnectionException(COMMAND_INVALID, text, *ids) from None
        except MalformedValue:
            text = "cannot decode " + _octets(payload[4 : 4 + _OCTETS_SHOWN_MAX])
            raise ConnectionException(FRAME_ERROR, text, *self.ids()) from None
        # RabbitMQ's generated decoder checks short strings, but, for speed, not those of methods
        # with content; ASCII, which is nearly everything, needs no look at the fields.
        if not payload.isascii() and not method.has_content:
            _check_short_strings(method)
        return method

    def ids(self) -> tuple[int, int]:
        """Return class id and method id, as a close method names the command that failed."""
        class_id, method_id = _IDS.unpack_from(self.frame, 7)
        return class_id, method_id


class _Partial:
    """A content of which frames are missing still."""

    __slots__ = ("flags", "frame", "frames", "oversized", "remaining_bytes")

    def __init__(self, frame: bytes) -> None:
        self.frame = frame
        self.flags = 0
        self.frames = bytearray()  # an object for each would take ten times what a tiny one is
        self.remaining_bytes = -1  # -1: the header frame has not come
        self.oversized = False  # its frames are dropped as they come


class ContentAssembler:
    """Cuts the bytes of one AMQP connection into commands.

    `frame_size_max` (bytes of a whole frame, 0 for no limit) may be changed between calls, as the
    handshake does. RabbitMQ tolerates frames that are 8 bytes too long (FRAME_SIZE_FUDGE); so do
    we.
    """

    def __init__(
        self, frame_size_max: int = 131072, body_size_bytes_max: int = BODY_SIZE_BYTES_MAX
    ) -> None:
        self.frame_size_max = frame_size_max
        self.body_size_bytes_max = body_size_bytes_max
        self.failure: ConnectionException | None = None
        self._tail = b""
        self._partials: dict[int, _Partial] = {}

    @property
    def in_content(self) -> bool:
        """Whether some channel is in the middle of a content."""
        return bool(self._partials)

    def feed(self, data: bytes) -> list[Command]:
        """Take bytes, return the commands they complete. After `failure` is set: always none."""
        if self.failure is not None:
            return []
        buffer = self._tail + data if self._tail else data
        commands: list[Command] = []
        consumed = self._cut(buffer, commands)
        self._tail = buffer[consumed:] if self.failure is None else b""
        return commands

    def _cut(self, buffer: bytes, commands: list[Command]) -> int:
        """Append the commands in `buffer`, return how many of its bytes are done with."""
        end = len(buffer)
        limit = self.frame_size_max or 0xFFFFFFFF
        body_size_bytes_max = min(limit, self.body_size_bytes_max)
        partials = self._partials
        unpack_head = frame_head.unpack_from
        unpack_content = content_head.unpack_from
        run_frame = b""
        run_flags = run_header = run_total = 0
        head_bytes = frame_head.size  # enough to see that a frame is too long
        tries = REPEAT_TRIES
        run: list[bytes] = []
        i = 0
        while end - i >= head_bytes:
            kind, channel, size = unpack_head(buffer, i)
            if size > limit:
                self._fail_too_large(kind, size)
                break
            j = i + size + 8
            if j > end:
                break
            if buffer[j - 1] != FRAME_END:
                self._fail_end(kind, buffer, i, j)
                break
            if kind != FRAME_METHOD or (partials and channel in partials):
                if kind != FRAME_HEARTBEAT or channel or size:
                    run_frame = b""
                    self._take_slowly(kind, channel, buffer[i:j], commands)
                    if self.failure is not None:
                        break
                i = j
                continue
            frame = buffer[i:j]
            if frame[7:11] not in CONTENT_METHODS:
                if size < _IDS.size:
                    self._fail_unknown(kind, frame)
                    break
                commands.append(Command(channel, frame, []))
                run_frame = b""
                i = j
                continue
            # The fast way: header frame and at most one body frame, all here.
            if end - j >= _CONTENT_HEAD_FRAME_BYTES_MIN:
                kind, channel_2, header, class_id, weight, body, flags = unpack_content(buffer, j)
                k = j + header + 8
                if (
                    kind == FRAME_HEADER
                    and channel_2 == channel
                    and class_id == CLASS_BASIC
                    and not weight
                    and _HEADER_PAYLOAD_BYTES_MIN <= header <= limit
                    and k <= end
                    and buffer[k - 1] == FRAME_END
                    and body <= body_size_bytes_max
                ):
                    if body and end - k >= FRAME_OVERHEAD_BYTES:
                        kind, channel_2, size = unpack_head(buffer, k)
                        k += body + 8
                        whole = (
                            kind == FRAME_BODY
                            and channel_2 == channel
                            and size == body
                            and k <= end
                            and buffer[k - 1] == FRAME_END
                        )
                    else:
                        whole = not body
                    if whole:
                        if (
                            frame == run_frame
                            and flags == run_flags
                            and (header == run_header or flags & VARIABLE_PROPERTIES)
                        ):
                            run.append(buffer[j:k])
                            if tries and k - i == run_total:
                                head = buffer[i : k - body - 1] if body else buffer[i:k]
                                i = _cut_repeats(buffer, k, head, j - i, run_total, run)
                                tries = REPEAT_TRIES if i > k else tries - 1
                                continue
                        else:
                            run = [buffer[j:k]]
                            run_frame, run_flags, run_header = frame, flags, header
                            commands.append(Command(channel, frame, run, None, flags, header))
                        run_total = k - i
                        i = k
                        continue
            self._begin(channel, frame, commands)
            run_frame = b""
            i = j
        return i

    def _begin(self, channel: int, frame: bytes, commands: list[Command]) -> None:
        """Wait for the content of a method; channel 0 has none, its owner refuses the method."""
        if channel:
            self._partials[channel] = _Partial(frame)
        else:
            commands.append(Command(channel, frame, []))

    def _take_slowly(self, kind: int, channel: int, frame: bytes, commands: list[Command]) -> None:
        """Take one frame that is not a method frame in its place: part of a content, or a fault."""
        payload_bytes = len(frame) - FRAME_OVERHEAD_BYTES
        least, most = _PAYLOAD_BYTES.get(kind, _NO_PAYLOAD)
        partial = self._partials.get(channel)
        if not least <= payload_bytes <= most:
            self._fail_unknown(kind, frame)
        elif channel == 0 or kind == FRAME_HEARTBEAT:
            self._fail(UNEXPECTED_FRAME, f"type {kind}, {snippet(frame[7:-1])}")
        elif partial is None:
            self._fail(UNEXPECTED_FRAME, "expected method frame, got non method frame instead")
        elif partial.remaining_bytes < 0:
            self._take_header(kind, channel, frame, partial, commands)
        elif kind == FRAME_BODY:
            self._take_body(channel, frame, partial, commands)
        elif kind == FRAME_METHOD and partial.oversized:
            # Told 406 in the middle of its content, the peer may leave the rest unsent.
            del self._partials[channel]
            if frame[7:11] in CONTENT_METHODS:
                self._begin(channel, frame, commands)
            else:
                commands.append(Command(channel, frame, []))
        else:
            text = "expected content body, got non content body frame instead"
            self._fail(UNEXPECTED_FRAME, text, partial.frame)

    def _take_header(
        self, kind: int, channel: int, frame: bytes, partial: _Partial, commands: list[Command]
    ) -> None:
        _, _, _, class_id, weight, body_size_bytes, partial.flags = (
            content_head.unpack_from(frame) if kind == FRAME_HEADER else _NO_HEAD
        )
        if kind != FRAME_HEADER or weight:
            text = "got non content header frame instead"
        elif class_id != CLASS_BASIC:
            text = f"got one for class {class_id} instead"
        else:
            text = ""
        if text:
            text = f"expected content header for class {CLASS_BASIC}, {text}"
            self._fail(UNEXPECTED_FRAME, text, partial.frame)
            return
        partial.remaining_bytes = body_size_bytes
        if body_size_bytes > self.body_size_bytes_max:
            partial.oversized = True
            configured = self.body_size_bytes_max < BODY_SIZE_BYTES_LIMIT
            text = (
                f"message size {body_size_bytes} is larger than "
                f"{'configured ' if configured else ''}max size {self.body_size_bytes_max}"
            )
            fault = ChannelException(PRECONDITION_FAILED, text, *_IDS.unpack_from(partial.frame, 7))
            commands.append(Command(channel, partial.frame, [], fault))
            return
        partial.frames += frame
        if not body_size_bytes:
            self._complete(channel, partial, commands)

    def _take_body(
        self, channel: int, frame: bytes, partial: _Partial, commands: list[Command]
    ) -> None:
        size = len(frame) - FRAME_OVERHEAD_BYTES
        partial.remaining_bytes -= size
        if partial.remaining_bytes < 0:
            # RabbitMQ goes on reading body frames for ever here; a fault of framing is kinder.
            text = "content body is longer than its header said"
            self._fail(UNEXPECTED_FRAME, text, partial.frame)
            return
        # Empty body frames are legal, and without end: none is kept.
        if size and not partial.oversized:
            partial.frames += frame
        if not partial.remaining_bytes:
            self._complete(channel, partial, commands)

    def _complete(self, channel: int, partial: _Partial, commands: list[Command]) -> None:
        del self._partials[channel]
        if not partial.oversized:
            content = bytes(partial.frames)
            header = int.from_bytes(content[3:7], "big")
            command = Command(channel, partial.frame, [content], None, partial.flags, header)
            commands.append(command)

    def _fail_unknown(self, kind: int, frame: bytes) -> None:
        self._fail(FRAME_ERROR, f"type {kind}, {snippet(frame[7:-1])}: unknown_frame")

    def _fail_too_large(self, kind: int, size: int) -> None:
        limit = self.frame_size_max - FRAME_OVERHEAD_BYTES
        self._fail(
            FRAME_ERROR, f"type {kind}, all octets = <<>>: {{frame_too_large,{size},{limit}}}"
        )

    def _fail_end(self, kind: int, buffer: bytes, i: int, j: int) -> None:
        shown = snippet(buffer[i + 7 : j - 1])
        self._fail(
            FRAME_ERROR, f"type {kind}, {shown}: {{invalid_frame_end_marker,{buffer[j - 1]}}}"
        )

    def _fail(self, reply_code: int, text: str, frame: bytes = b"") -> None:
        """End it all; `frame` is the method frame that the close shall name, if there is one."""
        ids = _IDS.unpack_from(frame, 7) if frame else (0, 0)
        self.failure = ConnectionException(reply_code, text, *ids)


def _cut_repeats(
    buffer: bytes, i: int, head: bytes, content_at: int, total: int, run: list[bytes]
) -> int:
    """Append the contents of messages like the one before `i`; return where they end.

    Alike is what has the same `head`, byte for byte (everything before the body: method frame,
    header frame, head of the body frame), and so the same length, `total`. What was checked of that
    message holds for them, but for the last end octet.
    """
    starts_with, append = buffer.startswith, run.append
    last = len(buffer) - total
    while i <= last and starts_with(head, i) and buffer[i + total - 1] == FRAME_END:
        append(buffer[i + content_at : i + total])
        i += total
    return i


def snippet(payload: bytes) -> str:
    """Return the start of a payload in Erlang's notation, as RabbitMQ's reply texts show it."""
    shown = payload[:16]
    size = "all" if len(payload) <= 16 else "first 16"
    if shown and all(32 <= byte < 127 for byte in shown):
        text = shown.decode("ascii").replace("\\", "\\\\").replace('"', '\\"')
        return f'{size} octets = <<"{text}">>'
    return f"{size} octets = {_octets(shown)}"


def _octets(octets: bytes) -> str:
    return f"<<{','.join(map(str, octets))}>>"


def _check_short_strings(method: Any) -> None:
    for field in fields(method):
        value = getattr(method, field.name)
        if isinstance(value, str):
            try:
                value.encode()
            except UnicodeEncodeError:
                # The escapes that `decode_short_string` leaves for bytes that are no UTF-8.
                text = "Malformed UTF-8 in shortstr"
                raise ConnectionException(FRAME_ERROR, text) from None
