"""What is published, there and back, and what is returned: as by RabbitMQ 3.10."""

from __future__ import annotations

from decimal import Decimal

import pytest
from support.beside import Beside, Scenarios
from support.stages import Stage

from rabbitry.wire.frames import content_properties
from rabbitry.wire.methods import (
    BasicConsume,
    BasicGet,
    BasicProperties,
    ChannelOpen,
    ConfirmSelect,
    QueueBind,
    QueueDeclare,
    QueueDelete,
)
from rabbitry.wire.values import (
    ByteArray,
    FieldValue,
    SignedByte,
    SignedLong,
    SignedShort,
    SingleFloat,
    Timestamp,
    UnsignedByte,
    UnsignedInt,
    UnsignedShort,
)

pytestmark = [pytest.mark.processes, pytest.mark.slow]

scenario = Scenarios()


@scenario
def returned_without_confirms(stage: Stage) -> None:
    client = stage.with_exchange("direct")
    client.publish("nobody", b"a", b"", exchange=stage.exchange, mandatory=True)
    client.hear(2)


@scenario
def bodies_of_many_frames(stage: Stage) -> None:
    client = stage.client(frame_max=4096)
    client.ask(QueueDeclare(queue=stage.queue))
    client.publish(stage.queue, b"", b"x", b"y" * 4088, b"z" * 4089, b"w" * 100_000)
    client.ask(*[BasicGet(queue=stage.queue, no_ack=True)] * 6)


@scenario
def properties_go_through(stage: Stage) -> None:
    client = stage.declared()
    properties = BasicProperties(
        content_type="text/plain",
        content_encoding="utf-8",
        headers={"a": True, "b": [1, "x"], "c": {"d": None}},
        delivery_mode=2,
        priority=3,
        correlation_id="c",
        reply_to="r",
        message_id="m",
        timestamp=1,
        type="t",
        user_id="guest",
        app_id="app",
    )
    client.publish(stage.queue, b"a", properties=properties)
    client.ask(BasicGet(queue=stage.queue, no_ack=True))


@scenario
def immediate(stage: Stage) -> None:
    client = stage.declared()
    client.publish(stage.queue, b"a", immediate=True)
    client.hear_end()


@scenario
def every_property_there_and_back(stage: Stage) -> None:
    client = stage.declared()
    properties = BasicProperties(
        content_type="a",
        content_encoding="b",
        headers={},
        delivery_mode=1,
        priority=0,
        correlation_id="",
        reply_to="e",
        expiration="100000",
        message_id="g",
        timestamp=2**63,
        type="h",
        user_id="guest",
        app_id="i",
        cluster_id="j",
    )
    client.publish(stage.queue, b"a", properties=properties)
    client.ask(BasicGet(queue=stage.queue, no_ack=True))
    client.note(f"unchanged: {content_properties(client.contents[-1]) == properties.encode()}")


@scenario.each(
    bool={"v": True, "w": False},
    signed_byte={"v": SignedByte(-128)},
    unsigned_byte={"v": UnsignedByte(255)},
    signed_short={"v": SignedShort(-32768)},
    unsigned_short={"v": UnsignedShort(65535)},
    int={"v": -(2**31)},
    unsigned_int={"v": UnsignedInt(2**32 - 1)},
    long={"v": SignedLong(-(2**63))},
    float={"v": SingleFloat(1.5)},
    double={"v": -1e300},
    decimal={"v": Decimal("1.25")},
    text={"v": "text", "empty": "", "wide": "\u00e9\u4e2d\U0001f600"},
    bytes={"v": b"\xff\x00\xfe"},
    byte_array={"v": ByteArray(b"\xff\x00")},
    timestamp={"v": Timestamp(2**64 - 1)},
    nothing={"v": None},
    list={"v": [1, "a", [True, None], {"x": 1}]},
    table={"v": {"a": {"b": {"c": {}}}}, "e": {}},
)
def field_there_and_back(stage: Stage, value: dict[str, FieldValue]) -> None:
    client = stage.declared()
    properties = BasicProperties(headers=value)
    client.publish(stage.queue, b"a", properties=properties)
    client.ask(BasicGet(queue=stage.queue, no_ack=True))
    client.note(f"unchanged: {content_properties(client.contents[-1]) == properties.encode()}")


