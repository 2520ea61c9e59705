"""Policies: which govern a queue or an exchange, and what they say together.

Of the policies of a virtual host that match a name, the one of highest priority governs; of the
operator policies likewise; where both set the same thing, the smaller number holds. Arguments that
a client gives are put together with the policy by whoever carries them out.

Owns matching, merging, and what a definition may contain. Keys that RabbitMQ knows and that mean
nothing here (of streams, of plugins) are accepted, so that definitions can be taken over as they
are; they have no effect.

RabbitMQ: rabbit_policy.erl match/2, merge_operator_definitions/2; rabbit_policies.erl;
rabbit_mirror_queue_misc.erl validate_policy/1.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Final, Literal, Protocol

from rabbitry.broker.permissions import pattern_mistake

PolicyValue = bool | int | str | list[str]
Definition = dict[str, PolicyValue]
APPLY_TO: Final = ("queues", "exchanges", "all")


# rabbit_classic_queue.erl and rabbit_quorum_queue.erl, capabilities/0.
INAPPLICABLE: Final[dict[str, tuple[str, ...]]] = {
    "classic": (
        "max-age",
        "stream-max-segment-size-bytes",
        "queue-leader-locator",
        "initial-cluster-size",
        "delivery-limit",
        "dead-letter-strategy",
    ),
    "quorum": (
        "queue-mode",
        "ha-mode",
        "ha-params",
        "ha-sync-mode",
        "ha-promote-on-shutdown",
        "ha-promote-on-failure",
        "queue-master-locator",
        "max-age",
        "stream-max-segment-size-bytes",
        "initial-cluster-size",
    ),
}


class Policy(Protocol):
    """A policy as the catalog keeps it; `apply_to` is one of `APPLY_TO`."""

    name: str
    pattern: str
    apply_to: str
    priority: int
    definition: Definition


def matching(
    policies: Iterable[Policy],
    kind: Literal["queue", "exchange"],
    name: str,
    inapplicable: tuple[str, ...] = (),
) -> Policy | None:
    """Return the policy of highest priority that matches; the first by name among equals.

    A policy that says anything `inapplicable` to queues of this type does not match.
    """
    found: Policy | None = None
    for policy in policies:
        if policy.apply_to not in (kind + "s", "all"):
            continue
        if any(key in policy.definition for key in inapplicable):
            continue
        if found is not None and (-policy.priority, policy.name) > (-found.priority, found.name):
            continue
        if re.search(policy.pattern, name):
            found = policy
    return found


def merged(policy: Policy | None, operator_policy: Policy | None) -> Definition:
    """Return what a policy and an operator policy say together."""
    definition = dict(policy.definition) if policy is not None else {}
    for key, value in operator_policy.definition.items() if operator_policy is not None else ():
        own = definition.get(key)
        if isinstance(own, int) and isinstance(value, int):
            value = value if isinstance(value, bool) else min(own, value)
        definition[key] = value
    return definition


def policy_mistake(
    pattern: str, apply_to: str, definition: Mapping[str, PolicyValue], *, operator: bool
) -> str:
    """Return what is wrong with a policy, or an empty text."""
    mistake = pattern_mistake(pattern)
    if mistake:
        return f"invalid regular expression '{pattern}': {mistake}"
    if apply_to not in APPLY_TO:
        return f"apply-to '{apply_to}' unrecognised; should be 'queues', 'exchanges' or 'all'"
    if not definition:
        return "no policy provided"
    for key, value in definition.items():
        if key not in _CHECKS or (operator and key not in OPERATOR_KEYS):
            kind = "operator policy" if operator else "policy"
            return f"'{key}' is not a recognised {kind} setting"
        right, what = _CHECKS[key]
        if not right(value):
            return f"{value!r} is not a valid {what} ({key})"
    return _mirroring_mistake(definition)


def _mirroring_mistake(definition: Mapping[str, PolicyValue]) -> str:
    mode, parameters = definition.get("ha-mode"), definition.get("ha-params")
    if mode is None:
        if any(key.startswith("ha-") for key in definition):
            return (
                "ha-mode must be specified to specify ha-params, ha-sync-mode or "
                "ha-promote-on-shutdown"
            )
    elif mode == "exactly":
        if type(parameters) is not int or parameters < 1:
            return f'ha-mode="exactly" takes an integer, {parameters!r} given'
    elif mode == "nodes":
        if not isinstance(parameters, list) or not parameters:
            return f'ha-mode="nodes" takes a list of strings, {parameters!r} given'
    elif parameters is not None:
        return 'ha-mode="all" does not take parameters'
    return ""


Check = Callable[[PolicyValue], bool]


def _number(least: int) -> Check:
    return lambda value: type(value) is int and value >= least


def _text(value: PolicyValue) -> bool:
    return isinstance(value, str)


def _anything(_value: PolicyValue) -> bool:
    return True


def _one_of(*words: PolicyValue) -> Check:
    return lambda value: any(value == word and type(value) is type(word) for word in words)


OPERATOR_KEYS: Final = (
    "expires",
    "message-ttl",
    "max-length",
    "max-length-bytes",
    "max-in-memory-length",
    "max-in-memory-bytes",
    "delivery-limit",
)
_PROMOTE: Final = _one_of("always", "when-synced")
_CHECKS: Final[dict[str, tuple[Check, str]]] = {
    "alternate-exchange": (_text, "alternate exchange name"),
    "consumer-timeout": (_number(0), "consumer timeout"),
    "dead-letter-exchange": (_text, "dead letter exchange name"),
    "dead-letter-routing-key": (_text, "dead letter routing key"),
    "dead-letter-strategy": (_one_of("at-most-once", "at-least-once"), "dead letter strategy"),
    "message-ttl": (_number(0), "message TTL"),
    "expires": (_number(1), "queue expiry"),
    "max-length": (_number(0), "maximum length"),
    "max-length-bytes": (_number(0), "maximum length in bytes"),
    "max-in-memory-length": (_number(0), "maximum memory in bytes"),
    "max-in-memory-bytes": (_number(0), "maximum memory in bytes"),
    "queue-mode": (_one_of("default", "lazy"), "queue-mode value"),
    "queue-version": (_one_of(1, 2), "queue-version value"),
    "overflow": (_one_of("drop-head", "reject-publish", "reject-publish-dlx"), "overflow value"),
    "delivery-limit": (_number(0), "delivery limit"),
    "max-age": (_text, "max age"),
    "queue-leader-locator": (
        _one_of("client-local", "balanced", "random", "least-leaders"),
        "queue leader locator value",
    ),
    "queue-master-locator": (
        _one_of("client-local", "min-masters", "random"),
        "queue master locator value",
    ),
    "initial-cluster-size": (_number(0), "cluster size"),
    "stream-max-segment-size-bytes": (_number(0), "segment size"),
    "ha-mode": (_one_of("all", "exactly", "nodes"), "ha-mode"),
    "ha-params": (_anything, "ha-params"),
    "ha-sync-mode": (_one_of("manual", "automatic"), "ha-sync-mode"),
    "ha-sync-batch-size": (_number(1), "ha-sync-batch-size"),
    "ha-promote-on-shutdown": (_PROMOTE, "ha-promote-on-shutdown"),
    "ha-promote-on-failure": (_PROMOTE, "ha-promote-on-failure"),
    # Of plugins:
    "federation-upstream": (_text, "federation upstream"),
    "federation-upstream-pattern": (_text, "federation upstream pattern"),
    "federation-upstream-set": (_text, "federation upstream set"),
    "shards-per-node": (_number(0), "number of shards"),
    "routing-key": (_text, "routing key"),
}
