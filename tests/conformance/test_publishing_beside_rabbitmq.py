"""What is published, there and back, and what is returned: as by RabbitMQ 3.10."""

from __future__ import annotations

import pytest
from support.beside import Beside, Scenarios
from support.stages import Stage

from rabbitry.wire.methods import BasicGet, BasicProperties, QueueDeclare

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


def test_we_answer_as_rabbitmq_does(conversation: str, beside: Beside) -> None:
    beside.compare("publishing", conversation, scenario[conversation])
