"""A client and a server endpoint back to back: login, closing, channels, time.

What a server refuses once the connection is open is in `test_endpoint_faults`.
"""

from __future__ import annotations

import pytest
from support.endpoints import (
    CHANNEL_OPEN,
    CLOSE,
    LOGIN,
    OPEN,
    START_US,
    TUNE_OK,
    Pair,
    Raw,
    closed_with,
    logged_in,
    names,
    on,
    opened,
    read,
    server_endpoint,
    start_ok,
)

from rabbitry.connection.endpoint import (
    HANDSHAKE_TIMEOUT_US,
    SILENT_CLOSE_DELAY_US,
    Endpoint,
)
from rabbitry.connection.handshake import Credentials
from rabbitry.machine import MICROSECONDS_PER_SECOND as SECOND_US
from rabbitry.wire.content import Command
from rabbitry.wire.errors import ChannelException
from rabbitry.wire.frames import HEARTBEAT_FRAME, PROTOCOL_HEADER, content_body, method_frame
from rabbitry.wire.methods import (
    BasicAck,
    BasicNack,
    BasicProperties,
    BasicPublish,
    BasicQos,
    BasicReject,
    ChannelClose,
    ChannelCloseOk,
    ChannelOpen,
    ChannelOpenOk,
    ConnectionBlocked,
    ConnectionCloseOk,
    ConnectionStart,
    ConnectionTuneOk,
    ConnectionUnblocked,
    ConnectionUpdateSecret,
    QueueDeclare,
)

# --- coming to an open connection ----------------------------------------------------------------


@pytest.mark.parametrize("bytewise", [False, True])
def test_login_opens_both_sides_with_the_same_limits(bytewise: bool) -> None:
    pair = opened(bytewise=bytewise, heartbeat_s=20)
    server, client = pair.server, pair.client
    assert (server.user, server.virtual_host, client.virtual_host) == ("guest", "/", "/")
    assert server.heartbeat_s == client.heartbeat_s == 20
    assert server.frame_size_max == client.frame_size_max == 131072
    assert server.channel_max == client.channel_max == 2047
    assert server.peer_properties["product"] == "test"
    assert server.peer_capabilities == {"authentication_failure_close": True}
    assert client.peer_properties["product"] == "Rabbitry"
    assert client.peer_capabilities["basic.nack"] is True
    pair.wait(HANDSHAKE_TIMEOUT_US + 1)
    assert (server.state, client.state) == ("open", "open")


@pytest.mark.parametrize("bytewise", [False, True])
def test_a_wrong_password_is_told_to_a_client_that_can_hear_it(bytewise: bool) -> None:
    pair = Pair(password="wrong", bytewise=bytewise)
    pair.exchange()
    assert pair.client.finished
    assert pair.client.end_reason == (
        "403 ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN. "
        "For details see the broker logfile."
    )
    assert "invalid credentials from 127.0.0.1" in pair.server.end_reason
    assert pair.server.finished


def test_an_unknown_virtual_host_is_530() -> None:
    pair = Pair(virtual_host="nope")
    pair.exchange()
    assert pair.client.end_reason == "530 NOT_ALLOWED - vhost nope not found"
    assert pair.client.finished
    assert pair.server.finished


@pytest.mark.parametrize("bytewise", [False, True])
@pytest.mark.parametrize("header", [b"AMQP\0\0\x09\x01", b"AMQP\x01\x01\0\x09"])
def test_headers_of_0_9_1_and_0_9_are_answered_with_start(header: bytes, bytewise: bool) -> None:
    raw = Raw(bytewise=bytewise)
    ((channel, method),) = raw.say(header)
    assert channel == 0
    assert isinstance(method, ConnectionStart)
    assert (method.version_major, method.version_minor) == (0, 9)
    assert b"PLAIN" in method.mechanisms.split()
    assert method.locales == b"en_US"
    assert method.server_properties["product"] == "Rabbitry"


@pytest.mark.parametrize("bytewise", [False, True])
@pytest.mark.parametrize(
    "header", [b"AMQP\0\0\x09\x02", b"AMQP\0\x01\0\0", b"AMQP\x01\x01\x08\0", b"GET / HT"]
)
def test_another_header_is_answered_with_ours_and_the_end(header: bytes, bytewise: bool) -> None:
    server = server_endpoint()
    step = 1 if bytewise else 12
    data = header + b"more"
    for at in range(0, len(data), step):
        assert not list(server.receive_bytes(data[at : at + step], START_US))
    assert server.take_bytes(START_US) == b"AMQP\0\0\x09\x01"
    assert server.finished


