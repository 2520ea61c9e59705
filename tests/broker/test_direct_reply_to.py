"""Direct reply-to: addresses, and the reply consumer of a channel."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from support.fake_broker import Conversation, content

from rabbitry.broker.direct_reply_to import (
    ReplyAddress,
    ReplyConsumer,
    check_reply_consumer,
    origin_digest,
    reply_address,
    reply_name,
)
from rabbitry.broker.message import Route
from rabbitry.wire.content import ContentAssembler
from rabbitry.wire.errors import ChannelException
from rabbitry.wire.frames import content_body
from rabbitry.wire.methods import (
    BasicCancel,
    BasicCancelOk,
    BasicConsume,
    BasicConsumeOk,
    BasicDeliver,
    ChannelClose,
    ChannelCloseOk,
    Method,
    QueueDeclare,
    QueueDeclareOk,
)

NAME = "amq.rabbitmq.reply-to"


def test_an_address_is_read_as_it_was_written() -> None:
    name = reply_name(("rabbit#abc", 77), "a-_key")
    assert reply_address(name) == ReplyAddress(origin_digest("rabbit#abc"), 77, "a-_key")
    assert len(name) < 255
    assert reply_name(("n" * 500, 2**60), "k" * 22).isascii()
    assert len(reply_name(("n" * 500, 2**60), "k" * 22)) < 255


@pytest.mark.parametrize(
    "name",
    ["", NAME, f"{NAME}.", f"{NAME}.x", f"{NAME}.x.", f"{NAME}.x.y", f"{NAME}.\u00e9.y", "q.a.b"],
)
def test_anything_else_is_no_address(name: str) -> None:
    assert reply_address(name) is None


class Writer:
    def __init__(self) -> None:
        self.frame_size_max = 4096
        self.next_tag = 5
        self.written: list[bytes] = []

    def write(self, parts: Sequence[bytes]) -> None:
        self.written += parts


def test_an_answer_is_delivered_under_the_next_tag_which_it_does_not_use_up() -> None:
    writer = Writer()
    consumer = ReplyConsumer(("n#1", 9), "key", "c", 3, writer, writer)
    for body in (b"a", bytes(5000)):
        consumer.deliver((Route(b"", b"k"), content(body)))
    commands = ContentAssembler(4096).feed(b"".join(writer.written))
    assert [one.channel for one in commands] == [3, 3]
    method = BasicDeliver("c", 5, False, "", "k")
    assert [one.method() for one in commands] == [method, method]
    assert [content_body(one.contents[0]) for one in commands] == [b"a", bytes(5000)]


def test_who_may_consume_answers() -> None:
    check_reply_consumer(None, no_ack=True)
    writer = Writer()
    present = ReplyConsumer(("n#1", 9), "key", "c", 3, writer, writer)
    for consumer, no_ack, text in (
        (None, False, "reply consumer cannot acknowledge"),
        (present, False, "reply consumer cannot acknowledge"),
        (present, True, "reply consumer already set"),
    ):
        with pytest.raises(ChannelException) as fault:
            check_reply_consumer(consumer, no_ack)
        assert fault.value.reply_text == f"PRECONDITION_FAILED - {text}"


def test_a_channel_consumes_answers_until_it_cancels() -> None:
    talk = Conversation()
    said = BasicConsume(queue=NAME, consumer_tag="c", no_ack=True)
    assert talk.say(said) == [BasicConsumeOk("c")]
    (consumer,) = talk.port.reply_consumers.values()
    assert consumer is not None
    assert reply_address(consumer.name) is not None
    assert talk.say(QueueDeclare(queue=NAME, passive=True)) == [QueueDeclareOk(NAME, 0, 1)]
    assert talk.say(BasicCancel("c")) == [BasicCancelOk("c")]
    assert list(talk.port.reply_consumers.values()) == [None]
    assert talk.say(said) == [BasicConsumeOk("c")]
    assert talk.say(ChannelClose()) == [ChannelCloseOk()]
    assert list(talk.port.reply_consumers.values()) == [None]


def test_a_declaration_of_an_address_asks_whether_somebody_is_there() -> None:
    for found in (True, False):
        talk = Conversation()
        name = reply_name(("n#1", 5), "key")
        said: Method = QueueDeclare(queue=name)
        assert talk.say(said) == []
        ((asked, on_answer),) = talk.port.reply_consumers_asked
        assert asked == name
        on_answer(found)
        (reply,) = talk.heard()
        if found:
            assert reply == QueueDeclareOk(name, 0, 1)
        else:
            assert isinstance(reply, ChannelClose)
            assert reply.reply_text == f"NOT_FOUND - no queue '{name}' in vhost '/'"