@scenario
def headers_of_many_fields(stage: Stage) -> None:
    client = stage.declared()
    headers: dict[str, FieldValue] = {f"field-{number}": number for number in range(500)}
    properties = BasicProperties(headers=headers)
    client.publish(stage.queue, b"a", properties=properties)
    client.send(BasicGet(queue=stage.queue, no_ack=True))
    got = client.take_content()
    client.note(f"unchanged: {content_properties(got) == properties.encode()}")


@scenario.each(zero=0, one=1, full=4088, full_and_one=4089, two_full=8176, much=300_000)
def body_of_size(stage: Stage, value: int) -> None:
    client = stage.client(frame_max=4096)
    client.ask(QueueDeclare(queue=stage.queue))
    client.publish(stage.queue, b"x" * value)
    client.ask(BasicGet(queue=stage.queue, no_ack=True))


@scenario
def body_cut_otherwise_on_its_way_out(stage: Stage) -> None:
    sender, receiver = stage.declared("sender"), stage.client("receiver", frame_max=4096)
    sender.publish(stage.queue, b"x" * 20_000)
    receiver.ask(BasicConsume(queue=stage.queue, consumer_tag="c", no_ack=True), hear=2)


@scenario
def body_of_many_megabytes(stage: Stage) -> None:
    client = stage.declared()
    client.publish(stage.queue, b"x" * 5_000_000)
    client.ask(BasicGet(queue=stage.queue, no_ack=True))


@scenario
def mandatory_and_immediate(stage: Stage) -> None:
    client = stage.declared()
    client.publish("nobody", b"a", mandatory=True, immediate=True)
    client.hear_end()


@scenario
def returned_with_its_properties(stage: Stage) -> None:
    client = stage.client()
    properties = BasicProperties(headers={"a": 1}, delivery_mode=2, user_id="guest")
    client.publish("nobody", b"a", b"b" * 200_000, mandatory=True, properties=properties)
    client.hear(2)


@scenario
def published_to_a_queue_that_was_deleted(stage: Stage) -> None:
    client = stage.declared()
    client.ask(QueueDelete(queue=stage.queue))
    client.publish(stage.queue, b"a", mandatory=True)
    client.hear()


@scenario
def published_with_a_routing_key_of_any_bytes(stage: Stage) -> None:
    client = stage.declared()
    client.ask(QueueBind(queue=stage.queue, exchange="amq.direct", routing_key="\u00e9 \t.\u4e2d"))
    client.publish("\u00e9 \t.\u4e2d", b"a", exchange="amq.direct")
    client.ask(BasicGet(queue=stage.queue, no_ack=True))


# --- who sends ------------------------------------------------------------------------------------


@scenario.each(other="somebody", empty="", case="Guest")
def user_id_that_is_not_the_user(stage: Stage, value: str) -> None:
    client = stage.declared()
    client.publish(stage.queue, b"a", properties=BasicProperties(user_id=value))
    client.hear()


@scenario
def user_id_that_is_not_the_user_where_nothing_is_bound(stage: Stage) -> None:
    client = stage.client()
    client.publish("nobody", b"a", properties=BasicProperties(user_id="somebody"))
    client.hear()


@scenario
def user_id_and_expiration_both_wrong(stage: Stage) -> None:
    client = stage.client()
    client.publish("q", b"a", properties=BasicProperties(user_id="x", expiration="y"))
    client.hear()


@scenario
def user_id_wrong_and_no_exchange(stage: Stage) -> None:
    client = stage.client()
    properties = BasicProperties(user_id="x")
    client.publish("q", b"a", exchange=stage.exchange, properties=properties)
    client.hear()


