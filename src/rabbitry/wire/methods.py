"""AMQP 0-9-1 methods and basic's properties <-> bytes. GENERATED: see tools/generate_methods.py.

One class for each method, fields in wire order; `encode` gives the payload of a method frame,
`decode` takes the arguments alone. Owns the layout, not the meaning: reserved fields are carried as
they come. Invariants: what was decoded encodes to the same bytes, but for unused bits; arguments
that are short, or longer than the method, raise `MalformedValue`, as RabbitMQ's generated decoder
has it; a number that does not fit its field raises `ValueError` when encoded.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from struct import Struct
from struct import error as StructError
from typing import ClassVar, Self

from rabbitry.wire.values import (
    FieldValue,
    MalformedValue,
    decode_long_string,
    decode_short_string,
    decode_table,
    encode_long_string,
    encode_short_string,
    encode_table,
)

_B = Struct(">B")
_BB = Struct(">BB")
_H = Struct(">H")
_HH = Struct(">HH")
_HHB = Struct(">HHB")
_HHBB = Struct(">HHBB")
_HHH = Struct(">HHH")
_HHHIH = Struct(">HHHIH")
_HHI = Struct(">HHI")
_HHIHB = Struct(">HHIHB")
_HHQB = Struct(">HHQB")
_HIH = Struct(">HIH")
_I = Struct(">I")
_IHB = Struct(">IHB")
_II = Struct(">II")
_Q = Struct(">Q")
_QB = Struct(">QB")


class UnknownMethod(ValueError):
    """A method frame names a class and method that AMQP 0-9-1 and RabbitMQ do not have."""

    def __init__(self, class_id: int, method_id: int) -> None:
        super().__init__(f"there is no method {class_id}.{method_id}")
        self.class_id = class_id
        self.method_id = method_id


class Method(ABC):
    """What every method has. `name` is AMQP's ("queue.declare")."""

    __slots__ = ()

    class_id: ClassVar[int]
    method_id: ClassVar[int]
    name: ClassVar[str]
    has_content: ClassVar[bool]

    @abstractmethod
    def encode(self) -> bytes:
        """The payload of a method frame: class id, method id, arguments."""

    @classmethod
    @abstractmethod
    def decode(cls, data: bytes, offset: int) -> Self:
        """The method whose arguments are the bytes of `data` from `offset` to the end."""


def decode_method(payload: bytes) -> Method:
    """The method of a frame's payload. Raises `UnknownMethod` or `MalformedValue`."""
    if len(payload) < 4:
        raise MalformedValue("a method frame is too short for a class and a method id")
    class_id, method_id = _HH.unpack_from(payload, 0)
    method = METHODS.get((class_id, method_id))
    if method is None:
        raise UnknownMethod(class_id, method_id)
    return method.decode(payload, 4)


def _trailing(name: str) -> MalformedValue:
    return MalformedValue(f"{name}: bytes follow the arguments")


def _short(name: str) -> MalformedValue:
    return MalformedValue(f"{name}: the arguments end early")


def _unfit(name: str) -> ValueError:
    return ValueError(f"{name}: a number does not fit its field")


@dataclass(slots=True)
class ConnectionStart(Method):
    """connection.start"""

    class_id: ClassVar[int] = 10
    method_id: ClassVar[int] = 10
    name: ClassVar[str] = "connection.start"
    has_content: ClassVar[bool] = False

    version_major: int = 0
    version_minor: int = 9
    server_properties: dict[str, FieldValue] = field(default_factory=dict)
    mechanisms: bytes = b"PLAIN"
    locales: bytes = b"en_US"

    def encode(self) -> bytes:
        try:
            return b"".join(
                (
                    _HHBB.pack(10, 10, self.version_major, self.version_minor),
                    encode_table(self.server_properties),
                    encode_long_string(self.mechanisms),
                    encode_long_string(self.locales),
                )
            )
        except StructError:
            raise _unfit("connection.start") from None

    @classmethod
    def decode(cls, data: bytes, offset: int) -> Self:
        try:
            version_major, version_minor = _BB.unpack_from(data, offset)
            offset += 2
            server_properties, offset = decode_table(data, offset)
            mechanisms, offset = decode_long_string(data, offset)
            locales, offset = decode_long_string(data, offset)
        except StructError:
            raise _short("connection.start") from None
        if offset != len(data):
            raise _trailing("connection.start")
        return cls(
            version_major,
            version_minor,
            server_properties,
            mechanisms,
            locales,
        )


@dataclass(slots=True)
class ConnectionStartOk(Method):
    """connection.start-ok"""

    class_id: ClassVar[int] = 10
    method_id: ClassVar[int] = 11
    name: ClassVar[str] = "connection.start-ok"
    has_content: ClassVar[bool] = False

    client_properties: dict[str, FieldValue] = field(default_factory=dict)
    mechanism: str = "PLAIN"
    response: bytes = b""
    locale: str = "en_US"

    def encode(self) -> bytes:
        return b"".join(
            (
                b"\x00\x0a\x00\x0b",
                encode_table(self.client_properties),
                encode_short_string(self.mechanism),
                encode_long_string(self.response),
                encode_short_string(self.locale),
            )
        )

    @classmethod
    def decode(cls, data: bytes, offset: int) -> Self:
        client_properties, offset = decode_table(data, offset)
        mechanism, offset = decode_short_string(data, offset)
        response, offset = decode_long_string(data, offset)
        locale, offset = decode_short_string(data, offset)
        if offset != len(data):
            raise _trailing("connection.start-ok")
        return cls(
            client_properties,
            mechanism,
            response,
            locale,
        )


@dataclass(slots=True)
class ConnectionSecure(Method):
    """connection.secure"""

    class_id: ClassVar[int] = 10
    method_id: ClassVar[int] = 20
    name: ClassVar[str] = "connection.secure"
    has_content: ClassVar[bool] = False

    challenge: bytes = b""

    def encode(self) -> bytes:
        return b"".join(
            (
                b"\x00\x0a\x00\x14",
                encode_long_string(self.challenge),
            )
        )

    @classmethod
    def decode(cls, data: bytes, offset: int) -> Self:
        challenge, offset = decode_long_string(data, offset)
        if offset != len(data):
            raise _trailing("connection.secure")
        return cls(
            challenge,
        )


@dataclass(slots=True)
class ConnectionSecureOk(Method):
    """connection.secure-ok"""

    class_id: ClassVar[int] = 10
    method_id: ClassVar[int] = 21
    name: ClassVar[str] = "connection.secure-ok"
    has_content: ClassVar[bool] = False

    response: bytes = b""

    def encode(self) -> bytes:
        return b"".join(
            (
                b"\x00\x0a\x00\x15",
                encode_long_string(self.response),
            )
        )

    @classmethod
    def decode(cls, data: bytes, offset: int) -> Self:
        response, offset = decode_long_string(data, offset)
        if offset != len(data):
            raise _trailing("connection.secure-ok")
        return cls(
            response,
        )


@dataclass(slots=True)
class ConnectionTune(Method):
    """connection.tune"""

    class_id: ClassVar[int] = 10
    method_id: ClassVar[int] = 30
    name: ClassVar[str] = "connection.tune"
    has_content: ClassVar[bool] = False

    channel_max: int = 0
    frame_max: int = 0
    heartbeat: int = 0

    def encode(self) -> bytes:
        try:
            return _HHHIH.pack(10, 30, self.channel_max, self.frame_max, self.heartbeat)
        except StructError:
            raise _unfit("connection.tune") from None

    @classmethod
    def decode(cls, data: bytes, offset: int) -> Self:
        try:
            channel_max, frame_max, heartbeat = _HIH.unpack_from(data, offset)
            offset += 8
        except StructError:
            raise _short("connection.tune") from None
        if offset != len(data):
            raise _trailing("connection.tune")
        return cls(
            channel_max,
            frame_max,
            heartbeat,
        )


@dataclass(slots=True)
class ConnectionTuneOk(Method):
    """connection.tune-ok"""

    class_id: ClassVar[int] = 10
    method_id: ClassVar[int] = 31
    name: ClassVar[str] = "connection.tune-ok"
    has_content: ClassVar[bool] = False

    channel_max: int = 0
    frame_max: int = 0
    heartbeat: int = 0

    def encode(self) -> bytes:
        try:
            return _HHHIH.pack(10, 31, self.channel_max, self.frame_max, self.heartbeat)
        except StructError:
            raise _unfit("connection.tune-ok") from None

    @classmethod
    def decode(cls, data: bytes, offset: int) -> Self:
        try:
            channel_max, frame_max, heartbeat = _HIH.unpack_from(data, offset)
            offset += 8
        except StructError:
            raise _short("connection.tune-ok") from None
        if offset != len(data):
            raise _trailing("connection.tune-ok")
        return cls(
            channel_max,
            frame_max,
            heartbeat,
        )


