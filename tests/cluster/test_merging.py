"""Small chunks become large ones; whatever happens meanwhile, what is held stays what it was."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.stored_messages import StoringNode, run

from rabbitry.broker.message import MessagesAt, Routes
from rabbitry.cluster import merging
from rabbitry.cluster.chunk import CHUNK_BYTES_MAX, Chunk
from rabbitry.cluster.chunks import HOLES, LASTING, Kept, chunk_key_of, kept_key
from rabbitry.cluster.merging import groups_of
from rabbitry.cluster.node_store import RETRY_US
from rabbitry.cluster.queue_store import QueueStore
from rabbitry.cluster.reading_back import StoredMessages, read_stored

FULL = "No space left on device"


def positions_of(runs: list[MessagesAt]) -> list[int]:
    """Return where these messages lie; each says it in its body."""
    entries = [entry for first, messages in runs for entry in enumerate(messages, first)]
    assert all(frames[-2] == position for position, (_, frames) in entries)
    return [position for position, _ in entries]


@pytest.fixture(autouse=True, scope="module")
def few() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(merging, "MERGE_AT", 4)
        patch.setattr(merging, "GROUP_MIN", 2)
        yield


class Stage:
    """Queue 1 of a node; messages are published one by one, so each is a chunk."""

    def __init__(self, values: dict[bytes, bytes] | None = None) -> None:
        self.node = StoringNode(values)
        self.node.start()
        self.store: QueueStore = self.node.store.queue(1)
        self.store.describe = lambda: Kept(1, 0, 1000, 0, False, {}, {}, [])

    def publish(self, *positions: int) -> None:
        for position in positions:
            self.store.enqueue(position, run(bytes((position,))))
            self.node.commit()

    def chunks(self) -> list[tuple[int, int]]:
        keys = [chunk_key_of(key) for key in sorted(self.node.values) if key.startswith(LASTING)]
        return [(key.first, key.count) for key in keys]

    def on_disk(self) -> list[int]:
        """Return the positions that another process would find, each with its own body."""
        found = Stage(dict(self.node.values))
        positions = []
        for key in found.store.chunk_keys(0, 1 << 62):
            runs, _ = found.store.messages_in(chunk_key_of(key), found.node.values[key], Routes())
            positions += positions_of(runs)
        return positions

    def read(self, first: int, last: int) -> list[list[int]]:
        """Ask for messages; return a list that gets the positions that are found."""
        found: list[list[int]] = []

        def then(answer: StoredMessages) -> None:
            found.append(positions_of(answer[0]))

        read_stored(self.node.store, self.store, Routes(), first, last, then)
        self.node.end_step()
        return found


def test_what_stands_side_by_side_becomes_one_chunk() -> None:
    stage = Stage()
    stage.publish(1, 2, 3, 4)
    assert stage.chunks() == [(1, 1), (2, 1), (3, 1), (4, 1)]
    stage.node.load()
    assert stage.chunks() == [(1, 4)]
    assert stage.on_disk() == [1, 2, 3, 4]
    assert stage.store.ranges() == stage.store.stored_within([(1, 4)]) == [(1, 4)]


def test_a_few_that_stand_alone_are_left_and_not_looked_at_again() -> None:
    stage = Stage()
    stage.publish(1, 3, 5, 7)
    stage.node.load()
    assert stage.chunks() == [(1, 1), (3, 1), (5, 1), (7, 1)]
    assert stage.store.small == []


def test_what_a_consumer_takes_at_once_is_not_merged() -> None:
    stage = Stage()
    for position in range(1, 20):
        stage.publish(position)
        stage.store.remove([(position, position)])
    stage.node.commit()
    assert stage.node.loads == []
    assert stage.chunks() == []


def test_holes_are_those_of_the_merged_chunk_then() -> None:
    stage = Stage()
    for first in (1, 4, 7, 10):
        stage.store.enqueue(first, run(*(bytes((at,)) for at in range(first, first + 3))))
        stage.node.commit()
    stage.store.remove([(2, 2), (11, 11)])
    stage.node.load()
    assert stage.chunks() == [(1, 12)]
    stage.store.remove([(3, 3)])
    stage.node.commit()
    assert stage.on_disk() == [1, 4, 5, 6, 7, 8, 9, 10, 12]
    assert sum(key[:1] == HOLES for key in stage.node.values) == 1
    stage.store.remove([(1, 12)])
    stage.node.commit()
    assert sorted(key[:1] for key in stage.node.values) == [b"q", b"s"]


def merge_under_way(stage: Stage) -> None:
    """Have the chunks of the first four messages in a commit that is not durable yet."""
    stage.publish(1, 2, 3, 4)
    stage.node.end_step()
    load = stage.node.loads.pop()
    stage.node.store.loaded(load.load, [stage.node.values.get(key) for key in load.keys])
    stage.node.end_step()
    assert len(stage.node.commits) == 1


def test_what_is_removed_and_held_again_while_the_commit_is_under_way() -> None:
    stage = Stage()
    merge_under_way(stage)
    stage.store.remove([(1, 3)])
    assert stage.store.ranges() == [(4, 4)]
    stage.store.keep(2, run(b"\2"), [])
    assert stage.store.ranges() == [(2, 2), (4, 4)]
    stage.node.commit()
    assert stage.chunks() == [(1, 4)]
    assert stage.on_disk() == [2, 4]


def test_all_of_it_is_removed_while_the_commit_is_under_way() -> None:
    stage = Stage()
    merge_under_way(stage)
    stage.store.remove([(1, 4)])
    stage.node.commit()
    assert stage.chunks() == []
    assert stage.store.ranges() == []


def test_a_queue_that_is_deleted_while_the_commit_is_under_way_leaves_nothing() -> None:
    stage = Stage()
    merge_under_way(stage)
    stage.store.remove([(2, 2)])
    stage.node.store.forget(1)
    stage.node.commit()
    assert list(stage.node.values) == [b"store"]


def test_a_disk_that_refuses_has_all_of_them_as_they_were() -> None:
    stage = Stage()
    merge_under_way(stage)
    stage.node.commits.clear()
    stage.store.remove([(1, 1)])
    stage.node.store.failed(FULL, 0)
    stage.publish(5)
    stage.node.store.tick(RETRY_US)
    stage.node.end_step()
    (relief,) = stage.node.commits
    assert kept_key(1) not in dict(relief.writes)
    stage.node.commit_one()
    assert stage.on_disk() == [2, 3, 4]
    stage.node.commit()
    assert stage.on_disk() == [2, 3, 4, 5]
    stage.node.load()
    assert stage.chunks() == [(2, 4)], "it is tried again when the disk takes something"


def test_a_reader_that_has_asked_before_finds_what_it_wants() -> None:
    stage = Stage()
    stage.publish(1, 2, 3, 4)
    stage.node.end_step()
    merge = stage.node.loads.pop()
    found = stage.read(2, 3)
    (read,) = stage.node.loads
    seen = [stage.node.values.get(key) for key in read.keys]
    stage.node.store.loaded(merge.load, [stage.node.values.get(key) for key in merge.keys])
    stage.node.commit()
    assert stage.chunks() == [(1, 4)]
    stage.store.remove([(3, 3)])
    stage.node.store.loaded(read.load, seen)
    assert found == [[2]]


def test_a_reader_that_comes_too_late_for_what_it_asked_reads_again() -> None:
    stage = Stage()
    stage.publish(1, 2, 3, 4)
    stage.node.end_step()
    merge = stage.node.loads.pop()
    found = stage.read(2, 3)
    (read,) = stage.node.loads
    stage.node.store.loaded(merge.load, [stage.node.values.get(key) for key in merge.keys])
    stage.node.commit()
    stage.node.loads.clear()
    stage.node.store.loaded(read.load, [None, None])
    assert found == []
    stage.node.load()
    assert found == [[2, 3]]
    assert stage.node.failures == []


def test_a_value_that_is_not_there_leaves_its_group_as_it_is() -> None:
    stage = Stage()
    stage.publish(1, 2, 3, 4)
    stage.node.end_step()
    (load,) = stage.node.loads
    stage.node.store.loaded(load.load, [None] * 4)
    stage.node.commit()
    assert len(stage.chunks()) == 4


def test_groups_are_side_by_side_of_one_kind_and_not_too_large() -> None:
    def chunk(first: int, generation: int = 0, lasting: bool = True, size: int = 1) -> Chunk:
        found = Chunk(first, 2, generation, lasting)
        found.size_bytes = size
        return found

    large = CHUNK_BYTES_MAX // 2 + 1
    chunks = [
        chunk(1),
        chunk(3),
        chunk(6),
        chunk(8, generation=1),
        chunk(10, generation=1, lasting=False),
        chunk(12, size=large),
        chunk(14, size=large),
        chunk(16),
    ]
    groups = [[one.first for one in group] for group in groups_of(chunks)]
    assert groups == [[1, 3], [6], [8], [10], [12], [14, 16]]


ACTIONS = st.lists(
    st.tuples(st.sampled_from("ppppehcllrrrkf"), st.integers(1, 12), st.integers(1, 4)),
    min_size=30,
    max_size=120,
)


@settings(max_examples=100, deadline=None)
@given(ACTIONS)
def test_the_disk_has_what_was_held_when_the_commit_was_made(
    actions: list[tuple[str, int, int]],
) -> None:
    """Whenever the process dies: commits, loads and failures come in any order."""
    play = Play()
    for action in actions:
        play.act(*action)
        held = [at for first, last in play.stage.store.ranges() for at in range(first, last + 1)]
        assert held == sorted(play.held)
    play.finish()


class Play:
    """A store and what is to be in it: `held` now, `promised` of the commit under way.

    `durable`: what the disk had, and has not been removed since.
    """

    def __init__(self) -> None:
        self.stage = Stage()
        self.node = self.stage.node
        self.held: dict[int, None] = {}
        self.durable: dict[int, None] = {}
        self.promised: dict[int, None] = {}
        self.next = 1
        self.now = 0
        self._step()

    def act(self, what: str, at: int, count: int) -> None:
        match what:
            case "e" if self.next < 250:
                self.stage.store.enqueue(self.next, run(bytes((self.next,))))
                self.held[self.next] = None
                self.next += 1
            case "p":
                self.act("e", at, count)
                self._step()
                while self.node.commits:
                    self._commit()
            case "h":
                self._step()
            case "c" if self.node.commits:
                self._commit()
            case "f" if self.node.commits:
                self.node.commits.clear()
                self.now += RETRY_US
                self.node.store.failed(FULL, self.now - RETRY_US)
                self.node.store.tick(self.now)
                self._step()
            case "l" if self.node.loads:
                load = self.node.loads.pop(0)
                values = [self.node.values.get(key) for key in load.keys]
                self.node.store.loaded(load.load, values)
                self._step()
            case "r":
                first = max(self.next - at, 1)
                self.stage.store.remove([(first, first + count - 1)])
                for one in range(first, first + count):
                    self.held.pop(one, None)
                    self.durable.pop(one, None)
            case "k" if self.next > at and self.next - at not in self.held:
                self.stage.store.keep(self.next - at, run(bytes((self.next - at,))), [])
                self.held[self.next - at] = None

    def _step(self) -> None:
        under_way = bool(self.node.commits)
        self.node.end_step()
        if self.node.commits and not under_way:
            self.promised = dict(self.held)

    def _commit(self) -> None:
        (commit,) = self.node.commits
        whole = kept_key(1) in dict(commit.writes)
        promised = self.promised
        self.node.store.take_effects()
        self.promised = dict(self.held)  # of the commit that follows at once, if one does
        self.node.commit_one()
        found = dict.fromkeys(self.stage.on_disk())
        if whole:
            assert sorted(found) == sorted(promised)
        assert all(at in found for at in self.durable), "nothing is lost"
        self.durable = {at: None for at in found if at in self.held}

    def finish(self) -> None:
        self.now += RETRY_US
        self.node.store.tick(self.now)
        self.node.load()
        self.node.commit()
        assert self.stage.on_disk() == sorted(self.held)
