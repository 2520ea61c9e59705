"""Pagers: what is in the store leaves memory, and is there again when its turn comes."""

from __future__ import annotations

from random import Random

import pytest

from rabbitry.broker.message import Message, Route, Routes, run_of
from rabbitry.broker.queue import Consumer, Queue
from rabbitry.broker.queue_settings import DEFAULT, QueueSettings
from rabbitry.cluster.chunk import Chunk
from rabbitry.cluster.node_store import NodeStore
from rabbitry.cluster.paging import READ_BYTES_MIN, SCAN_TICKS, Budget, Pager
from rabbitry.cluster.queue_records import Range
from rabbitry.cluster.queue_store import QueueStore
from rabbitry.cluster.reading_back import OnRead, read_stored
from rabbitry.cluster.replica import Replica
from rabbitry.machine import BULK, Commit, Effect, Load, Started
from rabbitry.simulation.schedule import SeededEntropy
from rabbitry.wire.frames import content_body, content_frames
from rabbitry.wire.methods import BasicProperties

PERSISTENT = BasicProperties(delivery_mode=2).encode()
TRANSIENT = BasicProperties(delivery_mode=1).encode()
HOLDER = ("n", 1)
NUMBER, EPOCH = 7, 3


class Place:
    """A leader's queue with its store; commits and reads are answered when the test says so."""

    def __init__(self, settings: QueueSettings = DEFAULT, durable: bool = True) -> None:
        self.kept: dict[bytes, bytes] = {}
        self.waiting: list[Effect] = []
        self.dealt: list[bytes] = []
        self.lost: list[Range] = []
        self.failed: list[int] = []
        self.routes = Routes()
        self.queue = Queue(self._sink, settings)
        self.node_store = NodeStore(self, SeededEntropy(Random(1)))
        self.node_store.start(Started())
        self.store = self.node_store.queue(NUMBER)
        store = self.store if durable else None
        self.store.describe = (lambda: Replica().describe()) if durable else None
        then = self.lost.extend, lambda: None
        self.pager = Pager(self, NUMBER, EPOCH, self.queue, store, *then)
        self.settle()

    def _sink(self, _: Consumer, __: object, messages: list[Message], ___: bool) -> None:
        self.dealt += [content_body(frames) for _, frames in messages]

    def publish(
        self, *bodies: bytes, due: int | None = None, properties: bytes = PERSISTENT
    ) -> None:
        first = self.queue.next_position
        route = Route(b"", b"q", int.from_bytes(properties[:2], "big"))
        messages = [(route, content_frames(1, properties, body, 0)) for body in bodies]
        expiries = [] if due is None else [due]
        self.queue.publish(messages, expiries)
        store = self.pager.store
        if store is not None:
            store.enqueue(first, run_of(messages), expiries, everything=self.pager.paging)

    def answer(self) -> None:
        """Answer what is under way."""
        self.waiting += self.node_store.take_effects()
        waiting, self.waiting = self.waiting, []
        for effect in waiting:
            if isinstance(effect, Commit):
                for key, value in effect.writes:
                    if value is None:
                        self.kept.pop(key, None)
                    else:
                        self.kept[key] = value
                self.node_store.committed(effect.commit)
            else:
                assert isinstance(effect, Load)
                self.node_store.loaded(effect.load, [self.kept.get(key) for key in effect.keys])

    def settle(self) -> None:
        self.answer()
        while self.waiting or (effects := self.node_store.take_effects()):
            self.waiting += effects if not self.waiting else []
            self.answer()

    def deal(self, count: int) -> list[bytes]:
        self.queue.add_consumer(Consumer(HOLDER, 1, prefetch_count=count))
        self.queue.deal()
        self.queue.remove_consumer(HOLDER, 1)
        dealt, self.dealt = self.dealt, []
        return dealt

    # --- what the store and the pager need ---

    def queue_stored(self, queue: int) -> None:
        assert queue == NUMBER
        self.pager.stored()

    def store_refuses(self, reason: str) -> None:
        raise AssertionError(reason)

    def store_failed(self, queue: int) -> None:
        self.failed.append(queue)

    def store_lacks(self, queue: int) -> None:
        self.failed.append(queue)

    def passing_store(self, queue: int) -> QueueStore:
        assert queue == NUMBER
        self.store.lasting = False
        return self.store

    def read_stored(self, queue: int, epoch: int, first: int, last: int, then: OnRead) -> None:
        assert (queue, epoch) == (NUMBER, EPOCH)
        read_stored(self.node_store, self.store, self.routes, first, last, then)


