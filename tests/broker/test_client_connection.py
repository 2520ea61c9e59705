"""A client's connection: its channels, its faults, its end; heartbeats and back-pressure."""

from __future__ import annotations

import pytest
from support.broker_client import Broker, closed_with
from support.fake_broker import Conversation, content

from rabbitry.broker.client_connection import (
    BACKLOG_BYTES_MAX,
    BACKLOG_COMMANDS_MAX,
    LAST_WORDS_US,
)
from rabbitry.broker.message import Route
from rabbitry.broker.ports import GetReply, QueueReply, Refusal
from rabbitry.machine import MICROSECONDS_PER_SECOND as SECOND_US
from rabbitry.machine import TimerFired
from rabbitry.wire.errors import ChannelException, ConnectionException
from rabbitry.wire.frames import HEARTBEAT_FRAME, method_frame
from rabbitry.wire.methods import (
    BasicAck,
    BasicConsume,
    BasicConsumeOk,
    BasicGet,
    BasicGetEmpty,
    BasicQos,
    BasicQosOk,
    ChannelClose,
    ChannelCloseOk,
    ChannelOpen,
    ChannelOpenOk,
    ConfirmSelect,
    ConnectionClose,
    ConnectionCloseOk,
    QueueDeclare,
    QueueDeclareOk,
)

ROUTE = Route(b"", b"q")


def test_it_is_known_by_its_node_and_link() -> None:
    connection = Conversation().connection
    assert connection.owner == "rabbit#1/7"
    assert (connection.virtual_host, connection.frame_size_max) == ("/", 131072)


@pytest.mark.parametrize("capabilities", [(), ("consumer_cancel_notify",)])
def test_what_the_client_understands(capabilities: tuple[str, ...]) -> None:
    connection = Conversation(capabilities=capabilities).connection
    assert connection.cancel_notify is bool(capabilities)


def test_names_are_never_the_same() -> None:
    connection = Conversation().connection
    names = [connection.new_name("amq.gen-") for _ in range(100)]
    assert len(set(names)) == 100
    # 128 bits in base64, as RabbitMQ has it; nothing that a queue name may not have.
    assert all(len(name) == len("amq.gen-") + 22 and name.isascii() for name in names)


# --- channels -------------------------------------------------------------------------------------


def test_channels_are_apart() -> None:
    talk = Conversation()
    for channel in (2, 900):
        assert talk.say(ChannelOpen(), channel=channel) == [ChannelOpenOk()]
    talk.say(BasicAck(1), channel=2)
    assert talk.say(BasicQos(), channel=900) == [BasicQosOk()]
    assert talk.say(BasicQos(), channel=1) == [BasicQosOk()]


def test_answers_go_out_on_their_channels() -> None:
    talk = Conversation()
    queue = talk.port.add("q")
    talk.say(ChannelOpen(), channel=2)
    talk.say(BasicGet(queue="q"))
    talk.say(BasicConsume(queue="q", consumer_tag="t"), channel=2)
    queue.answer()
    queue.get_replies[0](GetReply(), queue.lease)
    assert talk.heard_on() == [(2, BasicConsumeOk("t")), (1, BasicGetEmpty())]


def test_what_follows_a_fault_in_the_same_read_is_dropped() -> None:
    talk = Conversation()
    (closed,) = talk.say(BasicAck(1), BasicQos(), ConfirmSelect())
    assert isinstance(closed, ChannelClose)
    assert talk.say(BasicQos()) == []
    assert talk.say(ChannelCloseOk(), ChannelOpen(), BasicQos()) == [ChannelOpenOk(), BasicQosOk()]


def test_what_follows_a_hard_fault_is_dropped_on_all_channels() -> None:
    talk = Conversation()
    queue = talk.port.add("q")
    talk.say(ChannelOpen(), channel=2)
    talk.say(BasicConsume(queue="q"), channel=2)
    (closed,) = talk.say(BasicQos(prefetch_size=1), BasicQos())
    assert isinstance(closed, ConnectionClose)
    assert queue.asked[-1] == ("release",)
    assert talk.say(BasicQos(), channel=2) == []
    talk.connection.receive(method_frame(0, ConnectionCloseOk().encode()), talk.now)
    assert talk.connection.endpoint.finished


