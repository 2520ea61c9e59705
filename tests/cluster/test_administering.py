"""What operators ask for, judged: what goes with what, and what is refused in which words."""

from __future__ import annotations

from typing import Any

import pytest
from support.coordination_catalogs import History, NodeComes

from rabbitry.cluster.access_records import (
    AccessRequest,
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
from rabbitry.cluster.administering import judge_access
from rabbitry.cluster.records import Bind, DeclareExchange, DeclareQueue, Refused

HOST = AddVirtualHost("v", "", [], b"")
USER = SetUser("u", b"hash", must_be="new")
PERMISSIONS = SetPermissions("u", "v", "^c", "^w", "^r")
TOPIC = SetTopicPermissions("u", "v", "x", "^w", "^r")
POLICY = SetPolicy("v", "p", False, "^q", "queues", 1, {"max-length": 5})
LIMITS = SetParameter("v", "vhost-limits", "limits", b'{"max-queues":1}')


def history(*requests: Any) -> History:
    made = History()
    for request in requests:
        assert made.grant(request), request
    return made


def refused(made: History, request: AccessRequest) -> str:
    judgement = judge_access(made.catalog, request)
    assert isinstance(judgement, Refused)
    return judgement.text


def test_what_is_so_already_changes_nothing() -> None:
    requests = (HOST, SetUser("u", b"hash"), PERMISSIONS, TOPIC, POLICY, LIMITS)
    made = history(*requests)
    for request in requests:
        assert judge_access(made.catalog, request) == []


def test_a_virtual_host_goes_with_all_in_it() -> None:
    made = history(
        NodeComes("a"),
        HOST,
        USER,
        PERMISSIONS,
        TOPIC,
        POLICY,
        SetParameter("v", "vhost-limits", "limits", b'{"max-queues":9}'),
        DeclareQueue("v", "q", True, False, "a#1/1", b""),
        DeclareExchange("v", "x", "topic", True, False, False, b""),
        Bind("v", "x", "queue", "q", "k", b"", "a#1/1"),
        Bind("v", "amq.topic", "exchange", "amq.direct", "k", b""),
        Bind("v", "amq.topic", "exchange", "x", "k", b""),
        DeleteVirtualHost("v"),
    )
    catalog = made.catalog
    assert list(catalog.virtual_hosts) == ["/"]
    assert catalog.queues == {}
    assert catalog.parameters == {}
    assert list(catalog.access.permissions) == [("guest", "/")]
    assert catalog.access.topic_permissions == {}
    assert "u" in catalog.access.users


def test_a_user_goes_with_permissions() -> None:
    made = history(HOST, USER, PERMISSIONS, TOPIC, DeleteUser("u"))
    assert list(made.catalog.access.users) == ["guest"]
    assert list(made.catalog.access.permissions) == [("guest", "/")]
    assert made.catalog.access.topic_permissions == {}


def test_what_is_not_said_of_a_user_stays() -> None:
    made = history(SetUser("u", b"hash", tags=["monitoring"], limits={"max-channels": 3}))
    made.grant(SetUser("u", b"other"))
    made.grant(SetUser("u", tags=["management"]))
    user = made.catalog.access.users["u"]
    assert (user.password_hash, user.tags, user.limits) == (
        b"other",
        ("management",),
        {"max-channels": 3},
    )


def test_permissions_can_be_cleared() -> None:
    made = history(HOST, USER, PERMISSIONS, TOPIC)
    made.grant(ClearTopicPermissions("u", "v", "another"))
    assert made.catalog.access.topic_permissions
    made.grant(ClearTopicPermissions("u", "v", None))
    made.grant(ClearPermissions("u", "v"))
    assert made.catalog.access.topic_permissions == {}
    assert not made.catalog.access.may_enter("u", "v")


def test_a_limit_on_queues_holds() -> None:
    made = history(NodeComes("a"), HOST, LIMITS)
    assert made.grant(DeclareQueue("v", "q", True, False, "", b""))
    assert made.grant(DeclareQueue("v", "r", True, False, "", b"")) == []


def test_a_negative_limit_is_none() -> None:
    made = history(HOST, SetParameter("v", "vhost-limits", "limits", b'{"max-queues":-1}'))
    assert made.catalog.virtual_host_limit("v", "max-queues") is None
    assert made.catalog.virtual_host_limit("v", "max-connections") is None
    assert made.catalog.virtual_host_limit("/", "max-queues") is None


def test_policies_come_and_go() -> None:
    made = history(HOST, POLICY)
    assert list(made.catalog.virtual_hosts["v"].policies) == [(False, "p")]
    made.grant(DeletePolicy("v", "p", False))
    assert made.catalog.virtual_hosts["v"].policies == {}


@pytest.mark.parametrize(
    ("request_", "text"),
    [
        (AddVirtualHost("v", "", [], b"", must_be="new"), "virtual host 'v' exists already"),
        (AddVirtualHost("", "", [], b""), "the name of a virtual host cannot be empty"),
        (AddVirtualHost("v" * 256, "", [], b""), "can have 255 bytes at most"),
        (DeleteVirtualHost("w"), "virtual host 'w' does not exist"),
        (USER, "user 'u' exists already"),
        (SetUser("w", b"", must_be="there"), "user 'w' does not exist"),
        (SetUser(""), "the name of a user cannot be empty"),
        (SetUser("u", b"hash", "own"), "hashing algorithm 'own' is not known"),
        (SetUser("u", limits={"max-queues": 1}), "'max-queues' is not a limit of a user"),
        (DeleteUser("w"), "user 'w' does not exist"),
        (SetPermissions("w", "v", "", "", ""), "user 'w' does not exist"),
        (SetPermissions("u", "w", "", "", ""), "virtual host 'w' does not exist"),
        (SetPermissions("u", "v", "", "(", ""), "invalid regular expression '(' to write"),
        (SetTopicPermissions("u", "v", "x", "", "*"), "invalid regular expression '*' to read"),
        (ClearPermissions("w", "v"), "user 'w' does not exist"),
        (ClearTopicPermissions("u", "w", None), "virtual host 'w' does not exist"),
        (SetPolicy("w", "p", False, "", "all", 0, {}), "virtual host 'w' does not exist"),
        (SetPolicy("v", "", False, "", "all", 0, {}), "the name of a policy cannot be empty"),
        (SetPolicy("v", "p", False, "", "all", 0, {}), "no policy provided"),
        (DeletePolicy("v", "p", True), "operator policy 'p' does not exist in vhost 'v'"),
        (SetParameter("w", "shovel", "s", b"{}"), "virtual host 'w' does not exist"),
        (SetParameter("v", "vhost-limits", "limits", b"[]"), "vhost-limits are not numbers"),
        (
            SetParameter("v", "vhost-limits", "limits", b'{"max-users":1}'),
            "'max-users' is not a limit of a virtual host",
        ),
    ],
)
def test_refusals(request_: AccessRequest, text: str) -> None:
    made = history(HOST, USER, POLICY)
    assert text in refused(made, request_)
