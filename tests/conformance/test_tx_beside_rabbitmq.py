"""Transactions: what is done when, what is undone, what may not be mixed, as in RabbitMQ 3.10."""

from __future__ import annotations

import pytest
from support.beside import Beside, Scenarios
from support.raw_client import RawClient
from support.stages import Stage

from rabbitry.wire.methods import (
    BasicAck,
    BasicConsume,
    BasicGet,
    BasicNack,
    BasicQos,
    BasicRecover,
    BasicReject,
    ChannelClose,
    ChannelOpen,
    ConfirmSelect,
    QueueBind,
    QueueDeclare,
    QueueDelete,
    TxCommit,
    TxRollback,
    TxSelect,
)

pytestmark = [pytest.mark.processes, pytest.mark.slow]

scenario = Scenarios()


def _transaction(stage: Stage, *bodies: bytes) -> RawClient:
    """Return a client in a transaction, whose `queue` has these messages."""
    client = stage.filled(*bodies) if bodies else stage.declared()
    client.ask(TxSelect())
    return client


@scenario
def published_when_committed(stage: Stage) -> None:
    client = _transaction(stage)
    client.publish(stage.queue, b"a", b"b")
    client.ask(BasicGet(queue=stage.queue))
    client.ask(TxCommit())
    client.ask(*[BasicGet(queue=stage.queue)] * 3)


@scenario
def forgotten_when_rolled_back(stage: Stage) -> None:
    client = _transaction(stage)
    client.publish(stage.queue, b"a")
    client.ask(TxRollback())
    client.ask(TxCommit())
    client.ask(BasicGet(queue=stage.queue))


@scenario
def forgotten_when_the_channel_closes(stage: Stage) -> None:
    client = _transaction(stage)
    client.publish(stage.queue, b"a")
    client.ask(ChannelClose(200, "bye"))
    client.ask(ChannelOpen())
    client.ask(BasicGet(queue=stage.queue))


@scenario
def acknowledged_when_committed(stage: Stage) -> None:
    client = _transaction(stage, b"a", b"b")
    client.ask(*[BasicGet(queue=stage.queue)] * 2)
    client.send(BasicAck(1))
    client.ask(TxCommit())
    client.ask(ChannelClose(200, "bye"))
    client.ask(ChannelOpen())
    client.ask(*[BasicGet(queue=stage.queue)] * 2)


@scenario
def owed_again_when_rolled_back(stage: Stage) -> None:
    client = _transaction(stage, b"a", b"b")
    client.ask(*[BasicGet(queue=stage.queue)] * 2)
    client.send(BasicAck(1))
    client.ask(TxRollback())
    client.send(BasicAck(1))
    client.ask(TxCommit())
    client.ask(ChannelClose(200, "bye"))
    client.ask(ChannelOpen())
    client.ask(*[BasicGet(queue=stage.queue)] * 2)


@scenario
def acknowledged_but_not_committed_comes_again(stage: Stage) -> None:
    client = _transaction(stage, b"a")
    client.ask(BasicGet(queue=stage.queue))
    client.send(BasicAck(1))
    client.ask(ChannelClose(200, "bye"))
    client.ask(ChannelOpen())
    client.ask(BasicGet(queue=stage.queue))


@scenario
def acknowledged_twice_in_a_transaction(stage: Stage) -> None:
    client = _transaction(stage, b"a")
    client.ask(BasicGet(queue=stage.queue))
    client.ask(BasicAck(1), BasicAck(1), hear=1)


@scenario
def requeued_when_committed(stage: Stage) -> None:
    client = _transaction(stage, b"a", b"b")
    client.ask(*[BasicGet(queue=stage.queue)] * 2)
    client.send(BasicReject(1), BasicNack(2, requeue=False))
    client.ask(BasicGet(queue=stage.queue))
    client.ask(TxCommit())
    client.ask(*[BasicGet(queue=stage.queue)] * 2)


@scenario
def requeued_then_rolled_back(stage: Stage) -> None:
    client = _transaction(stage, b"a")
    client.ask(BasicGet(queue=stage.queue))
    client.send(BasicReject(1))
    client.ask(TxRollback())
    client.ask(BasicGet(queue=stage.queue))
    client.ask(BasicReject(1), TxCommit(), hear=1)
    client.ask(BasicGet(queue=stage.queue))


