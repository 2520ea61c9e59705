"""A server endpoint against raw frames: what it refuses, and how.

Codes, ids and texts were taken from RabbitMQ 3.10.8 over a raw socket; the docstring of
`rabbitry.connection.endpoint` says where we say more than it does.
"""

from __future__ import annotations

import pytest
from support.endpoints import (
    CHANNEL_OPEN,
    CLOSE,
    CLOSE_OK,
    TUNE_OK,
    Raw,
    closed_with,
    logged_in,
    names,
    on,
    start_ok,
)

from rabbitry.connection.endpoint import (
    CLOSING_TIMEOUT_US,
    SILENT_CLOSE_DELAY_US,
)
from rabbitry.wire.frames import HEARTBEAT_FRAME, PROTOCOL_HEADER, method_frame
from rabbitry.wire.methods import (
    BasicPublish,
    BasicQos,
    ChannelClose,
    ChannelCloseOk,
    ChannelOpen,
    ConnectionBlocked,
    ConnectionCloseOk,
    ConnectionUpdateSecret,
)

# --- what a server refuses, as RabbitMQ does -----------------------------------------------------


RUNNING = "CHANNEL_ERROR - unexpected method in connection state running"
NOT_OPEN = "CHANNEL_ERROR - expected 'channel.open'"
REFUSED = {
    "method on an unopened channel": (on(3, BasicQos()), (504, 60, 10, NOT_OPEN)),
    "close of an unopened channel": (on(3, ChannelClose()), (504, 20, 40, NOT_OPEN)),
    "close-ok of an unopened channel": (on(3, ChannelCloseOk()), (504, 20, 41, NOT_OPEN)),
    "channel opened twice": (
        CHANNEL_OPEN * 2,
        (504, 20, 10, "CHANNEL_ERROR - second 'channel.open' seen"),
    ),
    "channel method on channel 0": (on(0, ChannelOpen()), (504, 20, 10, RUNNING)),
    "publish on channel 0": (on(0, BasicPublish()), (504, 60, 40, RUNNING)),
    "start-ok again": (start_ok(), (504, 10, 11, RUNNING)),
    "close-ok that nobody asked for": (CLOSE_OK, (504, 10, 51, RUNNING)),
    "a server's method": (on(0, ConnectionBlocked("x")), (504, 10, 60, RUNNING)),
    "unknown method on channel 0": (
        method_frame(0, b"\0\x0a\0\xc8"),
        (503, 10, 200, "COMMAND_INVALID - unknown method 10.200"),
    ),
    "malformed method on channel 0": (
        method_frame(0, b"\0\x0a\0\x32\0"),
        (501, 10, 50, "FRAME_ERROR - cannot decode <<0>>"),
    ),
    "heartbeat on a channel": (
        b"\x08\0\x01\0\0\0\0\xce",
        (505, 0, 0, "UNEXPECTED_FRAME - type 8, all octets = <<>>"),
    ),
    "unknown frame": (
        b"\x07\0\0\0\0\0\x01x\xce",
        (501, 0, 0, 'FRAME_ERROR - type 7, all octets = <<"x">>: unknown_frame'),
    ),
    "bad end octet": (
        HEARTBEAT_FRAME[:-1] + b"\0",
        (501, 0, 0, "FRAME_ERROR - type 8, all octets = <<>>: {invalid_frame_end_marker,0}"),
    ),
    "frame too large": (
        b"\x03\0\x01\0\x02\0\x01\0",
        (501, 0, 0, "FRAME_ERROR - type 3, all octets = <<>>: {frame_too_large,131073,131064}"),
    ),
    "header without publish": (
        CHANNEL_OPEN + b"\x02\0\x01\0\0\0\x0e\0\x3c" + bytes(12) + b"\xce",
        (505, 0, 0, "UNEXPECTED_FRAME - expected method frame, got non method frame instead"),
    ),
}


@pytest.mark.parametrize("bytewise", [False, True])
@pytest.mark.parametrize("name", REFUSED)
def test_a_fault_is_answered_once_with_a_close(name: str, bytewise: bool) -> None:
    bad, expected = REFUSED[name]
    raw = logged_in(bytewise=bytewise)
    answers = raw.say(bad, on(9, BasicQos()), bad)
    assert closed_with(answers) == expected
    assert len(answers) == 1
    assert raw.server.end_reason == f"{expected[0]} {expected[3]}"
    assert [name for name in names(raw.passed) if name != "channel.open"] == []


def test_a_channel_before_open_is_an_unexpected_frame() -> None:
    raw = Raw()
    raw.say(PROTOCOL_HEADER, start_ok(), TUNE_OK)
    assert closed_with(raw.say(CHANNEL_OPEN)) == (
        505,
        0,
        0,
        "UNEXPECTED_FRAME - type 1, all octets = <<0,20,0,10,0>>",
    )


def test_a_method_out_of_its_state_is_504_and_names_the_state() -> None:
    raw = Raw()
    raw.say(PROTOCOL_HEADER, start_ok(), TUNE_OK)
    assert closed_with(raw.say(TUNE_OK)) == (
        504,
        10,
        31,
        "CHANNEL_ERROR - unexpected method in connection state opening",
    )


def test_more_channels_than_agreed_are_530_whatever_their_numbers() -> None:
    raw = logged_in(channel_max=2)
    assert raw.say(on(1, ChannelOpen()), on(900, ChannelOpen())) == []
    assert closed_with(raw.say(on(2, ChannelOpen()))) == (
        530,
        0,
        0,
        "NOT_ALLOWED - number of channels opened (2) has reached the negotiated channel_max (2)",
    )


def test_a_closed_channel_makes_room_for_another() -> None:
    raw = logged_in(channel_max=1)
    raw.say(CHANNEL_OPEN, on(1, ChannelClose()))
    raw.server.send_method(1, ChannelCloseOk())
    raw.say(on(2, ChannelOpen()))
    assert raw.server.state == "open"
    assert names(raw.passed) == ["channel.open", "channel.close", "channel.open"]


def test_after_a_lost_framing_the_link_ends_without_close_ok() -> None:
    raw = logged_in()
    raw.say(b"\x07\0\0\0\0\0\0\xce", CLOSE_OK)
    raw.wait(SILENT_CLOSE_DELAY_US - 1)
    assert not raw.server.finished
    raw.wait(1)
    assert raw.server.finished
    assert raw.server.end_reason.startswith("501 FRAME_ERROR")


def test_after_a_close_only_the_closing_methods_are_heard() -> None:
    raw = logged_in()
    raw.say(on(3, BasicQos()))
    answers = raw.say(CHANNEL_OPEN, CLOSE, on(0, ConnectionUpdateSecret(b"", "")))
    assert answers == [(0, ConnectionCloseOk())]
    assert not raw.server.finished, "RabbitMQ too waits for close-ok"
    raw.say(CLOSE_OK)
    assert raw.server.finished
    assert raw.server.end_reason == f"504 {NOT_OPEN}"


def test_a_close_that_is_never_answered_ends_in_time() -> None:
    raw = logged_in()
    raw.server.close(320, "CONNECTION_FORCED - broker forced connection closure", now=raw.now)
    raw.wait(CLOSING_TIMEOUT_US - 1)
    assert not raw.server.finished
    raw.wait(1)
    assert raw.server.finished
    assert raw.server.end_reason.startswith("320 CONNECTION_FORCED")
