"""What a channel's client may still settle, as queues are told it for their next leader."""

from __future__ import annotations

from support.fake_broker import Conversation, content

from rabbitry.broker.message import Route
from rabbitry.broker.ports import Lease
from rabbitry.wire.methods import BasicAck, BasicConsume, TxCommit, TxSelect


def test_a_queue_is_told_what_the_client_may_still_settle() -> None:
    talk = Conversation()
    one, other = talk.port.add("one"), talk.port.add("other")
    for queue in (one, other):
        talk.say(BasicConsume(queue=queue.name, consumer_tag=queue.name))
        queue.answer()
    mine, gotten, void = Lease(one, 1), Lease(one), Lease(one, 3)
    void.void = True
    message = (Route(b"", b"q"), content())
    one.subscribers[0].deliver(mine, [1, 2], [message] * 2, False)
    other.subscribers[0].deliver(other.lease, [7], [message], False)
    one.subscribers[0].deliver(gotten, [3], [message], False)
    one.subscribers[0].deliver(void, [4], [message], False)
    ((_, owes),) = one.debtors.items()
    assert owes(one) == [(1, [1, 2]), (0, [3])]
    talk.say(BasicAck(1))
    assert owes(one) == [(1, [2]), (0, [3])]
    talk.say(TxSelect(), BasicAck(2))
    assert owes(one) == [(0, [3]), (1, [2])], "not before the commit"
    talk.say(TxCommit())
    assert owes(one) == [(0, [3])]
