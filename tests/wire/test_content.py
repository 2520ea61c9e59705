"""The assembler gives the same messages however its bytes are cut, and ends on what is no AMQP.

Codes, ids and texts of the faults were taken from RabbitMQ 3.10.8 over a raw socket.
"""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rabbitry.wire.content import BODY_SIZE_BYTES_LIMIT, Command, ContentAssembler
from rabbitry.wire.errors import AmqpException, ChannelException, ConnectionException
from rabbitry.wire.frames import (
    FRAME_BODY,
    FRAME_HEADER,
    HEARTBEAT_FRAME,
    content_body,
    content_frames,
    content_properties,
    frame_head,
    method_frame,
)
from rabbitry.wire.methods import (
    BasicAck,
    BasicProperties,
    BasicPublish,
    ChannelClose,
    ChannelOpen,
    QueueDeclare,
)

NO_PROPERTIES = b"\0\0"


def frame(kind: int, channel: int, payload: bytes, end: bytes = b"\xce") -> bytes:
    return frame_head.pack(kind, channel, len(payload)) + payload + end


def publish(key: str = "q", channel: int = 1) -> bytes:
    return method_frame(channel, BasicPublish(routing_key=key).encode())


def header(size: int, *, class_id: int = 60, weight: int = 0, channel: int = 1) -> bytes:
    payload = class_id.to_bytes(2, "big") + weight.to_bytes(2, "big") + size.to_bytes(8, "big")
    return frame(FRAME_HEADER, channel, payload + NO_PROPERTIES)


def message(body: bytes, key: str = "q", channel: int = 1, frame_size: int = 4096) -> bytes:
    return publish(key, channel) + content_frames(channel, NO_PROPERTIES, body, frame_size)


def feed(chunks: Iterable[bytes], assembler: ContentAssembler | None = None) -> list[Command]:
    assembler = assembler or ContentAssembler(4096)
    return [command for chunk in chunks for command in assembler.feed(chunk)]


def bytewise(data: bytes) -> list[bytes]:
    return [data[at : at + 1] for at in range(len(data))]


def flat(commands: Iterable[Command]) -> list[tuple[int, bytes, bytes | None]]:
    """One entry for each method or message: (channel, method frame, content)."""
    found: list[tuple[int, bytes, bytes | None]] = []
    for command in commands:
        assert command.fault is None
        found += [(command.channel, command.frame, one) for one in command.contents or [None]]
    return found


# --- whole, byte by byte, cut at random ----------------------------------------------------------

pieces = st.one_of(
    st.builds(
        lambda body, key, channel, size: (channel, message(body, key, channel, size)),
        st.binary(max_size=40),
        st.sampled_from(["q", "other"]),
        st.integers(1, 3),
        st.sampled_from([9, 20, 4096]),
    ),
    st.builds(
        lambda tag, channel: (channel, method_frame(channel, BasicAck(tag).encode())),
        st.integers(0, 9),
        st.integers(1, 3),
    ),
    st.just((0, HEARTBEAT_FRAME)),
)


def single_frames(data: bytes) -> list[bytes]:
    found = []
    while data:
        end = 8 + int.from_bytes(data[3:7], "big")
        found.append(data[:end])
        data = data[end:]
    return found


@given(parts=st.lists(pieces, max_size=8), data=st.data())
def test_any_cut_gives_the_same_messages(
    parts: list[tuple[int, bytes]], data: st.DataObject
) -> None:
    stream = b"".join(part for _, part in parts)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=12)))
    edges = [0, *cuts, len(stream)]
    chunks = [stream[a:b] for a, b in pairwise(edges)]
    whole = flat(feed([stream]))
    expected = [(channel, part) for channel, part in parts if channel]
    assert [(channel, head + (content or b"")) for channel, head, content in whole] == expected
    assert flat(feed(chunks)) == whole
    assert flat(feed(bytewise(stream))) == whole


@given(parts=st.lists(pieces, max_size=8), data=st.data())
def test_channels_interleaved_frame_by_frame_keep_their_messages(
    parts: list[tuple[int, bytes]], data: st.DataObject
) -> None:
    waiting = {
        channel: [one for at, part in parts if at == channel for one in single_frames(part)]
        for channel in range(4)
    }
    stream = b""
    while any(waiting.values()):
        channel = data.draw(st.sampled_from([at for at, frames in waiting.items() if frames]))
        stream += waiting[channel].pop(0)
    for chunks in ([stream], bytewise(stream)):
        found = flat(feed(chunks))
        for channel in range(1, 4):
            expected = [part for at, part in parts if at == channel]
            assert [a + (b or b"") for at, a, b in found if at == channel] == expected


