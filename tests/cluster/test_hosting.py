"""Hosting: a cluster of three under resets, failovers and restarts; its own rules one by one.

The model (`Replication`) lets records, words of the coordinator and faults come in any order, and
keeps count of every message from its publish to its last delivery.
"""

from __future__ import annotations

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from support.cluster_clients import Delivery, Reader, Receipt
from support.cluster_hostings import QUEUE, HostingCluster

from rabbitry.broker.message import Route
from rabbitry.cluster.patience import MIRROR_PATIENCE_US
from rabbitry.cluster.placement import CONFIRM_DURABLY
from rabbitry.cluster.queue_records import Lacked, Publish, Release, Subscribe
from rabbitry.cluster.records import AnyRecord, QueueDeclared, QueueDeleted, QueuePlaced
from rabbitry.cluster.replica import first_position_of
from rabbitry.wire.frames import content_frames
from rabbitry.wire.methods import BasicProperties
from rabbitry.wire.properties import DELIVERY_MODE
from rabbitry.wire.values import encode_table

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
        self.new: dict[bytes, None] = {}  # delivered without the mark
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
            # A fenced leader may still deliver what its successor has delivered with the mark.
            assert delivery.body not in self.new, "was out before, and comes without the mark"
            self.new[delivery.body] = None
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


# --- its own rules -------------------------------------------------------------------------------


def test_records_ahead_of_the_catalog_wait_for_it() -> None:
    cluster = HostingCluster(NAMES)
    cluster.kill("a", "b")
    while cluster.pass_word("c"):
        pass
    receipts = cluster.publish("c", b"1")  # b does not know yet that it leads
    while cluster.pass_record("c", "b"):
        pass
    assert cluster.nodes["b"].leader is None
    while cluster.pass_word("b"):
        pass
    assert cluster.nodes["b"].held() == {first_position_of(2): b"1"}
    cluster.settle_down()
    assert [one.accepted for one in receipts] == [True]


def test_records_of_a_queue_not_known_yet_wait_and_go_with_their_link() -> None:
    cluster = HostingCluster(NAMES)
    node = cluster.nodes["a"]
    late = QUEUE + 1
    run = (b"", b"r", 0, [b"1"])
    node.hosting.take_record("b", "b#2", Publish(late, 1, 1, run))
    node.hosting.take_record("c", "c#3", Publish(late, 1, 1, run))
    node.hosting.peer_down("c", "c#3")
    node.catalog.apply(QueueDeclared("/", "r", late, True, False, "", b""))
    node.catalog.apply(QueuePlaced(late, 1, "a", [], ["a"]))
    node.hosting.follow([node.catalog.queues[late]], [])
    assert node.hosting.statistics() == [(QUEUE, 0, 0), (late, 1, 0)]
    assert node.hosting.inspect()[late]["entries"] == [(1, b"1")]


def test_an_exclusive_queue_is_stored_where_that_is_asked_for() -> None:
    asked = encode_table({CONFIRM_DURABLY: True})
    stored = []
    for arguments in (b"", asked):
        node = HostingCluster(("a",)).nodes["a"]
        number = QUEUE + 1
        declared = QueueDeclared("/", "r", number, False, False, "a#1/1", arguments)
        node.catalog.apply(declared)
        node.catalog.apply(QueuePlaced(number, 1, "a", [], ["a"]))
        node.hosting.follow([node.catalog.queues[number]], [])
        persistent = BasicProperties(delivery_mode=2).encode()
        run = (b"", b"r", DELIVERY_MODE, [content_frames(1, persistent, b"1", 0)])
        before = len(node.hosting.stored_values)
        node.hosting.take_record("a", node.origin, Publish(number, 1, 1, run))
        node.hosting.flush()
        stored.append(len(node.hosting.stored_values) > before)
        assert node.hosting.statistics()[-1] == (number, 1, 0)
    assert stored == [False, True]