@dataclass(slots=True)
class ConnectionOpen(Method):
    """connection.open"""

    class_id: ClassVar[int] = 10
    method_id: ClassVar[int] = 40
    name: ClassVar[str] = "connection.open"
    has_content: ClassVar[bool] = False

    virtual_host: str = "/"
    reserved_1: str = ""
    reserved_2: bool = False

    def encode(self) -> bytes:
        bits = int(self.reserved_2)
        return b"".join(
            (
                b"\x00\x0a\x00\x28",
                encode_short_string(self.virtual_host),
                encode_short_string(self.reserved_1),
                _B.pack(bits),
            )
        )

    @classmethod
    def decode(cls, data: bytes, offset: int) -> Self:
        try:
            virtual_host, offset = decode_short_string(data, offset)
            reserved_1, offset = decode_short_string(data, offset)
            (bits,) = _B.unpack_from(data, offset)
            offset += 1
        except StructError:
            raise _short("connection.open") from None
        if offset != len(data):
            raise _trailing("connection.open")
        reserved_2 = bits & 1 != 0
        return cls(
            virtual_host,
            reserved_1,
            reserved_2,
        )


@dataclass(slots=True)
class ConnectionOpenOk(Method):
    """connection.open-ok"""

    class_id: ClassVar[int] = 10
    method_id: ClassVar[int] = 41
    name: ClassVar[str] = "connection.open-ok"
    has_content: ClassVar[bool] = False

    reserved_1: str = ""

    def encode(self) -> bytes:
        return b"".join(
            (
                b"\x00\x0a\x00\x29",
                encode_short_string(self.reserved_1),
            )
        )

    @classmethod
    def decode(cls, data: bytes, offset: int) -> Self:
        reserved_1, offset = decode_short_string(data, offset)
        if offset != len(data):
            raise _trailing("connection.open-ok")
        return cls(
            reserved_1,
        )


@dataclass(slots=True)
class ConnectionClose(Method):
    """connection.close"""

    class_id: ClassVar[int] = 10
    method_id: ClassVar[int] = 50
    name: ClassVar[str] = "connection.close"
    has_content: ClassVar[bool] = False

    reply_code: int = 0
    reply_text: str = ""
    failing_class_id: int = 0
    failing_method_id: int = 0

    def encode(self) -> bytes:
        try:
            return b"".join(
                (
                    _HHH.pack(10, 50, self.reply_code),
                    encode_short_string(self.reply_text),
                    _HH.pack(self.failing_class_id, self.failing_method_id),
                )
            )
        except StructError:
            raise _unfit("connection.close") from None

    @classmethod
    def decode(cls, data: bytes, offset: int) -> Self:
        try:
            (reply_code,) = _H.unpack_from(data, offset)
            offset += 2
            reply_text, offset = decode_short_string(data, offset)
            failing_class_id, failing_method_id = _HH.unpack_from(data, offset)
            offset += 4
        except StructError:
            raise _short("connection.close") from None
        if offset != len(data):
            raise _trailing("connection.close")
        return cls(
            reply_code,
            reply_text,
            failing_class_id,
            failing_method_id,
        )


@dataclass(slots=True)
class ConnectionCloseOk(Method):
    """connection.close-ok"""

    class_id: ClassVar[int] = 10
    method_id: ClassVar[int] = 51
    name: ClassVar[str] = "connection.close-ok"
    has_content: ClassVar[bool] = False

    def encode(self) -> bytes:
        return b"\x00\x0a\x00\x33"

    @classmethod
    def decode(cls, data: bytes, offset: int) -> Self:
        if offset != len(data):
            raise _trailing("connection.close-ok")
        return cls()


@dataclass(slots=True)
class ConnectionBlocked(Method):
    """connection.blocked"""

    class_id: ClassVar[int] = 10
    method_id: ClassVar[int] = 60
    name: ClassVar[str] = "connection.blocked"
    has_content: ClassVar[bool] = False

    reason: str = ""

    def encode(self) -> bytes:
        return b"".join(
            (
                b"\x00\x0a\x00\x3c",
                encode_short_string(self.reason),
            )
        )

    @classmethod
    def decode(cls, data: bytes, offset: int) -> Self:
        reason, offset = decode_short_string(data, offset)
        if offset != len(data):
            raise _trailing("connection.blocked")
        return cls(
            reason,
        )


@dataclass(slots=True)
class ConnectionUnblocked(Method):
    """connection.unblocked"""

    class_id: ClassVar[int] = 10
    method_id: ClassVar[int] = 61
    name: ClassVar[str] = "connection.unblocked"
    has_content: ClassVar[bool] = False

    def encode(self) -> bytes:
        return b"\x00\x0a\x00\x3d"

    @classmethod
    def decode(cls, data: bytes, offset: int) -> Self:
        if offset != len(data):
            raise _trailing("connection.unblocked")
        return cls()


@dataclass(slots=True)
class ConnectionUpdateSecret(Method):
    """connection.update-secret"""

    class_id: ClassVar[int] = 10
    method_id: ClassVar[int] = 70
    name: ClassVar[str] = "connection.update-secret"
    has_content: ClassVar[bool] = False

    new_secret: bytes = b""
    reason: str = ""

    def encode(self) -> bytes:
        return b"".join(
            (
                b"\x00\x0a\x00\x46",
                encode_long_string(self.new_secret),
                encode_short_string(self.reason),
            )
        )

    @classmethod
    def decode(cls, data: bytes, offset: int) -> Self:
        new_secret, offset = decode_long_string(data, offset)
        reason, offset = decode_short_string(data, offset)
        if offset != len(data):
            raise _trailing("connection.update-secret")
        return cls(
            new_secret,
            reason,
        )


@dataclass(slots=True)
class ConnectionUpdateSecretOk(Method):
    """connection.update-secret-ok"""

    class_id: ClassVar[int] = 10
    method_id: ClassVar[int] = 71
    name: ClassVar[str] = "connection.update-secret-ok"
    has_content: ClassVar[bool] = False

    def encode(self) -> bytes:
        return b"\x00\x0a\x00\x47"

    @classmethod
    def decode(cls, data: bytes, offset: int) -> Self:
        if offset != len(data):
            raise _trailing("connection.update-secret-ok")
        return cls()


@dataclass(slots=True)
class ChannelOpen(Method):
    """channel.open"""

    class_id: ClassVar[int] = 20
    method_id: ClassVar[int] = 10
    name: ClassVar[str] = "channel.open"
    has_content: ClassVar[bool] = False

    reserved_1: str = ""

    def encode(self) -> bytes:
        return b"".join(
            (
                b"\x00\x14\x00\x0a",
                encode_short_string(self.reserved_1),
            )
        )

    @classmethod
    def decode(cls, data: bytes, offset: int) -> Self:
        reserved_1, offset = decode_short_string(data, offset)
        if offset != len(data):
            raise _trailing("channel.open")
        return cls(
            reserved_1,
        )


@dataclass(slots=True)
class ChannelOpenOk(Method):
    """channel.open-ok"""

    class_id: ClassVar[int] = 20
    method_id: ClassVar[int] = 11
    name: ClassVar[str] = "channel.open-ok"
    has_content: ClassVar[bool] = False

    reserved_1: bytes = b""

    def encode(self) -> bytes:
        return b"".join(
            (
                b"\x00\x14\x00\x0b",
                encode_long_string(self.reserved_1),
            )
        )

    @classmethod
    def decode(cls, data: bytes, offset: int) -> Self:
        reserved_1, offset = decode_long_string(data, offset)
        if offset != len(data):
            raise _trailing("channel.open-ok")
        return cls(
            reserved_1,
        )


@dataclass(slots=True)
class ChannelFlow(Method):
    """channel.flow"""

    class_id: ClassVar[int] = 20
    method_id: ClassVar[int] = 20
    name: ClassVar[str] = "channel.flow"
    has_content: ClassVar[bool] = False

    active: bool = False

    def encode(self) -> bytes:
        bits = int(self.active)
        return _HHB.pack(20, 20, bits)

    @classmethod
    def decode(cls, data: bytes, offset: int) -> Self:
        try:
            (bits,) = _B.unpack_from(data, offset)
            offset += 1
        except StructError:
            raise _short("channel.flow") from None
        if offset != len(data):
            raise _trailing("channel.flow")
        active = bits & 1 != 0
        return cls(
            active,
        )


@dataclass(slots=True)
class ChannelFlowOk(Method):
    """channel.flow-ok"""

    class_id: ClassVar[int] = 20
    method_id: ClassVar[int] = 21
    name: ClassVar[str] = "channel.flow-ok"
    has_content: ClassVar[bool] = False

    active: bool = False

    def encode(self) -> bytes:
        bits = int(self.active)
        return _HHB.pack(20, 21, bits)

    @classmethod
    def decode(cls, data: bytes, offset: int) -> Self:
        try:
            (bits,) = _B.unpack_from(data, offset)
            offset += 1
        except StructError:
            raise _short("channel.flow-ok") from None
        if offset != len(data):
            raise _trailing("channel.flow-ok")
        active = bits & 1 != 0
        return cls(
            active,
        )


