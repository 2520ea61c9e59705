"""Connections opened, refused and closed: the same answers as RabbitMQ 3.10 gives."""

from __future__ import annotations

import pytest
from support.beside import Beside, Scenarios
from support.raw_client import RawClient
from support.stages import Stage

from rabbitry.wire.frames import PROTOCOL_HEADER
from rabbitry.wire.methods import (
    BasicConsume,
    BasicQos,
    ChannelOpen,
    ConnectionBlocked,
    ConnectionClose,
    ConnectionCloseOk,
    ConnectionOpen,
    ConnectionSecureOk,
    ConnectionStartOk,
    ConnectionTuneOk,
    ConnectionUnblocked,
    ConnectionUpdateSecret,
    Method,
    QueueDeclare,
)
from rabbitry.wire.values import FieldValue, encode_table

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


PROTOCOL_HEADERS = {
    "of_0_8": b"AMQP\x01\x01\x08\x00",
    "of_0_8_otherwise": b"AMQP\x01\x01\x09\x01",
    "of_0_9": b"AMQP\x01\x01\x00\x09",
    "of_0_10": b"AMQP\x01\x01\x00\x0a",
    "of_1_0": b"AMQP\x00\x01\x00\x00",
    "of_1_0_sasl": b"AMQP\x03\x01\x00\x00",
    "of_1_0_tls": b"AMQP\x02\x01\x00\x00",
    "of_tomorrow": b"AMQP\x00\x00\x09\x02",
    "nothing": b"\x00\x00\x00\x00\x00\x00\x00\x00",
    "tls_hello": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "small": b"amqp\x00\x00\x09\x01",
    "http": b"GET / HTTP/1.1\r\n\r\n",
}


@scenario.each(**PROTOCOL_HEADERS)
def protocol_header(stage: Stage, value: bytes) -> None:
    client = stage.stranger()
    client.write(value)
    client.hear_hello()


@scenario
def what_the_server_says_of_itself(stage: Stage) -> None:
    client = stage.stranger()
    client.write(PROTOCOL_HEADER)
    start = client.take_method()
    client.note(f"version {start.version_major}.{start.version_minor}, locales {start.locales!r}")
    client.note(f"mechanisms {sorted(start.mechanisms.split())}")
    capabilities = start.server_properties["capabilities"]
    client.note(f"capabilities {sorted(capabilities.items())}")


@scenario
def limits_that_the_server_proposes(stage: Stage) -> None:
    client = stage.stranger()
    client.start()
    client.hear()


@scenario.each(
    wrong_user=("nobody", "guest", "PLAIN"),
    empty_user=("", "", "PLAIN"),
    wrong_password=("guest", "", "PLAIN"),
)
def login_refused(stage: Stage, value: tuple[str, str, str]) -> None:
    client = stage.stranger()
    client.start(user=value[0], password=value[1], mechanism=value[2])
    client.hear_end()


@scenario
def login_refused_to_one_who_cannot_hear_it(stage: Stage) -> None:
    client = stage.stranger(capabilities=())
    client.start(password="wrong")
    client.hear_end()


@scenario.each(
    nothing=b"",
    no_zeros=b"guest",
    one_zero=b"\0guest",
    authorization=b"other\0guest\0guest",
    three=b"\0guest\0guest\0guest",
)
def plain_login_of(stage: Stage, value: bytes) -> None:
    client = stage.stranger()
    client.say_hello()
    properties: dict[str, FieldValue] = {"capabilities": {"authentication_failure_close": True}}
    client.ask(ConnectionStartOk(properties, "PLAIN", value, "en_US"), channel=0)
    if client.heard[-1:] and client.heard[-1].name != "connection.tune":
        client.hear_end()


@scenario.each(
    right={"LOGIN": "guest", "PASSWORD": "guest"},
    wrong={"LOGIN": "guest", "PASSWORD": "wrong"},
    half={"LOGIN": "guest"},
    none={},
    numbers={"LOGIN": 1, "PASSWORD": 2},
)
def amqplain_login_of(stage: Stage, value: dict[str, FieldValue]) -> None:
    client = stage.stranger()
    client.say_hello()
    properties: dict[str, FieldValue] = {"capabilities": {"authentication_failure_close": True}}
    response = encode_table(value)[4:]
    client.ask(ConnectionStartOk(properties, "AMQPLAIN", response, "en_US"), channel=0)
    if client.heard[-1:] and client.heard[-1].name != "connection.tune":
        client.hear_end()


@scenario
def another_language(stage: Stage) -> None:
    client = stage.stranger()
    client.say_hello()
    client.ask(ConnectionStartOk({}, "PLAIN", b"\0guest\0guest", "xx_XX"), channel=0)


@scenario.each(empty="", longer="//", name="nowhere")
def virtual_host_that_is_missing(stage: Stage, value: str) -> None:
    stage.stranger().open(value, channels=0).hear_end()


