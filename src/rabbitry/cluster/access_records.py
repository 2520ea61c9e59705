"""Records about who may and what governs: virtual hosts, users, permissions, policies, parameters.

Past tense: changes of the catalog. Imperative: what an operator asks for; judged by
`cluster.administering`. The union types `Change` and `Request` of `cluster.records` hold them all.
A tag is never given to another struct.

Names follow RabbitMQ's definitions file: a permission is three patterns, a policy has a pattern, a
priority and a definition; a parameter's value is JSON that is kept as it is.
"""

from __future__ import annotations

from typing import Literal

from rabbitry.cluster.queue_records import Record

PolicyValue = bool | int | str | list[str]
MustBe = Literal["", "new", "there"]  # what a request supposes of the thing that it sets

# --- changes --------------------------------------------------------------------------------------


class VirtualHostAdded(Record, tag=100):
    """Also told again with another description. `metadata` is JSON, as RabbitMQ exports it."""

    name: str
    description: str
    tags: list[str]
    metadata: bytes


class VirtualHostDeleted(Record, tag=101):
    """Everything in it was deleted by the changes before."""

    name: str


class UserSet(Record, tag=102):
    """`password_hash`: salt of 4 bytes and digest; empty: the user cannot log in by password."""

    name: str
    password_hash: bytes
    hashing_algorithm: str
    tags: list[str]
    limits: dict[str, int]


class UserDeleted(Record, tag=103):
    """The user's permissions were cleared by the changes before."""

    name: str


class PermissionsSet(Record, tag=104):
    user: str
    virtual_host: str
    configure: str
    write: str
    read: str


class PermissionsCleared(Record, tag=105):
    user: str
    virtual_host: str


class TopicPermissionsSet(Record, tag=106):
    user: str
    virtual_host: str
    exchange: str
    write: str
    read: str


class TopicPermissionsCleared(Record, tag=107):
    user: str
    virtual_host: str
    exchange: str


class PolicySet(Record, tag=108):
    """`apply_to` is queues, exchanges or all. `operator`: it is an operator policy."""

    virtual_host: str
    name: str
    operator: bool
    pattern: str
    apply_to: str
    priority: int
    definition: dict[str, PolicyValue]


class PolicyDeleted(Record, tag=109):
    virtual_host: str
    name: str
    operator: bool


class ParameterSet(Record, tag=110):
    """`virtual_host` is empty for a global parameter, which has no component either."""

    virtual_host: str
    component: str
    name: str
    value: bytes


class ParameterCleared(Record, tag=111):
    virtual_host: str
    component: str
    name: str


AccessChange = (
    VirtualHostAdded
    | VirtualHostDeleted
    | UserSet
    | UserDeleted
    | PermissionsSet
    | PermissionsCleared
    | TopicPermissionsSet
    | TopicPermissionsCleared
    | PolicySet
    | PolicyDeleted
    | ParameterSet
    | ParameterCleared
)

# --- requests -------------------------------------------------------------------------------------


class AddVirtualHost(Record, tag=120):
    """One that is there already is refused if it `must_be` new."""

    name: str
    description: str
    tags: list[str]
    metadata: bytes
    must_be: MustBe = ""


class DeleteVirtualHost(Record, tag=121):
    name: str


class SetUser(Record, tag=122):
    """What is None stays as it is, or is empty in a new user."""

    name: str
    password_hash: bytes | None = None
    hashing_algorithm: str = ""
    tags: list[str] | None = None
    limits: dict[str, int] | None = None
    must_be: MustBe = ""


class DeleteUser(Record, tag=123):
    name: str


class SetPermissions(Record, tag=124):
    user: str
    virtual_host: str
    configure: str
    write: str
    read: str


class ClearPermissions(Record, tag=125):
    user: str
    virtual_host: str


class SetTopicPermissions(Record, tag=126):
    user: str
    virtual_host: str
    exchange: str
    write: str
    read: str


class ClearTopicPermissions(Record, tag=127):
    """`exchange` is None for all of the virtual host."""

    user: str
    virtual_host: str
    exchange: str | None


class SetPolicy(Record, tag=128):
    virtual_host: str
    name: str
    operator: bool
    pattern: str
    apply_to: str
    priority: int
    definition: dict[str, PolicyValue]


class DeletePolicy(Record, tag=129):
    virtual_host: str
    name: str
    operator: bool


class SetParameter(Record, tag=130):
    """`value` is JSON; None clears the parameter."""

    virtual_host: str
    component: str
    name: str
    value: bytes | None


AccessRequest = (
    AddVirtualHost
    | DeleteVirtualHost
    | SetUser
    | DeleteUser
    | SetPermissions
    | ClearPermissions
    | SetTopicPermissions
    | ClearTopicPermissions
    | SetPolicy
    | DeletePolicy
    | SetParameter
)


# --- node to node ---------------------------------------------------------------------------------


class ConnectionsTold(Record, tag=140):
    """How many connections a node has, by virtual host and by user, and how many channels."""

    virtual_hosts: dict[str, int]
    users: dict[str, int]
    channels: dict[str, int]
