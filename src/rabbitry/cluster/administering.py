"""Judging what an operator asks for: virtual hosts, users, permissions, policies, parameters.

From the catalog and a wish to the changes that fulfil it, or a refusal; like `declarations`, called
by the coordinator only.

Refusals are for people: one line that says what is wrong, beginning with RabbitMQ's words where it
has some.

RabbitMQ: rabbit_vhost.erl delete/2, rabbit_auth_backend_internal.erl, rabbit_vhost_limit.erl.
"""

from __future__ import annotations

from typing import Final

import msgspec

from rabbitry.broker.passwords import ALGORITHMS, DEFAULT_ALGORITHM
from rabbitry.broker.permissions import User, pattern_mistake
from rabbitry.broker.policies import policy_mistake
from rabbitry.cluster.access_records import (
    AccessRequest,
    AddVirtualHost,
    ClearPermissions,
    ClearTopicPermissions,
    DeletePolicy,
    DeleteUser,
    DeleteVirtualHost,
    ParameterCleared,
    ParameterSet,
    PermissionsCleared,
    PermissionsSet,
    PolicyDeleted,
    PolicySet,
    SetParameter,
    SetPermissions,
    SetPolicy,
    SetTopicPermissions,
    SetUser,
    TopicPermissionsCleared,
    TopicPermissionsSet,
    UserDeleted,
    UserSet,
    VirtualHostAdded,
    VirtualHostDeleted,
)
from rabbitry.cluster.catalog import Catalog, is_predeclared
from rabbitry.cluster.records import (
    Change,
    ExchangeDeleted,
    QueueDeleted,
    Refused,
    Unbound,
)
from rabbitry.wire.errors import NOT_FOUND, PRECONDITION_FAILED

Judgement = list[Change] | Refused

NAME_BYTES_MAX: Final = 255
VIRTUAL_HOST_LIMITS: Final = ("max-connections", "max-queues")
USER_LIMITS: Final = ("max-connections", "max-channels")


def judge_access(catalog: Catalog, request: AccessRequest) -> Judgement:
    """Return the changes that `request` makes, in order; empty where all is so already."""
    match request:
        case AddVirtualHost():
            return _add_virtual_host(catalog, request)
        case DeleteVirtualHost():
            return _delete_virtual_host(catalog, request.name)
        case SetUser():
            return _set_user(catalog, request)
        case DeleteUser():
            return _delete_user(catalog, request.name)
        case SetPermissions() | SetTopicPermissions():
            return _set_permissions(catalog, request)
        case ClearPermissions():
            key = (request.user, request.virtual_host)
            missing = _missing(catalog, *key)
            return missing or (
                [PermissionsCleared(*key)] if key in catalog.access.permissions else []
            )
        case ClearTopicPermissions():
            return _missing(catalog, request.user, request.virtual_host) or [
                TopicPermissionsCleared(*key)
                for key in catalog.access.topic_permissions
                if key[:2] == (request.user, request.virtual_host)
                and request.exchange in (None, key[2])
            ]
        case SetPolicy() | DeletePolicy():
            return _change_policy(catalog, request)
        case SetParameter():
            return _set_parameter(catalog, request)


def _refused(text: str, reply_code: int = PRECONDITION_FAILED) -> Refused:
    return Refused(reply_code, text)


def _missing(catalog: Catalog, user: str | None, virtual_host: str) -> Refused | None:
    """Return the refusal where the user or the virtual host does not exist."""
    if user is not None and user not in catalog.access.users:
        return _refused(f"user '{user}' does not exist", NOT_FOUND)
    if virtual_host not in catalog.virtual_hosts:
        return _refused(f"virtual host '{virtual_host}' does not exist", NOT_FOUND)
    return None


def _bad_name(what: str, name: str) -> Refused | None:
    if not name:
        return _refused(f"the name of a {what} cannot be empty")
    if len(name.encode("utf-8", "surrogateescape")) > NAME_BYTES_MAX:
        return _refused(f"the name of a {what} can have {NAME_BYTES_MAX} bytes at most")
    return None


# --- virtual hosts --------------------------------------------------------------------------------


def _add_virtual_host(catalog: Catalog, request: AddVirtualHost) -> Judgement:
    host = catalog.virtual_hosts.get(request.name)
    if host is not None and request.must_be == "new":
        return _refused(f"virtual host '{request.name}' exists already")
    bad = _bad_name("virtual host", request.name)
    if bad is not None:
        return bad
    added = VirtualHostAdded(request.name, request.description, request.tags, request.metadata)
    return [] if host is not None and host.added == added else [added]


def _delete_virtual_host(catalog: Catalog, name: str) -> Judgement:
    host = catalog.virtual_hosts.get(name)
    if host is None:
        return _refused(f"virtual host '{name}' does not exist", NOT_FOUND)
    changes: list[Change] = [
        QueueDeleted(name, entry.declared.name, entry.number) for entry in host.queues.values()
    ]
    for exchange in host.exchanges.values():
        if not is_predeclared(exchange.name):
            changes.append(ExchangeDeleted(name, exchange.name))
            continue
        for binding in exchange.bindings:
            # The others go with what they lead to.
            if binding.destination.kind == "exchange" and is_predeclared(binding.destination.name):
                to = binding.destination
                changes.append(
                    Unbound(
                        name,
                        exchange.name,
                        to.kind,
                        to.name,
                        binding.routing_key,
                        binding.arguments,
                    )
                )
    access = catalog.access
    changes += [PermissionsCleared(*key) for key in access.permissions if key[1] == name]
    changes += [TopicPermissionsCleared(*key) for key in access.topic_permissions if key[1] == name]
    changes += [PolicyDeleted(name, policy, operator) for operator, policy in host.policies]
    changes += [ParameterCleared(*key) for key in catalog.parameters if key[0] == name]
    return [*changes, VirtualHostDeleted(name)]


