"""Consistent hashing: exchanges of type `x-consistent-hash` deal messages among their bindings.

Each destination has as many buckets as the routing key of its binding says; the hash of a message
chooses one. The same hash finds the same destination for as long as the bindings stay; when a
destination is added, only what now belongs to it moves (jump consistent hash). The hash is taken
of the routing key, or of what the exchange's `hash-header` or `hash-property` names.

Which destination a hash finds differs from RabbitMQ's, whose hash is Erlang's own.

RabbitMQ: rabbit_exchange_type_consistent_hash.erl (plugin rabbitmq_consistent_hash_exchange).
Lamping, Veach: "A Fast, Minimal Memory, Consistent Hash Algorithm" (2014).
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Hashable, Iterable
from hashlib import blake2b
from typing import Final, Generic, TypeVar

from rabbitry.wire.erlang_terms import binary, type_name
from rabbitry.wire.methods import BasicProperties
from rabbitry.wire.values import FieldValue, encode_table

Table = dict[str, FieldValue]
T = TypeVar("T", bound=Hashable)
PROPERTIES: Final = ("correlation_id", "message_id", "timestamp")
_INTEGER: Final = re.compile(r"[+-]?[0-9]+", re.ASCII)
_64_BITS: Final = (1 << 64) - 1


def check_arguments(arguments: Table) -> str:
    """Return what is wrong with the arguments of an exchange, "" where nothing is."""
    for name in ("hash-header", "hash-property"):
        if name in arguments and type_name(arguments[name]) != "longstr":
            # RabbitMQ 3.10 ends the connection with an internal error here.
            return f"invalid type '{type_name(arguments[name])}' for arg '{name}'"
    if "hash-property" not in arguments:
        return ""
    if "hash-header" in arguments:
        return "hash-header and hash-property are mutually exclusive"
    if arguments["hash-property"] not in PROPERTIES:
        return f"Unsupported property: {_text(arguments['hash-property'])}"
    return ""


def check_weight(routing_key: str) -> str:
    """Return what is wrong with the routing key of a binding, "" where nothing is."""
    if not _INTEGER.fullmatch(routing_key):
        raw = routing_key.encode("utf-8", "surrogateescape")
        return f"The binding key must be an integer: {binary(raw)}"
    return "" if int(routing_key) >= 1 else "The binding key must be greater than 0"


class HashSource:
    """What of a message is hashed: `arguments` are those of the exchange."""

    def __init__(self, arguments: Table) -> None:
        header, name = arguments.get("hash-header"), arguments.get("hash-property")
        self._header = _text(header) if header is not None else ""
        self._property = _text(name) if name is not None else ""
        self.needs_properties = bool(self._header or self._property)

    def hash_of(self, routing_key: str, properties: BasicProperties | None) -> int:
        """Return a hash of 64 bits. Messages that lack what is hashed all get the same."""
        if not self.needs_properties or properties is None:
            raw = routing_key.encode("utf-8", "surrogateescape")
        elif self._header:
            headers = properties.headers or {}
            value = headers.get(self._header)
            raw = encode_table({"": value}) if self._header in headers else b""
        else:
            found = getattr(properties, self._property)
            raw = b"" if found is None else str(found).encode("utf-8", "surrogateescape")
        return int.from_bytes(blake2b(raw, digest_size=8).digest(), "big")


class HashRing(Generic[T]):
    """Destinations with their numbers of buckets, in order; a destination given twice counts once.

    RabbitMQ keeps the first binding of a destination and takes no notice of others.
    """

    def __init__(self, weights: Iterable[tuple[T, int]]) -> None:
        first: dict[T, int] = {}
        for destination, weight in weights:
            first.setdefault(destination, weight)
        self._destinations = list(first)
        self._ends: list[int] = []
        buckets = 0
        for weight in first.values():
            buckets += weight
            self._ends.append(buckets)

    def find(self, hashed: int) -> T | None:
        """Return the destination of a hash; None where there are no destinations."""
        if not self._ends:
            return None
        return self._destinations[bisect_right(self._ends, jump(hashed, self._ends[-1]))]


def jump(hashed: int, buckets: int) -> int:
    """Return which of `buckets` a hash of 64 bits belongs to: 0 to `buckets` - 1."""
    bucket, candidate = -1, 0
    while candidate < buckets:
        bucket = candidate
        hashed = (hashed * 2862933555777941757 + 1) & _64_BITS
        candidate = ((bucket + 1) << 31) // ((hashed >> 33) + 1)
    return bucket


def _text(value: FieldValue) -> str:
    if isinstance(value, bytes):
        return value.decode("utf-8", "surrogateescape")
    return str(value)
