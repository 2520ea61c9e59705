"""Which clients' bytes a node leaves unread, and why.

A client is not read, and its heartbeats are not missed, while the catalog is not known yet; while
too much that was published waits for leaders or for links to them, if the client publishes; while
it publishes under an alarm; while too many of its commands wait for their turn; and while it leaves
too much of our replies unread. Costs a client to which nothing of this applies nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from rabbitry.broker.alarms import Alarms
from rabbitry.broker.client_connection import ClientConnection

# What this node's clients have published and leaders have not accepted: above the first figures
# clients that publish are not read, below the second they are again.
BACKLOG_MESSAGES_HIGH: Final = 40_000
BACKLOG_MESSAGES_LOW: Final = 20_000
BACKLOG_BYTES_HIGH: Final = 64 << 20
BACKLOG_BYTES_LOW: Final = 32 << 20
# What is sent, besides deliveries, to a client that does not read, before it is not read either.
UNREAD_BYTES_MAX: Final = 1 << 20


class Reading:
    """See the module. `act` pauses (True) or resumes the reading of a client's link."""

    def __init__(
        self,
        clients: dict[int, ClientConnection],
        alarms: Alarms,
        act: Callable[[ClientConnection, bool], None],
    ) -> None:
        self.ready = False  # the catalog is known
        self._held = False  # nobody publishes any more: the node is about to end
        self._clients = clients
        self._alarms = alarms
        self._act = act
        self._messages = self._bytes = 0
        self._congested: dict[int, None] = {}  # links to nodes with too much waiting to be sent
        self._publishers_paused = False
        self._backlogged: dict[ClientConnection, None] = {}
        self._blocked: dict[ClientConnection, None] = {}
        # Clients that do not read fast enough, and how many bytes they were sent since.
        self._unread: dict[ClientConnection, int] = {}

    def judge(self, client: ClientConnection) -> None:
        """Read the client or not, by what holds now."""
        paused = (
            not self.ready
            or ((self._publishers_paused or self._held) and client.publishes)
            or client.blocked
            or client in self._backlogged
            or self._unread.get(client, 0) > UNREAD_BYTES_MAX
        )
        if paused != client.reading_paused:
            self._act(client, paused)

    @property
    def idle(self) -> bool:
        """Whether nothing waits to be accepted."""
        return not self._messages

    def hold_publishers(self, held: bool) -> None:
        """Read nothing more of those who publish, or do again."""
        self._held = held
        self.judge_all()

    def judge_all(self) -> None:
        """Something has changed that concerns all."""
        for client in self._clients.values():
            self.judge(client)

    def received(self, client: ClientConnection) -> None:
        """The client has carried out what it was sent."""
        if client.backlogged:
            self._backlogged[client] = None
        if client.blocked:
            self._blocked[client] = None
        if client.backlogged or client.blocked or (self._publishers_paused and client.publishes):
            self.judge(client)

    def sent(self, client: ClientConnection, size_bytes: int) -> None:
        """So much was sent to the client."""
        if client in self._unread:
            self._unread[client] += size_bytes
            self.judge(client)

    def writing_changed(self, client: ClientConnection, paused: bool) -> None:
        """The client does not read fast enough, or does again."""
        client.pause_deliveries(paused)
        if paused:
            self._unread.setdefault(client, 0)
        else:
            self._unread.pop(client, None)
            self.judge(client)

    def is_slow(self, client: ClientConnection) -> bool:
        """Whether more waits for the client to read than the driver likes."""
        return client in self._unread

    def link_congested(self, link: int, congested: bool) -> None:
        """Too much waits for a link to a node, or no longer."""
        if congested:
            self._congested[link] = None
        else:
            self._congested.pop(link, None)

    def backlog_grew(self, messages: int, size_bytes: int) -> None:
        """Count what waits to be accepted (negative: what does no longer)."""
        self._messages += messages
        self._bytes += size_bytes

    def forget(self, client: ClientConnection) -> None:
        """The client is gone."""
        for clients in (self._backlogged, self._unread, self._blocked):
            clients.pop(client, None)

    def alarms_over(self, now: int) -> None:
        """Let those go on that were blocked."""
        blocked, self._blocked = self._blocked, {}
        for client in blocked:
            client.unblock(now)
            self.received(client)
            self.judge(client)

    def control(self) -> None:
        """At the end of each step: follow what waits."""
        messages, size_bytes = BACKLOG_MESSAGES_HIGH, BACKLOG_BYTES_HIGH
        if self._publishers_paused:
            messages, size_bytes = BACKLOG_MESSAGES_LOW, BACKLOG_BYTES_LOW
        paused = bool(self._congested) or self._messages > messages or self._bytes > size_bytes
        if paused != self._publishers_paused:
            self._publishers_paused = paused
            self.judge_all()
        if self._backlogged:
            for client in list(self._backlogged):
                if not client.backlog_exceeds():
                    del self._backlogged[client]
                    self.judge(client)
