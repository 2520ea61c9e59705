"""Whatever a client says in well-formed frames: the node answers legally, others notice nothing.

Hypothesis makes up conversations: any method with any arguments on any channel, contents whole, in
pieces, out of order and with properties of any kind, frames of any kind, and bytes changed in what
was right. Names are few, so that what is said meets what was said before.
"""

from __future__ import annotations

import dataclasses
import struct
from decimal import Decimal
from typing import Any, get_args, get_origin, get_type_hints

from hypothesis import example, given, settings
from hypothesis import strategies as st
from support.fuzz_scripts import cut
from support.fuzz_seeds import POLICED, conversations, publish, say
from support.hostile_peer import SAID_BY_SERVERS, Scene

from rabbitry.wire import values
from rabbitry.wire.frames import content_frames, method_frame
from rabbitry.wire.methods import (
    METHODS,
    BasicConsume,
    BasicGet,
    BasicProperties,
    BasicPublish,
    ConfirmSelect,
    ExchangeBind,
    ExchangeDeclare,
    Method,
    QueueBind,
    QueueDeclare,
)

NAMES = ["", "q", "r", "x", "y", "amq.topic", "amq.direct", "amq.fanout", "amq.headers", "c", "c2"]
NAMES += ["amq.rabbitmq.reply-to", "direct", "fanout", "topic", "headers", "x-consistent-hash"]
NAMES += ["a.#", "*.b", "#", "q\n", "\udcff\udcfe", "n" * 255]
ARGUMENTS = [*POLICED, "x-match", "x-priority", "x-queue-type", "x-single-active-consumer"]
ARGUMENTS += ["alternate-exchange", "x-delivery-limit", "x-cancel-on-ha-failover", "x-queue-mode"]
ARGUMENTS += ["CC", "BCC", "x-death", "x-max-in-memory-length", "x-stream-offset"]
WORDS = ["all", "any", "all-with-x", "classic", "quorum", "stream", "drop-head", "reject-publish"]

names = st.sampled_from(NAMES)
scalars = st.one_of(
    st.booleans(),
    st.sampled_from([0, 1, -1, 10, 1 << 31, -(1 << 40), (1 << 63) - 1]),
    st.sampled_from(WORDS + NAMES[:-2]),
    st.none(),
    st.builds(Decimal, st.integers(0, 1000)),
    st.floats(allow_nan=False, allow_infinity=False),
    st.binary(max_size=8),
    st.builds(values.ByteArray, st.binary(max_size=8)),
    st.builds(values.UnsignedByte, st.integers(0, 255)),
    st.builds(values.Timestamp, st.integers(0, (1 << 64) - 1)),
)
fields: st.SearchStrategy[Any] = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from(ARGUMENTS + NAMES[:6]), inner, max_size=3),
    ),
    max_leaves=6,
)
tables = st.one_of(
    st.just({}),
    st.just({}),
    st.dictionaries(st.sampled_from(ARGUMENTS), st.one_of(scalars, fields), max_size=2),
)
TYPES = ["direct", "fanout", "topic", "headers", "x-consistent-hash", "nothing"]
KEYS = ["q", "r", "a.b", "a.#", "#", "", "amq.rabbitmq.reply-to", "n" * 255]
BY_NAME: dict[str, st.SearchStrategy[Any]] = {
    "delivery_tag": st.sampled_from([0, 1, 2, 3, 7]),
    "prefetch_size": st.sampled_from([0, 0, 0, 1]),
    "prefetch_count": st.sampled_from([0, 1, 5]),
    "queue": st.one_of(st.sampled_from(["q", "q", "r", "", "s"]), names),
    "exchange": st.one_of(st.sampled_from(["x", "y", "amq.topic", ""]), names),
    "routing_key": st.sampled_from(KEYS),
    "type": st.sampled_from(TYPES),
    "consumer_tag": st.sampled_from(["c", "c2", ""]),
    "immediate": st.just(False),
    "global_": st.booleans(),
    "expiration": st.sampled_from([None, "0", "100", "-1", "x"]),
    "priority": st.sampled_from([None, 0, 5, 255]),
}


def _argument(name: str, kind: Any) -> st.SearchStrategy[Any]:
    if name in BY_NAME:
        return BY_NAME[name]
    if kind is bool:
        return st.booleans()
    if kind is int:
        return st.sampled_from([0, 1, 255])
    if kind is str:
        return names
    if kind is bytes:
        return st.binary(max_size=40)
    if get_origin(kind) is dict:
        return tables
    return st.one_of(*[_argument(name, one) for one in get_args(kind)])


def _instances(kind: Any) -> st.SearchStrategy[Any]:
    hints = get_type_hints(kind)
    arguments = {
        field.name: _argument(field.name, hints[field.name]) for field in dataclasses.fields(kind)
    }
    return st.builds(kind, **arguments)


METHOD_KINDS = [kind for _, kind in sorted(METHODS.items())]
SAID_BY_CLIENTS = [kind for kind in METHOD_KINDS if kind.name not in SAID_BY_SERVERS]
# What works is said more often than what ends the connection, else little is ever reached.
LIKELY = [
    kind
    for kind in SAID_BY_CLIENTS
    if kind.name.split(".")[0] in ("exchange", "queue", "basic", "confirm", "tx")
    and kind is not BasicPublish
]
methods = st.one_of(
    *[st.sampled_from(LIKELY).flatmap(_instances)] * 6,
    st.sampled_from(METHOD_KINDS).flatmap(_instances),
)
channels = st.sampled_from([1, 1, 1, 1, 2, 2, 3])
properties = _instances(BasicProperties)
bodies = st.sampled_from([b"", b"body", b"b" * 5000])


