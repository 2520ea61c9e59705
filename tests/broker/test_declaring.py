"""Classes exchange and queue: what is judged at once, asked of the catalog, and answered."""

from __future__ import annotations

import pytest
from support.broker_client import Broker, Client, closed_with
from support.fake_broker import LOCKED, Conversation

from rabbitry.broker.ports import QueueReply, Refusal
from rabbitry.wire.methods import (
    BasicCancel,
    BasicConsume,
    BasicGet,
    BasicQos,
    BasicQosOk,
    ChannelClose,
    ConnectionClose,
    ExchangeBind,
    ExchangeBindOk,
    ExchangeDeclare,
    ExchangeDeclareOk,
    ExchangeDelete,
    ExchangeDeleteOk,
    ExchangeUnbind,
    ExchangeUnbindOk,
    Method,
    QueueBind,
    QueueBindOk,
    QueueDeclare,
    QueueDeclareOk,
    QueueDelete,
    QueueDeleteOk,
    QueuePurge,
    QueuePurgeOk,
    QueueUnbind,
    QueueUnbindOk,
)
from rabbitry.wire.values import encode_table

ARGUMENTS = encode_table({"n": 1})


# --- what is asked of the catalog -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "asked", "answer"),
    [
        (
            ExchangeDeclare(0, "new\r\n", "topic", False, True, True, True, False, {"n": 1}),
            ("declare_exchange", "/", "new", "topic", True, True, True, ARGUMENTS),
            ExchangeDeclareOk(),
        ),
        (
            ExchangeDelete(exchange="x\n", if_unused=True),
            ("delete_exchange", "/", "x", True),
            ExchangeDeleteOk(),
        ),
        (
            ExchangeBind(destination="d", source="x", routing_key="k", arguments={"n": 1}),
            ("bind", False, "/", "x", "exchange", "d", "k", ARGUMENTS, "rabbit#1/7"),
            ExchangeBindOk(),
        ),
        (
            ExchangeUnbind(destination="d", source="x", routing_key="k"),
            ("bind", True, "/", "x", "exchange", "d", "k", b"", "rabbit#1/7"),
            ExchangeUnbindOk(),
        ),
        (
            QueueBind(queue="q", exchange="x", routing_key="k", arguments={"n": 1}),
            ("bind", False, "/", "x", "queue", "q", "k", ARGUMENTS, "rabbit#1/7"),
            QueueBindOk(),
        ),
        (
            QueueUnbind(queue="q\n", exchange="x\n", routing_key=""),
            ("bind", True, "/", "x", "queue", "q", "", b"", "rabbit#1/7"),
            QueueUnbindOk(),
        ),
    ],
)
def test_wishes(said: Method, asked: tuple[object, ...], answer: Method) -> None:
    talk = Conversation()
    assert talk.say(said, BasicQos()) == []  # what follows waits
    assert talk.port.asked == [asked]
    talk.port.answer()
    assert talk.heard() == [answer, BasicQosOk()]


@pytest.mark.parametrize(
    "said",
    [
        ExchangeDeclare(exchange="new", no_wait=True),
        ExchangeDelete(exchange="x", no_wait=True),
        ExchangeBind(destination="d", source="x", no_wait=True),
        ExchangeUnbind(destination="d", source="x", no_wait=True),
        QueueBind(queue="q", exchange="x", no_wait=True),
        QueueDeclare(queue="q", no_wait=True),
    ],
)
def test_wishes_without_an_answer_still_keep_their_order_and_may_be_refused(said: Method) -> None:
    talk = Conversation()
    assert talk.say(said, BasicQos()) == []
    talk.port.answer()
    assert talk.heard() == [BasicQosOk()]
    talk.say(said)
    talk.port.answer(Refusal(406, "no"))
    text = "PRECONDITION_FAILED - no"
    assert closed_with(talk.heard()) == (406, text, said.class_id, said.method_id)


