"""A client that says exactly what it is told over a blocking socket and writes down what it hears.

Everything that comes is one line of a transcript, so that two brokers can be compared by comparing
two lists of text. Names that a broker makes up are replaced by a star. Nothing is judged here.
"""

from __future__ import annotations

import contextlib
import dataclasses
import re
import select
import socket
from collections import deque
from decimal import Decimal
from types import TracebackType
from typing import Any

from rabbitry.wire.content import ContentAssembler
from rabbitry.wire.frames import (
    PROTOCOL_HEADER,
    content_body,
    content_frames,
    content_properties,
    method_frame,
)
from rabbitry.wire.methods import (
    BasicAck,
    BasicNack,
    BasicProperties,
    BasicPublish,
    ChannelClose,
    ChannelCloseOk,
    ChannelOpen,
    ConnectionClose,
    ConnectionCloseOk,
    ConnectionOpen,
    ConnectionStartOk,
    ConnectionTuneOk,
    Method,
)
from rabbitry.wire.values import FieldValue, Timestamp

# Long enough for a busy machine; only a broker that says too little makes anybody wait.
PATIENCE_S = 20.0
_LINE_BREAK = re.compile(r"\\n +")  # Erlang breaks the lines of long terms in its texts
_MADE_UP = re.compile(r"amq\.(gen-|ctag-|rabbitmq\.reply-to\.)[A-Za-z0-9_+/=.-]+")
_BODY_SHOWN_MAX = 40


def shown(method: Method) -> str:
    """Return a method as a line: its name and its arguments, without the reserved ones."""
    fields = [
        f"{field.name.strip('_')}={getattr(method, field.name)!r}"
        for field in dataclasses.fields(method)  # type: ignore[arg-type]
        if not field.name.startswith("reserved")
    ]
    return _without_made_up(_LINE_BREAK.sub("", " ".join([method.name, *fields])))


def _without_made_up(text: str) -> str:
    return _MADE_UP.sub(r"amq.\1*", text)


def shown_value(value: object, name: str = "") -> str:
    """Return a field value as text that tells its AMQP type; the times of x-death are a star."""
    if name == "time" and isinstance(value, Timestamp):
        return "Timestamp(*)"
    if isinstance(value, dict):
        fields = [f"{key!r}: {shown_value(one, key)}" for key, one in value.items()]
        return "{" + ", ".join(fields) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(shown_value(one) for one in value) + "]"
    plain = type(value) in (bool, int, float, str, bytes, type(None), Decimal)
    return repr(value) if plain else f"{type(value).__name__}({value!r})"


def shown_content(content: bytes) -> str:
    """Return a content as the end of a line: its properties, if any, and its body."""
    body, encoded = content_body(content), content_properties(content)
    parts = [repr(body) if len(body) <= _BODY_SHOWN_MAX else f"{len(body)} bytes"]
    properties, _ = BasicProperties.decode(encoded, 0)
    for field in dataclasses.fields(properties):
        value = getattr(properties, field.name)
        if value is not None:
            parts.append(f"{field.name}={shown_value(value)}")
    return " " + _without_made_up(" ".join(parts))


