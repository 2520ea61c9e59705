"""What a client says of deliveries: acknowledged, rejected, or all to come back.

In a transaction it is only noted (see `transactions`). The order of positions is not changed here:
what goes back to a queue finds its old place by its position.

Specification: basic.ack, basic.reject, basic.recover; RabbitMQ: rabbit_channel.erl reject/4,
settle_acks/2, handle_method 'basic.recover_async'.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from rabbitry.wire.errors import NOT_IMPLEMENTED, ConnectionException
from rabbitry.wire.methods import (
    BasicAck,
    BasicNack,
    BasicRecover,
    BasicRecoverAsync,
    BasicRecoverOk,
    BasicReject,
    Method,
)

if TYPE_CHECKING:
    from rabbitry.broker.channel import Channel
    from rabbitry.broker.consuming import Owed
    from rabbitry.broker.transactions import Outcome


def settle(channel: Channel, tag: int, multiple: bool) -> None:
    """Carry out basic.ack."""
    if channel.transaction is not None:
        channel.transaction.hold("ack", channel.unsettled.remove(tag, multiple))
        return
    for lease, positions in channel.unsettled.take(tag, multiple):
        lease.handle.settle(lease, channel.holder, positions)
    channel.consumers.settled()


def give_back(channel: Channel, tag: int, multiple: bool, requeue: bool, method_id: int) -> None:
    """Carry out basic.nack and basic.reject."""
    outcome: Outcome = "requeue" if requeue else "discard"
    if channel.transaction is not None:
        owed = channel.unsettled.remove(tag, multiple, method_id)
        channel.transaction.hold(outcome, owed)
        return
    carry_out(channel, outcome, channel.unsettled.take(tag, multiple, method_id))
    channel.consumers.settled()


def carry_out(channel: Channel, outcome: Outcome, owed: Owed) -> None:
    """Tell the queues what becomes of deliveries that the client no longer owes."""
    for lease, positions in owed:
        if outcome == "requeue":
            lease.handle.requeue(lease, channel.holder, positions)
        elif outcome == "discard":
            lease.handle.reject(lease, channel.holder, positions)
        else:
            lease.handle.settle(lease, channel.holder, positions)


def _ack(channel: Channel, method: Method) -> None:
    assert isinstance(method, BasicAck)
    settle(channel, method.delivery_tag, method.multiple)


def _nack(channel: Channel, method: Method) -> None:
    assert isinstance(method, BasicNack)
    give_back(channel, method.delivery_tag, method.multiple, method.requeue, 120)


def _reject(channel: Channel, method: Method) -> None:
    assert isinstance(method, BasicReject)
    give_back(channel, method.delivery_tag, False, method.requeue, 90)


def _recover(channel: Channel, method: Method) -> None:
    assert isinstance(method, BasicRecover | BasicRecoverAsync)
    if not method.requeue:
        raise ConnectionException(NOT_IMPLEMENTED, "requeue=false", 60, method.method_id)
    # What a transaction holds is not owed any more: it stays held.
    carry_out(channel, "requeue", channel.unsettled.take_all())
    channel.consumers.settled()
    if isinstance(method, BasicRecover):
        channel.reply(BasicRecoverOk())


HANDLERS: Final[dict[type[Method], Callable[[Channel, Method], None]]] = {
    BasicAck: _ack,
    BasicNack: _nack,
    BasicReject: _reject,
    BasicRecover: _recover,
    BasicRecoverAsync: _recover,
}