@dataclass(slots=True)
class ChannelClose(Method):
    """channel.close"""

    class_id: ClassVar[int] = 20
    method_id: ClassVar[int] = 40
    name: ClassVar[str] = "channel.close"
    has_content: ClassVar[bool] = False

    reply_code: int = 0
    reply_text: str = ""
    failing_class_id: int = 0
    failing_method_id: int = 0

    def encode(self) -> bytes:
        try:
            return b"".join(
                (
                    _HHH.pack(20, 40, self.reply_code),
                    encode_short_string(self.reply_text),
                    _HH.pack(self.failing_class_id, self.failing_method_id),
                )
            )
        except StructError:
            raise _unfit("channel.close") from None

    @classmethod
    def decode(cls, data: bytes, offset: int) -> Self:
        try:
            (reply_code,) = _H.unpack_from(data, offset)
            offset += 2
            reply_text, offset = decode_short_string(data, offset)
            failing_class_id, failing_method_id = _HH.unpack_from(data, offset)
            offset += 4
        except StructError:
            raise _short("channel.close") from None
        if offset != len(data):
            raise _trailing("channel.close")
        return cls(
            reply_code,
            reply_text,
            failing_class_id,
            failing_method_id,
        )


@dataclass(slots=True)
class ChannelCloseOk(Method):
    """channel.close-ok"""

    class_id: ClassVar[int] = 20
    method_id: ClassVar[int] = 41
    name: ClassVar[str] = "channel.close-ok"
    has_content: ClassVar[bool] = False

    def encode(self) -> bytes:
        return b"\x00\x14\x00\x29"

    @classmethod
    def decode(cls, data: bytes, offset: int) -> Self:
        if offset != len(data):
            raise _trailing("channel.close-ok")
        return cls()


@dataclass(slots=True)
class AccessRequest(Method):
    """access.request"""

    class_id: ClassVar[int] = 30
    method_id: ClassVar[int] = 10
    name: ClassVar[str] = "access.request"
    has_content: ClassVar[bool] = False

    realm: str = "/data"
    exclusive: bool = False
    passive: bool = True
    active: bool = True
    write: bool = True
    read: bool = True

    def encode(self) -> bytes:
        bits = int(self.exclusive)
        bits |= self.passive << 1
        bits |= self.active << 2
        bits |= self.write << 3
        bits |= self.read << 4
        return b"".join(
            (
                b"\x00\x1e\x00\x0a",
                encode_short_string(self.realm),
                _B.pack(bits),
            )
        )

    @classmethod
    def decode(cls, data: bytes, offset: int) -> Self:
        try:
            realm, offset = decode_short_string(data, offset)
            (bits,) = _B.unpack_from(data, offset)
            offset += 1
        except StructError:
            raise _short("access.request") from None
        if offset != len(data):
            raise _trailing("access.request")
        exclusive = bits & 1 != 0
        passive = bits & 2 != 0
        active = bits & 4 != 0
        write = bits & 8 != 0
        read = bits & 16 != 0
        return cls(
            realm,
            exclusive,
            passive,
            active,
            write,
            read,
        )


@dataclass(slots=True)
class AccessRequestOk(Method):
    """access.request-ok"""

    class_id: ClassVar[int] = 30
    method_id: ClassVar[int] = 11
    name: ClassVar[str] = "access.request-ok"
    has_content: ClassVar[bool] = False

    ticket: int = 1

    def encode(self) -> bytes:
        try:
            return _HHH.pack(30, 11, self.ticket)
        except StructError:
            raise _unfit("access.request-ok") from None

    @classmethod
    def decode(cls, data: bytes, offset: int) -> Self:
        try:
            (ticket,) = _H.unpack_from(data, offset)
            offset += 2
        except StructError:
            raise _short("access.request-ok") from None
        if offset != len(data):
            raise _trailing("access.request-ok")
        return cls(
            ticket,
        )


@dataclass(slots=True)
class ExchangeDeclare(Method):
    """exchange.declare"""

    class_id: ClassVar[int] = 40
    method_id: ClassVar[int] = 10
    name: ClassVar[str] = "exchange.declare"
    has_content: ClassVar[bool] = False

    reserved_1: int = 0
    exchange: str = ""
    type: str = "direct"
    passive: bool = False
    durable: bool = False
    auto_delete: bool = False
    internal: bool = False
    no_wait: bool = False
    arguments: dict[str, FieldValue] = field(default_factory=dict)

    def encode(self) -> bytes:
        bits = int(self.passive)
        bits |= self.durable << 1
        bits |= self.auto_delete << 2
        bits |= self.internal << 3
        bits |= self.no_wait << 4
        try:
            return b"".join(
                (
                    _HHH.pack(40, 10, self.reserved_1),
                    encode_short_string(self.exchange),
                    encode_short_string(self.type),
                    _B.pack(bits),
                    encode_table(self.arguments),
                )
            )
        except StructError:
            raise _unfit("exchange.declare") from None

    @classmethod
    def decode(cls, data: bytes, offset: int) -> Self:
        try:
            (reserved_1,) = _H.unpack_from(data, offset)
            offset += 2
            exchange, offset = decode_short_string(data, offset)
            type, offset = decode_short_string(data, offset)
            (bits,) = _B.unpack_from(data, offset)
            offset += 1
            arguments, offset = decode_table(data, offset)
        except StructError:
            raise _short("exchange.declare") from None
        if offset != len(data):
            raise _trailing("exchange.declare")
        passive = bits & 1 != 0
        durable = bits & 2 != 0
        auto_delete = bits & 4 != 0
        internal = bits & 8 != 0
        no_wait = bits & 16 != 0
        return cls(
            reserved_1,
            exchange,
            type,
            passive,
            durable,
            auto_delete,
            internal,
            no_wait,
            arguments,
        )


@dataclass(slots=True)
class ExchangeDeclareOk(Method):
    """exchange.declare-ok"""

    class_id: ClassVar[int] = 40
    method_id: ClassVar[int] = 11
    name: ClassVar[str] = "exchange.declare-ok"
    has_content: ClassVar[bool] = False

    def encode(self) -> bytes:
        return b"\x00\x28\x00\x0b"

    @classmethod
    def decode(cls, data: bytes, offset: int) -> Self:
        if offset != len(data):
            raise _trailing("exchange.declare-ok")
        return cls()


@dataclass(slots=True)
class ExchangeDelete(Method):
    """exchange.delete"""

    class_id: ClassVar[int] = 40
    method_id: ClassVar[int] = 20
    name: ClassVar[str] = "exchange.delete"
    has_content: ClassVar[bool] = False

    reserved_1: int = 0
    exchange: str = ""
    if_unused: bool = False
    no_wait: bool = False

    def encode(self) -> bytes:
        bits = int(self.if_unused)
        bits |= self.no_wait << 1
        try:
            return b"".join(
                (
                    _HHH.pack(40, 20, self.reserved_1),
                    encode_short_string(self.exchange),
                    _B.pack(bits),
                )
            )
        except StructError:
            raise _unfit("exchange.delete") from None

    @classmethod
    def decode(cls, data: bytes, offset: int) -> Self:
        try:
            (reserved_1,) = _H.unpack_from(data, offset)
            offset += 2
            exchange, offset = decode_short_string(data, offset)
            (bits,) = _B.unpack_from(data, offset)
            offset += 1
        except StructError:
            raise _short("exchange.delete") from None
        if offset != len(data):
            raise _trailing("exchange.delete")
        if_unused = bits & 1 != 0
        no_wait = bits & 2 != 0
        return cls(
            reserved_1,
            exchange,
            if_unused,
            no_wait,
        )


@dataclass(slots=True)
class ExchangeDeleteOk(Method):
    """exchange.delete-ok"""

    class_id: ClassVar[int] = 40
    method_id: ClassVar[int] = 21
    name: ClassVar[str] = "exchange.delete-ok"
    has_content: ClassVar[bool] = False

    def encode(self) -> bytes:
        return b"\x00\x28\x00\x15"

    @classmethod
    def decode(cls, data: bytes, offset: int) -> Self:
        if offset != len(data):
            raise _trailing("exchange.delete-ok")
        return cls()


