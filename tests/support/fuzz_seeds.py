"""Whole conversations as scripts (`support.fuzz_scripts`): what fuzzing starts from.

Recorded from what correct clients say, one seed for each way through the broker, and a few from
what wrong ones say. `python -m support.fuzz_seeds` (in tests/) writes them into tests/fuzz/corpus.
"""

from __future__ import annotations

import struct
from decimal import Decimal
from pathlib import Path

import msgspec
from support.coordination_stage import SECRET, Counted
from support.fuzz_scripts import STAGES, script_of
from support.hostile_peer import login

from rabbitry.cluster.links import ClusterLink
from rabbitry.wire import methods as m
from rabbitry.wire.frames import HEARTBEAT_FRAME, PROTOCOL_HEADER, content_frames, method_frame
from rabbitry.wire.values import ByteArray, FieldValue, SingleFloat, Timestamp, encode_table

CORPUS = Path(__file__).parent.parent / "fuzz" / "corpus"

TABLE: dict[str, FieldValue] = {
    "t": True,
    "I": -1,
    "l": 1 << 40,
    "f": SingleFloat(0.5),
    "d": 2.5,
    "D": Decimal("12.5"),
    "T": Timestamp(1_700_000_000),
    "V": None,
    "S": "text",
    "x": ByteArray(b"\xff"),
    "F": {"in": {"in": {}}},
    "A": [1, "two", [None]],
}
PROPERTIES = m.BasicProperties(
    content_type="text/plain",
    headers=TABLE,
    delivery_mode=2,
    priority=3,
    correlation_id="c",
    reply_to="r",
    expiration="60000",
    message_id="m",
    timestamp=1_700_000_000,
    type="t",
    app_id="a",
)
POLICED: dict[str, FieldValue] = {
    "x-message-ttl": 60000,
    "x-expires": 60000,
    "x-max-length": 10,
    "x-max-length-bytes": 1000,
    "x-overflow": "reject-publish",
    "x-dead-letter-exchange": "amq.fanout",
    "x-dead-letter-routing-key": "dead",
    "x-max-priority": 5,
}

Said = list[bytes]


def say(*said: m.Method, channel: int = 1) -> Said:
    """Frames of methods."""
    return [method_frame(channel, method.encode()) for method in said]


def publish(
    exchange: str,
    key: str,
    body: bytes,
    channel: int = 1,
    *,
    mandatory: bool = False,
    properties: m.BasicProperties | None = None,
    frame_size_max: int = 4096,
) -> Said:
    """Frames of one publish."""
    method = m.BasicPublish(0, exchange, key, mandatory)
    encoded = (properties or m.BasicProperties()).encode()
    return [
        method_frame(channel, method.encode()),
        content_frames(channel, encoded, body, frame_size_max),
    ]


QUEUE = say(m.QueueDeclare(queue="q"))


def conversations() -> dict[str, Said]:
    """What clients say on channels 1 and 2 of an open connection, by name."""
    return {**_declaring(), **_messaging(), **_mistaken(), **_malformed()}


def _declaring() -> dict[str, Said]:
    return {
        "queues": [
            *QUEUE,
            *say(m.QueueDeclare(), m.QueueDeclare(queue="q", passive=True, durable=True)),
            *say(m.QueueDeclare(queue="e", exclusive=True, auto_delete=True, arguments=TABLE)),
            *say(m.QueueBind(queue="q", exchange="amq.topic", routing_key="a.#", arguments=TABLE)),
            *say(m.QueueUnbind(queue="q", exchange="amq.topic", routing_key="a.#")),
            *say(m.QueuePurge(queue="q"), m.QueueDelete(queue="q", if_unused=True)),
        ],
        "policed": [
            *say(m.QueueDeclare(queue="p", durable=True, arguments=POLICED)),
            *publish("", "p", b"x" * 500, properties=PROPERTIES) * 4,
        ],
        "exchanges": [
            *say(
                m.ExchangeDeclare(exchange="x", type="topic", arguments={"alternate-exchange": ""})
            ),
            *say(m.ExchangeDeclare(exchange="y", type="fanout", durable=True, internal=True)),
            *say(m.ExchangeBind(destination="y", source="x", routing_key="*.#.b")),
            *say(m.ExchangeBind(destination="x", source="y")),
            *QUEUE,
            *say(m.QueueBind(queue="q", exchange="y")),
            *publish("x", "a.b", b"routed", properties=PROPERTIES),
            *say(m.ExchangeUnbind(destination="y", source="x", routing_key="*.#.b")),
            *say(m.ExchangeDelete(exchange="x", if_unused=True), m.ExchangeDelete(exchange="y")),
        ],
        "headers": [
            *say(m.ExchangeDeclare(exchange="h", type="headers")),
            *QUEUE,
            *say(m.QueueBind(queue="q", exchange="h", arguments={"x-match": "any", **TABLE})),
            *publish("h", "", b"body", properties=PROPERTIES),
        ],
    }


