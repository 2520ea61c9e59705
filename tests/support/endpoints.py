"""Endpoints to talk to: a client and a server back to back, and a server spoken to in frames."""

from __future__ import annotations

from collections.abc import Callable

from rabbitry.connection.endpoint import (
    Endpoint,
)
from rabbitry.connection.handshake import Credentials, LoginRefused
from rabbitry.machine import MICROSECONDS_PER_SECOND as SECOND_US
from rabbitry.wire.content import Command, ContentAssembler
from rabbitry.wire.errors import COMMAND_INVALID, NOT_ALLOWED, ConnectionException
from rabbitry.wire.frames import PROTOCOL_HEADER, method_frame
from rabbitry.wire.methods import (
    ChannelOpen,
    ChannelOpenOk,
    ConnectionClose,
    ConnectionCloseOk,
    ConnectionOpen,
    ConnectionStartOk,
    ConnectionTuneOk,
    Method,
)

START_US = 5 * SECOND_US
CAPABILITIES = {"capabilities": {"authentication_failure_close": True}}


class Users:
    """guest may log in, to the virtual host /."""

    def authenticate(
        self, mechanism: str, response: bytes, peer_host: str, peer_name: str | None = None
    ) -> str:
        if mechanism == "EXTERNAL" and peer_name:
            return peer_name
        if mechanism != "PLAIN":
            text = f"unknown authentication mechanism '{mechanism}'"
            raise ConnectionException(COMMAND_INVALID, text)
        _, user, password = response.split(b"\0")
        if password != b"guest":
            raise LoginRefused(f"user '{user.decode()}' - invalid credentials from {peer_host}")
        return user.decode()

    def open_virtual_host(self, user: str, virtual_host: str) -> None:
        if virtual_host != "/":
            raise ConnectionException(NOT_ALLOWED, f"vhost {virtual_host} not found")


def server_endpoint(heartbeat_s: int = 60, peer_name: str | None = None) -> Endpoint:
    return Endpoint(
        "server",
        START_US,
        authenticator=Users(),
        peer_host="127.0.0.1",
        peer_name=peer_name,
        properties={"product": "Rabbitry"},
        heartbeat_s=heartbeat_s,
    )


class Pair:
    """Two endpoints whose bytes go over as they are or one by one."""

    def __init__(
        self,
        *,
        password: str = "guest",
        virtual_host: str = "/",
        bytewise: bool = False,
        heartbeat_s: int = 60,
    ) -> None:
        self.now = START_US
        self.bytewise = bytewise
        self.server = server_endpoint()
        self.client = Endpoint(
            "client",
            START_US,
            credentials=Credentials("guest", password, virtual_host),
            properties={**CAPABILITIES, "product": "test"},
            heartbeat_s=heartbeat_s,
        )
        self.at_server: list[Command] = []
        self.at_client: list[Command] = []
        self.answer: Callable[[Command], None] = lambda command: None

    def exchange(self) -> None:
        """Carry bytes both ways until nobody has any."""
        while True:
            to_server = self.client.take_bytes(self.now)
            to_client = self.server.take_bytes(self.now)
            if not to_server and not to_client:
                return
            for piece in self.pieces(to_server):
                for command in self.server.receive_bytes(piece, self.now):
                    self.at_server.append(command)
                    self.answer(command)
            for piece in self.pieces(to_client):
                self.at_client += self.client.receive_bytes(piece, self.now)

    def pieces(self, data: bytes) -> list[bytes]:
        if self.bytewise:
            return [data[at : at + 1] for at in range(len(data))]
        return [data] if data else []

    def wait(self, microseconds: int) -> None:
        self.now += microseconds
        self.client.tick(self.now)
        self.server.tick(self.now)

    def open_channel(self, channel: int = 1) -> None:
        self.client.send_method(channel, ChannelOpen())
        self.exchange()
        self.server.send_method(channel, ChannelOpenOk())
        self.exchange()
        self.at_server.clear()
        self.at_client.clear()


def opened(*, bytewise: bool = False, heartbeat_s: int = 60) -> Pair:
    pair = Pair(bytewise=bytewise, heartbeat_s=heartbeat_s)
    pair.exchange()
    assert (pair.server.state, pair.client.state) == ("open", "open")
    return pair


def names(commands: list[Command]) -> list[str]:
    return [command.method().name for command in commands]


def read(data: bytes) -> list[tuple[int, Method]]:
    """Decode what an endpoint sends."""
    assembler = ContentAssembler(0)
    commands = assembler.feed(data)
    assert assembler.failure is None
    return [(command.channel, command.method()) for command in commands]


class Raw:
    """A server endpoint spoken to in frames."""

    def __init__(self, *, bytewise: bool = False) -> None:
        self.server = server_endpoint()
        self.now = START_US
        self.bytewise = bytewise
        self.passed: list[Command] = []

    def say(self, *frames: bytes) -> list[tuple[int, Method]]:
        """Send frames, return what the server answers."""
        data = b"".join(frames)
        step = 1 if self.bytewise else len(data)
        for at in range(0, len(data), step):
            self.passed += self.server.receive_bytes(data[at : at + step], self.now)
        return read(self.server.take_bytes(self.now))

    def wait(self, microseconds: int) -> None:
        self.now += microseconds
        self.server.tick(self.now)


def start_ok(password: str = "guest", mechanism: str = "PLAIN", heard: bool = False) -> bytes:
    method = ConnectionStartOk(
        CAPABILITIES if heard else {}, mechanism, f"\0guest\0{password}".encode(), "en_US"
    )
    return method_frame(0, method.encode())


TUNE_OK = method_frame(0, ConnectionTuneOk(2047, 131072, 0).encode())
OPEN = method_frame(0, ConnectionOpen("/").encode())
CHANNEL_OPEN = method_frame(1, ChannelOpen().encode())
CLOSE = method_frame(0, ConnectionClose(200, "bye", 0, 0).encode())
CLOSE_OK = method_frame(0, ConnectionCloseOk().encode())
LOGIN = (PROTOCOL_HEADER, start_ok(), TUNE_OK, OPEN)


def closed_with(answers: list[tuple[int, Method]]) -> tuple[int, int, int, str]:
    (channel, method) = answers[-1]
    assert channel == 0
    assert isinstance(method, ConnectionClose), method
    return method.reply_code, method.failing_class_id, method.failing_method_id, method.reply_text


def logged_in(*, bytewise: bool = False, channel_max: int = 2047) -> Raw:
    raw = Raw(bytewise=bytewise)
    tune_ok = method_frame(0, ConnectionTuneOk(channel_max, 131072, 0).encode())
    raw.say(PROTOCOL_HEADER, start_ok(), tune_ok, OPEN)
    assert raw.server.state == "open"
    return raw


def on(channel: int, method: Method) -> bytes:
    return method_frame(channel, method.encode())
