"""What clients do right, said to us and to RabbitMQ 3.10: the same answers, counts and flags."""

from __future__ import annotations

import pytest
from support.stages import Scenario, Stage, transcript_of

from rabbitry.wire.methods import (
    AccessRequest,
    BasicAck,
    BasicCancel,
    BasicConsume,
    BasicGet,
    BasicNack,
    BasicProperties,
    BasicQos,
    BasicRecover,
    BasicRecoverAsync,
    BasicReject,
    ChannelClose,
    ChannelOpen,
    ConfirmSelect,
    ConnectionClose,
    ExchangeBind,
    ExchangeDeclare,
    ExchangeDelete,
    ExchangeUnbind,
    QueueBind,
    QueueDeclare,
    QueueDelete,
    QueuePurge,
    QueueUnbind,
)

pytestmark = [pytest.mark.processes, pytest.mark.slow]

SCENARIOS: list[Scenario] = []


def scenario(conversation: Scenario) -> Scenario:
    SCENARIOS.append(conversation)
    return conversation


# --- queues ---------------------------------------------------------------------------------------


@scenario
def queue_counts(stage: Stage) -> None:
    client = stage.filled(b"a", b"b", b"c")
    client.ask(QueueDeclare(queue=stage.queue))
    client.ask(BasicGet(queue=stage.queue))
    client.ask(QueueDeclare(queue=stage.queue, passive=True))
    client.ask(BasicQos(prefetch_count=1))
    client.ask(BasicConsume(queue=stage.queue, consumer_tag="c"), hear=2)
    client.ask(QueueDeclare(queue=stage.queue, passive=True))
    client.ask(QueuePurge(queue=stage.queue))
    client.ask(QueuePurge(queue=stage.queue))
    client.ask(QueueDelete(queue=stage.queue), hear=2)
    client.ask(QueueDelete(queue=stage.queue))


@scenario
def delete_counts_what_is_ready(stage: Stage) -> None:
    client = stage.filled(b"a", b"b", b"c")
    client.ask(BasicGet(queue=stage.queue))
    client.ask(QueueDelete(queue=stage.queue))
    client.ask(QueueDeclare(queue=stage.queue))


@scenario
def server_named_queue_and_the_empty_name(stage: Stage) -> None:
    client = stage.client()
    client.ask(QueueDeclare(exclusive=True))
    client.ask(QueueBind(exchange="amq.direct"))
    client.ask(QueueBind(exchange="amq.direct", routing_key=stage.queue))
    client.publish(stage.queue, b"a", exchange="amq.direct")
    client.ask(BasicGet())
    client.ask(QueueUnbind(exchange="amq.direct", routing_key=stage.queue))
    client.publish(stage.queue, b"a", exchange="amq.direct", mandatory=True)
    client.hear()
    client.ask(BasicConsume(consumer_tag="c"))
    client.ask(QueuePurge())
    client.ask(QueueDelete(), hear=2)


@scenario
def declared_passively_is_the_queue_meant(stage: Stage) -> None:
    client = stage.declared()
    client.ask(QueueDeclare(queue=f"{stage.queue}2"))
    client.ask(QueueDeclare(queue=stage.queue, passive=True))
    client.publish(stage.queue, b"a")
    client.ask(BasicGet())


@scenario
def names_lose_their_line_ends(stage: Stage) -> None:
    client = stage.client()
    client.ask(QueueDeclare(queue=f"{stage.queue}\r\n"))
    client.ask(ExchangeDeclare(exchange=f"{stage.exchange}\n", type="fanout"))
    client.ask(QueueDeclare(queue=stage.queue, passive=True))
    client.ask(ExchangeDeclare(exchange=stage.exchange, passive=True))


