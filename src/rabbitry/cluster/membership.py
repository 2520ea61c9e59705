"""A node's standing with the coordinator: joining, following the catalog, asking for changes.

The node opens one link to the coordinator and keeps it open, trying again for ever. While it is
down nothing can be declared and nothing fails over, but what is known stays known: queues serve,
messages flow. Requests that were not answered are asked again after the next welcome; all of them
may be carried out twice. Every `HEARTBEAT_US` the node says that it lives, and the coordinator
answers; a link over which nothing comes for `SILENCE_US` leads nowhere (its other end went dark)
and is given up.

What a node has in its store belongs to one cluster, for ever. If the coordinator's is another
(somebody has exchanged a data directory, or part of one), the node ends before it follows a catalog
that does not know its queues. So it does if the coordinator's store is an older copy, which has not
all that this node has heard (`cluster.lives`).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final, Protocol

from rabbitry.cluster.links import ClusterLink
from rabbitry.cluster.records import (
    Answered,
    AnyRecord,
    Change,
    Changed,
    Followed,
    Join,
    Quiesce,
    Quiesced,
    Refused,
    Request,
    Requested,
    StatisticsAsked,
    StatisticsTold,
    TurnedAway,
    Welcomed,
)
from rabbitry.machine import Address, Effect, Entropy, Stop

HEARTBEAT_US: Final = 250_000
RETRY_US: Final = 100_000
SILENCE_US: Final = 2_000_000
LOST_US: Final = 2 * RETRY_US
"""How long the coordinator may be away unsaid: in an orderly end it goes just before its nodes."""


class MembershipPort(Protocol):
    """What membership needs of its node."""

    def open_link(self, address: Address) -> int:
        """Open a link and return its number."""
        ...

    def close_link(self, link: int) -> None:
        """Close a link at once."""
        ...

    def report(self, level: str, what: str, **details: object) -> None:
        """Tell people."""
        ...

    def welcomed(self, changes: list[Change]) -> None:
        """Take the whole catalog anew."""
        ...

    def changed(self, changes: list[Change]) -> None:
        """Take changes of the catalog."""
        ...

    def statistics(self) -> list[tuple[int, int, int]]:
        """Return (queue, messages, consumers) of each queue led here."""
        ...

    def quiesce(self, queues: list[int], done: Callable[[], None]) -> None:
        """Let nothing more out of these queues; `done` when what was on its way has settled."""
        ...

    def emit(self, effect: Effect) -> None:
        """Have this done by the driver."""
        ...


OnAnswer = Callable[[Refused | None], None]


class Membership:
    """See the module."""

    def __init__(
        self,
        port: MembershipPort,
        name: str,
        incarnation: str,
        secret: bytes,
        coordinator: Address,
        entropy: Entropy,
    ) -> None:
        self.link: int | None = None
        self.life = ""  # of the coordinator, in which the revision was heard
        self.revision = 0
        self.store = ""  # what the node keeps its messages in
        self.damaged: list[int] = []  # queues that it had, and cannot vouch for
        self.cluster = ""  # of which cluster what it keeps is; empty: of none so far
        self.ending = False  # the node ends, and nobody has to be told that others do
        self.joined = False  # the catalog is known; it stays known when the link breaks
        self._alarms: tuple[str, ...] = ()  # what this node is low on
        self._port = port
        self._name = name
        self._incarnation = incarnation
        self._secret = secret
        self._coordinator = coordinator
        self._entropy = entropy
        self._address: Address | None = None
        self._session: ClusterLink | None = None
        self._welcome = False  # on this link
        self._next_request = 1
        self._requests: dict[int, tuple[Request, OnAnswer]] = {}
        self._try_at = 0
        self._beat_at = 0
        self._heard_at = 0
        self._ticked_at = 0
        self._lost_at: int | None = None  # until that is said

    def begin(self, address: Address, now: int) -> None:
        """Other nodes reach this one at `address`: join."""
        self._address = address
        self._try_at = now
        self.tick(now)

    def tick(self, now: int) -> None:
        """Open the link where there is none, and say that we live; ten times a second."""
        if now - self._ticked_at > SILENCE_US // 2:
            self._heard_at = now  # we were stopped: what has come meanwhile is still to be read
        self._ticked_at = now
        if self.link is not None and now - self._heard_at > SILENCE_US:
            self._port.close_link(self.link)
            self.link_closed()
        if self._lost_at is not None and now - self._lost_at > LOST_US and not self.ending:
            self._lost_at = None
            self._port.report("warning", "coordinator lost")
        if self._address is not None and self.link is None and now >= self._try_at:
            self.link = self._port.open_link(self._coordinator)
            self._try_at = now + RETRY_US
            self._heard_at = now
        if self._welcome and self._session is not None and now >= self._beat_at:
            self._beat_at = now + HEARTBEAT_US
            self._follow(self._session)

    def request(self, request: Request, on_answer: OnAnswer) -> None:
        """Ask for a change; the answer comes when all nodes have it. It may take for ever."""
        number = self._next_request
        self._next_request += 1
        self._requests[number] = (request, on_answer)
        if self._welcome and self._session is not None:
            self._session.send(Requested(number, request))

    def low_on(self, resources: list[str]) -> None:
        """This node is low on these, and on nothing else: say so now, and with every heartbeat."""
        self._alarms = tuple(resources)
        if self._welcome and self._session is not None:
            self._follow(self._session)

    def _follow(self, session: ClusterLink) -> None:
        session.send(Followed(self.revision, self._alarms))

    def _quiesced(self, number: int) -> None:
        if self._welcome and self._session is not None:
            self._session.send(Quiesced(number))

    # --- the link ---------------------------------------------------------------------------------

    def link_opened(self) -> None:
        """The link that was asked for is open."""
        self._session = ClusterLink(
            True, self._secret, self._name, self._incarnation, self._entropy
        )

    def link_closed(self) -> None:
        """The link is gone, or could not be opened."""
        if self._welcome:
            self._lost_at = self._ticked_at
        self.link, self._session, self._welcome = None, None, False

    def take_bytes(self) -> bytes:
        """Return what shall be sent."""
        return self._session.take_bytes() if self._session is not None else b""

    def receive(self, data: bytes, now: int) -> None:
        """Take bytes of the coordinator."""
        session = self._session
        if session is None:
            return
        self._heard_at = now
        was_ready = session.ready
        records = session.receive(data)
        if session.ready and not was_ready and self._address is not None:
            host, port = self._address.host, self._address.port
            standing = self.store, self.damaged, self.cluster, self.life, self.revision
            session.send(Join(self._name, self._incarnation, host, port, *standing))
        for record in records:
            self._take(session, record)
        if session.failure:
            self._port.report("error", "coordinator refused", reason=session.failure)
            if self.link is not None:
                self._port.close_link(self.link)
            self.link_closed()

    def _take(self, session: ClusterLink, record: AnyRecord) -> None:
        if isinstance(record, Welcomed) and self.cluster not in ("", record.cluster):
            what = "this node's store belongs to another cluster"
            self._port.report("error", what, cluster=self.cluster, coordinator=record.cluster)
            text = (
                f"{what} than the coordinator's: put back the store that was exchanged or moved "
                "away, or have a whole backup with `rabbitry restore FILE`"
            )
            self._port.emit(Stop(text))
        elif isinstance(record, TurnedAway):
            self._port.report("error", "the coordinator has turned this node away")
            self._port.emit(Stop(record.reason))
        elif isinstance(record, Welcomed):
            self.cluster = record.cluster
            unanswered = list(self._requests.items())
            self._welcome = self.joined = True
            self._lost_at = None
            self.life, self.revision = record.life, record.revision
            for number, (request, _) in unanswered:
                session.send(Requested(number, request))
            self._port.welcomed(record.changes)
            self._follow(session)
        elif isinstance(record, Changed) and self._welcome:
            self.revision = record.revision
            self._port.changed(record.changes)
            self._follow(session)
        elif isinstance(record, Answered):
            asked = self._requests.pop(record.number, None)
            if asked is not None:
                asked[1](record.refusal)
        elif isinstance(record, Quiesce):
            self._port.quiesce(record.queues, partial(self._quiesced, record.number))
        elif isinstance(record, StatisticsAsked):
            session.send(StatisticsTold(record.number, self._port.statistics()))
