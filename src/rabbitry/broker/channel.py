"""One channel of a client: AMQP's methods turned into work for queues and the catalog.

Methods of a channel are carried out strictly in order. Where an answer must be awaited (a
declaration that the cluster has to agree on, a queue whose leader is elsewhere), the channel is
`waiting` and what comes meanwhile is kept in its backlog; other channels go on. Faults of the
client are raised as `AmqpException` and closed by the connection, with RabbitMQ's code and text
(rabbit_channel.erl).

This file has the channel's life and classes channel and confirm; classes exchange and queue are in
`declaring`, class basic is in `consumers` and `settling`, class tx in `transactions`, the hot paths
are in `publishing` and `consuming`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import chain
from struct import Struct
from typing import Final, Protocol

from rabbitry.broker import consumers, declaring, settling, transactions
from rabbitry.broker.confirms import Confirms
from rabbitry.broker.consumers import Consumers
from rabbitry.broker.consuming import Unsettled
from rabbitry.broker.permissions import Permissions
from rabbitry.broker.ports import BrokerPort, QueueHandle
from rabbitry.broker.publishing import Publisher
from rabbitry.broker.queue import Holder
from rabbitry.broker.transactions import Transaction
from rabbitry.connection.channels import is_settlement
from rabbitry.wire.content import Command
from rabbitry.wire.errors import (
    COMMAND_INVALID,
    NOT_FOUND,
    NOT_IMPLEMENTED,
    PRECONDITION_FAILED,
    AmqpException,
    ChannelException,
    ConnectionException,
)
from rabbitry.wire.methods import (
    AccessRequest,
    AccessRequestOk,
    BasicAck,
    ChannelClose,
    ChannelCloseOk,
    ChannelFlow,
    ChannelFlowOk,
    ChannelOpen,
    ChannelOpenOk,
    ConfirmSelect,
    ConfirmSelectOk,
    Method,
    TxSelect,
)

_ACK: Final = BasicAck().encode()[:4]
_CLASS_TX: Final = TxSelect().encode()[:2]
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

    def has_much_to_send(self) -> bool:
        """Whether this step's answers are enough for one step."""
        ...

    def hold_back(self, channel: int) -> None:
        """Have the channel's `go_on` called in a later step."""
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
        self._winding_up = False
        self.last_queue = ""  # what the empty queue name stands for
        self._backlog: deque[Command] = deque()
        self._backlog_bytes = 0
        self._going_on = False
        self.publisher = Publisher(port, connection, number)
        self.unsettled = Unsettled()
        self.transaction: Transaction | None = None
        self.consumers = Consumers(self)
        self.used: dict[QueueHandle, None] = {}  # queues to tell when the channel ends

    # --- life -------------------------------------------------------------------------------------

    def handle(self, command: Command) -> None:
        """Carry out a command of the client, or keep it until its turn."""
        if self.waiting or self._backlog:
            self._backlog.append(command)
            self._backlog_bytes += _size_bytes(command)
        else:
            self._carry_out(command)

    def _carry_out(self, command: Command) -> None:
        if command.fault is not None:
            raise command.fault
        if command.contents:
            self.publisher.publish(command)
        elif command.frame[7:11] == _ACK and len(command.frame) == 21:
            tag, multiple = _ack_arguments.unpack_from(command.frame, 11)
            settling.settle(self, tag, bool(multiple & 1))
        else:
            method = command.method()
            handler = _HANDLERS.get(type(method))
            if handler is not None:
                handler(self, method)
            elif not declaring.handle(self, method):
                raise ConnectionException(
                    COMMAND_INVALID, "unimplemented method", method.class_id, method.method_id
                )

    def backlog_size(self) -> tuple[int, int]:
        """Return how many commands wait for their turn, and how many bytes they take."""
        return len(self._backlog), self._backlog_bytes

    def wait(self) -> None:
        """Carry out nothing more until `resume`."""
        self.waiting = True

    def resume(self, work: Callable[[], None]) -> None:
        """An awaited answer has come: do `work` with it, then what has come meanwhile."""
        if self.closed or self._winding_up:
            return
        self.waiting = False
        self.connection.guard(self.number, work)
        self.consumers.tell_notices()
        self.go_on()

    def go_on(self) -> None:
        """Carry out what has come meanwhile, until the channel waits again.

        One command of twenty bytes may be answered with a hundred megabytes, so not all are carried
        out in one step. An answer that is there at once comes back here from within: then the loop
        that runs already goes on, for nested calls would end with the stack.
        """
        if self._going_on:
            return
        self._going_on = True
        while self._backlog and not self.waiting and not self.closed:
            if self.connection.has_much_to_send():
                self.connection.hold_back(self.number)
                break
            command = self._backlog.popleft()
            self._backlog_bytes -= _size_bytes(command)
            self.connection.guard(self.number, lambda command=command: self._carry_out(command))  # type: ignore[misc]
        self._going_on = False

    def close(self) -> None:
        """The channel is over: consumers end, what it holds goes back, answers find nobody."""
        if self.closed:
            return
        self.closed = True
        self._backlog.clear()
        self._backlog_bytes = 0
        used, self.used = self.used, {}
        self.consumers.close()
        for handle in used:
            handle.release(self.holder)

    def wind_up(self) -> None:
        """The connection is being closed by us: nothing counts any more but acknowledgements.

        What was kept in the backlog is read through for them, up to a tx.select, behind which they
        would not count yet.
        """
        self._winding_up = True
        backlog, self._backlog = self._backlog, deque()
        self._backlog_bytes = 0
        self.consumers.wind_up()
        for command in backlog:
            if command.frame[7:9] == _CLASS_TX:
                break
            self.take_late(command)

    def take_late(self, command: Command) -> None:
        """Carry out an acknowledgement; who acknowledges what is not owed cannot be told so.

        In a transaction it is for nothing: its commit can be neither answered nor be meant.
        """
        if is_settlement(command) and self.transaction is None and not self.closed:
            with suppress(AmqpException):
                self._carry_out(command)

    def check_consumer_timeout(self, now: int, timeout_ms: int) -> None:
        """Raise 406 where the client owes an acknowledgement for longer than that.

        RabbitMQ: rabbit_channel.erl evaluate_consumer_timeout.
        """
        if not self.closed and self.unsettled.overdue(now, timeout_ms * 1000):
            raise ChannelException(
                PRECONDITION_FAILED,
                f"delivery acknowledgement on channel {self.number} timed out. Timeout value used: "
                f"{timeout_ms} ms. This timeout value can be configured, see consumers doc guide "
                "to learn more",
            )

    def flush(self) -> None:
        """Send the confirms that have gathered. One that comes too late for the channel is lost."""
        confirms = self.publisher.confirms
        if confirms is not None and not self.closed:
            frames = confirms.flush(self.number)
            if frames:
                self.connection.write(frames)

    def pause(self, paused: bool) -> None:
        """The client does not read fast enough, or does again."""
        self.consumers.pause(paused)

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

    def use(self, handle: QueueHandle) -> None:
        """The channel may hold deliveries of this queue from now on."""
        if handle not in self.used:
            self.used[handle] = None
            handle.lend_to(self.holder, self.owes)

    def owes(self, handle: QueueHandle) -> list[tuple[int, list[int]]]:
        """Return what the client may still settle of a queue's deliveries (`ports.Owes`)."""
        entries = self.unsettled.entries()
        if self.transaction is not None:
            entries = chain(entries, self.transaction.entries())
        owed: dict[int, list[int]] = {}
        for lease, position in entries:
            if lease.handle is handle and not lease.void:
                owed.setdefault(lease.number, []).append(position)
        return list(owed.items())

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
        if self.transaction is not None:
            text = "cannot switch from tx to confirm mode"
            raise ChannelException(PRECONDITION_FAILED, text, 85, 10)
        if self.publisher.confirms is None:
            self.publisher.confirms = Confirms(lambda: self.connection.wants_flush(self.number))
        if not method.no_wait:
            self.reply(ConfirmSelectOk())


def no_queue(name: str, virtual_host: str, class_id: int, method_id: int) -> ChannelException:
    """Return the 404 of a queue that is not there."""
    text = f"no queue '{name}' in vhost '{virtual_host}'"
    return ChannelException(NOT_FOUND, text, class_id, method_id)


def _size_bytes(command: Command) -> int:
    return len(command.frame) + sum(map(len, command.contents))


_HANDLERS: Final[dict[type[Method], Callable[[Channel, Method], None]]] = {
    ChannelOpen: Channel._open,
    ChannelClose: Channel._close,
    ChannelFlow: Channel._flow,
    AccessRequest: Channel._access,
    ConfirmSelect: Channel._confirm_select,
    **consumers.HANDLERS,
    **settling.HANDLERS,
    **transactions.HANDLERS,
}
