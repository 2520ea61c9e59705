"""What a queue is told to do: arguments and policies as one value."""

from __future__ import annotations

import pytest

from rabbitry.broker.queue_settings import DEFAULT, QueueSettings, settings_of
from rabbitry.wire.values import FieldValue


def test_nothing_said_is_a_classic_queue_without_limits() -> None:
    assert settings_of({}) == DEFAULT == QueueSettings()
    assert settings_of({"x-unknown": 1}) == DEFAULT


def test_every_argument_has_its_setting() -> None:
    arguments: dict[str, FieldValue] = {
        "x-queue-type": "quorum",
        "x-message-ttl": 1,
        "x-expires": 2,
        "x-max-length": 3,
        "x-max-length-bytes": 4,
        "x-overflow": "reject-publish",
        "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": "k",
        "x-max-priority": 5,
        "x-single-active-consumer": True,
        "x-delivery-limit": 6,
    }
    expected = QueueSettings("quorum", 1, 2, 3, 4, "reject-publish", "", "k", 5, True, 6)
    assert settings_of(arguments) == expected


@pytest.mark.parametrize(
    ("argument", "policy", "operator", "expected"),
    [(10, 20, None, 10), (20, 10, None, 10), (None, 20, 10, 10), (5, 20, 10, 5), (0, 1, 1, 0)],
)
def test_of_numbers_the_least_wins(
    argument: int | None, policy: int, operator: int | None, expected: int
) -> None:
    arguments = {} if argument is None else {"x-message-ttl": argument}
    operators = {} if operator is None else {"message-ttl": operator}
    settings = settings_of(arguments, {"message-ttl": policy}, operators)
    assert settings.message_ttl_ms == expected


def test_of_all_else_the_argument_wins_then_the_operator() -> None:
    arguments = {"x-dead-letter-exchange": "argument"}
    policy = {"dead-letter-exchange": "policy", "overflow": "reject-publish"}
    operator = {"dead-letter-exchange": "operator", "overflow": "drop-head"}
    assert settings_of(arguments, policy, operator).dead_letter_exchange == "argument"
    assert settings_of({}, policy, operator).dead_letter_exchange == "operator"
    assert settings_of({}, policy).overflow == "reject-publish"


def test_only_a_queue_with_a_length_rejects() -> None:
    assert not settings_of({"x-overflow": "reject-publish"}).rejects_publishes
    assert settings_of({"x-overflow": "reject-publish", "x-max-length": 1}).rejects_publishes
    assert not settings_of({"x-max-length": 1}).rejects_publishes
    assert settings_of({"x-max-length": 1}).bounded
