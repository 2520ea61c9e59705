"""A queue's leader on another node, to be spoken to like one on this: each call is a record.

`LeaderSide` is what a proxy asks of either. The reverse, from the record to the call, is
`cluster.leading`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from rabbitry.broker.message import Message, run_of
from rabbitry.broker.queue import Consumer, Holder
from rabbitry.cluster.queue_records import (
    Claimed,
    Get,
    Inquire,
    Mark,
    PauseConsumer,
    Publish,
    Record,
    Reject,
    Release,
    Requeue,
    Settle,
    Subscribe,
    Unsubscribe,
)


class LeaderSide(Protocol):
    """A leader as the proxies of its users see it; a user is a process (`origin`).

    See `cluster.leader` for what the calls mean. `alone`: no other node has anything of the queue.
    """

    @property
    def alone(self) -> bool: ...
    def publish(self, user: str, last: int, messages: list[Message], settled: int = 0) -> None: ...
    def subscribe(self, user: str, request: int, consumer: Consumer) -> None: ...
    def unsubscribe(self, user: str, request: int, holder: Holder, number: int) -> None: ...
    def settle(self, holder: Holder, positions: list[int]) -> None: ...
    def reject(self, holder: Holder, positions: list[int]) -> None: ...
    def requeue(self, holder: Holder, positions: list[int], redelivered: bool = True) -> None: ...
    def release(self, holder: Holder) -> None: ...
    def get(self, user: str, request: int, holder: Holder, no_ack: bool) -> None: ...
    def inquire(
        self, user: str, request: int, what: str, if_unused: bool, if_empty: bool
    ) -> None: ...
    def pause_consumer(
        self, holder: Holder, number: int, paused: bool, prefetch_count: int | None = None
    ) -> None: ...
    def claim(self, user: str, claimed: Claimed) -> None: ...
    def mark(self, user: str, number: int) -> None: ...


class FarLeader:
    """Leads queue `number` in this epoch on another node, which `send` sends records to."""

    alone = False  # for all we know

    def __init__(self, number: int, epoch: int, send: Callable[[Record], None]) -> None:
        self._head = number, epoch
        self._send = send

    def publish(self, user: str, last: int, messages: list[Message], settled: int = 0) -> None:
        self._send(Publish(*self._head, last, run_of(messages), settled))

    def subscribe(self, user: str, request: int, consumer: Consumer) -> None:
        self._send(subscribe_record(*self._head, request, consumer))

    def unsubscribe(self, user: str, request: int, holder: Holder, number: int) -> None:
        self._send(Unsubscribe(*self._head, request, holder, number))

    def settle(self, holder: Holder, positions: list[int]) -> None:
        self._send(Settle(*self._head, holder, positions))

    def reject(self, holder: Holder, positions: list[int]) -> None:
        self._send(Reject(*self._head, holder, positions))

    def requeue(self, holder: Holder, positions: list[int], redelivered: bool = True) -> None:
        self._send(Requeue(*self._head, holder, positions, redelivered))

    def release(self, holder: Holder) -> None:
        self._send(Release(*self._head, holder))

    def get(self, user: str, request: int, holder: Holder, no_ack: bool) -> None:
        self._send(Get(*self._head, request, holder, no_ack))

    def inquire(self, user: str, request: int, what: str, if_unused: bool, if_empty: bool) -> None:
        self._send(Inquire(*self._head, request, what, if_unused, if_empty))

    def pause_consumer(
        self, holder: Holder, number: int, paused: bool, prefetch_count: int | None = None
    ) -> None:
        self._send(PauseConsumer(*self._head, holder, number, paused, prefetch_count))

    def claim(self, user: str, claimed: Claimed) -> None:
        self._send(claimed)

    def mark(self, user: str, number: int) -> None:
        self._send(Mark(*self._head, number))


def subscribe_record(queue: int, epoch: int, request: int, consumer: Consumer) -> Subscribe:
    """Return the record that asks for a consumer."""
    return Subscribe(
        queue,
        epoch,
        request,
        consumer.holder,
        consumer.number,
        consumer.no_ack,
        consumer.exclusive,
        consumer.prefetch_count,
        consumer.paused,
        consumer.priority,
        consumer.shares_limit,
    )


def consumer_of(record: Subscribe) -> Consumer:
    """Return the consumer that a record asks for."""
    consumer = Consumer(
        record.holder,
        record.number,
        no_ack=record.no_ack,
        exclusive=record.exclusive,
        prefetch_count=record.prefetch_count,
        priority=record.priority,
        shares_limit=record.shares_limit,
    )
    consumer.paused = record.paused
    return consumer