def test_records_of_an_old_epoch_or_of_a_queue_that_is_gone_are_dropped() -> None:
    cluster = HostingCluster(NAMES)
    cluster.kill("a", "b")
    cluster.settle_down()
    node = cluster.nodes["b"]
    node.hosting.take_record("c", "c#3", Publish(QUEUE, 1, 1, (b"", b"q", 0, [b"1"])))
    assert node.held() == {}
    cluster.change(QueueDeleted("/", "q", QUEUE))
    cluster.settle_down()
    node.hosting.take_record("c", "c#3", Publish(QUEUE, 2, 1, (b"", b"q", 0, [b"1"])))
    assert node.hosting.inspect() == {}


def test_a_deleted_queue_settles_its_publishers_everywhere() -> None:
    cluster = HostingCluster(NAMES)
    reader = cluster.reader("c", 1)
    reader.subscribe()
    cluster.settle_down()
    receipts = [*cluster.publish("a", b"1"), *cluster.publish("c", b"2")]
    cluster.change(QueueDeleted("/", "q", QUEUE))
    cluster.settle_down()
    assert [one.accepted for one in receipts] == [True, True]
    assert reader.cancels == 1
    assert all(node.backlog == 0 for node in cluster.nodes.values())


def test_a_channel_deletes_a_queue_through_its_leader() -> None:
    cluster = HostingCluster(NAMES)
    replies: list[object] = []
    cluster.nodes["c"].proxy.inquire("delete", replies.append)
    cluster.settle_down()
    assert len(replies) == 1
    assert QUEUE not in cluster.catalog.queues


def test_a_catalog_told_anew_drops_what_it_does_not_list() -> None:
    cluster = HostingCluster(NAMES)
    cluster.nodes["c"].listens = False
    cluster.change(QueueDeleted("/", "q", QUEUE))
    cluster.settle_down()
    assert QUEUE in cluster.nodes["c"].hosting.inspect()
    cluster.rejoin("c")
    cluster.settle_down()
    assert cluster.nodes["c"].hosting.inspect() == {}


def test_one_that_was_fenced_and_dropped_comes_back_into_the_set() -> None:
    cluster = HostingCluster(NAMES)
    cluster.fence("c")
    cluster.settle_down()
    assert cluster.placed.in_sync == ["a", "b", "c"], "it may be back any moment"
    cluster.leader.hosting.tick(0)
    cluster.leader.hosting.tick(MIRROR_PATIENCE_US)
    cluster.settle_down()
    assert cluster.placed.in_sync == ["a", "b"]
    cluster.publish("a", b"1")
    cluster.rejoin("c")
    cluster.settle_down()
    assert cluster.placed.in_sync == ["a", "b", "c"]
    assert cluster.nodes["c"].held() == {1: b"1"}


def test_a_mirror_dropped_while_its_link_came_back_is_admitted_again() -> None:
    cluster = HostingCluster(NAMES)
    cluster.reset("a", "c")
    cluster.notice("a", "c")
    cluster.leader.hosting.tick(0)
    cluster.leader.hosting.tick(MIRROR_PATIENCE_US)  # asks to drop c; nobody has heard it yet
    cluster.notice("c", "a")
    cluster.connect("a", "c")
    cluster.come_up("a", "c")
    cluster.come_up("c", "a")
    while cluster.pass_record("a", "c") or cluster.pass_record("c", "a"):
        pass
    cluster.hear_requests("a")
    assert cluster.placed.in_sync == ["a", "b"]
    cluster.settle_down()
    assert cluster.placed.in_sync == ["a", "b", "c"]