@scenario
def nothing_is_answered_that_need_not_be(stage: Stage) -> None:
    client = stage.client()
    client.send(QueueDeclare(queue=stage.queue, no_wait=True))
    client.send(ExchangeDeclare(exchange=stage.exchange, type="fanout", no_wait=True))
    client.send(QueueBind(queue=stage.queue, exchange=stage.exchange, no_wait=True))
    client.send(ExchangeBind(destination=stage.exchange, source="amq.fanout", no_wait=True))
    client.send(ExchangeUnbind(destination=stage.exchange, source="amq.fanout", no_wait=True))
    client.send(QueuePurge(queue=stage.queue, no_wait=True), ConfirmSelect(no_wait=True))
    client.send(BasicConsume(queue=stage.queue, consumer_tag="c", no_wait=True))
    client.send(BasicCancel(consumer_tag="c", no_wait=True))
    client.ask(QueueDeclare(queue=stage.queue, passive=True))
    client.send(ExchangeDelete(exchange=stage.exchange, no_wait=True))
    client.send(QueueDelete(queue=stage.queue, no_wait=True))
    client.ask(QueueDeclare(queue=stage.queue, passive=True))


@scenario
def exclusive_queue_goes_with_its_connection(stage: Stage) -> None:
    owner = stage.client("owner")
    owner.ask(QueueDeclare(queue=stage.queue, exclusive=True))
    owner.ask(ConnectionClose(200, "bye"), channel=0)
    stage.client().ask(QueueDeclare(queue=stage.queue, passive=True))


@scenario
def auto_delete_queue_goes_with_its_last_consumer(stage: Stage) -> None:
    client = stage.client(channels=2)
    client.ask(QueueDeclare(queue=stage.queue, auto_delete=True))
    client.ask(BasicConsume(queue=stage.queue, consumer_tag="a"))
    client.ask(BasicConsume(queue=stage.queue, consumer_tag="b"))
    client.ask(BasicCancel(consumer_tag="a"))
    client.ask(QueueDeclare(queue=stage.queue, passive=True), channel=2)
    client.ask(BasicCancel(consumer_tag="b"))
    client.ask(QueueDeclare(queue=stage.queue, passive=True))


@scenario
def auto_delete_queue_without_consumers_stays(stage: Stage) -> None:
    client = stage.client()
    client.ask(QueueDeclare(queue=stage.queue, auto_delete=True))
    client.publish(stage.queue, b"a")
    client.ask(BasicGet(queue=stage.queue, no_ack=True))
    client.ask(QueueDeclare(queue=stage.queue, auto_delete=True))


# --- exchanges and routing ------------------------------------------------------------------------


def _routed(stage: Stage, kind: str, binding_keys: list[str], keys: list[str]) -> None:
    client = stage.with_exchange(kind)
    for key in binding_keys:
        client.ask(QueueBind(queue=stage.queue, exchange=stage.exchange, routing_key=key))
    for key in keys:
        client.publish(key, b"m", exchange=stage.exchange, mandatory=True)
        client.ask(BasicGet(queue=stage.queue, no_ack=True), hear=1)
        if client.heard[-1].name == "basic.return":
            client.hear()
    client.ask(QueueDeclare(queue=stage.queue))


@scenario
def direct(stage: Stage) -> None:
    _routed(stage, "direct", ["a", "b", "a"], ["a", "b", "c", ""])


@scenario
def fanout(stage: Stage) -> None:
    _routed(stage, "fanout", ["a", "b"], ["a", "nothing", ""])


@scenario
def topic(stage: Stage) -> None:
    keys = ["a.b", "a.x.b", "a", "q.w", "q.w.e", "z", "", "q.", ".b", "a.b.c", "end.x.end"]
    _routed(stage, "topic", ["a.#.b", "q.*", "#.z", "*.*.end"], keys)


@scenario
def topic_of_nothing(stage: Stage) -> None:
    _routed(stage, "topic", ["#"], ["", "a", "a.b.c"])


