"""bench.frames: encoding against bytes written out by hand, counting whole and byte by byte."""

from __future__ import annotations

import struct

import pytest

from bench import frames
from bench.frames import ConfirmCounter, DeliveryCounter, PeerFault


def delivery(tag: int, body: bytes, *, redelivered: bool = False, part: int = 4096) -> bytes:
    """One basic.deliver as a broker sends it, bodies cut into frames of ``part`` bytes."""
    arguments = frames.shortstr("bench") + struct.pack(">QB", tag, redelivered)
    arguments += frames.shortstr("") + frames.shortstr("load-0")
    header = struct.pack(">HHQHB", 60, 0, len(body), 0x1000, 1)
    data = frames.method(1, frames.BASIC_DELIVER, arguments) + frames.frame(2, 1, header)
    for at in range(0, len(body), part):
        data += frames.frame(3, 1, body[at : at + part])
    return data


CLOSE = frames.method(
    1,
    frames.CHANNEL_CLOSE,
    struct.pack(">H", 404) + frames.shortstr("NOT_FOUND - no queue") + bytes(4),
)
HEARTBEAT = frames.frame(8, 0, b"")


def feed(counter: DeliveryCounter | ConfirmCounter, data: bytes, step: int) -> bytes:
    """Feed ``data`` in chunks of ``step`` bytes; returns what was left over."""
    buffer = bytearray()
    for at in range(0, len(data), step):
        buffer += data[at : at + step]
        del buffer[: counter.take(buffer, len(buffer))]
    return bytes(buffer)


def test_publish_is_the_bytes_of_the_specification() -> None:
    data = frames.publish("", "q", b"hi", persistent=True, frame_max=4096)
    assert data == (
        b"\x01\x00\x01\x00\x00\x00\x0a\x00\x3c\x00\x28\x00\x00\x00\x01q\x00\xce"
        b"\x02\x00\x01\x00\x00\x00\x0f\x00\x3c\x00\x00" + bytes(7) + b"\x02\x10\x00\x02\xce"
        b"\x03\x00\x01\x00\x00\x00\x02hi\xce"
    )


def test_declare_carries_its_arguments_and_tells_the_depth() -> None:
    data = frames.queue_declare("q", durable=True, arguments={"x-queue-type": "quorum"})
    table = b"\x0cx-queue-typeS\x00\x00\x00\x06quorum"
    assert data == (
        b"\x01\x00\x01\x00\x00\x00\x25\x00\x32\x00\x0a\x00\x00\x01q\x02"
        + bytes((0, 0, 0, len(table)))
        + table
        + b"\xce"
    )
    assert frames.message_count_of(b"\x01q\x00\x00\x00\x07\x00\x00\x00\x01") == 7


def test_publish_splits_the_body_at_frame_max() -> None:
    data = frames.publish("", "q", b"x" * 9000, persistent=False, frame_max=4096)
    sizes, at = [], 0
    while at < len(data):
        size = frames.next_frame(data, at, len(data))
        sizes.append(size)
        at += size
    assert sizes[2:] == [4096, 4096, 9000 - 2 * 4088 + 8]


def test_shortstr_refuses_what_does_not_fit() -> None:
    with pytest.raises(ValueError, match="256 bytes"):
        frames.shortstr("x" * 256)


# Counting is quadratic in the chunks of one delivery, so large ones are not cut into single bytes.
CUTS = [(size, step) for size in (0, 16) for step in (1, 7, 64, 1000, 1 << 20)]
CUTS += [(9000, step) for step in (64, 1000, 1 << 20)]


@pytest.mark.parametrize(("size", "step"), CUTS)
def test_deliveries_are_counted_however_they_are_cut(size: int, step: int) -> None:
    counter = DeliveryCounter(size)
    data = b"".join(delivery(tag, b"x" * size) for tag in range(1, 21))
    assert feed(counter, data, step) == b""
    assert counter.counted == 20


