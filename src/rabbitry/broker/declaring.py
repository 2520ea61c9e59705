"""Classes exchange and queue of a channel: what is declared, bound, purged and deleted.

Judges what needs only the method and the connection (reserved names, the default exchange,
exchange types); what needs the one true catalog is asked of the `BrokerPort`, whose answer the
channel awaits.

RabbitMQ: rabbit_channel.erl handle_method/6 of 'exchange.*' and 'queue.*', check_name/2,
check_not_default_exchange/1, strip_cr_lf/1.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from rabbitry.broker.direct_reply_to import REPLY_TO_NAME
from rabbitry.broker.exchanges import EXCHANGE_TYPES, check_declaration
from rabbitry.broker.permissions import Kind, Operation
from rabbitry.broker.ports import QueueReply, Refusal
from rabbitry.broker.queue_arguments import (
    QUORUM,
    STREAM,
    check_arguments,
    check_properties,
    module_name,
    queue_type,
)
from rabbitry.wire.errors import (
    ACCESS_REFUSED,
    COMMAND_INVALID,
    INTERNAL_ERROR,
    NOT_FOUND,
    NOT_IMPLEMENTED,
    PRECONDITION_FAILED,
    ChannelException,
    ConnectionException,
)
from rabbitry.wire.methods import (
    ExchangeBind,
    ExchangeBindOk,
    ExchangeDeclare,
    ExchangeDeclareOk,
    ExchangeDelete,
    ExchangeDeleteOk,
    ExchangeUnbind,
    ExchangeUnbindOk,
    Method,
    QueueBind,
    QueueBindOk,
    QueueDeclare,
    QueueDeclareOk,
    QueueDelete,
    QueueDeleteOk,
    QueuePurge,
    QueuePurgeOk,
    QueueUnbind,
    QueueUnbindOk,
)
from rabbitry.wire.values import FieldValue, encode_table

if TYPE_CHECKING:
    from rabbitry.broker.channel import Channel

_NAME_ENCODING: Final = ("utf-8", "surrogateescape")


def handle(channel: Channel, method: Method) -> bool:
    """Carry out a method of class exchange or queue; False for any other."""
    handler = _HANDLERS.get(type(method))
    if handler is None:
        return False
    handler(channel, method)
    return True


def _await(
    channel: Channel, method: Method, reply: Method | None
) -> Callable[[Refusal | None], None]:
    """Have the channel wait; return what takes the answer, replies and goes on."""

    def work(refusal: Refusal | None) -> None:
        if refusal is not None:
            raise refusal.exception(method.class_id, method.method_id)
        if reply is not None:
            channel.reply(reply)

    channel.wait()
    return lambda refusal: channel.resume(lambda: work(refusal))


def _strip(name: str) -> str:
    return name.replace("\r", "").replace("\n", "")


def _check_not_default(name: str, method: Method) -> None:
    if not name:
        raise ChannelException(
            ACCESS_REFUSED,
            "operation not permitted on the default exchange",
            method.class_id,
            method.method_id,
        )


def _check_name(kind: str, name: str, method: Method) -> None:
    if name.startswith("amq."):
        raise ChannelException(
            ACCESS_REFUSED,
            f"{kind} name '{name}' contains reserved prefix 'amq.*'",
            method.class_id,
            method.method_id,
        )


def _check_permitted(
    channel: Channel, operation: Operation, kind: Kind, name: str, method: Method
) -> None:
    permissions = channel.connection.permissions
    permissions.check(operation, kind, name, method.class_id, method.method_id)


def _check_source(channel: Channel, source: str, routing_key: str, method: Method) -> None:
    """Judge the exchange that a binding leaves (rabbit_channel.erl binding_action/10)."""
    name = _strip(source)
    _check_not_default(name, method)
    _check_permitted(channel, "read", "exchange", name, method)
    exchange = channel.port.find_exchange(channel.connection.virtual_host, name)
    if exchange is not None and exchange.kind == "topic":
        permissions = channel.connection.permissions
        ids = method.class_id, method.method_id
        permissions.check_topic("read", name, routing_key, *ids)


# --- class exchange -------------------------------------------------------------------------------


def _exchange_declare(channel: Channel, method: Method) -> None:
    assert isinstance(method, ExchangeDeclare)
    name = _strip(method.exchange)
    host = channel.connection.virtual_host
    found = channel.port.find_exchange(host, name)
    ok = None if method.no_wait else ExchangeDeclareOk()
    if method.passive:
        _check_not_default(name, method)
        if found is None:
            text = f"no exchange '{name}' in vhost '{host}'"
            raise ChannelException(NOT_FOUND, text, 40, 10)
        if ok is not None:
            channel.reply(ok)
        return
    if method.type not in EXCHANGE_TYPES:
        # RabbitMQ: the empty word exists in Erlang, so it is not unknown but no type.
        text = f"{'unknown' if method.type else 'invalid'} exchange type '{method.type}'"
        raise ConnectionException(COMMAND_INVALID, text, 40, 10)
    _check_not_default(name, method)
    _check_permitted(channel, "configure", "exchange", name, method)
    if found is None:
        _check_name("exchange", name, method)
        fault = check_declaration(method.type, method.arguments)
        if fault.endswith("arg 'alternate-exchange'"):
            fault += f" in exchange '{name}' in vhost '{host}'"
        if fault:
            raise ChannelException(PRECONDITION_FAILED, fault, 40, 10)
        alternate = method.arguments.get("alternate-exchange")
        if isinstance(alternate, str):
            _check_permitted(channel, "read", "exchange", name, method)
            _check_permitted(channel, "write", "exchange", alternate, method)
    channel.port.declare_exchange(
        host,
        name,
        method.type,
        method.durable,
        method.auto_delete,
        method.internal,
        _encoded(method.arguments),
        _await(channel, method, ok),
    )


def _exchange_delete(channel: Channel, method: Method) -> None:
    assert isinstance(method, ExchangeDelete)
    name = _strip(method.exchange)
    host = channel.connection.virtual_host
    _check_not_default(name, method)
    if name.startswith("amq."):
        text = f"deletion of system exchange '{name}' in vhost '{host}' not allowed"
        raise ChannelException(ACCESS_REFUSED, text, 40, 20)
    _check_permitted(channel, "configure", "exchange", name, method)
    answer = _await(channel, method, None if method.no_wait else ExchangeDeleteOk())
    channel.port.delete_exchange(host, name, method.if_unused, answer)


def _exchange_bind(channel: Channel, method: Method) -> None:
    assert isinstance(method, ExchangeBind | ExchangeUnbind)
    _check_permitted(channel, "write", "exchange", _strip(method.destination), method)
    _check_not_default(_strip(method.destination), method)
    _check_source(channel, method.source, method.routing_key, method)
    unbind = isinstance(method, ExchangeUnbind)
    ok = ExchangeUnbindOk() if unbind else ExchangeBindOk()
    channel.port.bind(
        unbind,
        channel.connection.virtual_host,
        _strip(method.source),
        "exchange",
        _strip(method.destination),
        method.routing_key,
        _encoded(_sorted(method.arguments)),
        channel.connection.owner,
        _await(channel, method, None if method.no_wait else ok),
    )


# --- class queue ----------------------------------------------------------------------------------


def _queue_declare(channel: Channel, method: Method) -> None:
    assert isinstance(method, QueueDeclare)
    name = _strip(method.queue)
    host = channel.connection.virtual_host
    owner = channel.connection.owner
    if name.startswith(REPLY_TO_NAME):
        _declare_reply_to(channel, name, method.no_wait)
        return
    if method.passive:
        # RabbitMQ: the empty name is a name here, of a queue that never is.
        channel.queue(name, 50, 10)
        channel.last_queue = name
        channel.wait()
        _count(channel, name, method.no_wait)
        return
    if not name:
        name = _server_name(channel, method)
    else:
        # RabbitMQ: not only of one that is new, as with exchanges.
        _check_name("queue", name, method)
    _check_permitted(channel, "configure", "queue", name, method)
    if channel.port.find_queue(host, name) is None:
        dead_letter_exchange = method.arguments.get("x-dead-letter-exchange")
        if isinstance(dead_letter_exchange, str):
            _check_permitted(channel, "read", "queue", name, method)
            _check_permitted(channel, "write", "exchange", dead_letter_exchange, method)
        _check_new_queue(channel, name, method)

    def declare() -> None:
        channel.port.declare_queue(
            host,
            name,
            # RabbitMQ: `durable` is ignored on exclusive queues.
            method.durable and not method.exclusive,
            method.auto_delete,
            owner if method.exclusive else "",
            _encoded(method.arguments),
            answered,
        )

    def answered(refusal: Refusal | None) -> None:
        if channel.closed:
            return
        if refusal is not None:
            exception = refusal.exception(50, 10)
            channel.resume(lambda: _raise(exception))
            return
        channel.last_queue = name
        # One that was there was about to go: it is declared anew.
        _count(channel, name, method.no_wait, declare)

    channel.wait()
    declare()


def _server_name(channel: Channel, method: QueueDeclare) -> str:
    kind = queue_type(method.arguments)
    if kind in (QUORUM, STREAM):
        text = f"Cannot declare a server-named queue for type {module_name(kind)}"
        raise ChannelException(PRECONDITION_FAILED, text, 50, 10)
    return channel.connection.new_name("amq.gen-")


def _check_new_queue(channel: Channel, name: str, method: QueueDeclare) -> None:
    """Raise what is wrong with a queue that is not there yet."""
    subject = f"queue '{name}' in vhost '{channel.connection.virtual_host}'"
    arguments = method.arguments
    fault = check_arguments(subject, arguments)
    if fault is not None:
        raise ChannelException(PRECONDITION_FAILED, fault, 50, 10)
    kind = queue_type(arguments)
    fault = check_properties(
        subject,
        kind,
        durable=method.durable and not method.exclusive,
        exclusive=method.exclusive,
        auto_delete=method.auto_delete,
    )
    if fault is not None:
        raise ChannelException(PRECONDITION_FAILED, fault, 50, 10)
    if kind == STREAM:
        # What RabbitMQ says where its feature flag `stream_queue` is off.
        text = (
            f"Cannot declare a queue '{subject}' of type '{module_name(kind)}' on node "
            f"'{channel.port.origin.partition('#')[0]}': the corresponding feature flag is disabled"
        )
        raise ConnectionException(INTERNAL_ERROR, text, 50, 10)


def _declare_reply_to(channel: Channel, name: str, no_wait: bool) -> None:
    """Tell whether a direct reply-to address exists; every declaration of one is passive."""

    def tell(found: bool) -> None:
        if not found:
            text = f"no queue '{name}' in vhost '{channel.connection.virtual_host}'"
            raise ChannelException(NOT_FOUND, text, 50, 10)
        channel.last_queue = name
        if not no_wait:
            channel.reply(QueueDeclareOk(name, 0, 1))

    if name == REPLY_TO_NAME:
        tell(True)
        return
    channel.wait()
    channel.port.find_reply_consumer(name, lambda found: channel.resume(lambda: tell(found)))


def _count(
    channel: Channel, name: str, no_wait: bool, gone: Callable[[], None] | None = None
) -> None:
    """Answer a declaration with the counts of the queue; the channel is waiting.

    `gone` is called instead where the queue was deleted meanwhile.
    """

    def answered(reply: QueueReply) -> None:
        refusal = reply.refusal
        if gone is not None and refusal is not None and refusal.reply_code == NOT_FOUND:
            if not channel.closed:
                gone()
        else:
            channel.resume(lambda: tell(reply))

    def tell(reply: QueueReply) -> None:
        if reply.refusal is not None:
            raise reply.refusal.exception(50, 10)
        if not no_wait:
            channel.reply(QueueDeclareOk(name, reply.messages, reply.consumers))

    handle = channel.port.find_queue(channel.connection.virtual_host, name)
    if handle is None or no_wait:
        # Deleted again by somebody in the meantime: it was declared all the same.
        answered(QueueReply())
    else:
        handle.inquire("count", answered)


def _raise(exception: Exception) -> None:
    raise exception


def _queue_bind(channel: Channel, method: Method) -> None:
    assert isinstance(method, QueueBind | QueueUnbind)
    name = _strip(channel.queue_name(method.queue, 50, method.method_id))
    unbind = isinstance(method, QueueUnbind)
    no_wait = isinstance(method, QueueBind) and method.no_wait
    routing_key = method.routing_key
    if not method.queue and not routing_key:
        routing_key = name  # specification: queue.bind, routing-key
    _check_permitted(channel, "write", "queue", name, method)
    _check_source(channel, method.exchange, routing_key, method)
    ok = QueueUnbindOk() if unbind else QueueBindOk()
    channel.port.bind(
        unbind,
        channel.connection.virtual_host,
        _strip(method.exchange),
        "queue",
        name,
        routing_key,
        _encoded(_sorted(method.arguments)),
        channel.connection.owner,
        _await(channel, method, None if no_wait else ok),
    )


def _queue_purge(channel: Channel, method: Method) -> None:
    assert isinstance(method, QueuePurge)
    handle = channel.readable_queue(method.queue, 50, 30)

    def tell(reply: QueueReply) -> None:
        if reply.refusal is not None:
            raise reply.refusal.exception(50, 30)
        if not method.no_wait:
            channel.reply(QueuePurgeOk(reply.messages))

    channel.wait()
    handle.inquire("purge", lambda reply: channel.resume(lambda: tell(reply)))


def _queue_delete(channel: Channel, method: Method) -> None:
    assert isinstance(method, QueueDelete)
    name = _strip(channel.queue_name(method.queue, 50, 40))
    _check_permitted(channel, "configure", "queue", name, method)
    if channel.port.find_queue(channel.connection.virtual_host, name) is None:
        # RabbitMQ: deleting what is not there succeeds.
        if not method.no_wait:
            channel.reply(QueueDeleteOk(0))
        return
    handle = channel.queue(name, 50, 40)
    for condition, unsupported in (("unused", method.if_unused), ("empty", method.if_empty)):
        if unsupported and handle.kind == QUORUM:
            text = (
                f"cannot delete queue '{name}' in vhost '{channel.connection.virtual_host}'. "
                f"queue.delete operations with if-{condition} flag set are not supported by "
                "quorum queues"
            )
            raise ConnectionException(NOT_IMPLEMENTED, text, 50, 40)

    def tell(reply: QueueReply) -> None:
        if reply.refusal is not None:
            raise reply.refusal.exception(50, 40)
        if not method.no_wait:
            channel.reply(QueueDeleteOk(reply.messages))

    channel.wait()
    handle.inquire(
        "delete",
        lambda reply: channel.resume(lambda: tell(reply)),
        if_unused=method.if_unused,
        if_empty=method.if_empty,
    )


def _sorted(arguments: dict[str, FieldValue]) -> dict[str, FieldValue]:
    """Return the arguments of a binding in one order, so that equal ones make equal bindings.

    RabbitMQ: rabbit_binding.erl binding_action/3.
    """
    return dict(sorted(arguments.items(), key=lambda item: item[0].encode(*_NAME_ENCODING)))


def _encoded(arguments: dict[str, FieldValue]) -> bytes:
    return encode_table(arguments) if arguments else b""


_HANDLERS: Final[dict[type[Method], Callable[[Channel, Method], None]]] = {
    ExchangeDeclare: _exchange_declare,
    ExchangeDelete: _exchange_delete,
    ExchangeBind: _exchange_bind,
    ExchangeUnbind: _exchange_bind,
    QueueDeclare: _queue_declare,
    QueueBind: _queue_bind,
    QueueUnbind: _queue_bind,
    QueuePurge: _queue_purge,
    QueueDelete: _queue_delete,
}
