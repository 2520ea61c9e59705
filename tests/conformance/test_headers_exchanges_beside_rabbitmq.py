"""Exchanges of type headers and x-consistent-hash: what goes where, as in RabbitMQ 3.10."""

from __future__ import annotations

from typing import Any

import pytest
from support.beside import Beside, Scenarios
from support.stages import Stage

from rabbitry.wire.methods import (
    BasicGet,
    BasicProperties,
    ConfirmSelect,
    ExchangeBind,
    ExchangeDeclare,
    QueueBind,
    QueueDeclare,
    QueueDelete,
    QueueUnbind,
)
from rabbitry.wire.values import FieldValue, SignedLong, Timestamp, UnsignedByte

pytestmark = [pytest.mark.processes, pytest.mark.slow]

scenario = Scenarios()


def _matched(stage: Stage, arguments: dict[str, FieldValue], *headers: Any) -> None:
    """Bind with these arguments, publish with each of these headers, tell which arrive."""
    client = stage.with_exchange("headers")
    client.ask(QueueBind(queue=stage.queue, exchange=stage.exchange, arguments=arguments))
    for number, one in enumerate(headers):
        properties = BasicProperties(headers=one)
        body = str(number).encode()
        client.publish("k", body, exchange=stage.exchange, properties=properties)
    client.ask(*[BasicGet(queue=stage.queue, no_ack=True)] * (len(headers) + 1))


SOME = ({"a": 1}, {"a": 1, "b": 2}, {"a": 2, "b": 2}, {"a": 1, "b": 2, "c": 3}, {}, None)


@scenario.each(all="all", any="any", all_with_x="all-with-x", any_with_x="any-with-x")
def headers_match(stage: Stage, value: str) -> None:
    _matched(stage, {"x-match": value, "a": 1, "b": 2}, *SOME)


@scenario.each(all="all", any="any", all_with_x="all-with-x", any_with_x="any-with-x")
def headers_that_begin_with_x(stage: Stage, value: str) -> None:
    arguments = {"x-match": value, "a": 1, "x-b": 2}
    _matched(stage, arguments, {"a": 1}, {"a": 1, "x-b": 2}, {"a": 1, "x-b": 3}, {"x-b": 2})


@scenario.each(all="all", any="any")
def headers_match_nothing_asked_for(stage: Stage, value: str) -> None:
    _matched(stage, {"x-match": value}, *SOME)


@scenario
def headers_match_all_where_nothing_is_said(stage: Stage) -> None:
    _matched(stage, {"a": 1, "b": 2}, *SOME)


@scenario
def headers_match_without_arguments(stage: Stage) -> None:
    _matched(stage, {}, *SOME)


@scenario
def headers_match_presence(stage: Stage) -> None:
    _matched(stage, {"a": None}, {"a": 1}, {"a": "x"}, {"a": None}, {"b": 1}, {"a": {}})


@scenario
def headers_match_by_type_and_value(stage: Stage) -> None:
    values: tuple[FieldValue, ...] = (
        1,
        "1",
        True,
        1.0,
        SignedLong(1),
        UnsignedByte(1),
        Timestamp(1),
        [1],
        b"1",
    )
    _matched(stage, {"a": 1}, *[{"a": value} for value in values])


@scenario
def headers_match_tables_and_lists(stage: Stage) -> None:
    arguments = {"l": [1, 2], "t": {"x": 1, "y": 2}}
    _matched(
        stage,
        arguments,
        {"l": [1, 2], "t": {"x": 1, "y": 2}},
        {"l": [2, 1], "t": {"x": 1, "y": 2}},
        {"l": [1, 2], "t": {"y": 2, "x": 1}},
    )


@scenario
def headers_match_text_by_case(stage: Stage) -> None:
    _matched(stage, {"a": "Text"}, {"a": "Text"}, {"a": "text"}, {"A": "Text"}, {"a": "Text "})


@scenario.each(unknown="some", number=1, empty="", capital="All")
def headers_binding_of_an_unknown_match(stage: Stage, value: FieldValue) -> None:
    client = stage.with_exchange("headers")
    arguments = {"x-match": value, "a": 1}
    client.ask(QueueBind(queue=stage.queue, exchange=stage.exchange, arguments=arguments))


@scenario
def headers_exchange_ignores_routing_keys(stage: Stage) -> None:
    client = stage.with_exchange("headers")
    bind = QueueBind(0, stage.queue, stage.exchange, "this", arguments={"a": 1})
    client.ask(bind)
    properties = BasicProperties(headers={"a": 1})
    client.publish("that", b"a", exchange=stage.exchange, properties=properties)
    client.ask(BasicGet(queue=stage.queue, no_ack=True))


