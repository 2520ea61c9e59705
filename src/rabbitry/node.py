"""One broker node: clients, queues, peers and the coordinator's word, composed into one machine.

Listens on "amqp" and "amqps" (with TLS) for clients and on "cluster" for other nodes. Everything of
one step is gathered and sent at its end: first what goes to other nodes, then what goes to clients,
one `SendBytes` for each link. `Asked("shutdown")` closes the clients' connections and answers when
they are gone.

When a client's bytes are left unread is `rabbitry.broker.reading`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from rabbitry import __version__
from rabbitry.broker.alarms import Alarms
from rabbitry.broker.authentication import Authentication
from rabbitry.broker.client_connection import ClientConnection
from rabbitry.broker.connection_log import ConnectionLog
from rabbitry.broker.reading import Reading
from rabbitry.cluster.access_records import ConnectionsTold, UserDeleted, VirtualHostDeleted
from rabbitry.cluster.administration import Administration
from rabbitry.cluster.alarming import Alarming
from rabbitry.cluster.catalog import Catalog
from rabbitry.cluster.consequences import apply_all, left_without
from rabbitry.cluster.dead_letter_routing import DeadLetterRouter
from rabbitry.cluster.hosting import Hosting
from rabbitry.cluster.inspecting import by_name
from rabbitry.cluster.keeping import SHUTDOWN_TEXT, Keeping
from rabbitry.cluster.membership import Membership
from rabbitry.cluster.node_settings import NodeSettings
from rabbitry.cluster.peers import Peers
from rabbitry.cluster.records import (
    AlarmsTold,
    AnyRecord,
    Change,
    Refused,
    ReplyRecord,
    Request,
)
from rabbitry.cluster.replies import Replies
from rabbitry.connection.endpoint import Endpoint
from rabbitry.machine import (
    MICROSECONDS_PER_SECOND,
    Address,
    AlarmChanged,
    Answer,
    Asked,
    BytesReceived,
    CloseLink,
    CommitFailed,
    Committed,
    Effect,
    Entropy,
    Event,
    LinkClosed,
    LinkFinished,
    LinkOpened,
    ListenerOpened,
    Loaded,
    OpenLink,
    PauseReading,
    Report,
    ResumeReading,
    SendBytes,
    SetTimer,
    Started,
    TimerFired,
    WritingPaused,
    WritingResumed,
)
from rabbitry.wire.errors import CONNECTION_FORCED
from rabbitry.wire.values import FieldValue

__all__ = ["Node", "NodeSettings"]

CLIENT_LISTENERS: Final = ("amqp", "amqps")
TICK_US: Final = 100_000
CLIENT_TURNS: Final = MICROSECONDS_PER_SECOND // TICK_US


class Node:
    """See the module."""

    def __init__(self, settings: NodeSettings, entropy: Entropy) -> None:
        self._settings = settings
        self._entropy = entropy
        self._now = 0
        self._effects: list[Effect] = []
        self._next_link = -1
        self._next_channel = 0
        self._clients: dict[int, ClientConnection] = {}
        self._dirty: dict[ClientConnection, None] = {}
        self._client_turns = [0] * CLIENT_TURNS  # when the next is due
        self._to_go_on: dict[ClientConnection, None] = {}  # in the next step
        self._wake_at: int | None = None  # when the timer fires; it may be in vain
        self._alarms = Alarms()
        self._alarming = Alarming(self, settings.name, self._alarms)
        self._reading = Reading(self._clients, self._alarms, self._set_reading)
        name, secret = settings.name, settings.secret
        self._origin = f"{name}#{settings.incarnation}"
        self._peers = Peers(self, name, settings.incarnation, secret, entropy)
        self._membership = Membership(
            self, name, settings.incarnation, secret, settings.coordinator, entropy
        )
        self._keeping = Keeping(self, self._alarming, entropy)
        store, memory = self._keeping.store, settings.queue_memory_bytes_max
        self._hosting = Hosting(self, name, self._origin, self._peers, store, memory)
        self._keeping.hosting = self._hosting
        self.statistics = self._hosting.statistics
        self.quiesce = self._hosting.quiesce
        self._replies = Replies(self._origin, self._peers, self._hosting.routes)
        self._administration = Administration(
            self._origin, self._hosting, self.request, self._replies, self._clients.values
        )
        self.dead_letter = DeadLetterRouter(self._administration, self.now).publish
        self._tracking = self._administration.tracking
        self._authentication = Authentication(self._tracking, settings.loopback_users)
        self._properties: dict[str, FieldValue] = {
            "product": "Rabbitry",
            "version": __version__,
            "platform": "Python",
            "cluster_name": "rabbitry",
            "information": "AMQP 0-9-1 messaging that stays up",
        }

    def step(self, event: Event, now: int) -> list[Effect]:
        """Take one event; see `rabbitry.machine`."""
        self._now = now
        if type(event) is BytesReceived:
            self._receive(event.link, event.data)
        else:
            self._take(event)
        self._hosting.flush()
        self._set_wake()
        self._reading.control()
        if self._tracking.changed:
            self._tell_connections()
        effects = self._effects
        data = self._membership.take_bytes()
        if data and self._membership.link is not None:
            effects.append(SendBytes(self._membership.link, data))
        for link, data in self._peers.take_bytes():
            effects.append(SendBytes(link, data))
        while self._dirty:
            dirty, self._dirty = self._dirty, {}
            for client in dirty:
                self._flush_client(client)
        effects += self._keeping.store.take_effects()
        self._effects = []
        return effects

    def _take(self, event: Event) -> None:
        match event:
            case TimerFired():
                if event.timer == "go on":
                    self._go_on()
                elif event.timer == "wake":
                    self._wake_at = None
                    self._hosting.wake_up()
                else:
                    self._tick()
            case LinkOpened():
                self._link_opened(event)
            case LinkFinished():
                self._effects.append(CloseLink(event.link))
            case LinkClosed():
                self._link_closed(event.link)
            case WritingPaused() | WritingResumed():
                self._writing_changed(event.link, isinstance(event, WritingPaused))
            case ListenerOpened():
                if event.listener == "cluster":
                    self._keeping.listening(event.address)
            case AlarmChanged():
                self._alarming.changed(event.resource, event.resource, event.low)
            case Committed() | CommitFailed() | Loaded():
                self._keeping.take(event, self._now)
            case Started():
                self._effects.append(SetTimer("tick", self._now + TICK_US))
                self._keeping.take(event, self._now)
            case Asked():
                self._asked(event)

    # --- links ------------------------------------------------------------------------------------

    def _receive(self, link: int, data: bytes) -> None:
        client = self._clients.get(link)
        if client is not None:
            client.receive(data, self._now)
            self._reading.received(client)
        elif link == self._membership.link:
            self._membership.receive(data, self._now)
        else:
            self._peers.receive(link, data)

    def _link_opened(self, event: LinkOpened) -> None:
        if event.listener in CLIENT_LISTENERS:
            if self._keeping.ending:
                self._effects.append(CloseLink(event.link, abort=True))
            else:
                self._client_opened(event)
        elif event.link == self._membership.link:
            self._membership.link_opened()
        else:
            self._peers.link_opened(event.link, opener=not event.listener)

    def _client_opened(self, event: LinkOpened) -> None:
        endpoint = Endpoint(
            "server",
            self._now,
            authenticator=self._authentication,
            peer_host=event.peer.host,
            peer_name=event.peer_name,
            properties=self._properties,
        )
        endpoint.assembler.body_size_bytes_max = self._settings.max_message_size_bytes
        client = ClientConnection(
            event.link,
            endpoint,
            self._administration,
            self._entropy,
            self._new_channel,
            self._mark_dirty,
            ConnectionLog(endpoint, str(event.peer), self._tell),
            self._alarms,
            self._settings.consumer_timeout_ms,
        )
        self._clients[event.link] = client
        # Where nothing is known yet of virtual hosts and queues, the client waits for the greeting.
        self._reading.judge(client)

    def _link_closed(self, link: int) -> None:
        self._reading.link_congested(link, False)
        client = self._clients.pop(link, None)
        if client is not None:
            self._dirty.pop(client, None)
            self._to_go_on.pop(client, None)
            self._reading.forget(client)
            client.lost()
            self._tracking.changed = True
            self._keeping.clients_left(len(self._clients))
        elif link == self._membership.link:
            self._membership.link_closed()
        else:
            self._peers.link_closed(link)

    def _writing_changed(self, link: int, paused: bool) -> None:
        client = self._clients.get(link)
        if client is not None:
            self._reading.writing_changed(client, paused)
            if not paused:
                self._mark_dirty(client)  # it may have been held back
        else:
            self._reading.link_congested(link, paused)

    def _flush_client(self, client: ClientConnection) -> None:
        data = client.take_bytes(self._now)
        self._dirty.pop(client, None)  # by its own last words, which are taken
        if client.closed:
            return
        if data:
            self._effects.append(SendBytes(client.link, data))
            self._reading.sent(client, len(data))
        if client.held_back and not self._reading.is_slow(client):
            if not self._to_go_on:
                self._effects.append(SetTimer("go on", self._now))
            self._to_go_on[client] = None
        if client.finished:
            self._effects.append(CloseLink(client.link))

    def _mark_dirty(self, client: ClientConnection) -> None:
        self._dirty[client] = None

    def _new_channel(self) -> int:
        self._next_channel += 1
        return self._next_channel

    def _set_reading(self, client: ClientConnection, paused: bool) -> None:
        client.pause_reading(paused, self._now)
        effect = PauseReading(client.link) if paused else ResumeReading(client.link)
        self._effects.append(effect)

    # --- time and the operator --------------------------------------------------------------------

    def _set_wake(self) -> None:
        """Have the timer fire when the first message, or queue, expires that can."""
        due = self._hosting.next_wake()
        if due is None:
            return
        at = max(due - self._settings.wall_clock_offset_us, self._now)
        if self._wake_at is None or at < self._wake_at:
            self._wake_at = at
            self._effects.append(SetTimer("wake", at))

    def _tick(self) -> None:
        now = self._now
        self._effects.append(SetTimer("tick", now + TICK_US))
        self._membership.tick(now)
        self._peers.tick()
        self._hosting.tick(now)
        for turn, due in enumerate(self._client_turns):
            if now >= due:
                next_second = (now // MICROSECONDS_PER_SECOND + 1) * MICROSECONDS_PER_SECOND
                self._client_turns[turn] = next_second + turn * TICK_US
                self._tick_clients(turn)
                self._tracking.changed |= not turn  # channels may have come and gone
        self._close_clients()
        if self._keeping.tick(now):
            for link in list(self._clients):
                self._effects.append(CloseLink(link, abort=True))

    def _tick_clients(self, turn: int) -> None:
        """Look at a part of the clients, each once a second: ten thousand not all at once."""
        for client in [one for link, one in self._clients.items() if link % CLIENT_TURNS == turn]:
            client.tick(self._now)
            self._mark_dirty(client)

    def _go_on(self) -> None:
        """Have clients carry out what was too much for one step, unless they do not read."""
        to_go_on, self._to_go_on = self._to_go_on, {}
        for client in to_go_on:
            if not self._reading.is_slow(client):
                client.go_on(self._now)

    def _asked(self, event: Asked) -> None:
        if event.question == "shutdown":
            self._membership.ending = True
            self._keeping.end(event.number, self._now)
            self._reading.hold_publishers(True)
            self._close_clients()
        else:
            self._effects.append(Answer(event.number, None))

    def _close_clients(self) -> None:
        """Ask all clients to go, if publishers were sent their confirms, or have waited long."""
        if not self._keeping.may_close(self._reading.idle, self._now):
            return
        for client in self._clients.values():
            client.wind_up(CONNECTION_FORCED, SHUTDOWN_TEXT, self._now)
        self._reading.hold_publishers(False)
        self._keeping.clients_left(len(self._clients))

    def inspect(self) -> dict[str, dict[str, Any]]:
        """Return what this node holds of each queue, for checkers: by name, plain data."""
        return by_name(self._hosting.inspect(), self._administration.catalog)

    # --- what the parts need ----------------------------------------------------------------------

    def open_link(self, address: Address) -> int:
        """Open a link and return its number."""
        link = self._next_link
        self._next_link -= 1
        self._effects.append(OpenLink(link, address))
        return link

    def close_link(self, link: int) -> None:
        """Close a link at once."""
        self._effects.append(CloseLink(link, abort=True))

    def emit(self, effect: Effect) -> None:
        """Have this done by the driver."""
        self._effects.append(effect)

    def report(self, level: str, what: str, **details: object) -> None:
        """Tell people."""
        self._effects.append(Report(level, what, details))

    def _tell(self, level: str, what: str, details: dict[str, object]) -> None:
        self.emit(Report(level, what, details))

    def request(self, request: Request, on_answer: Callable[[Refused | None], None]) -> None:
        """Ask the coordinator."""
        self._membership.request(request, on_answer)

    def catalog_revision(self) -> int:
        """Return the revision of the catalog that this node has applied."""
        return self._membership.revision

    def backlog_grew(self, messages: int, size_bytes: int) -> None:
        """Count what waits to be accepted (negative: what does no longer)."""
        self._reading.backlog_grew(messages, size_bytes)

    def now(self) -> int:
        """Return the time, in microseconds since 1970."""
        return self._now + self._settings.wall_clock_offset_us

    def peer_up(self, name: str, origin: str) -> None:
        """Records can be sent to the node."""
        self.report("debug", "node connected", node=name)
        self._hosting.peer_up(name, origin)
        self._tell_connections(again=True)
        if self._alarming.own:
            self._peers.send(name, AlarmsTold(self._alarming.own))

    def _tell_connections(self, again: bool = False) -> None:
        """Tell the other nodes how many connections there are here, where limits are set."""
        news = self._tracking.take_news(again=again)
        if news is not None:
            for name in self._administration.catalog.nodes:
                if self._peers.is_up(name):
                    self._peers.send(name, news)

    def peer_down(self, name: str, origin: str) -> None:
        """What was on the way to or from the node is lost."""
        self._tracking.forget(name)
        self.report("debug", "node disconnected", node=name)
        self._hosting.peer_down(name, origin)
        self._replies.peer_down(name)
        self._alarming.told(name, [])

    def take_record(self, name: str, origin: str, record: AnyRecord) -> None:
        """Take a record of another node."""
        if isinstance(record, ConnectionsTold):
            self._tracking.told(name, record)
        elif isinstance(record, ReplyRecord):
            self._replies.take(name, record)
        elif isinstance(record, AlarmsTold):
            self._alarming.told(name, record.resources)
        else:
            self._hosting.take_record(name, origin, record)

    # --- alarms and the store ---------------------------------------------------------------------

    def low_on(self, resources: list[str]) -> None:
        """This node is low on these: tell all other nodes, and the coordinator."""
        self._membership.low_on(resources)
        for name in self._administration.catalog.nodes:
            self._peers.send(name, AlarmsTold(resources))

    def alarms_over(self) -> None:
        """Nothing keeps publishers any more."""
        self._reading.alarms_over(self._now)

    def recovered(self, address: Address) -> None:
        """All that was kept is in its place, and other nodes reach this one at `address`: join."""
        self._membership.store = self._keeping.store.name
        self._membership.damaged = self._keeping.store.damaged
        self._membership.cluster = self._keeping.store.cluster
        self._membership.life, self._membership.revision = self._keeping.store.heard
        self._membership.begin(address, self._now)

    # --- the catalog ------------------------------------------------------------------------------

    def welcomed(self, changes: list[Change]) -> None:
        """Take the whole catalog anew."""
        self._keeping.store.join_cluster(self._membership.cluster)
        self._keeping.store.hear(self._membership.life, self._membership.revision)
        catalog = Catalog()
        for change in changes:
            catalog.apply(change)
        self._keeping.welcomed(catalog)
        self._administration.set_catalog(catalog)
        gone = self._hosting.set_catalog(catalog)
        self._close_clients_of(left_without(catalog, self._clients.values()))
        self._peers.set_nodes(catalog.nodes)
        self._reading.ready = True
        self._reading.judge_all()
        for proxy in gone:
            proxy.deleted()

    def changed(self, changes: list[Change]) -> None:
        """Take changes of the catalog, in order; nobody is told before all are made."""
        self._keeping.store.hear(self._membership.life, self._membership.revision)
        catalog = self._administration.catalog
        found = apply_all(catalog, changes)
        gone = self._hosting.follow(found.placed, found.deleted, found.ended)
        self._close_clients_of(found.left_without)
        self._tracking.changed = True
        if found.nodes_changed:
            self._peers.set_nodes(catalog.nodes)
        for proxy in gone:
            proxy.deleted()

    def _close_clients_of(self, gone: list[UserDeleted | VirtualHostDeleted]) -> None:
        """Close connections (RabbitMQ: rabbit_connection_tracking.erl handle_cast/1)."""
        for one in gone:
            is_user, name = isinstance(one, UserDeleted), one.name
            # RabbitMQ says "is down" of a virtual host that is deleted: its processes end first.
            what = f"user '{name}' is deleted" if is_user else f"vhost '{name}' is down"
            for client in list(self._clients.values()):
                if name == (client.user if is_user else client.virtual_host):
                    client.close(CONNECTION_FORCED, f"CONNECTION_FORCED - {what}", self._now)