@scenario
def exchange_to_exchange(stage: Stage) -> None:
    client = stage.with_exchange("fanout")
    other = f"{stage.exchange}2"
    client.ask(ExchangeDeclare(exchange=other, type="topic", internal=True))
    client.ask(ExchangeBind(destination=other, source=stage.exchange, routing_key="x"))
    client.ask(QueueBind(queue=stage.queue, exchange=other, routing_key="a.*"))
    client.publish("a.b", b"1", exchange=stage.exchange)
    client.ask(BasicGet(queue=stage.queue, no_ack=True))
    client.ask(ExchangeUnbind(destination=other, source=stage.exchange, routing_key="x"))
    client.publish("a.b", b"2", exchange=stage.exchange, mandatory=True)
    client.hear()


@scenario
def auto_delete_exchange_goes_with_its_last_binding(stage: Stage) -> None:
    client = stage.declared()
    client.ask(ExchangeDeclare(exchange=stage.exchange, type="fanout", auto_delete=True))
    client.ask(QueueBind(queue=stage.queue, exchange=stage.exchange))
    client.ask(ExchangeDeclare(exchange=stage.exchange, passive=True))
    client.ask(QueueUnbind(queue=stage.queue, exchange=stage.exchange))
    client.ask(ExchangeDeclare(exchange=stage.exchange, passive=True))


@scenario
def auto_delete_exchange_goes_with_its_last_queue(stage: Stage) -> None:
    client = stage.declared()
    client.ask(ExchangeDeclare(exchange=stage.exchange, type="fanout", auto_delete=True))
    client.ask(QueueBind(queue=stage.queue, exchange=stage.exchange))
    client.ask(QueueDelete(queue=stage.queue))
    client.ask(ExchangeDeclare(exchange=stage.exchange, passive=True))


# --- publishing -----------------------------------------------------------------------------------


@scenario
def confirms(stage: Stage) -> None:
    client = stage.declared()
    client.publish(stage.queue, b"not numbered")
    client.ask(ConfirmSelect())
    client.ask(ConfirmSelect())
    client.publish(stage.queue, b"a", b"b", b"c")
    client.publish("nobody", b"dropped")
    client.confirms(4)
    client.publish(stage.queue, b"e")
    client.confirms(1)
    client.ask(QueueDeclare(queue=stage.queue))


@scenario
def return_comes_before_its_confirm(stage: Stage) -> None:
    client = stage.client()
    client.ask(ConfirmSelect())
    properties = BasicProperties(content_type="text/plain", headers={"n": 1}, delivery_mode=2)
    client.publish("nobody", b"a", mandatory=True, properties=properties)
    client.hear(2)


@scenario
def confirm_of_several_queues(stage: Stage) -> None:
    client = stage.client()
    client.ask(ExchangeDeclare(exchange=stage.exchange, type="fanout"))
    for number in range(3):
        client.ask(QueueDeclare(queue=f"{stage.queue}{number}"))
        client.ask(QueueBind(queue=f"{stage.queue}{number}", exchange=stage.exchange))
    client.ask(ConfirmSelect())
    client.publish("k", b"a", b"b", exchange=stage.exchange)
    client.confirms(2)
    for number in range(3):
        client.ask(QueueDelete(queue=f"{stage.queue}{number}"))


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


# --- consuming ------------------------------------------------------------------------------------


@scenario
def get(stage: Stage) -> None:
    client = stage.filled(b"a", b"b", b"c")
    client.ask(*[BasicGet(queue=stage.queue)] * 4)
    client.ask(BasicAck(2), BasicNack(3), BasicGet(queue=stage.queue), hear=1)
    client.ask(BasicReject(1), BasicGet(queue=stage.queue, no_ack=True), hear=1)
    client.ask(BasicNack(4, requeue=False), BasicGet(queue=stage.queue), hear=1)


@scenario
def requeued_takes_its_place(stage: Stage) -> None:
    client = stage.filled(b"a", b"b", b"c", b"d")
    client.ask(*[BasicGet(queue=stage.queue)] * 3)
    client.send(BasicReject(2), BasicNack(1))
    client.ask(*[BasicGet(queue=stage.queue)] * 3)
    client.send(BasicNack(0, multiple=True))
    client.ask(*[BasicGet(queue=stage.queue)] * 5)


