"""A coordinator on a stage: nodes that only follow the catalog, and a store that answers when told.

`Stage.step` hands an event to the coordinator and carries out what it says; nothing else moves by
itself, so that every order of events can be played. Each `FakeNode` checks that what it is told is
one linear history: a welcome, then every revision once, in order.
"""

from __future__ import annotations

from collections import deque
from typing import Any

from support.coordination_catalogs import made_of

from rabbitry.cluster.catalog import Catalog
from rabbitry.cluster.coordinator import Coordinator, CoordinatorSettings
from rabbitry.cluster.links import ClusterLink
from rabbitry.cluster.records import (
    Answered,
    AnyRecord,
    Changed,
    Followed,
    Join,
    Quiesce,
    Quiesced,
    Refused,
    Request,
    Requested,
    StatisticsAsked,
    TurnedAway,
    Welcomed,
)
from rabbitry.machine import (
    Address,
    Answer,
    Asked,
    BytesReceived,
    CloseLink,
    Commit,
    CommitFailed,
    Committed,
    Effect,
    Event,
    LinkClosed,
    LinkOpened,
    Report,
    SendBytes,
    SetTimer,
    Started,
    TimerFired,
)

SECRET = b"s" * 32
LEASE_US = 2_000_000
HEARTBEAT_US = 250_000
PEER = Address("127.0.0.1", 1)


class Counted:
    """Entropy that anybody can guess."""

    def __init__(self) -> None:
        self._next = 0

    def token_bytes(self, count: int) -> bytes:
        self._next += 1
        return self._next.to_bytes(count, "big")


class FakeNode:
    """A node that joins and follows. `follows` False: it says nothing of its own accord."""

    def __init__(self, stage: Stage, name: str, incarnation: str, link: int) -> None:
        self.stage = stage
        self.name = name
        self.link = link
        self.session = ClusterLink(True, SECRET, name, incarnation, Counted())
        self.join = Join(name, incarnation, "127.0.0.1", 7000, stage.stores.get(name, ""))
        self.join.cluster, self.join.life, self.join.revision = stage.heard.get(name, ("", "", 0))
        self.turned_away = ""
        self.follows = True
        self.closed = False
        self.welcomes = 0
        self.cluster = self.life = ""
        self.revision = -1
        self.catalog = Catalog()
        self.answers: dict[int, Refused | None] = {}
        self.questions: list[int] = []
        self.quiesced: list[list[int]] = []  # queues of which it shall let nothing more out
        self.settles = True  # it says at once that all has settled
        self._next_request = 1

    def send(self, record: Any) -> None:
        self.session.send(record)
        self.flush()

    def flush(self) -> None:
        data = self.session.take_bytes()
        if data and not self.closed:
            self.stage.step(BytesReceived(self.link, data))

    def ask(self, request: Request) -> int:
        number = self._next_request
        self._next_request += 1
        self.send(Requested(number, request))
        return number

    def beat(self) -> None:
        self.send(Followed(self.revision))

    def receive(self, data: bytes) -> None:
        was_ready = self.session.ready
        records = self.session.receive(data)
        assert not self.session.failure
        if self.session.ready and not was_ready:
            self.session.send(self.join)
        for record in records:
            self._take(record)
        self.flush()

    def _take(self, record: AnyRecord) -> None:
        if isinstance(record, Welcomed):
            self.welcomes += 1
            self.revision, self.catalog = record.revision, made_of(record.changes)
            self.cluster, self.life = record.cluster, record.life
        elif isinstance(record, Changed):
            assert self.welcomes, "told of a change before the welcome"
            assert record.revision == self.revision + 1, "a revision is missing, or told twice"
            self.revision = record.revision
            for change in record.changes:
                self.catalog.apply(change)
        elif isinstance(record, Answered):
            assert record.number not in self.answers
            self.answers[record.number] = record.refusal
        elif isinstance(record, StatisticsAsked):
            self.questions.append(record.number)
        elif isinstance(record, Quiesce):
            self.quiesced.append(record.queues)
            if self.settles:
                self.session.send(Quiesced(record.number))
        elif isinstance(record, TurnedAway):
            self.turned_away = record.reason
        if isinstance(record, Welcomed | Changed):
            self.stage.heard[self.name] = self.cluster, self.life, self.revision
        if self.follows and isinstance(record, Welcomed | Changed):
            self.session.send(Followed(self.revision))


