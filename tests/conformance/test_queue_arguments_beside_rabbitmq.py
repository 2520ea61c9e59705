"""Arguments of queues, right and wrong, as RabbitMQ 3.10 judges them."""

from __future__ import annotations

import pytest
from support.beside import Beside, Scenarios
from support.stages import Stage

from rabbitry.wire.methods import QueueDeclare

pytestmark = [pytest.mark.processes, pytest.mark.slow]

scenario = Scenarios()


@scenario
def queue_declared_with_another_mode(stage: Stage) -> None:
    client = stage.client()
    client.ask(QueueDeclare(queue=stage.queue, arguments={"x-queue-mode": "lazy"}))
    client.ask(QueueDeclare(queue=stage.queue))


def test_we_answer_as_rabbitmq_does(conversation: str, beside: Beside) -> None:
    beside.compare("queue_arguments", conversation, scenario[conversation])
