"""A queue parts of which are in the store only, against a naive model: a list and a dictionary."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from rabbitry.broker.message import Message, MessagesAt, Route
from rabbitry.broker.positions import ranges_of
from rabbitry.broker.queue import Consumer, Queue

ROUTE = Route(b"", b"q")
HOLDER = ("n", 1)
Load = tuple[int, int, list[MessagesAt], list[tuple[int, int]]]


def message(position: int) -> Message:
    return ROUTE, str(position).encode()


def runs_of(positions: list[int]) -> list[MessagesAt]:
    """Return what the store has there in runs of five at most, as from chunks that are small."""
    chunks = [list(group) for _, group in groupby(positions, lambda at: at // 5)]
    ranges = [one for chunk in chunks for one in ranges_of(chunk)]
    return [(first, [message(at) for at in range(first, last + 1)]) for first, last in ranges]


@dataclass
class Entry:
    position: int
    due: int | None = None
    seen: bool = False
    held: bool = False
    returned: bool = False
    paged: bool = False


class PagingMachine(RuleBasedStateMachine):
    """Order and marks are those of the list; only what is in the store has to be waited for."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0
        self.entries: list[Entry] = []
        self.stored: dict[int, int | None] = {}  # position -> due, of all the store has
        self.loads: list[Load] = []
        self.dealt: list[tuple[int, bool, Message]] = []
        self.queue = Queue(self._sink)

    def _sink(
        self, _: Consumer, positions: Sequence[int], messages: list[Message], again: bool
    ) -> None:
        self.dealt += [(at, again, one) for at, one in zip(positions, messages, strict=True)]

    def waiting(self) -> list[Entry]:
        return [one for one in self.entries if not one.held]

    def front(self) -> list[Entry]:
        """What waits before the first message that is in the store only."""
        waiting = self.waiting()
        paged = [at for at, one in enumerate(waiting) if one.paged]
        return waiting[: paged[0]] if paged else waiting

    def remove(self, gone: list[Entry]) -> None:
        self.entries = [one for one in self.entries if one not in gone]
        self.queue.forget(ranges_of([one.position for one in gone]))
        for one in gone:
            self.stored.pop(one.position, None)

    # --- what can happen ---

    @rule(count=st.integers(1, 6), gap=st.integers(0, 2), due=st.integers(1, 50) | st.none())
    def publish(self, count: int, gap: int, due: int | None) -> None:
        queue = self.queue
        queue.begin_at(queue.next_position + gap)
        first = queue.next_position
        positions = range(first, first + count)
        queue.publish([message(at) for at in positions], [] if due is None else [self.now + due])
        expiry = None if due is None else self.now + due
        self.entries += [Entry(at, expiry) for at in positions]

    @rule(count=st.integers(1, 12))
    def deal(self, count: int) -> None:
        self.expire()
        expected = []
        for one in self.front()[:count]:
            if one.due is not None and one.due <= self.now:
                break
            expected.append(one)
        self.queue.add_consumer(Consumer(HOLDER, 1, prefetch_count=count))
        self.queue.deal(self.now)
        self.queue.remove_consumer(HOLDER, 1)
        assert self.dealt == [(e.position, e.seen, message(e.position)) for e in expected]
        for one in expected:
            one.seen, one.held = True, True
        self.dealt.clear()

    @rule(data=st.data(), back=st.booleans())
    def settle(self, data: st.DataObject, back: bool) -> None:
        held = [one for one in self.entries if one.held]
        some = data.draw(st.lists(st.sampled_from(held), unique_by=id)) if held else []
        positions = [one.position for one in some]
        if back:
            self.queue.requeue(HOLDER, positions)
            for one in some:
                one.held, one.returned = False, True
        else:
            assert sorted(self.queue.settle(HOLDER, positions)) == sorted(positions)
            self.remove(some)

    @rule(data=st.data(), some=st.booleans(), keep=st.integers(0, 4), since=st.integers(0, 20))
    def store_and_page_out(self, data: st.DataObject, some: bool, keep: int, since: int) -> None:
        """A commit, of all or some; then what is stored is dropped from memory."""
        lacking = [one for one in self.entries if one.position not in self.stored]
        if some and lacking:
            lacking = data.draw(st.lists(st.sampled_from(lacking)))
        self.stored.update((one.position, one.due) for one in lacking)
        given = [at for at in sorted(self.stored) if at >= since]
        asked = [range(first, last + 1) for first, last, _, _ in self.loads]
        positions = [at for at in given if not any(at in one for one in asked)]
        before = sum(one.paged for one in self.entries)
        for at, one in enumerate(one for one in self.waiting() if not one.returned):
            one.paged = one.paged or (at >= keep and one.position in positions)
        dropped = self.queue.page_out(ranges_of(given), keep)
        assert dropped == sum(one.paged for one in self.entries) - before

    @rule(count=st.integers(1, 9))
    def ask(self, count: int) -> None:
        wanted = self.queue.wanted(count)
        if wanted is None:
            front = [one for one in self.front() if not one.returned]
            if not self.loads:
                paged = any(one.paged for one in self.entries)
                assert not paged or len(front) >= max(count // 2, 1)
            return
        assert not self.loads, "one at a time"
        first, last = wanted
        lie_there = [one for one in self.entries if one.paged and first <= one.position <= last]
        assert 1 <= len(lie_there) <= count
        assert lie_there[0] is next(one for one in self.entries if one.paged)
        found = [at for at in sorted(self.stored) if first <= at <= last]
        expiries = [(at, due) for at in found if (due := self.stored[at]) is not None]
        self.loads.append((first, last, runs_of(found), expiries))

    @rule()
    def load(self) -> None:
        if not self.loads:
            self.ask(7)
        if not self.loads:
            return
        first, last, runs, expiries = self.loads.pop(0)
        assert self.queue.loaded(first, last, runs, expiries) == []
        for one in self.entries:
            one.paged = one.paged and not first <= one.position <= last

    @precondition(lambda self: self.loads and any(one.paged for one in self.entries))
    @rule()
    def load_with_loss(self) -> None:
        """What the store lacks does not wait for ever, and is told."""
        first, last, runs, expiries = self.loads.pop(0)
        there = [one for one in self.entries if one.paged and first <= one.position <= last]
        lost = there[::2]
        found = [at + index for at, held in runs for index in range(len(held))]
        left = [at for at in found if at not in [gone.position for gone in lost]]
        lacking = self.queue.loaded(first, last, runs_of(left), expiries)
        assert lacking == ranges_of([one.position for one in lost])
        for one in there:
            one.paged = False
        self.remove(lost)

    @rule()
    def purge(self) -> None:
        waiting = self.waiting()
        assert self.queue.purge() == ranges_of([one.position for one in waiting])
        self.remove(waiting)

    @rule(passed=st.integers(0, 20))
    def time_passes(self, passed: int) -> None:
        self.now += passed
        self.expire()

    def expire(self) -> None:
        expected = []
        for one in self.front():
            if one.due is None or one.due > self.now:
                break
            expected.append(one)
        expired = self.queue.expire(self.now)
        assert expired == [(one.position, message(one.position)) for one in expected]
        self.remove(expected)

    @rule(length=st.integers(0, 30))
    def drop_over(self, length: int) -> None:
        surplus = max(len(self.waiting()) - length, 0)
        expected = self.front()[:surplus]
        dropped = self.queue.drop_over(length, None)
        assert dropped == [(one.position, message(one.position)) for one in expected]
        self.remove(expected)

    @rule(data=st.data())
    def restart(self, data: st.DataObject) -> None:
        """Another queue takes over; it has nothing in memory but what is not in the store."""
        seen_through = data.draw(st.integers(0, self.queue.next_position - 1))
        seen = [one.position for one in self.entries if one.seen]
        seen_through = max([seen_through, *seen])
        queue = Queue(self._sink)
        held = {at: message(at) for at in self.positions() if at not in self.stored}
        queue.restore(self.queue.ranges(), held, seen_through, self.queue.next_position)
        queue.expiries = {e.position: e.due for e in self.entries if e.due and e.position in held}
        for one in self.entries:
            one.paged = one.position in self.stored
            one.seen = one.position <= seen_through
            one.held = one.returned = False
        self.queue = queue
        self.loads.clear()

    def positions(self) -> list[int]:
        return [one.position for one in self.entries]

    # --- what always holds ---

    @invariant()
    def nothing_is_lost_or_doubled(self) -> None:
        queue = self.queue
        assert queue.ranges() == ranges_of(self.positions())
        in_memory = [one for one in self.entries if not one.paged]
        assert queue.entries() == [(one.position, message(one.position)) for one in in_memory]
        assert queue.ready_count == len(self.waiting())
        assert bool(queue.may_go()) == bool(self.front())
        assert queue.expiries == {one.position: one.due for one in in_memory if one.due}
        assert (queue.memory_bytes_estimate() > 0) == bool(in_memory)

    def teardown(self) -> None:
        """All of it comes out in order in the end."""
        positions = [one.position for one in self.waiting()]
        out: list[int] = []
        while self.queue.ready_count:
            self.queue.add_consumer(Consumer(HOLDER, 1, no_ack=True))
            self.queue.deal()
            self.queue.remove_consumer(HOLDER, 1)
            out += [position for position, _, _ in self.dealt]
            self.dealt.clear()
            wanted = None if self.loads else self.queue.wanted(5)
            if wanted is not None:
                found = [at for at in sorted(self.stored) if wanted[0] <= at <= wanted[1]]
                self.loads.append((*wanted, runs_of(found), []))
            assert wanted or self.loads or self.queue.may_go() or not self.queue.ready_count
            if self.loads:
                assert self.queue.loaded(*self.loads.pop(0)) == []
        assert out == positions


TestPagingMachine = PagingMachine.TestCase
TestPagingMachine.settings = settings(max_examples=300, stateful_step_count=40, deadline=None)
