"""When a client is read: what must hold for all of it, reason by reason."""

from __future__ import annotations

import pytest
from support.fake_broker import Conversation

from rabbitry.broker import reading
from rabbitry.broker.client_connection import ClientConnection
from rabbitry.broker.reading import Reading
from rabbitry.wire.methods import BasicGet, BasicQos


class Room:
    """Some clients and what is decided about their reading."""

    def __init__(self, count: int = 2) -> None:
        self.talks = [Conversation() for _ in range(count)]
        self.clients = [talk.connection for talk in self.talks]
        self.acts: list[tuple[int, bool]] = []
        self.reading = Reading(dict(enumerate(self.clients)), self.talks[0].alarms, self._act)
        self.reading.ready = True

    def _act(self, client: ClientConnection, paused: bool) -> None:
        client.pause_reading(paused, 0)
        self.acts.append((self.clients.index(client), paused))

    def taken(self) -> list[tuple[int, bool]]:
        self.reading.control()
        acts, self.acts = self.acts, []
        return acts


def test_nobody_is_read_before_the_catalog_is_known() -> None:
    room = Room()
    room.reading.ready = False
    room.reading.judge_all()
    assert room.taken() == [(0, True), (1, True)]
    room.reading.ready = True
    room.reading.judge_all()
    assert room.taken() == [(0, False), (1, False)]


@pytest.mark.parametrize(
    ("high", "low"),
    [
        ((reading.BACKLOG_MESSAGES_HIGH, 0), (reading.BACKLOG_MESSAGES_LOW, 0)),
        ((1, reading.BACKLOG_BYTES_HIGH), (1, reading.BACKLOG_BYTES_LOW)),
    ],
)
def test_a_backlog_of_messages_or_of_bytes_pauses_publishers(
    high: tuple[int, int], low: tuple[int, int]
) -> None:
    room = Room()
    room.clients[0].publishes = True
    room.reading.backlog_grew(*high)
    assert room.taken() == []
    room.reading.backlog_grew(1, 1)
    assert room.taken() == [(0, True)]
    room.clients[1].publishes = True  # and is noticed when it does
    room.reading.received(room.clients[1])
    assert room.taken() == [(1, True)]
    room.reading.backlog_grew(low[0] - high[0], low[1] - high[1])
    assert room.taken() == []
    room.reading.backlog_grew(-1, -1)
    assert room.taken() == [(0, False), (1, False)]


def test_a_congested_link_pauses_publishers() -> None:
    room = Room()
    room.clients[0].publishes = True
    room.reading.link_congested(7, True)
    assert room.taken() == [(0, True)]
    assert room.taken() == []
    room.reading.link_congested(7, False)
    assert room.taken() == [(0, False)]


def test_two_reasons_must_both_go() -> None:
    room = Room(1)
    (client,) = room.clients
    client.publishes = True
    room.reading.link_congested(7, True)
    room.reading.writing_changed(client, True)
    assert room.reading.is_slow(client)
    room.reading.sent(client, reading.UNREAD_BYTES_MAX + 1)
    assert room.taken() == [(0, True)]
    room.reading.link_congested(7, False)
    assert room.taken() == []
    room.reading.writing_changed(client, False)
    assert not room.reading.is_slow(client)
    assert room.taken() == [(0, False)]


def test_one_that_is_blocked_is_read_when_alarms_are_over() -> None:
    room = Room()
    talk = room.talks[0]
    talk.port.add("q")
    talk.alarms.set("other", ["disk"])
    talk.publish("q", b"x")
    room.reading.received(talk.connection)
    assert room.taken() == [(0, True)]
    talk.alarms.set("other", [])
    room.reading.alarms_over(0)
    assert room.taken() == [(0, False)]


def test_one_with_too_many_commands_waits_for_its_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rabbitry.broker.client_connection.BACKLOG_COMMANDS_MAX", 2)
    room = Room()
    talk = room.talks[1]
    queue = talk.port.add("q")
    talk.say(BasicGet(queue="q"), BasicQos(), BasicQos(), BasicQos())
    room.reading.received(talk.connection)
    assert room.taken() == [(1, True)]
    room.reading.forget(talk.connection)
    assert room.taken() == []
    assert queue.asked == [("get", False)]