def test_a_fault_of_an_answer_that_comes_later_is_the_channels_too() -> None:
    talk = Conversation()
    talk.say(QueueDeclare(queue="q"))
    talk.port.answer(Refusal(406, "no"))
    assert closed_with(talk.heard())[0] == 406
    assert talk.connection.endpoint.state == "open"


def test_a_hard_refusal_ends_the_connection() -> None:
    talk = Conversation()
    talk.say(QueueDeclare(queue="q"))
    talk.port.answer(Refusal(541, "no", hard=True))
    (closed,) = talk.heard()
    assert isinstance(closed, ConnectionClose)
    assert (closed.reply_code, closed.failing_class_id) == (541, 50)


def test_guard_lets_our_own_faults_through() -> None:
    talk = Conversation()

    def fail(error: Exception) -> None:
        raise error

    with pytest.raises(KeyError):
        talk.connection.guard(1, lambda: fail(KeyError("bug")))
    talk.connection.guard(1, lambda: fail(ChannelException(406, "no")))
    assert [method.name for method in talk.heard()] == ["channel.close"]
    talk.connection.guard(1, lambda: fail(ConnectionException(541, "no")))
    assert [method.name for method in talk.heard()] == ["connection.close"]


def test_an_unreadable_method_ends_the_connection() -> None:
    talk = Conversation()
    talk.connection.receive(method_frame(1, b"\x00\x3c\x03\xe7"), talk.now)
    (closed,) = talk.heard()
    assert isinstance(closed, ConnectionClose)
    assert closed.reply_code == 503


# --- the end --------------------------------------------------------------------------------------


def close_by_client(talk: Conversation) -> None:
    assert talk.say(ConnectionClose(200, "bye"), channel=0) == [ConnectionCloseOk()]


def close_by_fault(talk: Conversation) -> None:
    talk.say(BasicQos(prefetch_size=1))


def close_by_node(talk: Conversation) -> None:
    talk.connection.close(320, "CONNECTION_FORCED - shutdown", talk.now)
    (closed,) = talk.heard()
    assert isinstance(closed, ConnectionClose)
    assert closed.reply_code == 320


def lose(talk: Conversation) -> None:
    talk.connection.lost()


def fall_silent(talk: Conversation) -> None:
    talk.connection.tick(talk.now + 1000 * SECOND_US)
    assert talk.connection.endpoint.finished


@pytest.mark.parametrize("end", [close_by_client, close_by_fault, close_by_node, lose, fall_silent])
def test_however_it_ends_everything_is_given_back_once(end: object) -> None:
    talk = Conversation()
    queue = talk.port.add("q")
    talk.say(BasicConsume(queue="q"))
    queue.answer()
    talk.heard()
    end(talk)  # type: ignore[operator]
    talk.connection.lost()
    assert queue.asked[1:] == [("release",)]
    assert talk.port.owners_deleted == ["rabbit#1/7"]


def test_exclusive_queues_are_gone_when_close_ok_is_heard() -> None:
    broker = Broker()
    owner, other = broker.client(), broker.client()
    owner.say(QueueDeclare(queue="q", exclusive=True))
    owner.endpoint.close(now=broker.now)
    broker.exchange()
    assert owner.endpoint.finished
    assert other.say(QueueDeclare(queue="q", exclusive=True)) == [QueueDeclareOk("q", 0, 0)]


@pytest.mark.parametrize("end", ["close", "fault"])
@pytest.mark.parametrize("gone_at_last", [True, False])
def test_last_words_wait_for_exclusive_queues(end: str, gone_at_last: bool) -> None:
    """A client that has heard them may declare the queues anew, through whatever node."""
    talk = Conversation()
    talk.port.keeps_owned = True
    if end == "close":
        talk.client.close(now=talk.now)
        talk.connection.receive(talk.client.take_bytes(talk.now), talk.now)
    else:
        talk.say(ChannelOpen())
    talk.connection.tick(talk.now + LAST_WORDS_US - 1)
    assert (talk.heard(), talk.connection.finished) == ([], False)
    before = talk.dirty
    if gone_at_last:
        talk.port.owned_gone[0]()
        assert talk.dirty == before + 1
    else:
        talk.connection.tick(talk.now + LAST_WORDS_US)
    (last,) = talk.heard()
    assert isinstance(last, ConnectionCloseOk if end == "close" else ConnectionClose)
    assert talk.connection.finished is (end == "close")


