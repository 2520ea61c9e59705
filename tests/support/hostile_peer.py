"""A peer that may say anything, a node that has to bear it, and a neighbour who must not notice.

`Scene` has a node (alone, or one of a cluster whose coordinator can be spoken to as well) with one
well-behaved connection, the `Neighbour`. A `Stranger` is a link on which a test writes whatever it
likes. Everything runs on `support.coordination_network`, which checks each step for what drivers
are promised; an exception out of a machine is an exception of the test. What a stranger is answered
is read by a `Judge`, who knows what a server may say and when.
"""

from __future__ import annotations

from functools import partial

from support.coordination_network import COORDINATOR, Client, Host, Network
from support.coordination_stage import SECRET, Counted

from rabbitry.machine import Started
from rabbitry.node import Node, NodeSettings
from rabbitry.standalone import StandaloneNode
from rabbitry.wire.content import Command, ContentAssembler
from rabbitry.wire.frames import PROTOCOL_HEADER, content_properties, method_frame
from rabbitry.wire.methods import (
    BasicAck,
    BasicConsume,
    BasicProperties,
    ChannelCloseOk,
    ChannelOpen,
    ConfirmSelect,
    ConnectionOpen,
    ConnectionStartOk,
    ConnectionTuneOk,
    Method,
    QueueDeclare,
    QueueDeclareOk,
    decode_method,
)

SECOND_US = 1_000_000
# Nobody guesses it, and it is exclusive: what strangers do cannot change what is right here.
NEIGHBOURS_QUEUE = "neighbour-6b1f0c9e4d7a"

SAID_BY_SERVERS = {
    *("connection.start", "connection.secure", "connection.tune", "connection.open-ok"),
    *("connection.close", "connection.close-ok", "connection.blocked", "connection.unblocked"),
    *("connection.update-secret-ok", "channel.open-ok", "channel.flow-ok", "channel.close"),
    *("channel.close-ok", "access.request-ok", "exchange.declare-ok", "exchange.delete-ok"),
    *("exchange.bind-ok", "exchange.unbind-ok", "queue.declare-ok", "queue.bind-ok"),
    *("queue.purge-ok", "queue.delete-ok", "queue.unbind-ok", "basic.qos-ok", "basic.consume-ok"),
    *("basic.cancel-ok", "basic.cancel", "basic.return", "basic.deliver", "basic.get-ok"),
    *("basic.get-empty", "basic.recover-ok", "basic.ack", "basic.nack", "tx.select-ok"),
    *("tx.commit-ok", "tx.rollback-ok", "confirm.select-ok"),
}


class Judge:
    """Reads what a server sends to one connection; `AssertionError` for what is not legal AMQP."""

    def __init__(self) -> None:
        self.said: list[tuple[int, str]] = []
        self._assembler = ContentAssembler(0)
        self._began = b""
        self.over = False
        self._refused = False  # answered with our protocol header: nothing follows it
        self._channels: dict[int, str] = {}

    def closing_channels(self) -> list[int]:
        """Return the channels that the server has closed and nobody has opened again."""
        return [number for number, state in self._channels.items() if state == "closing"]

    def hear(self, data: bytes) -> None:
        """Take bytes of the server."""
        assert not self._refused, "bytes after the protocol header that refuses a peer"
        if len(self._began) < len(PROTOCOL_HEADER):
            self._began += data[: len(PROTOCOL_HEADER)]
            if self._began == PROTOCOL_HEADER:
                assert data == PROTOCOL_HEADER
                self._refused = True
                return
        for command in self._assembler.feed(data):
            self._hear_command(command)
        assert self._assembler.failure is None, self._assembler.failure

    def _hear_command(self, command: Command) -> None:
        assert command.fault is None, command.fault
        for content in command.contents:
            encoded = content_properties(content)
            assert BasicProperties.decode(encoded, 0)[1] == len(encoded), encoded
        # Names that were published may be no UTF-8, as with RabbitMQ, and come back in texts.
        channel, name = command.channel, decode_method(command.frame[7:-1]).name
        self.said.append((channel, name))
        assert name in SAID_BY_SERVERS, name
        assert (channel == 0) == name.startswith("connection."), (channel, name)
        if self.over:
            assert name == "connection.close-ok", f"{name} after the end"
        elif channel:
            self._hear_on_channel(channel, name)
        self.over = self.over or name in ("connection.close", "connection.close-ok")

    def _hear_on_channel(self, channel: int, name: str) -> None:
        state = self._channels.get(channel, "closed")
        if name == "channel.open-ok":
            assert state != "open", "opened twice"
            self._channels[channel] = "open"
        elif name == "channel.close":
            assert state == "open", f"{state} channel closed"
            self._channels[channel] = "closing"
        elif name == "channel.close-ok":
            assert state in ("open", "closing"), "close-ok for a channel that is not open"
            if state == "open":
                self._channels[channel] = "closed"
        else:
            assert state == "open", f"{name} on a channel that is {state}"