def test_an_unfinished_delivery_is_left_over_and_not_counted() -> None:
    counter = DeliveryCounter(16)
    data = b"".join(delivery(tag, b"x" * 16) for tag in (1, 2, 3))
    assert feed(counter, data[:-1], 1 << 20) == delivery(3, b"x" * 16)[:-1]
    assert counter.counted == 2


@pytest.mark.parametrize("step", [1, 1 << 20])
def test_heartbeats_and_redelivered_flags_do_not_disturb(step: int) -> None:
    counter = DeliveryCounter(16)
    body = b"x" * 16
    data = delivery(1, body) + HEARTBEAT + delivery(2, body, redelivered=True) + delivery(3, body)
    assert feed(counter, data + HEARTBEAT, step) == b""
    assert counter.counted == 3


@pytest.mark.parametrize("before", [0, 1, 5])
@pytest.mark.parametrize("after", [0, 5])
def test_a_channel_close_among_deliveries_is_said(before: int, after: int) -> None:
    body = b"x" * 16
    data = b"".join(delivery(tag, body) for tag in range(1, before + 1)) + CLOSE
    data += b"".join(delivery(tag, body) for tag in range(before + 1, before + after + 1))
    counter = DeliveryCounter(16)
    with pytest.raises(PeerFault, match=r"broker closed the channel 1: 404 NOT_FOUND - no queue"):
        feed(counter, data, 1 << 20)


@pytest.mark.parametrize("tags", [(1, 2, 4), (1, 1, 2), (2,), (1, 2, 3, 4, 6)])
def test_a_lost_or_doubled_delivery_is_noticed(tags: tuple[int, ...]) -> None:
    data = b"".join(delivery(tag, b"x" * 16) for tag in tags)
    with pytest.raises(PeerFault, match="delivery tag"):
        feed(DeliveryCounter(16), data, 1 << 20)


def test_a_body_of_another_size_is_noticed() -> None:
    with pytest.raises(PeerFault, match="delivery of 15 bytes where 16 were sent"):
        feed(DeliveryCounter(16), delivery(1, b"x" * 15), 1 << 20)


def test_a_broken_frame_end_is_noticed() -> None:
    data = delivery(1, b"x" * 16)[:-1] + b"\x00"
    with pytest.raises(PeerFault, match="octet 206"):
        feed(DeliveryCounter(16), data, 1 << 20)


def test_a_cancelled_consumer_is_said() -> None:
    cancel = frames.method(1, frames.BASIC_CANCEL, frames.shortstr("bench") + b"\x01")
    with pytest.raises(PeerFault, match="cancelled"):
        feed(DeliveryCounter(16), delivery(1, b"x" * 16) + cancel, 1 << 20)


@pytest.mark.parametrize("step", [1, 21, 1 << 20])
@pytest.mark.parametrize(
    ("acks", "confirmed"),
    [
        ([(1, False), (2, False), (3, False)], 3),
        ([(3, True)], 3),
        ([(2, False), (4, False), (3, True), (6, False)], 5),
        ([(3, False), (1, False)], 2),
        ([(5, True), (3, True)], 5),
    ],
)
def test_confirms_single_and_multiple(
    acks: list[tuple[int, bool]], confirmed: int, step: int
) -> None:
    counter = ConfirmCounter()
    data = b"".join(frames.basic_ack(tag, multiple=multiple) for tag, multiple in acks)
    assert feed(counter, data, step) == b""
    assert counter.confirmed == confirmed


@pytest.mark.parametrize("again", [1, 3])
def test_a_publish_confirmed_twice_is_noticed(again: int) -> None:
    data = frames.basic_ack(1, multiple=False) + frames.basic_ack(3, multiple=False)
    with pytest.raises(PeerFault, match=f"publish {again} twice"):
        feed(ConfirmCounter(), data + frames.basic_ack(again, multiple=False), 1 << 20)


def test_a_nack_is_said() -> None:
    nack = frames.method(1, frames.BASIC_NACK, struct.pack(">QB", 7, 0))
    with pytest.raises(PeerFault, match="nacked publish 7"):
        feed(ConfirmCounter(), nack, 1 << 20)
