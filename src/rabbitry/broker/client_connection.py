"""One client's connection as the broker serves it: the endpoint and its channels.

Bytes of the link go in at `receive`; what is to be sent is taken with `take_bytes` at the end of
the step, after `flush`. Every piece of a client's work runs under `guard`, so that a fault of the
client closes its channel or its connection and nothing else.

While a node of the cluster is low on memory or disk, a client that publishes is *blocked*: told so,
if it can hear it, and read no more from that message on (RabbitMQ: rabbit_reader.erl maybe_block).

The last words (close-ok, or a close of ours) are held back until the connection's exclusive queues
are gone everywhere, so that a client that has heard them can declare these queues anew.
"""

from __future__ import annotations

from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from itertools import chain, islice
from typing import Final

from rabbitry.broker.alarms import Alarms
from rabbitry.broker.channel import Channel
from rabbitry.broker.connection_log import ConnectionLog
from rabbitry.broker.permissions import Permissions
from rabbitry.broker.ports import BrokerPort
from rabbitry.connection.endpoint import Endpoint
from rabbitry.machine import MICROSECONDS_PER_SECOND, Entropy
from rabbitry.wire.content import Command
from rabbitry.wire.errors import (
    NOT_ALLOWED,
    AmqpException,
    ChannelException,
    ConnectionException,
)
from rabbitry.wire.methods import ChannelOpen, ConnectionBlocked, ConnectionUnblocked, Method

# So many commands may wait for their turn before the client's bytes are left unread.
BACKLOG_COMMANDS_MAX: Final = 1000
BACKLOG_BYTES_MAX: Final = 4 * 1024 * 1024
# Answers of one step, before what else waits for its turn waits for a later one.
ANSWERS_BYTES_MAX: Final = 1024 * 1024
# How long the last words wait for exclusive queues to go, at most: the coordinator may be away.
LAST_WORDS_US: Final = 10 * MICROSECONDS_PER_SECOND
CHANNEL_OPEN: Final = ChannelOpen().encode()[:4]