@pytest.mark.parametrize("exclusive", [False, True])
def test_a_queue_is_asked_for_and_counted(exclusive: bool) -> None:
    talk = Conversation()
    method = QueueDeclare(0, "q\r", False, True, exclusive, True, False, {"n": 1})
    talk.say(method)
    owner = "rabbit#1/7" if exclusive else ""
    # `durable` means nothing for an exclusive queue.
    assert talk.port.asked == [("declare_queue", "/", "q", not exclusive, True, owner, ARGUMENTS)]
    queue = talk.port.add("q")
    talk.port.answer()
    assert talk.heard() == []
    queue.answer(QueueReply(None, 3, 2))
    assert talk.heard() == [QueueDeclareOk("q", 3, 2)]
    talk.say(BasicGet())
    assert queue.asked == [("count", False, False), ("get", False)]


def test_a_queue_that_is_gone_again_was_declared_all_the_same() -> None:
    talk = Conversation()
    talk.say(QueueDeclare(queue="q"))
    talk.port.answer()
    assert talk.heard() == [QueueDeclareOk("q", 0, 0)]


def test_a_refused_queue_is_not_the_one_meant_later() -> None:
    talk = Conversation()
    talk.say(QueueDeclare(queue="q"))
    talk.port.answer(LOCKED)
    assert closed_with(talk.heard()) == (405, "RESOURCE_LOCKED - locked", 50, 10)


def test_an_answer_to_a_channel_that_is_gone() -> None:
    talk = Conversation()
    talk.say(QueueDeclare(queue="q"))
    talk.connection.lost()
    talk.port.answer()
    assert talk.heard() == []


def test_names_are_made_up_once() -> None:
    talk = Conversation()
    for _ in range(2):
        talk.say(QueueDeclare())
        talk.port.answer()
    names = [asked[2] for asked in talk.port.asked]
    assert all(name.startswith("amq.gen-") for name in names)
    assert len(set(names)) == 2


@pytest.mark.parametrize(
    ("said", "asked", "answer"),
    [
        (QueuePurge(queue="q"), ("purge", False, False), QueuePurgeOk(5)),
        (QueueDelete(0, "q", True, False), ("delete", True, False), QueueDeleteOk(5)),
        (QueueDelete(0, "q\n", False, True), ("delete", False, True), QueueDeleteOk(5)),
        (QueueDeclare(queue="q", passive=True), ("count", False, False), QueueDeclareOk("q", 5, 1)),
    ],
)
def test_questions(said: Method, asked: tuple[object, ...], answer: Method) -> None:
    talk = Conversation()
    queue = talk.port.add("q")
    assert talk.say(said, BasicQos()) == []
    assert queue.asked == [asked]
    queue.answer(QueueReply(None, 5, 1))
    assert talk.heard() == [answer, BasicQosOk()]
    talk.say(said)
    queue.answer(QueueReply(Refusal(406, "no")))
    assert closed_with(talk.heard())[:2] == (406, "PRECONDITION_FAILED - no")


@pytest.mark.parametrize(
    "said",
    [QueuePurge(queue="q", no_wait=True), QueueDelete(queue="q", no_wait=True)],
)
def test_questions_without_an_answer(said: Method) -> None:
    talk = Conversation()
    queue = talk.port.add("q")
    talk.say(said, BasicQos())
    queue.answer(QueueReply(None, 5, 1))
    assert talk.heard() == [BasicQosOk()]


# --- what is judged at once -----------------------------------------------------------------------

DEFAULT = (403, "ACCESS_REFUSED - operation not permitted on the default exchange")
UNDECLARED = (404, "NOT_FOUND - no previously declared queue")
NO_QUEUE = (404, "NOT_FOUND - no queue 'none' in vhost '/'")
RESERVED = "contains reserved prefix 'amq.*'"


