"""Judging requests: from the catalog and a wish to the changes that fulfil it, or a refusal.

Only the coordinator calls this, so each request is judged against the one true catalog and two
nodes cannot both succeed with contradictory declarations. What needs the connection but not the
catalog (reserved names, the default exchange, exchange types) was judged by the channel already.

Texts and codes are RabbitMQ's: rabbit_amqqueue.erl assert_equivalence/5, rabbit_exchange.erl
assert_equivalence/6, rabbit_binding.erl, rabbit_misc.erl equivalence_fail/4.
"""

from __future__ import annotations

from typing import Final

from rabbitry.broker.exchanges import Binding, Exchange, check_binding
from rabbitry.broker.queue_arguments import QUEUE_ARGUMENTS, queue_type
from rabbitry.cluster.administering import judge_access
from rabbitry.cluster.catalog import Catalog, QueueEntry, binding_of
from rabbitry.cluster.governing import effective_policy
from rabbitry.cluster.placement import place_admitted, place_dropped, place_new
from rabbitry.cluster.records import (
    AdmitMirror,
    Bind,
    Bound,
    Change,
    DeclareExchange,
    DeclareQueue,
    DeleteExchange,
    DeleteOwned,
    DeleteQueue,
    DropMirror,
    ExchangeDeclared,
    ExchangeDeleted,
    QueueDeclared,
    QueueDeleted,
    Refused,
    Request,
    Unbind,
    Unbound,
)
from rabbitry.wire.erlang_terms import type_name
from rabbitry.wire.errors import NOT_FOUND, PRECONDITION_FAILED, RESOURCE_LOCKED
from rabbitry.wire.values import FieldValue, decode_table

Judgement = list[Change] | Refused

# The arguments that a second declaration is compared by (rabbit_exchange.erl
# assert_args_equivalence/2; for queues see `queue_arguments`): any others may differ.
EXCHANGE_ARGUMENTS: Final = ("alternate-exchange",)


def judge(catalog: Catalog, request: Request, node: str, next_queue: int) -> Judgement:
    """Return the changes that `request` of `node` makes, in order; empty where all is so already.

    `next_queue` is the number that a new queue gets.
    """
    match request:
        case DeclareExchange():
            return _declare_exchange(catalog, request)
        case DeleteExchange():
            return _delete_exchange(catalog, request)
        case DeclareQueue():
            return _declare_queue(catalog, request, node, next_queue)
        case DeleteQueue():
            entry = catalog.queues.get(request.queue)
            return _delete_queues(catalog, [entry] if entry is not None else [])
        case DeleteOwned():
            return delete_owned(catalog, request.owner)
        case Bind():
            return _bind(catalog, request)
        case Unbind():
            return _unbind(catalog, request)
        case AdmitMirror() | DropMirror():
            return _change_in_sync(catalog, request)
        case _:
            return judge_access(catalog, request)


def delete_owned(catalog: Catalog, owner_prefix: str) -> list[Change]:
    """Return the changes that delete the exclusive queues of a connection, or of all of a node.

    A prefix ends in "/": no connection is meant by the name of another.
    """
    if owner_prefix.endswith("/"):
        owners = [owner for owner in catalog.owned if owner.startswith(owner_prefix)]
    else:
        owners = [owner_prefix]
    owned = [entry for owner in owners for entry in catalog.owned.get(owner, {}).values()]
    owned.sort(key=lambda entry: entry.number)
    return _delete_queues(catalog, owned)


def delete_dead(catalog: Catalog, entry: QueueEntry) -> list[Change]:
    """Return the changes that delete a queue whose replicas have all died.

    RabbitMQ: the nodes that live delete it and what withers by that (rabbit_amqqueue.erl
    on_node_down/1); where none does, nobody looks at auto-delete exchanges.
    """
    changes = _delete_queues(catalog, [entry])
    return changes if catalog.nodes else changes[:1]


