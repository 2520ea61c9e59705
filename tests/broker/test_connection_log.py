"""What the log says of a connection, and at which level; never a password or a message."""

from __future__ import annotations

import pytest
from support.endpoints import CLOSE, LOGIN, START_US, Raw, logged_in, on, start_ok
from support.fake_broker import Conversation

from rabbitry.broker.connection_log import ConnectionLog
from rabbitry.connection.endpoint import HANDSHAKE_TIMEOUT_US
from rabbitry.machine import MICROSECONDS_PER_SECOND as SECOND_US
from rabbitry.wire.frames import PROTOCOL_HEADER
from rabbitry.wire.methods import (
    BasicQos,
    ChannelOpen,
    ConnectionOpen,
    QueueDeclare,
)

PEER = "10.0.0.1:40000"
KNOWN = {"peer": PEER, "user": "guest", "virtual_host": "/"}
Told = list[tuple[str, str, dict[str, object]]]


def story(raw: Raw, *frames: bytes, wait_s: float = 0) -> Told:
    """Return what is told of a server that hears these frames, one look each, and is closed."""
    told: Told = []
    log = ConnectionLog(raw.server, PEER, lambda *report: told.append(report))
    for frame in frames:
        raw.say(frame)
        log.look()
    raw.wait(int(wait_s * SECOND_US))
    log.look()
    log.closed()
    return told


def test_an_orderly_life() -> None:
    assert story(Raw(), *LOGIN, on(1, ChannelOpen()), CLOSE) == [
        ("info", "connection opened", KNOWN),
        ("info", "connection closed", KNOWN),
    ]


def test_a_client_that_goes_without_a_word() -> None:
    reason = "client unexpectedly closed TCP connection"
    assert story(Raw(), *LOGIN)[1:] == [
        ("warning", "connection closed", {**KNOWN, "reason": reason})
    ]


def test_a_look_whether_anybody_listens_or_answers_is_worth_nothing() -> None:
    assert [level for level, _, _ in story(Raw())] == ["debug"]
    assert [level for level, _, _ in story(Raw(), PROTOCOL_HEADER)] == ["debug"]


def test_one_that_speaks_another_protocol() -> None:
    ((level, what, details),) = story(Raw(), b"GET / HTTP/1.1\r\n\r\n")
    assert (level, what) == ("error", "connection closed")
    assert details["reason"] == "the client speaks another protocol version"


@pytest.mark.parametrize("heard", [True, False])
def test_a_login_that_is_refused_names_the_user_and_not_the_password(heard: bool) -> None:
    told = story(Raw(), PROTOCOL_HEADER, start_ok(password="hunter2", heard=heard), wait_s=5)
    assert told[0][:2] == ("error", "login refused")
    assert told[0][2]["peer"] == PEER
    assert "guest" in str(told[0][2]["reason"])
    assert told[1:] == [("info", "connection closed", {"peer": PEER})]
    assert "hunter2" not in repr(told)


def test_a_virtual_host_that_is_not_there() -> None:
    frames = [*LOGIN[:3], on(0, ConnectionOpen("nowhere"))]
    assert story(Raw(), *frames)[0] == (
        "error",
        "connection error",
        {"peer": PEER, "user": "guest", "reason": "530 NOT_ALLOWED - vhost nowhere not found"},
    )


def test_bytes_that_are_no_frames_are_not_shown() -> None:
    told = story(logged_in(), b"\x09secret secret secret\xce")
    assert told[0][:2] == ("error", "connection error")
    assert told[0][2] == {**KNOWN, "reason": "501 FRAME_ERROR"}
    assert "secret" not in repr(told)


@pytest.mark.parametrize(
    ("frames", "wait_us"), [((), HANDSHAKE_TIMEOUT_US), (LOGIN[:1], HANDSHAKE_TIMEOUT_US)]
)
def test_a_handshake_that_does_not_end(frames: tuple[bytes, ...], wait_us: int) -> None:
    ((level, _, details),) = story(Raw(), *frames, wait_s=wait_us / SECOND_US)
    assert level == "error"
    assert str(details["reason"]).startswith("timed out in state")


def test_missed_heartbeats() -> None:
    talk = Conversation()
    talk.connection.tick(START_US + 1000 * SECOND_US)
    talk.connection.lost()
    assert talk.told[-1][:2] == ("error", "connection closed")
    assert str(talk.told[-1][2]["reason"]).startswith("missed heartbeats")


def test_faults_on_channels_and_of_channels() -> None:
    talk = Conversation()
    talk.say(QueueDeclare(queue="amq.mine"))
    level, what, details = talk.told[-1]
    assert (level, what, details["channel"]) == ("error", "channel error", 1)
    assert str(details["reason"]).startswith("403 ACCESS_REFUSED - queue name 'amq.mine'")
    talk.say(ChannelOpen(), channel=2)
    talk.say(BasicQos(prefetch_size=1), channel=2)
    level, what, details = talk.told[-1]
    assert (level, what, details["channel"]) == ("error", "connection error", 2)
    assert str(details["reason"]).startswith("540 NOT_IMPLEMENTED - prefetch_size")
    talk.connection.lost()
    assert [what for _, what, _ in talk.told] == [
        "connection opened",
        "channel error",
        "connection error",
        "connection closed",
    ]
    assert talk.told[-1][0] == "info"


def test_a_connection_that_we_close_says_why() -> None:
    talk = Conversation()
    talk.connection.close(320, "CONNECTION_FORCED - user 'zed' is deleted", START_US)
    talk.connection.close(320, "CONNECTION_FORCED - another reason", START_US)
    talk.connection.lost()
    reason = "320 CONNECTION_FORCED - user 'zed' is deleted"
    level, what, details = talk.told[-1]
    assert (level, what, details["reason"]) == ("info", "connection closed", reason)


def test_a_fault_is_not_told_again_as_a_reason_of_ours() -> None:
    talk = Conversation()
    talk.say(BasicQos(prefetch_size=1))
    talk.connection.close(320, "CONNECTION_FORCED - shutdown", START_US)
    talk.connection.lost()
    assert talk.told[-1][:2] == ("info", "connection closed")
    assert "reason" not in talk.told[-1][2]