def bodies(first: int, count: int, size_bytes: int = 1000) -> list[bytes]:
    return [b"%d" % at + b"." * size_bytes for at in range(first, first + count)]


@pytest.fixture
def place() -> Place:
    return Place()


def test_what_is_stored_leaves_memory_but_the_front_and_comes_back_in_time(place: Place) -> None:
    everything = bodies(0, 1000)
    place.publish(*everything[:900])
    place.settle()
    place.pager.page(READ_BYTES_MIN)
    kept = place.queue.memory_count
    assert 2 * READ_BYTES_MIN / 1200 < kept < 2 * READ_BYTES_MIN / 1000
    place.publish(*everything[900:])
    assert place.queue.memory_count == kept + 100, "not stored yet"
    place.settle()
    assert place.queue.memory_count == kept
    dealt: list[bytes] = []
    while place.queue.ready_count:
        dealt += place.deal(10)
        place.pager.read_ahead()
        place.settle()
        assert place.queue.memory_count <= 2 * kept
    assert dealt == everything
    assert place.lost == []


def test_paging_looks_at_what_is_in_memory_however_much_is_stored(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is done ten times a second: a node with a long line of chunks did nothing else."""
    looked_at: list[int] = []
    ranges = Chunk.ranges

    def counted(chunk: Chunk) -> list[Range]:
        looked_at.append(chunk.first)
        return ranges(chunk)

    for body in bodies(0, 300, 9000):  # too large for chunks to be merged
        place.publish(body)
        place.settle()
    place.pager.page(READ_BYTES_MIN)
    in_memory = place.queue.memory_count
    place.publish(*bodies(300, 50, 9000))
    monkeypatch.setattr(Chunk, "ranges", counted)
    place.pager.page(READ_BYTES_MIN)
    place.settle()
    place.pager.page(READ_BYTES_MIN)
    assert len(looked_at) <= 2 * in_memory < 100, "not at three hundred"


def test_it_reads_before_it_runs_out(place: Place) -> None:
    place.publish(*bodies(0, 500))
    place.settle()
    place.pager.page(READ_BYTES_MIN)
    while place.queue.ready_count > 500 - 110:
        place.deal(5)
        place.pager.read_ahead()
    assert len(place.queue.ready) > 0, "what is asked for has not come"
    assert place.queue.wanted(1) is None, "asked for once"
    before = place.queue.memory_count
    place.settle()
    assert place.queue.memory_count > before


def test_when_the_queue_is_short_it_stays_in_memory_again(place: Place) -> None:
    place.publish(*bodies(0, 500))
    place.settle()
    place.pager.page(READ_BYTES_MIN)
    assert place.pager.paging
    while place.queue.ready_count > 10:
        place.deal(10)
        place.pager.read_ahead()
        place.settle()
    place.publish(b"one")
    place.settle()
    assert not place.pager.paging
    place.publish(*bodies(0, 300))
    place.settle()
    assert place.queue.memory_count == place.queue.ready_count


def test_expiries_go_to_the_store_and_come_back(place: Place) -> None:
    place.publish(*bodies(0, 300), due=5)
    place.settle()
    place.pager.page(READ_BYTES_MIN)
    assert len(place.queue.expiries) == place.queue.memory_count < 300
    expired = 0
    while place.queue.ready_count:
        gone = place.queue.expire(9)
        expired += len(gone)
        place.queue.forget([(position, position) for position, _ in gone])
        place.pager.read_ahead()
        place.settle()
    assert (expired, place.queue.expiries) == (300, {})


def test_a_store_that_lacks_what_the_queue_holds_ends_the_process(place: Place) -> None:
    place.publish(*bodies(0, 300))
    place.settle()
    place.pager.page(READ_BYTES_MIN)
    place.store.remove([(250, 260)])
    while place.queue.ready_count and not place.failed:
        place.deal(10)
        place.pager.read_ahead()
        place.settle()
    assert place.failed == [NUMBER]


def test_what_was_removed_while_it_was_read_stays_away(place: Place) -> None:
    place.publish(*bodies(0, 300))
    place.settle()
    place.pager.page(READ_BYTES_MIN)
    while not place.node_store._loads:
        place.deal(10)
        place.pager.read_ahead()
    place.store.remove(place.queue.purge())
    place.settle()
    assert (place.queue.ready_count, place.lost, place.failed) == (0, [], [])


def test_a_value_that_does_not_come_ends_the_node(place: Place) -> None:
    place.publish(*bodies(0, 300))
    place.settle()
    place.pager.page(READ_BYTES_MIN)
    place.kept.clear()
    while not place.node_store._loads:
        place.deal(10)
        place.pager.read_ahead()
    place.settle()
    assert place.failed == [NUMBER]


def test_a_queue_that_weighs_its_messages_keeps_them() -> None:
    place = Place(QueueSettings(length_bytes_max=1 << 30))
    place.publish(*bodies(0, 300))
    place.settle()
    place.pager.page(READ_BYTES_MIN)
    assert place.queue.memory_count == 300
    assert place.pager.memory_bytes() == 0, "none that could go"


@pytest.mark.parametrize("durable", [True, False])
def test_what_need_not_be_kept_is_written_too_and_forgotten_at_the_next_start(
    durable: bool,
) -> None:
    place = Place(durable=durable)
    everything = bodies(0, 400)
    place.publish(*everything[:200], properties=TRANSIENT)
    place.publish(*everything[200:300])
    place.publish(b"last", due=3, properties=TRANSIENT)
    place.settle()
    for _ in range(9):
        place.pager.page(READ_BYTES_MIN)
        place.settle()
    kept = place.queue.memory_count
    assert kept < 150
    place.publish(*everything[300:], properties=TRANSIENT)
    place.settle()
    assert place.queue.memory_count == kept
    chunks = [key for key in place.kept if key.startswith(BULK)]
    again = NodeStore(place, SeededEntropy(Random(2)))
    again.start(Started(sorted(one for one in place.kept.items() if one[0] not in chunks), chunks))
    left = again.queue(NUMBER).ranges()
    assert left == ([(201, 300)] if durable else [])
    dealt: list[bytes] = []
    while place.queue.ready_count:
        dealt += place.deal(20)
        place.pager.read_ahead()
        place.settle()
    assert dealt == [*everything[:300], b"last", *everything[300:]]
    assert place.queue.expiries == {301: 3}


# --- the budget -----------------------------------------------------------------------------------


class Sized:
    """A replica of some size, that can be paged."""

    def __init__(self, size_bytes: int, leads: bool = True) -> None:
        self.size_bytes = size_bytes
        self.leads = leads
        self.paged: list[int] = []

    def memory_bytes(self) -> int:
        return self.size_bytes

    def page(self, read_bytes: int) -> None:
        self.paged.append(read_bytes)
        self.size_bytes //= 10


def paged(budget_bytes: int, *replicas: Sized) -> list[bool]:
    Budget(budget_bytes, lambda: list(replicas)).tick()
    return [bool(one.paged) for one in replicas]


MB = 1 << 20


def test_below_half_of_the_budget_nothing_is_paged() -> None:
    assert paged(100 * MB, Sized(30 * MB), Sized(20 * MB)) == [False, False]


def test_mirrors_go_first_then_the_longest() -> None:
    found = paged(100 * MB, Sized(9 * MB), Sized(20 * MB), Sized(30 * MB), Sized(11 * MB, False))
    assert found == [False, True, True, True]
    found = paged(100 * MB, Sized(19 * MB), Sized(1 * MB), Sized(40 * MB, False))
    assert found == [False, False, True]


def test_many_queues_share_what_is_read_at_a_time() -> None:
    few, many = [Sized(90 * MB)], [Sized(2 * MB) for _ in range(50)]
    paged(100 * MB, *few)
    paged(100 * MB, *many)
    assert READ_BYTES_MIN <= min(one.paged[0] for one in many if one.paged) < few[0].paged[0]


def test_queues_that_have_grown_are_found_within_a_second() -> None:
    grown = Sized(0)
    asked: list[int] = []

    def replicas() -> list[Sized]:
        asked.append(1)
        return [grown]

    budget = Budget(100 * MB, replicas)
    budget.tick()
    grown.size_bytes = 90 * MB
    for _ in range(SCAN_TICKS):
        budget.tick()
    assert grown.paged
    assert len(asked) == 2


def test_what_is_wanted_is_read_wherever_it_lies() -> None:
    place = Place()
    place.publish(*[b"%d" % number for number in range(1, 41)])
    place.settle()
    place.pager.page(1)
    read: list[int] = []
    place.pager.read(30, 31, lambda: read.append(place.queue.memory_count))
    before = place.queue.memory_count
    place.settle()
    assert read == [before + 2]
    assert place.queue.in_memory(30, 31)[0][0] == 30
