"""Hosting: a cluster of three under resets, failovers and restarts; its own rules one by one.

The model (`Replication`) lets records, words of the coordinator and faults come in any order, and
keeps count of every message from its publish to its last delivery.
"""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from support.cluster_hostings import QUEUE, Delivery, HostingCluster, Reader, Receipt

from rabbitry.broker.message import Route
from rabbitry.cluster.hosting import MIRROR_PATIENCE_US
from rabbitry.cluster.queue_records import Publish, Release, Subscribe
from rabbitry.cluster.records import NodeJoined, QueueDeclared, QueueDeleted, QueuePlaced

NAMES = ("a", "b", "c")
names = st.sampled_from(NAMES)
counts = st.integers(1, 4)


class Replication(RuleBasedStateMachine):
    """Three nodes, one queue, publishers and consumers on all of them."""

    def __init__(self) -> None:
        super().__init__()
        self.cluster = HostingCluster(NAMES)
        self.published = 0
        self.channels = 0
        self.receipts: list[tuple[str, Receipt]] = []  # with the publishing process
        self.readers: list[Reader] = []
        self.seen: dict[bytes, None] = {}  # delivered at all
        self.last_new: dict[tuple[int, str], int] = {}  # of each reader and publisher
        self.settled: dict[bytes, None] = {}
        self.calm = True  # so far no link, leader or process was lost

    def serves(self, name: str) -> bool:
        """Whether clients can use the queue through this node."""
        return name in self.cluster.nodes and QUEUE in self.cluster.nodes[name].catalog.queues

    def delivered(self, reader: Reader, delivery: Delivery) -> None:
        origin, _, number = delivery.body.decode().partition("/")
        if delivery.redelivered:
            assert not self.calm or delivery.body in self.seen, "marked in vain"
        else:
            assert delivery.body not in self.seen, "was out before, and comes without the mark"
            key = (id(reader), origin)
            assert self.last_new.get(key, -1) < int(number), "not in order"
            self.last_new[key] = int(number)
        self.seen[delivery.body] = None

    # --- clients ---

    @rule(name=names, count=counts)
    def publish(self, name: str, count: int) -> None:
        if self.serves(name):
            origin = self.cluster.nodes[name].origin
            bodies = [f"{origin}/{self.published + at}".encode() for at in range(count)]
            self.published += count
            for receipt in self.cluster.publish(name, *bodies):
                self.receipts.append((origin, receipt))

    @rule(name=names, prefetch=st.integers(0, 3))
    def consume(self, name: str, prefetch: int) -> None:
        if self.serves(name) and len(self.readers) < 4:
            self.channels += 1
            reader = self.cluster.reader(name, self.channels, prefetch_count=prefetch)
            reader.on_delivery = self.delivered
            self.readers.append(reader)
            reader.subscribe()
            self.cluster.flush()

    @rule(at=st.integers(0, 3), count=counts, requeue=st.booleans())
    def settle(self, at: int, count: int, requeue: bool) -> None:
        if at < len(self.readers):
            reader = self.readers[at]
            if requeue:
                reader.requeue(count)
            else:
                self.settled.update(dict.fromkeys(one.body for one in reader.settle(count)))
            self.cluster.flush()

    @rule(at=st.integers(0, 3), paused=st.booleans())
    def pause(self, at: int, paused: bool) -> None:
        if at < len(self.readers):
            reader = self.readers[at]
            reader.proxy.pause_consumer(reader.holder, 1, paused)
            self.cluster.flush()

    @rule(at=st.integers(0, 3))
    def end_channel(self, at: int) -> None:
        if at < len(self.readers):
            reader = self.readers.pop(at)
            reader.proxy.release(reader.holder)
            self.cluster.flush()

    # --- what is on the way ---

    @rule(sender=names, receiver=names, count=counts)
    def pass_records(self, sender: str, receiver: str, count: int) -> None:
        while count and self.cluster.pass_record(sender, receiver):
            count -= 1

    @rule(name=names)
    def pass_words(self, name: str) -> None:
        if name in self.cluster.nodes:
            self.cluster.pass_word(name)

    @rule(name=names)
    def hear(self, name: str) -> None:
        if name in self.cluster.nodes:
            self.cluster.hear_requests(name)

    @rule(one=names, other=names)
    def connect(self, one: str, other: str) -> None:
        if one != other and one in self.cluster.nodes and other in self.cluster.nodes:
            self.cluster.connect(one, other)
            self.cluster.come_up(one, other)

    @rule()
    def settle_down(self) -> None:
        self.cluster.settle_down()

    # --- faults ---

    @rule(one=names, other=names)
    def reset(self, one: str, other: str) -> None:
        if one != other:
            self.calm = False
            self.cluster.reset(one, other)

    @rule(name=names, peer=names)
    def notice(self, name: str, peer: str) -> None:
        if name != peer and name in self.cluster.nodes:
            self.cluster.notice(name, peer)

    @rule(name=names)
    def lose_patience(self, name: str) -> None:
        if name in self.cluster.nodes:
            hosting = self.cluster.nodes[name].hosting
            hosting.tick(0)
            hosting.tick(MIRROR_PATIENCE_US)
            hosting.flush()

    def successor(self, name: str, choice: int) -> str | None:
        """Return who leads if this node goes; None: nobody could."""
        candidates = self.cluster.candidates(name)
        if name == self.cluster.placed.leader:
            return candidates[choice % len(candidates)] if candidates else None
        return "" if self.cluster.candidates("") else None

    @rule(name=names, choice=st.integers(0, 1))
    def kill(self, name: str, choice: int) -> None:
        successor = self.successor(name, choice)
        if name in self.cluster.nodes and successor is not None:
            self.calm = False
            origin = self.cluster.nodes[name].origin
            self.cluster.kill(name, successor)
            self.readers = [one for one in self.readers if one.holder[0] != origin]

    @rule(name=names, choice=st.integers(0, 1))
    def fence(self, name: str, choice: int) -> None:
        successor = self.successor(name, choice)
        known = name in self.cluster.nodes and name in self.cluster.catalog.nodes
        if known and successor is not None:
            self.calm = False
            self.cluster.fence(name, successor)

    @rule(name=names)
    def come_back(self, name: str) -> None:
        if name in self.cluster.nodes:
            self.cluster.rejoin(name)
        else:
            self.cluster.start(name)

    # --- what must be so ---

    @invariant()
    def accepted_is_held(self) -> None:
        placed = self.cluster.placed
        for name in placed.in_sync:
            node = self.cluster.nodes.get(name)
            assert node is not None
            bodies = list(node.held().values())
            held = dict.fromkeys(bodies)
            assert len(held) == len(bodies), f"{name} holds a message twice"
            for _, receipt in self.receipts:
                if receipt.accepted and receipt.body not in self.settled:
                    assert receipt.body in held, f"{name} lacks {receipt.body!r}"

    @invariant()
    def required_is_no_less_than_in_sync(self) -> None:
        placed = self.cluster.placed
        leader = self.cluster.leader.leader
        if leader is not None and leader.epoch == placed.epoch:
            mirrors = leader._replication._mirrors
            required = [name for name, mirror in mirrors.items() if mirror.required]
            assert set(placed.in_sync) <= {placed.leader, *required}

    def teardown(self) -> None:
        cluster = self.cluster
        for name in NAMES:
            if name not in cluster.nodes:
                cluster.start(name)
            elif not cluster.nodes[name].listens:
                cluster.rejoin(name)
        cluster.settle_down()
        held = cluster.leader.held()
        assert sorted(cluster.placed.in_sync) == list(NAMES)
        for node in cluster.nodes.values():
            assert node.held() == held
            assert node.backlog == 0
        living = [node.origin for node in cluster.nodes.values()]
        assert all(receipt.accepted for origin, receipt in self.receipts if origin in living)
        self.drain()
        assert all(node.held() == {} for node in cluster.nodes.values())
        assert all(one.body in self.seen for _, one in self.receipts if one.accepted)

    def drain(self) -> None:
        """Have everything delivered and settled."""
        for reader in self.readers:
            reader.proxy.pause_consumer(reader.holder, 1, False)
        last = self.cluster.reader("a", self.channels + 1)
        last.on_delivery = self.delivered
        self.readers.append(last)
        last.subscribe()
        self.cluster.flush()
        self.cluster.settle_down()
        while any(reader.unsettled for reader in self.readers):
            for reader in self.readers:
                reader.settle(1000)
            self.cluster.flush()
            self.cluster.settle_down()


TestReplication = Replication.TestCase
TestReplication.settings = settings(
    max_examples=60,
    stateful_step_count=50,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