# --- CC and BCC -----------------------------------------------------------------------------------


def _copied(stage: Stage, headers: dict[str, FieldValue], *, exchange: str = "") -> None:
    """Publish to queue 0 with these headers, in which `1` stands for queue 1; tell what arrives."""
    client = stage.client()
    names = [f"{stage.queue}{number}" for number in range(3)]
    for name in names:
        client.ask(QueueDeclare(queue=name))

    def named(value: FieldValue) -> FieldValue:
        if isinstance(value, list):
            return [named(one) for one in value]
        return names[int(value)] if value in ("0", "1", "2") else value

    properties = BasicProperties(headers={name: named(value) for name, value in headers.items()})
    client.publish(names[0], b"a", properties=properties, mandatory=True)
    client.ask(QueueDeclare(queue=f"{stage.queue}.after"))
    if client.heard[-1].name != "channel.close":
        for name in names:
            client.ask(*[BasicGet(queue=name, no_ack=True)] * 2)


@scenario.each(
    cc={"CC": ["1", "2"]},
    bcc={"BCC": ["1", "2"]},
    both={"CC": ["1"], "BCC": ["2"], "mine": 1},
    twice={"CC": ["0", "1", "1"]},
    nowhere={"CC": ["nowhere"], "BCC": ["nowhere either"]},
    none={"CC": [], "BCC": []},
    small={"cc": ["1"], "Bcc": ["2"]},
)
def copies(stage: Stage, value: dict[str, FieldValue]) -> None:
    _copied(stage, value)


@scenario.each(
    text={"CC": "1"},
    number={"CC": 1},
    bcc_text={"BCC": "1"},
    list_of_numbers={"CC": [1]},
    list_of_both={"CC": ["1", 2]},
    table={"CC": {"a": "1"}},
    nothing={"CC": None},
)
def copies_that_are_no_list_of_text(stage: Stage, value: dict[str, FieldValue]) -> None:
    client = stage.declared()
    client.publish(stage.queue, b"a", properties=BasicProperties(headers=value))
    client.ask(BasicGet(queue=stage.queue, no_ack=True))
    client.ask(ChannelOpen())


@scenario
def copies_though_the_key_leads_nowhere(stage: Stage) -> None:
    client = stage.declared()
    properties = BasicProperties(headers={"BCC": [stage.queue]})
    client.publish("nowhere", b"a", properties=properties, mandatory=True)
    client.ask(BasicGet(queue=stage.queue, no_ack=True))


@scenario
def copies_through_a_topic_exchange(stage: Stage) -> None:
    client = stage.with_exchange("topic")
    client.ask(QueueBind(queue=stage.queue, exchange=stage.exchange, routing_key="a.*"))
    for headers in ({"CC": ["a.b"]}, {"BCC": ["a.b", "a.c"]}, {"CC": ["b.a"]}):
        properties = BasicProperties(headers=headers)
        client.publish("x", b"m", exchange=stage.exchange, properties=properties)
    client.ask(*[BasicGet(queue=stage.queue, no_ack=True)] * 3)


@scenario
def copies_are_confirmed_once(stage: Stage) -> None:
    client = stage.declared()
    other = f"{stage.queue}2"
    client.ask(QueueDeclare(queue=other))
    client.ask(ConfirmSelect())
    properties = BasicProperties(headers={"CC": [other]})
    client.publish(stage.queue, b"a", properties=properties)
    client.confirms(1)
    client.ask(BasicGet(queue=stage.queue), BasicGet(queue=other))


@scenario
def returned_with_copies(stage: Stage) -> None:
    client = stage.client()
    properties = BasicProperties(headers={"CC": ["nowhere"], "BCC": ["nobody"]})
    client.publish("none", b"a", properties=properties, mandatory=True)
    client.hear()


def test_we_answer_as_rabbitmq_does(conversation: str, beside: Beside) -> None:
    beside.compare("publishing", conversation, scenario[conversation])
