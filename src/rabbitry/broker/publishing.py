"""From a client's publishes to queues.

A run of publishes under one method frame is judged once: the frame's bytes, and the flags of the
properties that the messages carry, are the key of a `Plan` that says where such messages go. Plans
are good for one version of the routing (`BrokerPort`), so a binding that changes costs each
publisher one look-up. No message goes on whose properties cannot be decoded (`properties_check`).
Only runs whose plan says so are looked at message by message: those with properties that must be
checked (`message_checks`), those whose way depends on properties, and answers to a direct reply-to
address.

In a transaction (`hold`) messages are judged and routed when they come, and sent when it is
committed (`commit`); answers to a direct reply-to address go out at once, as in RabbitMQ.

Specification: basic.publish, basic.return, tx.commit; RabbitMQ: rabbit_channel.erl handle_method
basic.publish, deliver_to_queues ("basic.returns must be sent before confirms").
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple, Protocol

from rabbitry.broker.confirms import Confirms
from rabbitry.broker.direct_reply_to import REPLY_TO_PREFIX
from rabbitry.broker.exchanges import Exchange
from rabbitry.broker.message import Route, messages_of
from rabbitry.broker.message_checks import (
    CHECKED_FLAGS,
    UnreadableProperties,
    check_message,
    may_name_keys,
    properties_of,
)
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
from rabbitry.wire.methods import BasicProperties, BasicPublish, BasicReturn
from rabbitry.wire.properties import CORRELATION_ID, HEADERS, MESSAGE_ID, TIMESTAMP
from rabbitry.wire.properties_check import layout_of

PLANS_KEPT_MAX: Final = 4096
# Properties that exchanges route by.
_ROUTING_FLAGS: Final = HEADERS | CORRELATION_ID | MESSAGE_ID | TIMESTAMP
_NO_PROPERTIES: Final = BasicProperties()


class PublishingConnection(Protocol):
    """What publishing needs of the channel's connection."""

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

    def write(self, parts: Sequence[bytes]) -> None:
        """Queue frames for the client."""
        ...


class Commitment(Receipt, Protocol):
    """The receipt of all that a transaction publishes."""

    def expect(self, queues: int) -> None:
        """So many queues are about to be sent a run."""
        ...


class Plan:
    """What becomes of messages that come under one method frame, with one set of properties.

    `queues` is None where each message's properties decide. `singly`: each message must be looked
    at; `only_headers`: but only for headers CC and BCC. `is_answer`: it goes to a direct reply-to
    address. `layout` is that of the properties, `header_size_bytes` the layout's.
    """

    __slots__ = (
        "exchange",
        "header_size_bytes",
        "is_answer",
        "layout",
        "mandatory",
        "only_headers",
        "queues",
        "route",
        "routing_key",
        "singly",
        "version",
    )

    def __init__(
        self,
        exchange: Exchange,
        route: Route,
        routing_key: str,
        queues: list[QueueHandle] | None,
        mandatory: bool,
        version: int,
    ) -> None:
        self.exchange = exchange
        self.route = route
        self.routing_key = routing_key
        self.queues = queues
        self.mandatory = mandatory
        self.version = version
        self.layout = layout_of(route.flags)
        self.header_size_bytes = self.layout.header_size_bytes
        self.is_answer = not exchange.name and routing_key.startswith(REPLY_TO_PREFIX)
        checked = route.flags & CHECKED_FLAGS
        self.singly = bool(checked) or queues is None or self.is_answer
        self.only_headers = checked == HEADERS and queues is not None and not self.is_answer


class _Held(NamedTuple):
    """A part of a run that waits for its transaction to be committed."""

    route: Route
    queues: list[QueueHandle]
    contents: list[bytes]
    mandatory: bool


