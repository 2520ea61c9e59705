"""Arguments of queues, right and wrong, as RabbitMQ 3.10 judges them."""

from __future__ import annotations

from typing import Any

import pytest
from support.beside import Beside, Scenarios
from support.stages import Stage

from rabbitry.wire.methods import BasicConsume, QueueDeclare
from rabbitry.wire.values import FieldValue, SignedLong, UnsignedByte

pytestmark = [pytest.mark.processes, pytest.mark.slow]

scenario = Scenarios()


@scenario
def queue_declared_with_another_mode(stage: Stage) -> None:
    client = stage.client()
    client.ask(QueueDeclare(queue=stage.queue, arguments={"x-queue-mode": "lazy"}))
    client.ask(QueueDeclare(queue=stage.queue))


def _declared(stage: Stage, **arguments: Any) -> None:
    """Declare with the arguments, `_` for `-` in their names."""
    named = {name.replace("_", "-"): value for name, value in arguments.items()}
    stage.client().ask(QueueDeclare(queue=stage.queue, durable=True, arguments=named))


INTEGERS = {
    "zero": 0,
    "negative": -1,
    "text": "1",
    "bool": True,
    "fraction": 1.5,
    "byte": UnsignedByte(7),
    "long": SignedLong(7),
    "huge": 2**40,
}


@scenario.each(**INTEGERS)
def argument_message_ttl(stage: Stage, value: FieldValue) -> None:
    _declared(stage, x_message_ttl=value)


@scenario.each(**INTEGERS)
def argument_expires(stage: Stage, value: FieldValue) -> None:
    _declared(stage, x_expires=value)


@scenario.each(**INTEGERS)
def argument_max_length(stage: Stage, value: FieldValue) -> None:
    _declared(stage, x_max_length=value)


@scenario.each(negative=-5, text="1", zero=0)
def argument_max_length_bytes(stage: Stage, value: FieldValue) -> None:
    _declared(stage, x_max_length_bytes=value)


@scenario.each(zero=0, most=255, more=256, negative=-1, text="1")
def argument_max_priority(stage: Stage, value: FieldValue) -> None:
    _declared(stage, x_max_priority=value)


@scenario.each(
    drop_head="drop-head",
    reject="reject-publish",
    reject_dlx="reject-publish-dlx",
    unknown="drop-tail",
    number=1,
)
def argument_overflow(stage: Stage, value: FieldValue) -> None:
    _declared(stage, x_overflow=value)


@scenario.each(default="", missing="nowhere", number=1, bool=True)
def argument_dead_letter_exchange(stage: Stage, value: FieldValue) -> None:
    _declared(stage, x_dead_letter_exchange=value)


@scenario.each(text="k", number=1)
def argument_dead_letter_routing_key_alone(stage: Stage, value: FieldValue) -> None:
    _declared(stage, x_dead_letter_routing_key=value)


@scenario.each(text="k", number=1)
def argument_dead_letter_routing_key(stage: Stage, value: FieldValue) -> None:
    _declared(stage, x_dead_letter_exchange="", x_dead_letter_routing_key=value)


@scenario.each(yes=True, no=False, text="true", number=1)
def argument_single_active_consumer(stage: Stage, value: FieldValue) -> None:
    _declared(stage, x_single_active_consumer=value)


@scenario.each(classic="classic", unknown="nonsense", number=1)
def argument_queue_type(stage: Stage, value: FieldValue) -> None:
    _declared(stage, x_queue_type=value)


@scenario.each(default="default", unknown="quick", number=1)
def argument_queue_mode(stage: Stage, value: FieldValue) -> None:
    _declared(stage, x_queue_mode=value)


@scenario.each(two=2, three=3, text="2")
def argument_queue_version(stage: Stage, value: FieldValue) -> None:
    _declared(stage, x_queue_version=value)


@scenario.each(unknown="nowhere", number=1, client_local="client-local")
def argument_leader_locator(stage: Stage, value: FieldValue) -> None:
    _declared(stage, x_queue_leader_locator=value)


@scenario.each(
    delivery_limit=("x-delivery-limit", 3),
    group_size=("x-quorum-initial-group-size", 3),
    group_size_zero=("x-quorum-initial-group-size", 0),
    cluster_size=("x-initial-cluster-size", 3),
    in_memory_length=("x-max-in-memory-length", 3),
    in_memory_bytes=("x-max-in-memory-bytes", 3),
    max_age=("x-max-age", "1D"),
    max_age_wrong=("x-max-age", "soon"),
    segment_size=("x-stream-max-segment-size-bytes", 1000),
    dead_letter_strategy=("x-dead-letter-strategy", "at-least-once"),
    dead_letter_strategy_unknown=("x-dead-letter-strategy", "at-times"),
)
def argument_not_of_classic_queues(stage: Stage, value: tuple[str, FieldValue]) -> None:
    arguments = {value[0]: value[1]}
    stage.client().ask(QueueDeclare(queue=stage.queue, durable=True, arguments=arguments))