@pytest.mark.parametrize("bytewise", [False, True])
def test_a_client_ends_when_the_server_answers_with_a_header(bytewise: bool) -> None:
    client = Endpoint("client", START_US, credentials=Credentials("guest", "guest"))
    step = 1 if bytewise else 8
    for at in range(0, 8, step):
        assert not list(client.receive_bytes(b"AMQP\0\0\x09\x01"[at : at + step], START_US))
    assert client.finished
    assert client.end_reason == "the server speaks another protocol version"


def test_a_wrong_password_is_met_with_silence_and_then_the_end() -> None:
    raw = Raw()
    raw.say(PROTOCOL_HEADER)
    assert raw.say(start_ok("wrong")) == []
    assert raw.say(start_ok(), TUNE_OK, OPEN) == [], "a second try is not heard"
    raw.wait(SILENT_CLOSE_DELAY_US - 1)
    assert not raw.server.finished
    raw.wait(1)
    assert raw.server.finished
    assert "invalid credentials" in raw.server.end_reason


@pytest.mark.parametrize("peer_name", [None, "", "bunny"])
def test_external_is_offered_where_certificates_are_asked_for(peer_name: str | None) -> None:
    server = server_endpoint(peer_name=peer_name)
    list(server.receive_bytes(PROTOCOL_HEADER, START_US))
    ((_, start),) = read(server.take_bytes(START_US))
    assert isinstance(start, ConnectionStart)
    assert (b"EXTERNAL" in start.mechanisms.split()) is (peer_name is not None)
    list(server.receive_bytes(start_ok(mechanism="EXTERNAL"), START_US))
    assert server.user == (peer_name or "")
    assert (server.state == "tuning") is bool(peer_name)


def test_an_unknown_mechanism_is_503() -> None:
    raw = Raw()
    raw.say(PROTOCOL_HEADER)
    assert closed_with(raw.say(start_ok(mechanism="FOO"))) == (
        503,
        10,
        11,
        "COMMAND_INVALID - unknown authentication mechanism 'FOO'",
    )


def test_limits_out_of_range_are_530() -> None:
    raw = Raw()
    raw.say(PROTOCOL_HEADER, start_ok())
    tune_ok = method_frame(0, ConnectionTuneOk(2047, 131073, 0).encode())
    code, class_id, method_id, text = closed_with(raw.say(tune_ok, OPEN))
    assert (code, class_id, method_id) == (530, 10, 30)
    assert text.startswith("NOT_ALLOWED - negotiated frame_max = 131073 is higher than")


@pytest.mark.parametrize(
    "bad", [TUNE_OK, CHANNEL_OPEN, CLOSE, b"\x07\0\0\0\0\0\0\xce", b"\x01\0\0\0\0\0\0\0"]
)
def test_a_fault_before_the_login_is_met_with_silence(bad: bytes) -> None:
    raw = Raw()
    raw.say(PROTOCOL_HEADER)
    assert raw.say(bad) == []
    assert raw.say(start_ok()) == []
    raw.wait(SILENT_CLOSE_DELAY_US)
    assert raw.server.finished


@pytest.mark.parametrize("said", [0, 1, 2, 3])
def test_a_handshake_that_takes_too_long_ends(said: int) -> None:
    raw = Raw()
    for part in LOGIN[:said]:
        raw.say(part)
    raw.wait(HANDSHAKE_TIMEOUT_US - 1)
    assert not raw.server.finished
    raw.wait(1)
    assert raw.server.finished
    assert "timed out" in raw.server.end_reason


def test_a_client_does_not_wait_for_ever_for_a_dumb_server() -> None:
    client = Endpoint("client", START_US, credentials=Credentials("guest", "guest"))
    assert client.take_bytes(START_US) == PROTOCOL_HEADER
    client.tick(START_US + HANDSHAKE_TIMEOUT_US)
    assert client.finished


# --- closing -------------------------------------------------------------------------------------


@pytest.mark.parametrize("bytewise", [False, True])
@pytest.mark.parametrize("role", ["client", "server"])
def test_either_side_may_close(role: str, bytewise: bool) -> None:
    pair = opened(bytewise=bytewise)
    pair.open_channel()
    closer, other = pair.client, pair.server
    if role == "server":
        closer, other = other, closer
    closer.close(200, "bye", now=pair.now)
    assert not closer.finished
    pair.exchange()
    assert (closer.state, other.state) == ("closed", "closed")
    assert closer.finished
    assert other.finished
    assert closer.end_reason == other.end_reason == "200 bye"
    assert list(other.receive_bytes(CHANNEL_OPEN, pair.now)) == []
    assert other.take_bytes(pair.now) == b""


@pytest.mark.parametrize("bytewise", [False, True])
def test_closes_that_cross_end_both_sides(bytewise: bool) -> None:
    pair = opened(bytewise=bytewise)
    pair.client.close(200, "client", now=pair.now)
    pair.server.close(320, "server", now=pair.now)
    pair.exchange()
    assert pair.client.finished
    assert pair.server.finished
    assert pair.client.end_reason == "200 client"
    assert pair.server.end_reason == "320 server"