@pytest.mark.parametrize(
    ("said", "fault"),
    [
        (ExchangeDeclare(exchange=""), DEFAULT),
        (ExchangeDeclare(exchange="", passive=True), DEFAULT),
        (ExchangeDelete(exchange=""), DEFAULT),
        (ExchangeBind(destination="", source="x"), DEFAULT),
        (ExchangeBind(destination="x", source=""), DEFAULT),
        (ExchangeUnbind(destination="x", source=""), DEFAULT),
        (QueueBind(queue="q", exchange=""), DEFAULT),
        (QueueUnbind(queue="q", exchange=""), DEFAULT),
        (
            ExchangeDeclare(exchange="amq.new"),
            (403, f"ACCESS_REFUSED - exchange name 'amq.new' {RESERVED}"),
        ),
        (
            QueueDeclare(queue="amq.new"),
            (403, f"ACCESS_REFUSED - queue name 'amq.new' {RESERVED}"),
        ),
        (
            ExchangeDelete(exchange="amq.topic"),
            (
                403,
                "ACCESS_REFUSED - deletion of system exchange 'amq.topic' in vhost '/' not allowed",
            ),
        ),
        (
            ExchangeDeclare(exchange="none", passive=True),
            (404, "NOT_FOUND - no exchange 'none' in vhost '/'"),
        ),
        (QueueDeclare(queue="none", passive=True), NO_QUEUE),
        (QueuePurge(queue="none"), NO_QUEUE),
        (QueueDeclare(passive=True), (404, "NOT_FOUND - no queue '' in vhost '/'")),
        (QueueBind(exchange="x"), UNDECLARED),
        (QueueUnbind(exchange="x"), UNDECLARED),
        (QueuePurge(), UNDECLARED),
        (QueueDelete(), UNDECLARED),
        (
            ExchangeDeclare(exchange="new", arguments={"alternate-exchange": 5}),
            (
                406,
                "PRECONDITION_FAILED - invalid type 'signedint' for arg 'alternate-exchange' in "
                "exchange 'new' in vhost '/'",
            ),
        ),
        (QueueDeclare(queue="locked", passive=True), (405, "RESOURCE_LOCKED - locked")),
        (QueuePurge(queue="locked"), (405, "RESOURCE_LOCKED - locked")),
        (QueueDelete(queue="locked"), (405, "RESOURCE_LOCKED - locked")),
    ],
)
def test_what_closes_the_channel(said: Method, fault: tuple[int, str]) -> None:
    talk = Conversation()
    talk.port.add("locked", owner="somebody")
    assert closed_with(talk.say(said)) == (*fault, said.class_id, said.method_id)
    assert talk.port.asked == []


@pytest.mark.parametrize(
    ("said", "code", "text"),
    [
        (
            ExchangeDeclare(exchange="new", type="x-random"),
            503,
            "COMMAND_INVALID - unknown exchange type 'x-random'",
        ),
        (ExchangeDeclare(exchange="", type="x-random"), 503, "unknown exchange type"),
        (ExchangeDeclare(exchange="new", type=""), 503, "invalid exchange type ''"),
        (
            QueueDeclare(queue="q", durable=True, arguments={"x-queue-type": "stream"}),
            541,
            "INTERNAL_ERROR - Cannot declare a queue 'queue 'q' in vhost '/'' of type "
            "'rabbit_stream_queue' on node 'rabbit': the corresponding feature flag is disabled",
        ),
    ],
)
def test_what_closes_the_connection(said: Method, code: int, text: str) -> None:
    talk = Conversation()
    (closed,) = talk.say(said)
    assert isinstance(closed, ConnectionClose)
    assert closed.reply_code == code
    assert text in closed.reply_text
    assert talk.port.asked == []


def test_the_classic_type_is_what_queues_are() -> None:
    talk = Conversation()
    assert talk.say(QueueDeclare(queue="q", arguments={"x-queue-type": "classic"})) == []
    assert len(talk.port.asked) == 1


def test_reserved_names_can_be_used_once_they_are_there() -> None:
    talk = Conversation()
    talk.port.exchanges["amq.x"] = talk.port.exchanges["x"]
    talk.port.add("amq.q")
    talk.say(ExchangeDeclare(exchange="amq.x"))
    talk.port.answer()
    assert talk.heard() == [ExchangeDeclareOk()]
    # Not those of queues, unless it is passive.
    assert closed_with(talk.say(QueueDeclare(queue="amq.q")))[:2] == (
        403,
        "ACCESS_REFUSED - queue name 'amq.q' contains reserved prefix 'amq.*'",
    )


def test_deleting_what_is_not_there_succeeds() -> None:
    talk = Conversation()
    assert talk.say(QueueDelete(queue="none")) == [QueueDeleteOk(0)]
    assert talk.say(QueueDelete(queue="none", no_wait=True), BasicQos()) == [BasicQosOk()]