# --- runs ----------------------------------------------------------------------------------------


def test_contents_under_the_same_method_are_one_run() -> None:
    (command,) = feed([b"".join(message(body) for body in (b"a", b"", b"bc"))])
    assert command.channel == 1
    assert command.frame == publish()
    assert [content_body(content) for content in command.contents] == [b"a", b"", b"bc"]


def test_heartbeats_do_not_end_a_run_but_other_frames_do() -> None:
    ack = method_frame(1, BasicAck(1).encode())
    stream = [message(b"a"), HEARTBEAT_FRAME, message(b"b"), ack, message(b"c"), message(b"d", "r")]
    commands = feed([b"".join(stream)])
    assert [len(command.contents) for command in commands] == [2, 0, 1, 1]


def test_a_run_has_one_set_of_properties() -> None:
    lasting = publish() + content_frames(1, BasicProperties(delivery_mode=2).encode(), b"b", 4096)
    big = publish() + content_frames(1, BasicProperties(priority=1).encode(), b"b" * 50, 20)
    for chunks in ([message(b"a") + lasting + lasting + big], bytewise(message(b"a") + lasting)):
        assert {
            (command.flags, content_properties(content)[:2])
            for command in feed(chunks)
            for content in command.contents
        } <= {(0, b"\0\0"), (0x1000, b"\x10\0"), (0x0800, b"\x08\0")}
    runs = feed([message(b"a") + lasting + lasting + big])
    assert [(run.flags, len(run.contents)) for run in runs] == [(0, 1), (0x1000, 2), (0x0800, 1)]


@pytest.mark.parametrize("size", [1, 1000])  # the slow way, and the fast one
def test_headers_of_a_run_are_of_one_size_where_the_flags_fix_it(size: int) -> None:
    def said(*encoded: bytes) -> list[tuple[int, int]]:
        publish = method_frame(1, BasicPublish(routing_key="q").encode())
        frames = b"".join(publish + content_frames(1, one, b"body", 0) for one in encoded)
        assembler = ContentAssembler()
        commands = [
            command
            for start in range(0, len(frames), size)
            for command in assembler.feed(frames[start : start + size])
        ]
        return [(len(command.contents), command.header_size_bytes) for command in commands]

    assert said(b"\0\0") == [(1, 14)]
    fixed = said(b"\x10\0\x02", b"\x10\0\x02x", b"\x10\0", b"\x10\0\x01")
    assert fixed == [(1, 15), (1, 16), (1, 14), (1, 15)]
    varied = said(b"\x80\0\x01a", b"\x80\0\x02ab")
    assert varied == ([(2, 16)] if size > 1 else [(1, 16), (1, 17)])


def test_a_message_in_many_frames_ends_a_run_and_keeps_its_place() -> None:
    stream = message(b"a") + message(b"b" * 50, frame_size=20) + message(b"c")
    commands = feed([stream])
    bodies = [content_body(content) for command in commands for content in command.contents]
    assert bodies == [b"a", b"b" * 50, b"c"]


def test_a_body_of_exactly_the_limit_is_taken() -> None:
    assembler = ContentAssembler(4096, body_size_bytes_max=10)
    assert len(flat(feed([message(b"x" * 10)], assembler))) == 1
    assert len(flat(feed([message(b"x" * 10, frame_size=12)], assembler))) == 1


def test_a_big_body_over_many_frames_is_joined() -> None:
    body = bytes(range(256)) * 4096
    stream = message(body)
    chunks = [stream[at : at + 65536] for at in range(0, len(stream), 65536)]
    ((_, _, content),) = flat(feed(chunks))
    assert content is not None
    assert content_body(content) == body


# --- bounds --------------------------------------------------------------------------------------


def test_the_greatest_bound_is_not_a_configured_one() -> None:
    assembler = ContentAssembler(4096, body_size_bytes_max=BODY_SIZE_BYTES_LIMIT)
    (command,) = feed([publish() + header(BODY_SIZE_BYTES_LIMIT + 1)], assembler)
    assert isinstance(command.fault, ChannelException)
    assert command.fault.text == "message size 536870913 is larger than max size 536870912"


