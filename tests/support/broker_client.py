"""A whole broker node in memory and clients that talk to it: bytes in, bytes out, no socket."""

from __future__ import annotations

from collections import deque
from typing import Any

from rabbitry.connection.endpoint import Endpoint
from rabbitry.connection.handshake import Credentials
from rabbitry.machine import MICROSECONDS_PER_SECOND as SECOND_US
from rabbitry.machine import (
    Address,
    BytesReceived,
    CloseLink,
    Commit,
    Committed,
    Effect,
    Event,
    LinkClosed,
    LinkOpened,
    ListenerOpened,
    SendBytes,
    Started,
)
from rabbitry.node import NodeSettings
from rabbitry.standalone import StandaloneNode
from rabbitry.wire.content import Command
from rabbitry.wire.frames import content_body
from rabbitry.wire.methods import (
    BasicDeliver,
    BasicProperties,
    BasicPublish,
    ChannelClose,
    ChannelCloseOk,
    ChannelOpen,
    ConnectionClose,
    Method,
)

HERE = Address("127.0.0.1", 5672)


class CountingEntropy:
    """Never the same twice, and the same in every run."""

    def __init__(self) -> None:
        self._given = 0

    def token_bytes(self, count: int) -> bytes:
        self._given += 1
        return self._given.to_bytes(count, "big")


class Broker:
    """A node that runs alone."""

    def __init__(self, **different: Any) -> None:
        self.now = SECOND_US
        settings = NodeSettings("rabbit", "1", b"secret", Address("", 0), **different)
        self._node = StandaloneNode(settings, CountingEntropy())
        self._clients: dict[int, Client] = {}
        self._step(Started())
        self._step(ListenerOpened("amqp", HERE))

    def client(
        self, *, capabilities: tuple[str, ...] = ("consumer_cancel_notify",), heartbeat_s: int = 0
    ) -> Client:
        """Return a client that has logged in and opened channel 1."""
        link = len(self._clients) + 1
        client = self._clients[link] = Client(self, link, capabilities, heartbeat_s)
        self._step(LinkOpened(link, "amqp", HERE))
        self.exchange()
        assert client.endpoint.state == "open"
        client.open(1)
        return client

    def exchange(self) -> None:
        """Carry bytes until nobody has any."""
        moved = True
        while moved:
            moved = False
            for link, client in list(self._clients.items()):
                data = client.endpoint.take_bytes(self.now)
                if data and not client.gone:
                    moved = True
                    self._step(BytesReceived(link, data))

    def close(self, link: int) -> None:
        """The link breaks."""
        self._step(LinkClosed(link, "reset"))

    def step(self, event: Event) -> None:
        """Have the node take an event, then carry bytes."""
        self._step(event)
        self.exchange()

    def _step(self, event: Event) -> None:
        events: deque[Event] = deque([event])
        while events:
            for effect in self._node.step(events.popleft(), self.now):
                self._carry_out(effect, events)

    def _carry_out(self, effect: Effect, events: deque[Event]) -> None:
        if isinstance(effect, SendBytes):
            self._clients[effect.link].receive(effect.data)
        elif isinstance(effect, CloseLink) and not self._clients[effect.link].gone:
            self._clients[effect.link].gone = True
            events.append(LinkClosed(effect.link, ""))
        elif isinstance(effect, Commit):
            events.append(Committed(effect.commit))


class Client:
    """One client. What comes is kept in `heard`, deliveries and gets with their contents."""

    def __init__(
        self, broker: Broker, link: int, capabilities: tuple[str, ...], heartbeat_s: int
    ) -> None:
        self.link = link
        self.gone = False
        self.heard: list[tuple[int, Method, bytes | None]] = []
        self._broker = broker
        self.endpoint = Endpoint(
            "client",
            broker.now,
            credentials=Credentials("guest", "guest"),
            properties={"capabilities": dict.fromkeys(capabilities, True)},
            heartbeat_s=heartbeat_s,
        )

    def receive(self, data: bytes) -> None:
        """Take bytes of the node."""
        for command in self.endpoint.receive_bytes(data, self._broker.now):
            self._keep(command)

    def _keep(self, command: Command) -> None:
        method = command.method()
        if isinstance(method, ChannelClose):
            self.endpoint.send_method(command.channel, ChannelCloseOk())
        for content in command.contents or [None]:  # type: ignore[list-item]
            body = None if content is None else content_body(content)
            self.heard.append((command.channel, method, body))

    def open(self, channel: int) -> None:
        """Open a channel."""
        assert [method.name for method in self.say(ChannelOpen(), channel=channel)] == [
            "channel.open-ok"
        ]

    def say(self, *methods: Method, channel: int = 1) -> list[Method]:
        """Send methods; return the methods that came by then, and forget them."""
        for method in methods:
            self.endpoint.send_method(channel, method)
        self._broker.exchange()
        return self.taken()

    def taken(self) -> list[Method]:
        """Return what has come, and forget it."""
        heard, self.heard = self.heard, []
        return [method for _, method, _ in heard]

    def publish(
        self,
        routing_key: str,
        *bodies: bytes,
        exchange: str = "",
        mandatory: bool = False,
        channel: int = 1,
    ) -> None:
        """Send messages."""
        for body in bodies:
            method = BasicPublish(0, exchange, routing_key, mandatory)
            self.endpoint.send_content(channel, method, BasicProperties(), body)
        self._broker.exchange()

    def deliveries(self) -> list[tuple[str, int, bool, bytes]]:
        """Return (consumer tag, delivery tag, redelivered, body) of what has come; forget all."""
        heard, self.heard = self.heard, []
        return [
            (method.consumer_tag, method.delivery_tag, method.redelivered, body)
            for _, method, body in heard
            if isinstance(method, BasicDeliver) and body is not None
        ]

    def bodies(self) -> list[bytes]:
        """Return the bodies of what has come, and forget all."""
        heard, self.heard = self.heard, []
        return [body for _, _, body in heard if body is not None]

    def disconnect(self) -> None:
        """Lose the link without a word."""
        self.gone = True
        self._broker.close(self.link)
        self._broker.exchange()


def closed_with(methods: list[Method]) -> tuple[int, str, int, int]:
    """Return code, text, class and method of the one channel.close that was heard."""
    (method,) = methods
    assert isinstance(method, ChannelClose | ConnectionClose), method
    return (
        method.reply_code,
        method.reply_text,
        method.failing_class_id,
        method.failing_method_id,
    )
