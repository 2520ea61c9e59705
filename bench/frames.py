"""The handful of AMQP 0-9-1 frames that a load generator speaks, and counting them cheaply.

Owns: encoding of the requests, and the two counters (deliveries, confirms) that are fed received
bytes. Pure: no sockets, no clock. It does not use ``rabbitry.wire``, so that a fault there cannot
hide itself in the measurement.

Invariant of the counting: deliveries on one channel carry the delivery tags 1, 2, 3, ... So where
the first and the last of a run of equally long deliveries begin with the expected bytes, carry the
expected tags and end in the frame-end octet, exactly that many deliveries lie between them;
anything foreign in the run would have moved the last one. That is what makes a run of thousands
cost two comparisons. Whatever does not fit goes frame by frame.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping

FRAME_METHOD = 1
FRAME_HEADER = 2
FRAME_BODY = 3
FRAME_HEARTBEAT = 8
FRAME_END = 206

PROTOCOL_HEADER = b"AMQP\x00\x00\x09\x01"
CHANNEL = 1

MethodId = tuple[int, int]
CONNECTION_START = (10, 10)
CONNECTION_START_OK = (10, 11)
CONNECTION_TUNE = (10, 30)
CONNECTION_TUNE_OK = (10, 31)
CONNECTION_OPEN = (10, 40)
CONNECTION_OPEN_OK = (10, 41)
CONNECTION_CLOSE = (10, 50)
CONNECTION_CLOSE_OK = (10, 51)
CONNECTION_BLOCKED = (10, 60)
CONNECTION_UNBLOCKED = (10, 61)
CHANNEL_OPEN = (20, 10)
CHANNEL_OPEN_OK = (20, 11)
CHANNEL_CLOSE = (20, 40)
QUEUE_DECLARE = (50, 10)
QUEUE_DECLARE_OK = (50, 11)
QUEUE_DELETE = (50, 40)
QUEUE_DELETE_OK = (50, 41)
BASIC_QOS = (60, 10)
BASIC_QOS_OK = (60, 11)
BASIC_CONSUME = (60, 20)
BASIC_CONSUME_OK = (60, 21)
BASIC_CANCEL = (60, 30)
BASIC_PUBLISH = (60, 40)
BASIC_DELIVER = (60, 60)
BASIC_ACK = (60, 80)
BASIC_NACK = (60, 120)
CONFIRM_SELECT = (85, 10)
CONFIRM_SELECT_OK = (85, 11)

# Connection-wide notices that a client may simply read past.
NOTICES = (CONNECTION_BLOCKED, CONNECTION_UNBLOCKED)

_FRAME_HEAD = struct.Struct(">BHI")
_METHOD_ID = struct.Struct(">HH")
_U64 = struct.Struct(">Q")
_ACK = struct.Struct(">QB")


class PeerFault(Exception):
    """The broker closed, cancelled, nacked or sent what the load does not expect; one line."""


def frame(kind: int, channel: int, payload: bytes) -> bytes:
    """One whole frame: head, payload, end octet."""
    return _FRAME_HEAD.pack(kind, channel, len(payload)) + payload + bytes((FRAME_END,))


def method(channel: int, method_id: MethodId, arguments: bytes = b"") -> bytes:
    """One method frame; ``arguments`` are already encoded."""
    return frame(FRAME_METHOD, channel, _METHOD_ID.pack(*method_id) + arguments)


def shortstr(text: str) -> bytes:
    """A short string; raises ValueError over 255 bytes of UTF-8."""
    raw = text.encode()
    if len(raw) > 255:
        raise ValueError(f"short string of {len(raw)} bytes; 255 is the most AMQP allows")
    return bytes((len(raw),)) + raw


def longstr(raw: bytes) -> bytes:
    """A long string."""
    return struct.pack(">I", len(raw)) + raw


def start_ok(user: str, password: str) -> bytes:
    """connection.start-ok with PLAIN and the capabilities that brokers ask for."""
    names = ("publisher_confirms", "basic.nack", "consumer_cancel_notify", "connection.blocked")
    # consumer_cancel_notify matters: without it a cancelled consumer would merely go quiet.
    flags = b"".join(shortstr(name) + b"t\x01" for name in names)
    flags += shortstr("authentication_failure_close") + b"t\x01"
    properties = shortstr("capabilities") + b"F" + longstr(flags)
    properties += shortstr("product") + b"S" + longstr(b"rabbitry bench")
    response = b"\0" + user.encode() + b"\0" + password.encode()
    arguments = longstr(properties) + shortstr("PLAIN") + longstr(response) + shortstr("en_US")
    return method(0, CONNECTION_START_OK, arguments)


def tune_ok(tune_arguments: bytes) -> bytes:
    """connection.tune-ok that takes what the broker proposed, without heartbeats."""
    channel_max, frame_max, _ = struct.unpack_from(">HIH", tune_arguments)
    # Every read of the load has its own timeout; heartbeats would only disturb the counting.
    return method(0, CONNECTION_TUNE_OK, struct.pack(">HIH", channel_max, frame_max, 0))


def frame_max_of(tune_arguments: bytes) -> int:
    """frame_max in bytes as proposed by connection.tune; 0 (no limit) becomes 128 KiB."""
    return int(struct.unpack_from(">HIH", tune_arguments)[1]) or 131072


def connection_open(vhost: str) -> bytes:
    """connection.open."""
    return method(0, CONNECTION_OPEN, shortstr(vhost) + b"\x00\x00")


def queue_declare(
    queue: str,
    *,
    passive: bool = False,
    durable: bool = False,
    arguments: Mapping[str, str] | None = None,
) -> bytes:
    """queue.declare; values of ``arguments`` are long strings."""
    bits = (1 if passive else 0) | (2 if durable else 0)
    table = b"".join(
        shortstr(name) + b"S" + longstr(value.encode()) for name, value in (arguments or {}).items()
    )
    encoded = b"\x00\x00" + shortstr(queue) + bytes((bits,)) + longstr(table)
    return method(CHANNEL, QUEUE_DECLARE, encoded)


def message_count_of(declare_ok_arguments: bytes) -> int:
    """Messages that are ready in the queue, as queue.declare-ok tells."""
    return int(struct.unpack_from(">I", declare_ok_arguments, 1 + declare_ok_arguments[0])[0])


def queue_delete(queue: str) -> bytes:
    """queue.delete, whatever is in it."""
    return method(CHANNEL, QUEUE_DELETE, b"\x00\x00" + shortstr(queue) + b"\x00")


def basic_qos(prefetch: int) -> bytes:
    """basic.qos for each consumer of the channel."""
    return method(CHANNEL, BASIC_QOS, struct.pack(">IHB", 0, prefetch, 0))


def basic_consume(queue: str, consumer_tag: str, *, no_ack: bool) -> bytes:
    """basic.consume."""
    bits = bytes((2 if no_ack else 0,))
    arguments = b"\x00\x00" + shortstr(queue) + shortstr(consumer_tag) + bits + longstr(b"")
    return method(CHANNEL, BASIC_CONSUME, arguments)


def basic_ack(delivery_tag: int, *, multiple: bool) -> bytes:
    """basic.ack."""
    return method(CHANNEL, BASIC_ACK, _ACK.pack(delivery_tag, 1 if multiple else 0))


def publish(
    exchange: str, routing_key: str, body: bytes, *, persistent: bool, frame_max: int
) -> bytes:
    """basic.publish with header and as many body frames as ``frame_max`` (bytes) asks for."""
    arguments = b"\x00\x00" + shortstr(exchange) + shortstr(routing_key) + b"\x00"
    header = struct.pack(">HHQHB", 60, 0, len(body), 0x1000, 2 if persistent else 1)
    parts = [method(CHANNEL, BASIC_PUBLISH, arguments), frame(FRAME_HEADER, CHANNEL, header)]
    step = frame_max - 8
    parts += [frame(FRAME_BODY, CHANNEL, body[at : at + step]) for at in range(0, len(body), step)]
    return b"".join(parts)


def next_frame(buffer: bytes | bytearray, at: int, end: int) -> int:
    """Length in bytes of the whole frame at ``at``, or 0 while it is incomplete.

    Raises PeerFault where no frame can begin or end there.
    """
    if end - at < 8:
        return 0
    kind, _, payload_size = _FRAME_HEAD.unpack_from(buffer, at)
    if kind not in (FRAME_METHOD, FRAME_HEADER, FRAME_BODY, FRAME_HEARTBEAT):
        raise PeerFault(f"no frame begins with octet {kind}: {bytes(buffer[at : at + 16])!r}")
    size = int(payload_size) + 8
    if end - at < size:
        return 0
    if buffer[at + size - 1] != FRAME_END:
        raise PeerFault(f"frame does not end in octet 206 but {buffer[at + size - 1]}")
    return size


def method_id_at(buffer: bytes | bytearray, at: int) -> MethodId:
    """Class and method of the method frame at ``at``; (0, 0) for another kind of frame."""
    if buffer[at] != FRAME_METHOD:
        return (0, 0)
    class_id, number = _METHOD_ID.unpack_from(buffer, at + 7)
    return (int(class_id), int(number))


def fault_at(buffer: bytes | bytearray, at: int) -> PeerFault:
    """Say in one line what the unexpected whole frame at ``at`` is."""
    kind, channel, _ = _FRAME_HEAD.unpack_from(buffer, at)
    method_id = method_id_at(buffer, at)
    if method_id in (CONNECTION_CLOSE, CHANNEL_CLOSE):
        code, length = struct.unpack_from(">HB", buffer, at + 11)
        text = bytes(buffer[at + 14 : at + 14 + length]).decode(errors="replace")
        what = "connection" if method_id == CONNECTION_CLOSE else f"channel {channel}"
        return PeerFault(f"broker closed the {what}: {code} {text}")
    if method_id == BASIC_CANCEL:
        return PeerFault("broker cancelled the consumer")
    if method_id == BASIC_NACK:
        (tag,) = _U64.unpack_from(buffer, at + 11)
        return PeerFault(f"broker nacked publish {tag}")
    if kind == FRAME_METHOD:
        return PeerFault(f"broker sent unexpected method {method_id[0]}.{method_id[1]}")
    return PeerFault(f"broker sent unexpected frame of type {kind} on channel {channel}")


def _is_passed_over(buffer: bytes | bytearray, at: int) -> bool:
    return buffer[at] == FRAME_HEARTBEAT or method_id_at(buffer, at) in NOTICES


class DeliveryCounter:
    """Counts basic.deliver on one channel, where all bodies are ``body_size`` bytes long."""

    def __init__(self, body_size: int) -> None:
        self.counted = 0
        self._body_size = body_size
        self._unit = 0  # bytes of one delivery, learnt from the first; 0: not known yet
        self._prefix = b""  # its bytes up to the delivery tag

    def take(self, buffer: bytes | bytearray, end: int) -> int:
        """Count what is whole in ``buffer[:end]``; returns the number of bytes done with.

        Raises PeerFault on a close, a cancel, a delivery out of turn, or broken frames.
        """
        at = 0
        while True:
            unit = self._unit
            run = (end - at) // unit if unit else 0
            if (
                run
                and self._fits(buffer, at, self.counted + 1)
                and self._fits(buffer, at + (run - 1) * unit, self.counted + run)
            ):
                self.counted += run
                at += run * unit
            size = self._take_one(buffer, at, end)
            if not size:
                return at
            at += size

    def _fits(self, buffer: bytes | bytearray, at: int, tag: int) -> bool:
        prefix = self._prefix
        return (
            buffer.startswith(prefix, at)
            and _U64.unpack_from(buffer, at + len(prefix))[0] == tag
            and buffer[at + self._unit - 1] == FRAME_END
        )

    def _take_one(self, buffer: bytes | bytearray, at: int, end: int) -> int:
        """Frame by frame: one delivery or one frame to pass over; 0 while it is incomplete."""
        size = next_frame(buffer, at, end)
        if not size or _is_passed_over(buffer, at):
            return size
        if method_id_at(buffer, at) != BASIC_DELIVER:
            raise fault_at(buffer, at)
        header_at = at + size
        header_size = next_frame(buffer, header_at, end)
        if not header_size:
            return 0
        if buffer[header_at] != FRAME_HEADER:
            raise fault_at(buffer, header_at)
        (body_size,) = _U64.unpack_from(buffer, header_at + 11)
        if body_size != self._body_size:
            raise PeerFault(f"delivery of {body_size} bytes where {self._body_size} were sent")
        body_at, missing = header_at + header_size, self._body_size
        while missing:
            part = next_frame(buffer, body_at, end)
            if not part:
                return 0
            if buffer[body_at] != FRAME_BODY:
                raise fault_at(buffer, body_at)
            body_at += part
            missing -= part - 8
        self._learn(buffer, at, body_at)
        self.counted += 1
        return body_at - at

    def _learn(self, buffer: bytes | bytearray, at: int, after: int) -> None:
        tag_at = at + 12 + buffer[at + 11]
        (tag,) = _U64.unpack_from(buffer, tag_at)
        if tag != self.counted + 1:
            raise PeerFault(f"delivery tag {tag} where {self.counted + 1} is next")
        self._unit = after - at
        self._prefix = bytes(buffer[at:tag_at])


class ConfirmCounter:
    """Counts publisher confirms, single or multiple, in any order."""

    def __init__(self) -> None:
        self._below = 0  # everything up to this publish is confirmed
        self._singles: set[int] = set()  # confirmed beyond it

    @property
    def confirmed(self) -> int:
        """How many publishes are confirmed."""
        return self._below + len(self._singles)

    @property
    def confirmed_through(self) -> int:
        """Through which publish all are confirmed."""
        return self._below

    def take(self, buffer: bytes | bytearray, end: int) -> int:
        """Count the acks in ``buffer[:end]``; returns the number of bytes done with.

        Raises PeerFault on a nack, a close, or a publish confirmed twice.
        """
        at = 0
        while size := next_frame(buffer, at, end):
            if method_id_at(buffer, at) == BASIC_ACK:
                tag, multiple = _ACK.unpack_from(buffer, at + 11)
                self._settle(tag, bool(multiple & 1))
            elif not _is_passed_over(buffer, at):
                raise fault_at(buffer, at)
            at += size
        return at

    def _settle(self, tag: int, multiple: bool) -> None:
        if multiple:
            if tag > self._below:
                self._below = tag
                if self._singles:
                    self._singles = {single for single in self._singles if single > tag}
        elif tag <= self._below or tag in self._singles:
            raise PeerFault(f"broker confirmed publish {tag} twice")
        else:
            self._singles.add(tag)
        while self._singles and self._below + 1 in self._singles:
            self._below += 1
            self._singles.remove(self._below)