def test_queues_that_go_after_the_link_trouble_nobody() -> None:
    talk = Conversation()
    talk.port.keeps_owned = True
    talk.connection.lost()
    before = talk.dirty
    talk.port.owned_gone[0]()
    assert talk.dirty == before


def test_nothing_is_said_after_the_end() -> None:
    talk = Conversation()
    queue = talk.port.add("q")
    talk.say(ConfirmSelect())
    talk.publish("q", b"a")
    talk.say(BasicConsume(queue="q", consumer_tag="t"))
    close_by_client(talk)
    queue.answer(QueueReply())
    receipt = queue.published[0][1]
    assert receipt is not None
    receipt.settled()
    queue.subscribers[0].deliver(queue.lease, [1], [(ROUTE, content())], False)
    assert talk.heard() == []


# --- heartbeats -----------------------------------------------------------------------------------


def test_a_heartbeat_is_sent_where_nothing_else_is() -> None:
    talk = Conversation()
    interval_us = talk.connection.endpoint.heartbeat_s * SECOND_US
    talk.connection.tick(talk.now + interval_us // 2)
    assert talk.connection.take_bytes(talk.now) == HEARTBEAT_FRAME
    talk.connection.send_method(1, BasicQosOk())
    talk.connection.tick(talk.now + 2 * interval_us)
    assert [method.name for method in talk.heard()] == ["basic.qos-ok"]


def test_a_node_gives_up_a_client_that_fell_silent() -> None:
    broker = Broker()
    silent = broker.client(heartbeat_s=10)
    watcher = broker.client(heartbeat_s=0)
    silent.say(QueueDeclare(queue="q", exclusive=True))
    broker.now += 19 * SECOND_US
    broker.step(TimerFired("tick"))
    assert not silent.gone
    broker.now += 2 * SECOND_US
    broker.step(TimerFired("tick"))
    assert (silent.gone, watcher.gone) == (True, False)
    assert watcher.say(QueueDeclare(queue="q")) == [QueueDeclareOk("q", 0, 0)]


# --- back-pressure --------------------------------------------------------------------------------


def test_it_tells_when_too_much_waits_for_its_turn() -> None:
    talk = Conversation()
    queue = talk.port.add("q")
    talk.say(BasicGet(queue="q"), *[BasicQos()] * BACKLOG_COMMANDS_MAX)
    assert not talk.connection.backlog_exceeds()
    talk.say(BasicQos())
    assert talk.connection.backlog_exceeds()
    queue.get_replies[0](GetReply(), queue.lease)
    assert not talk.connection.backlog_exceeds()
    assert len(talk.heard()) == BACKLOG_COMMANDS_MAX + 2


def test_channels_that_are_closed_are_forgotten() -> None:
    talk = Conversation()
    queue = talk.port.add("q")
    assert talk.connection.channel_count == 1
    talk.say(BasicAck(delivery_tag=9))
    assert talk.connection.channel_count == 0
    talk.say(ChannelCloseOk(), ChannelOpen(), ChannelClose(200, "bye"))
    assert talk.connection.channel_count == 0
    talk.say(ChannelOpen(), BasicGet(queue="q"), ChannelClose(200, "bye"))
    assert talk.connection.channel_count == 1
    queue.get_replies[0](GetReply(), queue.lease)
    assert talk.connection.channel_count == 0


def test_what_waits_on_all_channels_counts() -> None:
    talk = Conversation()
    talk.port.add("q")
    for channel in (2, 3):
        talk.say(ChannelOpen(), channel=channel)
    for channel in (1, 2, 3):
        talk.say(BasicGet(queue="q"), *[BasicQos()] * (BACKLOG_COMMANDS_MAX // 3), channel=channel)
    assert not talk.connection.backlog_exceeds()
    talk.say(*[BasicQos()] * 2, channel=3)
    assert talk.connection.backlog_exceeds()


def test_the_bytes_of_what_waits_count() -> None:
    talk = Conversation()
    queue = talk.port.add("q")
    talk.say(BasicGet(queue="q"))
    talk.publish("q", b"x" * (BACKLOG_BYTES_MAX // 2))
    assert not talk.connection.backlog_exceeds()
    talk.publish("q", b"x" * (BACKLOG_BYTES_MAX // 2))
    assert talk.connection.backlog_exceeds()
    queue.get_replies[0](GetReply(), queue.lease)
    assert not talk.connection.backlog_exceeds()
    assert len(queue.published) == 2


def test_a_run_of_publishes_counts_as_one_that_waits() -> None:
    talk = Conversation()
    talk.port.add("q")
    talk.say(BasicGet(queue="q"))
    talk.publish("q", *[b""] * (2 * BACKLOG_COMMANDS_MAX))
    assert not talk.connection.backlog_exceeds()


def test_it_tells_who_publishes() -> None:
    talk = Conversation()
    talk.say(QueueDeclare(queue="q"))
    assert not talk.connection.publishes
    talk.publish("q", b"a")
    assert talk.connection.publishes


def test_the_node_hears_that_there_is_something_to_send() -> None:
    talk = Conversation()
    queue = talk.port.add("q")
    talk.say(ConfirmSelect())
    talk.publish("q", b"a")
    receipt = queue.published[0][1]
    assert receipt is not None
    talk.say(BasicConsume(queue="q", consumer_tag="t"))
    before = talk.dirty
    queue.answer()
    after_answer = talk.dirty
    receipt.settled()
    after_confirm = talk.dirty
    queue.subscribers[0].deliver(queue.lease, [1], [(ROUTE, content())], False)
    assert before < after_answer < after_confirm < talk.dirty
    names = [method.name for method in talk.heard()]
    assert sorted(names) == ["basic.ack", "basic.consume-ok", "basic.deliver"]


def test_a_channel_opened_for_a_client_that_does_not_read_is_paused() -> None:
    talk = Conversation()
    queue = talk.port.add("q")
    talk.connection.pause_deliveries(True)
    talk.say(ChannelOpen(), channel=2)
    talk.say(BasicConsume(queue="q", consumer_tag="t"), channel=2)
    assert queue.asked == [("subscribe", 1, 0, False), ("pause", 1, True)]


def test_a_reader_that_is_slow_again_and_again() -> None:
    talk = Conversation()
    queue = talk.port.add("q")
    talk.say(BasicConsume(queue="q", consumer_tag="t"))
    queue.answer()
    for paused in (True, False, True):
        talk.connection.pause_deliveries(paused)
    assert queue.asked[1:] == [("pause", 1, True), ("pause", 1, False), ("pause", 1, True)]


# --- deliveries that nobody settles ---------------------------------------------------------------


def test_a_delivery_that_is_not_settled_in_time_closes_its_channel() -> None:
    talk = Conversation(consumer_timeout_ms=5000)
    queue = talk.port.add("q")
    talk.say(ChannelOpen(), channel=2)
    talk.say(BasicGet(queue="q"))
    queue.get_replies[0](GetReply(None, 1, False, (ROUTE, content()), 0), queue.lease)
    talk.heard()
    for second in range(7):
        talk.connection.tick(talk.now + second * SECOND_US)
        heard = talk.heard_on()
        assert bool(heard) == (second == 6)
    (on, method) = heard[0]
    assert (on, closed_with([method])) == (
        1,
        (
            406,
            "PRECONDITION_FAILED - delivery acknowledgement on channel 1 timed out. "
            "Timeout value used: 5000 ms. This timeout value can be configured, "
            "see consumers doc guide to learn more",
            0,
            0,
        ),
    )
    assert queue.asked[-1] == ("release",)
    talk.connection.tick(talk.now + 20 * SECOND_US)
    assert talk.heard() == []
    assert talk.say(BasicQos(), channel=2) == [BasicQosOk()]


def test_a_delivery_may_wait_half_an_hour_unless_the_node_is_told_otherwise() -> None:
    broker = Broker()
    client = broker.client()
    client.say(QueueDeclare(queue="q"))
    client.publish("q", b"x")
    client.say(BasicGet(queue="q"))
    broker.step(TimerFired("tick"))
    broker.now += 1800 * SECOND_US
    broker.step(TimerFired("tick"))
    assert client.taken() == []
    broker.now += 2 * SECOND_US
    broker.step(TimerFired("tick"))
    assert closed_with(client.taken())[0] == 406


def test_a_message_beyond_the_node_s_limit_closes_its_channel() -> None:
    broker = Broker(max_message_size_bytes=3)
    client = broker.client()
    client.publish("nobody", b"abc", b"abcd")
    assert closed_with(client.taken()) == (
        406,
        "PRECONDITION_FAILED - message size 4 is larger than configured max size 3",
        60,
        40,
    )
