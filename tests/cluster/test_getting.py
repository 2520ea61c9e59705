"""basic.get: answered when the head of the queue may be seen. (More in test_leader.py.)"""

from __future__ import annotations

from rabbitry.broker.message import Route
from rabbitry.broker.queue import Queue
from rabbitry.cluster.getting import Getting
from rabbitry.cluster.queue_records import Got, Range, Record

HOLDER = ("c#1", 4)


class Desk:
    def __init__(self) -> None:
        self.told: list[tuple[str, Record]] = []
        self.removed: list[Range] = []
        self.queue = Queue(lambda *_: None)
        head = self, 7, 3, self.queue
        self.getting = Getting(*head, lambda now: False, self.removed.extend)

    def tell_user(self, user: str, record: Record) -> None:
        self.told.append((user, record))


def test_an_empty_queue_is_said_to_be_empty() -> None:
    desk = Desk()
    desk.getting.add("c#1", 5, HOLDER, False)
    assert len(desk.getting) == 1
    desk.getting.answer(0)
    assert desk.told == [("c#1", Got(7, 3, 5, 0, False, None, 0))]
    assert len(desk.getting) == 0


def test_what_may_not_be_seen_yet_is_waited_for() -> None:
    desk = Desk()
    desk.queue.deliver_through = 0
    desk.queue.publish([(Route(b"x", b"k"), b"1"), (Route(b"x", b"k"), b"2")])
    for request, no_ack in ((5, True), (6, False), (7, True)):
        desk.getting.add("c#1", request, HOLDER, no_ack)
    desk.getting.answer(0)
    assert desk.told == []
    desk.queue.deliver_through = 2
    desk.getting.answer(0)
    assert [record for _, record in desk.told] == [
        Got(7, 3, 5, 1, False, (b"x", b"k", 0, [b"1"]), 1),
        Got(7, 3, 6, 2, False, (b"x", b"k", 0, [b"2"]), 0),
        Got(7, 3, 7, 0, False, None, 0),
    ]
    assert desk.removed == [(1, 1)]
    assert desk.queue.held_count == 1


def test_who_has_gone_gets_nothing() -> None:
    desk = Desk()
    for user, channel in (("c#1", 4), ("c#1", 5), ("d#1", 4)):
        desk.getting.add(user, channel, (user, channel), True)
    desk.getting.release(HOLDER)
    desk.getting.release_user("d#1")
    desk.getting.answer(0)
    assert [user for user, _ in desk.told] == ["c#1"]