def delete_transient_exchanges(catalog: Catalog) -> list[Change]:
    """Return the changes that delete all exchanges that are not durable, with their bindings.

    What is left are bindings both of whose ends are durable, if transient queues are gone too: as
    in RabbitMQ (rabbit_binding.erl binding_type/2).
    """
    return [
        ExchangeDeleted(host.name, exchange.name)
        for host in catalog.virtual_hosts.values()
        for exchange in host.exchanges.values()
        if not exchange.durable
    ]


def check_owner(entry: QueueEntry, owner: str, strict: bool = False) -> Refused | None:
    """Return 405 where an exclusive queue belongs to another connection.

    `strict`, for declarations: a queue that is not exclusive must not be declared exclusive either.
    """
    declared = entry.declared
    if declared.owner == owner or (not declared.owner and not strict):
        return None
    name = f"queue '{declared.name}' in vhost '{declared.virtual_host}'"
    return Refused(
        RESOURCE_LOCKED,
        f"cannot obtain exclusive access to locked {name}. It could be originally declared on "
        "another connection or the exclusive property value does not match that of the original "
        "declaration.",
    )


def check_queue(entry: QueueEntry, request: DeclareQueue) -> Refused | None:
    """Return why this queue cannot be declared again in this way, if it cannot."""
    declared = entry.declared
    subject = f"queue '{declared.name}' in vhost '{declared.virtual_host}'"
    compared = QUEUE_ARGUMENTS[queue_type(_decoded(declared.arguments))]
    return (
        check_owner(entry, request.owner, strict=True)
        or _differ("durable", subject, request.durable, declared.durable)
        or _differ("auto_delete", subject, request.auto_delete, declared.auto_delete)
        or _arguments_differ(subject, compared, request.arguments, declared.arguments)
    )


def check_exchange(exchange: Exchange, request: DeclareExchange) -> Refused | None:
    """Return why this exchange cannot be declared again in this way, if it cannot."""
    subject = f"exchange '{request.name}' in vhost '{request.virtual_host}'"
    return (
        _differ("type", subject, request.kind, exchange.kind)
        or _differ("durable", subject, request.durable, exchange.durable)
        or _differ("auto_delete", subject, request.auto_delete, exchange.auto_delete)
        or _differ("internal", subject, request.internal, exchange.internal)
        or _arguments_differ(subject, EXCHANGE_ARGUMENTS, request.arguments, exchange.arguments)
    )


def has_binding(catalog: Catalog, request: Bind) -> bool:
    """Whether this binding is there already and `request` may ask for it."""
    exchange = catalog.find_exchange(request.virtual_host, request.source)
    return (
        exchange is not None
        and _wanted(request) in exchange.bindings
        and _check_ends(catalog, request) is None
    )


def _declare_exchange(catalog: Catalog, request: DeclareExchange) -> Judgement:
    exchange = catalog.find_exchange(request.virtual_host, request.name)
    if exchange is not None:
        return check_exchange(exchange, request) or []
    if request.virtual_host not in catalog.virtual_hosts:
        return _no_virtual_host(request.virtual_host)
    return [
        ExchangeDeclared(
            request.virtual_host,
            request.name,
            request.kind,
            request.durable,
            request.auto_delete,
            request.internal,
            request.arguments,
        )
    ]


def _no_virtual_host(name: str) -> Refused:
    # Its connections are being closed; this one asked before it heard.
    return Refused(NOT_FOUND, f"vhost {name} not found")


def _differ(name: str, subject: str, received: object, current: object) -> Refused | None:
    if received == current:
        return None
    return _inequivalent(name, subject, _shown(received), _shown(current))


def _inequivalent(name: str, subject: str, received: str, current: str) -> Refused:
    return Refused(
        PRECONDITION_FAILED,
        f"inequivalent arg '{name}' for {subject}: received {received} but current is {current}",
    )


