"""The catalog: everything declared, and where each queue lives.

The coordinator holds the original and every node a replica; both are this class, fed with the same
changes in the same order. Nothing here decides: `declarations` and `placement` say which changes
are made, `apply` makes them. `as_changes` tells a whole catalog as changes from nothing, for a node
that joins and for the coordinator's store.

`routing_version` grows with every change after which a message might go elsewhere: caches of routes
are good for one version.
"""

from __future__ import annotations

import msgspec

from rabbitry.broker.exchanges import (
    Binding,
    Destination,
    DestinationKind,
    Exchange,
    predeclared_exchanges,
)
from rabbitry.broker.policies import Definition
from rabbitry.broker.queue_settings import settings_of
from rabbitry.cluster.access import (
    DEFAULT_VIRTUAL_HOST,
    access_as_changes,
    apply_access,
    default_access,
)
from rabbitry.cluster.access_records import (
    PolicyDeleted,
    PolicySet,
    VirtualHostAdded,
    VirtualHostDeleted,
)
from rabbitry.cluster.governing import effective_policy, govern
from rabbitry.cluster.records import (
    Bound,
    Change,
    ExchangeDeclared,
    ExchangeDeleted,
    NodeJoined,
    NodeLeft,
    QueueDeclared,
    QueueDeleted,
    QueuePlaced,
    Unbound,
)
from rabbitry.wire.values import FieldValue, decode_table


class QueueEntry:
    """One declared queue: what it is, and where."""

    __slots__ = ("bound_from", "declared", "placed", "policy", "settings")

    def __init__(self, declared: QueueDeclared) -> None:
        self.declared = declared
        self.follow({})
        self.placed = QueuePlaced(declared.queue, 0, "", [], [])
        self.bound_from: dict[tuple[str, Binding], None] = {}  # source exchange, binding

    @property
    def number(self) -> int:
        return self.declared.queue

    def follow(self, policy: Definition) -> None:
        """Be governed by what policies and operator policies say together."""
        self.policy = policy
        self.settings = settings_of(self._arguments(), policy)

    def _arguments(self) -> dict[str, FieldValue]:
        encoded = self.declared.arguments
        return decode_table(encoded, 0)[0] if encoded else {}


class VirtualHost:
    """Names of one virtual host, and what governs them."""

    def __init__(self, name: str) -> None:
        self.added = VirtualHostAdded(name, "", [], b"")
        self.name = name
        # By whether they are an operator's, and their name.
        self.policies: dict[tuple[bool, str], PolicySet] = {}
        self.exchanges: dict[str, Exchange] = {one.name: one for one in predeclared_exchanges()}
        self.queues: dict[str, QueueEntry] = {}
        # Bindings that lead to an exchange: (source exchange, binding) by the exchange's name.
        self.bound_to: dict[str, dict[tuple[str, Binding], None]] = {}


