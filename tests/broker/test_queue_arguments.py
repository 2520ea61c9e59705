"""Arguments of queues and consumers: what RabbitMQ 3.10 says to each, tried against it."""

from __future__ import annotations

from decimal import Decimal

import pytest

from rabbitry.broker.queue_arguments import (
    EXPIRY_MS_MAX,
    Arguments,
    check_arguments,
    check_consumer,
    check_properties,
    module_name,
    queue_type,
)
from rabbitry.wire.erlang_terms import type_name
from rabbitry.wire.values import SignedLong, SignedShort, Timestamp, UnsignedByte

QUEUE = "queue 'q' in vhost '/'"
QUORUM = {"x-queue-type": "quorum"}
STREAM = {"x-queue-type": "stream"}


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"x-nothing": 1, "nothing": "at all"},
        {"x-expires": 1, "x-message-ttl": 0, "x-max-length": 0, "x-max-length-bytes": 0},
        {"x-expires": SignedLong(EXPIRY_MS_MAX), "x-message-ttl": SignedLong(EXPIRY_MS_MAX)},
        {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": ""},
        {"x-dead-letter-routing-key": "k", "x-dead-letter-exchange": "x"},
        {"x-max-priority": 0},
        {"x-max-priority": UnsignedByte(255)},
        {"x-max-priority": SignedShort(9)},
        {"x-overflow": "drop-head", "x-queue-mode": "lazy", "x-queue-version": 2},
        {"x-overflow": "reject-publish-dlx"},
        {"x-single-active-consumer": True, "x-queue-type": "classic"},
        {**QUORUM, "x-delivery-limit": "anything"},
        {**QUORUM, "x-dead-letter-strategy": "at-least-once", "x-queue-leader-locator": "balanced"},
        {**STREAM, "x-max-age": "3D", "x-max-length-bytes": 9},
    ],
)
def test_valid_arguments(arguments: Arguments) -> None:
    assert check_arguments(QUEUE, arguments) is None


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("x-expires", 0, "{value_zero,0}"),
        ("x-expires", -1, "{value_negative,-1}"),
        ("x-expires", SignedLong(EXPIRY_MS_MAX + 1), "{value_too_large,315360000001}"),
        ("x-expires", "a", '"expected integer, got longstr"'),
        ("x-expires", 1.5, '"expected integer, got double"'),
        ("x-expires", True, '"expected integer, got bool"'),
        ("x-message-ttl", -1, "{value_negative,-1}"),
        ("x-message-ttl", SignedLong(EXPIRY_MS_MAX + 1), "{value_too_large,315360000001}"),
        ("x-message-ttl", [1], '"expected integer, got array"'),
        ("x-dead-letter-routing-key", "k", "routing_key_but_no_dlx_defined"),
        ("x-dead-letter-routing-key", 1, "{unacceptable_type,signedint}"),
        ("x-max-length", -1, "{value_negative,-1}"),
        ("x-max-length", {}, '"expected integer, got table"'),
        ("x-max-length-bytes", -5, "{value_negative,-5}"),
        ("x-max-priority", 256, "{max_value_exceeded,256}"),
        ("x-max-priority", -1, "{value_negative,-1}"),
        ("x-max-priority", Timestamp(9), '"expected integer, got timestamp"'),
        ("x-max-priority", Decimal("1.5"), '"expected integer, got decimal"'),
        ("x-overflow", "nonsense", "invalid_overflow"),
        ("x-overflow", 1, "{unacceptable_type,signedint}"),
        ("x-queue-mode", "x", "\"unsupported queue mode 'x'\""),
        ("x-queue-version", 3, "\"unsupported queue version '3'\""),
        ("x-queue-version", "1", '"expected integer, got longstr"'),
        ("x-single-active-consumer", 1, "{unacceptable_type,signedint}"),
        ("x-queue-type", "nonsense", "\"unsupported queue type 'nonsense'\""),
        ("x-queue-type", 5, "{unacceptable_type,signedint}"),
    ],
)
def test_a_value_that_cannot_be(name: str, value: object, reason: str) -> None:
    arguments: dict[str, object] = {name: value}
    assert check_arguments(QUEUE, arguments) == f"invalid arg '{name}' for {QUEUE}: {reason}"  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("kind", "name", "value", "reason"),
    [
        ("quorum", "x-overflow", "bad", "invalid_overflow"),
        ("quorum", "x-dead-letter-strategy", "bad", "invalid_dlx_strategy"),
        ("quorum", "x-quorum-initial-group-size", 0, "{value_zero,0}"),
        ("quorum", "x-queue-leader-locator", "bad", "invalid_queue_locator_arg"),
        ("stream", "x-max-age", "3q", "invalid_max_age"),
        ("stream", "x-max-age", 3, "{unacceptable_type,signedint}"),
    ],
)
def test_a_value_that_cannot_be_in_this_type(
    kind: str, name: str, value: str | int, reason: str
) -> None:
    arguments = {"x-queue-type": kind, name: value}
    assert check_arguments(QUEUE, arguments) == f"invalid arg '{name}' for {QUEUE}: {reason}"


