"""Confirms and nacks of a channel: how many, in which order, when."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st

from rabbitry.broker.confirms import Confirms, PublishReceipt
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
        BasicAck(2, multiple=True),
        BasicNack(6, multiple=True, requeue=True),
    ]


def test_a_tag_that_was_told_before_its_turn_is_not_told_again() -> None:
    confirming = Confirming()
    older, newer = (confirming.confirms.expect(1, 1) for _ in range(2))
    newer.settled()
    assert confirming.flush() == [(2, False)]
    older.settled()
    assert confirming.flush() == [(1, False)]
    confirming.confirms.expect(1, 1).settled()
    assert confirming.flush() == [(3, False)]


def test_what_was_told_before_its_turn_ends_no_confirm_of_several() -> None:
    confirming = Confirming()
    first, second, third, fourth, fifth = (confirming.confirms.expect(1, 1) for _ in range(5))
    second.settled()
    fourth.rejected(0, 1)
    fourth.settled()
    assert confirming.flush_all() == [BasicAck(2), BasicNack(4, requeue=True)]
    third.settled()
    first.settled()
    assert confirming.flush() == [(3, True)]
    fifth.rejected(0, 1)
    fifth.settled()
    assert confirming.flush_all() == [BasicNack(5, multiple=True, requeue=True)]


def test_nacks_are_one_frame_across_what_was_told_before_its_turn() -> None:
    confirming = Confirming()
    receipts = [confirming.confirms.expect(1, 1) for _ in range(4)]
    for receipt in (receipts[0], receipts[2], receipts[3]):
        receipt.rejected(0, 1)
    receipts[1].settled()
    assert confirming.flush() == [(2, False)]
    for receipt in (receipts[0], receipts[2], receipts[3]):
        receipt.settled()
    assert confirming.flush_all() == [BasicNack(4, multiple=True, requeue=True)]


def test_what_is_settled_early_but_has_its_turn_before_the_flush_is_told_with_the_others() -> None:
    confirming = Confirming()
    first, second, third, fourth = (confirming.confirms.expect(1, 1) for _ in range(4))
    fourth.settled()
    second.settled()
    first.settled()
    assert confirming.flush() == [(2, True), (4, False)]
    third.settled()
    assert confirming.flush() == [(3, False)]


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
    assert confirming.flush() == [(1, False)]


class Client:
    """What clients make of acks and nacks: `told` has the outcome of each publish.

    A client that is not `strict` drops what bears a tag that it does not wait for, `multiple` or
    not, as aiormq does; a strict one takes it for an error.
    """

    def __init__(self, *, strict: bool) -> None:
        self._outstanding: dict[int, None] = {}
        self._strict = strict
        self.told: dict[int, str] = {}

    def publish(self, tags: Iterable[int]) -> None:
        self._outstanding |= dict.fromkeys(tags)

    def take(self, method: BasicAck | BasicNack) -> None:
        tag = method.delivery_tag
        if tag not in self._outstanding:
            assert not self._strict, f"{method} is of no publish that waits"
            return
        tags = [one for one in self._outstanding if one <= tag] if method.multiple else [tag]
        for one in tags:
            del self._outstanding[one]
            self.told[one] = method.name


@given(
    runs=st.lists(st.tuples(st.integers(1, 4), st.integers(0, 3)), max_size=8),
    data=st.data(),
)
def test_every_client_is_told_everything_once_and_nothing_too_early(
    runs: list[tuple[int, int]], data: st.DataObject
) -> None:
    confirming = Confirming()
    clients = [Client(strict=False), Client(strict=True)]
    owed: list[PublishReceipt] = []  # once for each queue
    due: dict[int, str] = {}
    refused: set[int] = set()

    def tags_of(receipt: PublishReceipt) -> range:
        return range(receipt.first, receipt.last + 1)

    def settle(receipt: PublishReceipt) -> None:
        if receipt not in owed:
            due.update(
                (tag, "basic.nack" if tag in refused else "basic.ack") for tag in tags_of(receipt)
            )

    def check() -> None:
        for method in confirming.flush_all():
            for client in clients:
                client.take(method)
        for client in clients:
            assert client.told == due

    to_come = deque(runs)
    while to_come or owed:
        if to_come and (not owed or data.draw(st.booleans(), "publish")):
            count, queues = to_come.popleft()
            receipt = confirming.confirms.expect(count, queues)
            for client in clients:
                client.publish(tags_of(receipt))
            owed += [receipt] * queues
        else:
            receipt = owed.pop(data.draw(st.integers(0, len(owed) - 1), "settle"))
            tags = tags_of(receipt)
            first = data.draw(st.integers(0, len(tags)), "refuse from")
            if first < len(tags):
                some = data.draw(st.integers(1, len(tags) - first), "refuse")
                receipt.rejected(first, some)
                refused |= set(tags[first : first + some])
            receipt.settled()
        settle(receipt)
        if data.draw(st.booleans(), "flush"):
            check()
    check()
    assert len(due) == sum(count for count, _ in runs)