def _messaging() -> dict[str, Said]:
    return {
        "confirms": [
            *QUEUE,
            *say(m.ConfirmSelect()),
            *publish("", "q", b"one"),
            *publish("", "q", b"") * 3,
            *publish("", "nowhere", b"returned", mandatory=True, properties=PROPERTIES),
            *publish("", "q", b"long" * 2500),
        ],
        "consuming": [
            *QUEUE,
            *say(m.BasicQos(prefetch_count=2)),
            *say(m.BasicConsume(queue="q", consumer_tag="c", arguments={"x-priority": 1})),
            *publish("", "q", b"m", 2) * 5,
            *say(m.BasicAck(delivery_tag=1), m.BasicNack(delivery_tag=2, multiple=True)),
            *say(m.BasicReject(delivery_tag=3, requeue=True), m.BasicRecover(requeue=True)),
            *say(m.BasicRecoverAsync(requeue=True), m.BasicAck(delivery_tag=0, multiple=True)),
            *say(m.BasicCancel(consumer_tag="c"), m.BasicGet(queue="q"), m.BasicGet(no_ack=True)),
        ],
        "prefetch of a channel": [
            *QUEUE,
            *say(m.BasicQos(prefetch_count=1, global_=True), m.BasicConsume(queue="q")),
            *publish("", "q", b"m") * 3,
            *say(m.BasicAck(delivery_tag=1)),
        ],
        "transaction": [
            *QUEUE,
            *say(m.TxSelect()),
            *publish("", "q", b"one"),
            *say(m.TxRollback()),
            *publish("", "q", b"two"),
            *say(m.TxCommit()),
        ],
        "many commits behind a get": [
            *QUEUE,
            *say(m.TxSelect(), m.BasicGet(queue="q"), *[m.TxCommit()] * 600),
        ],
        "request and reply": [
            *say(m.BasicConsume(queue="amq.rabbitmq.reply-to", no_ack=True)),
            *QUEUE,
            *publish("", "q", b"?", properties=m.BasicProperties(reply_to="amq.rabbitmq.reply-to")),
            *say(m.BasicGet(queue="q"), channel=2),
        ],
        "channels": [
            *say(m.ChannelFlow(active=True), m.AccessRequest(), m.ChannelClose(200, "bye", 0, 0)),
            *say(m.ChannelOpen(), m.ChannelOpen(), channel=3),
            *say(m.ChannelCloseOk(), channel=2),
        ],
        "close": say(m.ConnectionClose(200, "bye", 0, 0), channel=0),
        "update-secret": say(m.ConnectionUpdateSecret(b"new", "because"), channel=0),
        "heartbeats": [HEARTBEAT_FRAME, *QUEUE, HEARTBEAT_FRAME],
    }


def _mistaken() -> dict[str, Said]:
    return {
        "404 and on": [
            *say(m.QueueDeclare(queue="missing", passive=True), m.QueueDeclare(queue="q")),
            *say(m.ChannelCloseOk(), m.ChannelOpen(), m.QueueDeclare(queue="q")),
        ],
        "406": say(m.BasicAck(delivery_tag=7)),
        "503": say(m.ExchangeDeclare(exchange="z", type="no such type")),
        "530": [*QUEUE, *say(*[m.BasicConsume(queue="q", consumer_tag="c")] * 2)],
        "540": say(m.BasicPublish(exchange="", routing_key="q", immediate=True)),
    }


