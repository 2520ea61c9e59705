"""Direct reply-to: answers to an RPC client without a queue.

A client consumes the name `amq.rabbitmq.reply-to` in no-ack mode; its requests, with that name as
their reply-to, go out with the address of its channel instead; what is published to the default
exchange with that address as routing key goes to the channel at once, wherever in the cluster it
is, and is lost where the channel is gone. Owns the addresses and a channel's reply consumer;
carrying answers from node to node is `rabbitry.cluster.replies`.

An address tells which process and which channel, and has a key that nobody can guess: who was not
told an address cannot write to it.

RabbitMQ: rabbit_channel.erl handle_method basic.consume of amq.rabbitmq.reply-to, deliver_reply/2,
declare_fast_reply_to/1; rabbit_direct_reply_to.erl.
"""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error
from collections.abc import Sequence
from hashlib import blake2b
from typing import Final, NamedTuple, Protocol

from rabbitry.broker.message import Message
from rabbitry.broker.queue import Holder
from rabbitry.wire.errors import PRECONDITION_FAILED, ChannelException
from rabbitry.wire.frames import fit_content, method_frame
from rabbitry.wire.methods import BasicDeliver

REPLY_TO_NAME: Final = "amq.rabbitmq.reply-to"
REPLY_TO_PREFIX: Final = REPLY_TO_NAME + "."
_ORIGIN_BYTES: Final = 8
_CHANNEL_BYTES: Final = 8


class ReplyAddress(NamedTuple):
    """Where answers go: `origin` is the `origin_digest` of a process."""

    origin: bytes
    channel: int
    key: str


def origin_digest(origin: str) -> bytes:
    """Return what stands for a process (node and incarnation) in an address."""
    return blake2b(origin.encode(), digest_size=_ORIGIN_BYTES).digest()


def reply_name(holder: Holder, key: str) -> str:
    """Return the name of an address, which is used as a routing key. `key` has no dot."""
    origin, channel = holder
    where = origin_digest(origin) + channel.to_bytes(_CHANNEL_BYTES, "big")
    return f"{REPLY_TO_PREFIX}{urlsafe_b64encode(where).decode()}.{key}"


def reply_address(name: str) -> ReplyAddress | None:
    """Return the address of this name, None where it is none."""
    where, dot, key = name.removeprefix(REPLY_TO_PREFIX).partition(".")
    if not name.startswith(REPLY_TO_PREFIX) or not dot or not key:
        return None
    try:
        raw = urlsafe_b64decode(where.encode("ascii"))
    except (Base64Error, ValueError):
        return None
    if len(raw) != _ORIGIN_BYTES + _CHANNEL_BYTES:
        return None
    return ReplyAddress(raw[:_ORIGIN_BYTES], int.from_bytes(raw[_ORIGIN_BYTES:], "big"), key)


class ReplyWriter(Protocol):
    """Where answers are written to: the channel's connection."""

    @property
    def frame_size_max(self) -> int:
        """The longest frame that the client takes, in bytes; 0 for no limit."""
        ...

    def write(self, parts: Sequence[bytes]) -> None:
        """Queue frames for the client."""
        ...


class Numbering(Protocol):
    """Who numbers the deliveries of the channel."""

    next_tag: int


class ReplyConsumer:
    """The reply consumer of a channel. `name` is its address, `tag` its consumer tag."""

    def __init__(
        self, holder: Holder, key: str, tag: str, channel: int, writer: ReplyWriter, tags: Numbering
    ) -> None:
        self.name = reply_name(holder, key)
        self.tag = tag
        self.key = key
        self._channel = channel
        self._writer = writer
        self._tags = tags

    def deliver(self, message: Message) -> None:
        """Write an answer. RabbitMQ gives it the next delivery tag, and does not count it."""
        route, frames = message
        method = BasicDeliver(
            self.tag,
            self._tags.next_tag,
            False,
            route.exchange.decode("utf-8", "surrogateescape"),
            route.routing_key.decode("utf-8", "surrogateescape"),
        )
        self._writer.write(
            [
                method_frame(self._channel, method.encode()),
                fit_content(frames, self._channel, self._writer.frame_size_max),
            ]
        )


def check_reply_consumer(present: ReplyConsumer | None, no_ack: bool) -> None:
    """Raise 406 where a channel cannot have a reply consumer of this kind."""
    if not no_ack:
        text = "reply consumer cannot acknowledge"
    elif present is not None:
        text = "reply consumer already set"
    else:
        return
    raise ChannelException(PRECONDITION_FAILED, text, 60, 20)
