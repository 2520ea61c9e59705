"""Who may do what: permissions, virtual hosts, limits of users and hosts, as in RabbitMQ 3.10.

The users, whose passwords are their names, are those of definitions.json: `reader` may only read,
`writer` only write, `owner` do everything to what is called `mine-` something.
"""

from __future__ import annotations

import pytest
from support.beside import Beside, Scenarios
from support.stages import Stage

from rabbitry.wire.methods import (
    BasicConsume,
    BasicGet,
    BasicProperties,
    ChannelOpen,
    ConfirmSelect,
    ExchangeBind,
    ExchangeDeclare,
    ExchangeDelete,
    ExchangeUnbind,
    Method,
    QueueBind,
    QueueDeclare,
    QueueDelete,
    QueuePurge,
    QueueUnbind,
)

pytestmark = [pytest.mark.processes, pytest.mark.slow]

scenario = Scenarios()


def _mine(stage: Stage) -> str:
    return f"mine-{stage.queue}"


def _refused_to(stage: Stage, user: str, *methods: Method) -> None:
    """Have the user ask each of these on a channel of its own, with `queue` there."""
    stage.declared()
    client = stage.client(user=user, channels=len(methods))
    for channel, method in enumerate(methods, 1):
        client.ask(method, channel=channel)


@scenario.each(reader="reader", writer="writer", owner="owner")
def queue_methods_of(stage: Stage, value: str) -> None:
    queue = stage.queue
    _refused_to(
        stage,
        value,
        QueueDeclare(queue=f"{queue}2"),
        QueueDeclare(queue=queue),
        QueueDeclare(queue=queue, passive=True),
        QueueBind(queue=queue, exchange="amq.direct"),
        QueueUnbind(queue=queue, exchange="amq.direct"),
        QueuePurge(queue=queue),
        QueueDelete(queue=queue),
    )


@scenario.each(reader="reader", writer="writer", owner="owner")
def exchange_methods_of(stage: Stage, value: str) -> None:
    stage.client().ask(ExchangeDeclare(exchange=stage.exchange, type="fanout"))
    exchange = stage.exchange
    _refused_to(
        stage,
        value,
        ExchangeDeclare(exchange=f"{exchange}2", type="fanout"),
        ExchangeDeclare(exchange=exchange, type="fanout"),
        ExchangeDeclare(exchange=exchange, passive=True),
        ExchangeBind(destination=exchange, source="amq.fanout"),
        ExchangeUnbind(destination=exchange, source="amq.fanout"),
        ExchangeDelete(exchange=exchange),
    )


@scenario.each(reader="reader", writer="writer", owner="owner")
def basic_methods_of(stage: Stage, value: str) -> None:
    queue = stage.queue
    _refused_to(
        stage,
        value,
        BasicConsume(queue=queue, consumer_tag="c"),
        BasicGet(queue=queue),
        BasicConsume(queue=f"{queue}.missing", consumer_tag="c"),
        BasicGet(queue=f"{queue}.missing"),
    )


@scenario.each(reader="reader", writer="writer", owner="owner")
def publishing_to_the_default_exchange_by(stage: Stage, value: str) -> None:
    stage.declared()
    client = stage.client(user=value)
    client.ask(ConfirmSelect())
    client.publish(stage.queue, b"a")
    client.hear()


@scenario.each(reader="reader", writer="writer", owner="owner")
def publishing_to_a_missing_exchange_by(stage: Stage, value: str) -> None:
    client = stage.client(user=value)
    client.publish("k", b"a", exchange=stage.exchange)
    client.hear()


@scenario
def owner_of_what_is_called_so(stage: Stage) -> None:
    client = stage.client(user="owner")
    client.ask(QueueDeclare(queue=_mine(stage)))
    client.ask(ExchangeDeclare(exchange=f"mine-{stage.exchange}", type="fanout"))
    client.ask(QueueBind(queue=_mine(stage), exchange=f"mine-{stage.exchange}"))
    client.publish("k", b"a", exchange=f"mine-{stage.exchange}")
    client.ask(BasicGet(queue=_mine(stage), no_ack=True))
    client.ask(ExchangeDelete(exchange=f"mine-{stage.exchange}"), QueueDelete(queue=_mine(stage)))


@scenario
def owner_binds_to_an_exchange_of_all(stage: Stage) -> None:
    client = stage.client(user="owner")
    client.ask(QueueDeclare(queue=_mine(stage)))
    client.ask(QueueBind(queue=_mine(stage), exchange="amq.fanout"))