class Publisher:
    """The publishing side of one channel.

    `reply_to` is the address of its reply consumer, "" where it has none.
    """

    def __init__(self, port: BrokerPort, connection: PublishingConnection, channel: int) -> None:
        self._port = port
        self._connection = connection
        self._virtual_host = connection.virtual_host
        self._channel = channel
        self._plans: dict[tuple[bytes, int], Plan] = {}
        self._held: list[_Held] | None = None
        self.confirms: Confirms | None = None
        self.reply_to = ""

    def publish(self, command: Command) -> None:
        """Send a run to its queues; write to the client at once what is returned to it.

        Where a message in the run is at fault, those before it have been sent.
        """
        key = (command.frame, command.flags)
        plan = self._plans.get(key)
        if plan is None or plan.version != self._port.routing_version:
            plan = self._make_plan(key, command)
        contents = command.contents
        if command.header_size_bytes != plan.header_size_bytes:
            sound = plan.layout.count_sound(contents)
            if sound < len(contents):
                if sound:
                    before = Command(command.channel, key[0], contents[:sound], None, key[1])
                    self.publish(before)
                raise UnreadableProperties
        if plan.singly:
            self._publish_singly(plan, contents)
        elif plan.queues is not None:
            self._send(plan.route, plan.queues, contents, plan.mandatory)

    # --- transactions -----------------------------------------------------------------------------

    def hold(self) -> None:
        """Hold publishes back from now on until `commit`; what is held already is dropped."""
        self._held = []

    def commit(self, commit: Commitment) -> None:
        """Send what was held back to its queues; write what is returned to the client.

        Messages go where their routing said when they came, to queues that are still there.
        """
        held, self._held = self._held or [], []
        for run in held:
            queues = [
                queue
                for queue in run.queues
                if self._port.find_queue(self._virtual_host, queue.name) is queue
            ]
            if queues:
                commit.expect(len(queues))
                messages = messages_of(run.route, run.contents)
                for queue in queues:
                    queue.publish(messages, commit)
            elif run.mandatory:
                self._return(run.route, run.contents)

    # --- runs -------------------------------------------------------------------------------------

    def _send(
        self, route: Route, queues: list[QueueHandle], contents: list[bytes], mandatory: bool
    ) -> None:
        if self._held is not None:
            self._held.append(_Held(route, queues, contents, mandatory))
            return
        if mandatory and not queues:
            self._return(route, contents)
        receipt = None
        if self.confirms is not None:
            receipt = self.confirms.expect(len(contents), len(queues))
        if queues:
            messages = messages_of(route, contents)
            for queue in queues:
                queue.publish(messages, receipt)

    def _publish_singly(self, plan: Plan, contents: list[bytes]) -> None:
        """Look at each message; those that need no more than the plan says go on together."""
        flags = plan.route.flags
        if plan.only_headers and not may_name_keys(contents):
            self._send(plan.route, plan.queues or [], contents, plan.mandatory)
            return
        permissions, reply_to = self._connection.permissions, self.reply_to
        user = None if permissions.may_impersonate() else permissions.user
        together: list[bytes] = []
        try:
            for frames in contents:
                further_keys: list[str] = []
                if flags & CHECKED_FLAGS:
                    frames, further_keys = check_message(frames, flags, user, reply_to)
                if plan.queues is not None and not further_keys and not plan.is_answer:
                    together.append(frames)
                    continue
                if together:
                    self._send(plan.route, plan.queues or [], together, plan.mandatory)
                    together = []
                queues = self._route_one(plan, frames, [plan.routing_key, *further_keys])
                self._send(plan.route, queues, [frames], plan.mandatory)
        finally:
            if together:
                self._send(plan.route, plan.queues or [], together, plan.mandatory)

    def _route_one(self, plan: Plan, frames: bytes, keys: list[str]) -> list[QueueHandle]:
        """Return the queues of one message; its direct answers are on their way at once."""
        if not plan.exchange.name:
            for key in dict.fromkeys(keys):
                if key.startswith(REPLY_TO_PREFIX):
                    self._port.send_answer(key, (plan.route, frames))
        port, host = self._port, self._virtual_host
        queues = port.route(host, plan.exchange, keys)
        if queues is None:
            queues = port.route(host, plan.exchange, keys, properties_of(frames))
        return queues or []

    def _make_plan(self, key: tuple[bytes, int], command: Command) -> Plan:
        method = command.method()
        if not isinstance(method, BasicPublish):
            raise ConnectionException(COMMAND_INVALID, "unimplemented method")
        if method.immediate:
            raise ConnectionException(NOT_IMPLEMENTED, "immediate=true", 60, 40)
        port, host, permissions = self._port, self._virtual_host, self._connection.permissions
        permissions.check("write", "exchange", method.exchange, 60, 40)
        exchange = port.find_exchange(host, method.exchange)
        where = f"exchange '{method.exchange}' in vhost '{host}'"
        if exchange is None:
            raise ChannelException(NOT_FOUND, f"no {where}", 60, 40)
        if exchange.internal:
            raise ChannelException(ACCESS_REFUSED, f"cannot publish to internal {where}", 60, 40)
        if exchange.kind == "topic":
            permissions.check_topic("write", exchange.name, method.routing_key, 60, 40)
        route = port.intern_route(
            method.exchange.encode("utf-8", "surrogateescape"),
            method.routing_key.encode("utf-8", "surrogateescape"),
            command.flags,
        )
        properties = None if command.flags & _ROUTING_FLAGS else _NO_PROPERTIES
        queues = port.route(host, exchange, [method.routing_key], properties)
        plan = Plan(
            exchange, route, method.routing_key, queues, method.mandatory, port.routing_version
        )
        if len(self._plans) >= PLANS_KEPT_MAX:
            self._plans.clear()
        self._plans[key] = plan
        return plan

    def _return(self, route: Route, contents: list[bytes]) -> None:
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
            frames += [
                head,
                fit_content(content, self._channel, self._connection.frame_size_max),
            ]
        self._connection.write(frames)