# --- users ----------------------------------------------------------------------------------------


def _set_user(catalog: Catalog, request: SetUser) -> Judgement:
    found = catalog.access.users.get(request.name)
    if found is None and request.must_be == "there":
        return _refused(f"user '{request.name}' does not exist", NOT_FOUND)
    if found is not None and request.must_be == "new":
        return _refused(f"user '{request.name}' exists already")
    bad = _bad_name("user", request.name)
    if bad is not None:
        return bad
    user = found or User(request.name, b"", DEFAULT_ALGORITHM)
    made = UserSet(
        user.name, user.password_hash, user.hashing_algorithm, list(user.tags), user.limits
    )
    if request.password_hash is not None:
        made.password_hash = request.password_hash
        made.hashing_algorithm = request.hashing_algorithm or DEFAULT_ALGORITHM
    if request.tags is not None:
        made.tags = request.tags
    if request.limits is not None:
        made.limits = request.limits
    if made.hashing_algorithm not in ALGORITHMS:
        known = ", ".join(ALGORITHMS)
        return _refused(f"hashing algorithm '{made.hashing_algorithm}' is not known; {known} are")
    unknown = [name for name in made.limits if name not in USER_LIMITS]
    if unknown:
        known = ", ".join(USER_LIMITS)
        return _refused(f"'{unknown[0]}' is not a limit of a user; {known} are")
    same = found is not None and made == UserSet(
        found.name, found.password_hash, found.hashing_algorithm, list(found.tags), found.limits
    )
    return [] if same else [made]


def _delete_user(catalog: Catalog, name: str) -> Judgement:
    access = catalog.access
    if name not in access.users:
        return _refused(f"user '{name}' does not exist", NOT_FOUND)
    changes: list[Change] = [
        PermissionsCleared(*key) for key in access.permissions if key[0] == name
    ]
    changes += [TopicPermissionsCleared(*key) for key in access.topic_permissions if key[0] == name]
    return [*changes, UserDeleted(name)]


def _set_permissions(catalog: Catalog, request: SetPermissions | SetTopicPermissions) -> Judgement:
    missing = _missing(catalog, request.user, request.virtual_host)
    if missing is not None:
        return missing
    topic = isinstance(request, SetTopicPermissions)
    for operation in ("write", "read") if topic else ("configure", "write", "read"):
        pattern = getattr(request, operation)
        mistake = pattern_mistake(pattern)
        if mistake:
            return _refused(f"invalid regular expression '{pattern}' to {operation}: {mistake}")
    access = catalog.access
    if isinstance(request, SetTopicPermissions):
        set_topic = TopicPermissionsSet(
            request.user, request.virtual_host, request.exchange, request.write, request.read
        )
        key = (request.user, request.virtual_host, request.exchange)
        found_topic = access.topic_permissions.get(key)
        if found_topic is not None and found_topic[1:] == (request.write, request.read):
            return []
        return [set_topic]
    wanted = (request.configure, request.write, request.read)
    if access.permissions.get((request.user, request.virtual_host)) == wanted:
        return []
    return [PermissionsSet(request.user, request.virtual_host, *wanted)]


# --- parameters -----------------------------------------------------------------------------------


def _set_parameter(catalog: Catalog, request: SetParameter) -> Judgement:
    name = (request.virtual_host, request.component, request.name)
    if request.component and request.virtual_host not in catalog.virtual_hosts:
        return _refused(f"virtual host '{request.virtual_host}' does not exist", NOT_FOUND)
    if request.value is None:
        return [ParameterCleared(*name)] if name in catalog.parameters else []
    if request.component == "vhost-limits":
        mistake = _limits_mistake(request.value)
        if mistake:
            return _refused(mistake)
    same = catalog.parameters.get(name) == request.value
    return [] if same else [ParameterSet(*name, request.value)]


def _limits_mistake(value: bytes) -> str:
    try:
        limits = msgspec.json.decode(value, type=dict[str, int])
    except msgspec.DecodeError as error:
        return f"vhost-limits are not numbers by name: {error}"
    unknown = [name for name in limits if name not in VIRTUAL_HOST_LIMITS]
    if unknown:
        known = ", ".join(VIRTUAL_HOST_LIMITS)
        return f"'{unknown[0]}' is not a limit of a virtual host; {known} are"
    return ""


# --- policies -------------------------------------------------------------------------------------


def _change_policy(catalog: Catalog, request: SetPolicy | DeletePolicy) -> Judgement:
    missing = _missing(catalog, None, request.virtual_host)
    if missing is not None:
        return missing
    policies = catalog.virtual_hosts[request.virtual_host].policies
    key = (request.operator, request.name)
    if isinstance(request, DeletePolicy):
        if key not in policies:
            kind = "operator policy" if request.operator else "policy"
            host = request.virtual_host
            return _refused(f"{kind} '{request.name}' does not exist in vhost '{host}'", NOT_FOUND)
        return [PolicyDeleted(request.virtual_host, request.name, request.operator)]
    bad = _bad_name("policy", request.name)
    if bad is not None:
        return bad
    mistake = policy_mistake(
        request.pattern, request.apply_to, request.definition, operator=request.operator
    )
    if mistake:
        return _refused(mistake)
    made = PolicySet(
        request.virtual_host,
        request.name,
        request.operator,
        request.pattern,
        request.apply_to,
        request.priority,
        request.definition,
    )
    return [] if policies.get(key) == made else [made]
