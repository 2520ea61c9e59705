"""Publishes to queues, returns, single messages, transactions."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from support.fake_broker import FakePort, content

from rabbitry.broker.confirms import Confirms
from rabbitry.broker.direct_reply_to import reply_name
from rabbitry.broker.exchanges import Exchange
from rabbitry.broker.permissions import Permissions
from rabbitry.broker.publishing import PLANS_KEPT_MAX, Publisher
from rabbitry.wire.content import Command, ContentAssembler
from rabbitry.wire.errors import AmqpException, ChannelException, ConnectionException
from rabbitry.wire.frames import (
    content_body,
    content_properties,
    method_frame,
    replace_properties,
)
from rabbitry.wire.methods import (
    BasicAck,
    BasicGet,
    BasicProperties,
    BasicPublish,
    BasicReturn,
)
from rabbitry.wire.values import FieldValue

# --- publishes ------------------------------------------------------------------------------------


def command(
    routing_key: str = "q",
    *bodies: bytes,
    exchange: str = "",
    mandatory: bool = False,
    immediate: bool = False,
    properties: list[BasicProperties] | None = None,
) -> Command:
    method = BasicPublish(0, exchange, routing_key, mandatory, immediate)
    contents = [content(body) for body in bodies or (b"body",)]
    flags = 0
    if properties is not None:
        contents = [replace_properties(content(), one.encode()) for one in properties]
        flags = int.from_bytes(contents[0][19:21], "big")
    return Command(1, method_frame(1, method.encode()), contents, None, flags)


class FakeConnection:
    """Whose channel publishes; `written` is what was sent to the client."""

    def __init__(self, frame_size_max: int = 131072) -> None:
        self.virtual_host = "/"
        self.permissions = Permissions(FakePort(), "guest", "/")
        self.frame_size_max = frame_size_max
        self.written: list[bytes] = []

    def write(self, parts: Sequence[bytes]) -> None:
        self.written += parts

    def take(self) -> list[bytes]:
        written, self.written = self.written, []
        return written


def publisher(port: FakePort, connection: FakeConnection | None = None) -> Publisher:
    return Publisher(port, connection or FakeConnection(), 1)


def test_a_run_goes_to_its_queue_in_one_piece() -> None:
    port = FakePort()
    queue = port.add("q")
    connection = FakeConnection()
    publisher(port, connection).publish(command("q", b"a", b"b"))
    assert connection.written == []
    ((messages, receipt),) = queue.published
    assert [(route.exchange, route.routing_key) for route, _ in messages] == [(b"", b"q")] * 2
    assert [content_body(frames) for _, frames in messages] == [b"a", b"b"]
    assert receipt is None


def test_all_queues_of_a_route_get_it_and_share_the_receipt() -> None:
    port = FakePort()
    queues = [port.add("a"), port.add("b")]
    port.routed = list(queues)
    publishing = publisher(port)
    confirms = publishing.confirms = Confirms(lambda: None)
    publishing.publish(command("k", b"1", b"2", exchange="x"))
    receipts = [queue.published[0][1] for queue in queues]
    assert receipts[0] is receipts[1]
    for receipt in receipts:
        assert confirms.flush(1) == []
        assert receipt is not None
        receipt.settled()
    assert confirms.flush(1) == [method_frame(1, BasicAck(2, multiple=True).encode())]


def test_a_plan_lasts_as_long_as_the_routing() -> None:
    port = FakePort()
    old = port.add("q")
    publishing = publisher(port)
    publishing.publish(command())
    new = port.queues["q"] = type(old)("q")
    publishing.publish(command())
    assert (len(old.published), len(new.published)) == (2, 0)
    port.routing_version += 1
    publishing.publish(command())
    assert (len(old.published), len(new.published)) == (2, 1)


def test_very_many_plans_are_not_kept_for_ever() -> None:
    port = FakePort()
    publishing = publisher(port)
    for number in range(PLANS_KEPT_MAX + 2):
        publishing.publish(command(str(number)))
    assert len(publishing._plans) <= PLANS_KEPT_MAX


def returned(frames: list[bytes]) -> list[tuple[BasicReturn, bytes]]:
    found = []
    for one in ContentAssembler(0).feed(b"".join(frames)):
        method = one.method()
        assert isinstance(method, BasicReturn)
        found += [(method, content_body(frames)) for frames in one.contents]
    return found


def test_what_nobody_wants_comes_back_if_it_is_mandatory() -> None:
    connection = FakeConnection()
    publishing = publisher(FakePort(), connection)
    publishing.publish(command("nobody", b"a", b"b", mandatory=True))
    method = BasicReturn(312, "NO_ROUTE", "", "nobody")
    assert returned(connection.take()) == [(method, b"a"), (method, b"b")]
    publishing.publish(command("nobody", b"a"))
    assert connection.take() == []


def test_what_comes_back_is_cut_to_the_frames_that_the_client_takes() -> None:
    connection = FakeConnection(4096)
    publisher(FakePort(), connection).publish(command("nobody", bytes(9000), mandatory=True))
    (one,) = ContentAssembler(4096).feed(b"".join(connection.written))
    assert content_body(one.contents[0]) == bytes(9000)


def test_what_nobody_wants_is_confirmed() -> None:
    publishing = publisher(FakePort())
    confirms = publishing.confirms = Confirms(lambda: None)
    publishing.publish(command("nobody"))
    assert confirms.flush(1) == [method_frame(1, BasicAck(1).encode())]


@pytest.mark.parametrize(
    ("said", "kind", "code", "text"),
    [
        (
            command(exchange="nowhere"),
            ChannelException,
            404,
            "NOT_FOUND - no exchange 'nowhere' in vhost '/'",
        ),
        (
            command(exchange="inside"),
            ChannelException,
            403,
            "ACCESS_REFUSED - cannot publish to internal exchange 'inside' in vhost '/'",
        ),
        (
            command(immediate=True),
            ConnectionException,
            540,
            "NOT_IMPLEMENTED - immediate=true",
        ),
    ],
)
def test_faults(said: Command, kind: type[AmqpException], code: int, text: str) -> None:
    port = FakePort()
    port.exchanges["inside"] = Exchange("inside", "fanout", internal=True)
    publishing = publisher(port)
    for _ in range(2):  # a fault is no plan
        with pytest.raises(kind) as fault:
            publishing.publish(said)
        assert (fault.value.reply_code, fault.value.reply_text) == (code, text)
        assert (fault.value.class_id, fault.value.method_id) == (60, 40)


def test_a_content_under_another_method_is_a_fault() -> None:
    said = Command(1, method_frame(1, BasicGet().encode()), [content()])
    with pytest.raises(ConnectionException) as fault:
        publisher(FakePort()).publish(said)
    assert fault.value.reply_code == 503


# --- properties that cannot be decoded ------------------------------------------------------------


def published(routing_key: str, *encoded: bytes) -> list[Command]:
    """The commands that messages with these properties, as they are encoded, come in."""
    method = method_frame(1, BasicPublish(routing_key=routing_key).encode())
    contents = [replace_properties(content(), one) for one in encoded]
    return ContentAssembler().feed(b"".join(method + one for one in contents))


def refused(publishing: Publisher, *encoded: bytes) -> None:
    with pytest.raises(ConnectionException) as fault:
        for one in published("q", *encoded):
            publishing.publish(one)
    assert (fault.value.reply_code, fault.value.reply_text) == (541, "INTERNAL_ERROR")
    assert (fault.value.class_id, fault.value.method_id) == (0, 0)


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        (b"\0\0", b"\0\0x"),
        (b"\x10\0\x02", b"\x10\0\x02x"),
        (b"\x10\0\x02", b"\x10\0"),
        (b"\x80\0\x01a", b"\x80\0\x02a"),
        (b"\x20\0\0\0\0\x03\x01aV", b"\x20\0\0\0\0\x03\x01a?"),
        (b"\x01\0\x0260", b"\x01\0\x0360"),
        (b"\x01\0\x0260", b"\x01\x01\x0260"),
    ],
)
def test_what_cannot_be_decoded_goes_nowhere_and_what_came_before_does(
    good: bytes, bad: bytes
) -> None:
    port = FakePort()
    queue = port.add("q")
    publishing = publisher(port)
    refused(publishing, good, good, bad, good)
    refused(publishing, bad)
    kept = [frames for messages, _ in queue.published for _, frames in messages]
    assert [content_properties(frames) for frames in kept] == [good, good]


def test_what_else_is_wrong_with_a_message_before_it_is_told_first() -> None:
    port = FakePort()
    port.add("q")
    (said,) = published("q", b"\x01\0\x01x", b"\x01\0\x09x")
    with pytest.raises(ChannelException, match="invalid expiration"):
        publisher(port).publish(said)


def test_a_command_that_tells_no_size_is_looked_at() -> None:
    port = FakePort()
    queue = port.add("q")
    publishing = publisher(port)
    publishing.publish(command("q", b"a", b"b"))
    assert [len(messages) for messages, _ in queue.published] == [2]
    bad = [content(), replace_properties(content(), b"\0\0x")]
    with pytest.raises(ConnectionException):
        publishing.publish(Command(1, command("q").frame, bad))
    assert [len(messages) for messages, _ in queue.published] == [2, 1]


# --- message by message ---------------------------------------------------------------------------


def with_headers(*tables: dict[str, FieldValue]) -> list[BasicProperties]:
    return [BasicProperties(headers=table) for table in tables]


def test_messages_with_further_keys_leave_the_run_and_the_others_stay_together() -> None:
    port = FakePort()
    main, other = port.add("q"), port.add("other")
    publishing = publisher(port)
    confirms = publishing.confirms = Confirms(lambda: None)
    publishing.publish(
        command("q", properties=with_headers({}, {"a": 1}, {"CC": ["other"]}, {"CC": []}, {}))
    )
    assert [len(messages) for messages, _ in main.published] == [2, 1, 2]
    assert [len(messages) for messages, _ in other.published] == [1]
    for queue in (main, other):
        for _, receipt in queue.published:
            assert receipt is not None
            receipt.settled()
    assert confirms.flush(1) == [method_frame(1, BasicAck(5, multiple=True).encode())]


def test_bcc_does_not_stay_in_the_message() -> None:
    port = FakePort()
    queues = [port.add(name) for name in ("q", "open", "hidden")]
    publisher(port).publish(
        command("q", properties=with_headers({"CC": ["open"], "BCC": ["hidden"], "b": 2}))
    )
    for queue in queues:
        (((_, frames),), _) = queue.published[0]
        properties, _ = BasicProperties.decode(content_properties(frames), 0)
        assert properties.headers == {"CC": ["open"], "b": 2}


def test_a_message_at_fault_does_not_keep_back_those_before_it() -> None:
    port = FakePort()
    queue = port.add("q")
    expirations = [BasicProperties(expiration=one) for one in ("1", "2", "never", "3")]
    with pytest.raises(ChannelException) as fault:
        publisher(port).publish(command("q", properties=expirations))
    assert fault.value.reply_text == (
        "PRECONDITION_FAILED - invalid expiration 'never': no_integer"
    )
    assert [len(messages) for messages, _ in queue.published] == [2]


def test_where_properties_decide_each_message_is_routed_for_itself() -> None:
    port = FakePort()
    port.exchanges["h"] = Exchange("h", "headers")
    queues = [port.add("a"), port.add("b")]
    connection = FakeConnection()
    publisher(port, connection).publish(
        command(
            "k",
            exchange="h",
            mandatory=True,
            properties=with_headers({"a": 1}, {"a": 1, "b": 1}, {"c": 1}),
        )
    )
    assert [len(queue.published) for queue in queues] == [2, 1]
    ((method, _),) = returned(connection.take())
    assert (method.exchange, method.routing_key) == ("h", "k")
    publisher(port, connection).publish(command("k", b"x", b"y", exchange="h"))
    assert [len(queue.published) for queue in queues] == [2, 1]


def test_answers_go_to_their_address_and_to_no_queue() -> None:
    port = FakePort()
    queue = port.add("q")
    connection = FakeConnection()
    name = reply_name(("n#1", 3), "key")
    publishing = publisher(port, connection)
    publishing.publish(command(name, b"a", b"b", mandatory=True))
    assert [(to, content_body(frames)) for to, (_, frames) in port.sent_answers] == [
        (name, b"a"),
        (name, b"b"),
    ]
    # RabbitMQ: an answer does not count as routed.
    assert len(returned(connection.take())) == 2
    publishing.publish(command("q", properties=with_headers({"CC": [name]})))
    assert len(queue.published) == 1
    assert len(port.sent_answers) == 3
    publishing.publish(command(name, exchange="x"))
    assert len(port.sent_answers) == 3


def test_the_reply_address_is_filled_in() -> None:
    port = FakePort()
    queue = port.add("q")
    publishing = publisher(port)
    said = command("q", properties=[BasicProperties(reply_to="amq.rabbitmq.reply-to")])
    with pytest.raises(ChannelException) as fault:
        publishing.publish(said)
    assert fault.value.reply_text == "PRECONDITION_FAILED - fast reply consumer does not exist"
    publishing.reply_to = "amq.rabbitmq.reply-to.x.y"
    publishing.publish(said)
    (((_, frames),), _) = queue.published[0]
    properties, _ = BasicProperties.decode(content_properties(frames), 0)
    assert properties.reply_to == "amq.rabbitmq.reply-to.x.y"