def test_a_passive_declaration_looks_only() -> None:
    talk = Conversation()
    assert talk.say(ExchangeDeclare(exchange="x", type="nonsense", passive=True)) == [
        ExchangeDeclareOk()
    ]
    said = ExchangeDeclare(exchange="x", passive=True, no_wait=True)
    assert talk.say(said, BasicQos()) == [BasicQosOk()]
    talk.port.add("q")
    said_of_queue = QueueDeclare(queue="q", passive=True, no_wait=True)
    assert talk.say(said_of_queue, BasicQos()) == [BasicQosOk()]
    assert talk.port.asked == []


@pytest.mark.parametrize(
    ("said", "key"),
    [
        (QueueBind(exchange="x"), "q"),
        (QueueBind(exchange="x", routing_key="k"), "k"),
        (QueueBind(queue="q", exchange="x"), ""),
        (QueueUnbind(exchange="x"), "q"),
    ],
)
def test_the_empty_name_and_key_stand_for_the_queue_declared_last(said: Method, key: str) -> None:
    talk = Conversation()
    talk.say(QueueDeclare(queue="q"))
    talk.port.answer()
    talk.heard()
    talk.say(said)
    assert talk.port.asked[-1][5:7] == ("q", key)


# --- a whole node ---------------------------------------------------------------------------------


def routed(client: Client, exchange: str, *keys: str) -> list[bool]:
    """Return for each key whether a message with it reaches a queue."""
    found = []
    for key in keys:
        client.taken()
        client.publish(key, b"m", exchange=exchange, mandatory=True)
        found.append(client.taken() == [])
    return found


@pytest.mark.parametrize(
    ("kind", "keys", "reached"),
    [
        ("direct", ["k", "other", ""], [True, False, False]),
        ("fanout", ["k", "other", ""], [True, True, True]),
        ("topic", ["k", "k.more", ""], [True, False, False]),
    ],
)
def test_messages_find_their_way_until_they_are_unbound(
    kind: str, keys: list[str], reached: list[bool]
) -> None:
    client = Broker().client()
    assert client.say(
        ExchangeDeclare(exchange="e", type=kind),
        QueueDeclare(queue="q"),
        QueueBind(queue="q", exchange="e", routing_key="k"),
    ) == [ExchangeDeclareOk(), QueueDeclareOk("q", 0, 0), QueueBindOk()]
    assert routed(client, "e", *keys) == reached
    client.say(QueueUnbind(queue="q", exchange="e", routing_key="k"))
    assert routed(client, "e", *keys) == [False] * len(keys)


def test_exchanges_lead_to_exchanges() -> None:
    client = Broker().client()
    client.say(
        ExchangeDeclare(exchange="outer", type="fanout"),
        ExchangeDeclare(exchange="inner", type="topic", internal=True),
        QueueDeclare(queue="q"),
        QueueBind(queue="q", exchange="inner", routing_key="a.*"),
        ExchangeBind(destination="inner", source="outer"),
    )
    assert routed(client, "outer", "a.b", "b") == [True, False]
    client.say(ExchangeUnbind(destination="inner", source="outer"))
    assert routed(client, "outer", "a.b") == [False]


def test_counts() -> None:
    client = Broker().client()
    client.say(QueueDeclare(queue="q"))
    client.publish("q", b"a", b"b", b"c")
    assert client.say(QueueDeclare(queue="q")) == [QueueDeclareOk("q", 3, 0)]
    client.say(BasicGet(queue="q"))
    assert client.say(QueueDeclare(queue="q", passive=True)) == [QueueDeclareOk("q", 2, 0)]
    assert client.say(QueuePurge(queue="q")) == [QueuePurgeOk(2)]
    client.publish("q", b"d")
    assert client.say(QueueDelete(queue="q")) == [QueueDeleteOk(1)]