@dataclass(slots=True)
class ExchangeBind(Method):
    """exchange.bind"""

    class_id: ClassVar[int] = 40
    method_id: ClassVar[int] = 30
    name: ClassVar[str] = "exchange.bind"
    has_content: ClassVar[bool] = False

    reserved_1: int = 0
    destination: str = ""
    source: str = ""
    routing_key: str = ""
    no_wait: bool = False
    arguments: dict[str, FieldValue] = field(default_factory=dict)

    def encode(self) -> bytes:
        bits = int(self.no_wait)
        try:
            return b"".join(
                (
                    _HHH.pack(40, 30, self.reserved_1),
                    encode_short_string(self.destination),
                    encode_short_string(self.source),
                    encode_short_string(self.routing_key),
                    _B.pack(bits),
                    encode_table(self.arguments),
                )
            )
        except StructError:
            raise _unfit("exchange.bind") from None

    @classmethod
    def decode(cls, data: bytes, offset: int) -> Self:
        try:
            (reserved_1,) = _H.unpack_from(data, offset)
            offset += 2
            destination, offset = decode_short_string(data, offset)
            source, offset = decode_short_string(data, offset)
            routing_key, offset = decode_short_string(data, offset)
            (bits,) = _B.unpack_from(data, offset)
            offset += 1
            arguments, offset = decode_table(data, offset)
        except StructError:
            raise _short("exchange.bind") from None
        if offset != len(data):
            raise _trailing("exchange.bind")
        no_wait = bits & 1 != 0
        return cls(
            reserved_1,
            destination,
            source,
            routing_key,
            no_wait,
            arguments,
        )


@dataclass(slots=True)
class ExchangeBindOk(Method):
    """exchange.bind-ok"""

    class_id: ClassVar[int] = 40
    method_id: ClassVar[int] = 31
    name: ClassVar[str] = "exchange.bind-ok"
    has_content: ClassVar[bool] = False

    def encode(self) -> bytes:
        return b"\x00\x28\x00\x1f"

    @classmethod
    def decode(cls, data: bytes, offset: int) -> Self:
        if offset != len(data):
            raise _trailing("exchange.bind-ok")
        return cls()


@dataclass(slots=True)
class ExchangeUnbind(Method):
    """exchange.unbind"""

    class_id: ClassVar[int] = 40
    method_id: ClassVar[int] = 40
    name: ClassVar[str] = "exchange.unbind"
    has_content: ClassVar[bool] = False

    reserved_1: int = 0
    destination: str = ""
    source: str = ""
    routing_key: str = ""
    no_wait: bool = False
    arguments: dict[str, FieldValue] = field(default_factory=dict)

    def encode(self) -> bytes:
        bits = int(self.no_wait)
        try:
            return b"".join(
                (
                    _HHH.pack(40, 40, self.reserved_1),
                    encode_short_string(self.destination),
                    encode_short_string(self.source),
                    encode_short_string(self.routing_key),
                    _B.pack(bits),
                    encode_table(self.arguments),
                )
            )
        except StructError:
            raise _unfit("exchange.unbind") from None

    @classmethod
    def decode(cls, data: bytes, offset: int) -> Self:
        try:
            (reserved_1,) = _H.unpack_from(data, offset)
            offset += 2
            destination, offset = decode_short_string(data, offset)
            source, offset = decode_short_string(data, offset)
            routing_key, offset = decode_short_string(data, offset)
            (bits,) = _B.unpack_from(data, offset)
            offset += 1
            arguments, offset = decode_table(data, offset)
        except StructError:
            raise _short("exchange.unbind") from None
        if offset != len(data):
            raise _trailing("exchange.unbind")
        no_wait = bits & 1 != 0
        return cls(
            reserved_1,
            destination,
            source,
            routing_key,
            no_wait,
            arguments,
        )


@dataclass(slots=True)
class ExchangeUnbindOk(Method):
    """exchange.unbind-ok"""

    class_id: ClassVar[int] = 40
    method_id: ClassVar[int] = 51
    name: ClassVar[str] = "exchange.unbind-ok"
    has_content: ClassVar[bool] = False

    def encode(self) -> bytes:
        return b"\x00\x28\x00\x33"

    @classmethod
    def decode(cls, data: bytes, offset: int) -> Self:
        if offset != len(data):
            raise _trailing("exchange.unbind-ok")
        return cls()


@dataclass(slots=True)
class QueueDeclare(Method):
    """queue.declare"""

    class_id: ClassVar[int] = 50
    method_id: ClassVar[int] = 10
    name: ClassVar[str] = "queue.declare"
    has_content: ClassVar[bool] = False

    reserved_1: int = 0
    queue: str = ""
    passive: bool = False
    durable: bool = False
    exclusive: bool = False
    auto_delete: bool = False
    no_wait: bool = False
    arguments: dict[str, FieldValue] = field(default_factory=dict)

    def encode(self) -> bytes:
        bits = int(self.passive)
        bits |= self.durable << 1
        bits |= self.exclusive << 2
        bits |= self.auto_delete << 3
        bits |= self.no_wait << 4
        try:
            return b"".join(
                (
                    _HHH.pack(50, 10, self.reserved_1),
                    encode_short_string(self.queue),
                    _B.pack(bits),
                    encode_table(self.arguments),
                )
            )
        except StructError:
            raise _unfit("queue.declare") from None

    @classmethod
    def decode(cls, data: bytes, offset: int) -> Self:
        try:
            (reserved_1,) = _H.unpack_from(data, offset)
            offset += 2
            queue, offset = decode_short_string(data, offset)
            (bits,) = _B.unpack_from(data, offset)
            offset += 1
            arguments, offset = decode_table(data, offset)
        except StructError:
            raise _short("queue.declare") from None
        if offset != len(data):
            raise _trailing("queue.declare")
        passive = bits & 1 != 0
        durable = bits & 2 != 0
        exclusive = bits & 4 != 0
        auto_delete = bits & 8 != 0
        no_wait = bits & 16 != 0
        return cls(
            reserved_1,
            queue,
            passive,
            durable,
            exclusive,
            auto_delete,
            no_wait,
            arguments,
        )


@dataclass(slots=True)
class QueueDeclareOk(Method):
    """queue.declare-ok"""

    class_id: ClassVar[int] = 50
    method_id: ClassVar[int] = 11
    name: ClassVar[str] = "queue.declare-ok"
    has_content: ClassVar[bool] = False

    queue: str = ""
    message_count: int = 0
    consumer_count: int = 0

    def encode(self) -> bytes:
        try:
            return b"".join(
                (
                    b"\x00\x32\x00\x0b",
                    encode_short_string(self.queue),
                    _II.pack(self.message_count, self.consumer_count),
                )
            )
        except StructError:
            raise _unfit("queue.declare-ok") from None

    @classmethod
    def decode(cls, data: bytes, offset: int) -> Self:
        try:
            queue, offset = decode_short_string(data, offset)
            message_count, consumer_count = _II.unpack_from(data, offset)
            offset += 8
        except StructError:
            raise _short("queue.declare-ok") from None
        if offset != len(data):
            raise _trailing("queue.declare-ok")
        return cls(
            queue,
            message_count,
            consumer_count,
        )


@dataclass(slots=True)
class QueueBind(Method):
    """queue.bind"""

    class_id: ClassVar[int] = 50
    method_id: ClassVar[int] = 20
    name: ClassVar[str] = "queue.bind"
    has_content: ClassVar[bool] = False

    reserved_1: int = 0
    queue: str = ""
    exchange: str = ""
    routing_key: str = ""
    no_wait: bool = False
    arguments: dict[str, FieldValue] = field(default_factory=dict)

    def encode(self) -> bytes:
        bits = int(self.no_wait)
        try:
            return b"".join(
                (
                    _HHH.pack(50, 20, self.reserved_1),
                    encode_short_string(self.queue),
                    encode_short_string(self.exchange),
                    encode_short_string(self.routing_key),
                    _B.pack(bits),
                    encode_table(self.arguments),
                )
            )
        except StructError:
            raise _unfit("queue.bind") from None

    @classmethod
    def decode(cls, data: bytes, offset: int) -> Self:
        try:
            (reserved_1,) = _H.unpack_from(data, offset)
            offset += 2
            queue, offset = decode_short_string(data, offset)
            exchange, offset = decode_short_string(data, offset)
            routing_key, offset = decode_short_string(data, offset)
            (bits,) = _B.unpack_from(data, offset)
            offset += 1
            arguments, offset = decode_table(data, offset)
        except StructError:
            raise _short("queue.bind") from None
        if offset != len(data):
            raise _trailing("queue.bind")
        no_wait = bits & 1 != 0
        return cls(
            reserved_1,
            queue,
            exchange,
            routing_key,
            no_wait,
            arguments,
        )


@dataclass(slots=True)
class QueueBindOk(Method):
    """queue.bind-ok"""

    class_id: ClassVar[int] = 50
    method_id: ClassVar[int] = 21
    name: ClassVar[str] = "queue.bind-ok"
    has_content: ClassVar[bool] = False

    def encode(self) -> bytes:
        return b"\x00\x32\x00\x15"

    @classmethod
    def decode(cls, data: bytes, offset: int) -> Self:
        if offset != len(data):
            raise _trailing("queue.bind-ok")
        return cls()


