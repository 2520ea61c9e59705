"""A node's start: replicas out of what was kept, all of them before it goes on, or not at all."""

from __future__ import annotations

from support.stored_messages import StoringNode, run

from rabbitry.broker.message import Routes
from rabbitry.cluster.chunks import Kept
from rabbitry.cluster.recovering import Recovering
from rabbitry.cluster.replica import Replica


class Recovered(StoringNode):
    def __init__(self, values: dict[bytes, bytes]) -> None:
        super().__init__(values)
        self.found: dict[int, Replica] = {}
        self.done = False
        self.start()
        Recovering(self.store, Routes(), self.found.__setitem__, self._done).begin()

    def _done(self) -> None:
        self.done = True


def kept_values(whole: bool = True) -> dict[bytes, bytes]:
    node = StoringNode()
    node.start()
    for number in (1, 2):
        store = node.store.queue(number)
        store.describe = lambda: Kept(4, 0, 9, 0, True, {"a#1": 7}, {}, [(2, 1)], whole)
        store.enqueue(1, run(b"a", b"b", b"c"), [100, -1, 300])
    node.commit()
    node.store.queue(2).remove([(1, 3)])
    node.store.queue(1).remove([(1, 1)])
    node.commit()
    return node.values


def test_replicas_are_as_they_were() -> None:
    node = Recovered(kept_values())
    assert not node.done
    node.load()
    node.commit()
    assert node.done
    one = node.found[1]
    assert [(at, frames[-2:-1]) for at, (_, frames) in one.entries()] == [(2, b"b"), (3, b"c")]
    assert one.expiries == {3: 300}
    assert (one.epoch, one.next_position, one.seen_through) == (4, 9, 8)
    assert one.origins == {"a#1": 7} and one.counts == {2: 1} and one.consumed
    assert node.found[2].entries() == []


def test_messages_are_not_read_where_not_all_need_be_in_memory() -> None:
    node = Recovered(kept_values(whole=False))
    node.commit()
    assert node.done
    assert node.loads == []
    assert node.found[1].messages == {}
    assert node.found[1].positions.ranges() == [(2, 3)]
    assert node.found[2].positions.ranges() == []


def test_a_value_that_is_not_there_ends_the_process() -> None:
    node = Recovered(kept_values())
    node.end_step()
    load = node.loads.pop(0)
    node.store.loaded(load.load, [None] * len(load.keys))
    node.commit()
    assert node.failures == [1]
    assert not node.done and node.found == {}


def test_very_many_queues_come_back() -> None:
    node = StoringNode()
    node.start()
    for number in range(1, 2001):
        store = node.store.queue(number)
        store.describe = lambda: Kept(1, 0, 2, 0, False, {}, {}, [])
        store.enqueue(1, run(b"a"))
    node.commit()
    again = Recovered(node.values)
    again.load()
    again.commit()
    assert again.done and list(again.found) == list(range(1, 2001))


def test_an_empty_store_is_done_at_once_but_for_its_name() -> None:
    node = Recovered({})
    assert not node.done
    node.commit()
    assert node.done
