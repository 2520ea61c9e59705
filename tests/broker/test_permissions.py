"""Permissions: patterns, RabbitMQ's texts, and answers that are forgotten when the data change."""

from __future__ import annotations

import pytest

from rabbitry.broker.passwords import DEFAULT_ALGORITHM
from rabbitry.broker.permissions import (
    ANSWERS_KEPT_MAX,
    Access,
    Operation,
    Permission,
    Permissions,
    User,
    pattern_mistake,
)
from rabbitry.wire.errors import ChannelException


class Source:
    def __init__(self, configure: str = "", write: str = "", read: str = "") -> None:
        self.access = Access()
        self.access.users["u"] = User("u", b"hash", DEFAULT_ALGORITHM)
        self.allow(configure, write, read)

    def allow(self, configure: str, write: str, read: str) -> None:
        self.access.permissions["u", "/"] = Permission(configure, write, read)
        self.access.version += 1


def refusal(permissions: Permissions, operation: Operation, name: str) -> str:
    with pytest.raises(ChannelException) as fault:
        permissions.check(operation, "queue", name, 50, 10)
    assert (fault.value.class_id, fault.value.method_id) == (50, 10)
    return fault.value.reply_text


def test_each_operation_has_its_pattern() -> None:
    permissions = Permissions(Source("^c", "^w", "^r"), "u", "/")
    permissions.check("configure", "queue", "c1", 50, 10)
    permissions.check("write", "exchange", "w1", 50, 10)
    permissions.check("read", "queue", "r1", 50, 10)
    assert refusal(permissions, "read", "w1") == (
        "ACCESS_REFUSED - access to queue 'w1' in vhost '/' refused for user 'u'"
    )


@pytest.mark.parametrize(
    ("pattern", "name", "may"),
    [
        ("", "", False),  # the default exchange's name is amq.default here
        ("", "q", False),
        ("^$", "q", False),
        (".*", "q", True),
        ("own", "his own queue", True),
        (r"^(?!amq\.).*", "amq.gen-x", False),
        (r"^(amq\.gen.*|amq\.default)$", "", True),
    ],
)
def test_patterns_are_searched_for(pattern: str, name: str, may: bool) -> None:
    assert Source(configure=pattern).access.may("u", "/", "configure", name) is may


def test_the_default_exchange_has_a_name_in_refusals() -> None:
    permissions = Permissions(Source(write="^q$"), "u", "/")
    with pytest.raises(ChannelException) as fault:
        permissions.check("write", "exchange", "", 60, 40)
    assert fault.value.text == (
        "access to exchange 'amq.default' in vhost '/' refused for user 'u'"
    )


def test_another_virtual_host_is_refused() -> None:
    source = Source(".*", ".*", ".*")
    assert source.access.may_enter("u", "/")
    assert not source.access.may_enter("u", "other")
    assert not source.access.may("u", "other", "read", "q")


def test_answers_are_forgotten_when_the_data_change() -> None:
    source = Source(read=".*")
    permissions = Permissions(source, "u", "/")
    permissions.check("read", "queue", "q", 60, 20)
    source.allow("", "", "")
    refusal(permissions, "read", "q")
    source.allow("", "", "q")
    permissions.check("read", "queue", "q", 60, 20)


def test_answers_are_forgotten_when_the_data_come_anew() -> None:
    source = Source(read=".*")
    permissions = Permissions(source, "u", "/")
    permissions.check("read", "queue", "q", 60, 20)
    source.access = Source().access
    refusal(permissions, "read", "q")


def test_answers_are_remembered_within_bounds() -> None:
    permissions = Permissions(Source(read=".*"), "u", "/")
    for number in range(ANSWERS_KEPT_MAX * 2):
        permissions.check("read", "queue", f"q{number}", 60, 20)
    assert len(permissions._granted) <= ANSWERS_KEPT_MAX


def test_topic_permissions() -> None:
    source = Source(".*", ".*", ".*")
    access = source.access
    access.topic_permissions["u", "/", "x"] = Permission("", r"^{username}\.", "{vhost}")
    permissions = Permissions(source, "u", "/")
    permissions.check_topic("write", "x", "u.any", 60, 40)
    permissions.check_topic("read", "x", "a/b", 50, 20)
    permissions.check_topic("write", "another", "v.any", 60, 40)
    with pytest.raises(ChannelException) as fault:
        permissions.check_topic("write", "x", "v.any", 60, 40)
    assert fault.value.text == (
        "access to topic 'v.any' in exchange 'x' in vhost '/' refused for user 'u'"
    )
    assert fault.value.reply_code == 403


def test_a_name_that_breaks_a_topic_pattern_is_refused() -> None:
    access = Source().access
    access.topic_permissions["a(", "/", "x"] = Permission("", "^{username}", "")
    assert not access.may_on_topic("a(", "/", "x", "write", "a(")


@pytest.mark.parametrize("pattern", ["(", "*", "[a", "a{99999999999}"])
def test_what_is_no_pattern(pattern: str) -> None:
    assert pattern_mistake(pattern)


@pytest.mark.parametrize("pattern", ["", ".*", r"^(?!amq\.).*", "a++b", "(?i)x"])
def test_what_is_a_pattern(pattern: str) -> None:
    assert pattern_mistake(pattern) == ""


def test_a_user_shows_no_hash() -> None:
    assert "hash'" not in repr(User("u", b"hash", DEFAULT_ALGORITHM))


def test_who_has_the_tag_may_impersonate() -> None:
    source = Source()
    permissions = Permissions(source, "u", "/")
    assert not permissions.may_impersonate()
    source.access.users["u"] = User("u", b"hash", DEFAULT_ALGORITHM, ("impersonator",))
    assert permissions.may_impersonate()
    assert not Permissions(source, "gone", "/").may_impersonate()
