"""Machines joined by links in memory, and AMQP clients that speak to them through real endpoints.

Nothing moves by itself: `Network.run` carries events until there are none, `wait` lets time pass.
A host can be frozen (its events wait) and a link can be slow (`WritingPaused`). Every step is
checked for what drivers are promised: one `SendBytes` for each link, one `Commit`, nothing of a
link that is gone or whose reading is paused handed over.
"""

from __future__ import annotations

from collections import deque
from typing import Any

from support.coordination_stage import SECRET, Counted

from rabbitry.cluster.coordinator import Coordinator, CoordinatorSettings
from rabbitry.cluster.records import Request
from rabbitry.connection.endpoint import Endpoint
from rabbitry.connection.handshake import Credentials
from rabbitry.machine import (
    Address,
    Answer,
    Asked,
    BytesReceived,
    CloseLink,
    Commit,
    Committed,
    Effect,
    Event,
    LinkClosed,
    LinkOpened,
    ListenerOpened,
    Machine,
    OpenLink,
    PauseReading,
    Report,
    ResumeReading,
    SendBytes,
    SetTimer,
    Started,
    TimerFired,
)
from rabbitry.node import Node, NodeSettings
from rabbitry.wire.frames import content_frames, method_frame
from rabbitry.wire.methods import (
    BasicProperties,
    BasicPublish,
    ChannelOpen,
    Method,
)

COORDINATOR = Address("coordinator", 1)


class Host:
    """One machine and its end of every link."""

    def __init__(self, network: Network, name: str, machine: Machine) -> None:
        self.network = network
        self.name = name
        self.machine = machine
        self.frozen = False
        self.inbox: deque[Event] = deque()
        self.steps: list[list[Effect]] = []  # all that it has ever said
        self.reports: list[Report] = []
        self.answers: dict[int, Any] = {}
        self.timers: dict[str, int] = {}
        self.peers: dict[int, tuple[Host, int] | Client] = {}
        self.reading_paused: dict[int, deque[Event]] = {}
        self.kept: dict[bytes, bytes] = {}
        self._next_link = 1

    def accept(self, listener: str, peer: tuple[Host, int] | Client) -> int:
        link = self._next_link
        self._next_link += 1
        self.peers[link] = peer
        self.inbox.append(LinkOpened(link, listener, Address("127.0.0.1", 40000)))
        return link

    def take(self, event: Event) -> None:
        """Step, unless the event is of bytes that the machine does not want to read now."""
        if isinstance(event, BytesReceived) and event.link in self.reading_paused:
            self.reading_paused[event.link].append(event)
        elif not isinstance(event, BytesReceived) or event.link in self.peers:
            self.step(event)

    def step(self, event: Event) -> list[Effect]:
        effects = self.machine.step(event, self.network.now)
        self.steps.append(effects)
        sends = [effect.link for effect in effects if isinstance(effect, SendBytes)]
        assert len(sends) == len(set(sends)), "two SendBytes for one link in one step"
        assert sum(isinstance(effect, Commit) for effect in effects) <= 1
        for effect in effects:
            self._carry_out(effect)
        return effects

    def _carry_out(self, effect: Effect) -> None:
        if isinstance(effect, SendBytes):
            self._send(effect.link, effect.data)
        elif isinstance(effect, OpenLink):
            self.network.open_link(self, effect.link, effect.address)
        elif isinstance(effect, CloseLink):
            self.close(effect.link)
        elif isinstance(effect, SetTimer):
            self.timers[effect.timer] = effect.at
        elif isinstance(effect, Commit):
            for key, value in effect.writes:
                if value is None:
                    self.kept.pop(key, None)
                else:
                    self.kept[key] = value
            self.inbox.append(Committed(effect.commit))
        elif isinstance(effect, Report):
            self.reports.append(effect)
        elif isinstance(effect, Answer):
            self.answers[effect.number] = effect.answer
        elif isinstance(effect, PauseReading):
            assert effect.link not in self.reading_paused, "reading paused twice"
            self.reading_paused[effect.link] = deque()
        elif isinstance(effect, ResumeReading):
            self.inbox.extendleft(reversed(self.reading_paused.pop(effect.link)))
        else:
            raise AssertionError(effect)

    def _send(self, link: int, data: bytes) -> None:
        peer = self.peers.get(link)
        if isinstance(peer, Client):
            peer.receive(data)
        elif peer is not None:
            peer[0].take_bytes(peer[1], data)

    def take_bytes(self, link: int, data: bytes) -> None:
        self.inbox.append(BytesReceived(link, data))

    def close(self, link: int) -> None:
        peer = self.peers.pop(link, None)
        self.reading_paused.pop(link, None)
        if peer is None:
            return
        self.inbox.append(LinkClosed(link, ""))
        if isinstance(peer, Client):
            peer.closed = True
        else:
            peer[0].close(peer[1])


