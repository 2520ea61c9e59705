"""The header that tells how often a message was delivered before."""

from __future__ import annotations

from rabbitry.broker.delivery_counts import with_delivery_count
from rabbitry.broker.message import Message, Route
from rabbitry.wire.frames import content_body, content_frames, content_properties
from rabbitry.wire.methods import BasicProperties
from rabbitry.wire.values import SignedLong


def message(properties: BasicProperties) -> Message:
    encoded = properties.encode()
    route = Route(b"x", b"k", int.from_bytes(encoded[:2], "big"))
    return route, content_frames(3, encoded, b"body", 0)


def test_it_stands_among_the_other_headers() -> None:
    before = message(BasicProperties(headers={"z": 1, "a": 2}, priority=7))
    route, frames = with_delivery_count(before, 4)
    assert route is before[0]
    properties, _ = BasicProperties.decode(content_properties(frames), 0)
    assert properties == BasicProperties(
        headers={"a": 2, "x-delivery-count": SignedLong(4), "z": 1}, priority=7
    )
    assert list(properties.headers or ()) == ["a", "x-delivery-count", "z"]
    assert content_body(frames) == b"body"


def test_a_message_without_headers_gets_some() -> None:
    route, frames = with_delivery_count(message(BasicProperties()), 1)
    assert (route.exchange, route.routing_key, route.flags) == (b"x", b"k", 0x2000)
    again, _ = BasicProperties.decode(
        content_properties(with_delivery_count((route, frames), 2)[1]), 0
    )
    assert again.headers == {"x-delivery-count": 2}


def test_what_cannot_be_read_stays_as_it_is() -> None:
    broken = (Route(b"", b"q", 0x8000), content_frames(1, b"\x80\x00\x09abc", b"", 0))
    assert with_delivery_count(broken, 1) == broken
