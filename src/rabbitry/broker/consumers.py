"""Consumers of one channel: basic.qos, consume, cancel and get, and who may be sent more.

Owns the channel's subscriptions and the limit that they share; what a delivery is made of is in
`consuming`, how the shared limit is kept in `limiter`.

A consumer is paused at its queue's leader while the client does not read, while the shared limit
is reached, or while what came beyond the limit goes back to its queue. Quorum queues know no shared
limit, as in RabbitMQ.

RabbitMQ: rabbit_channel.erl handle_method 'basic.qos', 'basic.consume', 'basic.cancel',
'basic.get', cancel_consumer/3.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from rabbitry.broker.consuming import Subscription
from rabbitry.broker.direct_reply_to import REPLY_TO_NAME, ReplyConsumer, check_reply_consumer
from rabbitry.broker.limiter import Limiter
from rabbitry.broker.ports import GetReply, Lease, QueueHandle, QueueReply
from rabbitry.broker.queue import Consumer
from rabbitry.broker.queue_arguments import QUORUM, check_consumer
from rabbitry.wire.errors import (
    NOT_ALLOWED,
    NOT_IMPLEMENTED,
    PRECONDITION_FAILED,
    RESOURCE_LOCKED,
    ChannelException,
    ConnectionException,
)
from rabbitry.wire.frames import fit_content, method_frame
from rabbitry.wire.methods import (
    BasicCancel,
    BasicCancelOk,
    BasicConsume,
    BasicConsumeOk,
    BasicGet,
    BasicGetEmpty,
    BasicGetOk,
    BasicQos,
    BasicQosOk,
    Method,
)

if TYPE_CHECKING:
    from rabbitry.broker.channel import Channel

# rabbit_quorum_queue.erl consume/3: what a prefetch without a limit means there.
QUORUM_PREFETCH: Final = 2000


class Consumers:
    """See the module."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._subscriptions: dict[str, Subscription] = {}
        self._next_number = 1
        self._prefetch_count = 0  # of consumers to come
        self._limiter = Limiter()
        self._client_paused = False
        self._reply_consumer: ReplyConsumer | None = None
        self._notices: list[str] = []  # consumers whose end is told when the channel waits no more

    # --- the methods ------------------------------------------------------------------------------

    def qos(self, method: BasicQos) -> None:
        """Set the prefetch of consumers to come, or the one that all of the channel share."""
        if method.prefetch_size:
            text = f"prefetch_size!=0 ({method.prefetch_size})"
            raise ConnectionException(NOT_IMPLEMENTED, text, 60, 10)
        if method.global_:
            self._share(method.prefetch_count)
        else:
            self._prefetch_count = method.prefetch_count
            self._share(0)  # RabbitMQ: this ends what was set with `global`
        self._channel.reply(BasicQosOk())

    def consume(self, method: BasicConsume) -> None:
        """Subscribe to a queue; the channel waits for its answer."""
        channel = self._channel
        name = channel.queue_name(method.queue, 60, 20)
        tag = method.consumer_tag
        if tag in self._subscriptions:
            text = f"attempt to reuse consumer tag '{tag}'"
            raise ConnectionException(NOT_ALLOWED, text, 60, 20)
        if name == REPLY_TO_NAME:
            self._consume_answers(method)
            return
        handle = channel.readable_queue(name, 60, 20)
        self._check_consumer(handle, method)
        limiter = self._limiter
        quorum = handle.kind == QUORUM
        tag = tag or channel.connection.new_name("amq.ctag-")
        number = self._next_number
        self._next_number += 1
        subscription = Subscription(
            channel.connection,
            channel.number,
            channel.unsettled,
            handle,
            tag,
            number,
            no_ack=method.no_ack,
            prefetch_count=self._prefetch_count,
            cancel_on_failover=method.arguments.get("x-cancel-on-ha-failover") is True,
            on_cancelled=self._cancelled_by_queue,
        )
        priority = method.arguments.get("x-priority")
        consumer = Consumer(
            channel.holder,
            number,
            no_ack=method.no_ack,
            prefetch_count=self._prefetch_count or QUORUM_PREFETCH
            if quorum
            else limiter.share(self._prefetch_count),
            # RabbitMQ: quorum queues do not look at it.
            exclusive=method.exclusive and not quorum,
            priority=priority if isinstance(priority, int) else 0,
            shares_limit=limiter.prefetch_count > 0,
        )
        if limiter.prefetch_count and not quorum:
            subscription.gate = self
        self._subscriptions[tag] = subscription
        channel.use(handle)

        def answered(reply: QueueReply) -> None:
            channel.resume(lambda: self._consume_answered(tag, method.no_wait, reply))

        channel.wait()
        handle.subscribe(consumer, subscription, answered)
        if limiter.prefetch_count:
            self._hold_no_ack(self._volume())
        self._apply_pauses()

    def _check_consumer(self, handle: QueueHandle, method: BasicConsume) -> None:
        """Raise why this queue cannot be consumed so."""
        subject = f"queue '{handle.name}' in vhost '{self._channel.connection.virtual_host}'"
        fault = check_consumer(subject, method.arguments, handle.kind)
        if fault is not None:
            raise ChannelException(PRECONDITION_FAILED, fault, 60, 20)
        if handle.kind == QUORUM and self._limiter.prefetch_count:
            text = f"{subject} does not support global qos"
            raise ConnectionException(NOT_IMPLEMENTED, text, 60, 20)

    def _consume_answered(self, tag: str, no_wait: bool, reply: QueueReply) -> None:
        if reply.refusal is not None:
            raise reply.refusal.exception(60, 20)
        if not no_wait:
            self._channel.reply(BasicConsumeOk(consumer_tag=tag))

    def _consume_answers(self, method: BasicConsume) -> None:
        """Consume the answers to the channel's requests; see `direct_reply_to`."""
        channel = self._channel
        check_reply_consumer(self._reply_consumer, method.no_ack)
        tag = method.consumer_tag or channel.connection.new_name("amq.ctag-")
        key = channel.connection.new_name("")
        writer, tags = channel.connection, channel.unsettled
        consumer = ReplyConsumer(channel.holder, key, tag, channel.number, writer, tags)
        self._set_reply_consumer(consumer)
        if not method.no_wait:
            channel.reply(BasicConsumeOk(consumer_tag=tag))

    def _set_reply_consumer(self, consumer: ReplyConsumer | None) -> None:
        if consumer is not self._reply_consumer:
            channel = self._channel
            self._reply_consumer = consumer
            channel.publisher.reply_to = consumer.name if consumer is not None else ""
            channel.port.set_reply_consumer(channel.holder[1], consumer)

    def cancel(self, method: BasicCancel) -> None:
        """End a subscription; one that is not there counts as ended."""
        channel = self._channel
        tag = method.consumer_tag
        if self._reply_consumer is not None and self._reply_consumer.tag == tag:
            self._set_reply_consumer(None)
            if not method.no_wait:
                channel.reply(BasicCancelOk(consumer_tag=tag))
            return
        subscription = self._subscriptions.pop(tag, None)
        if subscription is None:
            # RabbitMQ: cancelling an unknown consumer succeeds; we may just have cancelled it.
            if not method.no_wait:
                channel.reply(BasicCancelOk(consumer_tag=tag))
            return

        def answered(_reply: QueueReply) -> None:
            channel.resume(tell)

        def tell() -> None:
            if not method.no_wait:
                channel.reply(BasicCancelOk(consumer_tag=tag))

        channel.wait()
        subscription.handle.unsubscribe(channel.holder, subscription.number, answered)

    def get(self, method: BasicGet) -> None:
        """Ask a queue for one message; the channel waits for its answer."""
        channel = self._channel
        handle = channel.readable_queue(method.queue, 60, 70)
        if handle.kind == QUORUM and handle.single_active_consumer:
            raise ChannelException(
                RESOURCE_LOCKED,
                f"cannot obtain access to locked queue '{handle.name}' in vhost "
                f"'{channel.connection.virtual_host}'. basic.get operations are not supported by "
                "quorum queues with single active consumer",
                60,
                70,
            )
        channel.use(handle)

        def answered(reply: GetReply, lease: Lease) -> None:
            if not channel.closed:
                channel.resume(lambda: self._get_answered(reply, lease, method.no_ack))

        channel.wait()
        handle.get(channel.holder, method.no_ack, answered)

    def _get_answered(self, reply: GetReply, lease: Lease, no_ack: bool) -> None:
        channel = self._channel
        if reply.refusal is not None:
            raise reply.refusal.exception(60, 70)
        if reply.message is None:
            channel.reply(BasicGetEmpty())
            return
        if no_ack:
            tag = channel.unsettled.skip(1)
        else:
            tag = channel.unsettled.add(lease, [reply.position])
            if self._limiter.prefetch_count:
                channel.unsettled.note_gotten(tag)
        route, frames = reply.message
        ok = BasicGetOk(
            delivery_tag=tag,
            redelivered=reply.redelivered,
            exchange=route.exchange.decode("utf-8", "surrogateescape"),
            routing_key=route.routing_key.decode("utf-8", "surrogateescape"),
            message_count=reply.remaining,
        )
        content = fit_content(frames, channel.number, channel.connection.frame_size_max)
        channel.connection.write([method_frame(channel.number, ok.encode()), content])

    # --- ends -------------------------------------------------------------------------------------

    def close(self) -> None:
        """The channel is over; its queues are told by it."""
        self._subscriptions.clear()
        self._set_reply_consumer(None)

    def wind_up(self) -> None:
        """Nothing more may come; what was delivered stays owed."""
        holder = self._channel.holder
        for subscription in list(self._subscriptions.values()):
            subscription.handle.unsubscribe(holder, subscription.number, _nothing)
        self.close()

    def _cancelled_by_queue(self, subscription: Subscription) -> None:
        """A queue ends the subscription: tell the client, but not before an answer it waits for.

        RabbitMQ: who deletes a queue and consumes it hears delete-ok first.
        """
        channel = self._channel
        if channel.closed or self._subscriptions.pop(subscription.tag, None) is None:
            return
        if channel.waiting:
            self._notices.append(subscription.tag)
        else:
            self._tell_cancelled(subscription.tag)

    def tell_notices(self) -> None:
        """Tell what could not be told while the channel was waiting."""
        while self._notices and not self._channel.closed:
            self._tell_cancelled(self._notices.pop(0))

    def _tell_cancelled(self, tag: str) -> None:
        if self._channel.connection.cancel_notify:
            self._channel.reply(BasicCancel(consumer_tag=tag, no_wait=True))

    # --- who may be sent more ---------------------------------------------------------------------

    def pause(self, paused: bool) -> None:
        """The client does not read fast enough, or does again."""
        self._client_paused = paused
        self._apply_pauses()

    def settled(self) -> None:
        """Deliveries are no longer owed: there may be room for others."""
        if self._limiter.stopped and self._limiter.resumes(self._volume()):
            self._apply_pauses()

    def _share(self, prefetch_count: int) -> None:
        """All consumers together have this limit from now on; 0: none."""
        limiter = self._limiter
        if prefetch_count == limiter.prefetch_count:
            return
        limiter.prefetch_count = prefetch_count
        for subscription in self._subscriptions.values():
            if subscription.handle.kind == "quorum":
                continue
            subscription.gate = self
            subscription.handle.pause_consumer(
                self._channel.holder,
                subscription.number,
                subscription.paused,
                limiter.share(subscription.prefetch_count),
            )
        self.settled()
        self._hold_no_ack(self._volume())

    def _volume(self) -> int:
        """How many deliveries to consumers the limit counts."""
        transaction = self._channel.transaction
        held = transaction.volume() if transaction is not None else 0
        return self._channel.unsettled.volume() + held

    def admit(self, subscription: Subscription, count: int) -> int:
        """Return how many of `count` deliveries may go out (`consuming.Gate`)."""
        volume = self._volume()
        admitted = self._limiter.admit(subscription.handle, count, volume)
        self._hold_no_ack(volume + admitted)
        return admitted

    def _hold_no_ack(self, volume: int) -> None:
        """While the limit is reached, RabbitMQ sends nothing to consumers without acks either."""
        if any(
            one.no_ack and one.gate is not None for one in self._subscriptions.values()
        ) and self._limiter.stop_if_full(volume):
            self._apply_pauses()

    def return_surplus(
        self, subscription: Subscription, lease: Lease, positions: list[int], redelivered: bool
    ) -> None:
        """Give back to the queue what may not go out (`consuming.Gate`)."""
        handle = subscription.handle
        asks = self._limiter.drain(handle)
        self._apply_pauses()
        handle.requeue(lease, self._channel.holder, positions, redelivered=redelivered)
        if asks:
            handle.inquire("count", lambda _reply: self._drained(handle))

    def _drained(self, handle: QueueHandle) -> None:
        """The queue has heard of all that was given back."""
        self._limiter.drained(handle)
        self._apply_pauses()

    def _apply_pauses(self) -> None:
        """Tell the queues of consumers that are to be sent no more, or again."""
        for subscription in list(self._subscriptions.values()):
            paused = self._client_paused
            if subscription.gate is not None:
                paused = paused or not self._limiter.runs(subscription.handle)
            if paused is not subscription.paused:
                subscription.paused = paused
                subscription.handle.pause_consumer(
                    self._channel.holder, subscription.number, paused
                )


def _nothing(_reply: QueueReply) -> None:
    """Nobody waits for it."""


def _qos(channel: Channel, method: Method) -> None:
    assert isinstance(method, BasicQos)
    channel.consumers.qos(method)


def _consume(channel: Channel, method: Method) -> None:
    assert isinstance(method, BasicConsume)
    channel.consumers.consume(method)


def _cancel(channel: Channel, method: Method) -> None:
    assert isinstance(method, BasicCancel)
    channel.consumers.cancel(method)


def _get(channel: Channel, method: Method) -> None:
    assert isinstance(method, BasicGet)
    channel.consumers.get(method)


HANDLERS: Final[dict[type[Method], Callable[[Channel, Method], None]]] = {
    BasicQos: _qos,
    BasicConsume: _consume,
    BasicCancel: _cancel,
    BasicGet: _get,
}