@dataclass(slots=True)
class QueuePurge(Method):
    """queue.purge"""

    class_id: ClassVar[int] = 50
    method_id: ClassVar[int] = 30
    name: ClassVar[str] = "queue.purge"
    has_content: ClassVar[bool] = False

    reserved_1: int = 0
    queue: str = ""
    no_wait: bool = False

    def encode(self) -> bytes:
        bits = int(self.no_wait)
        try:
            return b"".join(
                (
                    _HHH.pack(50, 30, self.reserved_1),
                    encode_short_string(self.queue),
                    _B.pack(bits),
                )
            )
        except StructError:
            raise _unfit("queue.purge") from None

    @classmethod
    def decode(cls, data: bytes, offset: int) -> Self:
        try:
            (reserved_1,) = _H.unpack_from(data, offset)
            offset += 2
            queue, offset = decode_short_string(data, offset)
            (bits,) = _B.unpack_from(data, offset)
            offset += 1
        except StructError:
            raise _short("queue.purge") from None
        if offset != len(data):
            raise _trailing("queue.purge")
        no_wait = bits & 1 != 0
        return cls(
            reserved_1,
            queue,
            no_wait,
        )


@dataclass(slots=True)
class QueuePurgeOk(Method):
    """queue.purge-ok"""

    class_id: ClassVar[int] = 50
    method_id: ClassVar[int] = 31
    name: ClassVar[str] = "queue.purge-ok"
    has_content: ClassVar[bool] = False

    message_count: int = 0

    def encode(self) -> bytes:
        try:
            return _HHI.pack(50, 31, self.message_count)
        except StructError:
            raise _unfit("queue.purge-ok") from None

    @classmethod
    def decode(cls, data: bytes, offset: int) -> Self:
        try:
            (message_count,) = _I.unpack_from(data, offset)
            offset += 4
        except StructError:
            raise _short("queue.purge-ok") from None
        if offset != len(data):
            raise _trailing("queue.purge-ok")
        return cls(
            message_count,
        )


@dataclass(slots=True)
class QueueDelete(Method):
    """queue.delete"""

    class_id: ClassVar[int] = 50
    method_id: ClassVar[int] = 40
    name: ClassVar[str] = "queue.delete"
    has_content: ClassVar[bool] = False

    reserved_1: int = 0
    queue: str = ""
    if_unused: bool = False
    if_empty: bool = False
    no_wait: bool = False

    def encode(self) -> bytes:
        bits = int(self.if_unused)
        bits |= self.if_empty << 1
        bits |= self.no_wait << 2
        try:
            return b"".join(
                (
                    _HHH.pack(50, 40, self.reserved_1),
                    encode_short_string(self.queue),
                    _B.pack(bits),
                )
            )
        except StructError:
            raise _unfit("queue.delete") from None

    @classmethod
    def decode(cls, data: bytes, offset: int) -> Self:
        try:
            (reserved_1,) = _H.unpack_from(data, offset)
            offset += 2
            queue, offset = decode_short_string(data, offset)
            (bits,) = _B.unpack_from(data, offset)
            offset += 1
        except StructError:
            raise _short("queue.delete") from None
        if offset != len(data):
            raise _trailing("queue.delete")
        if_unused = bits & 1 != 0
        if_empty = bits & 2 != 0
        no_wait = bits & 4 != 0
        return cls(
            reserved_1,
            queue,
            if_unused,
            if_empty,
            no_wait,
        )


@dataclass(slots=True)
class QueueDeleteOk(Method):
    """queue.delete-ok"""

    class_id: ClassVar[int] = 50
    method_id: ClassVar[int] = 41
    name: ClassVar[str] = "queue.delete-ok"
    has_content: ClassVar[bool] = False

    message_count: int = 0

    def encode(self) -> bytes:
        try:
            return _HHI.pack(50, 41, self.message_count)
        except StructError:
            raise _unfit("queue.delete-ok") from None

    @classmethod
    def decode(cls, data: bytes, offset: int) -> Self:
        try:
            (message_count,) = _I.unpack_from(data, offset)
            offset += 4
        except StructError:
            raise _short("queue.delete-ok") from None
        if offset != len(data):
            raise _trailing("queue.delete-ok")
        return cls(
            message_count,
        )


@dataclass(slots=True)
class QueueUnbind(Method):
    """queue.unbind"""

    class_id: ClassVar[int] = 50
    method_id: ClassVar[int] = 50
    name: ClassVar[str] = "queue.unbind"
    has_content: ClassVar[bool] = False

    reserved_1: int = 0
    queue: str = ""
    exchange: str = ""
    routing_key: str = ""
    arguments: dict[str, FieldValue] = field(default_factory=dict)

    def encode(self) -> bytes:
        try:
            return b"".join(
                (
                    _HHH.pack(50, 50, self.reserved_1),
                    encode_short_string(self.queue),
                    encode_short_string(self.exchange),
                    encode_short_string(self.routing_key),
                    encode_table(self.arguments),
                )
            )
        except StructError:
            raise _unfit("queue.unbind") from None

    @classmethod
    def decode(cls, data: bytes, offset: int) -> Self:
        try:
            (reserved_1,) = _H.unpack_from(data, offset)
            offset += 2
            queue, offset = decode_short_string(data, offset)
            exchange, offset = decode_short_string(data, offset)
            routing_key, offset = decode_short_string(data, offset)
            arguments, offset = decode_table(data, offset)
        except StructError:
            raise _short("queue.unbind") from None
        if offset != len(data):
            raise _trailing("queue.unbind")
        return cls(
            reserved_1,
            queue,
            exchange,
            routing_key,
            arguments,
        )


@dataclass(slots=True)
class QueueUnbindOk(Method):
    """queue.unbind-ok"""

    class_id: ClassVar[int] = 50
    method_id: ClassVar[int] = 51
    name: ClassVar[str] = "queue.unbind-ok"
    has_content: ClassVar[bool] = False

    def encode(self) -> bytes:
        return b"\x00\x32\x00\x33"

    @classmethod
    def decode(cls, data: bytes, offset: int) -> Self:
        if offset != len(data):
            raise _trailing("queue.unbind-ok")
        return cls()


@dataclass(slots=True)
class BasicQos(Method):
    """basic.qos"""

    class_id: ClassVar[int] = 60
    method_id: ClassVar[int] = 10
    name: ClassVar[str] = "basic.qos"
    has_content: ClassVar[bool] = False

    prefetch_size: int = 0
    prefetch_count: int = 0
    global_: bool = False

    def encode(self) -> bytes:
        bits = int(self.global_)
        try:
            return _HHIHB.pack(60, 10, self.prefetch_size, self.prefetch_count, bits)
        except StructError:
            raise _unfit("basic.qos") from None

    @classmethod
    def decode(cls, data: bytes, offset: int) -> Self:
        try:
            prefetch_size, prefetch_count, bits = _IHB.unpack_from(data, offset)
            offset += 7
        except StructError:
            raise _short("basic.qos") from None
        if offset != len(data):
            raise _trailing("basic.qos")
        global_ = bits & 1 != 0
        return cls(
            prefetch_size,
            prefetch_count,
            global_,
        )


@dataclass(slots=True)
class BasicQosOk(Method):
    """basic.qos-ok"""

    class_id: ClassVar[int] = 60
    method_id: ClassVar[int] = 11
    name: ClassVar[str] = "basic.qos-ok"
    has_content: ClassVar[bool] = False

    def encode(self) -> bytes:
        return b"\x00\x3c\x00\x0b"

    @classmethod
    def decode(cls, data: bytes, offset: int) -> Self:
        if offset != len(data):
            raise _trailing("basic.qos-ok")
        return cls()


@dataclass(slots=True)
class BasicConsume(Method):
    """basic.consume"""

    class_id: ClassVar[int] = 60
    method_id: ClassVar[int] = 20
    name: ClassVar[str] = "basic.consume"
    has_content: ClassVar[bool] = False

    reserved_1: int = 0
    queue: str = ""
    consumer_tag: str = ""
    no_local: bool = False
    no_ack: bool = False
    exclusive: bool = False
    no_wait: bool = False
    arguments: dict[str, FieldValue] = field(default_factory=dict)

    def encode(self) -> bytes:
        bits = int(self.no_local)
        bits |= self.no_ack << 1
        bits |= self.exclusive << 2
        bits |= self.no_wait << 3
        try:
            return b"".join(
                (
                    _HHH.pack(60, 20, self.reserved_1),
                    encode_short_string(self.queue),
                    encode_short_string(self.consumer_tag),
                    _B.pack(bits),
                    encode_table(self.arguments),
                )
            )
        except StructError:
            raise _unfit("basic.consume") from None

    @classmethod
    def decode(cls, data: bytes, offset: int) -> Self:
        try:
            (reserved_1,) = _H.unpack_from(data, offset)
            offset += 2
            queue, offset = decode_short_string(data, offset)
            consumer_tag, offset = decode_short_string(data, offset)
            (bits,) = _B.unpack_from(data, offset)
            offset += 1
            arguments, offset = decode_table(data, offset)
        except StructError:
            raise _short("basic.consume") from None
        if offset != len(data):
            raise _trailing("basic.consume")
        no_local = bits & 1 != 0
        no_ack = bits & 2 != 0
        exclusive = bits & 4 != 0
        no_wait = bits & 8 != 0
        return cls(
            reserved_1,
            queue,
            consumer_tag,
            no_local,
            no_ack,
            exclusive,
            no_wait,
            arguments,
        )


