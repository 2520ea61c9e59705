"""Arguments of queues and of their consumers: which are valid, for which type of queue.

Judges the arguments alone, before a queue is declared anew or consumed; what they do is in
`queue_settings`, whether a second declaration says the same is in `cluster.declarations`. A fault
is returned as the text of a 406. Terms in the texts are Erlang's, as RabbitMQ prints them.

RabbitMQ: rabbit_amqqueue.erl check_declare_arguments/2, check_consume_arguments/3, declare_args/0,
consume_args/0; capabilities/0 of rabbit_classic_queue.erl, rabbit_quorum_queue.erl and
rabbit_stream_queue.erl; rabbit_queue_type_util.erl run_checks/2.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from re import fullmatch
from typing import Final

from rabbitry.wire.erlang_terms import type_name
from rabbitry.wire.values import FieldValue

Arguments = Mapping[str, FieldValue]

CLASSIC: Final = "classic"
QUORUM: Final = "quorum"
STREAM: Final = "stream"

EXPIRY_MS_MAX: Final = 315_360_000_000  # ten years
PRIORITY_MAX: Final = 255

# What each type of queue understands, in the order in which a second declaration is compared.
QUEUE_ARGUMENTS: Final[dict[str, tuple[str, ...]]] = {
    CLASSIC: (
        "x-expires",
        "x-message-ttl",
        "x-dead-letter-exchange",
        "x-dead-letter-routing-key",
        "x-max-length",
        "x-max-length-bytes",
        "x-max-priority",
        "x-overflow",
        "x-queue-mode",
        "x-queue-version",
        "x-single-active-consumer",
        "x-queue-type",
        "x-queue-master-locator",
    ),
    QUORUM: (
        "x-dead-letter-exchange",
        "x-dead-letter-routing-key",
        "x-dead-letter-strategy",
        "x-expires",
        "x-max-length",
        "x-max-length-bytes",
        "x-max-in-memory-length",
        "x-max-in-memory-bytes",
        "x-overflow",
        "x-single-active-consumer",
        "x-queue-type",
        "x-quorum-initial-group-size",
        "x-delivery-limit",
        "x-message-ttl",
        "x-queue-leader-locator",
    ),
    STREAM: (
        "x-max-length-bytes",
        "x-queue-type",
        "x-max-age",
        "x-stream-max-segment-size-bytes",
        "x-initial-cluster-size",
        "x-queue-leader-locator",
    ),
}
CONSUMER_ARGUMENTS: Final[dict[str, tuple[str, ...]]] = {
    CLASSIC: ("x-cancel-on-ha-failover", "x-priority", "x-credit"),
    QUORUM: ("x-priority", "x-credit"),
    STREAM: ("x-stream-offset", "x-credit"),
}

_INTEGER_TYPES: Final = (
    "byte",
    "short",
    "signedint",
    "long",
    "unsignedbyte",
    "unsignedshort",
    "unsignedint",
)


def queue_type(arguments: Arguments) -> str:
    """Return the type of queue that valid `arguments` ask for."""
    kind = arguments.get("x-queue-type")
    return kind if isinstance(kind, str) else CLASSIC


def module_name(kind: str) -> str:
    """Return the name of a type of queue as RabbitMQ's texts have it."""
    return f"rabbit_{kind}_queue"


def check_arguments(subject: str, arguments: Arguments) -> str | None:
    """Return why no queue can have these arguments, or None.

    `subject` is the queue as texts have it: "queue 'q' in vhost '/'".
    """
    name = "x-dead-letter-exchange"
    if name in arguments and type_name(arguments[name]) != "longstr":
        # Judged first, by the channel (rabbit_channel.erl, 'queue.declare').
        return f"invalid type '{type_name(arguments[name])}' for arg '{name}' in {subject}"
    name = "x-queue-type"
    if name in arguments:
        fault = _check_queue_type(arguments[name], arguments)
        if fault is not None:
            return f"invalid arg '{name}' for {subject}: {fault}"
    kind = queue_type(arguments)
    fault = _check_values(subject, arguments, QUEUE_ARGUMENTS[kind], _QUEUE_CHECKS)
    return fault or _check_names(subject, arguments, kind, QUEUE_ARGUMENTS)


def check_properties(
    subject: str, kind: str, *, durable: bool, exclusive: bool, auto_delete: bool
) -> str | None:
    """Return why no queue of this type can be declared so, or None."""
    if kind == CLASSIC:
        return None
    for wrong, what in (
        (auto_delete, "auto-delete"),
        (exclusive, "exclusive-owner"),
        (not durable, "non-durable"),
    ):
        if wrong:
            return f"invalid property '{what}' for {subject}"
    return None


def check_consumer(subject: str, arguments: Arguments, kind: str) -> str | None:
    """Return why a queue of this type cannot be consumed with these arguments, or None."""
    fault = _check_values(subject, arguments, CONSUMER_ARGUMENTS[kind], _CONSUMER_CHECKS)
    return fault or _check_names(subject, arguments, kind, CONSUMER_ARGUMENTS)


_Check = Callable[[FieldValue, Arguments], str | None]


def _check_values(
    subject: str, arguments: Arguments, understood: tuple[str, ...], checks: Mapping[str, _Check]
) -> str | None:
    for name, check in checks.items():
        if name in understood and name in arguments:
            fault = check(arguments[name], arguments)
            if fault is not None:
                return f"invalid arg '{name}' for {subject}: {fault}"
    return None


