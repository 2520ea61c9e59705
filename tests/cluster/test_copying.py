"""Copying: chunks in order of position, without what has gone meanwhile."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rabbitry.broker.message import Message, Route
from rabbitry.broker.positions import ranges_of
from rabbitry.broker.queue import Consumer, Queue
from rabbitry.cluster.copying import CHUNK_MESSAGES_MAX, CHUNK_SIZE_BYTES_MAX, Copier

ROUTE = Route(b"x", b"k")


def queue_of(count: int, size_bytes: int = 0) -> Queue:
    queue = Queue(lambda *_: None)
    messages: list[Message] = [
        (ROUTE, b"%d" % position + b"." * size_bytes) for position in range(1, count + 1)
    ]
    queue.publish(messages)
    return queue


def copy_all(copier: Copier) -> list[int]:
    positions = []
    while not copier.finished:
        positions += [entry[0] for entry in copier.next_chunk()]
    return positions


def test_an_entry_has_all_that_makes_a_message() -> None:
    copier = Copier(queue_of(3), [(2, 3)])
    assert copier.next_chunk() == [(2, b"x", b"k", 0, b"2"), (3, b"x", b"k", 0, b"3")]
    assert copier.finished
    assert copier.next_chunk() == []


def test_nothing_lacks() -> None:
    copier = Copier(queue_of(3), [])
    assert copier.finished
    assert copier.next_chunk() == []


def test_chunks_are_bounded_by_count_and_size() -> None:
    copier = Copier(queue_of(CHUNK_MESSAGES_MAX + 1), [(1, CHUNK_MESSAGES_MAX + 1)])
    assert len(copier.next_chunk()) == CHUNK_MESSAGES_MAX
    assert not copier.finished
    assert len(copier.next_chunk()) == 1
    assert copier.finished
    half = CHUNK_SIZE_BYTES_MAX // 2
    copier = Copier(queue_of(5, half), [(1, 5)])
    assert [entry[0] for entry in copier.next_chunk()] == [1, 2]
    assert copy_all(copier) == [3, 4, 5]


def test_one_message_larger_than_a_chunk_goes_alone() -> None:
    copier = Copier(queue_of(2, 2 * CHUNK_SIZE_BYTES_MAX), [(1, 2)])
    assert len(copier.next_chunk()) == 1
    assert len(copier.next_chunk()) == 1
    assert copier.finished


def test_what_is_out_or_came_back_is_copied_too() -> None:
    queue = queue_of(6)
    queue.add_consumer(Consumer(("n", 1), 1, prefetch_count=4))
    queue.deal()
    queue.remove_consumer(("n", 1), 1)
    queue.requeue(("n", 1), [2])
    queue.settle(("n", 1), [3])
    assert copy_all(Copier(queue, [(1, 6)])) == [1, 2, 4, 5, 6]


@given(st.data())
def test_what_goes_meanwhile_is_not_copied(data: st.DataObject) -> None:
    count = 1200
    queue = queue_of(count)
    queue.add_consumer(Consumer(("n", 1), 1, prefetch_count=data.draw(st.integers(1, count))))
    queue.deal()
    copier = Copier(queue, [(1, 400), (600, count)])
    expected = [*range(1, 401), *range(600, count + 1)]
    copied: list[int] = []
    while not copier.finished:
        out = list(queue.held.get(("n", 1), ()))
        gone = sorted(queue.settle(("n", 1), out[: data.draw(st.integers(0, 300))]))
        queue.deal()
        copier.removed(ranges_of(gone))
        last = copied[-1] if copied else 0
        expected = [one for one in expected if one <= last or one not in set(gone)]
        copied += [entry[0] for entry in copier.next_chunk()]
    assert copied == expected


def test_what_stands_behind_a_gap_is_copied_too() -> None:
    queue = queue_of(3)
    queue.begin_at(1 << 40)
    queue.publish([(ROUTE, b"a"), (ROUTE, b"b")])
    queue.begin_at(1 << 41)
    queue.publish([(ROUTE, b"c")])
    copier = Copier(queue, [(2, 3), ((1 << 40) + 1, (1 << 40) + 1), (1 << 41, 1 << 41)])
    assert [entry[4] for entry in copier.next_chunk()] == [b"2", b"3", b"b", b"c"]


def test_what_the_store_alone_has_is_read_first() -> None:
    queue = queue_of(10)
    queue.page_out([(3, 6), (9, 9)], 2)
    copier = Copier(queue, [(1, 10)])
    assert copier.wanted() is None
    assert [entry[0] for entry in copier.next_chunk()] == [1, 2]
    assert copier.wanted() == (3, 6)
    assert copier.reading, "nothing more is asked for meanwhile"
    copier.removed([(4, 4)])
    copier.take([(at, [(ROUTE, b"%d" % at)]) for at in (3, 5, 6)], {5: 77})
    assert not copier.reading
    chunk = copier.next_chunk()
    assert [entry[0] for entry in chunk] == [3, 5, 6, 7, 8]
    assert copier.expiries_of(chunk) == [(5, 77)]
    assert copier.wanted() == (9, 9)
    copier.removed([(9, 9)])
    copier.take([], {})
    assert copier.wanted() is None
    copier.removed([(10, 10)])
    assert not copier.finished, "the mirror has to hear that this was all"
    assert copier.wanted() is None
    assert copier.next_chunk() == []
    assert copier.finished


def test_what_was_to_be_read_and_is_not_there_is_not_waited_for() -> None:
    queue = queue_of(4)
    queue.page_out([(1, 4)], 0)
    copier = Copier(queue, [(1, 4)])
    assert copier.wanted() == (1, 4)
    copier.take([(2, [(ROUTE, b"2")])], {})
    assert [entry[0] for entry in copier.next_chunk()] == [2]
    assert copier.finished