@dataclass(slots=True)
class BasicConsumeOk(Method):
    """basic.consume-ok"""

    class_id: ClassVar[int] = 60
    method_id: ClassVar[int] = 21
    name: ClassVar[str] = "basic.consume-ok"
    has_content: ClassVar[bool] = False

    consumer_tag: str = ""

    def encode(self) -> bytes:
        return b"".join(
            (
                b"\x00\x3c\x00\x15",
                encode_short_string(self.consumer_tag),
            )
        )

    @classmethod
    def decode(cls, data: bytes, offset: int) -> Self:
        consumer_tag, offset = decode_short_string(data, offset)
        if offset != len(data):
            raise _trailing("basic.consume-ok")
        return cls(
            consumer_tag,
        )


@dataclass(slots=True)
class BasicCancel(Method):
    """basic.cancel"""

    class_id: ClassVar[int] = 60
    method_id: ClassVar[int] = 30
    name: ClassVar[str] = "basic.cancel"
    has_content: ClassVar[bool] = False

    consumer_tag: str = ""
    no_wait: bool = False

    def encode(self) -> bytes:
        bits = int(self.no_wait)
        return b"".join(
            (
                b"\x00\x3c\x00\x1e",
                encode_short_string(self.consumer_tag),
                _B.pack(bits),
            )
        )

    @classmethod
    def decode(cls, data: bytes, offset: int) -> Self:
        try:
            consumer_tag, offset = decode_short_string(data, offset)
            (bits,) = _B.unpack_from(data, offset)
            offset += 1
        except StructError:
            raise _short("basic.cancel") from None
        if offset != len(data):
            raise _trailing("basic.cancel")
        no_wait = bits & 1 != 0
        return cls(
            consumer_tag,
            no_wait,
        )


@dataclass(slots=True)
class BasicCancelOk(Method):
    """basic.cancel-ok"""

    class_id: ClassVar[int] = 60
    method_id: ClassVar[int] = 31
    name: ClassVar[str] = "basic.cancel-ok"
    has_content: ClassVar[bool] = False

    consumer_tag: str = ""

    def encode(self) -> bytes:
        return b"".join(
            (
                b"\x00\x3c\x00\x1f",
                encode_short_string(self.consumer_tag),
            )
        )

    @classmethod
    def decode(cls, data: bytes, offset: int) -> Self:
        consumer_tag, offset = decode_short_string(data, offset)
        if offset != len(data):
            raise _trailing("basic.cancel-ok")
        return cls(
            consumer_tag,
        )


@dataclass(slots=True)
class BasicPublish(Method):
    """basic.publish"""

    class_id: ClassVar[int] = 60
    method_id: ClassVar[int] = 40
    name: ClassVar[str] = "basic.publish"
    has_content: ClassVar[bool] = True

    reserved_1: int = 0
    exchange: str = ""
    routing_key: str = ""
    mandatory: bool = False
    immediate: bool = False

    def encode(self) -> bytes:
        bits = int(self.mandatory)
        bits |= self.immediate << 1
        try:
            return b"".join(
                (
                    _HHH.pack(60, 40, self.reserved_1),
                    encode_short_string(self.exchange),
                    encode_short_string(self.routing_key),
                    _B.pack(bits),
                )
            )
        except StructError:
            raise _unfit("basic.publish") from None

    @classmethod
    def decode(cls, data: bytes, offset: int) -> Self:
        try:
            (reserved_1,) = _H.unpack_from(data, offset)
            offset += 2
            exchange, offset = decode_short_string(data, offset)
            routing_key, offset = decode_short_string(data, offset)
            (bits,) = _B.unpack_from(data, offset)
            offset += 1
        except StructError:
            raise _short("basic.publish") from None
        if offset != len(data):
            raise _trailing("basic.publish")
        mandatory = bits & 1 != 0
        immediate = bits & 2 != 0
        return cls(
            reserved_1,
            exchange,
            routing_key,
            mandatory,
            immediate,
        )


@dataclass(slots=True)
class BasicReturn(Method):
    """basic.return"""

    class_id: ClassVar[int] = 60
    method_id: ClassVar[int] = 50
    name: ClassVar[str] = "basic.return"
    has_content: ClassVar[bool] = True

    reply_code: int = 0
    reply_text: str = ""
    exchange: str = ""
    routing_key: str = ""

    def encode(self) -> bytes:
        try:
            return b"".join(
                (
                    _HHH.pack(60, 50, self.reply_code),
                    encode_short_string(self.reply_text),
                    encode_short_string(self.exchange),
                    encode_short_string(self.routing_key),
                )
            )
        except StructError:
            raise _unfit("basic.return") from None

    @classmethod
    def decode(cls, data: bytes, offset: int) -> Self:
        try:
            (reply_code,) = _H.unpack_from(data, offset)
            offset += 2
            reply_text, offset = decode_short_string(data, offset)
            exchange, offset = decode_short_string(data, offset)
            routing_key, offset = decode_short_string(data, offset)
        except StructError:
            raise _short("basic.return") from None
        if offset != len(data):
            raise _trailing("basic.return")
        return cls(
            reply_code,
            reply_text,
            exchange,
            routing_key,
        )


@dataclass(slots=True)
class BasicDeliver(Method):
    """basic.deliver"""

    class_id: ClassVar[int] = 60
    method_id: ClassVar[int] = 60
    name: ClassVar[str] = "basic.deliver"
    has_content: ClassVar[bool] = True

    consumer_tag: str = ""
    delivery_tag: int = 0
    redelivered: bool = False
    exchange: str = ""
    routing_key: str = ""

    def encode(self) -> bytes:
        bits = int(self.redelivered)
        try:
            return b"".join(
                (
                    b"\x00\x3c\x00\x3c",
                    encode_short_string(self.consumer_tag),
                    _QB.pack(self.delivery_tag, bits),
                    encode_short_string(self.exchange),
                    encode_short_string(self.routing_key),
                )
            )
        except StructError:
            raise _unfit("basic.deliver") from None

    @classmethod
    def decode(cls, data: bytes, offset: int) -> Self:
        try:
            consumer_tag, offset = decode_short_string(data, offset)
            delivery_tag, bits = _QB.unpack_from(data, offset)
            offset += 9
            exchange, offset = decode_short_string(data, offset)
            routing_key, offset = decode_short_string(data, offset)
        except StructError:
            raise _short("basic.deliver") from None
        if offset != len(data):
            raise _trailing("basic.deliver")
        redelivered = bits & 1 != 0
        return cls(
            consumer_tag,
            delivery_tag,
            redelivered,
            exchange,
            routing_key,
        )


@dataclass(slots=True)
class BasicGet(Method):
    """basic.get"""

    class_id: ClassVar[int] = 60
    method_id: ClassVar[int] = 70
    name: ClassVar[str] = "basic.get"
    has_content: ClassVar[bool] = False

    reserved_1: int = 0
    queue: str = ""
    no_ack: bool = False

    def encode(self) -> bytes:
        bits = int(self.no_ack)
        try:
            return b"".join(
                (
                    _HHH.pack(60, 70, self.reserved_1),
                    encode_short_string(self.queue),
                    _B.pack(bits),
                )
            )
        except StructError:
            raise _unfit("basic.get") from None

    @classmethod
    def decode(cls, data: bytes, offset: int) -> Self:
        try:
            (reserved_1,) = _H.unpack_from(data, offset)
            offset += 2
            queue, offset = decode_short_string(data, offset)
            (bits,) = _B.unpack_from(data, offset)
            offset += 1
        except StructError:
            raise _short("basic.get") from None
        if offset != len(data):
            raise _trailing("basic.get")
        no_ack = bits & 1 != 0
        return cls(
            reserved_1,
            queue,
            no_ack,
        )


