"""One process of `support.cluster_hostings`: its `Hosting`, and fakes of what that needs."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Any

from rabbitry.broker.dead_letters import Reason
from rabbitry.broker.message import Message
from rabbitry.cluster.catalog import Catalog, QueueEntry
from rabbitry.cluster.hosting import Hosting
from rabbitry.cluster.leader import QueueLeader
from rabbitry.cluster.mirror import QueueMirror
from rabbitry.cluster.node_store import NodeStore
from rabbitry.cluster.proxy import QueueProxy
from rabbitry.cluster.queue_records import Record, Refused
from rabbitry.cluster.records import Request, encode
from rabbitry.machine import Commit, Load
from rabbitry.simulation.schedule import SeededEntropy

if TYPE_CHECKING:
    from support.cluster_hostings import HostingCluster

QUEUE = 1
OnAnswer = Callable[[Refused | None], None]


class Link:
    """Records on their way between two nodes; each end comes up, and notices the end, by itself."""

    def __init__(self, one: Node, other: Node) -> None:
        self.to: dict[str, deque[bytes]] = {one.name: deque(), other.name: deque()}
        self.ends: dict[str, str] = dict.fromkeys(self.to, "opening")  # then "up", then "down"
        self.origins = {one.name: one.origin, other.name: other.origin}
        self.broken = False


@dataclass
class Ask:
    """A request of a node, which it repeats until it is answered."""

    request: Request
    on_answer: OnAnswer


class CommittingHosting(Hosting):
    """Commits, at the end of each step, what is to be stored; `stored_values` has it."""

    def __init__(self, node: Node, name: str, origin: str, peers: Any) -> None:
        self.node_store = NodeStore(self, SeededEntropy(Random(origin)))
        self.stored_values: dict[bytes, bytes | None] = {}
        super().__init__(node, name, origin, peers, self.node_store)

    def flush(self) -> None:
        super().flush()
        while effects := self.node_store.take_effects():
            for effect in effects:
                if isinstance(effect, Load):
                    values = [self.stored_values.get(key) for key in effect.keys]
                    self.node_store.loaded(effect.load, values)
                    continue
                assert isinstance(effect, Commit)
                self.stored_values.update(effect.writes)
                self.node_store.committed(effect.commit)
            super().flush()

    def queue_stored(self, queue: int) -> None:
        self.stored(queue)

    def store_refuses(self, reason: str) -> None:
        raise AssertionError(reason)

    def store_failed(self, queue: int) -> None:
        raise AssertionError(queue)


class Node:
    """One process; also the fake of what `Hosting` needs of its node and of its peers."""

    def __init__(self, cluster: HostingCluster, name: str, incarnation: int) -> None:
        self.cluster = cluster
        self.name = name
        self.incarnation = str(incarnation)
        self.origin = f"{name}#{incarnation}"
        self.catalog = Catalog()
        self.revision = 0
        self.words: deque[Callable[[], None]] = deque()  # of the coordinator, in order
        self.listens = False  # to the coordinator
        self.backlog = 0
        self.asks: list[Ask] = []  # that were not answered
        self.unheard: list[Ask] = []  # of these, those that the coordinator has not had
        self.dead_letters: list[tuple[Reason, bytes]] = []
        self.undone: list[Callable[[], None]] = []  # of the dead letters: not accepted yet
        peers: Any = self
        self.hosting = CommittingHosting(self, name, self.origin, peers)

    # --- HostingPort ---

    def request(self, request: Request, on_answer: OnAnswer) -> None:
        ask = Ask(request, on_answer)
        self.asks.append(ask)
        self.unheard.append(ask)

    def answered(self, ask: Ask) -> None:
        if ask in self.asks:
            self.asks.remove(ask)
            ask.on_answer(None)

    def catalog_revision(self) -> int:
        return self.revision

    def backlog_grew(self, messages: int, _size_bytes: int) -> None:
        self.backlog += messages

    def now(self) -> int:
        return self.cluster.now

    def dead_letter(
        self,
        entry: QueueEntry,
        reason: Reason,
        messages: list[Message],
        on_done: Callable[[], None],
    ) -> None:
        self.dead_letters += [(reason, frames) for _, frames in messages]
        self.undone.append(on_done)

    # --- as Peers ---

    def _link(self, name: str) -> Link | None:
        link = self.cluster.links.get(frozenset((self.name, name)))
        return link if link is not None and link.ends[self.name] == "up" else None

    def is_up(self, name: str) -> bool:
        return self._link(name) is not None

    def origin_of(self, name: str) -> str:
        link = self._link(name)
        assert link is not None
        return link.origins[name]

    def send(self, name: str, record: Record) -> None:
        self.send_encoded(name, encode(record))

    def send_encoded(self, name: str, encoded: bytes) -> None:
        link = self._link(name)
        if link is not None and not link.broken:
            link.to[name].append(encoded)

    # --- the queue ---

    @property
    def proxy(self) -> QueueProxy:
        return self.hosting.proxy(self.catalog.queues[QUEUE])

    @property
    def leader(self) -> QueueLeader | None:
        site = self.hosting._sites.get(QUEUE)
        return site.leader if site is not None else None

    @property
    def mirror(self) -> QueueMirror | None:
        site = self.hosting._sites.get(QUEUE)
        return site.mirror if site is not None else None

    def held(self) -> dict[int, bytes]:
        """Return position -> body of what this node would lead with."""
        if self.leader is not None:
            return {at: body for at, (_, body) in self.leader.queue.entries()}
        if self.mirror is not None:
            return {at: body for at, (_, body) in self.mirror.held.entries()}
        return {}