class Stranger(Client):
    """A link to a listener of a host. Its bytes are the test's, what comes is heard by `judge`."""

    def __init__(self, network: Network, host: Host, listener: str = "amqp") -> None:
        self.network = network
        self.host = host
        self.closed = False
        self.received_bytes = 0
        self.judge = Judge() if listener == "amqp" else None
        self.answers: list[bytes] = []  # of a cluster's listener
        self.link = host.accept(listener, self)
        network.run()

    def receive(self, data: bytes) -> None:
        self.received_bytes += len(data)
        if self.judge is not None:
            self.judge.hear(data)
        else:
            self.answers.append(data)

    def write(self, data: bytes) -> Stranger:
        """Send bytes, and let events run."""
        if not self.closed:
            self.host.take_bytes(self.link, data)
            self.network.run()
        return self

    def log_in(self, *channels: int, frame_max: int = 131072, heartbeat_s: int = 0) -> Stranger:
        """Come as far as an open connection with these channels."""
        return self.write(login(*channels, frame_max=frame_max, heartbeat_s=heartbeat_s))

    @property
    def over(self) -> bool:
        """Whether the connection has ended, or is being closed."""
        return self.closed or (self.judge is not None and self.judge.over)

    def open_closed_channels(self) -> None:
        """Answer each channel.close and open the channel again."""
        if self.judge is not None and not self.over:
            for channel in self.judge.closing_channels():
                close_ok, again = ChannelCloseOk().encode(), ChannelOpen().encode()
                self.write(method_frame(channel, close_ok) + method_frame(channel, again))

    def hang_up(self) -> None:
        """Lose the link without a word."""
        if not self.closed:
            self.host.close(self.link)
        self.network.run()


def login(*channels: int, frame_max: int = 131072, heartbeat_s: int = 0) -> bytes:
    """Return all that a client says until its channels are open, in one piece."""
    response = b"\0guest\0guest"
    capabilities = dict.fromkeys(("consumer_cancel_notify", "authentication_failure_close"), True)
    on_zero: list[Method] = [
        ConnectionStartOk({"capabilities": capabilities}, "PLAIN", response, "en_US"),
        ConnectionTuneOk(2047, frame_max, heartbeat_s),
        ConnectionOpen("/"),
    ]
    frames = [method_frame(0, method.encode()) for method in on_zero]
    frames += [method_frame(channel, ChannelOpen().encode()) for channel in channels]
    return PROTOCOL_HEADER + b"".join(frames)


class Neighbour:
    """A connection that does everything right, and gets everything right."""

    def __init__(self, network: Network, node: str) -> None:
        self._client = network.client(node, heartbeat_s=0).open()
        self._said = 0
        client = self._client
        client.say(QueueDeclare(queue=NEIGHBOURS_QUEUE, exclusive=True), ConfirmSelect())
        client.say(BasicConsume(queue=NEIGHBOURS_QUEUE, consumer_tag="c"))
        assert client.take() == ["queue.declare-ok", "confirm.select-ok", "basic.consume-ok"]

    def check(self) -> None:
        """Declare, publish, consume and acknowledge; every answer is as it must be."""
        client = self._client
        self._said += 1
        body = b"message %d" % self._said
        client.publish(NEIGHBOURS_QUEUE, body)
        client.network.run()
        assert sorted(client.take()) == ["basic.ack", "basic.deliver"]
        assert client.bodies == [body]
        client.bodies.clear()
        client.say(BasicAck(delivery_tag=self._said))
        client.say(QueueDeclare(queue=NEIGHBOURS_QUEUE, passive=True))
        (answer,) = client.heard
        assert answer == QueueDeclareOk(NEIGHBOURS_QUEUE, 0, 1), answer
        client.heard.clear()


class Scene:
    """See the module. `node` is the host of the node; with `cluster`, it has a coordinator."""

    def __init__(self, cluster: bool = False) -> None:
        if cluster:
            self.network = Network("a")
            self.node = self.network.hosts["a"]
            self.network.wait(SECOND_US)
        else:
            self.network = Network()
            self.network.hosts.clear()
            settings = NodeSettings("a", "1", SECRET, COORDINATOR)
            self.node = Host(self.network, "a", StandaloneNode(settings, Counted()))
            self.node.inbox.append(Started())
            self.network.hosts["a"] = self.node
            self.network.run()
        self.neighbour = Neighbour(self.network, "a")
        self.stranger = partial(Stranger, self.network, self.node)

    @property
    def machine(self) -> Node:
        """The node itself, for a look at what it holds."""
        machine = self.node.machine
        found = machine._node if isinstance(machine, StandaloneNode) else machine
        assert isinstance(found, Node)
        return found

    def check_forgotten(self) -> None:
        """Nothing is left of strangers whose links are gone, and the neighbour is well."""
        self.neighbour.check()
        node = self.machine
        assert len(node._clients) == 1, "connections whose links are gone"
        waiting = node._reading
        left = [*node._dirty, *waiting._backlogged, *waiting._unread, *waiting._blocked]
        assert not left
        assert (waiting._messages, waiting._bytes) == (0, 0), "messages counted as waiting"
