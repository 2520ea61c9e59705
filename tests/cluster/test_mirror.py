"""A mirror: what it answers, and that what it held counts until what comes is complete."""

from __future__ import annotations

from support.stored_messages import StoringNode, run

from rabbitry.broker.message import Routes
from rabbitry.cluster.mirror import QueueMirror
from rabbitry.cluster.queue_records import (
    Announced,
    Applied,
    Begin,
    Copied,
    Enqueued,
    Lacked,
    Range,
    Record,
    Removed,
)
from rabbitry.cluster.replica import Replica

ROUTES = Routes()


class Mirrored:
    """A mirror, and what it has told its leader."""

    def __init__(self, epoch: int = 1) -> None:
        self.told: list[Record] = []
        self.mirror = QueueMirror(1, epoch, ROUTES, self._tell)

    def _tell(self, queue: int, record: Record) -> None:
        assert queue == 1
        self.told.append(record)

    def begin(
        self,
        *ranges: Range,
        epoch: int = 1,
        next_position: int = 1,
        fresh: bool = False,
        follows: int = 0,
        first_position: int = 1,
        origins: dict[str, int] | None = None,
        seen_through: int = 0,
    ) -> None:
        self.mirror.receive(
            Begin(
                1,
                epoch,
                10,
                fresh,
                list(ranges),
                next_position,
                seen_through,
                origins or {},
                follows,
                first_position,
            )
        )

    def enqueue(self, sequence: int, first: int, *bodies: bytes, last: int = 0) -> None:
        run = (b"", b"q", 0, list(bodies))
        self.mirror.receive(Enqueued(1, self.mirror.epoch, sequence, first, "u", last, run))

    def copy(self, sequence: int, *entries: tuple[int, bytes], complete: bool) -> None:
        copied = [(position, b"", b"q", 0, body) for position, body in entries]
        self.mirror.receive(Copied(1, self.mirror.epoch, sequence, copied, complete))

    def filled(self, *bodies: bytes) -> None:
        """Follow a stream of epoch 1 from its beginning."""
        self.begin()
        self.copy(11, complete=True)
        self.enqueue(12, 1, *bodies, last=len(bodies))
        self.told.clear()


def bodies(replica: Replica) -> dict[int, bytes]:
    return {position: body for position, (_, body) in replica.entries()}


def test_it_says_what_it_lacks_and_how_far_it_has_come() -> None:
    mirrored = Mirrored()
    mirror = mirrored.mirror
    mirrored.begin((1, 2), (4, 4), next_position=5)
    assert mirrored.told == [Lacked(1, 1, 10, [(1, 2), (4, 4)])]
    mirror.answer()
    assert len(mirrored.told) == 1
    mirrored.copy(11, (1, b"1"), complete=False)
    mirrored.enqueue(12, 5, b"5")
    mirror.answer()
    mirror.answer()
    assert mirrored.told[1:] == [Applied(1, 1, 12, 12)]
    assert not mirror.complete
    mirrored.copy(13, (2, b"2"), (4, b"4"), complete=True)
    assert mirror.complete
    assert bodies(mirror.take_replica()) == {1: b"1", 2: b"2", 4: b"4", 5: b"5"}


def test_it_hears_nothing_before_the_beginning() -> None:
    mirrored = Mirrored()
    mirrored.enqueue(3, 1, b"1")
    mirrored.mirror.answer()
    assert mirrored.told == []
    assert len(mirrored.mirror.take_replica().messages) == 0


def test_a_new_leader_silences_the_old_one() -> None:
    mirrored = Mirrored()
    mirrored.filled(b"1")
    mirrored.mirror.follow(1)
    assert mirrored.mirror.begun
    mirrored.mirror.follow(2)
    mirrored.enqueue(13, 2, b"2")
    mirrored.mirror.answer()
    assert mirrored.told == []
    assert bodies(mirrored.mirror.take_replica()) == {1: b"1"}


def test_only_what_it_lacks_is_copied_after_a_broken_link() -> None:
    mirrored = Mirrored()
    mirrored.filled(b"1", b"2", b"3")
    mirrored.begin((2, 5), next_position=6, origins={"u": 5})
    assert mirrored.told == [Lacked(1, 1, 10, [(4, 5)])]
    mirrored.copy(11, (4, b"4"), (5, b"5"), complete=True)
    replica = mirrored.mirror.take_replica()
    assert bodies(replica) == {2: b"2", 3: b"3", 4: b"4", 5: b"5"}
    assert (replica.next_position, replica.origins) == (6, {"u": 5})


def test_what_it_held_counts_until_the_copy_is_complete() -> None:
    mirrored = Mirrored()
    mirrored.filled(b"1", b"2", b"3")
    mirrored.begin((2, 5), next_position=6, origins={"u": 5}, seen_through=4)
    mirrored.enqueue(11, 6, b"6", last=6)
    mirrored.mirror.receive(Removed(1, 1, 12, [(2, 2)]))
    mirrored.mirror.receive(Announced(1, 1, 13, 9))
    mirrored.copy(14, (4, b"4"), complete=False)
    assert bodies(mirrored.mirror.current) == {3: b"3", 4: b"4", 6: b"6"}
    replica = mirrored.mirror.take_replica()
    assert bodies(replica) == {3: b"3"}, "what is removed is removed, what came is not there"
    assert (replica.epoch, replica.next_position) == (1, 4)
    assert (replica.origins, replica.seen_through) == ({"u": 3}, 0)