@dataclass(slots=True)
class BasicGetOk(Method):
    """basic.get-ok"""

    class_id: ClassVar[int] = 60
    method_id: ClassVar[int] = 71
    name: ClassVar[str] = "basic.get-ok"
    has_content: ClassVar[bool] = True

    delivery_tag: int = 0
    redelivered: bool = False
    exchange: str = ""
    routing_key: str = ""
    message_count: int = 0

    def encode(self) -> bytes:
        bits = int(self.redelivered)
        try:
            return b"".join(
                (
                    _HHQB.pack(60, 71, self.delivery_tag, bits),
                    encode_short_string(self.exchange),
                    encode_short_string(self.routing_key),
                    _I.pack(self.message_count),
                )
            )
        except StructError:
            raise _unfit("basic.get-ok") from None

    @classmethod
    def decode(cls, data: bytes, offset: int) -> Self:
        try:
            delivery_tag, bits = _QB.unpack_from(data, offset)
            offset += 9
            exchange, offset = decode_short_string(data, offset)
            routing_key, offset = decode_short_string(data, offset)
            (message_count,) = _I.unpack_from(data, offset)
            offset += 4
        except StructError:
            raise _short("basic.get-ok") from None
        if offset != len(data):
            raise _trailing("basic.get-ok")
        redelivered = bits & 1 != 0
        return cls(
            delivery_tag,
            redelivered,
            exchange,
            routing_key,
            message_count,
        )


@dataclass(slots=True)
class BasicGetEmpty(Method):
    """basic.get-empty"""

    class_id: ClassVar[int] = 60
    method_id: ClassVar[int] = 72
    name: ClassVar[str] = "basic.get-empty"
    has_content: ClassVar[bool] = False

    reserved_1: str = ""

    def encode(self) -> bytes:
        return b"".join(
            (
                b"\x00\x3c\x00\x48",
                encode_short_string(self.reserved_1),
            )
        )

    @classmethod
    def decode(cls, data: bytes, offset: int) -> Self:
        reserved_1, offset = decode_short_string(data, offset)
        if offset != len(data):
            raise _trailing("basic.get-empty")
        return cls(
            reserved_1,
        )


@dataclass(slots=True)
class BasicAck(Method):
    """basic.ack"""

    class_id: ClassVar[int] = 60
    method_id: ClassVar[int] = 80
    name: ClassVar[str] = "basic.ack"
    has_content: ClassVar[bool] = False

    delivery_tag: int = 0
    multiple: bool = False

    def encode(self) -> bytes:
        bits = int(self.multiple)
        try:
            return _HHQB.pack(60, 80, self.delivery_tag, bits)
        except StructError:
            raise _unfit("basic.ack") from None

    @classmethod
    def decode(cls, data: bytes, offset: int) -> Self:
        try:
            delivery_tag, bits = _QB.unpack_from(data, offset)
            offset += 9
        except StructError:
            raise _short("basic.ack") from None
        if offset != len(data):
            raise _trailing("basic.ack")
        multiple = bits & 1 != 0
        return cls(
            delivery_tag,
            multiple,
        )


@dataclass(slots=True)
class BasicReject(Method):
    """basic.reject"""

    class_id: ClassVar[int] = 60
    method_id: ClassVar[int] = 90
    name: ClassVar[str] = "basic.reject"
    has_content: ClassVar[bool] = False

    delivery_tag: int = 0
    requeue: bool = True

    def encode(self) -> bytes:
        bits = int(self.requeue)
        try:
            return _HHQB.pack(60, 90, self.delivery_tag, bits)
        except StructError:
            raise _unfit("basic.reject") from None

    @classmethod
    def decode(cls, data: bytes, offset: int) -> Self:
        try:
            delivery_tag, bits = _QB.unpack_from(data, offset)
            offset += 9
        except StructError:
            raise _short("basic.reject") from None
        if offset != len(data):
            raise _trailing("basic.reject")
        requeue = bits & 1 != 0
        return cls(
            delivery_tag,
            requeue,
        )


@dataclass(slots=True)
class BasicRecoverAsync(Method):
    """basic.recover-async"""

    class_id: ClassVar[int] = 60
    method_id: ClassVar[int] = 100
    name: ClassVar[str] = "basic.recover-async"
    has_content: ClassVar[bool] = False

    requeue: bool = False

    def encode(self) -> bytes:
        bits = int(self.requeue)
        return _HHB.pack(60, 100, bits)

    @classmethod
    def decode(cls, data: bytes, offset: int) -> Self:
        try:
            (bits,) = _B.unpack_from(data, offset)
            offset += 1
        except StructError:
            raise _short("basic.recover-async") from None
        if offset != len(data):
            raise _trailing("basic.recover-async")
        requeue = bits & 1 != 0
        return cls(
            requeue,
        )


@dataclass(slots=True)
class BasicRecover(Method):
    """basic.recover"""

    class_id: ClassVar[int] = 60
    method_id: ClassVar[int] = 110
    name: ClassVar[str] = "basic.recover"
    has_content: ClassVar[bool] = False

    requeue: bool = False

    def encode(self) -> bytes:
        bits = int(self.requeue)
        return _HHB.pack(60, 110, bits)

    @classmethod
    def decode(cls, data: bytes, offset: int) -> Self:
        try:
            (bits,) = _B.unpack_from(data, offset)
            offset += 1
        except StructError:
            raise _short("basic.recover") from None
        if offset != len(data):
            raise _trailing("basic.recover")
        requeue = bits & 1 != 0
        return cls(
            requeue,
        )


@dataclass(slots=True)
class BasicRecoverOk(Method):
    """basic.recover-ok"""

    class_id: ClassVar[int] = 60
    method_id: ClassVar[int] = 111
    name: ClassVar[str] = "basic.recover-ok"
    has_content: ClassVar[bool] = False

    def encode(self) -> bytes:
        return b"\x00\x3c\x00\x6f"

    @classmethod
    def decode(cls, data: bytes, offset: int) -> Self:
        if offset != len(data):
            raise _trailing("basic.recover-ok")
        return cls()


@dataclass(slots=True)
class BasicNack(Method):
    """basic.nack"""

    class_id: ClassVar[int] = 60
    method_id: ClassVar[int] = 120
    name: ClassVar[str] = "basic.nack"
    has_content: ClassVar[bool] = False

    delivery_tag: int = 0
    multiple: bool = False
    requeue: bool = True

    def encode(self) -> bytes:
        bits = int(self.multiple)
        bits |= self.requeue << 1
        try:
            return _HHQB.pack(60, 120, self.delivery_tag, bits)
        except StructError:
            raise _unfit("basic.nack") from None

    @classmethod
    def decode(cls, data: bytes, offset: int) -> Self:
        try:
            delivery_tag, bits = _QB.unpack_from(data, offset)
            offset += 9
        except StructError:
            raise _short("basic.nack") from None
        if offset != len(data):
            raise _trailing("basic.nack")
        multiple = bits & 1 != 0
        requeue = bits & 2 != 0
        return cls(
            delivery_tag,
            multiple,
            requeue,
        )


@dataclass(slots=True)
class ConfirmSelect(Method):
    """confirm.select"""

    class_id: ClassVar[int] = 85
    method_id: ClassVar[int] = 10
    name: ClassVar[str] = "confirm.select"
    has_content: ClassVar[bool] = False

    no_wait: bool = False

    def encode(self) -> bytes:
        bits = int(self.no_wait)
        return _HHB.pack(85, 10, bits)

    @classmethod
    def decode(cls, data: bytes, offset: int) -> Self:
        try:
            (bits,) = _B.unpack_from(data, offset)
            offset += 1
        except StructError:
            raise _short("confirm.select") from None
        if offset != len(data):
            raise _trailing("confirm.select")
        no_wait = bits & 1 != 0
        return cls(
            no_wait,
        )


@dataclass(slots=True)
class ConfirmSelectOk(Method):
    """confirm.select-ok"""

    class_id: ClassVar[int] = 85
    method_id: ClassVar[int] = 11
    name: ClassVar[str] = "confirm.select-ok"
    has_content: ClassVar[bool] = False

    def encode(self) -> bytes:
        return b"\x00\x55\x00\x0b"

    @classmethod
    def decode(cls, data: bytes, offset: int) -> Self:
        if offset != len(data):
            raise _trailing("confirm.select-ok")
        return cls()


@dataclass(slots=True)
class TxSelect(Method):
    """tx.select"""

    class_id: ClassVar[int] = 90
    method_id: ClassVar[int] = 10
    name: ClassVar[str] = "tx.select"
    has_content: ClassVar[bool] = False

    def encode(self) -> bytes:
        return b"\x00\x5a\x00\x0a"

    @classmethod
    def decode(cls, data: bytes, offset: int) -> Self:
        if offset != len(data):
            raise _trailing("tx.select")
        return cls()


@dataclass(slots=True)
class TxSelectOk(Method):
    """tx.select-ok"""

    class_id: ClassVar[int] = 90
    method_id: ClassVar[int] = 11
    name: ClassVar[str] = "tx.select-ok"
    has_content: ClassVar[bool] = False

    def encode(self) -> bytes:
        return b"\x00\x5a\x00\x0b"

    @classmethod
    def decode(cls, data: bytes, offset: int) -> Self:
        if offset != len(data):
            raise _trailing("tx.select-ok")
        return cls()