@scenario
def prefetch_in_a_transaction(stage: Stage) -> None:
    client = _transaction(stage, b"a", b"b")
    client.ask(BasicQos(prefetch_count=1))
    client.ask(BasicConsume(queue=stage.queue, consumer_tag="c"), hear=2)
    client.send(BasicAck(1))
    client.ask(QueueDeclare(queue=stage.queue, passive=True))
    client.ask(TxCommit(), hear=1)
    client.hear()


@scenario
def delivered_without_acknowledgement_in_a_transaction(stage: Stage) -> None:
    client = _transaction(stage, b"a")
    client.ask(BasicGet(queue=stage.queue, no_ack=True))
    client.ask(TxRollback())
    client.ask(BasicGet(queue=stage.queue, no_ack=True))


@scenario
def returned_in_a_transaction(stage: Stage) -> None:
    client = _transaction(stage)
    client.publish("nobody", b"a", mandatory=True)
    client.ask(QueueDeclare(queue=stage.queue, passive=True))
    client.ask(TxCommit(), hear=2)


@scenario
def returned_never_when_rolled_back(stage: Stage) -> None:
    client = _transaction(stage)
    client.publish("nobody", b"a", mandatory=True)
    client.ask(TxRollback())
    client.ask(TxCommit())


@scenario
def mistake_in_a_transaction(stage: Stage) -> None:
    client = _transaction(stage)
    client.publish(stage.queue, b"a")
    client.publish("k", b"b", exchange=stage.exchange)
    client.hear()
    client.ask(ChannelOpen())
    client.ask(BasicGet(queue=stage.queue))
    client.ask(TxCommit())


@scenario.each(commit=TxCommit, rollback=TxRollback)
def outside_a_transaction(stage: Stage, value: type[TxCommit | TxRollback]) -> None:
    stage.client().ask(value())


@scenario
def selected_twice(stage: Stage) -> None:
    client = _transaction(stage)
    client.publish(stage.queue, b"a")
    client.ask(TxSelect())
    client.ask(TxCommit())
    client.ask(BasicGet(queue=stage.queue))


@scenario
def confirms_in_a_transaction(stage: Stage) -> None:
    _transaction(stage).ask(ConfirmSelect())


@scenario
def transaction_among_confirms(stage: Stage) -> None:
    client = stage.client()
    client.ask(ConfirmSelect())
    client.ask(TxSelect())


@scenario
def nothing_committed(stage: Stage) -> None:
    client = _transaction(stage)
    client.ask(*[TxCommit()] * 2, *[TxRollback()] * 2)


@scenario
def several_transactions_on_several_channels(stage: Stage) -> None:
    client = stage.declared(channels=2)
    for channel in (1, 2):
        client.ask(TxSelect(), channel=channel)
        client.publish(stage.queue, b"%d" % channel, channel=channel)
    client.ask(TxCommit(), channel=2)
    client.ask(BasicGet(queue=stage.queue), channel=1)
    client.ask(TxRollback(), channel=1)
    client.ask(BasicGet(queue=stage.queue), channel=1)


@scenario
def committed_to_several_queues(stage: Stage) -> None:
    client = stage.with_exchange("fanout")
    other = f"{stage.queue}2"
    client.ask(QueueDeclare(queue=other))
    for queue in (stage.queue, other):
        client.ask(QueueBind(queue=queue, exchange=stage.exchange))
    client.ask(TxSelect())
    client.publish("k", b"a", exchange=stage.exchange)
    client.ask(TxCommit())
    client.ask(BasicGet(queue=stage.queue), BasicGet(queue=other))


@scenario
def queue_deleted_before_the_commit(stage: Stage) -> None:
    client = _transaction(stage)
    client.publish(stage.queue, b"a", mandatory=True)
    client.ask(QueueDelete(queue=stage.queue))
    client.ask(TxCommit())
    client.ask(QueueDeclare(queue=stage.queue))


@scenario
def queue_declared_in_a_transaction_is_there_at_once(stage: Stage) -> None:
    client = stage.client()
    client.ask(TxSelect())
    client.ask(QueueDeclare(queue=stage.queue))
    client.ask(TxRollback())
    client.ask(QueueDeclare(queue=stage.queue, passive=True))


@scenario
def recovered_in_a_transaction(stage: Stage) -> None:
    client = _transaction(stage, b"a", b"b")
    client.ask(*[BasicGet(queue=stage.queue)] * 2)
    client.send(BasicAck(1))
    client.ask(BasicRecover(requeue=True))
    client.ask(TxCommit())
    client.ask(*[BasicGet(queue=stage.queue)] * 2)


def test_we_answer_as_rabbitmq_does(conversation: str, beside: Beside) -> None:
    beside.compare("tx", conversation, scenario[conversation])
