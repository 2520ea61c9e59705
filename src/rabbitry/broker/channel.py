"""One channel of a client: AMQP's methods turned into work for queues and the catalog.

Methods of a channel are carried out strictly in order. Where an answer must be awaited (a
declaration that the cluster has to agree on, a queue whose leader is elsewhere), the channel is
`waiting` and what comes meanwhile is kept in its backlog; other channels go on. Faults of the
client are raised as `AmqpException` and closed by the connection, with RabbitMQ's code and text
(rabbit_channel.erl).

This file has the channel's life and everything of class basic; classes exchange and queue are in
`declaring`, the hot paths in `publishing` and `consuming`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from struct import Struct
from typing import Final, Protocol

from rabbitry.broker import declaring
from rabbitry.broker.consuming import Subscription, Unsettled
from rabbitry.broker.permissions import Permissions
from rabbitry.broker.ports import BrokerPort, GetReply, Lease, QueueHandle, QueueReply
from rabbitry.broker.publishing import Confirms, Publisher
from rabbitry.broker.queue import Consumer, Holder
from rabbitry.wire.content import Command
from rabbitry.wire.errors import (
    COMMAND_INVALID,
    NOT_ALLOWED,
    NOT_FOUND,
    NOT_IMPLEMENTED,
    PRECONDITION_FAILED,
    ChannelException,
    ConnectionException,
)
from rabbitry.wire.frames import fit_content, method_frame
from rabbitry.wire.methods import (
    AccessRequest,
    AccessRequestOk,
    BasicAck,
    BasicCancel,
    BasicCancelOk,
    BasicConsume,
    BasicConsumeOk,
    BasicGet,
    BasicGetEmpty,
    BasicGetOk,
    BasicNack,
    BasicQos,
    BasicQosOk,
    BasicRecover,
    BasicRecoverAsync,
    BasicRecoverOk,
    BasicReject,
    ChannelClose,
    ChannelCloseOk,
    ChannelFlow,
    ChannelFlowOk,
    ChannelOpen,
    ChannelOpenOk,
    ConfirmSelect,
    ConfirmSelectOk,
    Method,
)

_ACK: Final = BasicAck().encode()[:4]
_ack_arguments = Struct(">QB")


class ChannelConnection(Protocol):
    """What a channel needs of its connection."""

    owner: str

    @property
    def virtual_host(self) -> str:
        """The virtual host that the connection has opened."""
        ...

    @property
    def permissions(self) -> Permissions:
        """What the connection may do."""
        ...

    @property
    def frame_size_max(self) -> int:
        """The longest frame that the client takes, in bytes; 0 for no limit."""
        ...

    @property
    def cancel_notify(self) -> bool:
        """Whether the client understands a `basic.cancel` from the server."""
        ...

    def send_method(self, channel: int, method: Method) -> None:
        """Queue a method for the client."""
        ...

    def write(self, parts: Sequence[bytes]) -> None:
        """Queue frames for the client."""
        ...

    def wants_flush(self, channel: int) -> None:
        """Have `flush` called, and bytes sent, at the end of this step."""
        ...

    def guard(self, channel: int, work: Callable[[], None]) -> None:
        """Do `work`; close the channel or the connection if it raises an `AmqpException`."""
        ...

    def new_name(self, prefix: str) -> str:
        """Return a name that nobody else has."""
        ...


class Channel:
    """One channel. `number` is the client's, `holder` names it in the whole cluster."""

    def __init__(
        self, number: int, holder: Holder, connection: ChannelConnection, port: BrokerPort
    ) -> None:
        self.number = number
        self.holder = holder
        self.connection = connection
        self.port = port
        self.closed = False
        self.waiting = False
        self.last_queue = ""  # what the empty queue name stands for
        self._backlog: deque[Command] = deque()
        self._publisher = Publisher(port, connection.virtual_host, number, connection.permissions)
        self._unsettled = Unsettled()
        self._subscriptions: dict[str, Subscription] = {}
        self._next_consumer = 1
        self._prefetch_count = 0
        self._used: dict[QueueHandle, None] = {}  # queues to tell when the channel ends
        self._paused = False
        self._notices: list[str] = []  # consumers whose end is told when the channel waits no more

    # --- life -------------------------------------------------------------------------------------

    def handle(self, command: Command) -> None:
        """Carry out a command of the client, or keep it until its turn."""
        if self.waiting:
            self._backlog.append(command)
        elif command.fault is not None:
            raise command.fault
        elif command.contents:
            frames = self._publisher.publish(command, self.connection.frame_size_max)
            if frames:
                self.connection.write(frames)
        elif command.frame[7:11] == _ACK and len(command.frame) == 21:
            tag, multiple = _ack_arguments.unpack_from(command.frame, 11)
            self._settle(tag, bool(multiple & 1))
        else:
            method = command.method()
            handler = _HANDLERS.get(type(method))
            if handler is not None:
                handler(self, method)
            elif not declaring.handle(self, method):
                self._refuse(method)

    def _refuse(self, method: Method) -> None:
        if method.name.startswith("tx."):
            raise ConnectionException(
                NOT_IMPLEMENTED,
                "transactions are not implemented yet",
                method.class_id,
                method.method_id,
            )
        raise ConnectionException(
            COMMAND_INVALID, "unimplemented method", method.class_id, method.method_id
        )

    def backlog_size(self) -> int:
        """Return how many commands wait for their turn."""
        return len(self._backlog)

    def wait(self) -> None:
        """Carry out nothing more until `resume`."""
        self.waiting = True

    def resume(self, work: Callable[[], None]) -> None:
        """An awaited answer has come: do `work` with it, then what has come meanwhile."""
        if self.closed:
            return
        self.waiting = False
        self.connection.guard(self.number, work)
        while self._notices and not self.closed:
            self._tell_cancelled(self._notices.pop(0))
        while self._backlog and not self.waiting and not self.closed:
            command = self._backlog.popleft()
            self.connection.guard(self.number, lambda command=command: self.handle(command))  # type: ignore[misc]

    def close(self) -> None:
        """The channel is over: consumers end, what it holds goes back, answers find nobody."""
        if self.closed:
            return
        self.closed = True
        self._backlog.clear()
        used, self._used = self._used, {}
        self._subscriptions.clear()
        for handle in used:
            handle.release(self.holder)

    def check_consumer_timeout(self, now: int, timeout_ms: int) -> None:
        """Raise 406 where the client owes an acknowledgement for longer than that.

        RabbitMQ: rabbit_channel.erl evaluate_consumer_timeout.
        """
        if not self.closed and self._unsettled.overdue(now, timeout_ms * 1000):
            raise ChannelException(
                PRECONDITION_FAILED,
                f"delivery acknowledgement on channel {self.number} timed out. Timeout value used: "
                f"{timeout_ms} ms. This timeout value can be configured, see consumers doc guide "
                "to learn more",
            )

    def flush(self) -> None:
        """Send the confirms that have gathered. One that comes too late for the channel is lost."""
        confirms = self._publisher.confirms
        if confirms is not None and not self.closed:
            frames = confirms.flush(self.number)
            if frames:
                self.connection.write(frames)

    def pause(self, paused: bool) -> None:
        """The client does not read fast enough, or does again."""
        self._paused = paused
        for subscription in self._subscriptions.values():
            subscription.handle.pause_consumer(self.holder, subscription.number, paused)

    def reply(self, method: Method) -> None:
        """Queue a method for the client."""
        self.connection.send_method(self.number, method)

    # --- queues -----------------------------------------------------------------------------------

    def queue_name(self, name: str, class_id: int, method_id: int) -> str:
        """Return the name meant: the empty one stands for the queue declared last."""
        if name:
            return name
        if not self.last_queue:
            raise ChannelException(NOT_FOUND, "no previously declared queue", class_id, method_id)
        return self.last_queue

    def queue(self, name: str, class_id: int, method_id: int) -> QueueHandle:
        """Return a queue that exists and that this connection may use; raises 404 or 405."""
        handle = self.port.find_queue(self.connection.virtual_host, name)
        if handle is None:
            raise no_queue(name, self.connection.virtual_host, class_id, method_id)
        refusal = handle.refuse(self.connection.owner)
        if refusal is not None:
            raise refusal.exception(class_id, method_id)
        return handle

    def readable_queue(self, name: str, class_id: int, method_id: int) -> QueueHandle:
        """Return `queue` of a name or of the queue declared last; raises 403 if not for us."""
        name = self.queue_name(name, class_id, method_id)
        self.connection.permissions.check("read", "queue", name, class_id, method_id)
        return self.queue(name, class_id, method_id)

    # --- class channel ----------------------------------------------------------------------------

    def _open(self, _method: Method) -> None:
        self.reply(ChannelOpenOk())

    def _close(self, _method: Method) -> None:
        self.flush()  # confirms that were earned
        self.close()
        self.reply(ChannelCloseOk())

    def _flow(self, method: Method) -> None:
        assert isinstance(method, ChannelFlow)
        if not method.active:
            raise ConnectionException(NOT_IMPLEMENTED, "active=false", 20, 20)
        self.reply(ChannelFlowOk(active=True))

    def _access(self, _method: Method) -> None:
        self.reply(AccessRequestOk(ticket=1))

    def _confirm_select(self, method: Method) -> None:
        assert isinstance(method, ConfirmSelect)
        if self._publisher.confirms is None:
            self._publisher.confirms = Confirms(lambda: self.connection.wants_flush(self.number))
        if not method.no_wait:
            self.reply(ConfirmSelectOk())

    # --- class basic ------------------------------------------------------------------------------

    def _qos(self, method: Method) -> None:
        assert isinstance(method, BasicQos)
        if method.prefetch_size:
            text = f"prefetch_size!=0 ({method.prefetch_size})"
            raise ConnectionException(NOT_IMPLEMENTED, text, 60, 10)
        if method.global_:
            text = "prefetch shared by a channel (global=true) is not implemented yet"
            raise ConnectionException(NOT_IMPLEMENTED, text, 60, 10)
        self._prefetch_count = method.prefetch_count
        self.reply(BasicQosOk())

    def _consume(self, method: Method) -> None:
        assert isinstance(method, BasicConsume)
        tag = method.consumer_tag or self.connection.new_name("amq.ctag-")
        if tag in self._subscriptions:
            text = f"attempt to reuse consumer tag '{tag}'"
            raise ConnectionException(NOT_ALLOWED, text, 60, 20)
        handle = self.readable_queue(method.queue, 60, 20)
        number = self._next_consumer
        self._next_consumer += 1
        subscription = Subscription(
            self.connection,
            self.number,
            self._unsettled,
            handle,
            tag,
            number,
            no_ack=method.no_ack,
            cancel_on_failover=method.arguments.get("x-cancel-on-ha-failover") is True,
            on_cancelled=self._cancelled_by_queue,
        )
        consumer = Consumer(
            self.holder,
            number,
            no_ack=method.no_ack,
            prefetch_count=self._prefetch_count,
            exclusive=method.exclusive,
        )
        self._subscriptions[tag] = subscription
        self._used[handle] = None

        def answered(reply: QueueReply) -> None:
            self.resume(lambda: self._consume_answered(tag, method.no_wait, reply))

        self.wait()
        handle.subscribe(consumer, subscription, answered)
        if self._paused:
            handle.pause_consumer(self.holder, number, True)

    def _consume_answered(self, tag: str, no_wait: bool, reply: QueueReply) -> None:
        if reply.refusal is not None:
            raise reply.refusal.exception(60, 20)
        if not no_wait:
            self.reply(BasicConsumeOk(consumer_tag=tag))

    def _cancel(self, method: Method) -> None:
        assert isinstance(method, BasicCancel)
        tag = method.consumer_tag
        subscription = self._subscriptions.pop(tag, None)
        if subscription is None:
            # RabbitMQ: cancelling an unknown consumer succeeds; we may just have cancelled it.
            if not method.no_wait:
                self.reply(BasicCancelOk(consumer_tag=tag))
            return

        def answered(_reply: QueueReply) -> None:
            self.resume(lambda: self._cancel_answered(tag, method.no_wait))

        self.wait()
        subscription.handle.unsubscribe(self.holder, subscription.number, answered)

    def _cancel_answered(self, tag: str, no_wait: bool) -> None:
        if not no_wait:
            self.reply(BasicCancelOk(consumer_tag=tag))

    def _cancelled_by_queue(self, subscription: Subscription) -> None:
        """A queue ends the subscription: tell the client, but not before an answer it waits for.

        RabbitMQ: who deletes a queue and consumes it hears delete-ok first.
        """
        if self.closed or self._subscriptions.pop(subscription.tag, None) is None:
            return
        if self.waiting:
            self._notices.append(subscription.tag)
        else:
            self._tell_cancelled(subscription.tag)

    def _tell_cancelled(self, tag: str) -> None:
        if self.connection.cancel_notify:
            self.reply(BasicCancel(consumer_tag=tag, no_wait=True))

    def _get(self, method: Method) -> None:
        assert isinstance(method, BasicGet)
        handle = self.readable_queue(method.queue, 60, 70)
        self._used[handle] = None

        def answered(reply: GetReply, lease: Lease) -> None:
            if self.closed:
                return
            self.resume(lambda: self._get_answered(reply, lease, method.no_ack))

        self.wait()
        handle.get(self.holder, method.no_ack, answered)

    def _get_answered(self, reply: GetReply, lease: Lease, no_ack: bool) -> None:
        if reply.refusal is not None:
            raise reply.refusal.exception(60, 70)
        if reply.message is None:
            self.reply(BasicGetEmpty())
            return
        if no_ack:
            tag = self._unsettled.skip(1)
        else:
            tag = self._unsettled.add(lease, [reply.position])
        route, frames = reply.message
        ok = BasicGetOk(
            delivery_tag=tag,
            redelivered=reply.redelivered,
            exchange=route.exchange.decode("utf-8", "surrogateescape"),
            routing_key=route.routing_key.decode("utf-8", "surrogateescape"),
            message_count=reply.remaining,
        )
        content = fit_content(frames, self.number, self.connection.frame_size_max)
        self.connection.write([method_frame(self.number, ok.encode()), content])

    def _ack(self, method: Method) -> None:
        assert isinstance(method, BasicAck)
        self._settle(method.delivery_tag, method.multiple)

    def _nack(self, method: Method) -> None:
        assert isinstance(method, BasicNack)
        self._give_back(method.delivery_tag, method.multiple, method.requeue, 120)

    def _reject(self, method: Method) -> None:
        assert isinstance(method, BasicReject)
        self._give_back(method.delivery_tag, False, method.requeue, 90)

    def _settle(self, tag: int, multiple: bool) -> None:
        for lease, positions in self._unsettled.take(tag, multiple):
            lease.handle.settle(lease, self.holder, positions)

    def _give_back(self, tag: int, multiple: bool, requeue: bool, method_id: int) -> None:
        for lease, positions in self._unsettled.take(tag, multiple, method_id):
            if requeue:
                lease.handle.requeue(lease, self.holder, positions)
            else:
                lease.handle.settle(lease, self.holder, positions)

    def _recover(self, method: Method) -> None:
        assert isinstance(method, BasicRecover | BasicRecoverAsync)
        if not method.requeue:
            raise ConnectionException(NOT_IMPLEMENTED, "requeue=false", 60, method.method_id)
        for lease, positions in self._unsettled.take_all():
            lease.handle.requeue(lease, self.holder, positions)
        if isinstance(method, BasicRecover):
            self.reply(BasicRecoverOk())


def no_queue(name: str, virtual_host: str, class_id: int, method_id: int) -> ChannelException:
    """Return the 404 of a queue that is not there."""
    text = f"no queue '{name}' in vhost '{virtual_host}'"
    return ChannelException(NOT_FOUND, text, class_id, method_id)


_HANDLERS: Final[dict[type[Method], Callable[[Channel, Method], None]]] = {
    ChannelOpen: Channel._open,
    ChannelClose: Channel._close,
    ChannelFlow: Channel._flow,
    AccessRequest: Channel._access,
    ConfirmSelect: Channel._confirm_select,
    BasicQos: Channel._qos,
    BasicConsume: Channel._consume,
    BasicCancel: Channel._cancel,
    BasicGet: Channel._get,
    BasicAck: Channel._ack,
    BasicNack: Channel._nack,
    BasicReject: Channel._reject,
    BasicRecover: Channel._recover,
    BasicRecoverAsync: Channel._recover,
}
