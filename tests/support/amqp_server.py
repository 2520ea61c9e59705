"""An AMQP server of a few lines, for checks to talk to: it logs in, answers basic.qos, keeps one
queue on a disk that can stand still, and can be silent, in alarm as RabbitMQ is, or leaving.

Owns nothing but the talk: bytes in by `feed`, bytes out as its result.
"""

from __future__ import annotations

from support.endpoints import Users

from rabbitry.connection.endpoint import Endpoint
from rabbitry.wire.content import Command
from rabbitry.wire.errors import ChannelException
from rabbitry.wire.methods import (
    BasicAck,
    BasicDeliver,
    BasicProperties,
    BasicPublish,
    BasicQosOk,
    BasicReturn,
    ChannelOpenOk,
    ConfirmSelectOk,
    ConnectionBlocked,
    ConnectionUnblocked,
    QueueDeclare,
    QueueDeclareOk,
)

DISK = 3
"""The channel on which a check asks the disk."""


class AmqpServer:
    """One connection's server side. `feed` takes a client's bytes and returns the answer.

    While `disk` is "stuck" the queue answers nothing, and while it is "stuck elsewhere" it confirms
    nothing; a queue that is `refused` cannot be declared. `declarations` has how it was, and
    `unacknowledged` how much of it.

    `product` and `version` are what it calls itself; as RabbitMQ it says that it is blocked when
    (part of) a message comes while `alarm` is set, and reads no more until `calm`.
    """

    def __init__(self, product: str = "RabbitMQ", version: str = "3.10.8") -> None:
        self.endpoint = Endpoint(
            "server",
            0,
            authenticator=Users(),
            properties={"product": product, "version": version},
        )
        self.silent = False
        self.alarm = ""
        self.reversed = False  # it says that it blocks before it answers
        self.blocked = False
        self.received: list[str] = []  # methods of channels
        self.contents = 0  # frames of messages
        self.disk = ""
        self.refused = 0  # by this code
        self.declarations: list[QueueDeclare] = []
        self.unacknowledged = 0
        self._queue = ""
        self._consumed = False
        self._published = 0
        self._unconfirmed: list[tuple[int, int]] = []  # channels and tags
        self._owed: list[Command] = []  # to the queue
        self._unread = b""

    def feed(self, data: bytes) -> bytes:
        """Take bytes; return what is answered now."""
        self._unread += data
        if self.silent or self.blocked:
            return b""
        data, self._unread = self._unread, b""
        begun = _content_frames(data)
        self.contents += begun
        if begun and self.alarm and self.reversed:
            self._block()
        for command in self.endpoint.receive_bytes(data, 0):
            method = command.method()
            self.received.append(method.name)
            if method.name == "channel.open":
                self.endpoint.send_method(command.channel, ChannelOpenOk())
            elif method.name == "basic.qos":
                self.endpoint.send_method(command.channel, BasicQosOk())
            elif method.name == "confirm.select":
                self.endpoint.send_method(command.channel, ConfirmSelectOk())
            elif command.channel == DISK:
                self._owed.append(command)
        self._serve_queue()
        if begun and self.alarm and not self.reversed:
            self._block()
        return self.endpoint.take_bytes(0)

    def _serve_queue(self) -> None:
        while self._owed and self.disk != "stuck":
            command = self._owed.pop(0)
            method = command.method()
            if isinstance(method, QueueDeclare):
                self._declare(command.channel, method)
            elif method.name == "basic.consume":
                self._consumed = True
            elif isinstance(method, BasicPublish):
                self._publish(command, method)
            elif method.name == "basic.ack":
                self.unacknowledged -= 1
        while self._unconfirmed and not self.disk:
            channel, tag = self._unconfirmed.pop(0)
            self.endpoint.send_method(channel, BasicAck(tag, False))

    def _declare(self, channel: int, method: QueueDeclare) -> None:
        if self.refused or (method.passive and method.queue != self._queue):
            refusal = ChannelException(self.refused or 404, "no", 50, 10)
            self.endpoint.close_channel(channel, refusal)
            self._published = 0
            return
        if not method.passive:
            self.declarations.append(method)
            self._queue = f"amq.gen-{len(self.declarations)}"
        self.endpoint.send_method(channel, QueueDeclareOk(self._queue, 0, 0))

    def _publish(self, command: Command, method: BasicPublish) -> None:
        self._published += 1
        self._unconfirmed.append((command.channel, self._published))
        if method.routing_key != self._queue:
            self.endpoint.send_content(
                command.channel, BasicReturn(312, "NO_ROUTE"), BasicProperties(), b""
            )
        elif self._consumed:
            self.unacknowledged += 1
            deliver = BasicDeliver("disk", self._published)
            self.endpoint.send_content(command.channel, deliver, BasicProperties(), b"\0")

    def lose_queue(self) -> None:
        """Somebody has deleted it."""
        self._queue = ""
        self._consumed = False

    def change_disk(self, disk: str = "") -> bytes:
        """The disk stands still, or moves again; return what is answered now."""
        self.disk = disk
        self._serve_queue()
        return self.endpoint.take_bytes(0)

    def _block(self) -> None:
        self.blocked = True
        self.endpoint.send_method(0, ConnectionBlocked(reason=self.alarm))

    def go_on(self) -> bytes:
        """Be silent no more; return the answers that were owed."""
        self.silent = False
        return self.feed(b"")

    def calm(self) -> bytes:
        """The alarm is over."""
        self.alarm = ""
        self.blocked = False
        self.endpoint.send_method(0, ConnectionUnblocked())
        return self.endpoint.take_bytes(0) + self.feed(b"")

    def close(self, code: int, text: str) -> bytes:
        """Close the connection, saying why."""
        self.endpoint.close(code, text, now=0)
        return self.endpoint.take_bytes(0)


def _content_frames(data: bytes) -> int:
    """How many frames of contents these whole frames have."""
    count = at = 0
    if data[:4] == b"AMQP":
        at = 8
    while at < len(data):
        count += data[at] in (2, 3)
        at += 8 + int.from_bytes(data[at + 3 : at + 7], "big")
    return count