class ClientConnection:
    """See the module. `owner` names the connection in the whole cluster."""

    def __init__(
        self,
        link: int,
        endpoint: Endpoint,
        port: BrokerPort,
        entropy: Entropy,
        new_channel_number: Callable[[], int],
        on_dirty: Callable[[ClientConnection], None],
        log: ConnectionLog,
        alarms: Alarms,
        consumer_timeout_ms: int = 0,
    ) -> None:
        self.link = link
        self.endpoint = endpoint
        self.owner = f"{port.origin}/{link}"
        self.publishes = False  # it has published: flow control may hold its bytes back
        self.reading_paused = False
        self.blocked = False  # by an alarm
        self.backlogged = False  # after `receive`: as `backlog_exceeds`
        self.closed = False
        self.held_back: dict[int, None] = {}  # channels that go on in a later step
        self._port = port
        self._entropy = entropy
        self._new_channel_number = new_channel_number
        self._on_dirty = on_dirty
        self._log = log
        self._alarms = alarms
        self._told_blocked = False
        # While it is blocked: the commands that have come already, and bytes that came behind them.
        self._rest: Iterable[Command] | None = None
        self._bytes_behind: list[bytes] = []
        self._consumer_timeout_ms = consumer_timeout_ms  # 0: none
        self._channels: dict[int, Channel] = {}
        self._behind: dict[int, None] = {}  # channels for which commands may be waiting
        self._counted = self._queued_bytes = 0  # of what is queued: `has_much_to_send`
        self._to_flush: dict[int, None] = {}
        self._now = 0
        self._ended = False
        self._winding_up = False
        self._last_words_held = False
        self._hold_until = 0
        self._deliveries_paused = False

    # --- what the node does -----------------------------------------------------------------------

    def receive(self, data: bytes, now: int) -> None:
        """Take bytes of the client and carry out what they say."""
        self._now = now
        self._on_dirty(self)
        if self._rest is not None:
            self._bytes_behind.append(data)
        else:
            self._carry_out(self.endpoint.receive_bytes(data, now))

    def _carry_out(self, commands: Iterable[Command]) -> None:
        for command in commands:
            channel = self._channels.get(command.channel)
            if self._winding_up:
                if channel is not None:
                    channel.take_late(command)
                continue
            if channel is None:
                if command.frame[7:11] != CHANNEL_OPEN:
                    continue  # closed by this very batch: what follows on it is dropped
                refusal = self._port.channel_refusal(self.endpoint.user)
                if refusal:
                    self._fail(0, ConnectionException(NOT_ALLOWED, refusal))
                    continue
                holder = (self._port.origin, self._new_channel_number())
                channel = Channel(command.channel, holder, self, self._port)
                channel.pause(self._deliveries_paused)
                self._channels[command.channel] = channel
            if command.contents:
                self.publishes = True
                if self._alarms.reason and self.endpoint.state == "open":
                    self._block(chain((command,), commands))
                    break
            try:
                channel.handle(command)
            except AmqpException as fault:
                self._fail(command.channel, fault)
            if channel.waiting:
                self._behind[command.channel] = None
            elif channel.closed:
                self._forget_closed(command.channel)
        if (not self.publishes or self._alarms.reason) and self.endpoint.assembler.in_content:
            self.publishes = True  # before a content is whole, for it may never be
            if self._alarms.reason and not self.blocked and self.endpoint.state == "open":
                self._block(iter(()))
        self.backlogged = bool(self._behind) and self.backlog_exceeds()
        if self.endpoint.state == "closed" or self._closes_at_once:
            self._end_channels()
        self._log.look()

    @property
    def _closes_at_once(self) -> bool:
        return self.endpoint.state == "closing" and not self._winding_up

    def _block(self, rest: Iterable[Command]) -> None:
        """Carry out nothing more until `unblock`. What has come is no longer than one read."""
        self.blocked = True
        self._rest = rest
        if self.endpoint.peer_capabilities.get("connection.blocked") is True:
            self._told_blocked = True
            self.endpoint.send_method(0, ConnectionBlocked(self._alarms.reason))

    def unblock(self, now: int) -> None:
        """The alarms are over: say so, and carry out what has waited."""
        self._now = now
        self._on_dirty(self)
        self.blocked = False
        if self._told_blocked and self.endpoint.state == "open":
            self.endpoint.send_method(0, ConnectionUnblocked())
        self._told_blocked = False
        rest, self._rest = self._rest, None
        behind, self._bytes_behind = self._bytes_behind, []
        if rest is not None:
            self._carry_out(rest)
        for data in behind:
            self.receive(data, now)

    def take_bytes(self, now: int) -> bytes:
        """Return what shall be sent to the client."""
        if self._last_words_held:
            return b""
        to_flush, self._to_flush = self._to_flush, {}
        for number in to_flush:
            channel = self._channels.get(number)
            if channel is not None:
                channel.flush()
        self._counted = self._queued_bytes = 0
        return self.endpoint.take_bytes(now)

    def tick(self, now: int) -> None:
        """Heartbeats and time limits."""
        self._now = now
        self.endpoint.tick(now)
        if self._last_words_held and now >= self._hold_until:
            self._last_words_held = False
        if self.endpoint.finished:
            self._end_channels()
            self._log.look()
        elif self._consumer_timeout_ms:
            for number, channel in list(self._channels.items()):
                try:
                    channel.check_consumer_timeout(now, self._consumer_timeout_ms)
                except AmqpException as fault:
                    self._fail(number, fault)

    def close(self, reply_code: int, reply_text: str, now: int) -> None:
        """Close the connection for a reason of ours, which waits for nothing."""
        self._now = now
        self._end_channels()
        self._last_words_held = False
        self._log.forced(reply_code, reply_text)
        self.endpoint.close(reply_code, reply_text, now=now)
        if self.blocked:
            self.unblock(now)  # what has waited falls away, but for a close-ok
        self._on_dirty(self)

    def wind_up(self, reply_code: int, reply_text: str, now: int) -> None:
        """Close as `close` does, but take acknowledgements until the client has heard of it.

        It may have sent them before, and rely on them. Nothing else of it is carried out any more,
        nothing is delivered, and what it holds goes back only when it can acknowledge no more.
        """
        self._now = now
        self._winding_up = True
        for channel in self._channels.values():
            channel.wind_up()
        self._log.forced(reply_code, reply_text)
        self.endpoint.close(reply_code, reply_text, now=now, hear_settlements=True)
        self._delete_owned()
        if self.blocked:
            self.unblock(now)
        self._on_dirty(self)

    def lost(self) -> None:
        """The link is gone."""
        self.closed = True
        self._rest = None
        self._bytes_behind.clear()
        self._end_channels()
        self._log.closed()

    @property
    def finished(self) -> bool:
        """Whether all has been said, so that the link can be closed."""
        return self.endpoint.finished and not self._last_words_held

    def pause_reading(self, paused: bool, now: int) -> None:
        """The node leaves the client's bytes unread, or reads them again."""
        self.reading_paused = paused
        self.endpoint.pause_reading(paused, now)

    def pause_deliveries(self, paused: bool) -> None:
        """The client does not read fast enough, or does again."""
        self._deliveries_paused = paused
        for channel in list(self._channels.values()):
            channel.pause(paused)

    def backlog_exceeds(self) -> bool:
        """Whether more waits for its turn than should be kept in memory."""
        commands = size_bytes = 0
        for number in list(self._behind):
            channel = self._channels.get(number)
            more_commands, more_bytes = channel.backlog_size() if channel else (0, 0)
            if not more_commands:
                del self._behind[number]
            commands += more_commands
            size_bytes += more_bytes
        return commands > BACKLOG_COMMANDS_MAX or size_bytes > BACKLOG_BYTES_MAX

    def go_on(self, now: int) -> None:
        """Carry out what was held back, as far as one step may."""
        self._now = now
        self._on_dirty(self)
        held_back, self.held_back = self.held_back, {}
        for number in held_back:
            channel = self._channels.get(number)
            if channel is not None:
                channel.go_on()
        self._log.look()

    def _end_channels(self) -> None:
        """The connection is over, though its link may last: RabbitMQ's `close_connection`.

        Exclusive queues go now, so that a client that has heard close-ok can declare them anew.
        """
        channels, self._channels = self._channels, {}
        self.held_back.clear()
        self._behind.clear()
        for channel in channels.values():
            channel.close()
        if not self._ended:
            self._last_words_held = True
            self._hold_until = self._now + LAST_WORDS_US
            self._delete_owned()

    def _delete_owned(self) -> None:
        if not self._ended:
            self._ended = True
            self._port.delete_owned(self.owner, self._owned_deleted)

    def _forget_closed(self, number: int) -> None:
        channel = self._channels.get(number)
        if channel is not None and channel.closed:
            del self._channels[number]

    def _owned_deleted(self) -> None:
        self._last_words_held = False
        if not self.closed:
            self._on_dirty(self)

    def _fail(self, channel: int, fault: AmqpException) -> None:
        if isinstance(fault, ChannelException):
            self._log.channel_fault(channel, fault)
            found = self._channels.get(channel)
            if found is not None:
                found.flush()  # confirms that were earned go out before the close
                found.close()
                self._forget_closed(channel)
            if self.endpoint.state == "open":
                self.endpoint.close_channel(channel, fault)
        else:
            self._log.connection_fault(channel, fault)
            self._end_channels()
            self.endpoint.close(
                fault.reply_code,
                fault.reply_text,
                fault.class_id,
                fault.method_id,
                now=self._now,
            )
        self._on_dirty(self)

    # --- what channels do -------------------------------------------------------------------------

    @property
    def virtual_host(self) -> str:
        """The virtual host that the connection has opened."""
        return self.endpoint.virtual_host

    @property
    def user(self) -> str:
        """The user's name; empty before the login."""
        return self.endpoint.user

    @property
    def channel_count(self) -> int:
        """How many channels are open."""
        return len(self._channels)

    @cached_property
    def permissions(self) -> Permissions:
        """What the connection may do in its virtual host; asked for only when it is open."""
        return Permissions(self._port, self.endpoint.user, self.endpoint.virtual_host)

    @property
    def frame_size_max(self) -> int:
        """The longest frame that the client takes, in bytes; 0 for no limit."""
        return self.endpoint.frame_size_max

    @property
    def cancel_notify(self) -> bool:
        """Whether the client understands a `basic.cancel` from the server."""
        return self.endpoint.peer_capabilities.get("consumer_cancel_notify") is True

    def send_method(self, channel: int, method: Method) -> None:
        """Queue a method for the client."""
        self.endpoint.send_method(channel, method)
        self._on_dirty(self)

    def write(self, parts: Sequence[bytes]) -> None:
        """Queue frames for the client."""
        self.endpoint.write(parts)
        self._on_dirty(self)

    def wants_flush(self, channel: int) -> None:
        """Have the channel's confirms, and all bytes, sent at the end of this step."""
        self._to_flush[channel] = None
        self._on_dirty(self)

    def guard(self, channel: int, work: Callable[[], None]) -> None:
        """Do `work`; close the channel or the connection if it raises an `AmqpException`."""
        try:
            work()
        except AmqpException as fault:
            self._fail(channel, fault)
        self._forget_closed(channel)

    def has_much_to_send(self) -> bool:
        """Whether this step's answers are enough for one step. Each part is counted once."""
        queued = self.endpoint.queued
        self._queued_bytes += sum(map(len, islice(queued, self._counted, None)))
        self._counted = len(queued)
        return self._queued_bytes > ANSWERS_BYTES_MAX

    def hold_back(self, channel: int) -> None:
        """Have the channel's `go_on` called in a later step."""
        self.held_back[channel] = None

    def new_name(self, prefix: str) -> str:
        """Return a name that nobody else has (RabbitMQ: rabbit_guid, 128 bits in base64)."""
        token = urlsafe_b64encode(self._entropy.token_bytes(16)).decode().rstrip("=")
        return prefix + token
