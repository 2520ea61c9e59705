"""Time to live of messages and of queues: what expires, when it is seen, as in RabbitMQ 3.10."""

from __future__ import annotations

import time

import pytest
from support.beside import Beside, Scenarios
from support.stages import Stage

from rabbitry.wire.methods import (
    BasicAck,
    BasicCancel,
    BasicConsume,
    BasicGet,
    BasicProperties,
    BasicQos,
    BasicReject,
    ConfirmSelect,
    QueueBind,
    QueueDeclare,
    QueueDelete,
    QueuePurge,
)

pytestmark = [pytest.mark.processes, pytest.mark.slow]

scenario = Scenarios()
SOON_MS = 40
SOON_S = 0.12
# For what has to be said before the end of it, also on a busy machine.
IN_TIME_MS = 300
TOO_LATE_S = 0.45


@scenario
def expired_at_once_without_a_consumer(stage: Stage) -> None:
    client = stage.declared(arguments={"x-message-ttl": 0})
    client.publish(stage.queue, b"a")
    client.ask(BasicGet(queue=stage.queue, no_ack=True))
    client.ask(QueueDeclare(queue=stage.queue, passive=True))


@scenario
def time_to_live_of_nothing_reaches_a_consumer(stage: Stage) -> None:
    client = stage.declared(arguments={"x-message-ttl": 0})
    client.ask(BasicConsume(queue=stage.queue, consumer_tag="c", no_ack=True))
    client.publish(stage.queue, b"a", b"b")
    client.hear(2)


@scenario
def expired_at_once_is_not_returned(stage: Stage) -> None:
    client = stage.declared(arguments={"x-message-ttl": 0})
    client.ask(ConfirmSelect())
    client.publish(stage.queue, b"a", mandatory=True)
    client.confirms(1)


@scenario
def messages_of_a_queue_expire(stage: Stage) -> None:
    client = stage.filled(b"a", b"b", arguments={"x-message-ttl": SOON_MS})
    time.sleep(SOON_S)
    client.ask(QueueDeclare(queue=stage.queue, passive=True))
    client.ask(BasicGet(queue=stage.queue))


@scenario
def message_expires_by_its_own_time(stage: Stage) -> None:
    client = stage.declared()
    client.publish(stage.queue, b"a", properties=BasicProperties(expiration=str(SOON_MS)))
    client.publish(stage.queue, b"b", properties=BasicProperties(expiration="60000"))
    client.publish(stage.queue, b"c")
    time.sleep(SOON_S)
    client.ask(*[BasicGet(queue=stage.queue)] * 3)


@scenario
def shorter_time_behind_a_longer_one_waits(stage: Stage) -> None:
    client = stage.declared()
    client.publish(stage.queue, b"a", properties=BasicProperties(expiration="60000"))
    client.publish(stage.queue, b"b", properties=BasicProperties(expiration=str(SOON_MS)))
    time.sleep(SOON_S)
    client.ask(QueueDeclare(queue=stage.queue, passive=True))
    client.ask(*[BasicGet(queue=stage.queue)] * 2)


@scenario
def the_shorter_of_two_times_holds(stage: Stage) -> None:
    client = stage.declared(arguments={"x-message-ttl": SOON_MS})
    client.publish(stage.queue, b"a", properties=BasicProperties(expiration="60000"))
    time.sleep(SOON_S)
    client.ask(BasicGet(queue=stage.queue))


@scenario
def expiration_of_zero(stage: Stage) -> None:
    client = stage.declared()
    client.publish(stage.queue, b"a", properties=BasicProperties(expiration="0"))
    client.ask(BasicGet(queue=stage.queue))


@scenario.each(
    text="soon",
    empty="",
    negative="-1",
    fraction="1.5",
    spaced=" 5",
    unit="5s",
    huge="99999999999",
    number_then_line="5\n",
    plus="+5",
)
def expiration_that_is_wrong(stage: Stage, value: str) -> None:
    client = stage.declared()
    client.publish(stage.queue, b"a", properties=BasicProperties(expiration=value))
    client.ask(BasicGet(queue=stage.queue))


@scenario
def expiration_that_is_wrong_where_nothing_is_bound(stage: Stage) -> None:
    client = stage.client()
    client.publish("nobody", b"a", properties=BasicProperties(expiration="soon"))
    client.hear()