class Catalog:
    """See the module."""

    def __init__(self) -> None:
        self.routing_version = 0
        self.virtual_hosts: dict[str, VirtualHost] = {
            DEFAULT_VIRTUAL_HOST: VirtualHost(DEFAULT_VIRTUAL_HOST)
        }
        self.queues: dict[int, QueueEntry] = {}
        self.led: dict[str, int] = {}  # how many queues each node leads
        # Exclusive queues by their connection: many end, each with a few queues among very many.
        self.owned: dict[str, dict[int, QueueEntry]] = {}
        # Queues whose policy has changed, until whom it concerns takes the list.
        self._governed: list[int] = []
        self.access = default_access()
        # By virtual host, component and name; the first two are empty for global parameters.
        self.parameters: dict[tuple[str, str, str], bytes] = {}
        self.nodes: dict[str, NodeJoined] = {}  # those that are in the cluster now
        self.away: dict[str, NodeLeft] = {}  # those that have left, and may be alive still

    def apply(self, change: Change) -> None:
        """Make a change. It must be one that the coordinator decided; nothing is checked again."""
        self.routing_version += 1
        match change:
            case QueuePlaced():
                self._place(change)
            case NodeJoined():
                self.nodes[change.name] = change
                self.away.pop(change.name, None)
            case NodeLeft():
                self._node_left(change)
            case QueueDeclared():
                self._declare_queue(change)
            case QueueDeleted():
                self._delete_queue(change)
            case ExchangeDeclared():
                self._declare_exchange(change)
            case ExchangeDeleted():
                self._delete_exchange(change)
            case Bound():
                self._bind(change)
            case Unbound():
                host = self._virtual_host(change)
                self._unbind(host, change.source, binding_of(change))
            case VirtualHostAdded():
                host = self.virtual_hosts.setdefault(change.name, VirtualHost(change.name))
                host.added = change
            case VirtualHostDeleted():
                self.virtual_hosts.pop(change.name, None)
            case PolicySet():
                host = self.virtual_hosts[change.virtual_host]
                host.policies[change.operator, change.name] = change
                self._governed += govern(host)
            case PolicyDeleted():
                host = self.virtual_hosts[change.virtual_host]
                host.policies.pop((change.operator, change.name), None)
                self._governed += govern(host)
            case _:
                apply_access(self, change)

    def as_changes(self) -> list[Change]:
        """Return changes that make this catalog from an empty one."""
        changes: list[Change] = [*self.nodes.values(), *self.away.values()]
        if DEFAULT_VIRTUAL_HOST not in self.virtual_hosts:
            changes.append(VirtualHostDeleted(DEFAULT_VIRTUAL_HOST))
        changes += access_as_changes(self)
        for host in self.virtual_hosts.values():
            if host.added != _DEFAULT_HOST_ADDED:
                changes.append(host.added)
            changes += host.policies.values()
            changes += [entry.declared for entry in host.queues.values()]
            changes += [entry.placed for entry in host.queues.values()]
            for exchange in host.exchanges.values():
                if not is_predeclared(exchange.name):
                    changes.append(self._exchange_declared(host.name, exchange))
            for exchange in host.exchanges.values():
                for binding in exchange.bindings:
                    if exchange.name:  # the default exchange's follow from the queues
                        changes.append(_bound(host.name, exchange.name, binding))
        return changes

    def find_queue(self, virtual_host: str, name: str) -> QueueEntry | None:
        """Return the queue of this name, or None."""
        host = self.virtual_hosts.get(virtual_host)
        return host.queues.get(name) if host is not None else None

    def find_exchange(self, virtual_host: str, name: str) -> Exchange | None:
        """Return the exchange of this name, or None."""
        host = self.virtual_hosts.get(virtual_host)
        return host.exchanges.get(name) if host is not None else None

    def take_governed(self) -> list[QueueEntry]:
        """Return the queues that are there whose policy has changed since the last call."""
        governed, self._governed = self._governed, []
        return [self.queues[queue] for queue in dict.fromkeys(governed) if queue in self.queues]

    def virtual_host_limit(self, virtual_host: str, name: str) -> int | None:
        """Return a limit of the virtual host; None where it has none."""
        value = self.parameters.get((virtual_host, "vhost-limits", "limits"))
        if value is None:
            return None
        limit: int = msgspec.json.decode(value).get(name, -1)
        return limit if limit >= 0 else None

    def bindings_of(self, virtual_host: str, kind: str, name: str) -> list[tuple[str, Binding]]:
        """Return the bindings that lead to a queue or an exchange, with the exchange they leave."""
        host = self.virtual_hosts[virtual_host]
        if kind == "queue":
            entry = host.queues.get(name)
            return list(entry.bound_from) if entry else []
        return list(host.bound_to.get(name, ()))

    def _virtual_host(
        self,
        change: ExchangeDeclared | ExchangeDeleted | QueueDeclared | QueueDeleted | Bound | Unbound,
    ) -> VirtualHost:
        return self.virtual_hosts[change.virtual_host]

    def _place(self, change: QueuePlaced) -> None:
        entry = self.queues[change.queue]
        if change.leader != entry.placed.leader:
            self._count_led(entry.placed.leader, -1)
            self._count_led(change.leader, 1)
        entry.placed = change

    def _count_led(self, node: str, more: int) -> None:
        if node:
            self.led[node] = self.led.get(node, 0) + more

    def _node_left(self, change: NodeLeft) -> None:
        self.nodes.pop(change.name, None)
        if change.dead:
            self.away.pop(change.name, None)
        else:
            self.away[change.name] = change

    def _declare_exchange(self, change: ExchangeDeclared) -> None:
        host = self._virtual_host(change)
        exchange = host.exchanges[change.name] = Exchange(
            change.name,
            change.kind,
            durable=change.durable,
            auto_delete=change.auto_delete,
            internal=change.internal,
            arguments=change.arguments,
        )
        exchange.policy = effective_policy(host, "exchange", change.name)

    def _declare_queue(self, change: QueueDeclared) -> None:
        host = self._virtual_host(change)
        entry = QueueEntry(change)
        if host.policies:
            entry.follow(effective_policy(host, "queue", change.name, entry.settings.kind))
        host.queues[change.name] = self.queues[change.queue] = entry
        if change.owner:
            self.owned.setdefault(change.owner, {})[change.queue] = entry
        host.exchanges[""].bind(Binding(Destination("queue", change.name), change.name))

    def _delete_queue(self, change: QueueDeleted) -> None:
        host = self._virtual_host(change)
        entry = self.queues.pop(change.queue)
        self._count_led(entry.placed.leader, -1)
        del host.queues[change.name]
        owned = self.owned.get(entry.declared.owner)
        if owned is not None:
            del owned[change.queue]
            if not owned:
                del self.owned[entry.declared.owner]
        host.exchanges[""].unbind(Binding(Destination("queue", change.name), change.name))
        for source, binding in list(entry.bound_from):
            self._unbind(host, source, binding)

    def _delete_exchange(self, change: ExchangeDeleted) -> None:
        host = self._virtual_host(change)
        exchange = host.exchanges[change.name]
        for binding in list(exchange.bindings):
            self._unbind(host, change.name, binding)
        for source, binding in list(host.bound_to.get(change.name, ())):
            self._unbind(host, source, binding)
        host.bound_to.pop(change.name, None)
        del host.exchanges[change.name]

    def _bind(self, change: Bound) -> None:
        host = self._virtual_host(change)
        binding = binding_of(change)
        host.exchanges[change.source].bind(binding)
        back = self._back_references(host, binding.destination)
        back[change.source, binding] = None

    def _unbind(self, host: VirtualHost, source: str, binding: Binding) -> None:
        host.exchanges[source].unbind(binding)
        self._back_references(host, binding.destination).pop((source, binding), None)

    def _back_references(
        self, host: VirtualHost, destination: Destination
    ) -> dict[tuple[str, Binding], None]:
        if destination.kind == "exchange":
            return host.bound_to.setdefault(destination.name, {})
        entry = host.queues.get(destination.name)
        return entry.bound_from if entry is not None else {}

    def _exchange_declared(self, virtual_host: str, exchange: Exchange) -> ExchangeDeclared:
        return ExchangeDeclared(
            virtual_host,
            exchange.name,
            exchange.kind,
            exchange.durable,
            exchange.auto_delete,
            exchange.internal,
            exchange.arguments,
        )


def is_predeclared(exchange: str) -> bool:
    """Whether an exchange of this name exists without being declared."""
    return exchange in _PREDECLARED


_DEFAULT_HOST_ADDED = VirtualHostAdded(DEFAULT_VIRTUAL_HOST, "", [], b"")
_PREDECLARED = tuple(one.name for one in predeclared_exchanges())


def binding_of(change: Bound | Unbound) -> Binding:
    """Return the binding that a change speaks of."""
    kind: DestinationKind = "exchange" if change.destination_kind == "exchange" else "queue"
    return Binding(Destination(kind, change.destination), change.routing_key, change.arguments)


def _bound(virtual_host: str, source: str, binding: Binding) -> Bound:
    kind, name = binding.destination
    return Bound(virtual_host, source, kind, name, binding.routing_key, binding.arguments)
