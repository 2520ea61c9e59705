"""What channels ask of the rest of the node: the seams between AMQP's methods and the cluster.

Channels know queues by `QueueHandle` and everything declared by `BrokerPort`; where a queue's
leader is, and how the cluster agrees on declarations, they do not know. Answers may come at once,
inside the call, or later.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from rabbitry.broker.direct_reply_to import ReplyConsumer
from rabbitry.broker.exchanges import Exchange
from rabbitry.broker.message import Message, Route
from rabbitry.broker.permissions import Access
from rabbitry.broker.queue import Consumer, Holder
from rabbitry.wire.errors import AmqpException, ChannelException, ConnectionException
from rabbitry.wire.methods import BasicProperties


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why something cannot be: a reply code and text. `hard` ends the connection."""

    reply_code: int
    text: str
    hard: bool = False

    def exception(self, class_id: int = 0, method_id: int = 0) -> AmqpException:
        """Return it as the exception that closes the channel, or the connection."""
        kind = ConnectionException if self.hard else ChannelException
        return kind(self.reply_code, self.text, class_id, method_id)


@dataclass(slots=True)
class QueueReply:
    """What a queue answers: a refusal, or its counts (for a purge: messages purged)."""

    refusal: Refusal | None = None
    messages: int = 0
    consumers: int = 0


@dataclass(slots=True)
class GetReply:
    """The answer to a get: `message` is None where the queue is empty; `remaining` are ready."""

    refusal: Refusal | None = None
    position: int = 0
    redelivered: bool = False
    message: Message | None = None
    remaining: int = 0


class QueueHandle(Protocol):
    """A queue as channels use it, wherever its leader is."""

    name: str
    kind: str  # its type: "classic" or "quorum"
    single_active_consumer: bool

    def refuse(self, owner: str) -> Refusal | None:
        """Return 405 where the queue is exclusive to another connection than `owner`."""
        ...

    def publish(self, messages: list[Message], receipt: Receipt | None) -> None:
        """Send messages, all of one route; `receipt` is told when they are safe."""
        ...

    def subscribe(
        self, consumer: Consumer, subscriber: Subscriber, on_reply: Callable[[QueueReply], None]
    ) -> None:
        """Consume; the reply precedes the first delivery."""
        ...

    def unsubscribe(
        self, holder: Holder, number: int, on_reply: Callable[[QueueReply], None]
    ) -> None:
        """End a subscription; no delivery follows the reply. What it holds stays held."""
        ...

    def settle(self, lease: Lease, holder: Holder, positions: list[int]) -> None:
        """Messages delivered under `lease` are done with, whoever leads the queue by now."""
        ...

    def reject(self, lease: Lease, holder: Holder, positions: list[int]) -> None:
        """Messages delivered under `lease` are refused: the queue dead-letters or drops them."""
        ...

    def requeue(
        self, lease: Lease, holder: Holder, positions: list[int], *, redelivered: bool = True
    ) -> None:
        """Messages delivered under `lease` go back to their places.

        `redelivered` is the mark that they bear when they come again: whoever gives back what never
        reached the client passes the mark that they were delivered with.
        """
        ...

    def lend_to(self, holder: Holder, owes: Owes) -> None:
        """This channel may hold deliveries; `owes` tells the queue's next leader which."""
        ...

    def release(self, holder: Holder) -> None:
        """A channel has ended: its subscriptions too, and what it holds comes back."""
        ...

    def get(
        self, holder: Holder, no_ack: bool, on_reply: Callable[[GetReply, Lease], None]
    ) -> None:
        """Ask for one message."""
        ...

    def inquire(
        self,
        what: str,
        on_reply: Callable[[QueueReply], None],
        *,
        if_unused: bool = False,
        if_empty: bool = False,
    ) -> None:
        """Ask to "count", to "purge" or to "delete"."""
        ...

    def pause_consumer(
        self, holder: Holder, number: int, paused: bool, prefetch_count: int | None = None
    ) -> None:
        """Stop deliveries to a consumer, or go on; `prefetch_count` may be another from now on."""
        ...


class Lease:
    """The right to settle deliveries to one consumer, or by basic.get, whose `number` is 0.

    It outlives leaders. `void`: the client was told that they come again.
    """

    __slots__ = ("handle", "number", "void")

    def __init__(self, handle: QueueHandle, number: int = 0) -> None:
        self.handle = handle
        self.number = number
        self.void = False