@scenario
def prefetch(stage: Stage) -> None:
    client = stage.filled(b"a", b"b", b"c", b"d")
    client.ask(BasicQos(prefetch_count=2))
    client.ask(BasicConsume(queue=stage.queue, consumer_tag="c"), hear=3)
    client.ask(QueueDeclare(queue=stage.queue))
    client.ask(BasicAck(1), hear=1)
    client.ask(BasicAck(3, multiple=True), hear=1)
    client.ask(QueueDeclare(queue=stage.queue))


@scenario
def prefetch_is_of_later_consumers(stage: Stage) -> None:
    client = stage.filled(b"a", b"b", b"c")
    client.ask(BasicConsume(queue=stage.queue, consumer_tag="all"), hear=4)
    client.ask(BasicQos(prefetch_count=1))
    client.publish(stage.queue, b"d")
    client.hear()
    client.ask(QueueDeclare(queue=stage.queue))


@scenario
def cancel_keeps_what_is_owed(stage: Stage) -> None:
    client = stage.filled(b"a", b"b")
    client.ask(BasicQos(prefetch_count=1))
    client.ask(BasicConsume(queue=stage.queue, consumer_tag="c"), hear=2)
    client.ask(BasicCancel(consumer_tag="c"))
    client.ask(QueueDeclare(queue=stage.queue))
    client.ask(BasicNack(1), BasicGet(queue=stage.queue), hear=1)
    client.ask(BasicConsume(queue=stage.queue, consumer_tag="c"), hear=2)


@scenario
def consumer_is_told_that_its_queue_is_gone(stage: Stage) -> None:
    consumer = stage.client("consumer")
    other = stage.declared("other")
    consumer.ask(BasicConsume(queue=stage.queue, consumer_tag="c"))
    other.ask(QueueDelete(queue=stage.queue))
    consumer.hear()
    consumer.ask(BasicCancel(consumer_tag="c"))


@scenario
def consumer_that_does_not_understand_is_not_told(stage: Stage) -> None:
    consumer = stage.client("consumer", capabilities=())
    other = stage.declared("other")
    consumer.ask(BasicConsume(queue=stage.queue, consumer_tag="c"))
    other.ask(QueueDelete(queue=stage.queue))
    consumer.ask(BasicQos(prefetch_count=1))


@scenario
def closed_channel_gives_back(stage: Stage) -> None:
    client = stage.filled(b"a", b"b", channels=2)
    client.ask(BasicConsume(queue=stage.queue, consumer_tag="c"), hear=3)
    client.ask(ChannelClose(200, "bye"))
    client.ask(QueueDeclare(queue=stage.queue, passive=True), channel=2)
    client.ask(*[BasicGet(queue=stage.queue)] * 3, channel=2)
    client.ask(ChannelOpen())
    client.ask(BasicGet())


@scenario
def recover(stage: Stage) -> None:
    client = stage.filled(b"a", b"b", b"c")
    client.ask(*[BasicGet(queue=stage.queue)] * 2)
    client.ask(BasicRecover(requeue=True))
    client.ask(*[BasicGet(queue=stage.queue)] * 2)
    client.send(BasicRecoverAsync(requeue=True))
    client.ask(BasicGet(queue=stage.queue))


@scenario
def several_consumers_take_turns(stage: Stage) -> None:
    client = stage.declared()
    client.ask(BasicConsume(queue=stage.queue, consumer_tag="a", no_ack=True))
    client.ask(BasicConsume(queue=stage.queue, consumer_tag="b", no_ack=True))
    for body in (b"1", b"2", b"3", b"4"):
        client.publish(stage.queue, body)
        client.hear()


@scenario
def access_request(stage: Stage) -> None:
    stage.client().ask(AccessRequest())


@pytest.mark.parametrize("conversation", SCENARIOS, ids=lambda one: one.__name__)
def test_we_answer_as_rabbitmq_does(
    conversation: Scenario, rabbitry_port: int, rabbitmq_port: int
) -> None:
    theirs = transcript_of(conversation, rabbitmq_port)
    assert theirs
    assert transcript_of(conversation, rabbitry_port) == theirs
