"""How often a message was delivered before: the header `x-delivery-count` of quorum queues.

Only messages that came back have it, so only they are written anew.

RabbitMQ: rabbit_quorum_queue.erl add_delivery_count_header/2; rabbit_misc.erl set_table_value/4,
which sorts the headers by name.
"""

from __future__ import annotations

from typing import Final

from rabbitry.broker.message import Message, Route
from rabbitry.wire.frames import content_properties, replace_properties
from rabbitry.wire.methods import BasicProperties
from rabbitry.wire.values import FieldValue, MalformedValue, SignedLong

HEADER: Final = "x-delivery-count"


def with_delivery_count(message: Message, count: int) -> Message:
    """Return a message as it is delivered again; as it is, if its properties cannot be read."""
    route, frames = message
    try:
        properties, _ = BasicProperties.decode(content_properties(frames), 0)
    except MalformedValue:
        return message
    headers: dict[str, FieldValue] = {**(properties.headers or {}), HEADER: SignedLong(count)}
    properties.headers = dict(sorted(headers.items(), key=_name_bytes))
    encoded = properties.encode()
    flags = int.from_bytes(encoded[:2], "big")
    if flags != route.flags:
        route = Route(route.exchange, route.routing_key, flags)
    return route, replace_properties(frames, encoded)


def _name_bytes(item: tuple[str, FieldValue]) -> bytes:
    return item[0].encode("utf-8", "surrogateescape")
