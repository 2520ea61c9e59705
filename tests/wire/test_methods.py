"""Every method class round-trips, known frames are met byte by byte, and cut ones are refused."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rabbitry.wire import methods
from rabbitry.wire.methods import METHODS, BasicProperties, Method, UnknownMethod, decode_method
from rabbitry.wire.values import MalformedValue

CLASSES = sorted(METHODS.values(), key=lambda kind: (kind.class_id, kind.method_id))

short_strings = st.text(max_size=60)
values: st.SearchStrategy[Any] = st.one_of(
    st.none(), st.booleans(), st.integers(-(1 << 31), (1 << 31) - 1), st.text()
)
by_type: dict[str, st.SearchStrategy[Any]] = {
    "bool": st.booleans(),
    "int": st.integers(0, 255),
    "str": short_strings,
    "bytes": st.binary(),
    "dict[str, FieldValue]": st.dictionaries(short_strings, values, max_size=4),
}


def instances(kind: type[Any]) -> st.SearchStrategy[Any]:
    fields = {item.name: by_type[str(item.type)] for item in dataclasses.fields(kind)}
    return st.builds(kind, **fields)


def properties() -> st.SearchStrategy[BasicProperties]:
    fields: dict[str, st.SearchStrategy[Any]] = {
        item.name: st.none() | by_type[str(item.type).removesuffix(" | None")]
        for item in dataclasses.fields(BasicProperties)
    }
    return st.builds(BasicProperties, **fields)


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.name)
@given(data=st.data())
def test_every_method_round_trips(kind: type[Method], data: st.DataObject) -> None:
    method = data.draw(instances(kind))
    payload = method.encode()
    decoded = decode_method(payload)
    assert type(decoded) is kind
    assert decoded == method
    assert decoded.encode() == payload
    assert kind.decode(b"???" + payload[4:], 3) == method


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.name)
def test_every_truncation_and_every_surplus_is_malformed(kind: type[Method]) -> None:
    fields: dict[str, Any] = {
        item.name: {"str": "ab", "bytes": b"ab", "dict[str, FieldValue]": {"a": ["b", 1]}}[
            str(item.type)
        ]
        for item in dataclasses.fields(kind)  # type: ignore[arg-type]
        if str(item.type) not in ("int", "bool")
    }
    payload = kind(**fields).encode()
    for size in range(len(payload)):
        with pytest.raises(MalformedValue):
            decode_method(payload[:size])
    with pytest.raises(MalformedValue, match="follow"):
        decode_method(payload + b"\x00")


@pytest.mark.parametrize(
    ("method", "payload"),
    [
        (
            methods.QueueDeclare(queue="q", durable=True, no_wait=True, arguments={"n": 1}),
            b"\x00\x32\x00\x0a\x00\x00\x01q\x12\x00\x00\x00\x07\x01nI\x00\x00\x00\x01",
        ),
        (
            methods.ExchangeDeclare(exchange="e", type="fanout", auto_delete=True, internal=True),
            b"\x00\x28\x00\x0a\x00\x00\x01e\x06fanout\x0c\x00\x00\x00\x00",
        ),
        (
            methods.BasicPublish(exchange="e", routing_key="k", mandatory=True),
            b"\x00\x3c\x00\x28\x00\x00\x01e\x01k\x01",
        ),
        (
            methods.BasicNack(delivery_tag=258, multiple=True, requeue=False),
            b"\x00\x3c\x00\x78\x00\x00\x00\x00\x00\x00\x01\x02\x01",
        ),
        (
            methods.ConnectionTune(channel_max=2047, frame_max=131072, heartbeat=60),
            b"\x00\x0a\x00\x1e\x07\xff\x00\x02\x00\x00\x00\x3c",
        ),
        (
            methods.ChannelClose(404, "gone", failing_class_id=50, failing_method_id=10),
            b"\x00\x14\x00\x28\x01\x94\x04gone\x00\x32\x00\x0a",
        ),
        (methods.ExchangeUnbindOk(), b"\x00\x28\x00\x33"),
        (methods.ConfirmSelectOk(), b"\x00\x55\x00\x0b"),
        (
            methods.ConnectionUpdateSecret(new_secret=b"s", reason="r"),
            b"\x00\x0a\x00\x46\x00\x00\x00\x01s\x01r",
        ),
        (methods.BasicQos(prefetch_count=5, global_=True), b"\x00\x3c\x00\x0a" + b"\0\0\0\0\0\5\1"),
        (methods.AccessRequest(realm="/"), b"\x00\x1e\x00\x0a\x01/\x1e"),
    ],
)
def test_known_payloads(method: Method, payload: bytes) -> None:
    assert method.encode() == payload
    assert decode_method(payload) == method


def test_table_of_methods() -> None:
    assert all((kind.class_id, kind.method_id) == key for key, kind in METHODS.items())
    contents = {kind.name for kind in CLASSES if kind.has_content}
    assert contents == {"basic.publish", "basic.return", "basic.deliver", "basic.get-ok"}
    assert METHODS[50, 10] is methods.QueueDeclare
    assert METHODS[60, 31] is methods.BasicCancelOk
    assert METHODS[10, 60].name == "connection.blocked"
    assert len({kind.name for kind in CLASSES}) == len(CLASSES) == 66


def test_every_method_of_pika_is_here_and_encodes_the_same() -> None:
    spec: Any = pytest.importorskip("pika.spec")
    samples = {"int": 7, "str": "ab", "bytes": b"ab", "dict[str, FieldValue]": {"a": ["b", 1]}}
    for number, theirs in spec.methods.items():
        kind: Any = METHODS[number >> 16, number & 0xFFFF]
        assert kind.__name__ == theirs.NAME.replace(".", "")
        fields = dataclasses.fields(kind)
        for true_bits in range(3):
            arguments = [
                position % 3 == true_bits if item.type == "bool" else samples[str(item.type)]
                for position, item in enumerate(fields)
            ]
            assert kind(*arguments).encode()[4:] == b"".join(theirs(*arguments).encode())


def test_unknown_methods() -> None:
    with pytest.raises(UnknownMethod) as caught:
        decode_method(b"\x00\x3c\x03\xe7")
    assert (caught.value.class_id, caught.value.method_id) == (60, 999)


def test_numbers_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match=r"basic\.ack"):
        methods.BasicAck(delivery_tag=1 << 64).encode()
    with pytest.raises(ValueError, match="properties"):
        BasicProperties(priority=256).encode()


@given(properties())
def test_properties_round_trip(given_properties: BasicProperties) -> None:
    encoded = given_properties.encode()
    assert BasicProperties.decode(b"?" + encoded + b"?", 1) == (given_properties, 1 + len(encoded))
    for size in range(len(encoded)):
        with pytest.raises(MalformedValue):
            BasicProperties.decode(encoded[:size], 0)


def test_known_properties() -> None:
    some = BasicProperties(content_type="t", delivery_mode=2, timestamp=1, cluster_id="c")
    assert some.encode() == b"\x90\x44\x01t\x02\x00\x00\x00\x00\x00\x00\x00\x01\x01c"
    assert BasicProperties().encode() == b"\x00\x00"


def test_further_flag_words() -> None:
    assert BasicProperties.decode(b"\x00\x02", 0) == (BasicProperties(), 2)
    for raw in (b"\x00\x01", b"\x00\x01\x00\x00", b"\x00\x01\x80\x00\x01a", b"\x10\x01\x02"):
        with pytest.raises(MalformedValue):
            BasicProperties.decode(raw, 0)
