"""Bindings of queues and exchanges, and where they lead: as in RabbitMQ 3.10."""

from __future__ import annotations

import pytest
from support.beside import Beside, Scenarios
from support.stages import Stage

from rabbitry.wire.methods import (
    BasicGet,
    ChannelOpen,
    ExchangeBind,
    ExchangeDeclare,
    ExchangeUnbind,
    QueueBind,
    QueueDeclare,
    QueueDelete,
    QueueUnbind,
)
from rabbitry.wire.values import Timestamp

pytestmark = [pytest.mark.processes, pytest.mark.slow]

scenario = Scenarios()


@scenario
def queue_bound_with_arguments(stage: Stage) -> None:
    client = stage.with_exchange("fanout")
    client.ask(QueueBind(queue=stage.queue, exchange=stage.exchange, arguments={"n": 1}))
    client.ask(QueueUnbind(queue=stage.queue, exchange=stage.exchange))
    client.publish("k", b"still bound", exchange=stage.exchange)
    client.ask(BasicGet(queue=stage.queue, no_ack=True))


@scenario
def no_queue_to_bind(stage: Stage) -> None:
    stage.client().ask(QueueBind(queue=stage.queue, exchange="amq.direct"))


@scenario
def no_exchange_to_bind_to(stage: Stage) -> None:
    stage.declared().ask(QueueBind(queue=stage.queue, exchange=stage.exchange))


@scenario
def neither_queue_nor_exchange_to_bind(stage: Stage) -> None:
    stage.client().ask(QueueBind(queue=stage.queue, exchange=stage.exchange))


@scenario
def no_exchange_to_bind_an_exchange_to(stage: Stage) -> None:
    client = stage.client()
    client.ask(ExchangeBind(destination="amq.fanout", source=stage.exchange))
    client.ask(ChannelOpen())
    client.ask(ExchangeBind(destination=stage.exchange, source="amq.fanout"))


@scenario
def default_exchange_bound(stage: Stage) -> None:
    client = stage.declared(channels=4)
    client.ask(QueueBind(queue=stage.queue, exchange=""), channel=1)
    client.ask(QueueUnbind(queue=stage.queue, exchange=""), channel=2)
    client.ask(ExchangeBind(destination="", source="amq.direct"), channel=3)
    client.ask(ExchangeUnbind(destination="amq.direct", source=""), channel=4)


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
def bound_twice_and_unbound_once(stage: Stage) -> None:
    client = stage.with_exchange("direct")
    bind = QueueBind(queue=stage.queue, exchange=stage.exchange, routing_key="k")
    client.ask(bind, bind)
    client.publish("k", b"a", exchange=stage.exchange)
    client.ask(*[BasicGet(queue=stage.queue, no_ack=True)] * 2)
    client.ask(QueueUnbind(queue=stage.queue, exchange=stage.exchange, routing_key="k"))
    client.publish("k", b"b", exchange=stage.exchange, mandatory=True)
    client.hear()


@scenario
def unbound_that_was_not_bound(stage: Stage) -> None:
    client = stage.with_exchange("direct")
    client.ask(QueueUnbind(queue=stage.queue, exchange=stage.exchange, routing_key="k"))
    client.ask(ExchangeUnbind(destination=stage.exchange, source="amq.direct", routing_key="k"))


@scenario
def unbound_from_what_is_missing(stage: Stage) -> None:
    client = stage.declared(channels=2)
    client.ask(QueueUnbind(queue=stage.queue, exchange=stage.exchange))
    client.ask(QueueUnbind(queue=f"{stage.queue}2", exchange="amq.direct"), channel=2)


@scenario
def bindings_with_other_arguments_are_others(stage: Stage) -> None:
    client = stage.with_exchange("fanout")
    for arguments in ({"n": 1}, {"n": 2}, {}):
        client.ask(QueueBind(queue=stage.queue, exchange=stage.exchange, arguments=arguments))
    client.ask(QueueUnbind(queue=stage.queue, exchange=stage.exchange, arguments={"n": 1}))
    client.ask(QueueUnbind(queue=stage.queue, exchange=stage.exchange))
    client.publish("k", b"still bound once", exchange=stage.exchange)
    client.ask(*[BasicGet(queue=stage.queue, no_ack=True)] * 2)
    client.ask(QueueUnbind(queue=stage.queue, exchange=stage.exchange, arguments={"n": 2}))
    client.publish("k", b"b", exchange=stage.exchange, mandatory=True)
    client.hear()


