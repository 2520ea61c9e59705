"""Tests of clients that publish under an alarm: from where on they are blocked, and told so."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from support.fake_broker import Conversation

from rabbitry.wire.frames import content_body, content_frames, method_frame
from rabbitry.wire.methods import (
    BasicProperties,
    BasicPublish,
    BasicQos,
    BasicQosOk,
    ChannelClose,
    ChannelCloseOk,
    ChannelOpen,
    ChannelOpenOk,
    ConfirmSelect,
    ConnectionBlocked,
    ConnectionUnblocked,
)


def test_who_publishes_under_an_alarm_is_blocked_from_that_message_on() -> None:
    talk = Conversation(capabilities=("connection.blocked",))
    queue = talk.port.add("q")
    talk.say(ConfirmSelect())
    talk.publish("q", b"before")
    talk.alarms.set("other", ["memory"])
    assert talk.say(BasicQos()) == [BasicQosOk()]  # it does not publish
    assert not talk.connection.blocked
    assert talk.publish("q", b"one", b"two") == [ConnectionBlocked("low on memory")]
    assert talk.connection.blocked
    # What is on its way already waits too, whatever it is.
    assert talk.publish("q", b"three") == []
    assert talk.say(ChannelClose(200, "", 0, 0)) == []
    assert talk.say(ChannelOpen()) == []
    talk.alarms.set("other", ["memory", "disk"])
    assert talk.heard() == []
    assert len(queue.published) == 1
    talk.alarms.set("other", [])
    talk.connection.unblock(talk.now)
    assert not talk.connection.blocked
    assert talk.heard() == [ConnectionUnblocked(), ChannelCloseOk(), ChannelOpenOk()]
    bodies = [content_body(frames) for sent, _ in queue.published for _, frames in sent]
    assert bodies == [b"before", b"one", b"two", b"three"]


def test_who_has_begun_a_message_is_blocked_before_it_is_whole() -> None:
    talk = Conversation(capabilities=("connection.blocked",))
    queue = talk.port.add("q")
    method = method_frame(1, BasicPublish(0, "", "q", False, False).encode())
    content = content_frames(1, BasicProperties().encode(), b"x", 4096)
    body_frame, empty_body_frame = content[-9:], b"\x03\0\x01\0\0\0\0\xce"

    def say(data: bytes) -> None:
        talk.connection.receive(data, talk.now)

    say(method + content[:-9])
    assert not talk.connection.blocked
    talk.alarms.set("other", ["disk"])
    say(empty_body_frame)
    assert talk.heard() == [ConnectionBlocked("low on disk")]
    say(empty_body_frame)
    assert talk.heard() == []
    talk.alarms.set("other", [])
    talk.connection.unblock(talk.now)
    assert talk.heard() == [ConnectionUnblocked()]
    say(body_frame)
    assert len(queue.published) == 1


def test_a_client_that_cannot_hear_it_is_blocked_all_the_same() -> None:
    talk = Conversation(capabilities=())
    queue = talk.port.add("q")
    talk.alarms.set("rabbit", ["disk"])
    assert talk.publish("q", b"one") == []
    assert (talk.connection.blocked, queue.published) == (True, [])
    talk.alarms.set("rabbit", [])
    talk.connection.unblock(talk.now)
    assert talk.heard() == []
    assert len(queue.published) == 1


def close_by_node(talk: Conversation) -> None:
    talk.connection.close(320, "CONNECTION_FORCED - shutdown", talk.now)


def lose(talk: Conversation) -> None:
    talk.connection.lost()


@pytest.mark.parametrize("end", [close_by_node, lose])
def test_a_blocked_connection_ends_like_any_other(end: Callable[[Conversation], None]) -> None:
    talk = Conversation()
    queue = talk.port.add("q")
    talk.alarms.set("rabbit", ["disk"])
    talk.publish("q", b"one")
    end(talk)
    assert queue.published == []
    assert talk.port.owners_deleted == ["rabbit#1/7"]