# What a channel has of a queue, and its client has not settled: numbers of consumers (as in
# `Lease`), and positions.
Owes = Callable[[QueueHandle], list[tuple[int, list[int]]]]


class Receipt(Protocol):
    """What a publish waits with: told once by each queue that the messages went to."""

    def rejected(self, first: int, count: int) -> None:
        """The queue has refused some: `count` messages of the run, from its index `first` on.

        Told any number of times before `settled`, and for each message once at most.
        """
        ...

    def settled(self) -> None:
        """The queue has taken the messages for good, all but those that it rejected."""
        ...


class Subscriber(Protocol):
    """A consumer of a channel."""

    def deliver(
        self, lease: Lease, positions: Sequence[int], messages: list[Message], redelivered: bool
    ) -> None:
        """Send messages to the client."""
        ...

    def cancelled(self) -> None:
        """The queue will send no more: it is gone, or will not have the consumer again."""
        ...

    def failed_over(self) -> bool:
        """The leader has changed. True: the client wants to hear, and the consumer ends."""
        ...


OnAnswer = Callable[[Refusal | None], None]


class BrokerPort(Protocol):
    """What is declared in one virtual host, and the ways to change it.

    `owner` names the connection that asks, for exclusive queues. `arguments` are encoded tables.
    """

    origin: str

    @property
    def access(self) -> Access:
        """Users and permissions."""
        ...

    def channel_refusal(self, user: str) -> str:
        """Return why a limit forbids one more channel, or an empty text."""
        ...

    @property
    def routing_version(self) -> int:
        """A number that changes whenever a message might go elsewhere."""
        ...

    def find_exchange(self, virtual_host: str, name: str) -> Exchange | None:
        """Return the exchange, or None."""
        ...

    def find_queue(self, virtual_host: str, name: str) -> QueueHandle | None:
        """Return the queue, or None."""
        ...

    def route(
        self,
        virtual_host: str,
        exchange: Exchange,
        routing_keys: Sequence[str],
        properties: BasicProperties | None = None,
    ) -> list[QueueHandle] | None:
        """Return the queues that a message reaches, each once.

        The first routing key is the message's own. None where its properties decide and were not
        given.
        """
        ...

    def intern_route(self, exchange: bytes, routing_key: bytes, flags: int) -> Route:
        """Return the one `Route` object for these (`flags` as in `Route`)."""
        ...

    def set_reply_consumer(self, channel: int, consumer: ReplyConsumer | None) -> None:
        """Have what comes for the reply address of a channel given to `consumer`, or to nobody.

        `channel` is the number in the channel's `Holder`.
        """
        ...

    def send_answer(self, name: str, message: Message) -> None:
        """Send a message to the direct reply-to address `name`; lost where there is none such."""
        ...

    def find_reply_consumer(self, name: str, on_answer: Callable[[bool], None]) -> None:
        """Ask whether somebody consumes at the direct reply-to address `name`."""
        ...

    def declare_exchange(
        self,
        virtual_host: str,
        name: str,
        kind: str,
        durable: bool,
        auto_delete: bool,
        internal: bool,
        arguments: bytes,
        on_answer: OnAnswer,
    ) -> None:
        """Declare, or check that what is there is the same."""
        ...

    def delete_exchange(
        self, virtual_host: str, name: str, if_unused: bool, on_answer: OnAnswer
    ) -> None:
        """Delete; one that does not exist counts as deleted."""
        ...

    def declare_queue(
        self,
        virtual_host: str,
        name: str,
        durable: bool,
        auto_delete: bool,
        owner: str,
        arguments: bytes,
        on_answer: OnAnswer,
    ) -> None:
        """Declare, or check that what is there is the same. `owner` is empty if not exclusive."""
        ...

    def bind(
        self,
        unbind: bool,
        virtual_host: str,
        source: str,
        destination_kind: str,
        destination: str,
        routing_key: str,
        arguments: bytes,
        owner: str,
        on_answer: OnAnswer,
    ) -> None:
        """Bind a queue or an exchange to `source`, or undo it."""
        ...

    def delete_owned(self, owner: str, on_gone: Callable[[], None]) -> None:
        """A connection has ended: delete its exclusive queues; `on_gone` follows, once."""
        ...
