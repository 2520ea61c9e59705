"""What is in a queue's store: chunks, holes, generations; and it comes back after any commit."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st
from support.stored_messages import StoringNode, run

from rabbitry.broker.message import Routes
from rabbitry.broker.positions import ranges_of
from rabbitry.cluster.chunk import CHUNK_BYTES_MAX
from rabbitry.cluster.chunks import LASTING, Kept, chunk_key_of
from rabbitry.cluster.queue_store import QueueStore

ROUTES = Routes()


def described(generation: int = 0) -> Kept:
    return Kept(1, generation, 100, 0, False, {}, {}, [])


@dataclass
class Stage:
    node: StoringNode = field(default_factory=StoringNode)

    def __post_init__(self) -> None:
        self.node.start()
        self.store.describe = described
        self.node.commit()

    @property
    def store(self) -> QueueStore:
        return self.node.store.queue(1)

    def chunks(self) -> list[tuple[int, int]]:
        """Return what lies in the store, as (first, count)."""
        keys = [chunk_key_of(key) for key in sorted(self.node.values) if key.startswith(LASTING)]
        return [(key.first, key.count) for key in keys]

    def again(self) -> Stage:
        """Start another process on what is in the store."""
        return Stage(StoringNode(dict(self.node.values)))

    def held(self) -> dict[int, bytes]:
        """Return position -> last byte of the body of all that is kept, read from the store."""
        found: dict[int, bytes] = {}
        for key in self.store.chunk_keys(0, 1 << 62):
            runs, _ = self.store.messages_in(chunk_key_of(key), self.node.values[key], ROUTES)
            for first, messages in runs:
                found.update((at, frames[-2:-1]) for at, (_, frames) in enumerate(messages, first))
        return found


def test_what_comes_while_a_commit_is_under_way_is_one_chunk() -> None:
    stage = Stage()
    stage.store.enqueue(1, run(b"a"))
    stage.node.end_step()
    for position in range(2, 6):
        stage.store.enqueue(position, run(b"b"))
        stage.node.end_step()
    assert not stage.store.is_durable
    stage.node.commit()
    assert stage.store.is_durable
    assert stage.chunks() == [(1, 1), (2, 4)]
    assert stage.node.stored == [1, 1]
    assert stage.again().held() == {1: b"a"} | dict.fromkeys(range(2, 6), b"b")


def test_durable_follows_written_commit_by_commit() -> None:
    stage = Stage()
    stage.store.enqueue(1, run(b"a"))
    first = stage.store.written
    stage.node.end_step()
    stage.store.enqueue(2, run(b"b"))
    assert stage.store.durable < first
    stage.node.store.committed(stage.node.commits.pop(0).commit)
    assert stage.store.durable == first < stage.store.written


def test_transient_messages_are_not_kept_and_leave_gaps() -> None:
    stage = Stage()
    before = stage.store.written
    stage.store.enqueue(1, run(b"t", persistent=False))
    assert stage.store.written == before and stage.store.is_durable
    mixed = (*run(b"1")[:3], [*run(b"1")[3], *run(b"2", persistent=False)[3], *run(b"3")[3]])
    stage.store.enqueue(2, mixed, [7, 8, 9])
    stage.node.commit()
    assert stage.held() == {2: b"1", 4: b"3"}
    assert stage.store.ranges() == [(2, 2), (4, 4)]


def test_what_has_gone_before_its_commit_is_never_written() -> None:
    stage = Stage()
    stage.store.enqueue(1, run(b"a"))
    stage.node.end_step()
    stage.store.enqueue(2, run(b"b", b"c"))
    stage.store.remove([(2, 3)])
    stage.node.commit()
    assert stage.chunks() == [(1, 1)]
    assert stage.store.is_durable


def test_holes_are_kept_and_go_with_their_chunk() -> None:
    stage = Stage()
    stage.store.enqueue(1, run(*[b"%d" % one for one in range(1, 9)]))
    stage.node.commit()
    stage.store.remove([(2, 3), (5, 5)])
    stage.node.commit()
    again = stage.again()
    assert sorted(again.held()) == [1, 4, 6, 7, 8]
    assert again.store.ranges() == [(1, 1), (4, 4), (6, 8)]
    again.store.remove([(1, 8)])
    again.node.commit()
    assert [key for key in again.node.values if key[:1] in (b"h", LASTING[:1])] == []


def test_a_message_that_comes_again_fills_its_hole() -> None:
    stage = Stage()
    stage.store.enqueue(1, run(b"1", b"2", b"3"))
    stage.node.commit()
    stage.store.remove([(2, 2)])
    stage.node.commit()
    stage.store.enqueue(2, run(b"2"))
    stage.node.commit()
    assert stage.again().held() == {1: b"1", 2: b"2", 3: b"3"}


def test_chunks_are_bounded() -> None:
    stage = Stage()
    size = CHUNK_BYTES_MAX // 3
    for position in range(1, 6):
        stage.store.enqueue(position, run(bytes(size)))
    stage.node.commit()
    assert stage.chunks() == [(1, 2), (3, 2), (5, 1)]


def test_copies_come_before_what_was_there() -> None:
    stage = Stage()
    stage.store.enqueue(10, run(b"x"))
    stage.store.enqueue(1, run(b"a"))
    stage.store.enqueue(2, run(b"b"))
    stage.node.commit()
    assert stage.again().store.ranges() == [(1, 2), (10, 10)]


def test_what_is_only_of_a_replica_that_was_never_complete_is_garbage() -> None:
    stage = Stage()
    stage.store.enqueue(1, run(b"a"))
    assert stage.store.begin_generation() == 1
    stage.store.enqueue(2, run(b"b"))
    stage.node.commit()
    again = stage.again()
    assert again.held() == {1: b"a"}
    assert again.chunks() == [(1, 1)]
    stage.store.describe = lambda: described(1)
    stage.store.describe_again()
    stage.node.commit()
    assert stage.again().held() == {1: b"a", 2: b"b"}


def test_a_dropped_queue_leaves_nothing() -> None:
    stage = Stage()
    stage.store.enqueue(1, run(b"a", b"b"))
    stage.node.commit()
    stage.store.remove([(1, 1)])
    stage.node.commit()
    stage.node.store.forget(1)
    stage.node.commit()
    assert list(stage.node.values) == [b"store"]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("eerrc"), st.integers(1, 60), st.integers(1, 6))))
def test_it_holds_what_a_set_holds(actions: list[tuple[str, int, int]]) -> None:
    stage = Stage()
    held: dict[int, None] = {}
    for what, position, count in actions:
        if what == "c":
            stage.node.commit()
        elif what == "r":
            stage.store.remove([(position, position + count - 1)])
            for one in range(position, position + count):
                held.pop(one, None)
        else:
            free = [one for one in range(position, position + count) if one not in held]
            for first, last in ranges_of(free):
                bodies = [bytes((one,)) for one in range(first, last + 1)]
                stage.store.enqueue(first, run(*bodies))
            held.update(dict.fromkeys(free))
        assert stage.store.ranges() == ranges_of(sorted(held))
    stage.node.commit()
    assert stage.again().held() == {one: bytes((one,)) for one in held}
