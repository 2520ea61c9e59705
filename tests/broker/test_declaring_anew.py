"""A declaration of what goes at that moment."""

from __future__ import annotations

from support.fake_broker import Conversation

from rabbitry.broker.ports import QueueReply, Refusal
from rabbitry.wire.methods import QueueDeclare, QueueDeclareOk


def test_a_queue_that_goes_while_it_is_declared_is_declared_anew() -> None:
    talk = Conversation()
    queue = talk.port.add("q")
    talk.say(QueueDeclare(queue="q"))
    talk.port.answer()
    queue.answer(QueueReply(Refusal(404, "no queue 'q' in vhost '/'")))
    assert talk.heard() == []
    assert [asked[0] for asked in talk.port.asked] == ["declare_queue", "declare_queue"]
    talk.port.answer()
    queue.answer(QueueReply(None, 0, 0))
    assert talk.heard() == [QueueDeclareOk("q", 0, 0)]