@scenario
def first_wrong_argument_is_named(stage: Stage) -> None:
    _declared(stage, x_max_length=-1, x_message_ttl=-1, x_expires=0)


@scenario
def wrong_arguments_of_a_queue_that_is_there(stage: Stage) -> None:
    stage.declared()
    client = stage.client(channels=2)
    arguments = {"x-message-ttl": -1}
    client.ask(QueueDeclare(queue=stage.queue, arguments=arguments))
    client.ask(QueueDeclare(queue=stage.queue, passive=True, arguments=arguments), channel=2)


@scenario
def wrong_argument_and_another_durability(stage: Stage) -> None:
    stage.declared()
    arguments = {"x-max-length": "x"}
    stage.client().ask(QueueDeclare(queue=stage.queue, durable=True, arguments=arguments))


OTHERWISE = {
    "message_ttl": ("x-message-ttl", 1000, 2000),
    "expires": ("x-expires", 60000, 70000),
    "max_length": ("x-max-length", 1, 2),
    "max_length_bytes": ("x-max-length-bytes", 1, 2),
    "max_priority": ("x-max-priority", 1, 2),
    "overflow": ("x-overflow", "drop-head", "reject-publish"),
    "dead_letter_exchange": ("x-dead-letter-exchange", "a", "b"),
    "single_active_consumer": ("x-single-active-consumer", True, False),
    "queue_mode": ("x-queue-mode", "lazy", "default"),
    "queue_type": ("x-queue-type", "classic", "quorum"),
    "queue_version": ("x-queue-version", 1, 2),
}


@scenario.each(**OTHERWISE)
def declared_again_with_other(stage: Stage, value: tuple[str, FieldValue, FieldValue]) -> None:
    name, first, second = value
    client = stage.declared(durable=True, arguments={name: first})
    client.ask(QueueDeclare(queue=stage.queue, durable=True, arguments={name: first}))
    client.ask(QueueDeclare(queue=stage.queue, durable=True, arguments={name: second}))


@scenario.each(**OTHERWISE)
def declared_again_without(stage: Stage, value: tuple[str, FieldValue, FieldValue]) -> None:
    client = stage.declared(durable=True, arguments={value[0]: value[1]})
    client.ask(QueueDeclare(queue=stage.queue, durable=True))


@scenario.each(**OTHERWISE)
def declared_again_but_with(stage: Stage, value: tuple[str, FieldValue, FieldValue]) -> None:
    client = stage.declared(durable=True)
    arguments = {value[0]: value[1]}
    client.ask(QueueDeclare(queue=stage.queue, durable=True, arguments=arguments))


@scenario
def dead_letter_routing_key_declared_otherwise(stage: Stage) -> None:
    arguments = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "a"}
    client = stage.declared(arguments=arguments)
    arguments["x-dead-letter-routing-key"] = "b"
    client.ask(QueueDeclare(queue=stage.queue, arguments=arguments))


@scenario
def same_number_of_another_width(stage: Stage) -> None:
    client = stage.declared(arguments={"x-max-length": UnsignedByte(5)})
    client.ask(QueueDeclare(queue=stage.queue, arguments={"x-max-length": SignedLong(5)}))
    client.ask(QueueDeclare(queue=stage.queue, arguments={"x-max-length": 5}))


@scenario
def several_arguments_in_another_order(stage: Stage) -> None:
    client = stage.declared(arguments={"x-max-length": 5, "x-overflow": "reject-publish"})
    arguments = {"x-overflow": "reject-publish", "x-max-length": 5}
    client.ask(QueueDeclare(queue=stage.queue, arguments=arguments))


@scenario.each(
    priority_text=("x-priority", "high"),
    priority_fraction=("x-priority", 1.5),
    cancel_on_failover_text=("x-cancel-on-ha-failover", "yes"),
    priority_negative=("x-priority", -3),
    unknown=("x-nonsense", "yes"),
)
def argument_of_a_consumer(stage: Stage, value: tuple[str, FieldValue]) -> None:
    arguments = {value[0]: value[1]}
    stage.declared().ask(BasicConsume(0, stage.queue, "c", arguments=arguments))


def test_we_answer_as_rabbitmq_does(conversation: str, beside: Beside) -> None:
    beside.compare("queue_arguments", conversation, scenario[conversation])