@scenario
def connection_closed(stage: Stage) -> None:
    client = stage.client()
    client.ask(ConnectionClose(200, "bye"), channel=0)


@scenario
def connection_closed_with_channels_and_consumers(stage: Stage) -> None:
    client = stage.declared()
    client.ask(BasicConsume(queue=stage.queue, consumer_tag="c"))
    client.ask(ConnectionClose(200, "bye"), channel=0)


@scenario
def nothing_is_heard_after_the_close(stage: Stage) -> None:
    client = stage.client()
    client.send(ConnectionClose(200, "bye"), channel=0)
    client.ask(QueueDeclare(queue=stage.queue))
    stage.client("other").ask(QueueDeclare(queue=stage.queue, passive=True))


@scenario
def fault_and_what_is_sent_after_it(stage: Stage) -> None:
    client = stage.client()
    client.send(BasicQos(prefetch_size=1), QueueDeclare(queue=stage.queue))
    client.hear_end()
    stage.client().ask(QueueDeclare(queue=stage.queue, passive=True))


@scenario.each(
    blocked=ConnectionBlocked("x"),
    unblocked=ConnectionUnblocked(),
    start_ok=ConnectionStartOk({}, "PLAIN", b"\0guest\0guest", "en_US"),
    tune_ok=ConnectionTuneOk(10, 131072, 0),
    secure_ok=ConnectionSecureOk(b"x"),
    close_ok=ConnectionCloseOk(),
    update_secret=ConnectionUpdateSecret(b"x", "because"),
)
def out_of_place_on_channel_zero(stage: Stage, value: Method) -> None:
    client = stage.client()
    client.send(value, channel=0)
    client.hear_or(QueueDeclare(queue=stage.queue))


@scenario.each(open=ConnectionOpen("/"), declare=QueueDeclare(queue="q"))
def out_of_place_before_the_login(stage: Stage, value: Method) -> None:
    client = stage.stranger()
    client.say_hello()
    client.ask(value, channel=0)


@scenario
def channel_opened_before_the_connection(stage: Stage) -> None:
    client = stage.stranger()
    client.start()
    client.hear()
    client.send(ConnectionTuneOk(2047, 131072, 0), channel=0)
    client.ask(ChannelOpen())


@scenario.each(small=4095, smallest=4096, large=131073, none=0)
def frame_size_agreed_on(stage: Stage, value: int) -> None:
    client = stage.stranger()
    client.start()
    client.hear()
    client.send(ConnectionTuneOk(2047, value, 0), ConnectionOpen("/"), channel=0)
    client.hear()


@scenario.each(less=10, most=2047, more=2048, none=0)
def number_of_channels_agreed_on(stage: Stage, value: int) -> None:
    client = stage.stranger()
    client.start()
    client.hear()
    client.send(ConnectionTuneOk(value, 131072, 0), ConnectionOpen("/"), channel=0)
    client.hear()


@scenario
def login_by_an_unknown_mechanism(stage: Stage) -> None:
    client = stage.stranger()
    client.start(mechanism="NONSENSE")
    client.hear()


def _beating(stage: Stage) -> RawClient:
    """Return a client that has agreed on a heartbeat every second."""
    client = stage.stranger()
    client.start()
    client.take_method()
    client.send(ConnectionTuneOk(2047, 131072, 1), ConnectionOpen("/"), channel=0)
    client.hear()
    return client


@scenario
def heartbeat_of_the_server(stage: Stage) -> None:
    client = _beating(stage)
    client.note(f"{client.take_bytes(8)!r}")


@scenario
def heartbeats_missed_by_the_client(stage: Stage) -> None:
    """Both give it about two intervals."""
    _beating(stage).hear_end()


@scenario
def blocked_is_no_word_of_clients(stage: Stage) -> None:
    client = stage.stranger(capabilities=("connection.blocked",)).open()
    client.publish("nobody", b"a")
    client.ask(QueueDeclare(queue=stage.queue))


@scenario
def secret_updated(stage: Stage) -> None:
    client = stage.client()
    client.ask(ConnectionUpdateSecret(b"guest", "it was time"), channel=0)
    client.ask(QueueDeclare(queue=stage.queue))


@scenario
def closed_before_it_is_open(stage: Stage) -> None:
    client = stage.stranger()
    client.start()
    client.take_method()
    client.ask(ConnectionClose(200, "bye"), channel=0)


@scenario
def protocol_header_sent_twice(stage: Stage) -> None:
    client = stage.stranger()
    client.say_hello()
    client.write(PROTOCOL_HEADER)
    client.hear()


@scenario
def protocol_header_after_the_login(stage: Stage) -> None:
    client = stage.client()
    client.write(PROTOCOL_HEADER)
    client.hear()


def test_we_answer_as_rabbitmq_does(conversation: str, beside: Beside) -> None:
    beside.compare("connections", conversation, scenario[conversation])