@scenario
def binding_goes_with_its_queue(stage: Stage) -> None:
    client = stage.with_exchange("fanout")
    client.ask(QueueBind(queue=stage.queue, exchange=stage.exchange))
    client.ask(QueueDelete(queue=stage.queue))
    client.ask(QueueDeclare(queue=stage.queue))
    client.publish("k", b"a", exchange=stage.exchange, mandatory=True)
    client.hear()


@scenario
def exchanges_bound_in_a_ring(stage: Stage) -> None:
    client = stage.with_exchange("fanout")
    other = f"{stage.exchange}2"
    client.ask(ExchangeDeclare(exchange=other, type="fanout"))
    client.ask(ExchangeBind(destination=other, source=stage.exchange))
    client.ask(ExchangeBind(destination=stage.exchange, source=other))
    client.ask(QueueBind(queue=stage.queue, exchange=other))
    client.ask(QueueBind(queue=stage.queue, exchange=stage.exchange))
    client.publish("k", b"a", exchange=stage.exchange)
    client.ask(*[BasicGet(queue=stage.queue, no_ack=True)] * 2)


@scenario
def exchange_bound_to_itself(stage: Stage) -> None:
    client = stage.with_exchange("fanout")
    client.ask(ExchangeBind(destination=stage.exchange, source=stage.exchange))
    client.ask(QueueBind(queue=stage.queue, exchange=stage.exchange))
    client.publish("k", b"a", exchange=stage.exchange)
    client.ask(*[BasicGet(queue=stage.queue, no_ack=True)] * 2)


@scenario
def one_message_for_a_queue_reached_twice(stage: Stage) -> None:
    client = stage.with_exchange("topic")
    for key in ("a.*", "*.b", "#", "a.b"):
        client.ask(QueueBind(queue=stage.queue, exchange=stage.exchange, routing_key=key))
    client.publish("a.b", b"a", exchange=stage.exchange)
    client.ask(*[BasicGet(queue=stage.queue, no_ack=True)] * 2)


@scenario
def queue_bound_by_the_name_declared_last(stage: Stage) -> None:
    client = stage.with_exchange("direct")
    client.ask(QueueBind(exchange=stage.exchange))
    client.publish(stage.queue, b"by its name", exchange=stage.exchange, mandatory=True)
    client.ask(BasicGet(no_ack=True))


@scenario
def topic_with_many_stars(stage: Stage) -> None:
    keys = ["a", "a.b", "a.b.c", "a.b.c.d", "a..c", "..", "x.b.y", "#", "*", "a.#", "a.*"]
    _routed(stage, "topic", ["*.b.*", "#.#.d", "a.*", "*..*"], keys)


@scenario
def topic_with_words_that_only_look_alike(stage: Stage) -> None:
    _routed(stage, "topic", ["a*", "b#", "*a.b"], ["ab", "a*", "b#", "bx", "xa.b", "*a.b"])


@scenario
def direct_keys_are_not_patterns(stage: Stage) -> None:
    _routed(stage, "direct", ["a.*", "#", "A"], ["a.b", "a.*", "x", "#", "a", "A"])


@scenario
def binding_with_many_arguments_of_all_types(stage: Stage) -> None:
    client = stage.with_exchange("fanout")
    arguments = {
        "text": "x",
        "number": 1,
        "list": [1, "a", None],
        "table": {"a": {"b": True}},
        "time": Timestamp(5),
        "fraction": 1.5,
    }
    bind = QueueBind(queue=stage.queue, exchange=stage.exchange, arguments=arguments)
    client.ask(bind, bind)
    client.publish("k", b"a", exchange=stage.exchange)
    client.ask(*[BasicGet(queue=stage.queue, no_ack=True)] * 2)
    arguments = dict(reversed(arguments.items()))
    client.ask(QueueUnbind(queue=stage.queue, exchange=stage.exchange, arguments=arguments))
    client.publish("k", b"b", exchange=stage.exchange, mandatory=True)
    client.hear()


def test_we_answer_as_rabbitmq_does(conversation: str, beside: Beside) -> None:
    beside.compare("bindings", conversation, scenario[conversation])
