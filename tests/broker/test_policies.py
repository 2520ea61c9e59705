"""Policies: which one governs, what two say together, and what a definition may contain."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rabbitry.broker.policies import (
    INAPPLICABLE,
    OPERATOR_KEYS,
    Definition,
    PolicyValue,
    matching,
    merged,
    policy_mistake,
)


@dataclass
class Policy:
    name: str
    pattern: str = ""
    priority: int = 0
    apply_to: str = "all"
    definition: Definition = field(default_factory=dict)


def test_the_highest_priority_governs_and_the_first_name_among_equals() -> None:
    low, first, second = Policy("a"), Policy("b", priority=1), Policy("c", priority=1)
    assert matching([low, second, first], "queue", "q") is first
    assert matching([], "queue", "q") is None


@given(st.permutations([Policy(name, priority=p) for name in "abc" for p in (0, 1)]))
def test_the_order_in_which_policies_came_does_not_matter(policies: list[Policy]) -> None:
    found = matching(policies, "queue", "q")
    assert found is not None
    assert (found.name, found.priority) == ("a", 1)


@pytest.mark.parametrize(
    ("pattern", "apply_to", "matches"),
    [
        ("^q", "queues", True),
        ("^q", "all", True),
        ("^q", "exchanges", False),
        ("own", "all", False),
        (r"^(?!amq\.)", "all", True),
        ("", "all", True),
    ],
)
def test_pattern_and_kind(pattern: str, apply_to: str, matches: bool) -> None:
    policy = Policy("p", pattern, apply_to=apply_to)
    assert (matching([policy], "queue", "q1") is policy) is matches


def test_a_policy_with_something_inapplicable_to_the_type_of_queue_does_not_match() -> None:
    policy = Policy("p", priority=5, definition={"ha-mode": "all", "expires": 1})
    other = Policy("q", definition={"expires": 2})
    assert matching([policy, other], "queue", "q", INAPPLICABLE["classic"]) is policy
    assert matching([policy, other], "queue", "q", INAPPLICABLE["quorum"]) is other


@pytest.mark.parametrize(
    ("own", "operators", "together"),
    [
        ({"max-length": 5}, {"max-length": 3}, {"max-length": 3}),
        ({"max-length": 2}, {"max-length": 3}, {"max-length": 2}),
        ({"overflow": "drop-head"}, {"expires": 3}, {"overflow": "drop-head", "expires": 3}),
        ({}, {"expires": 3}, {"expires": 3}),
    ],
)
def test_an_operator_policy_holds_where_it_is_smaller(
    own: Definition, operators: Definition, together: Definition
) -> None:
    policy, operator_policy = Policy("p", definition=own), Policy("o", definition=operators)
    assert merged(policy, operator_policy) == together


def test_one_alone_or_none() -> None:
    policy = Policy("p", definition={"expires": 1})
    assert merged(policy, None) == {"expires": 1}
    assert merged(None, policy) == {"expires": 1}
    assert merged(None, None) == {}


GOOD: list[Definition] = [
    {"expires": 1},
    {"message-ttl": 0, "max-length": 0, "max-length-bytes": 10},
    {"overflow": "reject-publish-dlx"},
    {"dead-letter-exchange": "", "dead-letter-routing-key": "k"},
    {"alternate-exchange": "x"},
    {"delivery-limit": 3},
    {"queue-mode": "lazy", "queue-version": 2},
    {"ha-mode": "all", "ha-sync-mode": "automatic"},
    {"ha-mode": "exactly", "ha-params": 2, "ha-sync-mode": "manual"},
    {"ha-mode": "nodes", "ha-params": ["rabbit@a", "rabbit@b"]},
    {"federation-upstream-set": "all"},
]
BAD: list[tuple[Definition, str]] = [
    ({}, "no policy provided"),
    ({"expires": 0}, "0 is not a valid queue expiry"),
    ({"message-ttl": -1}, "not a valid message TTL"),
    ({"max-length": True}, "not a valid maximum length"),
    ({"max-length": "5"}, "'5' is not a valid maximum length"),
    ({"overflow": "drop-tail"}, "not a valid overflow value"),
    ({"queue-version": True}, "not a valid queue-version value"),
    ({"surprise": 1}, "'surprise' is not a recognised policy setting"),
    ({"ha-params": 2}, "ha-mode must be specified"),
    ({"ha-mode": "exactly"}, "takes an integer"),
    ({"ha-mode": "exactly", "ha-params": 0}, "takes an integer"),
    ({"ha-mode": "nodes", "ha-params": 2}, "takes a list of strings"),
    ({"ha-mode": "all", "ha-params": 2}, "does not take parameters"),
    ({"ha-mode": "most"}, "not a valid ha-mode"),
]


@pytest.mark.parametrize("definition", GOOD)
def test_good_definitions(definition: Definition) -> None:
    assert policy_mistake(".*", "all", definition, operator=False) == ""


@pytest.mark.parametrize(("definition", "text"), BAD)
def test_bad_definitions(definition: Definition, text: str) -> None:
    assert text in policy_mistake(".*", "all", definition, operator=False)


@pytest.mark.parametrize("key", OPERATOR_KEYS)
def test_what_operators_may_set(key: str) -> None:
    assert policy_mistake(".*", "queues", {key: 5}, operator=True) == ""


@pytest.mark.parametrize(("key", "value"), [("overflow", "drop-head"), ("ha-mode", "all")])
def test_what_operators_may_not_set(key: str, value: PolicyValue) -> None:
    mistake = policy_mistake(".*", "all", {key: value}, operator=True)
    assert mistake == f"'{key}' is not a recognised operator policy setting"


def test_a_bad_pattern_and_a_bad_kind() -> None:
    assert "invalid regular expression '('" in policy_mistake(
        "(", "all", {"expires": 1}, operator=False
    )
    assert policy_mistake("", "streams", {"expires": 1}, operator=False).startswith(
        "apply-to 'streams' unrecognised"
    )
