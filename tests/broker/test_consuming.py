"""Delivery tags and what they stand for; deliveries as frames."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from support.fake_broker import FakeQueue, content

from rabbitry.broker.consuming import HEADS_KEPT_MAX, TIMEOUT_PARTS, Subscription, Unsettled
from rabbitry.broker.message import Message, Route
from rabbitry.broker.ports import Lease
from rabbitry.wire.content import ContentAssembler
from rabbitry.wire.errors import ChannelException
from rabbitry.wire.frames import content_body
from rabbitry.wire.methods import BasicDeliver

ROUTE = Route(b"x", b"key")


# --- unsettled ------------------------------------------------------------------------------------


def owing(count: int) -> tuple[Unsettled, Lease]:
    """Return what owes positions 11, 12, ... under tags 1, 2, ..."""
    unsettled, lease = Unsettled(), Lease(FakeQueue("q"))
    assert unsettled.add(lease, range(11, 11 + count)) == 1
    return unsettled, lease


def test_tags_go_on_counting_whether_owed_or_not() -> None:
    unsettled, lease = owing(3)
    assert unsettled.skip(2) == 4
    assert unsettled.add(lease, [50]) == 6
    assert len(unsettled) == 4


def test_one_is_taken_once() -> None:
    unsettled, lease = owing(3)
    assert unsettled.take(2, False) == [(lease, [12])]
    with pytest.raises(ChannelException, match="unknown delivery tag 2"):
        unsettled.take(2, False)
    assert len(unsettled) == 2


def test_several_are_taken_through_a_tag() -> None:
    unsettled, lease = owing(5)
    unsettled.take(2, False)
    assert unsettled.take(4, True) == [(lease, [11, 13, 14])]
    assert unsettled.take(0, True) == [(lease, [15])]
    assert unsettled.take(0, True) == []


def test_several_of_different_leases_are_grouped_in_order() -> None:
    unsettled, first = owing(2)
    second = Lease(FakeQueue("other"))
    unsettled.add(second, [7, 8])
    unsettled.add(first, [20])
    assert unsettled.take(0, True) == [(first, [11, 12, 20]), (second, [7, 8])]


def overdue(unsettled: Unsettled, *times: int, timeout: int = 100) -> list[int]:
    """Ask at each of these times; return those at which it was overdue."""
    return [now for now in times if unsettled.overdue(now, timeout)]


def test_the_oldest_delivery_is_overdue_when_its_time_is_over() -> None:
    unsettled, _ = owing(2)
    assert overdue(unsettled, *range(1000, 1120, 10)) == [1110]
    unsettled.take(1, False)
    assert overdue(unsettled, 1120) == [1120]
    unsettled.take(2, False)
    assert overdue(unsettled, 1130, 9999) == []


def test_the_next_one_has_waited_since_it_was_delivered_itself() -> None:
    unsettled, lease = owing(1)
    assert overdue(unsettled, 1000, 1020) == []
    unsettled.add(lease, [50])
    assert overdue(unsettled, 1040, 1060) == []
    unsettled.take(1, False)
    assert overdue(unsettled, 1100, 1140, 1141) == [1141]


def test_deliveries_all_the_time_keep_few_marks() -> None:
    unsettled, lease = owing(1)
    for now in range(1000, 2000):
        assert not unsettled.overdue(now, 1000)
        unsettled.add(lease, [now])
    assert len(unsettled._marks) <= TIMEOUT_PARTS + 2
    unsettled.take(1, False)
    assert overdue(unsettled, 2002, 2050, timeout=1000) == [2050]


@pytest.mark.parametrize("multiple", [False, True])
@pytest.mark.parametrize("method_id", [80, 90, 120])
def test_a_tag_that_is_not_owed(multiple: bool, method_id: int) -> None:
    unsettled, _ = owing(1)
    unsettled.skip(1)
    for tag in (2, 3, 1 << 63):
        with pytest.raises(ChannelException, match=f"unknown delivery tag {tag}$") as fault:
            unsettled.take(tag, multiple, method_id)
        assert fault.value.reply_code == 406
        assert (fault.value.class_id, fault.value.method_id) == (60, method_id)
    assert len(unsettled) == 1


def test_tag_zero_alone_is_no_tag() -> None:
    unsettled, _ = owing(1)
    with pytest.raises(ChannelException, match="unknown delivery tag 0"):
        unsettled.take(0, False)


# --- deliveries -----------------------------------------------------------------------------------


class Writer:
    """Takes frames, like a connection."""

    def __init__(self, frame_size_max: int = 131072) -> None:
        self.frame_size_max = frame_size_max
        self.data = b""

    def write(self, parts: Sequence[bytes]) -> None:
        self.data += b"".join(parts)

    def deliveries(self) -> list[tuple[int, BasicDeliver, bytes]]:
        """Return what was written as (channel, method, body), whole frames within the limit."""
        assembler = ContentAssembler(self.frame_size_max)
        commands = assembler.feed(self.data)
        assert assembler.failure is None
        self.data = b""
        found = []
        for command in commands:
            method = command.method()
            assert isinstance(method, BasicDeliver)
            found += [(command.channel, method, content_body(one)) for one in command.contents]
        return found


class Consumed:
    """A subscription of channel 3 with the tag `t`."""

    def __init__(
        self,
        *,
        no_ack: bool = False,
        cancel_on_failover: bool = False,
        frame_size_max: int = 131072,
        tag: str = "t",
    ) -> None:
        self.writer = Writer(frame_size_max)
        self.unsettled = Unsettled()
        self.queue = FakeQueue("q")
        self.ended: list[Subscription] = []
        self.subscription = Subscription(
            self.writer,
            3,
            self.unsettled,
            self.queue,
            tag,
            1,
            no_ack=no_ack,
            cancel_on_failover=cancel_on_failover,
            on_cancelled=self.ended.append,
        )

    def deliver(self, messages: list[Message], redelivered: bool = False) -> None:
        positions = range(21, 21 + len(messages))
        self.subscription.deliver(self.queue.lease, positions, messages, redelivered)


@pytest.mark.parametrize("publisher_channel", [3, 1])
@pytest.mark.parametrize("redelivered", [False, True])
def test_deliveries_say_what_and_whence(publisher_channel: int, redelivered: bool) -> None:
    consumed = Consumed()
    other = Route(b"", "k\u00e9y".encode())
    messages = [
        (ROUTE, content(b"a", publisher_channel)),
        (ROUTE, content(b"", publisher_channel)),
        (other, content(b"c", publisher_channel)),
    ]
    consumed.deliver(messages, redelivered)
    assert consumed.writer.deliveries() == [
        (3, BasicDeliver("t", 1, redelivered, "x", "key"), b"a"),
        (3, BasicDeliver("t", 2, redelivered, "x", "key"), b""),
        (3, BasicDeliver("t", 3, redelivered, "", "k\u00e9y"), b"c"),
    ]
    assert consumed.unsettled.take(0, True) == [(consumed.queue.lease, [21, 22, 23])]


def test_tags_go_on_from_batch_to_batch() -> None:
    consumed = Consumed()
    for _ in range(3):
        consumed.deliver([(ROUTE, content())] * 2)
    tags = [method.delivery_tag for _, method, _ in consumed.writer.deliveries()]
    assert tags == [1, 2, 3, 4, 5, 6]


def test_nothing_is_owed_without_ack() -> None:
    consumed = Consumed(no_ack=True)
    consumed.deliver([(ROUTE, content())] * 2)
    consumed.deliver([(ROUTE, content())])
    assert [method.delivery_tag for _, method, _ in consumed.writer.deliveries()] == [1, 2, 3]
    assert len(consumed.unsettled) == 0


@pytest.mark.parametrize("size", [4088, 4089, 100_000])
def test_bodies_are_cut_to_the_frames_that_the_client_takes(size: int) -> None:
    consumed = Consumed(frame_size_max=4096)
    body = bytes(size)
    consumed.deliver([(ROUTE, content(body, 3))])
    assert [one for _, _, one in consumed.writer.deliveries()] == [body]


def test_no_limit_of_frame_size() -> None:
    consumed = Consumed(frame_size_max=0)
    consumed.deliver([(ROUTE, content(bytes(300_000), 3))])
    assert [len(one) for _, _, one in consumed.writer.deliveries()] == [300_000]


def test_a_tag_is_passed_on_as_the_bytes_it_was() -> None:
    consumed = Consumed(tag="\u00fc\udcff")
    consumed.deliver([(ROUTE, content())])
    assert b"\x03\xc3\xbc\xff" in consumed.writer.data


def test_heads_of_very_many_routes_are_not_kept_for_ever() -> None:
    consumed = Consumed()
    for number in range(HEADS_KEPT_MAX + 5):
        consumed.deliver([(Route(b"x", str(number).encode()), content())])
    keys = [method.routing_key for _, method, _ in consumed.writer.deliveries()]
    assert keys == [str(number) for number in range(HEADS_KEPT_MAX + 5)]
    assert len(consumed.subscription._heads) <= HEADS_KEPT_MAX


def test_the_end_is_told() -> None:
    consumed = Consumed()
    consumed.subscription.cancelled()
    assert consumed.ended == [consumed.subscription]


@pytest.mark.parametrize("wanted", [True, False])
def test_a_failover_ends_it_only_where_the_client_asked_for_that(wanted: bool) -> None:
    consumed = Consumed(cancel_on_failover=wanted)
    assert consumed.subscription.failed_over() is wanted
    assert consumed.ended == [consumed.subscription] * wanted