def test_what_the_leader_never_had_stays_with_what_was_held() -> None:
    mirrored = Mirrored()
    mirrored.filled(b"1", b"2", b"3")
    mirrored.mirror.follow(2)
    mirrored.begin((1, 1), (50, 51), epoch=2, next_position=52, follows=1, first_position=3)
    assert mirrored.told == [Lacked(1, 2, 10, [(50, 51)])]
    # The second is settled, for the leader has had it; the third belongs to what was taken here.
    assert bodies(mirrored.mirror.take_replica()) == {1: b"1", 3: b"3"}
    mirrored.mirror.receive(Removed(1, 2, 11, [(1, 1)]))
    assert bodies(mirrored.mirror.take_replica()) == {3: b"3"}
    mirrored.copy(12, (50, b"50"), (51, b"51"), complete=True)
    assert bodies(mirrored.mirror.take_replica()) == {50: b"50", 51: b"51"}
    assert mirrored.mirror.take_replica().epoch == 2


def test_what_was_copied_is_not_copied_again_after_a_broken_link() -> None:
    mirrored = Mirrored()
    mirrored.begin((1, 4), next_position=5, fresh=True)
    mirrored.copy(11, (1, b"1"), (2, b"2"), complete=False)
    mirrored.begin((2, 4), next_position=5, fresh=True)
    assert mirrored.told[-1] == Lacked(1, 1, 10, [(3, 4)])
    mirrored.copy(11, (3, b"3"), (4, b"4"), complete=True)
    assert bodies(mirrored.mirror.take_replica()) == {2: b"2", 3: b"3", 4: b"4"}


def test_one_that_never_was_in_sync_gives_what_it_has() -> None:
    mirrored = Mirrored()
    mirrored.begin((1, 4), next_position=5, fresh=True, origins={"u": 4})
    mirrored.copy(11, (1, b"1"), complete=False)
    replica = mirrored.mirror.take_replica()
    assert bodies(replica) == {1: b"1"}
    assert replica.origins == {}, "what it lacks must be taken when it is published again"


def test_an_origin_that_is_dead_is_forgotten() -> None:
    mirrored = Mirrored()
    mirrored.filled(b"1")
    mirrored.begin((1, 1), next_position=2, origins={"u": 1, "v": 2})
    mirrored.mirror.forget_origin("u")
    assert mirrored.mirror.current.origins == {"v": 2}
    assert mirrored.mirror.take_replica().origins == {}


# --- memory ---------------------------------------------------------------------------------------


def stored_mirror(persistent: bool = True) -> tuple[StoringNode, QueueMirror]:
    """Return a mirror of three messages, the store of which has what it must have."""
    node = StoringNode()
    node.start()
    store = node.store.queue(1)
    mirror = QueueMirror(1, 1, ROUTES, lambda *_: None, store)
    mirror.receive(Begin(1, 1, 10, False, [], 1, 0, {}, 0, 1))
    mirror.receive(Copied(1, 1, 11, [], True))
    content = run(b"a", b"b", b"c", persistent=persistent)
    mirror.receive(Enqueued(1, 1, 12, 1, "u", 3, content, [77]))
    node.commit()
    return node, mirror


def test_when_it_pages_the_store_alone_has_what_is_durable() -> None:
    node, mirror = stored_mirror()
    assert sorted(mirror.held.messages) == [1, 2, 3]
    assert mirror.memory_bytes() > 3 * 100
    mirror.page(1000)
    assert mirror.held.messages == mirror.held.expiries == {}
    mirror.receive(Enqueued(1, 1, 13, 4, "u", 5, run(b"d", b"e")))
    assert sorted(mirror.held.messages) == [4, 5], "not durable yet"
    node.commit()
    mirror.stored()
    assert mirror.memory_bytes() == 0
    mirror.receive(Removed(1, 1, 14, [(2, 4)]))
    assert mirror.take_replica().positions.ranges() == [(1, 1), (5, 5)]
    assert node.store.queue(1).ranges() == [(1, 1), (5, 5)]


def test_what_the_store_need_not_have_leaves_memory_too() -> None:
    node, mirror = stored_mirror(persistent=False)
    assert node.store.queue(1).ranges() == []
    mirror.page(1 << 20)
    assert sorted(mirror.held.messages) == [1, 2, 3]
    mirror.receive(Enqueued(1, 1, 13, 4, "u", 5, run(b"d", b"e", persistent=False)))
    node.commit()
    mirror.stored()
    assert mirror.held.messages == {}
    assert node.store.queue(1).ranges() == mirror.held.positions.ranges() == [(1, 5)]


def test_a_queue_that_needs_all_in_memory_keeps_it_there() -> None:
    _, mirror = stored_mirror()
    mirror.whole = True
    assert mirror.memory_bytes() == 0, "none that could go"
    mirror.page(1000)
    assert sorted(mirror.held.messages) == [1, 2, 3]


def test_what_it_shares_with_a_new_leader_may_be_in_the_store_only() -> None:
    _, mirror = stored_mirror()
    mirror.page(1000)
    told: list[Record] = []
    mirror._tell = lambda _, record: told.append(record)
    mirror.follow(2)
    mirror.receive(Begin(1, 2, 5, False, [(2, 4)], 9, 0, {}, 1, 4))
    lacked = told[0]
    assert isinstance(lacked, Lacked)
    assert lacked.ranges == [(4, 4)]
    mirror.receive(Copied(1, 2, 6, [(4, b"", b"q", 0, b"d")], True))
    assert mirror.held.positions.ranges() == [(2, 4)]
    assert sorted(mirror.held.messages) == [4]