@scenario
def expiration_is_kept_on_delivery(stage: Stage) -> None:
    client = stage.declared()
    client.publish(stage.queue, b"a", properties=BasicProperties(expiration="60000"))
    client.ask(BasicGet(queue=stage.queue))


@scenario
def what_is_unacknowledged_does_not_expire(stage: Stage) -> None:
    client = stage.declared(arguments={"x-message-ttl": SOON_MS})
    client.ask(BasicConsume(queue=stage.queue, consumer_tag="c"))
    client.publish(stage.queue, b"a")
    client.hear()
    time.sleep(SOON_S)
    client.ask(BasicCancel(consumer_tag="c"))
    client.ask(BasicAck(1), BasicQos(prefetch_count=1), hear=1)


@scenario
def what_is_given_back_too_late_expires(stage: Stage) -> None:
    client = stage.declared(arguments={"x-message-ttl": SOON_MS})
    client.ask(BasicConsume(queue=stage.queue, consumer_tag="c"))
    client.publish(stage.queue, b"a")
    client.hear()
    client.ask(BasicCancel(consumer_tag="c"))
    time.sleep(SOON_S)
    client.ask(BasicReject(1), BasicGet(queue=stage.queue), hear=1)


@scenario
def unused_queue_expires(stage: Stage) -> None:
    client = stage.filled(b"a", arguments={"x-expires": SOON_MS})
    time.sleep(SOON_S)
    client.ask(QueueDeclare(queue=stage.queue, passive=True))


@scenario
def consumer_keeps_a_queue_from_expiring(stage: Stage) -> None:
    client = stage.declared(arguments={"x-expires": IN_TIME_MS}, channels=2)
    client.ask(BasicConsume(queue=stage.queue, consumer_tag="c"))
    time.sleep(TOO_LATE_S)
    client.ask(QueueDeclare(queue=stage.queue, passive=True))
    client.ask(BasicCancel(consumer_tag="c"))
    time.sleep(TOO_LATE_S)
    client.ask(QueueDeclare(queue=stage.queue, passive=True))


@scenario.each(get=BasicGet, declare=QueueDeclare)
def queue_is_kept_from_expiring_by(stage: Stage, value: type[BasicGet | QueueDeclare]) -> None:
    arguments = {"x-expires": 800}
    client = stage.declared(arguments=arguments)
    use = BasicGet(queue=stage.queue)
    if value is QueueDeclare:
        use = QueueDeclare(queue=stage.queue, arguments=arguments)
    for _ in range(4):
        time.sleep(0.25)
        client.ask(use)


@scenario
def publishing_does_not_keep_a_queue_from_expiring(stage: Stage) -> None:
    client = stage.declared(arguments={"x-expires": 100})
    for _ in range(3):
        time.sleep(0.07)
        client.publish(stage.queue, b"a")
    client.ask(QueueDeclare(queue=stage.queue, passive=True))


@scenario
def expiring_queue_tells_nobody_bound(stage: Stage) -> None:
    client = stage.with_exchange("fanout")
    other = f"{stage.queue}2"
    client.ask(QueueDeclare(queue=other, arguments={"x-expires": IN_TIME_MS}))
    client.ask(QueueBind(queue=other, exchange=stage.exchange))
    time.sleep(TOO_LATE_S)
    client.publish("k", b"a", exchange=stage.exchange, mandatory=True)
    client.hear()


@scenario
def dead_letters_of_a_queue_that_expires_are_lost(stage: Stage) -> None:
    client = stage.declared()
    arguments = {
        "x-expires": SOON_MS,
        "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": stage.queue,
    }
    client.ask(QueueDeclare(queue=f"{stage.queue}2", arguments=arguments))
    client.publish(f"{stage.queue}2", b"a")
    time.sleep(SOON_S)
    client.ask(QueueDeclare(queue=stage.queue, passive=True))


@scenario
def purge_before_it_expires(stage: Stage) -> None:
    client = stage.filled(b"a", b"b", arguments={"x-message-ttl": 60000})
    client.ask(QueuePurge(queue=stage.queue))
    client.ask(QueueDelete(queue=stage.queue))


def test_we_answer_as_rabbitmq_does(conversation: str, beside: Beside) -> None:
    beside.compare("ttl", conversation, scenario[conversation])
