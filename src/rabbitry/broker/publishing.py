"""From a client's publishes to queues, and confirms back.

A run of publishes under one method frame is judged once: the frame's bytes, and the flags of the
properties that the messages carry, are the key of a `Plan` that says where such messages go. Plans
are good for one version of the routing (`BrokerPort`), so a binding that changes costs each
publisher one look-up. Confirms are kept by run too.

Specification: basic.publish, basic.return; RabbitMQ: rabbit_channel.erl handle_method
basic.publish, deliver_to_queues, send_confirms_and_nacks ("basic.returns must be sent before
confirms").
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from struct import Struct
from typing import Final, Protocol

from rabbitry.broker.message import Route, messages_of
from rabbitry.broker.permissions import Permissions
from rabbitry.broker.ports import BrokerPort, QueueHandle, Receipt
from rabbitry.wire.content import Command
from rabbitry.wire.errors import (
    ACCESS_REFUSED,
    COMMAND_INVALID,
    NO_ROUTE,
    NOT_FOUND,
    NOT_IMPLEMENTED,
    ChannelException,
    ConnectionException,
)
from rabbitry.wire.frames import fit_content, method_frame
from rabbitry.wire.methods import BasicPublish, BasicReturn

PLANS_KEPT_MAX: Final = 4096
# basic.ack and basic.nack as frames: type, channel, size, class, method, delivery tag, flags, end.
_ack_frame = Struct(">BHIHHQBB")


class Plan:
    """What becomes of messages that come under one method frame, with one set of properties."""

    __slots__ = ("mandatory", "queues", "route", "version")

    def __init__(
        self, route: Route, queues: list[QueueHandle], mandatory: bool, version: int
    ) -> None:
        self.route = route
        self.queues = queues
        self.mandatory = mandatory
        self.version = version


class PublishReceipt:
    """A run in confirm mode: publishes `first` to `last`, which `remaining` queues have to take."""

    __slots__ = ("confirms", "first", "last", "rejections", "remaining")

    def __init__(self, confirms: Confirms, first: int, last: int, remaining: int) -> None:
        self.confirms = confirms
        self.first = first
        self.last = last
        self.remaining = remaining
        self.rejections: dict[int, None] | None = None  # numbers that a queue has refused

    def rejected(self, first: int, count: int) -> None:
        """One of the queues has refused a part of the run, by index in it."""
        if self.rejections is None:
            self.rejections = {}
        start = self.first + first
        self.rejections.update(dict.fromkeys(range(start, start + count)))

    def accepted(self) -> Iterable[int]:
        """Return the numbers that no queue has refused, in order."""
        numbers = range(self.first, self.last + 1)
        rejections = self.rejections
        return [one for one in numbers if one not in rejections] if rejections else numbers

    def settled(self) -> None:
        """One of the queues has taken the run."""
        self.remaining -= 1
        if not self.remaining:
            self.confirms.take(self)


class Confirms:
    """Publisher confirms of one channel, sent in as few frames as their order allows.

    `wants_flush` is called when there is something to `flush` at the end of the step.
    """

    def __init__(self, wants_flush: Callable[[], None]) -> None:
        self._wants_flush = wants_flush
        self._next = 1
        self._waiting: deque[PublishReceipt] = deque()
        self._through = 0  # everything through this number is to be confirmed at once
        self._confirmed_through = 0
        self._single: list[PublishReceipt] = []
        self._rejected: list[int] = []

    def expect(self, count: int, queues: int) -> PublishReceipt:
        """Number `count` publishes; they are confirmed when `queues` have taken them."""
        receipt = PublishReceipt(self, self._next, self._next + count - 1, queues)
        self._next += count
        self._waiting.append(receipt)
        if not queues:
            self.take(receipt)
        return receipt

    def take(self, receipt: PublishReceipt) -> None:
        """A run has been taken by all its queues."""
        self._wants_flush()
        if receipt.rejections:
            self._rejected += receipt.rejections
        waiting = self._waiting
        if waiting[0] is not receipt:
            self._single.append(receipt)
            return
        while waiting and not waiting[0].remaining:
            taken = waiting.popleft()
            if not taken.rejections:
                self._through = taken.last
            else:
                self._through = max(taken.accepted(), default=self._through)

    def flush(self, channel: int) -> list[bytes]:
        """Return the frames that confirm what was taken since the last call."""
        # A number that was rejected must not be confirmed with those before it.
        frames = [_ack_frame.pack(1, channel, 13, 60, 120, tag, 0, 0xCE) for tag in self._rejected]
        through = self._through
        if through:
            multiple = through > self._confirmed_through + 1
            self._confirmed_through = through
            frames.append(_ack_frame.pack(1, channel, 13, 60, 80, through, multiple, 0xCE))
        for receipt in self._single:
            if receipt.first > through:
                frames += [
                    _ack_frame.pack(1, channel, 13, 60, 80, tag, 0, 0xCE)
                    for tag in receipt.accepted()
                ]
        self._through = 0
        self._single.clear()
        self._rejected.clear()
        return frames


class Commitment(Receipt, Protocol):
    """The receipt of all that a transaction publishes."""

    def expect(self, queues: int) -> None:
        """So many queues are about to be sent a run."""
        ...


class Publisher:
    """The publishing side of one channel."""

    def __init__(
        self, port: BrokerPort, virtual_host: str, channel: int, permissions: Permissions
    ) -> None:
        self._port = port
        self._permissions = permissions
        self._virtual_host = virtual_host
        self._channel = channel
        self._plans: dict[tuple[bytes, int], Plan] = {}
        self._held: list[tuple[Plan, list[bytes]]] | None = None  # a transaction is open
        self.confirms: Confirms | None = None

    def publish(self, command: Command, frame_size_max: int) -> list[bytes]:
        """Send a run to its queues; return the frames to answer at once: returned messages."""
        key = (command.frame, command.flags)
        plan = self._plans.get(key)
        if plan is None or plan.version != self._port.routing_version:
            plan = self._make_plan(key, command)
        if self._held is not None:
            self._held.append((plan, command.contents))
            return []
        queues = plan.queues
        contents = command.contents
        returned: list[bytes] = []
        if not queues and plan.mandatory:
            returned = self._return(plan.route, contents, frame_size_max)
        receipt = None
        if self.confirms is not None:
            receipt = self.confirms.expect(len(contents), len(queues))
        if queues:
            messages = messages_of(plan.route, contents)
            for queue in queues:
                queue.publish(messages, receipt)
        return returned

    def hold(self) -> None:
        """Hold publishes back from now on until `commit`; what is held already is dropped."""
        self._held = []

    def commit(self, commit: Commitment, frame_size_max: int) -> list[bytes]:
        """Send what was held back to its queues; return the frames of returned messages.

        Messages go where their routing said when they came, to queues that are still there.
        """
        held, self._held = self._held or [], []
        returned: list[bytes] = []
        for plan, contents in held:
            queues = [
                queue
                for queue in plan.queues
                if self._port.find_queue(self._virtual_host, queue.name) is queue
            ]
            if queues:
                commit.expect(len(queues))
                messages = messages_of(plan.route, contents)
                for queue in queues:
                    queue.publish(messages, commit)
            elif plan.mandatory:
                returned += self._return(plan.route, contents, frame_size_max)
        return returned

    def _make_plan(self, key: tuple[bytes, int], command: Command) -> Plan:
        method = command.method()
        if not isinstance(method, BasicPublish):
            raise ConnectionException(COMMAND_INVALID, "unimplemented method")
        if method.immediate:
            raise ConnectionException(NOT_IMPLEMENTED, "immediate=true", 60, 40)
        self._permissions.check("write", "exchange", method.exchange, 60, 40)
        exchange = self._port.find_exchange(self._virtual_host, method.exchange)
        where = f"exchange '{method.exchange}' in vhost '{self._virtual_host}'"
        if exchange is None:
            raise ChannelException(NOT_FOUND, f"no {where}", 60, 40)
        if exchange.internal:
            raise ChannelException(ACCESS_REFUSED, f"cannot publish to internal {where}", 60, 40)
        if exchange.kind == "topic":
            self._permissions.check_topic("write", exchange.name, method.routing_key, 60, 40)
        route = self._port.intern_route(
            method.exchange.encode("utf-8", "surrogateescape"),
            method.routing_key.encode("utf-8", "surrogateescape"),
            command.flags,
        )
        queues = self._port.route(self._virtual_host, exchange, method.routing_key)
        if len(self._plans) >= PLANS_KEPT_MAX:
            self._plans.clear()
        plan = Plan(route, queues, method.mandatory, self._port.routing_version)
        self._plans[key] = plan
        return plan

    def _return(self, route: Route, contents: list[bytes], frame_size_max: int) -> list[bytes]:
        head = method_frame(
            self._channel,
            BasicReturn(
                reply_code=NO_ROUTE,
                reply_text="NO_ROUTE",
                exchange=route.exchange.decode("utf-8", "surrogateescape"),
                routing_key=route.routing_key.decode("utf-8", "surrogateescape"),
            ).encode(),
        )
        frames = []
        for content in contents:
            frames += [head, fit_content(content, self._channel, frame_size_max)]
        return frames