def _shown(value: object) -> str:
    if isinstance(value, bytes):
        value = value.decode("utf-8", "backslashreplace")
    return f"'{str(value).lower()}'" if isinstance(value, bool) else f"'{value}'"


def _arguments_differ(
    subject: str, compared: tuple[str, ...], received: bytes, current: bytes
) -> Refused | None:
    """Compare arguments as RabbitMQ does: those that mean something, numbers by their value."""
    if received == current:
        return None
    new, old = _decoded(received), _decoded(current)
    for name in compared:
        if name in new and name in old:
            texts = _shown(new[name]), _shown(old[name])
            # Numbers of any width are the same by value; 1, true and 1.0 are not.
            if new[name] != old[name] or texts[0] != texts[1]:
                return _inequivalent(name, subject, *texts)
        elif name in new or name in old:
            if name == "x-queue-type" and (new.get(name) or old.get(name)) == "classic":
                continue  # the type that a queue has where none is said
            return _inequivalent(name, subject, _typed(new, name), _typed(old, name))
    return None


def _typed(arguments: dict[str, FieldValue], name: str) -> str:
    if name not in arguments:
        return "none"
    value = arguments[name]
    return f"the value {_shown(value)} of type '{type_name(value)}'"


def _decoded(arguments: bytes) -> dict[str, FieldValue]:
    return decode_table(arguments, 0)[0] if arguments else {}


def _delete_exchange(catalog: Catalog, request: DeleteExchange) -> Judgement:
    exchange = catalog.find_exchange(request.virtual_host, request.name)
    if exchange is None:
        return []
    if request.if_unused and exchange.bindings:
        name = f"exchange '{request.name}' in vhost '{request.virtual_host}'"
        return Refused(PRECONDITION_FAILED, f"{name} in use")
    changes: list[Change] = [ExchangeDeleted(request.virtual_host, request.name)]
    leading = catalog.bindings_of(request.virtual_host, "exchange", request.name)
    return changes + _wither(catalog, request.virtual_host, leading, {request.name: None})


def _declare_queue(
    catalog: Catalog, request: DeclareQueue, node: str, next_queue: int
) -> Judgement:
    entry = catalog.find_queue(request.virtual_host, request.name)
    if entry is not None:
        return check_queue(entry, request) or []
    host = catalog.virtual_hosts.get(request.virtual_host)
    if host is None:
        return _no_virtual_host(request.virtual_host)
    limit = catalog.virtual_host_limit(host.name, "max-queues")
    if limit is not None and len(host.queues) >= limit:
        text = f"queue limit in vhost '{host.name}' ({limit}) is reached"
        return Refused(PRECONDITION_FAILED, f"cannot declare queue '{request.name}': {text}")
    declared = QueueDeclared(
        request.virtual_host,
        request.name,
        next_queue,
        request.durable,
        request.auto_delete,
        request.owner,
        request.arguments,
    )
    policy = effective_policy(host, "queue", request.name, QueueEntry(declared).settings.kind)
    return [declared, place_new(catalog, next_queue, bool(request.owner), node, policy)]


def _delete_queues(catalog: Catalog, entries: list[QueueEntry]) -> list[Change]:
    changes: list[Change] = []
    # Counted together: an exchange may wither by the last bindings of several queues.
    gone: dict[str, list[tuple[str, Binding]]] = {}
    for entry in entries:
        declared = entry.declared
        changes.append(QueueDeleted(declared.virtual_host, declared.name, declared.queue))
        gone.setdefault(declared.virtual_host, []).extend(entry.bound_from)
    for virtual_host, bindings in gone.items():
        changes += _wither(catalog, virtual_host, bindings, {})
    return changes