@dataclass(slots=True)
class TxCommit(Method):
    """tx.commit"""

    class_id: ClassVar[int] = 90
    method_id: ClassVar[int] = 20
    name: ClassVar[str] = "tx.commit"
    has_content: ClassVar[bool] = False

    def encode(self) -> bytes:
        return b"\x00\x5a\x00\x14"

    @classmethod
    def decode(cls, data: bytes, offset: int) -> Self:
        if offset != len(data):
            raise _trailing("tx.commit")
        return cls()


@dataclass(slots=True)
class TxCommitOk(Method):
    """tx.commit-ok"""

    class_id: ClassVar[int] = 90
    method_id: ClassVar[int] = 21
    name: ClassVar[str] = "tx.commit-ok"
    has_content: ClassVar[bool] = False

    def encode(self) -> bytes:
        return b"\x00\x5a\x00\x15"

    @classmethod
    def decode(cls, data: bytes, offset: int) -> Self:
        if offset != len(data):
            raise _trailing("tx.commit-ok")
        return cls()


@dataclass(slots=True)
class TxRollback(Method):
    """tx.rollback"""

    class_id: ClassVar[int] = 90
    method_id: ClassVar[int] = 30
    name: ClassVar[str] = "tx.rollback"
    has_content: ClassVar[bool] = False

    def encode(self) -> bytes:
        return b"\x00\x5a\x00\x1e"

    @classmethod
    def decode(cls, data: bytes, offset: int) -> Self:
        if offset != len(data):
            raise _trailing("tx.rollback")
        return cls()


@dataclass(slots=True)
class TxRollbackOk(Method):
    """tx.rollback-ok"""

    class_id: ClassVar[int] = 90
    method_id: ClassVar[int] = 31
    name: ClassVar[str] = "tx.rollback-ok"
    has_content: ClassVar[bool] = False

    def encode(self) -> bytes:
        return b"\x00\x5a\x00\x1f"

    @classmethod
    def decode(cls, data: bytes, offset: int) -> Self:
        if offset != len(data):
            raise _trailing("tx.rollback-ok")
        return cls()


@dataclass(slots=True)
class BasicProperties:
    """The properties of a message; None where the flag says absent.

    RabbitMQ ignores the flag bit that basic does not define, and so do we. Further flag words are
    refused, by it where they follow and by us where they are announced: basic has nothing in them.
    """

    content_type: str | None = None
    content_encoding: str | None = None
    headers: dict[str, FieldValue] | None = None
    delivery_mode: int | None = None
    priority: int | None = None
    correlation_id: str | None = None
    reply_to: str | None = None
    expiration: str | None = None
    message_id: str | None = None
    timestamp: int | None = None
    type: str | None = None
    user_id: str | None = None
    app_id: str | None = None
    cluster_id: str | None = None

    def encode(self) -> bytes:
        """Flags and values, as they stand in a content header."""
        try:
            flags = 0
            parts = [b""]
            if self.content_type is not None:
                flags |= 0x8000
                parts.append(encode_short_string(self.content_type))
            if self.content_encoding is not None:
                flags |= 0x4000
                parts.append(encode_short_string(self.content_encoding))
            if self.headers is not None:
                flags |= 0x2000
                parts.append(encode_table(self.headers))
            if self.delivery_mode is not None:
                flags |= 0x1000
                parts.append(_B.pack(self.delivery_mode))
            if self.priority is not None:
                flags |= 0x0800
                parts.append(_B.pack(self.priority))
            if self.correlation_id is not None:
                flags |= 0x0400
                parts.append(encode_short_string(self.correlation_id))
            if self.reply_to is not None:
                flags |= 0x0200
                parts.append(encode_short_string(self.reply_to))
            if self.expiration is not None:
                flags |= 0x0100
                parts.append(encode_short_string(self.expiration))
            if self.message_id is not None:
                flags |= 0x0080
                parts.append(encode_short_string(self.message_id))
            if self.timestamp is not None:
                flags |= 0x0040
                parts.append(_Q.pack(self.timestamp))
            if self.type is not None:
                flags |= 0x0020
                parts.append(encode_short_string(self.type))
            if self.user_id is not None:
                flags |= 0x0010
                parts.append(encode_short_string(self.user_id))
            if self.app_id is not None:
                flags |= 0x0008
                parts.append(encode_short_string(self.app_id))
            if self.cluster_id is not None:
                flags |= 0x0004
                parts.append(encode_short_string(self.cluster_id))
            parts[0] = _H.pack(flags)
            return b"".join(parts)
        except StructError:
            raise _unfit("the properties of basic") from None

    @classmethod
    def decode(cls, data: bytes, offset: int) -> tuple[BasicProperties, int]:
        """The properties at `offset` of `data`, and the offset behind them."""
        try:
            (flags,) = _H.unpack_from(data, offset)
            offset += 2
            if flags & 1:
                raise MalformedValue("further property flags, which basic does not have")
            properties = cls()
            if flags & 0x8000:
                properties.content_type, offset = decode_short_string(data, offset)
            if flags & 0x4000:
                properties.content_encoding, offset = decode_short_string(data, offset)
            if flags & 0x2000:
                properties.headers, offset = decode_table(data, offset)
            if flags & 0x1000:
                (properties.delivery_mode,) = _B.unpack_from(data, offset)
                offset += 1
            if flags & 0x0800:
                (properties.priority,) = _B.unpack_from(data, offset)
                offset += 1
            if flags & 0x0400:
                properties.correlation_id, offset = decode_short_string(data, offset)
            if flags & 0x0200:
                properties.reply_to, offset = decode_short_string(data, offset)
            if flags & 0x0100:
                properties.expiration, offset = decode_short_string(data, offset)
            if flags & 0x0080:
                properties.message_id, offset = decode_short_string(data, offset)
            if flags & 0x0040:
                (properties.timestamp,) = _Q.unpack_from(data, offset)
                offset += 8
            if flags & 0x0020:
                properties.type, offset = decode_short_string(data, offset)
            if flags & 0x0010:
                properties.user_id, offset = decode_short_string(data, offset)
            if flags & 0x0008:
                properties.app_id, offset = decode_short_string(data, offset)
            if flags & 0x0004:
                properties.cluster_id, offset = decode_short_string(data, offset)
        except StructError:
            raise _short("the properties of basic") from None
        return properties, offset


METHODS: dict[tuple[int, int], type[Method]] = {
    (10, 10): ConnectionStart,
    (10, 11): ConnectionStartOk,
    (10, 20): ConnectionSecure,
    (10, 21): ConnectionSecureOk,
    (10, 30): ConnectionTune,
    (10, 31): ConnectionTuneOk,
    (10, 40): ConnectionOpen,
    (10, 41): ConnectionOpenOk,
    (10, 50): ConnectionClose,
    (10, 51): ConnectionCloseOk,
    (10, 60): ConnectionBlocked,
    (10, 61): ConnectionUnblocked,
    (10, 70): ConnectionUpdateSecret,
    (10, 71): ConnectionUpdateSecretOk,
    (20, 10): ChannelOpen,
    (20, 11): ChannelOpenOk,
    (20, 20): ChannelFlow,
    (20, 21): ChannelFlowOk,
    (20, 40): ChannelClose,
    (20, 41): ChannelCloseOk,
    (30, 10): AccessRequest,
    (30, 11): AccessRequestOk,
    (40, 10): ExchangeDeclare,
    (40, 11): ExchangeDeclareOk,
    (40, 20): ExchangeDelete,
    (40, 21): ExchangeDeleteOk,
    (40, 30): ExchangeBind,
    (40, 31): ExchangeBindOk,
    (40, 40): ExchangeUnbind,
    (40, 51): ExchangeUnbindOk,
    (50, 10): QueueDeclare,
    (50, 11): QueueDeclareOk,
    (50, 20): QueueBind,
    (50, 21): QueueBindOk,
    (50, 30): QueuePurge,
    (50, 31): QueuePurgeOk,
    (50, 40): QueueDelete,
    (50, 41): QueueDeleteOk,
    (50, 50): QueueUnbind,
    (50, 51): QueueUnbindOk,
    (60, 10): BasicQos,
    (60, 11): BasicQosOk,
    (60, 20): BasicConsume,
    (60, 21): BasicConsumeOk,
    (60, 30): BasicCancel,
    (60, 31): BasicCancelOk,
    (60, 40): BasicPublish,
    (60, 50): BasicReturn,
    (60, 60): BasicDeliver,
    (60, 70): BasicGet,
    (60, 71): BasicGetOk,
    (60, 72): BasicGetEmpty,
    (60, 80): BasicAck,
    (60, 90): BasicReject,
    (60, 100): BasicRecoverAsync,
    (60, 110): BasicRecover,
    (60, 111): BasicRecoverOk,
    (60, 120): BasicNack,
    (85, 10): ConfirmSelect,
    (85, 11): ConfirmSelectOk,
    (90, 10): TxSelect,
    (90, 11): TxSelectOk,
    (90, 20): TxCommit,
    (90, 21): TxCommitOk,
    (90, 30): TxRollback,
    (90, 31): TxRollbackOk,
}
