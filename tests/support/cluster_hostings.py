"""Some nodes' `Hosting`s, joined by queues of records, under a coordinator of a page.

Nothing happens by itself: records wait on their link, and the coordinator's words at each node,
until a test lets them arrive (`pass_record`, `pass_word`). A link that is reset loses what is on
it, and each end notices by itself. Between two nodes and from the coordinator everything keeps its
order; between links nothing does. `settle_down` lets everything arrive.

The coordinator keeps the rules that the real one has for one queue: it names leaders among the
in-sync replicas, answers a request when all nodes have followed, and admits no mirror that has
joined since the revision that the leader knew. (The real one, with all of the rest, is run by
tests/simulation.)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from support.cluster_clients import Reader, Receipt
from support.cluster_nodes import QUEUE, Ask, Link, Node

from rabbitry.broker.queue import Consumer
from rabbitry.cluster.catalog import Catalog
from rabbitry.cluster.consequences import apply_all
from rabbitry.cluster.records import (
    AdmitMirror,
    Change,
    DeleteQueue,
    DropMirror,
    NodeJoined,
    NodeLeft,
    QueueDeclared,
    QueueDeleted,
    QueuePlaced,
    Request,
    decode,
)
from rabbitry.wire.frames import content_frames
from rabbitry.wire.methods import BasicProperties
from rabbitry.wire.values import FieldValue, encode_table


class HostingCluster:
    """The nodes, the links between them, and the coordinator."""

    def __init__(
        self,
        names: Sequence[str],
        in_sync: Sequence[str] = (),
        arguments: Mapping[str, FieldValue] | None = None,
    ) -> None:
        self.now = 1_000_000_000
        self.nodes: dict[str, Node] = {}
        self.links: dict[frozenset[str], Link] = {}
        self.catalog = Catalog()
        self.revision = 0
        self._followed: dict[str, int] = {}
        self._joined_at: dict[str, int] = {}
        self._answers: list[tuple[int, Node, Ask]] = []
        self._incarnations = 0
        for name in names:
            self.start(name)
        leader, *mirrors = names
        encoded = encode_table(arguments or {})
        self.change(QueueDeclared("/", "q", QUEUE, True, False, "", encoded))
        self.change(QueuePlaced(QUEUE, 1, leader, mirrors, list(in_sync or names)))
        self.settle_down()

    @property
    def placed(self) -> QueuePlaced:
        return self.catalog.queues[QUEUE].placed

    @property
    def leader(self) -> Node:
        return self.nodes[self.placed.leader]

    # --- the coordinator's decisions ---

    def change(self, *changes: Change) -> None:
        """Decide; every node hears of it in its own time."""
        for change in changes:
            self.catalog.apply(change)
        self.revision += 1
        revision = self.revision
        for node in self.nodes.values():
            if node.listens:
                node.words.append(lambda node=node: self._follow(node, revision, changes))

    def _follow(self, node: Node, revision: int, changes: Sequence[Change]) -> None:
        node.revision = revision
        found = apply_all(node.catalog, changes)
        for proxy in node.hosting.follow(found.placed, found.deleted, found.ended):
            proxy.deleted()
        self._close_unlisted(node)
        self._heard(node, revision)

    def _welcome(self, node: Node) -> None:
        changes, revision = self.catalog.as_changes(), self.revision

        def welcome() -> None:
            node.catalog, node.revision = Catalog(), revision
            for change in changes:
                node.catalog.apply(change)
            gone = node.hosting.set_catalog(node.catalog)
            for proxy in gone:
                proxy.deleted()
            node.unheard = list(node.asks)
            self._close_unlisted(node)
            self._heard(node, revision)

        node.words.append(welcome)

    def _heard(self, node: Node, revision: int) -> None:
        if node.listens:
            self._followed[node.name] = revision
            self._send_answers()

    def _send_answers(self) -> None:
        least = min(self._followed.values(), default=self.revision)
        ready = [one for one in self._answers if one[0] <= least]
        self._answers = [one for one in self._answers if one[0] > least]
        for _, node, ask in ready:
            if node.listens and self.nodes.get(node.name) is node:
                node.words.append(lambda node=node, ask=ask: node.answered(ask))

    def hear_requests(self, name: str) -> None:
        """What a node has asked for comes to the coordinator."""
        node = self.nodes[name]
        if not node.listens:
            return
        unheard, node.unheard = node.unheard, []
        for ask in unheard:
            self._judge(ask.request)
            self._answers.append((self.revision, node, ask))
        self._send_answers()

    def _judge(self, request: Request) -> None:
        if isinstance(request, DeleteQueue):
            if request.queue in self.catalog.queues:
                self.change(QueueDeleted("/", "q", request.queue))
            return
        assert isinstance(request, AdmitMirror | DropMirror)
        entry = self.catalog.queues.get(request.queue)
        if entry is None or entry.placed.epoch != request.epoch:
            return
        placed, name = entry.placed, request.node
        if isinstance(request, AdmitMirror):
            if self._joined_at.get(name, 0) > request.revision or name not in placed.mirrors:
                return
            in_sync = list(dict.fromkeys([*placed.in_sync, name]))
        else:
            in_sync = [one for one in placed.in_sync if one != name]
        if in_sync != placed.in_sync:
            self.change(QueuePlaced(QUEUE, placed.epoch, placed.leader, placed.mirrors, in_sync))

    def start(self, name: str) -> None:
        """A new process of a node begins and joins; it mirrors what it can."""
        assert name not in self.nodes
        self._incarnations += 1
        self.nodes[name] = Node(self, name, self._incarnations)
        self.rejoin(name)

    def rejoin(self, name: str) -> None:
        """A node has a new link to the coordinator: it was fenced, or has just begun, or neither.

        What was on the old one is lost; the whole catalog comes first, and requests are repeated.
        """
        node = self.nodes[name]
        joined = NodeJoined(name, node.incarnation, "h", 1)
        if self.catalog.nodes.get(name) != joined:
            changes: list[Change] = [joined]
            entry = self.catalog.queues.get(QUEUE)
            if entry is not None and name not in (entry.placed.leader, *entry.placed.mirrors):
                old = entry.placed
                changes.append(
                    QueuePlaced(QUEUE, old.epoch, old.leader, [*old.mirrors, name], old.in_sync)
                )
            self.change(*changes)
            self._joined_at[name] = self.revision
        self._followed[name] = -1
        node.words.clear()
        node.listens = True
        self._welcome(node)
        node.unheard = []

    def candidates(self, without: str) -> list[str]:
        """Return who may lead if this node goes."""
        alive = self.catalog.nodes
        return [name for name in self.placed.in_sync if name != without and name in alive]

    def fence(self, name: str, successor: str = "") -> None:
        """The coordinator gives a node up, which may be alive and does not know."""
        node = self.nodes[name]
        node.listens = False
        node.words.clear()
        self._leave(node, successor, dead=False)

    def kill(self, name: str, successor: str = "") -> None:
        """A node's process is dead; its links break."""
        node = self.nodes.pop(name)
        for pair in [pair for pair in self.links if name in pair]:
            self.links[pair].ends[name] = "down"
            self.reset(*pair)
            self._bury(*pair)
        self._leave(node, successor, dead=True)

    def _leave(self, node: Node, successor: str, dead: bool) -> None:
        name = node.name
        self._followed.pop(name, None)
        self.change(NodeLeft(name, node.incarnation, dead))
        old = self.placed
        mirrors = [one for one in old.mirrors if one != name]
        in_sync = [one for one in old.in_sync if one != name]
        if name == old.leader:
            successor = successor or self.candidates(name)[0]
            mirrors.remove(successor)
            if not dead:
                mirrors.append(name)
                in_sync.append(name)
            in_sync = [successor, *(one for one in in_sync if one != successor)]
            self.change(QueuePlaced(QUEUE, old.epoch + 1, successor, mirrors, in_sync))
        elif name in old.mirrors and dead:
            self.change(QueuePlaced(QUEUE, old.epoch, old.leader, mirrors, in_sync))
        self._send_answers()

    # --- links ---

    def connect(self, one: str, other: str) -> None:
        """Open a link where there is none; its ends come up by `come_up`."""
        pair = frozenset((one, other))
        if pair not in self.links:
            self.links[pair] = Link(self.nodes[one], self.nodes[other])

    def come_up(self, name: str, peer: str) -> bool:
        """An end of a link has logged in, if the node knows of the process there."""
        link = self.links.get(frozenset((name, peer)))
        if link is None or link.broken or link.ends[name] != "opening":
            return False
        node = self.nodes[name]
        if not self._is_listed(node, peer, link):
            return False
        link.ends[name] = "up"
        node.hosting.peer_up(peer, link.origins[peer])
        node.hosting.flush()
        return True

    def reset(self, one: str, other: str) -> None:
        """A link breaks, and loses what is on it; its ends notice by `notice`."""
        link = self.links.get(frozenset((one, other)))
        if link is None or link.broken:
            return
        link.broken = True
        for name in (one, other):
            link.to[name].clear()
            if link.ends[name] == "opening":
                link.ends[name] = "down"
        self._bury(one, other)

    def notice(self, name: str, peer: str) -> bool:
        """An end of a link that broke learns of it."""
        link = self.links.get(frozenset((name, peer)))
        if link is None or not link.broken or link.ends[name] != "up":
            return False
        link.ends[name] = "down"
        self._bury(name, peer)
        node = self.nodes[name]
        node.hosting.peer_down(peer, link.origins[peer])
        node.hosting.flush()
        return True

    def _bury(self, one: str, other: str) -> None:
        pair = frozenset((one, other))
        if pair in self.links and all(end == "down" for end in self.links[pair].ends.values()):
            del self.links[pair]

    def _is_listed(self, node: Node, peer: str, link: Link) -> bool:
        listed = node.catalog.nodes.get(peer)
        return listed is not None and f"{peer}#{listed.incarnation}" == link.origins[peer]

    def _close_unlisted(self, node: Node) -> None:
        for pair, link in list(self.links.items()):
            if node.name in pair and link.ends[node.name] == "up":
                (peer,) = pair - {node.name}
                if not self._is_listed(node, peer, link):
                    self.reset(node.name, peer)
                    self.notice(node.name, peer)

    # --- time ---

    def pass_record(self, sender: str, receiver: str) -> bool:
        """The oldest record between two nodes arrives. False: there is none that could."""
        link = self.links.get(frozenset((sender, receiver)))
        if link is None or link.ends[receiver] != "up" or not link.to[receiver]:
            return False
        record = decode(link.to[receiver].popleft())
        node = self.nodes[receiver]
        node.hosting.take_record(sender, link.origins[sender], record)
        node.hosting.flush()
        return True

    def pass_word(self, name: str) -> bool:
        """The oldest word of the coordinator comes to a node."""
        node = self.nodes[name]
        if not node.words:
            return False
        node.words.popleft()()
        node.hosting.flush()
        return True

    def pass_something(self) -> bool:
        """Let everything that can arrive arrive once; False: all is quiet."""
        moved = False
        for name in list(self.nodes):
            while self.pass_word(name):
                moved = True
            moved = moved or bool(self.nodes[name].unheard and self.nodes[name].listens)
            self.hear_requests(name)
        for name in list(self.nodes):
            for peer in list(self.nodes):
                if peer != name:
                    moved = self.notice(name, peer) or moved
                    moved = self.come_up(name, peer) or moved
                    while self.pass_record(peer, name):
                        moved = True
        return moved

    def settle_down(self, reconnect: bool = True) -> None:
        """Let everything arrive, over links between all nodes."""
        for _ in range(1000):
            if reconnect:
                names = list(self.nodes)
                for at, name in enumerate(names):
                    for peer in names[at + 1 :]:
                        self.connect(name, peer)
            if not self.pass_something():
                return
        raise AssertionError("it does not come to rest")

    def pass_time(self, microseconds: int) -> None:
        """Let time pass; who wants to be woken by then is."""
        self.now += microseconds
        for node in list(self.nodes.values()):
            due = node.hosting.next_wake()
            if due is not None and due <= self.now:
                node.hosting.wake_up()
                node.hosting.flush()

    def flush(self) -> None:
        """End the step of every node, after a test has called its parts itself."""
        for node in list(self.nodes.values()):
            node.hosting.flush()

    # --- clients ---

    def publish(
        self, name: str, *bodies: bytes, properties: BasicProperties | None = None
    ) -> list[Receipt]:
        """Publish through a node, each message a run of its own.

        Messages are bare bodies where nobody looks at their properties, else whole contents.
        """
        node = self.nodes[name]
        encoded = b"" if properties is None else properties.encode()
        route = node.hosting.routes.get(b"", b"q", int.from_bytes(encoded[:2], "big"))
        receipts = []
        for body in bodies:
            receipt = Receipt(body)
            receipts.append(receipt)
            frames = content_frames(1, encoded, body, 0) if encoded else body
            node.proxy.publish([(route, frames)], receipt)
        node.hosting.flush()
        return receipts

    def reader(self, name: str, channel: int, **options: Any) -> Reader:
        """Return a consumer through a node, not subscribed yet."""
        node = self.nodes[name]
        return Reader(node.proxy, Consumer((node.origin, channel), 1, **options))