class RawClient:
    """One connection. Closes are answered by itself; `heard` and `contents` have what came."""

    def __init__(
        self,
        port: int,
        transcript: list[str],
        name: str = "",
        *,
        frame_max: int = 131072,
        channel_max: int = 2047,
        capabilities: tuple[str, ...] = ("consumer_cancel_notify", "authentication_failure_close"),
        patience_s: float = PATIENCE_S,
    ) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=patience_s)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._assembler = ContentAssembler(0)
        self._transcript = transcript
        self._prefix = f"{name}: " if name else ""
        self._frame_max = frame_max
        self._channel_max = channel_max
        self._confirmed: set[int] = set()
        self._capabilities = capabilities
        self._waiting: deque[tuple[int, Method, bytes | None]] = deque()
        self.ended = False
        self.heard: list[Method] = []
        self.contents: list[bytes] = []

    def __enter__(self) -> RawClient:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._socket.close()

    # --- speaking ---------------------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        """Send bytes."""
        self._socket.sendall(data)

    def send(self, *methods: Method, channel: int = 1) -> None:
        """Send methods, without waiting for anything."""
        self.write(b"".join(method_frame(channel, method.encode()) for method in methods))

    def publish(
        self,
        routing_key: str,
        *bodies: bytes,
        exchange: str = "",
        mandatory: bool = False,
        immediate: bool = False,
        channel: int = 1,
        properties: BasicProperties | None = None,
    ) -> None:
        """Send messages."""
        method = BasicPublish(0, exchange, routing_key, mandatory, immediate)
        head = method_frame(channel, method.encode())
        encoded = (properties or BasicProperties()).encode()
        frames = []
        for body in bodies:
            frames += [head, content_frames(channel, encoded, body, self._frame_max)]
        self.write(b"".join(frames))

    def say_hello(self) -> None:
        """Say the protocol header; what the server says of itself differs, and is left out."""
        self.write(PROTOCOL_HEADER)
        self._take()

    def start(
        self, *, user: str = "guest", password: str = "guest", mechanism: str = "PLAIN"
    ) -> None:
        """Say the protocol header and log in, with what the client was made with."""
        self.say_hello()
        properties: dict[str, FieldValue] = {
            "capabilities": dict.fromkeys(self._capabilities, True)
        }
        response = f"\0{user}\0{password}".encode()
        self.send(ConnectionStartOk(properties, mechanism, response, "en_US"), channel=0)

    def open(self, virtual_host: str = "/", *, channels: int = 1, user: str = "guest") -> RawClient:
        """Log in and open channels; writes nothing down if all goes well.

        A user's password is the user's name.
        """
        self.start(user=user, password=user)
        answer = self._take()
        if answer is None or answer[1].name != "connection.tune":
            self._write_down(answer)
            return self
        limits = ConnectionTuneOk(self._channel_max, self._frame_max, 0)
        self.send(limits, ConnectionOpen(virtual_host), channel=0)
        answer = self._take()
        if answer is None or answer[1].name != "connection.open-ok":
            self._write_down(answer)
            return self
        for channel in range(1, channels + 1):
            self.send(ChannelOpen(), channel=channel)
            answer = self._take()
            if answer is None or answer[1].name != "channel.open-ok":
                self._write_down(answer)
        return self

    # --- listening --------------------------------------------------------------------------------

    def ask(self, *methods: Method, channel: int = 1, hear: int | None = None) -> None:
        """Send methods and hear one thing for each, or as many as `hear` says."""
        self.send(*methods, channel=channel)
        self.hear(len(methods) if hear is None else hear)

    def hear(self, count: int = 1) -> None:
        """Write down the next `count` things, or fewer where the link ends."""
        for _ in range(count):
            if self.ended:
                return
            self._write_down(self._take())

    def hear_or(self, method: Method) -> None:
        """Ask this too, and hear its answer or what ends the connection before it."""
        with contextlib.suppress(ConnectionError):
            self.send(method)
        self.hear()

    def hear_in_any_order(self, count: int) -> None:
        """Write down the next `count` things, sorted: for what a broker does at the same time."""
        before = len(self._transcript)
        self.hear(count)
        self._transcript[before:] = sorted(self._transcript[before:])

    def confirms(self, count: int) -> None:
        """Hear acks and nacks until `count` publishes have one; their grouping is left out.

        One that names a publish which has had its own is written down, `multiple` or not.
        """
        outcome: dict[int, str] = {}
        while len(outcome) < count:
            answer = self._take()
            if answer is None:
                self._write_down(answer)
                return
            method = answer[1]
            if not isinstance(method, BasicAck | BasicNack):
                self._write_down(answer)
                continue
            last = method.delivery_tag
            if last in self._confirmed:
                self.note(f"{method.name} names {last} again")
            tags = set(range(1, last + 1) if method.multiple else [last]) - self._confirmed
            self._confirmed |= tags
            outcome |= dict.fromkeys(tags, method.name)
        listed = ", ".join(f"{tag} {outcome[tag]}" for tag in sorted(outcome))
        self._transcript.append(f"{self._prefix}confirms: {listed}")

    def hear_hello(self) -> None:
        """Write down whether the server begins a handshake, or what it says before it ends."""
        heard = self._socket.recv(65536)
        if heard.startswith(b"AMQP"):
            with contextlib.suppress(ConnectionResetError):
                while data := self._socket.recv(65536):
                    heard += data
            self.note(f"{heard!r} and the link ended")
        else:
            self.note("a handshake begins" if heard else "the link ended")

    def take_bytes(self, count: int) -> bytes:
        """Return the next `count` bytes of the link as they are."""
        return self._socket.recv(count, socket.MSG_WAITALL)

    def take_method(self) -> Any:
        """Return the next method without writing it down; for what brokers need not share."""
        answer = self._take()
        assert answer is not None, "the link ended"
        return answer[1]

    def take_or_none(self) -> Method | None:
        """Return the next method without writing it down, None when the link has ended."""
        answer = self._take()
        return None if answer is None else answer[1]

    def has_heard(self) -> bool:
        """Say whether anything came that was not taken yet, without waiting for it."""
        return bool(self._waiting or select.select([self._socket], [], [], 0)[0])

    def take_content(self) -> bytes:
        """Return the next content without writing it down."""
        answer = self._take()
        assert answer is not None and answer[2] is not None, "no content came"
        return answer[2]

    def note(self, text: str) -> None:
        """Write down something that was found out otherwise."""
        self._transcript.append(f"{self._prefix}{text}")

    def hear_end(self) -> None:
        """Write down what comes until the link ends."""
        while not self.ended:
            self._write_down(self._take())

    def _write_down(self, answer: tuple[int, Method, bytes | None] | None) -> None:
        if answer is None:
            self._transcript.append(f"{self._prefix}the link ended")
            return
        channel, method, content = answer
        self.heard.append(method)
        line = f"{self._prefix}{channel} {shown(method)}"
        if content is not None:
            self.contents.append(content)
            line += shown_content(content)
        self._transcript.append(line)
        if isinstance(method, ChannelClose):
            self.send(ChannelCloseOk(), channel=channel)
        elif isinstance(method, ConnectionClose):
            self.send(ConnectionCloseOk(), channel=0)

    def _take(self) -> tuple[int, Method, bytes | None] | None:
        """Return the next method with its content, or None at the end of the link."""
        while not self._waiting:
            try:
                data = self._socket.recv(262144)
            except TimeoutError:
                raise AssertionError(f"nothing came; so far: {self._transcript}") from None
            except ConnectionResetError:
                data = b""
            if not data:
                self.ended = True
                return None
            for command in self._assembler.feed(data):
                method = command.method()
                for content in command.contents or [None]:  # type: ignore[list-item]
                    self._waiting.append((command.channel, method, content))
        return self._waiting.popleft()
