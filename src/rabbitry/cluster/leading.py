"""What other nodes ask of the leader of a queue: each record, and the call that it stands for."""

from __future__ import annotations

from rabbitry.broker.message import Routes
from rabbitry.cluster.far_leader import consumer_of
from rabbitry.cluster.leader import QueueLeader
from rabbitry.cluster.queue_records import (
    Applied,
    Claimed,
    Get,
    Inquire,
    Lacked,
    Mark,
    PauseConsumer,
    Publish,
    Reject,
    Release,
    Requeue,
    Settle,
    Subscribe,
    ToLeader,
    Unsubscribe,
)


def tell_leader(
    leader: QueueLeader, routes: Routes, name: str, origin: str, record: ToLeader
) -> None:
    """Do what a record asks of the leader; it came from the process `origin` of node `name`."""
    match record:
        case Publish():
            messages = routes.messages(record.run)
            leader.publish(origin, record.last, messages, record.settled)
        case Applied():
            leader.applied(name, record)
        case Settle():
            leader.settle(record.holder, record.positions)
        case Requeue():
            leader.requeue(record.holder, record.positions, record.redelivered)
        case Reject():
            leader.reject(record.holder, record.positions)
        case Subscribe():
            leader.subscribe(origin, record.request, consumer_of(record))
        case Unsubscribe():
            leader.unsubscribe(origin, record.request, record.holder, record.number)
        case Release():
            leader.release(record.holder)
        case Get():
            leader.get(origin, record.request, record.holder, record.no_ack)
        case Inquire():
            leader.inquire(origin, record.request, record.what, record.if_unused, record.if_empty)
        case PauseConsumer():
            leader.pause_consumer(
                record.holder, record.number, record.paused, record.prefetch_count
            )
        case Lacked():
            leader.lacked(name, record)
        case Claimed():
            leader.claim(origin, record)
        case Mark():
            leader.mark(origin, record.number)