PRELUDE = b"".join(
    [
        *say(QueueDeclare(queue="q"), QueueDeclare(queue="r")),
        *say(ExchangeDeclare(exchange="x", type="topic"), ConfirmSelect()),
        *say(ExchangeDeclare(exchange="y", type="fanout")),
        *say(ExchangeBind(destination="y", source="x", routing_key="a.#")),
        *say(QueueBind(queue="q", exchange="y"), BasicConsume(queue="q", consumer_tag="c")),
        *publish("x", "a.b", b"first"),
    ]
)


def encoded(channel: int, method: Method) -> bytes:
    return method_frame(channel, method.encode())


def published(
    channel: int, method: BasicPublish, about: BasicProperties, body: bytes, size: int
) -> bytes:
    return encoded(channel, method) + content_frames(channel, about.encode(), body, size)


def framed(kind: int, channel: int, payload: bytes) -> bytes:
    return struct.pack(">BHI", kind, channel, len(payload)) + payload + b"\xce"


@st.composite
def broken(draw: st.DrawFn) -> bytes:
    """Right frames with one thing changed: a byte, a length, an end too soon, a part said twice."""
    said = bytearray(draw(st.one_of(whole, st.sampled_from(RECORDED))))
    at = draw(st.integers(0, len(said) - 1))
    how = draw(st.sampled_from(["byte", "cut", "twice", "length"]))
    if how == "byte":
        said[at] = draw(st.integers(0, 255))
    elif how == "cut":
        del said[at : at + draw(st.integers(1, 8))]
    elif how == "twice":
        said[at:at] = said[at : at + draw(st.integers(1, 8))]
    else:
        said[at : at + 4] = draw(st.sampled_from([b"\0\0\0\0", b"\xff" * 4, b"\x7f\xff\xff\xff"]))
    return bytes(said)


# Nobody refuses them for what they say, so that all is up to how they say it.
UNREMARKABLE = [
    BasicProperties(),
    BasicProperties(delivery_mode=2, timestamp=7),
    BasicProperties(content_type="text/plain", delivery_mode=1),
    BasicProperties(headers={"a": {"b": [1, None]}}, message_id="m", app_id="a"),
]


@st.composite
def poisoned(draw: st.DrawFn) -> bytes:
    """A publish whose properties may be anything, whole in its frames."""
    about = bytearray(draw(st.sampled_from(UNREMARKABLE)).encode())
    for _ in range(draw(st.integers(0, 2))):
        at = draw(st.integers(0, len(about)))
        about[at : at + draw(st.integers(0, 2))] = draw(st.binary(max_size=2))
    about += bytes(max(0, 2 - len(about)))
    to = BasicPublish(routing_key="q", mandatory=draw(st.booleans()))
    content = content_frames(1, bytes(about), draw(bodies), 4096)
    return encoded(1, to) + content + encoded(1, BasicGet(queue="q", no_ack=True))


RECORDED = [b"".join(said) for said in conversations().values()]
whole = st.one_of(
    st.builds(encoded, channels, methods),
    st.builds(
        published,
        channels,
        _instances(BasicPublish),
        properties,
        bodies,
        st.sampled_from([4096, 50, 0]),
    ),
)
frames = st.builds(framed, st.integers(0, 9), channels, st.binary(max_size=30))
said_well = st.one_of(*[whole] * 8, st.sampled_from(RECORDED))
said_badly = st.one_of(*[whole] * 4, st.sampled_from(RECORDED), broken(), frames)


@settings(max_examples=150)
@given(st.lists(said_well, min_size=1, max_size=12), st.booleans())
def test_any_methods_and_contents(said: list[bytes], at_once: bool) -> None:
    _play([b"".join(said)] if at_once else said)


@settings(max_examples=150)
@given(st.lists(poisoned(), min_size=1, max_size=8), st.booleans())
def test_properties_of_any_bytes(said: list[bytes], at_once: bool) -> None:
    """The judge decodes what is delivered, got and returned."""
    _play([b"".join(said)] if at_once else said)


@settings(max_examples=150)
@given(st.lists(said_badly, min_size=1, max_size=8), st.integers(1, 5))
@example([framed(1, 1, b"")], 1)
@example([framed(8, 0, b"")], 1)
def test_mutated_methods_and_frames(said: list[bytes], pieces: int) -> None:
    _play(list(cut(b"".join(said), pieces)))


def _play(said: list[bytes]) -> None:
    """Say each piece; who was closed for it opens again, so that the next one is heard too."""
    scene = Scene()
    strangers = [scene.stranger().log_in(1, 2, 3)]
    strangers[0].write(PRELUDE)
    for piece in said:
        if strangers[-1].over:
            strangers.append(scene.stranger().log_in(1, 2, 3))
        strangers[-1].write(piece)
        strangers[-1].open_closed_channels()
        scene.network.wait(150_000)  # what has a time to live may end
        scene.neighbour.check()
    for stranger in strangers:
        stranger.hang_up()
    scene.check_forgotten()


def test_every_method_of_amqp_is_said() -> None:
    assert {kind.name for kind in METHOD_KINDS} >= {"queue.declare", "tx.commit", "basic.publish"}
    for kind in METHOD_KINDS:
        given_fields = {field.name for field in dataclasses.fields(kind)}
        assert given_fields <= set(get_type_hints(kind))
