"""What is read back is what is held of it by then, and nothing else."""

from __future__ import annotations

from random import Random
from typing import Any

from rabbitry.broker.message import Message, Routes
from rabbitry.cluster.node_store import NodeStore
from rabbitry.cluster.reading_back import StoredMessages, read_stored
from rabbitry.cluster.replica import Replica
from rabbitry.machine import Commit, Load, Started
from rabbitry.simulation.schedule import SeededEntropy


class Place:
    """A store with messages 1 to 9 of queue 7, in three chunks."""

    def __init__(self) -> None:
        self.failed: list[int] = []
        self.kept: dict[bytes, bytes | None] = {}
        self.found: list[tuple[list[int], dict[int, int]]] = []
        port: Any = self
        self.store = NodeStore(port, SeededEntropy(Random(1)))
        self.store.start(Started())
        self.queue = self.store.queue(7)
        self.queue.describe = Replica().describe
        for first in (1, 4, 7):
            run = (b"x", b"k", 0, [b"%d" % at for at in range(first, first + 3)])
            self.queue.keep(first, run, [100 + first])
            self.carry_out()

    def queue_stored(self, queue: int) -> None:
        assert queue == 7

    def store_failed(self, queue: int) -> None:
        self.failed.append(queue)

    def carry_out(self) -> None:
        while effects := self.store.take_effects():
            for effect in effects:
                if isinstance(effect, Commit):
                    self.kept.update(effect.writes)
                    self.store.committed(effect.commit)
                elif isinstance(effect, Load):
                    self.store.loaded(effect.load, [self.kept.get(key) for key in effect.keys])

    def read(self, first: int, last: int) -> None:
        def then(found: StoredMessages) -> None:
            runs, expiries = found
            entries = [entry for first, held in runs for entry in enumerate(held, first)]
            self.check(entries)
            self.found.append(([position for position, _ in entries], expiries))

        read_stored(self.store, self.queue, Routes(), first, last, then)

    def check(self, entries: Any) -> None:
        entry: tuple[int, Message]
        for entry in entries:
            position, (route, frames) = entry
            assert (route.exchange, route.routing_key, frames) == (b"x", b"k", b"%d" % position)


def test_a_range_is_read_across_chunks() -> None:
    place = Place()
    place.read(2, 8)
    assert place.found == [], "when it has come"
    place.carry_out()
    ((positions, expiries),) = place.found
    assert positions == [2, 3, 4, 5, 6, 7, 8]
    assert {at: expiries[at] for at in positions} == {
        at: 101 + (at - 1) // 3 * 3 for at in positions
    }


def test_what_goes_while_it_is_read_is_not_told() -> None:
    place = Place()
    place.read(1, 9)
    place.queue.remove([(2, 2), (4, 6)])
    place.carry_out()
    assert place.found[0][0] == [1, 3, 7, 8, 9]
    place.queue.remove([(1, 9)])
    place.carry_out()
    place.read(1, 9)
    assert place.found[1] == ([], {}), "at once: there is nothing to wait for"
    assert place.failed == []


def test_a_value_that_is_missing_ends_the_process_unless_nobody_wants_it() -> None:
    place = Place()
    for key in [key for key in place.kept if key[:1] == b"\xff"]:
        place.kept[key] = None
    place.read(1, 3)
    place.queue.remove([(1, 3)])
    place.carry_out()
    assert (place.failed, place.found) == ([], [([], {})])
    place.read(4, 5)
    place.carry_out()
    assert (place.failed, len(place.found)) == ([7], 1)
