"""Connections opened, refused and closed: the same answers as RabbitMQ 3.10 gives."""

from __future__ import annotations

import pytest
from support.beside import Beside, Scenarios
from support.stages import Stage

from rabbitry.wire.methods import ConnectionOpen, QueueDeclare

pytestmark = [pytest.mark.processes, pytest.mark.slow]

scenario = Scenarios()


@scenario
def connection_opened_twice(stage: Stage) -> None:
    client = stage.client()
    client.ask(ConnectionOpen("/"), channel=0)


@scenario
def method_of_class_connection_on_a_channel(stage: Stage) -> None:
    client = stage.client()
    client.ask(ConnectionOpen("/"))


@scenario
def method_of_a_channel_on_channel_zero(stage: Stage) -> None:
    client = stage.client()
    client.ask(QueueDeclare(queue=stage.queue), channel=0)


@scenario
def wrong_password(stage: Stage) -> None:
    client = stage.stranger()
    client.start(password="wrong")
    client.hear_end()


@scenario
def wrong_virtual_host(stage: Stage) -> None:
    client = stage.stranger().open("nowhere", channels=0)
    client.hear_end()


@scenario
def another_protocol(stage: Stage) -> None:
    client = stage.stranger()
    client.write(b"GET / HTTP/1.1\r\n\r\n"[:8])
    try:
        client.hear_end()
    except Exception as error:  # the protocol header is no frame
        stage.transcript.append(type(error).__name__)


def test_we_answer_as_rabbitmq_does(conversation: str, beside: Beside) -> None:
    beside.compare("connections", conversation, scenario[conversation])