def test_an_oversized_message_is_a_fault_of_its_channel_and_is_not_kept() -> None:
    assembler = ContentAssembler(4096, body_size_bytes_max=1_000_000)
    (command,) = feed([publish() + header(3_000_000)], assembler)
    fault = command.fault
    assert isinstance(fault, ChannelException)
    assert (fault.reply_code, fault.class_id, fault.method_id) == (406, 60, 40)
    assert fault.text == "message size 3000000 is larger than configured max size 1000000"
    assert command.contents == []
    piece = frame(FRAME_BODY, 1, b"x" * 3000)
    tracemalloc.start()
    try:
        for _ in range(999):
            assert assembler.feed(piece) == []
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()
    assert flat(assembler.feed(piece + message(b"next"))) == [
        (1, publish(), content_frames(1, NO_PROPERTIES, b"next", 0))
    ]
    assert assembler.failure is None


def test_a_peer_told_406_may_leave_the_rest_of_its_content_unsent() -> None:
    assembler = ContentAssembler(4096, body_size_bytes_max=10)
    feed([publish() + header(11) + frame(FRAME_BODY, 1, b"abc")], assembler)
    close = method_frame(1, ChannelClose().encode())
    assert flat(assembler.feed(close)) == [(1, close, None)]
    feed([publish() + header(11)], assembler)
    assert len(flat(assembler.feed(message(b"0123456789")))) == 1


def test_empty_body_frames_take_no_memory() -> None:
    assembler = ContentAssembler(4096)
    feed([publish() + header(3)], assembler)
    empty = frame(FRAME_BODY, 1, b"") * 1000
    tracemalloc.start()
    try:
        for _ in range(100):
            assert assembler.feed(empty) == []
        assert tracemalloc.get_traced_memory()[0] < 10_000
    finally:
        tracemalloc.stop()
    ((_, _, content),) = flat(assembler.feed(frame(FRAME_BODY, 1, b"abc")))
    assert content == content_frames(1, NO_PROPERTIES, b"abc", 0)


def test_a_frame_size_limit_of_0_is_none() -> None:
    assembler = ContentAssembler(0)
    assert len(flat(feed([message(b"x" * 300_000, frame_size=0)], assembler))) == 1


# --- faults of framing ---------------------------------------------------------------------------

