"""Messages that a queue gives up: what stays until its dead letter is safe."""

from __future__ import annotations

from collections.abc import Callable

from rabbitry.broker.dead_letters import Reason
from rabbitry.broker.message import Message, Route
from rabbitry.broker.queue import Queue
from rabbitry.broker.queue_settings import QueueSettings
from rabbitry.cluster.dead_lettering import (
    SLICE_MESSAGES,
    UNDER_WAY_MESSAGES_MAX,
    DeadLettering,
)
from rabbitry.cluster.queue_records import Range

ROUTE = Route(b"", b"q")
MESSAGES: list[Message] = [(ROUTE, b"1"), (ROUTE, b"2"), (ROUTE, b"3")]


class Recorded:
    """A queue of three messages, and what is asked for its dead letters."""

    def __init__(self, settings: QueueSettings) -> None:
        self.queue = Queue(lambda *_: None)
        self.queue.publish(MESSAGES)
        self.removed: list[Range] = []
        self.letters: list[tuple[Reason, list[Message]]] = []
        self.dones: list[Callable[[], None]] = []
        self.time = 1
        self.rooms = 0
        self.dead = DeadLettering(
            self, 1, self.queue, settings, self.removed.extend, self._has_room
        )

    def _has_room(self) -> None:
        self.rooms += 1

    def now(self) -> int:
        return self.time

    def dead_letter(
        self, queue: int, reason: Reason, messages: list[Message], on_done: Callable[[], None]
    ) -> None:
        self.letters.append((reason, messages))
        self.dones.append(on_done)


def test_without_an_exchange_it_is_gone() -> None:
    recorded = Recorded(QueueSettings())
    recorded.dead.give_up("maxlen", recorded.queue.drop_over(1, None))
    assert recorded.removed == [(1, 2)]
    assert recorded.letters == []
    recorded.dead.give_up("maxlen", [])
    assert recorded.removed == [(1, 2)]


def test_with_one_it_is_kept_until_it_is_safe() -> None:
    recorded = Recorded(QueueSettings(dead_letter_exchange="x"))
    queue = recorded.queue
    recorded.dead.give_up("maxlen", queue.drop_over(2, None))
    recorded.dead.give_up("expired", queue.drop_over(1, None))
    assert recorded.letters == [("maxlen", MESSAGES[:1]), ("expired", MESSAGES[1:2])]
    assert (queue.ready_count, len(queue.entries())) == (1, 3)
    recorded.dones[1]()
    assert recorded.removed == [(2, 2)]
    assert [position for position, _ in queue.entries()] == [1, 3]
    recorded.dones[0]()
    assert recorded.removed == [(2, 2), (1, 1)]
    assert queue.held == {}


def test_what_was_refused_for_room_is_a_dead_letter_where_the_overflow_says_so() -> None:
    for overflow, letters in (("reject-publish", 0), ("reject-publish-dlx", 1)):
        settings = QueueSettings(length_max=1, dead_letter_exchange="x", overflow=overflow)
        recorded = Recorded(settings)
        recorded.dead.refused(MESSAGES[:1])
        recorded.dead.refused([])
        assert recorded.letters == [("maxlen", MESSAGES[:1])] * letters
        for done in recorded.dones:
            done()
        assert recorded.removed == []


def test_very_many_leave_in_slices_one_for_each_step() -> None:
    recorded = Recorded(QueueSettings(dead_letter_exchange="x"))
    queue, dead = recorded.queue, recorded.dead
    count = 2 * UNDER_WAY_MESSAGES_MAX + 7
    queue.publish([(ROUTE, b"%d" % number) for number in range(4, count + 1)])
    dead.give_up("expired", queue.drop_over(0, None))
    assert [len(messages) for _, messages in recorded.letters] == [SLICE_MESSAGES]
    assert queue.ready_count == 0
    steps = 0
    while dead.more:
        dead.go_on()  # in the same step: nothing
        recorded.time += 1
        dead.go_on()
        steps += 1
    assert steps == UNDER_WAY_MESSAGES_MAX // SLICE_MESSAGES - 1
    assert len(recorded.letters) == steps + 1
    while recorded.dones:
        assert len(recorded.dones) <= UNDER_WAY_MESSAGES_MAX // SLICE_MESSAGES
        recorded.dones.pop(0)()
        recorded.time += 1
        dead.go_on()
    assert recorded.rooms
    sent = [message for _, messages in recorded.letters for message in messages]
    assert sent == [*MESSAGES, *((ROUTE, b"%d" % number) for number in range(4, count + 1))]
    assert sum(last - first + 1 for first, last in recorded.removed) == count
    assert queue.held == {}


def test_what_waits_is_gone_with_the_exchange_that_a_policy_named() -> None:
    recorded = Recorded(QueueSettings(dead_letter_exchange="x"))
    recorded.queue.publish([(ROUTE, b"4")] * SLICE_MESSAGES)
    recorded.dead.give_up("maxlen", recorded.queue.drop_over(0, None))
    recorded.dead.settings = QueueSettings()
    recorded.time += 1
    recorded.dead.go_on()
    assert recorded.removed == [(SLICE_MESSAGES + 1, SLICE_MESSAGES + 3)]
    assert len(recorded.letters) == 1


def test_halted_it_finishes_what_was_rejected_and_begins_nothing_else() -> None:
    recorded = Recorded(QueueSettings(dead_letter_exchange="x"))
    recorded.dead.give_up("expired", recorded.queue.drop_over(2, None))
    assert not recorded.dead.settled
    recorded.dead.halt()
    recorded.dead.halt()
    recorded.dead.give_up("maxlen", recorded.queue.drop_over(1, None))
    recorded.dead.go_on()
    assert [reason for reason, _ in recorded.letters] == ["expired"]
    recorded.dones.pop()()
    assert recorded.dead.settled
    assert recorded.removed == [(1, 1)]
    recorded.dead.resume()
    recorded.time += 1
    recorded.dead.go_on()
    assert [reason for reason, _ in recorded.letters] == ["expired", "maxlen"]
    recorded.dones.pop()()
    assert recorded.removed == [(1, 1), (2, 2)]


def test_what_waited_for_its_turn_when_it_was_halted() -> None:
    recorded = Recorded(QueueSettings(dead_letter_exchange="x"))
    many = SLICE_MESSAGES + 1
    recorded.queue.publish(MESSAGES[:1] * (2 * many))
    recorded.dead.give_up("expired", recorded.queue.drop_over(many, None)[:many])
    recorded.dead.give_up("rejected", recorded.queue.drop_over(0, None)[:1])
    recorded.dead.halt()
    assert not recorded.dead.settled, "one slice is under way, and a rejected one waits"
    recorded.time += 1
    recorded.dead.go_on()
    assert [reason for reason, _ in recorded.letters] == ["expired", "rejected"]
    for done in recorded.dones:
        done()
    assert recorded.dead.settled
