"""Who may do what: users, their permissions, and one connection's questions about them.

`Access` is the data, the same on all nodes: the catalog keeps it. `Permissions` answers for one
connection, remembers its answers, and forgets them when the data change (`Access.version`).

A permission is three patterns in one virtual host, for names to configure, to write to and to read
from; the empty pattern matches only the empty name. The default exchange is judged as
`amq.default`. Topic permissions further restrict routing keys at a topic exchange, where there are
any; in their patterns `{username}` and `{vhost}` stand for the connection's.

Patterns are RabbitMQ's PCRE as far as Python's `re` goes along, searched for anywhere in the name;
one that `re` cannot read is refused when it is set (`pattern_mistake`). They come from operators,
and names are of 255 bytes at most.

RabbitMQ: rabbit_auth_backend_internal.erl check_resource_access/4, check_topic_access/4;
rabbit_access_control.erl for the texts; rabbit_channel.erl for the caches.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple, Protocol

from rabbitry.wire.errors import ACCESS_REFUSED, ChannelException

Operation = Literal["configure", "write", "read"]
Kind = Literal["queue", "exchange"]

ANSWERS_KEPT_MAX: Final = 4096


@dataclass(frozen=True, slots=True)
class User:
    """`password_hash` as `broker.passwords` makes it; `limits` by RabbitMQ's names."""

    name: str
    password_hash: bytes = field(repr=False)
    hashing_algorithm: str
    tags: tuple[str, ...] = ()
    limits: dict[str, int] = field(default_factory=dict)


class Permission(NamedTuple):
    """Patterns of names. Topic permissions have no `configure`."""

    configure: str
    write: str
    read: str


class Access:
    """See the module. Whoever changes it counts `version` up."""

    def __init__(self) -> None:
        self.version = 0
        self.users: dict[str, User] = {}
        self.permissions: dict[tuple[str, str], Permission] = {}  # user, virtual host
        # user, virtual host, exchange
        self.topic_permissions: dict[tuple[str, str, str], Permission] = {}

    def may_enter(self, user: str, virtual_host: str) -> bool:
        """Whether the user has any permission in the virtual host."""
        return user in self.users and (user, virtual_host) in self.permissions

    def may(self, user: str, virtual_host: str, operation: Operation, name: str) -> bool:
        """Whether the user may do this to a queue or an exchange of this name."""
        permission = self.permissions.get((user, virtual_host))
        if permission is None:
            return False
        return _matches(getattr(permission, operation), name or "amq.default")

    def may_on_topic(
        self, user: str, virtual_host: str, exchange: str, operation: Operation, routing_key: str
    ) -> bool:
        """Whether topic permissions, if there are any, admit the routing key."""
        permission = self.topic_permissions.get((user, virtual_host, exchange))
        if permission is None:
            return True
        pattern: str = getattr(permission, operation)
        # As RabbitMQ: what is put in is part of the pattern.
        pattern = pattern.replace("{username}", user).replace("{vhost}", virtual_host)
        return _matches(pattern, routing_key)


def pattern_mistake(pattern: str) -> str:
    """Return what is wrong with a pattern, or an empty text."""
    try:
        re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        return str(error)
    return ""


def _matches(pattern: str, name: str) -> bool:
    try:
        return re.search(pattern or "^$", name) is not None
    except (re.error, OverflowError, RecursionError):
        # A user's or virtual host's name made a topic pattern unreadable: RabbitMQ crashes here.
        return False


class AccessSource(Protocol):
    """Where a connection finds the data as they are now."""

    @property
    def access(self) -> Access:
        """Users and permissions."""
        ...


class Permissions:
    """What one connection may do: `user` in `virtual_host`. Raises 403 for what it may not."""

    def __init__(self, source: AccessSource, user: str, virtual_host: str) -> None:
        self.user = user
        self._source = source
        self._virtual_host = virtual_host
        self._access: Access | None = None
        self._version = -1
        self._granted: dict[tuple[str, ...], None] = {}

    def may_impersonate(self) -> bool:
        """Whether the user may give the name of another as a message's `user-id`."""
        user = self._current().users.get(self.user)
        return user is not None and "impersonator" in user.tags

    def check(
        self, operation: Operation, kind: Kind, name: str, class_id: int, method_id: int
    ) -> None:
        """Return if the connection may do this to a queue or an exchange, there or not."""
        asked = (operation, name)
        access = self._current()
        if asked in self._granted:
            return
        if not access.may(self.user, self._virtual_host, operation, name):
            shown = name or ("amq.default" if kind == "exchange" else "")
            text = (
                f"access to {kind} '{shown}' in vhost '{self._virtual_host}' refused for user "
                f"'{self.user}'"
            )
            raise ChannelException(ACCESS_REFUSED, text, class_id, method_id)
        self._granted[asked] = None

    def check_topic(
        self, operation: Operation, exchange: str, routing_key: str, class_id: int, method_id: int
    ) -> None:
        """Return if the connection may use this routing key at a topic exchange."""
        access = self._current()
        if not access.topic_permissions:
            return
        asked = (operation, exchange, routing_key)
        if asked in self._granted:
            return
        if not access.may_on_topic(self.user, self._virtual_host, exchange, operation, routing_key):
            text = (
                f"access to topic '{routing_key}' in exchange '{exchange}' in vhost "
                f"'{self._virtual_host}' refused for user '{self.user}'"
            )
            raise ChannelException(ACCESS_REFUSED, text, class_id, method_id)
        self._granted[asked] = None

    def _current(self) -> Access:
        access = self._source.access
        if (
            access is not self._access
            or access.version != self._version
            or len(self._granted) >= ANSWERS_KEPT_MAX
        ):
            self._access, self._version = access, access.version
            self._granted.clear()
        return access