def test_nothing_is_sent_behind_a_close() -> None:
    pair = opened()
    pair.open_channel()
    pair.server.close(now=pair.now)
    pair.server.send_method(1, ChannelOpenOk())
    pair.server.send_content(1, BasicPublish(), BasicProperties(), b"late")
    pair.server.write([on(1, ChannelOpenOk())])
    pair.server.close(541, "again", now=pair.now)
    assert [method.name for _, method in read(pair.server.take_bytes(pair.now))] == [
        "connection.close"
    ]


def test_settlements_pass_after_a_close_where_the_owner_takes_them() -> None:
    late = [BasicAck(1), BasicQos(), BasicNack(2), BasicReject(3)]
    for hears, expected in ((True, [late[0], *late[2:]]), (False, [])):
        pair = opened()
        pair.open_channel()
        pair.server.close(320, "end", now=pair.now, hear_settlements=hears)
        data = b"".join(on(1, method) for method in late) + on(2, BasicAck(1))
        passed = [one.method() for one in pair.server.receive_bytes(data, pair.now)]
        assert passed == expected
        assert not pair.server.finished
        list(pair.server.receive_bytes(on(0, ConnectionCloseOk()), pair.now))
        assert list(pair.server.receive_bytes(data, pair.now)) == []
        assert pair.server.finished


def test_a_close_before_the_talk_began_just_ends() -> None:
    client = Endpoint("client", START_US, credentials=Credentials("guest", "guest"))
    client.close(now=START_US)
    assert client.finished


# --- channels ------------------------------------------------------------------------------------


@pytest.mark.parametrize("bytewise", [False, True])
def test_commands_pass_in_order_with_their_contents(bytewise: bool) -> None:
    pair = opened(bytewise=bytewise)
    pair.open_channel()
    body = b"x" * 5000
    pair.client.send_method(1, QueueDeclare(queue="q"))
    pair.client.send_content(1, BasicPublish(routing_key="q"), BasicProperties(), body)
    pair.client.send_content(1, BasicPublish(routing_key="q"), BasicProperties(), b"")
    pair.client.send_method(1, BasicQos())
    pair.exchange()
    found = [one for one in pair.at_server if not one.contents]
    assert names(found) == ["queue.declare", "basic.qos"]
    contents = [content for one in pair.at_server for content in one.contents]
    assert [content_body(content) for content in contents] == [body, b""]


@pytest.mark.parametrize("bytewise", [False, True])
def test_what_comes_on_a_channel_that_the_server_closed_is_dropped(bytewise: bool) -> None:
    """In the same batch of bytes too: whole or byte by byte must come to the same."""
    pair = opened(bytewise=bytewise)
    pair.open_channel()
    fault = ChannelException(404, "no queue 'nope' in vhost '/'", 50, 10)

    def answer(command: Command) -> None:
        if command.frame[7:11] == b"\0\x32\0\x0a":
            pair.server.close_channel(command.channel, fault)

    pair.answer = answer
    pair.client.send_method(1, QueueDeclare(queue="nope", passive=True))
    pair.client.send_method(1, BasicQos())
    pair.client.send_content(1, BasicPublish(), BasicProperties(), b"stray")
    pair.exchange()
    assert names(pair.at_server) == ["queue.declare"]
    (command,) = pair.at_client
    assert command.method() == ChannelClose(404, "NOT_FOUND - no queue 'nope' in vhost '/'", 50, 10)
    pair.client.send_method(1, ChannelCloseOk())
    pair.client.send_method(1, ChannelOpen())
    pair.exchange()
    assert names(pair.at_server) == ["queue.declare", "channel.close-ok", "channel.open"]
    assert pair.server.state == "open"


@pytest.mark.parametrize("bytewise", [False, True])
def test_a_channel_may_be_opened_again_behind_its_close(bytewise: bool) -> None:
    raw = logged_in(bytewise=bytewise)
    data = CHANNEL_OPEN + on(1, ChannelClose()) + CHANNEL_OPEN + on(1, BasicPublish())
    step = 1 if bytewise else len(data)
    for at in range(0, len(data), step):
        for command in raw.server.receive_bytes(data[at : at + step], raw.now):
            raw.passed.append(command)
            if command.frame[7:11] == b"\0\x14\0\x28":
                raw.server.send_method(1, ChannelCloseOk())
    # The header of the publish: what had come of its content must not have been forgotten.
    raw.say(b"\x02\0\x01\0\0\0\x0e\0\x3c" + bytes(12) + b"\xce")
    assert names(raw.passed) == ["channel.open", "channel.close", "channel.open", "basic.publish"]
    assert raw.server.state == "open"