@pytest.mark.parametrize("value", [1, None, ["x"]])
def test_the_type_of_a_dead_letter_exchange_is_judged_first(value: object) -> None:
    arguments: dict[str, object] = {"x-dead-letter-exchange": value, "x-queue-type": "nonsense"}
    fault = check_arguments(QUEUE, arguments)  # type: ignore[arg-type]
    kind = type_name(value)  # type: ignore[arg-type]
    assert fault == f"invalid type '{kind}' for arg 'x-dead-letter-exchange' in {QUEUE}"


@pytest.mark.parametrize(
    ("arguments", "name", "kind"),
    [
        ({"x-delivery-limit": 3}, "x-delivery-limit", "classic"),
        ({"x-max-age": "1D"}, "x-max-age", "classic"),
        ({**QUORUM, "x-max-priority": 5}, "x-max-priority", "quorum"),
        ({**QUORUM, "x-queue-mode": "lazy"}, "x-queue-mode", "quorum"),
        ({**STREAM, "x-expires": 5}, "x-expires", "stream"),
    ],
)
def test_what_only_other_types_understand(arguments: Arguments, name: str, kind: str) -> None:
    expected = f"invalid arg '{name}' for {QUEUE} of queue type rabbit_{kind}_queue"
    assert check_arguments(QUEUE, arguments) == expected


def test_values_are_judged_in_the_order_of_the_checks_and_before_names() -> None:
    found = check_arguments(QUEUE, {"x-delivery-limit": 1, "x-overflow": 1, "x-expires": 0})
    assert found == f"invalid arg 'x-expires' for {QUEUE}: {{value_zero,0}}"


def test_a_quorum_queue_is_durable_and_for_all() -> None:
    def found(durable: bool, exclusive: bool, auto_delete: bool, kind: str = "quorum") -> str:
        fault = check_properties(
            QUEUE, kind, durable=durable, exclusive=exclusive, auto_delete=auto_delete
        )
        return (fault or "").removesuffix(f" for {QUEUE}")

    assert found(True, False, False) == ""
    assert found(False, False, False) == "invalid property 'non-durable'"
    assert found(False, True, False) == "invalid property 'exclusive-owner'"
    assert found(False, True, True) == "invalid property 'auto-delete'"
    assert found(False, True, True, "classic") == ""


def test_consumers() -> None:
    def found(kind: str, name: str, value: object) -> str | None:
        return check_consumer(QUEUE, {name: value}, kind)  # type: ignore[dict-item]

    reason = f"invalid arg 'x-priority' for {QUEUE}: \"expected integer, got "
    assert found("classic", "x-priority", -5) is None
    assert found("classic", "x-priority", "a") == f'{reason}longstr"'
    assert found("quorum", "x-priority", True) == f'{reason}bool"'
    name = "x-cancel-on-ha-failover"
    assert found("classic", name, True) is None
    expected = f"invalid arg '{name}' for {QUEUE}: {{unacceptable_type,signedint}}"
    assert found("classic", name, 1) == expected
    assert found("quorum", name, True) == (
        f"invalid arg '{name}' for {QUEUE} of queue type rabbit_quorum_queue"
    )
    assert found("classic", "x-stream-offset", "first") == (
        f"invalid arg 'x-stream-offset' for {QUEUE} of queue type rabbit_classic_queue"
    )
    assert found("classic", "x-nothing", "first") is None


def test_names() -> None:
    assert [queue_type(one) for one in ({}, QUORUM)] == ["classic", "quorum"]
    assert module_name("quorum") == "rabbit_quorum_queue"
    assert [type_name(one) for one in ("a", 1, True, UnsignedByte(1), SignedLong(1), None)] == [
        "longstr",
        "signedint",
        "bool",
        "unsignedbyte",
        "long",
        "void",
    ]