class Network:
    """A coordinator and nodes named a, b, ..."""

    def __init__(self, *names: str) -> None:
        self.now = 1_000_000
        self.hosts: dict[str, Host] = {}
        settings = CoordinatorSettings(SECRET, names)
        self.coordinator = self.add("coordinator", Coordinator(settings, Counted()))
        for name in names:
            self.start(name)

    def add(self, name: str, machine: Machine) -> Host:
        host = self.hosts[name] = Host(self, name, machine)
        host.inbox += [Started(), ListenerOpened("cluster", Address(name, 1))]
        return host

    def start(self, name: str, incarnation: str = "1") -> Host:
        settings = NodeSettings(name, incarnation, SECRET, COORDINATOR)
        return self.add(name, Node(settings, Counted()))

    def open_link(self, host: Host, link: int, address: Address) -> None:
        other = self.hosts.get(address.host)
        if other is None:
            host.inbox.append(LinkClosed(link, "refused"))
            return
        accepted = other.accept("cluster", (host, link))
        host.peers[link] = (other, accepted)
        host.inbox.append(LinkOpened(link, "", address))

    def link(self, host: str, other: str) -> int:
        """Return the number of `host`'s link to `other`."""
        for link, peer in self.hosts[host].peers.items():
            if isinstance(peer, tuple) and peer[0].name == other:
                return link
        raise LookupError(other)

    def kill(self, name: str) -> None:
        host = self.hosts.pop(name)
        for link in list(host.peers):
            host.close(link)

    def run(self) -> None:
        """Carry events until there are none."""
        moving = True
        while moving:
            moving = False
            for host in list(self.hosts.values()):
                if host.inbox and not host.frozen:
                    host.take(host.inbox.popleft())
                    moving = True

    def wait(self, microseconds: int) -> None:
        """Let time pass, timer by timer."""
        until = self.now + microseconds
        self.run()
        while True:
            due = [
                (at, host.name, timer)
                for host in self.hosts.values()
                for timer, at in host.timers.items()
                if at <= until and not host.frozen
            ]
            if not due:
                break
            at, name, timer = min(due)
            self.now = max(self.now, at)
            del self.hosts[name].timers[timer]
            self.hosts[name].inbox.append(TimerFired(timer))
            self.run()
        self.now = until

    def operate(self, *requests: Request) -> object:
        """Have the coordinator carry out an operator's requests; return its answer."""
        number = len(self.coordinator.answers) + 1
        self.coordinator.inbox.append(Asked(number, ("change", list(requests))))
        self.run()
        return self.coordinator.answers[number]

    def client(self, node: str, **different: Any) -> Client:
        """Return a client that is connected to a node; it logs in as events run."""
        return Client(self, self.hosts[node], **different)


class Client:
    """A client of one node. `heard` are methods in order; contents are in `bodies`."""

    def __init__(
        self,
        network: Network,
        host: Host,
        heartbeat_s: int = 60,
        credentials: Credentials | None = None,
    ) -> None:
        self.network = network
        self.host = host
        self.closed = False
        self.heard: list[Method] = []
        self.bodies: list[bytes] = []
        self.received_bytes = 0
        self.endpoint = Endpoint(
            "client",
            network.now,
            credentials=credentials or Credentials("guest", "guest"),
            properties={"capabilities": {"consumer_cancel_notify": True}},
            heartbeat_s=heartbeat_s,
        )
        self.link = host.accept("amqp", self)
        self.flush()

    def flush(self) -> None:
        data = self.endpoint.take_bytes(self.network.now)
        if data and not self.closed:
            self.host.take_bytes(self.link, data)

    def receive(self, data: bytes) -> None:
        self.received_bytes += len(data)
        for command in self.endpoint.receive_bytes(data, self.network.now):
            self.heard.append(command.method())
            self.bodies += [body_of(content) for content in command.contents]
        self.flush()

    def open(self, channel: int = 1) -> Client:
        """Log in and open a channel."""
        self.network.run()
        assert self.endpoint.state == "open"
        self.say(ChannelOpen(), channel=channel)
        assert self.take() == ["channel.open-ok"]
        return self

    def say(self, *methods: Method, channel: int = 1) -> Client:
        """Send methods and let events run."""
        self.send(*methods, channel=channel)
        self.network.run()
        return self

    def send(self, *methods: Method, channel: int = 1) -> None:
        for method in methods:
            self.endpoint.send_method(channel, method)
        self.flush()

    def publish(self, queue: str, *bodies: bytes, mandatory: bool = False) -> None:
        """Publish to the default exchange, all in one piece; events do not run yet."""
        method = BasicPublish(exchange="", routing_key=queue, mandatory=mandatory)
        frame = method_frame(1, method.encode())
        properties = BasicProperties().encode()
        for body in bodies:
            self.endpoint.write([frame, content_frames(1, properties, body, 131072)])
        self.flush()

    @property
    def read(self) -> bool:
        """Whether the node reads what this client sends."""
        return self.link not in self.host.reading_paused

    def take(self) -> list[str]:
        """Return the names of the methods heard since the last call."""
        names = [method.name for method in self.heard]
        self.heard.clear()
        return names


def body_of(content: bytes) -> bytes:
    """Return the body of a content: the payloads of the frames after its header."""
    parts: list[bytes] = []
    at = 0
    while at < len(content):
        size = int.from_bytes(content[at + 3 : at + 7], "big")
        parts.append(content[at + 7 : at + 7 + size])
        at += size + 8
    return b"".join(parts[1:])
