"""A conversation in which a queue is consumed; the test says what the queue delivers."""

from __future__ import annotations

from support.fake_broker import Conversation, FakeQueue, content

from rabbitry.broker.message import Route
from rabbitry.wire.methods import BasicConsume, BasicConsumeOk

ROUTE = Route(b"", b"q")


def consuming(
    *, tag: str = "t", no_ack: bool = False, capabilities: tuple[str, ...] = ()
) -> tuple[Conversation, FakeQueue]:
    """Return a conversation in which queue `q` is consumed."""
    talk = Conversation(capabilities=capabilities)
    queue = talk.port.add("q")
    assert talk.say(BasicConsume(queue="q", consumer_tag=tag, no_ack=no_ack)) == []
    queue.answer()
    assert talk.heard() == [BasicConsumeOk(tag)]
    return talk, queue


def deliver(queue: FakeQueue, *bodies: bytes, redelivered: bool = False) -> None:
    """Have the queue deliver to its first subscriber, from position 101 on."""
    messages = [(ROUTE, content(body)) for body in bodies]
    positions = range(101, 101 + len(bodies))
    queue.subscribers[0].deliver(queue.lease, positions, messages, redelivered)
