"""Confirms and nacks of a channel: how many, in which order, when."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rabbitry.broker.confirms import Confirms
from rabbitry.wire.content import ContentAssembler
from rabbitry.wire.methods import BasicAck, BasicNack


class Confirming:
    """Confirms of channel 5; `flush` returns what is sent as (tag, multiple).

    `nacks` has what was sent as nacks, in the same form.
    """

    def __init__(self) -> None:
        self.flushes_wanted = 0
        self.nacks: list[tuple[int, bool]] = []
        self.confirms = Confirms(self._want)

    def _want(self) -> None:
        self.flushes_wanted += 1

    def flush(self) -> list[tuple[int, bool]]:
        found = []
        for method in self.flush_all():
            if isinstance(method, BasicAck):
                found.append((method.delivery_tag, method.multiple))
            else:
                self.nacks.append((method.delivery_tag, method.multiple))
        return found

    def flush_all(self) -> list[BasicAck | BasicNack]:
        found: list[BasicAck | BasicNack] = []
        for command in ContentAssembler(0).feed(b"".join(self.confirms.flush(5))):
            method = command.method()
            assert command.channel == 5
            assert isinstance(method, BasicAck | BasicNack)
            found.append(method)
        return found


def test_a_run_is_confirmed_by_one_frame() -> None:
    confirming = Confirming()
    receipt = confirming.confirms.expect(3, 1)
    assert confirming.flush() == []
    assert confirming.flushes_wanted == 0
    receipt.settled()
    assert confirming.flushes_wanted == 1
    assert confirming.flush() == [(3, True)]
    assert confirming.flush() == []


def test_one_alone_is_confirmed_alone() -> None:
    confirming = Confirming()
    confirming.confirms.expect(1, 1).settled()
    assert confirming.flush() == [(1, False)]
    confirming.confirms.expect(1, 1).settled()
    assert confirming.flush() == [(2, False)]


def test_runs_in_order_are_confirmed_together() -> None:
    confirming = Confirming()
    receipts = [confirming.confirms.expect(2, 1) for _ in range(3)]
    for receipt in receipts:
        receipt.settled()
    assert confirming.flush() == [(6, True)]


def test_out_of_order_they_are_confirmed_one_by_one() -> None:
    confirming = Confirming()
    first, second, third = (confirming.confirms.expect(2, 1) for _ in range(3))
    second.settled()
    assert confirming.flush() == [(3, False), (4, False)]
    third.settled()
    first.settled()
    assert confirming.flush() == [(6, True)]


def test_what_a_queue_rejects_is_nacked_in_turn_with_what_is_confirmed() -> None:
    confirming = Confirming()
    receipt = confirming.confirms.expect(6, 2)
    receipt.rejected(3, 2)
    receipt.settled()
    receipt.rejected(2, 1)
    receipt.rejected(3, 1)
    assert confirming.flush_all() == []
    receipt.settled()
    assert confirming.flush_all() == [
        BasicAck(2, multiple=True),
        BasicNack(5, multiple=True, requeue=True),
        BasicAck(6, multiple=False),
    ]
    confirming.confirms.expect(1, 1).settled()
    assert confirming.flush_all() == [BasicAck(7, multiple=False)]


def test_what_is_rejected_out_of_order_is_nacked_once_and_alone() -> None:
    confirming = Confirming()
    first, second, third = (confirming.confirms.expect(2, 1) for _ in range(3))
    second.rejected(0, 1)
    second.settled()
    assert confirming.flush_all() == [BasicNack(3, multiple=False, requeue=True), BasicAck(4)]
    third.rejected(0, 2)
    third.settled()
    first.settled()
    assert confirming.flush_all() == [
        BasicAck(4, multiple=True),
        BasicNack(6, multiple=True, requeue=True),
    ]


def test_one_that_several_queues_take_is_confirmed_with_the_last() -> None:
    confirming = Confirming()
    receipt = confirming.confirms.expect(1, 3)
    receipt.settled()
    receipt.settled()
    assert confirming.flush() == []
    receipt.settled()
    assert confirming.flush() == [(1, False)]


def test_one_that_no_queue_takes_is_confirmed_at_once_but_not_before_others() -> None:
    confirming = Confirming()
    waiting = confirming.confirms.expect(1, 1)
    confirming.confirms.expect(2, 0)
    assert confirming.flush() == [(2, False), (3, False)]
    waiting.settled()
    assert confirming.flush() == [(3, True)]


@given(
    runs=st.lists(st.tuples(st.integers(1, 4), st.integers(0, 3)), max_size=8),
    data=st.data(),
)
def test_everything_is_told_once_and_nothing_too_early(
    runs: list[tuple[int, int]], data: st.DataObject
) -> None:
    confirming = Confirming()
    receipts = [confirming.confirms.expect(count, queues) for count, queues in runs]
    owed = [
        receipt for receipt, (_, queues) in zip(receipts, runs, strict=True) for _ in range(queues)
    ]
    told: dict[int, str] = {}
    refused: set[int] = set()

    def check() -> None:
        for method in confirming.flush_all():
            tag = method.delivery_tag
            news = range(1 if method.multiple else tag, tag + 1)
            told.update({one: method.name for one in news if one not in told})
        due = {
            tag: "basic.nack" if tag in refused else "basic.ack"
            for receipt in receipts
            if not receipt.remaining
            for tag in range(receipt.first, receipt.last + 1)
        }
        assert told == due

    check()
    for receipt in data.draw(st.permutations(owed)):
        size = receipt.last - receipt.first + 1
        first = data.draw(st.integers(0, size))
        if first < size:
            receipt.rejected(first, 1)
            refused.add(receipt.first + first)
        receipt.settled()
        if data.draw(st.booleans()):
            check()
    check()
    assert len(told) == sum(count for count, _ in runs)
