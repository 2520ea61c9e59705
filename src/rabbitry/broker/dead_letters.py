"""Dead letters: what becomes of a message that a queue gives up.

Owns the message's side: its history in the header `x-death`, the headers that tell of its first
death, what is taken from it (its expiration; `CC` where the queue names a routing key), and which
queues it must not go to again. When a message dies, and where its dead letter is routed, is the
queue's business.

`x-death` is kept as RabbitMQ 3.10 keeps it, odd turns included: one entry for each queue and
reason, the latest in front, those behind it turned round each time; a death of the same kind only
counts up, and keeps the time, exchange and routing keys of the first.

RabbitMQ: rabbit_dead_letter.erl make_msg/5, update_x_death_header/2, detect_cycles/3;
rabbit_misc.erl set_table_value/4, which sorts the headers by name.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

from rabbitry.broker.message import Message
from rabbitry.wire.frames import content_properties, replace_properties
from rabbitry.wire.methods import BasicProperties
from rabbitry.wire.values import (
    ByteArray,
    FieldValue,
    MalformedValue,
    SignedLong,
    Timestamp,
)

Reason = Literal["rejected", "expired", "maxlen", "delivery_limit"]
Table = dict[str, FieldValue]
ROUTING_HEADERS: Final = ("CC", "BCC")


class DeadLetter(NamedTuple):
    """A message to be published to the dead letter exchange.

    `routing_keys` has the message's own key first, then those of its CC header; it is routed with
    all of them. `flags` is the property flags word of `frames`. `cycling` are the queues that it
    must not be routed to: it has been there before and came back without a consumer having
    rejected it.
    """

    routing_keys: list[bytes]
    flags: int
    frames: bytes
    cycling: tuple[str, ...]


def dead_letter(
    queue: str, reason: Reason, message: Message, time_s: int, routing_key: bytes | None
) -> DeadLetter:
    """Return what `message` becomes when `queue` gives it up for `reason` at `time_s` (Unix time).

    `routing_key` is the queue's dead letter routing key, None where it has none. Properties that
    cannot be read are dropped: the history must be kept, or a cycle would never end.
    """
    route, frames = message
    try:
        properties, _ = BasicProperties.decode(content_properties(frames), 0)
    except MalformedValue:
        properties = BasicProperties()
    headers: Table = dict(properties.headers or {})
    keys = [route.routing_key, *header_routing_keys(headers)]
    death: Table = {
        "reason": reason,
        "queue": queue.encode("utf-8", "surrogateescape"),
        "time": Timestamp(time_s),
        "exchange": route.exchange,
        "routing-keys": list(keys),
    }
    if properties.expiration is not None:
        death["original-expiration"] = properties.expiration.encode("utf-8", "surrogateescape")
        properties.expiration = None
    deaths = _add_death(headers, death)
    headers["x-death"] = list(deaths)
    if routing_key is not None:
        keys = [routing_key]
        headers.pop("CC", None)
    properties.headers = dict(sorted(headers.items(), key=_name_bytes))
    encoded = properties.encode()
    return DeadLetter(
        keys,
        int.from_bytes(encoded[:2], "big"),
        replace_properties(frames, encoded),
        _cycling(deaths),
    )


def header_routing_keys(headers: Table) -> list[bytes]:
    """Return the further routing keys that the headers CC and BCC of a message name."""
    return [
        key
        for name in ROUTING_HEADERS
        for value in _array(headers.get(name))
        if (key := _string(value)) is not None
    ]


def _add_death(headers: Table, death: Table) -> list[FieldValue]:
    """Return the new history; note a first death in `headers`."""
    before = headers.get("x-death")
    if "x-death" not in headers:
        for name in ("reason", "queue", "exchange"):
            headers[f"x-first-death-{name}"] = death[name]
    if not isinstance(before, list):
        # None yet; or a client has made something else of it (rabbitmq-server#767): begin anew.
        return [{"count": SignedLong(1), **death}]
    kind = _kind(death)
    others: list[FieldValue] = []
    counted: Table = {"count": SignedLong(1), **death}
    for entry in _grouped(before):
        if isinstance(entry, dict) and _kind(entry) == kind:
            count = entry.get("count")
            number = count + 1 if isinstance(count, int) else 1
            counted = {**entry, "count": SignedLong(number)}
        else:
            others.append(entry)
    return [dict(sorted(counted.items(), key=_name_bytes)), *others]


def _grouped(deaths: list[FieldValue]) -> list[FieldValue]:
    """Return one entry for each queue and reason, turned round.

    Histories from before there was a count hold an entry for each death; the first of a kind
    stays, with their number as its count.
    """
    if len(deaths) <= 1:
        return deaths
    grouped: list[FieldValue] = []
    seen: dict[tuple[bytes | None, bytes | None], None] = {}
    for entry in deaths:
        if not isinstance(entry, dict):
            grouped.insert(0, entry)
            continue
        kind = _kind(entry)
        if kind in seen:
            continue
        seen[kind] = None
        if "count" not in entry:
            same = [one for one in deaths if isinstance(one, dict) and _kind(one) == kind]
            entry = {"count": SignedLong(len(same)), **entry}
        grouped.insert(0, entry)
    return grouped


def _cycling(deaths: list[FieldValue]) -> tuple[str, ...]:
    """Return the queues that the message came from without having been rejected on the way.

    An entry that is no table was put there by a client, which ends the cycle too.
    """
    queues: dict[str, None] = {}
    for death in deaths:
        if not isinstance(death, dict) or _string(death.get("reason")) == b"rejected":
            break
        queue = _string(death.get("queue"))
        if queue is not None:
            queues[queue.decode("utf-8", "surrogateescape")] = None
    return tuple(queues)


def _kind(death: Table) -> tuple[bytes | None, bytes | None]:
    return _string(death.get("queue")), _string(death.get("reason"))


def _array(value: FieldValue) -> list[FieldValue]:
    return value if isinstance(value, list) else []


def _string(value: FieldValue) -> bytes | None:
    """Return the bytes of a long string, None for a value of another type."""
    if isinstance(value, str):
        return value.encode("utf-8", "surrogateescape")
    if isinstance(value, bytes) and not isinstance(value, ByteArray):
        return value
    return None


def _name_bytes(item: tuple[str, FieldValue]) -> bytes:
    return item[0].encode("utf-8", "surrogateescape")
