"""Seams between channels and queues: what they carry, and how a refusal becomes a close."""

from __future__ import annotations

from support.fake_broker import FakePort, FakeQueue

from rabbitry.broker.ports import BrokerPort, GetReply, Lease, QueueHandle, QueueReply, Refusal
from rabbitry.wire.errors import ChannelException, ConnectionException


def test_a_refusal_closes_the_channel() -> None:
    exception = Refusal(404, "no queue 'q'").exception(50, 10)
    assert isinstance(exception, ChannelException)
    assert (exception.reply_code, exception.reply_text) == (404, "NOT_FOUND - no queue 'q'")
    assert (exception.class_id, exception.method_id) == (50, 10)


def test_a_hard_refusal_closes_the_connection() -> None:
    exception = Refusal(540, "not yet", hard=True).exception()
    assert isinstance(exception, ConnectionException)
    assert (exception.class_id, exception.method_id) == (0, 0)


def test_refusals_are_values() -> None:
    assert Refusal(404, "a") == Refusal(404, "a") != Refusal(404, "a", hard=True)


def test_a_reply_without_more_is_good_and_empty() -> None:
    assert (QueueReply().refusal, QueueReply().messages, QueueReply().consumers) == (None, 0, 0)
    assert (GetReply().refusal, GetReply().message, GetReply().remaining) == (None, None, 0)


def test_a_lease_is_its_own_and_knows_its_queue() -> None:
    queue: QueueHandle = FakeQueue("q")
    first, second = Lease(queue), Lease(queue)
    assert first is not second
    assert first != second
    assert first.handle is queue


def test_others_can_stand_in_for_a_node() -> None:
    port: BrokerPort = FakePort()
    assert port.find_queue("/", "q") is None