def test_delete_if_unused_and_if_empty() -> None:
    broker = Broker()
    client, other = broker.client(), broker.client()
    client.say(QueueDeclare(queue="q"))
    client.publish("q", b"a")
    text = "PRECONDITION_FAILED - queue 'q' in vhost '/' not empty"
    assert closed_with(client.say(QueueDelete(queue="q", if_empty=True)))[:2] == (406, text)
    client.open(1)
    other.say(BasicConsume(queue="q", consumer_tag="t"))
    text = "PRECONDITION_FAILED - queue 'q' in vhost '/' in use"
    assert closed_with(client.say(QueueDelete(queue="q", if_unused=True)))[:2] == (406, text)
    other.say(BasicCancel("t"))
    client.open(1)
    both = QueueDelete(queue="q", if_unused=True, if_empty=True)
    assert client.say(both) == [QueueDeleteOk(0)]


def test_a_queue_that_is_neither_unused_nor_empty_is_not_empty_first_of_all() -> None:
    client = Broker().client()
    client.say(QueueDeclare(queue="q"))
    client.publish("q", b"a", b"b")
    client.say(BasicQos(prefetch_count=1), BasicConsume(queue="q"))
    both = QueueDelete(queue="q", if_unused=True, if_empty=True)
    text = "PRECONDITION_FAILED - queue 'q' in vhost '/' not empty"
    assert closed_with(client.say(both))[:2] == (406, text)


def test_an_exclusive_queue_is_its_connections_own() -> None:
    broker = Broker()
    owner, other = broker.client(), broker.client()
    owner.say(QueueDeclare(queue="q", exclusive=True))
    for said in (
        QueueDeclare(queue="q", exclusive=True),
        QueueDeclare(queue="q", passive=True),
        QueueBind(queue="q", exchange="amq.direct"),
        QueueDelete(queue="q"),
        BasicConsume(queue="q"),
    ):
        assert closed_with(other.say(said))[0] == 405
        other.open(1)
    owner.open(2)
    assert owner.say(QueuePurge(queue="q"), channel=2) == [QueuePurgeOk(0)]
    owner.disconnect()
    assert other.say(QueueDeclare(queue="q")) == [QueueDeclareOk("q", 0, 0)]


def test_an_auto_delete_queue_goes_with_its_last_consumer() -> None:
    client = Broker().client()
    client.say(QueueDeclare(queue="q", auto_delete=True))
    client.say(BasicConsume(queue="q", consumer_tag="a"), BasicConsume(0, "q", "b"))
    client.say(BasicCancel("a"))
    assert client.say(QueueDeclare(queue="q", passive=True)) == [QueueDeclareOk("q", 0, 1)]
    client.say(BasicCancel("b"))
    assert closed_with(client.say(QueueDeclare(queue="q", passive=True)))[0] == 404


def test_an_auto_delete_queue_goes_with_the_channel_of_its_last_consumer() -> None:
    client = Broker().client()
    client.open(2)
    client.say(QueueDeclare(queue="q", auto_delete=True), BasicConsume(queue="q"))
    client.say(ChannelClose(200, "bye"))
    assert closed_with(client.say(QueueDeclare(queue="q", passive=True), channel=2))[0] == 404


def test_an_auto_delete_exchange_goes_with_its_last_binding() -> None:
    client = Broker().client()
    client.say(
        ExchangeDeclare(exchange="e", type="fanout", auto_delete=True),
        QueueDeclare(queue="q"),
        QueueBind(queue="q", exchange="e"),
    )
    client.say(QueueDelete(queue="q"))
    assert closed_with(client.say(ExchangeDeclare(exchange="e", passive=True)))[0] == 404


def test_what_one_declares_others_see() -> None:
    broker = Broker()
    one, other = broker.client(), broker.client()
    one.say(QueueDeclare(queue="q"), ExchangeDeclare(exchange="e"))
    assert other.say(QueueDeclare(queue="q", passive=True)) == [QueueDeclareOk("q", 0, 0)]
    assert other.say(ExchangeDelete(exchange="e")) == [ExchangeDeleteOk()]
    assert closed_with(one.say(ExchangeDeclare(exchange="e", passive=True)))[0] == 404


def test_a_queue_declared_otherwise() -> None:
    client = Broker().client()
    client.say(QueueDeclare(queue="q", durable=True))
    assert closed_with(client.say(QueueDeclare(queue="q"))) == (
        406,
        "PRECONDITION_FAILED - inequivalent arg 'durable' for queue 'q' in vhost '/': "
        "received 'false' but current is 'true'",
        50,
        10,
    )