NOT_HEADER = (
    "UNEXPECTED_FRAME - expected content header for class 60, got non content header frame instead"
)
NOT_BODY = "UNEXPECTED_FRAME - expected content body, got non content body frame instead"
NOT_METHOD = "UNEXPECTED_FRAME - expected method frame, got non method frame instead"
FAULTS = {
    "unknown type": (
        frame(7, 1, b"hello"),
        (501, 0, 0, 'FRAME_ERROR - type 7, all octets = <<"hello">>: unknown_frame'),
    ),
    "unknown type, empty": (
        frame(4, 1, b""),
        (501, 0, 0, "FRAME_ERROR - type 4, all octets = <<>>: unknown_frame"),
    ),
    "unknown type, long": (
        frame(7, 0, b"hello world this is long"),
        (
            501,
            0,
            0,
            'FRAME_ERROR - type 7, first 16 octets = <<"hello world this">>: unknown_frame',
        ),
    ),
    "unknown type, no text": (
        frame(7, 1, b'\x00\xff"a'),
        (501, 0, 0, "FRAME_ERROR - type 7, all octets = <<0,255,34,97>>: unknown_frame"),
    ),
    "method without ids": (
        frame(1, 1, b"\0\x3c"),
        (501, 0, 0, "FRAME_ERROR - type 1, all octets = <<0,60>>: unknown_frame"),
    ),
    "method without ids in a content": (
        publish() + frame(1, 1, b"\0\x3c"),
        (501, 0, 0, "FRAME_ERROR - type 1, all octets = <<0,60>>: unknown_frame"),
    ),
    "header cut short": (
        publish() + frame(2, 1, b"\0\x3c"),
        (501, 0, 0, "FRAME_ERROR - type 2, all octets = <<0,60>>: unknown_frame"),
    ),
    "header without property flags": (  # RabbitMQ: 541 without a text
        publish() + frame(2, 1, b"\0\x3c" + bytes(10)),
        (
            501,
            0,
            0,
            "FRAME_ERROR - type 2, all octets = <<0,60,0,0,0,0,0,0,0,0,0,0>>: unknown_frame",
        ),
    ),
    "bad end octet": (
        frame(3, 1, b"hello", b"\xcd"),
        (
            501,
            0,
            0,
            'FRAME_ERROR - type 3, all octets = <<"hello">>: {invalid_frame_end_marker,205}',
        ),
    ),
    "bad end octet in a content": (
        message(b"hello")[:-1] + b"\0",
        (501, 0, 0, 'FRAME_ERROR - type 3, all octets = <<"hello">>: {invalid_frame_end_marker,0}'),
    ),
    "bad end octet of a header": (
        publish() + header(0)[:-1] + b"\0",
        (501, 0, 0, "FRAME_ERROR - type 2, all octets = <<0,60,0,0,0,0,0,0,0,0,0,0,0,0>>: {inv"),
    ),
    "frame too large": (
        frame_head.pack(3, 1, 4097) + b"x",
        (501, 0, 0, "FRAME_ERROR - type 3, all octets = <<>>: {frame_too_large,4097,4088}"),
    ),
    "heartbeat on a channel": (
        frame(8, 1, b""),
        (505, 0, 0, "UNEXPECTED_FRAME - type 8, all octets = <<>>"),
    ),
    "heartbeat in a content": (
        publish() + frame(8, 1, b""),
        (505, 0, 0, "UNEXPECTED_FRAME - type 8, all octets = <<>>"),
    ),
    "heartbeat with payload": (
        frame(8, 0, b"x"),
        (501, 0, 0, 'FRAME_ERROR - type 8, all octets = <<"x">>: unknown_frame'),
    ),
    "heartbeat with payload on a channel": (
        frame(8, 1, b"x"),
        (501, 0, 0, 'FRAME_ERROR - type 8, all octets = <<"x">>: unknown_frame'),
    ),
    "body on channel 0": (
        frame(3, 0, b"abc"),
        (505, 0, 0, 'UNEXPECTED_FRAME - type 3, all octets = <<"abc">>'),
    ),
    "header on channel 0": (
        frame(2, 0, bytes(14)),
        (
            505,
            0,
            0,
            "UNEXPECTED_FRAME - type 2, all octets = <<0,0,0,0,0,0,0,0,0,0,0,0,0,0>>",
        ),
    ),
    "method in place of a header": (publish() + publish(), (505, 60, 40, NOT_HEADER)),
    "body in place of a header": (publish() + frame(3, 1, b"abc"), (505, 60, 40, NOT_HEADER)),
    "header with weight": (publish() + header(3, weight=1), (505, 60, 40, NOT_HEADER)),
    "header of another class": (
        publish() + header(3, class_id=50),
        (
            505,
            60,
            40,
            "UNEXPECTED_FRAME - expected content header for class 60, got one for class 50 instead",
        ),
    ),
    "header in place of a body": (publish() + header(3) * 2, (505, 60, 40, NOT_BODY)),
    "method in place of a body": (publish() + header(3) + publish(), (505, 60, 40, NOT_BODY)),
    "header in place of a method": (header(3), (505, 0, 0, NOT_METHOD)),
    "body in place of a method": (frame(3, 1, b"abc"), (505, 0, 0, NOT_METHOD)),
    "body longer than announced": (  # RabbitMQ waits for ever
        publish() + header(3) + frame(3, 1, b"abcd"),
        (505, 60, 40, "UNEXPECTED_FRAME - content body is longer than its header said"),
    ),
}


def told(fault: AmqpException) -> tuple[int, int, int, str]:
    return fault.reply_code, fault.class_id, fault.method_id, fault.reply_text


@pytest.mark.parametrize("name", FAULTS)
@pytest.mark.parametrize("cut", ["whole", "bytewise"])
def test_a_fault_ends_the_stream_behind_the_good_commands(name: str, cut: str) -> None:
    bad, (code, class_id, method_id, text) = FAULTS[name]
    good = method_frame(1, ChannelOpen().encode()) + message(b"good")
    stream = good + bad
    assembler = ContentAssembler(4096)
    commands = feed([stream] if cut == "whole" else bytewise(stream), assembler)
    assert flat(commands) == flat(feed([good]))
    failure = assembler.failure
    assert isinstance(failure, ConnectionException)
    assert told(failure)[:3] == (code, class_id, method_id)
    assert failure.reply_text.startswith(text)
    assert assembler.feed(good) == [], "what follows is not read"
    assert assembler.failure is failure


