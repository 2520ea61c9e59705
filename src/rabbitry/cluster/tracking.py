"""How many connections and channels there are in the cluster, for the limits on them.

Each node counts its own, and tells the others while any limit is set: after each step in which a
connection was opened or lost, and of channels once a second. What it was told of a node is
forgotten when the link to it breaks. So a limit holds in the whole cluster but for what is opened
through different nodes within the time that a record takes from one to the other.

Owns the counts and the refusals. The limits are the catalog's.

RabbitMQ: rabbit_connection_tracking.erl, rabbit_vhost_limit.erl is_over_connection_limit/1,
rabbit_auth_backend_internal.erl is_over_connection_limit/1, is_over_channel_limit/1; texts of
rabbit_reader.erl.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

from rabbitry.broker.permissions import Access
from rabbitry.cluster.access_records import ConnectionsTold
from rabbitry.cluster.catalog import Catalog


class Tracked(Protocol):
    """A client's connection."""

    @property
    def user(self) -> str:
        """The user's name; empty before the login."""
        ...

    @property
    def virtual_host(self) -> str:
        """The virtual host that was opened; empty before."""
        ...

    @property
    def channel_count(self) -> int:
        """How many channels it has."""
        ...


class ConnectionTracking:
    """See the module. Implements `rabbitry.broker.authentication.AuthenticationPort`."""

    def __init__(
        self, catalog: Callable[[], Catalog], connections: Callable[[], Iterable[Tracked]]
    ) -> None:
        """`catalog` is the node's replica as it is now, `connections` are those of the node."""
        self.changed = False  # others are to be told at the end of the step
        self._catalog = catalog
        self._connections = connections
        self._told: dict[str, ConnectionsTold] = {}  # by other nodes
        self._said = ConnectionsTold({}, {}, {})

    @property
    def access(self) -> Access:
        """Users and permissions."""
        return self._catalog().access

    def has_virtual_host(self, name: str) -> bool:
        """Whether there is such a virtual host."""
        return name in self._catalog().virtual_hosts

    def connection_refusal(self, user: str, virtual_host: str) -> str:
        """Return why a limit forbids one more connection, or an empty text."""
        self.changed = True
        limit = self._catalog().virtual_host_limit(virtual_host, "max-connections")
        if limit is not None:
            there = sum(one.virtual_hosts.get(virtual_host, 0) for one in self._counts())
            if there >= limit:
                return (
                    f"access to vhost '{virtual_host}' refused for user '{user}': "
                    f"connection limit ({limit}) is reached"
                )
        limit = self._user_limit(user, "max-connections")
        if limit is not None:
            there = sum(one.users.get(user, 0) for one in self._counts())
            if there >= limit:
                return (
                    f"connection refused for user '{user}': "
                    f"user connection limit ({limit}) is reached"
                )
        return ""

    def channel_refusal(self, user: str) -> str:
        """Return why a limit forbids one more channel, or an empty text."""
        limit = self._user_limit(user, "max-channels")
        if limit is None or sum(one.channels.get(user, 0) for one in self._counts()) < limit:
            return ""
        return (
            f"number of channels opened for user '{user}' has reached the maximum allowed user "
            f"limit of ({limit})"
        )

    def told(self, node: str, record: ConnectionsTold) -> None:
        """Take another node's counts."""
        self._told[node] = record

    def forget(self, node: str) -> None:
        """The link to that node is gone."""
        self._told.pop(node, None)

    def take_news(self, *, again: bool = False) -> ConnectionsTold | None:
        """Return what the others are to be told now, if anything; `again`: whatever they know."""
        self.changed = False
        if not self._limited():
            return None
        counts = self._own()
        if counts == self._said and not again:
            return None
        self._said = counts
        return counts

    def _limited(self) -> bool:
        catalog = self._catalog()
        return any(user.limits for user in catalog.access.users.values()) or any(
            component == "vhost-limits" for _, component, _ in catalog.parameters
        )

    def _user_limit(self, user: str, name: str) -> int | None:
        found = self.access.users.get(user)
        limit = found.limits.get(name, -1) if found is not None else -1
        return limit if limit >= 0 else None

    def _counts(self) -> list[ConnectionsTold]:
        return [self._own(), *self._told.values()]

    def _own(self) -> ConnectionsTold:
        counts = ConnectionsTold({}, {}, {})
        for one in self._connections():
            host, user = one.virtual_host, one.user
            if host:
                counts.virtual_hosts[host] = counts.virtual_hosts.get(host, 0) + 1
                counts.users[user] = counts.users.get(user, 0) + 1
                counts.channels[user] = counts.channels.get(user, 0) + one.channel_count
        return counts
