"""An AMQP server of a few lines, for checks to talk to: it logs in, answers basic.qos, and can be
silent, in alarm as RabbitMQ is, or leaving.

Owns nothing but the talk: bytes in by `feed`, bytes out as its result.
"""

from __future__ import annotations

from support.endpoints import Users

from rabbitry.connection.endpoint import Endpoint
from rabbitry.wire.methods import (
    BasicQosOk,
    ChannelOpenOk,
    ConnectionBlocked,
    ConnectionUnblocked,
)


class AmqpServer:
    """One connection's server side. `feed` takes a client's bytes and returns the answer.

    `product` is what it calls itself; as RabbitMQ it says that it is blocked when (part of) a
    message comes while `alarm` is set, and reads no more until `calm`.
    """

    def __init__(self, product: str = "RabbitMQ") -> None:
        self.endpoint = Endpoint(
            "server",
            0,
            authenticator=Users(),
            properties={"product": product, "version": "3.10.8"},
        )
        self.silent = False
        self.alarm = ""
        self.reversed = False  # it says that it blocks before it answers
        self.blocked = False
        self.received: list[str] = []  # methods of channels
        self.contents = 0  # frames of messages
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
        if begun and self.alarm and not self.reversed:
            self._block()
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