def test_a_frame_may_be_eight_bytes_too_large_as_in_rabbitmq() -> None:
    assembler = ContentAssembler(4096)
    feed([publish() + header(4096) + frame(3, 1, b"x" * 4096)], assembler)
    assert assembler.failure is None


def test_a_content_method_on_channel_0_waits_for_no_content() -> None:
    (command,) = feed([publish(channel=0) + HEARTBEAT_FRAME])
    assert (command.channel, command.contents) == (0, [])


# --- decoding ------------------------------------------------------------------------------------


def command_of(payload: bytes) -> Command:
    (command,) = feed([method_frame(1, payload)])
    return command


UNDECODABLE = {
    "unknown method": (b"\0\x3c\0\xc9", (503, 60, 201, "COMMAND_INVALID - unknown method 60.201")),
    "unknown class": (b"\0\xc8\0\x0a", (503, 200, 10, "COMMAND_INVALID - unknown method 200.10")),
    "cut short": (
        b"\0\x32\0\x0a\0\0\x05a",
        (501, 50, 10, "FRAME_ERROR - cannot decode <<0,0,5,97>>"),
    ),
    "too long": (
        QueueDeclare(queue="q").encode() + b"xx",
        (501, 50, 10, "FRAME_ERROR - cannot decode <<0,0,1,113,0,0,0,0,0,120,120>>"),
    ),
    "table too long": (
        b"\0\x32\0\x0a\0\0\x01q\0\0\0\0\xff\x01aZ\x01",
        (501, 50, 10, "FRAME_ERROR - cannot decode <<0,0,1,113,0,0,0,0,255,1,97,90,1>>"),
    ),
    "table of an unknown type": (
        b"\0\x32\0\x0a\0\0\x01q\0\0\0\0\x04\x01aZ\x01",
        (501, 50, 10, "FRAME_ERROR - cannot decode <<0,0,1,113,0,0,0,0,4,1,97,90,1>>"),
    ),
    "no UTF-8": (
        b"\0\x32\0\x0a\0\0\x02\xff\xfe\0\0\0\0\0",
        (501, 0, 0, "FRAME_ERROR - Malformed UTF-8 in shortstr"),
    ),
}


@pytest.mark.parametrize("name", UNDECODABLE)
def test_what_cannot_be_decoded_is_a_fault_of_the_connection(name: str) -> None:
    payload, expected = UNDECODABLE[name]
    with pytest.raises(ConnectionException) as raised:
        command_of(payload).method()
    assert told(raised.value) == expected


def test_a_long_malformed_method_keeps_the_reply_text_within_a_short_string() -> None:
    with pytest.raises(ConnectionException) as raised:
        command_of(b"\0\x32\0\x0a" + b"\xff" * 3000).method()
    assert len(raised.value.reply_text) == 255


def test_utf_8_short_strings_are_good() -> None:
    method = QueueDeclare(queue="Grüße")
    assert command_of(method.encode()).method() == method


def test_names_in_tables_may_be_any_bytes_as_in_rabbitmq() -> None:
    payload = QueueDeclare(queue="q", arguments={"ab": None}).encode().replace(b"ab", b"\xff\xfe")
    assert command_of(payload).method().encode() == payload


def test_routing_keys_of_messages_may_be_any_bytes_as_in_rabbitmq() -> None:
    head = method_frame(1, BasicPublish(routing_key="ab").encode().replace(b"ab", b"\xff\xfe"))
    (command,) = feed([head + content_frames(1, NO_PROPERTIES, b"", 0)])
    assert command.method().encode() == command.frame[7:-1]


def test_it_tells_whether_a_content_has_begun() -> None:
    assembler = ContentAssembler(4096)
    whole = message(b"body")
    states = []
    for octet in whole:
        assembler.feed(bytes((octet,)))
        states.append(assembler.in_content)
    begun = len(publish())
    assert states == [False] * (begun - 1) + [True] * (len(whole) - begun) + [False]
