"""Publishes to queues, returns and confirms: how many, in which order, when."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.fake_broker import FakePort, content

from rabbitry.broker.exchanges import Exchange
from rabbitry.broker.permissions import Permissions
from rabbitry.broker.publishing import PLANS_KEPT_MAX, Confirms, Publisher
from rabbitry.wire.content import Command, ContentAssembler
from rabbitry.wire.errors import AmqpException, ChannelException, ConnectionException
from rabbitry.wire.frames import content_body, method_frame
from rabbitry.wire.methods import BasicAck, BasicGet, BasicNack, BasicPublish, BasicReturn

# --- confirms -------------------------------------------------------------------------------------


class Confirming:
    """Confirms of channel 5; `flush` returns what is sent as (tag, multiple).

    `nacked` are the tags of nacks, which come before the confirms that are sent with them.
    """

    def __init__(self) -> None:
        self.flushes_wanted = 0
        self.nacked: list[int] = []
        self.confirms = Confirms(self._want)

    def _want(self) -> None:
        self.flushes_wanted += 1

    def flush(self) -> list[tuple[int, bool]]:
        found = []
        for command in ContentAssembler(0).feed(b"".join(self.confirms.flush(5))):
            method = command.method()
            assert command.channel == 5
            if isinstance(method, BasicNack):
                assert not method.multiple
                assert not found
                self.nacked.append(method.delivery_tag)
                continue
            assert isinstance(method, BasicAck)
            found.append((method.delivery_tag, method.multiple))
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


def test_what_a_queue_rejects_is_nacked_and_not_confirmed() -> None:
    confirming = Confirming()
    receipt = confirming.confirms.expect(4, 2)
    receipt.rejected(2, 2)
    receipt.settled()
    receipt.rejected(1, 1)
    assert confirming.flush() == []
    receipt.settled()
    assert confirming.flush() == [(1, False)]
    assert confirming.nacked == [3, 4, 2]
    confirming.confirms.expect(1, 1).settled()
    assert confirming.flush() == [(5, True)]


def test_what_is_rejected_out_of_order_is_nacked_once() -> None:
    confirming = Confirming()
    first, second, third = (confirming.confirms.expect(2, 1) for _ in range(3))
    second.rejected(0, 1)
    second.settled()
    assert confirming.flush() == [(4, False)]
    third.rejected(0, 2)
    third.settled()
    first.settled()
    assert confirming.flush() == [(4, True)]
    assert confirming.nacked == [3, 5, 6]


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


@settings(deadline=None)  # how long it takes is no matter here
@given(
    runs=st.lists(st.tuples(st.integers(1, 4), st.integers(0, 3)), max_size=8),
    data=st.data(),
)
def test_everything_is_confirmed_and_nothing_too_early(
    runs: list[tuple[int, int]], data: st.DataObject
) -> None:
    confirming = Confirming()
    receipts = [confirming.confirms.expect(count, queues) for count, queues in runs]
    owed = [
        receipt for receipt, (_, queues) in zip(receipts, runs, strict=True) for _ in range(queues)
    ]
    confirmed: set[int] = set()

    def check() -> None:
        for tag, multiple in confirming.flush():
            confirmed.update(range(1 if multiple else tag, tag + 1))
        due = {
            tag
            for receipt in receipts
            if not receipt.remaining
            for tag in range(receipt.first, receipt.last + 1)
        }
        assert confirmed == due

    check()
    for receipt in data.draw(st.permutations(owed)):
        receipt.settled()
        if data.draw(st.booleans()):
            check()
    check()
    assert len(confirmed) == sum(count for count, _ in runs)


# --- publishes ------------------------------------------------------------------------------------


def command(
    routing_key: str = "q",
    *bodies: bytes,
    exchange: str = "",
    mandatory: bool = False,
    immediate: bool = False,
) -> Command:
    method = BasicPublish(0, exchange, routing_key, mandatory, immediate)
    contents = [content(body) for body in bodies or (b"body",)]
    return Command(1, method_frame(1, method.encode()), contents)


def publisher(port: FakePort) -> Publisher:
    return Publisher(port, "/", 1, Permissions(port, "guest", "/"))


def test_a_run_goes_to_its_queue_in_one_piece() -> None:
    port = FakePort()
    queue = port.add("q")
    assert publisher(port).publish(command("q", b"a", b"b"), 131072) == []
    ((messages, receipt),) = queue.published
    assert [(route.exchange, route.routing_key) for route, _ in messages] == [(b"", b"q")] * 2
    assert [content_body(frames) for _, frames in messages] == [b"a", b"b"]
    assert receipt is None


def test_all_queues_of_a_route_get_it_and_share_the_receipt() -> None:
    port = FakePort()
    queues = [port.add("a"), port.add("b")]
    port.routed = list(queues)
    publishing = publisher(port)
    confirms = publishing.confirms = Confirms(lambda: None)
    publishing.publish(command("k", b"1", b"2", exchange="x"), 131072)
    receipts = [queue.published[0][1] for queue in queues]
    assert receipts[0] is receipts[1]
    for receipt in receipts:
        assert confirms.flush(1) == []
        assert receipt is not None
        receipt.settled()
    assert confirms.flush(1) == [method_frame(1, BasicAck(2, multiple=True).encode())]


def test_a_plan_lasts_as_long_as_the_routing() -> None:
    port = FakePort()
    old = port.add("q")
    publishing = publisher(port)
    publishing.publish(command(), 131072)
    new = port.queues["q"] = type(old)("q")
    publishing.publish(command(), 131072)
    assert (len(old.published), len(new.published)) == (2, 0)
    port.routing_version += 1
    publishing.publish(command(), 131072)
    assert (len(old.published), len(new.published)) == (2, 1)


def test_very_many_plans_are_not_kept_for_ever() -> None:
    port = FakePort()
    publishing = publisher(port)
    for number in range(PLANS_KEPT_MAX + 2):
        publishing.publish(command(str(number)), 131072)
    assert len(publishing._plans) <= PLANS_KEPT_MAX


def returned(frames: list[bytes]) -> list[tuple[BasicReturn, bytes]]:
    found = []
    for one in ContentAssembler(0).feed(b"".join(frames)):
        method = one.method()
        assert isinstance(method, BasicReturn)
        found += [(method, content_body(frames)) for frames in one.contents]
    return found


def test_what_nobody_wants_comes_back_if_it_is_mandatory() -> None:
    publishing = publisher(FakePort())
    frames = publishing.publish(command("nobody", b"a", b"b", mandatory=True), 131072)
    method = BasicReturn(312, "NO_ROUTE", "", "nobody")
    assert returned(frames) == [(method, b"a"), (method, b"b")]
    assert publishing.publish(command("nobody", b"a"), 131072) == []


def test_what_comes_back_is_cut_to_the_frames_that_the_client_takes() -> None:
    frames = publisher(FakePort()).publish(command("nobody", bytes(9000), mandatory=True), 4096)
    assembler = ContentAssembler(4096)
    assert [content_body(one.contents[0]) for one in assembler.feed(b"".join(frames))] == [
        bytes(9000)
    ]


def test_what_nobody_wants_is_confirmed() -> None:
    publishing = publisher(FakePort())
    confirms = publishing.confirms = Confirms(lambda: None)
    publishing.publish(command("nobody"), 131072)
    assert confirms.flush(1) == [method_frame(1, BasicAck(1).encode())]


@pytest.mark.parametrize(
    ("said", "kind", "code", "text"),
    [
        (
            command(exchange="nowhere"),
            ChannelException,
            404,
            "NOT_FOUND - no exchange 'nowhere' in vhost '/'",
        ),
        (
            command(exchange="inside"),
            ChannelException,
            403,
            "ACCESS_REFUSED - cannot publish to internal exchange 'inside' in vhost '/'",
        ),
        (
            command(immediate=True),
            ConnectionException,
            540,
            "NOT_IMPLEMENTED - immediate=true",
        ),
    ],
)
def test_faults(said: Command, kind: type[AmqpException], code: int, text: str) -> None:
    port = FakePort()
    port.exchanges["inside"] = Exchange("inside", "fanout", internal=True)
    publishing = publisher(port)
    for _ in range(2):  # a fault is no plan
        with pytest.raises(kind) as fault:
            publishing.publish(said, 131072)
        assert (fault.value.reply_code, fault.value.reply_text) == (code, text)
        assert (fault.value.class_id, fault.value.method_id) == (60, 40)


def test_a_content_under_another_method_is_a_fault() -> None:
    said = Command(1, method_frame(1, BasicGet().encode()), [content()])
    with pytest.raises(ConnectionException) as fault:
        publisher(FakePort()).publish(said, 131072)
    assert fault.value.reply_code == 503