def test_a_mirror_taken_away_and_put_back_by_policies_is_brought_up_to_date() -> None:
    cluster = HostingCluster(NAMES)
    cluster.change(QueuePlaced(QUEUE, 1, "a", ["b"], ["a", "b"]))
    cluster.settle_down()
    assert cluster.nodes["c"].mirror is None
    cluster.publish("a", b"1")
    cluster.settle_down()
    cluster.change(QueuePlaced(QUEUE, 1, "a", ["b", "c"], ["a", "b"]))
    cluster.pass_word("a")  # the leader hears of it first, and begins
    while cluster.pass_record("a", "c"):
        pass
    assert cluster.nodes["c"].mirror is None
    cluster.settle_down()
    assert cluster.nodes["c"].held() == {1: b"1"}
    assert cluster.placed.in_sync == ["a", "b", "c"]


def test_the_last_replica_standing_leads_with_what_it_has() -> None:
    cluster = HostingCluster(NAMES)
    cluster.publish("a", b"1", b"2")
    cluster.settle_down()
    cluster.kill("c")
    cluster.start("c")
    for name in NAMES:
        while cluster.pass_word(name):
            pass
    cluster.connect("a", "c")
    cluster.come_up("a", "c")
    cluster.come_up("c", "a")
    cluster.pass_record("a", "c")
    cluster.kill("b")
    cluster.kill("a", "c")  # c was copying: nobody is left who holds everything
    receipts = cluster.publish("c", b"3")
    cluster.settle_down()
    assert [one.accepted for one in receipts] == [True]
    assert list(cluster.leader.held().values()) == [b"3"]


def test_deliveries_of_one_batch_are_split_by_route() -> None:
    cluster = HostingCluster(NAMES)
    node = cluster.nodes["a"]
    for key in (b"q", b"r", b"r"):
        node.proxy.publish([(Route(b"x", key), key)], None)
    reader = cluster.reader("c", 1)
    reader.subscribe()
    cluster.settle_down()
    assert [(one.position, one.body) for one in reader.deliveries] == [
        (1, b"q"),
        (2, b"r"),
        (3, b"r"),
    ]


def test_what_is_for_another_than_the_leader_goes_nowhere() -> None:
    cluster = HostingCluster(NAMES)
    node = cluster.nodes["b"]
    node.hosting.take_record("c", "c#3", Subscribe(QUEUE, 1, 1, ("c#3", 1), 1, False, False, 0))
    node.hosting.take_record("c", "c#3", Release(QUEUE, 1, ("c#3", 1)))
    node.hosting.flush()
    cluster.settle_down()
    assert node.hosting.statistics() == []
    assert cluster.leader.hosting.statistics() == [(QUEUE, 0, 0)]


def test_a_node_that_leads_again_goes_on_with_what_it_held() -> None:
    cluster = HostingCluster(["a"])
    node = cluster.nodes["a"]
    reader = cluster.reader("a", 1)
    reader.subscribe()
    cluster.flush()
    node.proxy.publish([(node.hosting.routes.get(b"", b"q"), b"1")], None)
    node.catalog.apply(QueuePlaced(QUEUE, 2, "a", [], ["a"]))  # within the same step
    node.hosting.follow([node.catalog.queues[QUEUE]], [])
    cluster.flush()
    assert [(one.body, one.redelivered) for one in reader.deliveries] == [(b"1", True)]


def test_after_a_failover_only_what_is_lacking_is_copied() -> None:
    cluster = HostingCluster(NAMES)
    cluster.publish("a", b"1", b"2")
    cluster.settle_down()
    cluster.publish("a", b"3")
    cluster.pass_record("a", "b")
    cluster.kill("a", "b")
    asked: list[object] = []
    receive = cluster.nodes["b"].hosting.take_record

    def listen(name: str, origin: str, record: AnyRecord) -> None:
        asked.extend([record.ranges] if isinstance(record, Lacked) else [])
        receive(name, origin, record)

    cluster.nodes["b"].hosting.take_record = listen  # type: ignore[method-assign]
    cluster.settle_down()
    assert asked == [[(3, 3)]]
    assert cluster.nodes["c"].held() == {1: b"1", 2: b"2", 3: b"3"}