def test_channel_closes_that_cross_are_both_answered() -> None:
    pair = opened()
    pair.open_channel()
    pair.client.send_method(1, ChannelClose(200, "bye"))
    pair.server.close_channel(1, ChannelException(406, "no"))
    pair.exchange()
    assert names(pair.at_server) == ["channel.close-ok"]
    assert names(pair.at_client) == ["channel.close-ok"]
    pair.open_channel()
    assert pair.server.state == pair.client.state == "open"


def test_a_client_drops_deliveries_to_a_channel_that_it_closes() -> None:
    pair = opened()
    pair.open_channel()
    pair.client.send_method(1, ChannelClose())
    pair.server.write([on(1, ChannelOpenOk())])
    pair.exchange()
    assert pair.at_client == []


def test_a_client_refuses_a_channel_that_it_did_not_open() -> None:
    pair = opened()
    pair.server.write([CHANNEL_OPEN])
    pair.exchange()
    assert pair.server.end_reason == "504 CHANNEL_ERROR - expected 'channel.open'"


def test_a_command_after_a_close_by_its_owner_does_not_pass() -> None:
    pair = opened()
    pair.open_channel()
    pair.answer = lambda command: pair.server.close(540, "no", now=pair.now)
    pair.client.send_method(1, BasicQos())
    pair.client.send_method(1, QueueDeclare())
    pair.exchange()
    assert names(pair.at_server) == ["basic.qos"]
    assert pair.client.end_reason == "540 no"


# --- time ----------------------------------------------------------------------------------------


def test_heartbeats_go_both_ways_and_keep_a_silent_connection() -> None:
    pair = opened(heartbeat_s=10)
    sent = {"client": 0, "server": 0}
    for _ in range(100):
        pair.wait(SECOND_US)
        to_server = pair.client.take_bytes(pair.now)
        to_client = pair.server.take_bytes(pair.now)
        sent["client"] += to_server.count(HEARTBEAT_FRAME)
        sent["server"] += to_client.count(HEARTBEAT_FRAME)
        assert not list(pair.server.receive_bytes(to_server, pair.now))
        assert not list(pair.client.receive_bytes(to_client, pair.now))
    assert sent == {"client": 20, "server": 20}, "two in each interval"
    assert pair.server.state == pair.client.state == "open"


def test_traffic_takes_the_place_of_heartbeats() -> None:
    pair = opened(heartbeat_s=10)
    pair.open_channel()
    for _ in range(20):
        pair.wait(SECOND_US)
        pair.client.send_method(1, BasicQos())
        assert HEARTBEAT_FRAME not in pair.client.take_bytes(pair.now)


def test_a_silent_peer_is_given_up_after_two_intervals() -> None:
    pair = opened(heartbeat_s=10)
    pair.wait(20 * SECOND_US)
    assert not pair.server.finished
    pair.wait(1)
    assert pair.server.finished
    assert "missed heartbeats" in pair.server.end_reason


def test_half_a_frame_is_a_sign_of_life() -> None:
    pair = opened(heartbeat_s=10)
    for at in range(8):
        pair.wait(15 * SECOND_US)
        assert not list(pair.server.receive_bytes(HEARTBEAT_FRAME[at : at + 1], pair.now))
    assert pair.server.state == "open"


def test_a_client_that_wishes_no_heartbeats_gets_and_owes_none() -> None:
    pair = opened(heartbeat_s=0)
    pair.wait(1000 * SECOND_US)
    assert pair.client.take_bytes(pair.now) == pair.server.take_bytes(pair.now) == b""
    assert pair.server.state == pair.client.state == "open"


# --- extensions ----------------------------------------------------------------------------------


def test_a_client_knows_when_it_is_blocked() -> None:
    pair = opened()
    pair.server.send_method(0, ConnectionBlocked("low on memory"))
    pair.exchange()
    assert pair.client.blocked_reason == "low on memory"
    pair.server.send_method(0, ConnectionUnblocked())
    pair.exchange()
    assert pair.client.blocked_reason is None


def test_a_new_secret_is_acknowledged() -> None:
    pair = opened()
    pair.client.send_method(0, ConnectionUpdateSecret(b"new", "expired"))
    (command,) = read(pair.client.take_bytes(pair.now))
    assert not list(pair.server.receive_bytes(on(0, command[1]), pair.now))
    ((_, method),) = read(pair.server.take_bytes(pair.now))
    assert method.name == "connection.update-secret-ok"
    assert not list(pair.client.receive_bytes(on(0, method), pair.now))
    assert pair.client.state == "open"


def test_sending_out_of_turn_is_a_fault_of_ours() -> None:
    with pytest.raises(AssertionError):
        server_endpoint().send_method(0, ConnectionCloseOk())
