"""The queues of one node: which it leads, which it mirrors, which its channels use.

For each queue there is at most one leader or one mirror here, and a proxy if channels use the
queue. The catalog says which; this module follows it (`follow`), and carries records between the
parts and the other nodes. A record that is ahead of the catalog here (its epoch, or its queue, is
not known yet) waits until the catalog has caught up; one that is behind is dropped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final, cast

from rabbitry.broker.dead_letters import Reason
from rabbitry.broker.message import Message, Routes
from rabbitry.broker.waiting import needs_all_in_memory
from rabbitry.cluster.catalog import Catalog, QueueEntry
from rabbitry.cluster.hosting_port import HostingPort
from rabbitry.cluster.inspecting import inspect_replica
from rabbitry.cluster.leader import QueueLeader
from rabbitry.cluster.leader_stream import LeaderStream
from rabbitry.cluster.leading import tell_leader
from rabbitry.cluster.mirror import QueueMirror
from rabbitry.cluster.node_settings import QUEUE_MEMORY_BYTES_MAX
from rabbitry.cluster.node_store import NodeStore
from rabbitry.cluster.paging import Budget
from rabbitry.cluster.patience import Patience
from rabbitry.cluster.peers import Peers
from rabbitry.cluster.placement import confirms_durably, is_kept
from rabbitry.cluster.post import Post
from rabbitry.cluster.proxy import QueueProxy
from rabbitry.cluster.queue_records import (
    Begin,
    Claimed,
    Record,
    Refused,
    ToLeader,
    ToMirror,
    ToUser,
)
from rabbitry.cluster.queue_store import QueueStore
from rabbitry.cluster.quiescing import Quiescing
from rabbitry.cluster.reading_back import OnRead, StoredMessages, read_stored
from rabbitry.cluster.records import AdmitMirror, AnyRecord, DeleteQueue, DropMirror
from rabbitry.cluster.replica import Replica
from rabbitry.cluster.site import Site, pageable
from rabbitry.cluster.wakes import Wakes

_TO_LEADER: Final = ToLeader.__args__
_TO_USER: Final = ToUser.__args__


class Hosting(Post):
    """See the module. `origin` names this process in the whole cluster: node and incarnation."""

    def __init__(
        self,
        port: HostingPort,
        name: str,
        origin: str,
        peers: Peers,
        store: NodeStore,
        memory_bytes_max: int = QUEUE_MEMORY_BYTES_MAX,
    ) -> None:
        super().__init__(origin, peers)
        self.routes = Routes()
        self._port = port
        self._name = name
        self._store = store
        self.store_lacks: Callable[[int], None] = store.fail
        self._budget = Budget(memory_bytes_max, lambda: pageable(self._sites.values()))
        self._recovered: dict[int, Replica] = {}  # what the store had, until it has its place
        self._catalog = Catalog()
        self._newest_queue = 0
        self._early: dict[int, list[tuple[str, str, AnyRecord]]] = {}
        self._wakes: Wakes[LeaderStream] = Wakes()
        self._to_pump: dict[LeaderStream, None] = {}
        self._to_answer: dict[QueueMirror, None] = {}
        self.halted = False  # this node is about to end: nothing goes out any more
        self._patience = Patience(name, peers)
        self._quiescing = Quiescing(self._still_leads)
        self._unsure: dict[QueueProxy, None] = {}  # those that ask leaders what is known

    # --- following the catalog --------------------------------------------------------------------

    def set_catalog(self, catalog: Catalog) -> list[QueueProxy]:
        """Follow a catalog that was told anew: what it does not list is gone. See `follow`."""
        self._catalog = catalog
        self._forget_recovered(catalog)
        deleted = [number for number in self._sites if number not in catalog.queues]
        return self.follow(catalog.queues.values(), deleted)

    def follow(
        self, placed: Iterable[QueueEntry], deleted: Iterable[int], ended: Iterable[str] = ()
    ) -> list[QueueProxy]:
        """Follow what the catalog says already: where these queues are, and that those are no more.

        `ended` are processes that have ended for good. Returns who is to be told (`deleted`) that
        its queue is gone, once all that this node does follows the catalog.

        Taking part and beginning sessions calls channels and sends dead letters, which may ask for
        any queue of the catalog. So first every queue has its site, and no proxy speaks to a leader
        that is none any more; then parts are taken, and sessions begin last.
        """
        gone = [proxy for queue in deleted if (proxy := self._remove(queue)) is not None]
        sites = [self._follow(entry) for entry in placed]
        for origin in ended:
            self._forget_origin(origin)
        for site in sites:
            if site.entry.placed.leader == self._name:
                self._lead(site)
            else:
                self._mirror(site)
        for site in sites:
            self._connect(site)
            for name, origin, record in self._early.pop(site.entry.number, []):
                self.take_record(name, origin, record)
        return gone

    def _follow(self, entry: QueueEntry) -> Site:
        """Return the queue's site, which has the entry from now on. Calls nobody."""
        self._newest_queue = max(self._newest_queue, entry.number)
        site = self._sites.get(entry.number)
        if site is None:
            site = self._sites[entry.number] = Site(entry)
            if is_kept(entry) or confirms_durably(entry):
                site.store = self._store.queue(entry.number)
            self._place_recovered(site)
        site.entry = entry
        if site.leader is not None:
            site.leader.entry = entry
        proxy, placed = site.proxy, entry.placed
        if proxy is not None:
            proxy.entry = entry
            if proxy.connected_to not in (("", 0), (placed.leader, placed.epoch)):
                proxy.disconnect()
        return site

    def _remove(self, queue: int) -> QueueProxy | None:
        """A queue is no more: return who has to be told. Calls nobody."""
        self._early.pop(queue, None)
        self._store.forget(queue)
        site = self._sites.pop(queue, None)
        if site is None:
            return None
        if site.leader is not None:
            self._retire(site.leader)
        if site.mirror is not None:
            self._to_answer.pop(site.mirror, None)
        if site.proxy is not None:
            site.proxy.disconnect()
        return site.proxy

    def _forget_origin(self, origin: str) -> None:
        for site in self._sites.values():
            if site.leader is not None:
                site.leader.forget_origin(origin)
            if site.mirror is not None:
                site.mirror.forget_origin(origin)

    def recover(self, queue: int, replica: Replica) -> None:
        """Take what the node's store had of a queue, before anything is known of the cluster."""
        self._recovered[queue] = replica

    def _forget_recovered(self, catalog: Catalog) -> None:
        """Let go queues that are no more, and of others what publishers that are dead have sent."""
        for number in self._store.queues():
            if number not in catalog.queues:
                self._recovered.pop(number, None)
                self._store.forget(number)
        alive = [f"{one.name}#{one.incarnation}" for one in catalog.nodes.values()]
        alive += [f"{one.name}#{one.incarnation}" for one in catalog.away.values()]
        for replica in self._recovered.values():
            for origin in [one for one in replica.origins if one not in alive]:
                replica.forget_origin(origin)

    def _place_recovered(self, site: Site) -> None:
        """Go on with what the store had, as a mirror would that has lost its leader."""
        replica = self._recovered.pop(site.entry.number, None)
        if replica is not None:
            site.mirror = self._new_mirror(site, 0, replica)

    def _new_mirror(self, site: Site, epoch: int, held: Replica | None) -> QueueMirror:
        tell = self._tell_leader
        return QueueMirror(site.entry.number, epoch, self.routes, tell, site.store, held)

    def _mirror(self, site: Site) -> None:
        """Another node leads the queue: follow it, with what was held here so far."""
        placed, leader = site.entry.placed, site.leader
        site.leader = None
        if self._name not in placed.mirrors:
            site.mirror = None
            self._store.forget(site.entry.number)
            if site.store is not None:
                site.store = self._store.queue(site.entry.number)
        elif site.mirror is None:
            held = leader.replica() if leader is not None else None
            site.mirror = self._new_mirror(site, placed.epoch, held)
        else:
            site.mirror.follow(placed.epoch)
        if site.mirror is not None:
            site.mirror.whole = needs_all_in_memory(site.entry.settings)
        if leader is not None:
            self._retire(leader)

    def _lead(self, site: Site) -> None:
        """This node leads the queue: begin, in a new epoch with what it held in the old one."""
        placed = site.entry.placed
        leader = site.leader
        if leader is None or leader.epoch != placed.epoch:
            before, mirror = leader, site.mirror
            if site.store is not None and site.store.damaged:
                site.store.discard()
            leader = site.leader = QueueLeader(self, site.entry, site.store)
            if before is not None:
                self._retire(before)
                replica = before.replica()
                # In between others may have led, and let out any of it.
                replica.seen_through = replica.next_position - 1
                leader.restore(replica)
            elif mirror is not None:
                leader.restore(mirror.take_replica())
            site.mirror = None
            leader.gather(self._catalog.nodes)
            self._patience.begun(leader)
        leader.configure(site.entry.settings)
        leader.place(placed)
        for name in leader.not_begun():
            if self._peers.is_up(name):
                leader.begin_mirror(name)

    def _retire(self, leader: QueueLeader) -> None:
        self._to_pump.pop(leader, None)
        self._wakes.set(leader, None)
        self._patience.ended(leader)

    def _connect(self, site: Site) -> None:
        """Begin a session with the leader, for the channels here or in the name of none."""
        proxy, placed = site.proxy, site.entry.placed
        leads = placed.leader == self._name
        # A channel may ask for it before this node has begun to lead: the session begins then.
        led = site.leader is not None and site.leader.epoch == placed.epoch
        reachable = led if leads else self._peers.is_up(placed.leader)
        if proxy is None:
            if reachable and site.spoken != (placed.leader, placed.epoch):
                site.spoken = placed.leader, placed.epoch
                self._claim_nothing(site)
            return
        if not placed.leader:
            proxy.disconnect()
            proxy.nobody_leads()
        if proxy.connected_to == (placed.leader, placed.epoch):
            return
        if proxy.connected_to[0]:
            proxy.disconnect()
        if reachable:
            proxy.connect(placed.leader, placed.epoch, site.leader if leads else None)

    def _claim_nothing(self, site: Site) -> None:
        """No channel here uses the queue: its leader may wait for us to say so."""
        claimed = Claimed(site.entry.number, site.epoch)
        if site.leader is not None:
            site.leader.claim(self.origin, claimed)
        elif site.epoch > 1:
            self._peers.send(site.entry.placed.leader, claimed)

    def stored(self, queue: int) -> None:
        """More of what the store was given of this queue is durable."""
        site = self._sites.get(queue)
        if site is not None and site.leader is not None:
            site.leader.stored()
        elif site is not None and site.mirror is not None:
            site.mirror.stored()
            self._to_answer[site.mirror] = None

    def proxy(self, entry: QueueEntry) -> QueueProxy:
        """Return the queue as channels of this node use it."""
        site = self._sites[entry.number]
        if site.proxy is None:
            site.proxy = QueueProxy(self, entry)
            self._connect(site)
        return site.proxy

    def statistics(self) -> list[tuple[int, int, int]]:
        """Return (queue, messages, consumers) of each queue led here."""
        queues = [(leader.number, leader.queue) for leader in self._leaders()]
        return [
            (number, queue.ready_count + queue.held_count, len(queue.consumers))
            for number, queue in queues
        ]

    def inspect(self) -> dict[int, dict[str, Any]]:
        """Return what this node holds, for the simulation's checkers."""
        return {
            number: found
            for number, site in self._sites.items()
            if (found := inspect_replica(site.leader, site.mirror)) is not None
        }

    # --- memory -----------------------------------------------------------------------------------

    def passing_store(self, queue: int) -> QueueStore:
        """Return the store of a queue of which nothing is kept, to get it out of memory."""
        store = self._store.queue(queue)
        store.lasting = False
        return store

    def read_stored(self, queue: int, epoch: int, first: int, last: int, then: OnRead) -> None:
        """Read what the store has at these positions; `then` follows, if this node still leads."""

        def read(found: StoredMessages) -> None:
            site = self._sites.get(queue)
            if site is not None and site.leader is not None and site.leader.epoch == epoch:
                then(found)

        read_stored(self._store, self._store.queue(queue), self.routes, first, last, read)

    # --- peers ------------------------------------------------------------------------------------

    def peer_up(self, name: str, _origin: str) -> None:
        """Records can be sent to the node."""
        self._patience.peer_up(name)
        for site in list(self._sites.values()):
            if site.leader is not None:
                site.leader.begin_mirror(name)
            self._connect(site)

    def peer_down(self, name: str, origin: str) -> None:
        """What was on the way to or from the node is lost."""
        for queue, early in list(self._early.items()):
            self._early[queue] = [one for one in early if one[0] != name]
        for site in list(self._sites.values()):
            if site.leader is not None:
                site.leader.lose_mirror(name)
                site.leader.release_user(origin)
            if site.proxy is not None and site.proxy.connected_to[0] == name:
                site.proxy.disconnect()
            if site.spoken[0] == name:
                site.spoken = "", 0

    def tick(self, now: int) -> None:
        """Give up what does not come back: mirrors, so that confirms go on, and consumers."""
        self._budget.tick()
        self._patience.tick(now, self._catalog, self._leaders)
        self._quiescing.tick(now)
        self._mark()

    def _mark(self) -> None:
        for proxy in [proxy for proxy in self._unsure if proxy.mark()]:
            del self._unsure[proxy]

    def quiesce(self, queues: list[int], done: Callable[[], None]) -> None:
        """Let nothing more out of these queues for now; `done` when things have settled."""
        chosen = frozenset(queues)
        self._quiescing.begin([one for one in self._leaders() if one.number in chosen], done)

    def wind_up(self, done: Callable[[], None]) -> None:
        """There are no clients any more, and this node will end: let everything settle."""
        self._mark()
        self._quiescing.begin(self._leaders(), done, lambda: not self._telling())
        self._quiescing.look()

    def _telling(self) -> bool:
        """Whether leaders on other nodes have to hear more of what clients here have settled."""
        return any(proxy.connected_to[0] not in ("", self._name) for proxy in self._unsure)

    def _still_leads(self, leader: QueueLeader) -> bool:
        site = self._sites.get(leader.number)
        return site is not None and site.leader is leader

    def _leaders(self) -> list[QueueLeader]:
        return [site.leader for site in self._sites.values() if site.leader is not None]

    def has_unsure(self, proxy: QueueProxy) -> None:
        """Have `mark` called now and then, until it returns True."""
        self._unsure[proxy] = None

    def take_record(self, name: str, origin: str, record: AnyRecord) -> None:
        """Take a record of another node."""
        if self.halted:
            return
        queue: int = getattr(record, "queue", 0)
        site = self._sites.get(queue)
        epoch: int = getattr(record, "epoch", 0)
        if site is None:
            if queue > self._newest_queue:
                self._early.setdefault(queue, []).append((name, origin, record))
        elif epoch > site.epoch:
            self._early.setdefault(queue, []).append((name, origin, record))
        elif epoch == site.epoch:
            if isinstance(record, _TO_LEADER):
                if site.leader is not None:
                    tell_leader(site.leader, self.routes, name, origin, cast("ToLeader", record))
            elif isinstance(record, _TO_USER):
                if site.proxy is not None and site.proxy.connected_to == (name, epoch):
                    site.proxy.receive(cast("ToUser", record))
            elif site.mirror is not None and name == site.entry.placed.leader:
                self._to_answer[site.mirror] = None
                site.mirror.receive(cast("ToMirror", record))
            elif site.mirror is None and (isinstance(record, Begin) or queue in self._early):
                # A policy has this node mirror from now on; the leader has heard of it first.
                self._early.setdefault(queue, []).append((name, origin, record))

    # --- the end of a step ------------------------------------------------------------------------

    def flush(self) -> None:
        """Do what is done once for each step: deal, answer leaders, tell publishers."""
        if self.halted:
            return
        while self._to_pump:
            to_pump, self._to_pump = self._to_pump, {}
            for leader in to_pump:
                leader.pump()
        to_answer, self._to_answer = self._to_answer, {}
        for mirror in to_answer:
            mirror.answer()
        self.tell_accepted()
        self._quiescing.look()

    # --- what leaders need ------------------------------------------------------------------------

    def ask_about_mirror(self, request: AdmitMirror | DropMirror) -> None:
        """Ask the coordinator; `QueueLeader.mirror_answered` follows."""

        def answered(_refused: Refused | None) -> None:
            site = self._sites.get(request.queue)
            if site is not None and site.leader is not None and site.leader.epoch == request.epoch:
                site.leader.mirror_answered(request)

        self._port.request(request, answered)

    def delete_queue(self, queue: int, on_answer: Callable[[], None] | None = None) -> None:
        """Have the coordinator delete the queue; `on_answer` follows when it is gone everywhere."""
        self._port.request(
            DeleteQueue(queue), lambda _refused: on_answer() if on_answer is not None else None
        )

    def now(self) -> int:
        """Return the time, in microseconds since 1970."""
        return self._port.now()

    def wake(self, leader: LeaderStream, due: int | None) -> None:
        """Have `pump` called at that time, whatever was asked before; None: no more."""
        self._wakes.set(leader, due)

    def next_wake(self) -> int | None:
        """Return when `wake_up` is due."""
        return self._wakes.next_due()

    def wake_up(self) -> None:
        """Time has come for some of the leaders."""
        self._to_pump.update(dict.fromkeys(self._wakes.take(self._port.now())))

    def dead_letter(
        self, queue: int, reason: Reason, messages: list[Message], on_done: Callable[[], None]
    ) -> None:
        """Publish what a queue gave up; `on_done` when it is safe, or has nowhere to go."""
        site = self._sites.get(queue)
        if site is not None:
            self._port.dead_letter(site.entry, reason, messages, on_done)

    def wants_pump(self, leader: LeaderStream) -> None:
        """Have `pump` called at the end of this step."""
        self._to_pump[leader] = None

    def catalog_revision(self) -> int:
        """Return the revision of the catalog that this node has applied."""
        return self._port.catalog_revision()

    # --- what proxies and mirrors need ------------------------------------------------------------

    def send_to_node(self, node: str, record: Record) -> None:
        """Send a record over the link to a node."""
        self._peers.send(node, record)

    def backlog_grew(self, messages: int, size_bytes: int) -> None:
        """Count what waits to be accepted (negative: what does no longer)."""
        self._port.backlog_grew(messages, size_bytes)

    def _tell_leader(self, queue: int, record: Record) -> None:
        site = self._sites.get(queue)
        if site is not None:
            self._peers.send(site.entry.placed.leader, record)
