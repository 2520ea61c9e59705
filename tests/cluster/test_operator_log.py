"""What the log says of an operator's changes: each by its names, and nothing secret."""

from __future__ import annotations

from typing import Any

import pytest
from support.coordination_catalogs import History, NodeComes

from rabbitry.cluster.access_records import (
    AddVirtualHost,
    ClearPermissions,
    ClearTopicPermissions,
    DeletePolicy,
    DeleteUser,
    DeleteVirtualHost,
    SetParameter,
    SetPermissions,
    SetPolicy,
    SetTopicPermissions,
    SetUser,
)
from rabbitry.cluster.operator_desk import judge_all
from rabbitry.cluster.operator_log import Line, lines_of
from rabbitry.cluster.records import DeclareQueue, Refused, Request

HASH = b"hash of a password"
HERE = {"user": "u", "virtual_host": "/"}


class Desk:
    def __init__(self) -> None:
        history = History()
        history.grant(NodeComes("a"))
        self.catalog = history.catalog

    def lines(self, *requests: Request) -> list[Line]:
        judged = judge_all(self.catalog, requests, 1)
        assert not isinstance(judged[1], Refused), judged
        changes: Any = judged[0]
        found = lines_of(self.catalog, changes)
        for change in changes:
            self.catalog.apply(change)
        assert HASH.decode() not in repr(found)
        return found


def test_a_users_life() -> None:
    desk = Desk()
    added = ("user added", {"user": "u", "tags": "a, b"})
    assert desk.lines(SetUser("u", HASH, "", ["a", "b"])) == [added]
    assert desk.lines(SetUser("u", HASH + b"2")) == [
        ("user changed", {"user": "u", "changed": "password"})
    ]
    assert desk.lines(SetUser("u", tags=[], limits={"max-channels": 1})) == [
        ("user changed", {"user": "u", "changed": "tags, limits"})
    ]
    assert desk.lines(SetUser("u", tags=[])) == []
    assert desk.lines(SetPermissions("u", "/", "", "", "")) == [("permissions set", HERE)]
    assert desk.lines(DeleteUser("u")) == [
        ("permissions cleared", HERE),
        ("user deleted", {"user": "u"}),
    ]


def test_virtual_hosts_and_not_what_is_in_them() -> None:
    desk = Desk()
    about = {"virtual_host": "v"}
    assert desk.lines(AddVirtualHost("v", "", [], b"")) == [("virtual host added", about)]
    assert desk.lines(AddVirtualHost("v", "x", [], b"")) == [("virtual host changed", about)]
    assert desk.lines(DeclareQueue("v", "q", True, False, "", b"")) == []
    assert desk.lines(DeleteVirtualHost("v")) == [("virtual host deleted", about)]


@pytest.mark.parametrize(
    ("set_it", "clear_it", "what", "details"),
    [
        (SetPermissions("u", "/", "", "", ""), ClearPermissions("u", "/"), "permissions", HERE),
        (
            SetTopicPermissions("u", "/", "x", "", ""),
            ClearTopicPermissions("u", "/", "x"),
            "topic permissions",
            {**HERE, "exchange": "x"},
        ),
        (
            SetParameter("/", "shovel", "p", b'"amqp://u:secret@h"'),
            SetParameter("/", "shovel", "p", None),
            "parameter",
            {"virtual_host": "/", "component": "shovel", "name": "p"},
        ),
    ],
)
def test_what_is_set_and_cleared(
    set_it: Request, clear_it: Request, what: str, details: dict[str, str]
) -> None:
    desk = Desk()
    desk.lines(SetUser("u", HASH))
    assert desk.lines(set_it) == [(f"{what} set", details)]
    assert desk.lines(clear_it) == [(f"{what} cleared", details)]


@pytest.mark.parametrize(("operator", "kind"), [(False, "policy"), (True, "operator policy")])
def test_policies(operator: bool, kind: str) -> None:
    desk = Desk()
    details = {"virtual_host": "/", "policy": "p"}
    made = SetPolicy("/", "p", operator, "^x", "queues", 0, {"max-length": 1})
    assert desk.lines(made) == [(f"{kind} set", details)]
    assert desk.lines(DeletePolicy("/", "p", operator)) == [(f"{kind} deleted", details)]