def _malformed() -> dict[str, Said]:
    return {
        "content in pieces": [
            *QUEUE,
            *publish("", "q", b"p" * 5000, frame_size_max=1000),
        ],
        "content of two channels": [
            *QUEUE,
            *_interleaved(publish("", "q", b"1" * 50), publish("", "q", b"2" * 50, 2)),
        ],
        "content out of order": [*publish("", "q", b"a")[::-1], *publish("", "q", b"a")[:1] * 2],
        "a body too many": [
            *publish("", "q", b"body")[:1],
            content_frames(1, m.BasicProperties().encode(), b"", 0),
            struct.pack(">BHI", 3, 1, 4) + b"more\xce",
        ],
        "a body of 2**63 bytes": [
            *publish("", "q", b"")[:1],
            struct.pack(">BHIHHQH", 2, 1, 14, 60, 0, 1 << 63, 0) + b"\xce",
        ],
        "tables in tables": [
            method_frame(1, struct.pack(">HHHB", 50, 10, 0, 1) + b"q\x00" + nested_table(500))
        ],
        "a table that lies": [
            method_frame(
                1, struct.pack(">HHHB", 50, 10, 0, 1) + b"q\x00\xff\xff\xff\xff\x01aF\x7f\0\0\0"
            )
        ],
        "properties that lie": [
            *QUEUE,
            *publish("", "q", b"good", properties=PROPERTIES),
            *publish("", "q", b"")[:1],
            content_frames(1, b"\x20\x00\x00\x00\x00\x06\x01aS\x00\x00\x01", b"bad", 0),
            *say(m.BasicGet(queue="q"), channel=2),
        ],
    }


def _interleaved(first: Said, second: Said) -> Said:
    return [frame for pair in zip(first, second, strict=True) for frame in pair]


def nested_table(depth: int) -> bytes:
    """Return a field table that has a table in it that has a table in it, and so on."""
    table = encode_table({})
    for _ in range(depth):
        table = (len(table) + 3).to_bytes(4, "big") + b"\x01aF" + table
    return table


def cluster_login(secret: bytes = SECRET) -> list[bytes]:
    """Return the frames that an opener says, with a proof that no acceptor accepts."""
    opener = ClusterLink(True, secret, "b", "1", Counted())
    acceptor = ClusterLink(False, secret, "a", "1", Counted())
    said = [opener.take_bytes()]
    acceptor.receive(said[0])
    opener.receive(acceptor.take_bytes())
    said.append(opener.take_bytes())
    return said


def seeds() -> dict[str, bytes]:
    """Return the scripts, by the name of their file."""
    found: dict[str, bytes] = {}
    for number, (name, said) in enumerate(conversations().items()):
        found[name] = script_of("amqp frames", b"".join(said), 1 + number % 4)
    found["login whole"] = bytes((0, 0)) + login(1, 2)
    found["login in pieces"] = bytes((0, 12)) + login(1, heartbeat_s=1)
    found["another version"] = b"\x00\x00AMQP\x00\x01\x00\x00"
    found["header of 0-9"] = b"\x00\x00AMQP\x01\x01\x00\x09"
    found["http"] = b"\x00\x00GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
    found["wrong password"] = b"\x00\x00" + login().replace(b"\0guest\0guest", b"\0guest\0wrong")
    amqplain = encode_table({"LOGIN": "guest", "PASSWORD": "guest"})[4:]
    start_ok = m.ConnectionStartOk({}, "AMQPLAIN", amqplain, "en_US").encode()
    found["amqplain"] = b"\x00\x00" + PROTOCOL_HEADER + method_frame(0, start_ok)
    found["raw publish"] = bytes((1, 2)) + b"".join(conversations()["confirms"])
    found["frame too long"] = b"\x01\x00" + struct.pack(">BHI", 1, 1, 1 << 20) + b"x" * 100
    hello, proof = cluster_login()
    for stage in ("cluster", "coordinator"):
        first = bytes((STAGES.index(stage), 1))
        found[f"{stage} login"] = first + hello + proof
        found[f"{stage} length lies"] = first + b"\x7f\xff\xff\xff" + b"x" * 100
        record = msgspec.msgpack.encode(["welcomed", 1, []])
        parts = bytes((STAGES.index(f"{stage} frames"), 0))
        for payload in (hello[4:], proof[4:], record):
            parts += struct.pack(">BBH", 0, 0, len(payload)) + payload
        found[f"{stage} frames"] = parts
    return found


if __name__ == "__main__":
    for name, script in seeds().items():
        (CORPUS / name.replace(" ", "-")).write_bytes(script)