@scenario
def owner_gets_a_queue_named_by_the_server(stage: Stage) -> None:
    stage.client(user="owner").ask(QueueDeclare(exclusive=True))


@scenario
def reader_gets_no_queue_named_by_the_server(stage: Stage) -> None:
    stage.client(user="reader").ask(QueueDeclare(exclusive=True))


@scenario
def owner_declares_dead_letters_of_others(stage: Stage) -> None:
    client = stage.client(user="owner", channels=2)
    arguments = {"x-dead-letter-exchange": "amq.fanout"}
    client.ask(QueueDeclare(queue=_mine(stage), arguments=arguments))
    arguments = {"x-dead-letter-exchange": "mine-dead"}
    client.ask(QueueDeclare(queue=_mine(stage), arguments=arguments), channel=2)


@scenario
def owner_declares_an_alternate_exchange_of_others(stage: Stage) -> None:
    client = stage.client(user="owner", channels=2)
    arguments = {"alternate-exchange": "amq.fanout"}
    client.ask(ExchangeDeclare(exchange=_mine(stage), arguments=arguments))
    arguments = {"alternate-exchange": "mine-other"}
    client.ask(ExchangeDeclare(exchange=_mine(stage), arguments=arguments), channel=2)


@scenario.each(may="may.speak", not_="not.speak")
def topic_published_to(stage: Stage, value: str) -> None:
    client = stage.client(user="topical")
    client.publish(value, b"a", exchange="amq.topic", mandatory=True)
    client.hear()


@scenario.each(hear="hear.all", not_="not.hear", pattern="#")
def topic_bound_to(stage: Stage, value: str) -> None:
    client = stage.client(user="topical")
    client.ask(QueueDeclare(queue=stage.queue))
    client.ask(QueueBind(queue=stage.queue, exchange="amq.topic", routing_key=value))


@scenario
def topic_permissions_are_of_one_exchange(stage: Stage) -> None:
    client = stage.client(user="topical")
    client.ask(ExchangeDeclare(exchange=stage.exchange, type="topic"))
    client.publish("not.speak", b"a", exchange=stage.exchange, mandatory=True)
    client.hear()


@scenario
def impersonator_sends_as_another(stage: Stage) -> None:
    client = stage.client(user="impersonator")
    client.ask(QueueDeclare(queue=stage.queue))
    client.publish(stage.queue, b"a", properties=BasicProperties(user_id="somebody"))
    client.ask(BasicGet(queue=stage.queue, no_ack=True))


# --- virtual hosts --------------------------------------------------------------------------------


@scenario
def virtual_host_of_others(stage: Stage) -> None:
    stage.stranger().open("other", channels=0, user="reader").hear_end()


@scenario
def user_without_any_virtual_host(stage: Stage) -> None:
    stage.stranger().open(channels=0, user="stranger").hear_end()


@scenario
def virtual_hosts_do_not_see_each_other(stage: Stage) -> None:
    stage.declared()
    other = stage.client(virtual_host="other", channels=3)
    other.ask(QueueDeclare(queue=stage.queue, passive=True))
    other.ask(ExchangeDeclare(exchange="amq.topic", passive=True), channel=2)
    other.ask(QueueDeclare(queue=stage.queue, durable=True), channel=2)
    other.ask(QueueBind(queue=stage.queue, exchange="nowhere"), channel=3)


@scenario
def virtual_host_that_takes_no_connections(stage: Stage) -> None:
    stage.stranger().open("closed", channels=0).hear_end()


@scenario
def virtual_host_of_one_queue(stage: Stage) -> None:
    client = stage.client(virtual_host="one-queue")
    client.ask(QueueDeclare(queue=stage.queue, exclusive=True))
    client.ask(QueueDeclare(queue=stage.queue, exclusive=True))
    client.ask(QueueDeclare(queue=f"{stage.queue}2"))


@scenario
def user_of_one_connection(stage: Stage) -> None:
    stage.client("first", user="lonely").ask(QueueDeclare(queue=stage.queue))
    stage.stranger("second").open(channels=0, user="lonely").hear_end()


@scenario
def user_of_one_channel(stage: Stage) -> None:
    client = stage.client(user="narrow")
    client.ask(QueueDeclare(queue=stage.queue))  # RabbitMQ counts a little later
    client.ask(ChannelOpen(), channel=2)
    client.hear_end()


def test_we_answer_as_rabbitmq_does(conversation: str, beside: Beside) -> None:
    beside.compare("permissions", conversation, scenario[conversation])
