"""What channels ask of a node, answered by the test: queues and a catalog that only take notes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from support.broker_client import CountingEntropy
from support.endpoints import START_US, read, server_endpoint

from rabbitry.broker.alarms import Alarms
from rabbitry.broker.client_connection import ClientConnection
from rabbitry.broker.connection_log import ConnectionLog
from rabbitry.broker.direct_reply_to import ReplyConsumer
from rabbitry.broker.exchanges import Exchange
from rabbitry.broker.message import Message, Route, Routes
from rabbitry.broker.ports import (
    GetReply,
    Lease,
    Owes,
    QueueHandle,
    QueueReply,
    Receipt,
    Refusal,
    Subscriber,
)
from rabbitry.broker.queue import Consumer, Holder
from rabbitry.cluster.access import default_access
from rabbitry.connection.endpoint import Endpoint
from rabbitry.connection.handshake import Credentials
from rabbitry.wire.frames import content_frames
from rabbitry.wire.methods import BasicProperties, BasicPublish, ChannelOpen, Method
from rabbitry.wire.values import FieldValue

LOCKED = Refusal(405, "locked")


class FakeQueue:
    """A queue that answers when the test says so: what was asked is in `asked`."""

    def __init__(self, name: str, owner: str = "", kind: str = "classic") -> None:
        self.name = name
        self.kind = kind
        self.single_active_consumer = False
        self.owner = owner
        self.lease = Lease(self)
        self.asked: list[tuple[Any, ...]] = []
        self.published: list[tuple[list[Message], Receipt | None]] = []
        self.subscribers: list[Subscriber] = []
        self.replies: list[Callable[[QueueReply], None]] = []
        self.debtors: dict[Holder, Owes] = {}
        self.get_replies: list[Callable[[GetReply, Lease], None]] = []

    def refuse(self, owner: str) -> Refusal | None:
        return LOCKED if self.owner and self.owner != owner else None

    def publish(self, messages: list[Message], receipt: Receipt | None) -> None:
        self.published.append((messages, receipt))

    def subscribe(
        self, consumer: Consumer, subscriber: Subscriber, on_reply: Callable[[QueueReply], None]
    ) -> None:
        self.asked.append(("subscribe", consumer.number, consumer.prefetch_count, consumer.no_ack))
        self.subscribers.append(subscriber)
        self.replies.append(on_reply)

    def unsubscribe(
        self, holder: Holder, number: int, on_reply: Callable[[QueueReply], None]
    ) -> None:
        self.asked.append(("unsubscribe", number))
        self.replies.append(on_reply)

    def settle(self, lease: Lease, holder: Holder, positions: list[int]) -> None:
        self.asked.append(("settle", positions))

    def reject(self, lease: Lease, holder: Holder, positions: list[int]) -> None:
        self.asked.append(("reject", positions))

    def requeue(
        self, lease: Lease, holder: Holder, positions: list[int], *, redelivered: bool = True
    ) -> None:
        self.asked.append(("requeue", positions))

    def lend_to(self, holder: Holder, owes: Owes) -> None:
        self.debtors[holder] = owes

    def release(self, holder: Holder) -> None:
        self.asked.append(("release",))

    def get(
        self, holder: Holder, no_ack: bool, on_reply: Callable[[GetReply, Lease], None]
    ) -> None:
        self.asked.append(("get", no_ack))
        self.get_replies.append(on_reply)

    def inquire(
        self,
        what: str,
        on_reply: Callable[[QueueReply], None],
        *,
        if_unused: bool = False,
        if_empty: bool = False,
    ) -> None:
        self.asked.append((what, if_unused, if_empty))
        self.replies.append(on_reply)

    def pause_consumer(
        self, holder: Holder, number: int, paused: bool, prefetch_count: int | None = None
    ) -> None:
        asked: tuple[Any, ...] = ("pause", number, paused)
        self.asked.append(asked if prefetch_count is None else (*asked, prefetch_count))

    def answer(self, reply: QueueReply | None = None) -> None:
        """Answer what was asked first and has no answer."""
        self.replies.pop(0)(reply or QueueReply())


class FakePort:
    """A catalog of what the test puts in. Wishes are in `asked`; the test answers them."""

    def __init__(self) -> None:
        self.origin = "rabbit#1"
        self.routing_version = 1
        self.access = default_access()
        self.exchanges = {"": Exchange("", "direct"), "x": Exchange("x", "direct")}
        self.queues: dict[str, FakeQueue] = {}
        self.routed: list[QueueHandle] | None = None  # None: by queue name
        self.asked: list[tuple[Any, ...]] = []
        self.answers: list[Callable[[Refusal | None], None]] = []
        self.owners_deleted: list[str] = []
        self.keeps_owned = False  # exclusive queues go when the test calls what is in `owned_gone`
        self.owned_gone: list[Callable[[], None]] = []
        self.reply_consumers: dict[int, ReplyConsumer | None] = {}
        self.reply_consumers_asked: list[tuple[str, Callable[[bool], None]]] = []
        self.sent_answers: list[tuple[str, Message]] = []
        self._routes = Routes()

    def add(self, name: str, owner: str = "") -> FakeQueue:
        """Put a queue in."""
        queue = self.queues[name] = FakeQueue(name, owner)
        self.routing_version += 1
        return queue

    def answer(self, refusal: Refusal | None = None) -> None:
        """Answer the wish that came first and has no answer."""
        self.answers.pop(0)(refusal)

    def channel_refusal(self, user: str) -> str:
        return ""

    def find_exchange(self, virtual_host: str, name: str) -> Exchange | None:
        return self.exchanges.get(name)

    def find_queue(self, virtual_host: str, name: str) -> FakeQueue | None:
        return self.queues.get(name)

    def route(
        self,
        virtual_host: str,
        exchange: Exchange,
        routing_keys: Sequence[str],
        properties: BasicProperties | None = None,
    ) -> list[QueueHandle] | None:
        if exchange.kind == "headers":
            # As if every header were the name of a queue.
            if properties is None:
                return None
            return [self.queues[name] for name in properties.headers or {} if name in self.queues]
        if self.routed is not None:
            return self.routed
        return [self.queues[key] for key in routing_keys if key in self.queues]

    def set_reply_consumer(self, channel: int, consumer: ReplyConsumer | None) -> None:
        self.reply_consumers[channel] = consumer

    def send_answer(self, name: str, message: Message) -> None:
        self.sent_answers.append((name, message))

    def find_reply_consumer(self, name: str, on_answer: Callable[[bool], None]) -> None:
        self.reply_consumers_asked.append((name, on_answer))

    def intern_route(self, exchange: bytes, routing_key: bytes, flags: int) -> Route:
        return self._routes.get(exchange, routing_key, flags)

    def declare_exchange(self, *arguments: Any) -> None:
        self._ask("declare_exchange", *arguments)

    def delete_exchange(self, *arguments: Any) -> None:
        self._ask("delete_exchange", *arguments)

    def declare_queue(self, *arguments: Any) -> None:
        self._ask("declare_queue", *arguments)

    def bind(self, *arguments: Any) -> None:
        self._ask("bind", *arguments)

    def delete_owned(self, owner: str, on_gone: Callable[[], None]) -> None:
        self.owners_deleted.append(owner)
        if self.keeps_owned:
            self.owned_gone.append(on_gone)
        else:
            on_gone()

    def _ask(self, what: str, *arguments: Any) -> None:
        *values, on_answer = arguments
        self.asked.append((what, *values))
        self.answers.append(on_answer)


class Conversation:
    """A client connection on a `FakePort`, spoken to in methods."""

    def __init__(
        self,
        *,
        capabilities: tuple[str, ...] = ("consumer_cancel_notify",),
        consumer_timeout_ms: int = 0,
    ) -> None:
        self.now = START_US
        self.port = FakePort()
        self.dirty = 0
        self._channels = 0
        self.told: list[tuple[str, str, dict[str, object]]] = []
        self.alarms = Alarms()
        endpoint = server_endpoint()
        self.connection = ClientConnection(
            7,
            endpoint,
            self.port,
            CountingEntropy(),
            self._new_channel,
            self._mark,
            ConnectionLog(endpoint, "10.0.0.1:40000", lambda *report: self.told.append(report)),
            self.alarms,
            consumer_timeout_ms,
        )
        properties: dict[str, FieldValue] = {"capabilities": dict.fromkeys(capabilities, True)}
        self.client = Endpoint(
            "client", self.now, credentials=Credentials("guest", "guest"), properties=properties
        )
        while self.client.state != "open":
            self.connection.receive(self.client.take_bytes(self.now), self.now)
            for _ in self.client.receive_bytes(self.connection.take_bytes(self.now), self.now):
                raise AssertionError("nothing but the handshake is expected")
        self.say(ChannelOpen())

    def _new_channel(self) -> int:
        self._channels += 1
        return self._channels

    def _mark(self, _connection: ClientConnection) -> None:
        self.dirty += 1

    def say(self, *methods: Method, channel: int = 1) -> list[Method]:
        """Send methods in one read; return what is answered."""
        for method in methods:
            self.client.send_method(channel, method)
        self.connection.receive(self.client.take_bytes(self.now), self.now)
        return self.heard()

    def publish(
        self, routing_key: str, *bodies: bytes, exchange: str = "", mandatory: bool = False
    ) -> list[Method]:
        """Send messages in one read; return what is answered."""
        method = BasicPublish(0, exchange, routing_key, mandatory)
        for body in bodies:
            self.client.send_content(1, method, BasicProperties(), body)
        self.connection.receive(self.client.take_bytes(self.now), self.now)
        return self.heard()

    def heard(self) -> list[Method]:
        """Return what the connection has to say."""
        return [method for _, method in self.heard_on()]

    def heard_on(self) -> list[tuple[int, Method]]:
        """Return what the connection has to say, with its channels."""
        return read(self.connection.take_bytes(self.now))


def content(body: bytes = b"body", channel: int = 1) -> bytes:
    """Return the frames of a content."""
    return content_frames(channel, BasicProperties().encode(), body, 131072)