@scenario
def headers_exchange_returns_what_does_not_match(stage: Stage) -> None:
    client = stage.with_exchange("headers")
    client.ask(QueueBind(queue=stage.queue, exchange=stage.exchange, arguments={"a": 1}))
    properties = BasicProperties(headers={"a": 2})
    client.publish("k", b"a", exchange=stage.exchange, properties=properties, mandatory=True)
    client.hear()


@scenario
def headers_exchange_bound_to_an_exchange(stage: Stage) -> None:
    client = stage.with_exchange("headers")
    other = f"{stage.exchange}2"
    client.ask(ExchangeDeclare(exchange=other, type="fanout"))
    client.ask(ExchangeBind(destination=other, source=stage.exchange, arguments={"a": 1}))
    client.ask(QueueBind(queue=stage.queue, exchange=other))
    client.publish("k", b"a", exchange=stage.exchange, properties=BasicProperties(headers={"a": 1}))
    client.publish("k", b"b", exchange=stage.exchange, properties=BasicProperties(headers={"a": 2}))
    client.ask(*[BasicGet(queue=stage.queue, no_ack=True)] * 2)


@scenario
def headers_bindings_unbound_one_by_one(stage: Stage) -> None:
    client = stage.with_exchange("headers")
    for arguments in ({"a": 1}, {"b": 1}):
        client.ask(QueueBind(queue=stage.queue, exchange=stage.exchange, arguments=arguments))
    client.ask(QueueUnbind(queue=stage.queue, exchange=stage.exchange, arguments={"a": 1}))
    for headers in ({"a": 1}, {"b": 1}):
        properties = BasicProperties(headers=headers)
        client.publish("k", b"m", exchange=stage.exchange, properties=properties)
    client.ask(*[BasicGet(queue=stage.queue, no_ack=True)] * 2)


# --- consistent hashing ---------------------------------------------------------------------------

HASH = "x-consistent-hash"


@scenario.each(zero="0", negative="-1", text="many", empty="", fraction="1.5")
def weight_of_a_hash_binding(stage: Stage, value: str) -> None:
    client = stage.with_exchange(HASH)
    client.ask(QueueBind(queue=stage.queue, exchange=stage.exchange, routing_key=value))


@scenario
def hash_of_one_queue(stage: Stage) -> None:
    client = stage.with_exchange(HASH)
    client.ask(QueueBind(queue=stage.queue, exchange=stage.exchange, routing_key="1"))
    for key in ("a", "b", ""):
        client.publish(key, b"m", exchange=stage.exchange, mandatory=True)
    client.ask(*[BasicGet(queue=stage.queue, no_ack=True)] * 4)


@scenario
def hash_of_no_queue(stage: Stage) -> None:
    client = stage.with_exchange(HASH)
    client.publish("a", b"m", exchange=stage.exchange, mandatory=True)
    client.hear()


@scenario.each(
    both={"hash-header": "h", "hash-property": "message_id"},
    unknown={"hash-property": "content_type"},
    header={"hash-header": "h"},
    message_id={"hash-property": "message_id"},
    correlation_id={"hash-property": "correlation_id"},
    timestamp={"hash-property": "timestamp"},
)
def hash_exchange_declared_with(stage: Stage, value: dict[str, FieldValue]) -> None:
    stage.client().ask(ExchangeDeclare(exchange=stage.exchange, type=HASH, arguments=value))


@scenario
def hash_of_a_key_is_always_of_one_queue(stage: Stage) -> None:
    """Which queue is not compared, but that it is one: all of a key, or none, are in each."""
    client = stage.with_exchange(HASH)
    queues = [f"{stage.queue}{number}" for number in range(3)]
    for queue in queues:
        client.ask(QueueDeclare(queue=queue))
        client.ask(QueueBind(queue=queue, exchange=stage.exchange, routing_key="10"))
    client.ask(ConfirmSelect())
    client.publish("one key", *[b"m"] * 5, exchange=stage.exchange)
    client.confirms(5)
    counts = []
    for queue in queues:
        client.send(QueueDelete(queue=queue))
        counts.append(client.take_method().message_count)
    client.note(f"counts, sorted: {sorted(counts)}")


def test_we_answer_as_rabbitmq_does(conversation: str, beside: Beside) -> None:
    beside.compare("headers_exchanges", conversation, scenario[conversation])
