"""An AMQP client of the workload, as a machine: connects, logs in, opens a channel, comes back.

Owns the life of the connection; what is done over the channel is the subclass's. A client that
loses its connection, whatever the reason, tries the next address after a pause. What publishers and
consumers share is here, what they want is in `workload`.

Invariant: at most one link at a time; what an older link still tells is ignored.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from rabbitry import machine as m
from rabbitry.connection.endpoint import Endpoint
from rabbitry.connection.handshake import Credentials
from rabbitry.simulation.history import History
from rabbitry.wire.content import Command
from rabbitry.wire.methods import (
    ChannelClose,
    ChannelCloseOk,
    ChannelOpen,
    ChannelOpenOk,
    Method,
    QueueDeclare,
    QueueDeclareOk,
)
from rabbitry.wire.values import FieldValue

CHANNEL = 1
_TICK_US = 500_000
_CONNECT_PATIENCE_US = 2_000_000


@dataclass(frozen=True, slots=True)
class ClientSettings:
    """Whom a client talks to. Times in microseconds."""

    name: str
    queue: str
    addresses: tuple[m.Address, ...]
    first_connect_us: int = 0
    backoff_us_min: int = 20_000
    backoff_us_max: int = 250_000
    heartbeat_s: int = 1
    queue_arguments: tuple[tuple[str, FieldValue], ...] = ()
    capabilities: tuple[str, ...] = ("basic.nack", "publisher_confirms", "consumer_cancel_notify")


class Client:
    """The connection of one workload client to one queue."""

    def __init__(self, settings: ClientSettings, history: History, random: Random) -> None:
        self.client_settings = settings
        self.history = history
        self.random = random
        self.connections_count = 0
        self.node = ""  # whom the connection is to
        self.ready = False
        self._addresses: Sequence[m.Address] = settings.addresses
        self._next_address = random.randrange(len(settings.addresses))
        self._links_count = 0
        self._link = 0
        self._opened = False
        self._channel_asked = False
        self._endpoint: Endpoint | None = None
        self._effects: list[m.Effect] = []
        self.now = 0

    # --- for the subclass ------------------------------------------------------------------------

    def on_queue_ready(self) -> None:
        """Hear that the channel is open and the queue declared."""

    def on_command(self, method: Method, contents: list[bytes]) -> None:
        """Hear a method of the channel."""

    def on_lost(self) -> None:
        """Hear that the connection is gone."""

    def on_channel_closed(self, method: ChannelClose) -> None:
        """Hear what the broker holds against the channel, before the connection is given up."""

    def on_timer(self, timer: str) -> None:
        """Hear of a timer other than the connection's own."""

    @property
    def endpoint(self) -> Endpoint:
        """The endpoint of the connection that is ready."""
        assert self._endpoint is not None
        return self._endpoint

    def set_timer(self, timer: str, delay_us: int) -> None:
        """Set a timer `delay_us` from now."""
        self._effects.append(m.SetTimer(timer, self.now + delay_us))

    def pause_reading(self, paused: bool) -> None:
        """Take nothing from the link, or take it again."""
        if self._link and self._opened:
            link = self._link
            self._effects.append(m.PauseReading(link) if paused else m.ResumeReading(link))

    def disconnect(self, *, politely: bool) -> None:
        """End the connection: with connection.close, or as a process that dies."""
        if politely and self._endpoint is not None:
            self.ready = False
            self._endpoint.close(now=self.now)
        else:
            self._lose("aborted", abort=True)

    # --- the machine -----------------------------------------------------------------------------

    def step(self, event: m.Event, now: int) -> list[m.Effect]:
        """Take one event."""
        self.now = now
        if isinstance(event, m.BytesReceived):
            if event.link == self._link:
                self._receive(event.data)
        elif isinstance(event, m.TimerFired):
            self._take_timer(event.timer)
        elif isinstance(event, m.LinkOpened):
            if event.link == self._link:
                self._start_connection()
        elif isinstance(event, m.LinkClosed | m.LinkFinished):
            if event.link == self._link:
                self._lose("link closed", abort=False)
        elif isinstance(event, m.Started):
            self.set_timer("connect", self.client_settings.first_connect_us)
        self._flush()
        effects, self._effects = self._effects, []
        return effects

    def _take_timer(self, timer: str) -> None:
        if timer == "connect":
            self._connect()
        elif timer == "tick":
            if self._endpoint is not None:
                self._endpoint.tick(self.now)
                self.set_timer("tick", _TICK_US)
        elif timer == "patience":
            if not self.ready:
                self._lose("nothing came of it in time", abort=True)
        else:
            self.on_timer(timer)

    def _connect(self) -> None:
        if self._link:
            return
        address = self._addresses[self._next_address]
        self._next_address = (self._next_address + 1) % len(self._addresses)
        self.node = address.host
        self._links_count += 1
        self._link = -self._links_count
        self._opened = False
        self._effects.append(m.OpenLink(self._link, address))
        self.set_timer("patience", _CONNECT_PATIENCE_US)

    def _start_connection(self) -> None:
        settings = self.client_settings
        self._opened = True
        self._channel_asked = False
        self._endpoint = Endpoint(
            "client",
            self.now,
            credentials=Credentials("guest", "guest"),
            properties={"capabilities": dict.fromkeys(settings.capabilities, True)},
            heartbeat_s=settings.heartbeat_s,
        )
        self.set_timer("tick", _TICK_US)

    def _receive(self, data: bytes) -> None:
        endpoint = self._endpoint
        assert endpoint is not None
        for command in endpoint.receive_bytes(data, self.now):
            self._take_command(command)
            if self._endpoint is not endpoint:
                return
        if endpoint.state == "open" and not self._channel_asked:
            self._channel_asked = True
            endpoint.send_method(CHANNEL, ChannelOpen())

    def _take_command(self, command: Command) -> None:
        method = command.method()
        if isinstance(method, ChannelOpenOk):
            queue = self.client_settings.queue
            self.endpoint.send_method(
                CHANNEL,
                QueueDeclare(
                    queue=queue, durable=True, arguments=dict(self.client_settings.queue_arguments)
                ),
            )
        elif isinstance(method, QueueDeclareOk) and not self.ready:
            self.connections_count += 1
            self.ready = True
            self.on_queue_ready()
        elif isinstance(method, ChannelClose):
            # Whatever the broker holds against the channel: start anew, as a careful client does.
            self._report("channel closed", method)
            self.on_channel_closed(method)
            self.endpoint.send_method(CHANNEL, ChannelCloseOk())
            self.disconnect(politely=True)
        else:
            self.on_command(method, command.contents)

    def _report(self, what: str, method: ChannelClose) -> None:
        details = {"code": method.reply_code, "text": method.reply_text}
        self._effects.append(m.Report("info", what, details))

    def _lose(self, reason: str, *, abort: bool) -> None:
        if not self._link:
            return
        self._effects.append(m.CloseLink(self._link, abort))
        self._effects.append(m.Report("info", "connection lost", {"reason": reason}))
        self._link = 0
        self._endpoint = None
        self.ready = False
        self.history.lose_connection(self.now, self.client_settings.name, self.connections_count)
        self.on_lost()
        settings = self.client_settings
        self.set_timer(
            "connect", self.random.randint(settings.backoff_us_min, settings.backoff_us_max)
        )

    def _flush(self) -> None:
        endpoint = self._endpoint
        if endpoint is None:
            return
        data = endpoint.take_bytes(self.now)
        if data:
            self._effects.append(m.SendBytes(self._link, data))
        if endpoint.finished:
            self._lose(endpoint.end_reason, abort=False)