def _check_names(
    subject: str, arguments: Arguments, kind: str, understood: Mapping[str, tuple[str, ...]]
) -> str | None:
    """An argument that only other types of queue understand is a mistake."""
    for name in arguments:
        if name not in understood[kind] and any(name in names for names in understood.values()):
            return f"invalid arg '{name}' for {subject} of queue type {module_name(kind)}"
    return None


# --- one value: the reason, as an Erlang term -----------------------------------------------------


def _unacceptable(value: FieldValue) -> str:
    return f"{{unacceptable_type,{type_name(value)}}}"


def _check_int(value: FieldValue, _arguments: Arguments) -> str | None:
    kind = type_name(value)
    return None if kind in _INTEGER_TYPES else f'"expected integer, got {kind}"'


def _int_of(value: FieldValue) -> int:
    assert isinstance(value, int)
    return int(value)


def _check_not_negative(value: FieldValue, arguments: Arguments) -> str | None:
    fault = _check_int(value, arguments)
    if fault is None and _int_of(value) < 0:
        fault = f"{{value_negative,{_int_of(value)}}}"
    return fault


def _check_positive(value: FieldValue, arguments: Arguments) -> str | None:
    fault = _check_not_negative(value, arguments)
    if fault is None and _int_of(value) == 0:
        fault = "{value_zero,0}"
    return fault


def _check_ttl(value: FieldValue, arguments: Arguments) -> str | None:
    fault = _check_not_negative(value, arguments)
    if fault is None and _int_of(value) > EXPIRY_MS_MAX:
        fault = f"{{value_too_large,{_int_of(value)}}}"
    return fault


def _check_expires(value: FieldValue, arguments: Arguments) -> str | None:
    return _check_positive(value, arguments) or _check_ttl(value, arguments)


def _check_priority_max(value: FieldValue, arguments: Arguments) -> str | None:
    fault = _check_not_negative(value, arguments)
    if fault is None and _int_of(value) > PRIORITY_MAX:
        fault = f"{{max_value_exceeded,{_int_of(value)}}}"
    return fault


def _check_bool(value: FieldValue, _arguments: Arguments) -> str | None:
    return None if isinstance(value, bool) else _unacceptable(value)


def _check_dead_letter_exchange(value: FieldValue, _arguments: Arguments) -> str | None:
    return None if type_name(value) == "longstr" else _unacceptable(value)


def _check_dead_letter_routing_key(value: FieldValue, arguments: Arguments) -> str | None:
    if type_name(value) != "longstr":
        return _unacceptable(value)
    return None if "x-dead-letter-exchange" in arguments else "routing_key_but_no_dlx_defined"


def _one_of(*known: str, otherwise: str) -> _Check:
    """Return a check for one of `known`; `{}` in `otherwise` is the value."""

    def check(value: FieldValue, _arguments: Arguments) -> str | None:
        if type_name(value) != "longstr":
            return _unacceptable(value)
        text = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
        return None if text in known else otherwise.format(text)

    return check


_check_queue_type: Final = _one_of(
    CLASSIC, QUORUM, STREAM, otherwise="\"unsupported queue type '{}'\""
)


def _check_queue_version(value: FieldValue, arguments: Arguments) -> str | None:
    fault = _check_not_negative(value, arguments)
    if fault is None and _int_of(value) not in (1, 2):
        fault = f"\"unsupported queue version '{_int_of(value)}'\""
    return fault


def _check_age_max(value: FieldValue, _arguments: Arguments) -> str | None:
    if type_name(value) != "longstr":
        return _unacceptable(value)
    valid = isinstance(value, str) and fullmatch(r"0*[1-9][0-9]*[YMDhms]", value)
    return None if valid else "invalid_max_age"


# In the order in which they are checked.
_QUEUE_CHECKS: Final[dict[str, _Check]] = {
    "x-expires": _check_expires,
    "x-message-ttl": _check_ttl,
    "x-dead-letter-exchange": _check_dead_letter_exchange,
    "x-dead-letter-routing-key": _check_dead_letter_routing_key,
    "x-dead-letter-strategy": _one_of(
        "at-most-once", "at-least-once", otherwise="invalid_dlx_strategy"
    ),
    "x-max-length": _check_not_negative,
    "x-max-length-bytes": _check_not_negative,
    "x-max-in-memory-length": _check_not_negative,
    "x-max-in-memory-bytes": _check_not_negative,
    "x-max-priority": _check_priority_max,
    "x-overflow": _one_of(
        "drop-head", "reject-publish", "reject-publish-dlx", otherwise="invalid_overflow"
    ),
    "x-queue-mode": _one_of("default", "lazy", otherwise="\"unsupported queue mode '{}'\""),
    "x-queue-version": _check_queue_version,
    "x-single-active-consumer": _check_bool,
    "x-quorum-initial-group-size": _check_positive,
    "x-max-age": _check_age_max,
    "x-stream-max-segment-size-bytes": _check_not_negative,
    "x-initial-cluster-size": _check_positive,
    "x-queue-leader-locator": _one_of(
        "client-local",
        "balanced",
        "random",
        "least-leaders",
        otherwise="invalid_queue_locator_arg",
    ),
}
_CONSUMER_CHECKS: Final[dict[str, _Check]] = {
    "x-priority": _check_int,
    "x-cancel-on-ha-failover": _check_bool,
}