class Stage:
    """See the module. `commits_wait`: commits are answered by `commit_one` or `fail` only.

    `stores` are the stores of nodes that have one, `damaged` the queues that they cannot vouch for;
    `heard` is what nodes remember of the coordinator: its cluster, its life, the revision.
    """

    def __init__(self, *names: str) -> None:
        self.names = names
        self.now = 1_000_000
        self.kept: dict[bytes, bytes] = {}
        self.under_way: deque[Commit] = deque()
        self.commits_wait = False
        self.commits_last_step = 0
        self.nodes: dict[str, FakeNode] = {}
        self.reports: list[Report] = []
        self.answers: dict[int, Any] = {}
        self.timers: dict[str, int] = {}
        self.stores: dict[str, str] = {}
        self.damaged: dict[str, list[int]] = {}
        self.heard: dict[str, tuple[str, str, int]] = {}
        self.entropy = Counted()
        self._links: dict[int, FakeNode] = {}
        self._next_link = 1
        self._events: deque[Event] = deque()
        self._stepping = False
        self.start()

    def start(self) -> None:
        settings = CoordinatorSettings(SECRET, self.names, LEASE_US)
        self.coordinator = Coordinator(settings, self.entropy)
        self.step(Started(sorted(self.kept.items())))

    def restart(self, kept: int = 0) -> None:
        """Crash the coordinator, `kept` of the commits under way having reached the disk."""
        for _ in range(min(kept, len(self.under_way))):
            self._write(self.under_way.popleft())
        self.under_way.clear()
        for node in self.nodes.values():
            node.closed = True
        self._links.clear()
        self.timers.clear()
        self.start()

    def join(self, name: str, incarnation: str = "1") -> FakeNode:
        node = self.nodes[name] = self.connect(name, incarnation)
        node.join.damaged = self.damaged.get(name, [])
        node.flush()
        return node

    def connect(self, name: str, incarnation: str = "1") -> FakeNode:
        """Open a link over which nothing is said yet."""
        node = FakeNode(self, name, incarnation, self._next_link)
        self._next_link += 1
        self._links[node.link] = node
        self.step(LinkOpened(node.link, "cluster", PEER))
        return node

    def lose_link(self, name: str) -> None:
        node = self.nodes[name]
        node.closed = True
        self.step(LinkClosed(node.link, "reset"))

    def wait(self, microseconds: int, *beating: str) -> None:
        """Let time pass; the nodes named say that they live."""
        until = self.now + microseconds
        while self.now < until:
            self.now = min(self.now + HEARTBEAT_US, until)
            for name in beating:
                self.nodes[name].beat()
            for timer in [name for name, at in self.timers.items() if self.now >= at]:
                del self.timers[timer]
                self.step(TimerFired(timer))

    def ask(self, number: int, question: Any) -> None:
        self.step(Asked(number, question))

    def commit_one(self) -> None:
        commit = self.under_way.popleft()
        self._write(commit)
        self.step(Committed(commit.commit))

    def fail(self, reason: str = "disk full") -> None:
        """Nothing that is under way is written."""
        commit = self.under_way[0].commit
        self.under_way.clear()
        self.step(CommitFailed(commit, reason))

    def reported(self, what: str) -> list[dict[str, Any]]:
        return [report.details for report in self.reports if report.what == what]

    def step(self, event: Event) -> None:
        self._events.append(event)
        if self._stepping:
            return
        self._stepping = True
        while self._events:
            effects = self.coordinator.step(self._events.popleft(), self.now)
            links = [effect.link for effect in effects if isinstance(effect, SendBytes)]
            assert len(links) == len(set(links)), "two SendBytes for one link in one step"
            commits = [effect for effect in effects if isinstance(effect, Commit)]
            assert len(commits) <= 1, "two commits in one step"
            for effect in effects:
                self._carry_out(effect)
        self._stepping = False

    def _carry_out(self, effect: Effect) -> None:
        if isinstance(effect, SendBytes):
            node = self._links.get(effect.link)
            if node is not None and not node.closed:
                node.receive(effect.data)
        elif isinstance(effect, Commit):
            self.under_way.append(effect)
            if not self.commits_wait:
                self._write(self.under_way.popleft())
                self._events.append(Committed(effect.commit))
        elif isinstance(effect, CloseLink):
            node = self._links.pop(effect.link, None)
            if node is not None and not node.closed:
                node.closed = True
                self._events.append(LinkClosed(effect.link, ""))
        elif isinstance(effect, Report):
            self.reports.append(effect)
        elif isinstance(effect, SetTimer):
            self.timers[effect.timer] = effect.at
        elif isinstance(effect, Answer):
            self.answers[effect.number] = effect.answer
        else:
            raise AssertionError(effect)

    def _write(self, commit: Commit) -> None:
        for key, value in commit.writes:
            if value is None:
                self.kept.pop(key, None)
            else:
                self.kept[key] = value
