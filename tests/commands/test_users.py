"""`rabbitry users`: each command does what it says, and no password is ever shown."""

from __future__ import annotations

from support.operated import Operated

from rabbitry.broker.passwords import is_password


def test_a_users_life(operated: Operated) -> None:
    out = operated.run("users", "add", "alice", "management", "monitoring", typed="secret\n")
    assert "secret" not in out
    alice = operated.catalog.access.users["alice"]
    assert is_password(b"secret", alice.password_hash, alice.hashing_algorithm)
    assert "alice  management, monitoring" in operated.run("users", "list")
    assert "secret" not in operated.run("users", "change-password", "alice", typed="other\n")
    alice = operated.catalog.access.users["alice"]
    assert is_password(b"other", alice.password_hash, alice.hashing_algorithm)
    assert alice.tags == ("management", "monitoring")
    operated.run("users", "set-tags", "alice")
    assert operated.catalog.access.users["alice"].tags == ()
    operated.run("users", "delete", "alice")
    assert "alice" not in operated.catalog.access.users


def test_permissions(operated: Operated) -> None:
    operated.run("vhosts", "add", "shop")
    operated.run("users", "add", "alice", typed="secret\n")
    operated.run("users", "set-permissions", "alice", "^c", "^w", "^r", "--vhost", "shop")
    operated.run("users", "set-topic-permissions", "alice", "amq.topic", "^w", "-p", "shop")
    access = operated.catalog.access
    assert access.permissions["alice", "shop"] == ("^c", "^w", "^r")
    assert access.topic_permissions["alice", "shop", "amq.topic"] == ("", "^w", ".*")
    lines = [line.split() for line in operated.run("users", "list-permissions").splitlines()]
    assert ["alice", "shop", "^c", "^w", "^r"] in lines
    assert ["alice", "shop", "amq.topic", "^w", ".*"] in lines
    operated.run("users", "clear-permissions", "alice", "-p", "shop")
    assert list(access.permissions) == [("guest", "/")]
    assert list(access.topic_permissions) == [("alice", "shop", "amq.topic")]


def test_topic_permissions_are_taken_away_at_one_exchange_or_at_all(operated: Operated) -> None:
    for exchange in ("a", "b", "c"):
        operated.run("users", "set-topic-permissions", "guest", exchange)
    out = operated.run("users", "clear-topic-permissions", "guest", "--exchange", "b")
    assert out == "guest has no topic permissions in / at b\n"
    access = operated.catalog.access
    assert list(access.topic_permissions) == [("guest", "/", "a"), ("guest", "/", "c")]
    operated.run("users", "clear-topic-permissions", "guest", "--vhost", "/")
    assert access.topic_permissions == {}
    assert list(access.permissions) == [("guest", "/")]
    line = operated.fails("users", "clear-topic-permissions", "bob")
    assert "user 'bob' does not exist" in line


def test_what_cannot_be(operated: Operated) -> None:
    assert "user 'guest' exists already" in operated.fails("users", "add", "guest", typed="x\n")
    assert "password is empty" in operated.fails("users", "add", "alice", typed="")
    assert "'bob' does not exist" in operated.fails("users", "delete", "bob")
    assert "'bob' does not exist" in operated.fails("users", "set-tags", "bob", "x")
    assert "invalid regular expression '('" in operated.fails(
        "users", "set-permissions", "guest", "("
    )