def _wither(
    catalog: Catalog,
    virtual_host: str,
    gone: list[tuple[str, Binding]],
    deleted: dict[str, None],
) -> list[Change]:
    """Return the deletions of auto-delete exchanges whose last bindings are these that go.

    Deleting one takes away the bindings that lead to it, so the next may wither in turn.
    """
    changes: list[Change] = []
    leaving: dict[str, int] = {}
    work = list(gone)
    while work:
        source, _ = work.pop(0)
        leaving[source] = leaving.get(source, 0) + 1
        exchange = catalog.find_exchange(virtual_host, source)
        if exchange is None or not exchange.auto_delete or source in deleted:
            continue
        if len(exchange.bindings) == leaving[source]:
            deleted[source] = None
            changes.append(ExchangeDeleted(virtual_host, source))
            work += catalog.bindings_of(virtual_host, "exchange", source)
    return changes


def _bind(catalog: Catalog, request: Bind) -> Judgement:
    refusal = _check_ends(catalog, request)
    if refusal is not None:
        return refusal
    if has_binding(catalog, request):
        return []
    return [
        Bound(
            request.virtual_host,
            request.source,
            request.destination_kind,
            request.destination,
            request.routing_key,
            request.arguments,
        )
    ]


def _unbind(catalog: Catalog, request: Unbind) -> Judgement:
    exchange = catalog.find_exchange(request.virtual_host, request.source)
    binding = _wanted(request)
    if exchange is None or binding not in exchange.bindings:
        # RabbitMQ 3.10: unbinding what is not there succeeds, missing ends included.
        return []
    refusal = _check_ends(catalog, request)
    if refusal is not None:
        return refusal
    changes: list[Change] = [
        Unbound(
            request.virtual_host,
            request.source,
            request.destination_kind,
            request.destination,
            request.routing_key,
            request.arguments,
        )
    ]
    return changes + _wither(catalog, request.virtual_host, [(request.source, binding)], {})


def _wanted(request: Bind | Unbind) -> Binding:
    return binding_of(
        Bound(
            request.virtual_host,
            request.source,
            request.destination_kind,
            request.destination,
            request.routing_key,
            request.arguments,
        )
    )


def _check_ends(catalog: Catalog, request: Bind | Unbind) -> Refused | None:
    """Return why the ends of a binding cannot be joined: one is missing, or another's own."""
    host = request.virtual_host
    source = catalog.find_exchange(host, request.source)
    if source is None:
        return Refused(NOT_FOUND, f"no exchange '{request.source}' in vhost '{host}'")
    if request.destination_kind == "exchange":
        if catalog.find_exchange(host, request.destination) is None:
            return Refused(NOT_FOUND, f"no exchange '{request.destination}' in vhost '{host}'")
        return _check_arguments(source, request)
    entry = catalog.find_queue(host, request.destination)
    if entry is None:
        return Refused(NOT_FOUND, f"no queue '{request.destination}' in vhost '{host}'")
    return _check_arguments(source, request) or check_owner(entry, request.owner)


def _check_arguments(source: Exchange, request: Bind | Unbind) -> Refused | None:
    fault = check_binding(source, request.routing_key, request.arguments)
    return Refused(PRECONDITION_FAILED, fault) if fault else None


def _change_in_sync(catalog: Catalog, request: AdmitMirror | DropMirror) -> list[Change]:
    entry = catalog.queues.get(request.queue)
    if entry is None or entry.placed.epoch != request.epoch:
        return []  # the word of a leader that is none any more
    placed = entry.placed
    if isinstance(request, AdmitMirror):
        # Only a node that is in the cluster now: one that left has lost its place (and, restarted,
        # its contents), whatever its leader has seen of it before.
        if request.node in placed.in_sync or request.node not in placed.mirrors:
            return []
        if request.node not in catalog.nodes and request.node not in catalog.away:
            return []  # it has died, and would be waited for
        return [place_admitted(entry, request.node)]
    if request.node not in [*placed.in_sync, *placed.stored] or request.node == placed.leader:
        return []
    return [place_dropped(catalog, entry, request.node)]
