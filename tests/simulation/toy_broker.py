"""A broker of one node with one idea: enough AMQP for the workload, and room for deliberate faults.

It is what the simulation's own tests run, so that they do not depend on the real node. Queues live
as long as the machine. `Flaws` make it break one promise each, to show that a checker sees it.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any
from zlib import crc32

from rabbitry import machine as m
from rabbitry.connection.endpoint import Endpoint
from rabbitry.wire.content import Command
from rabbitry.wire.frames import content_body
from rabbitry.wire.methods import (
    BasicAck,
    BasicConsume,
    BasicConsumeOk,
    BasicDeliver,
    BasicNack,
    BasicProperties,
    BasicPublish,
    BasicQos,
    BasicQosOk,
    ChannelOpen,
    ChannelOpenOk,
    ConfirmSelect,
    ConfirmSelectOk,
    QueueDeclare,
    QueueDeclareOk,
)


@dataclass(frozen=True)
class Flaws:
    """Which promises the broker breaks: 1 in so many messages, 0 for never."""

    loses_one_in: int = 0
    forgets_redelivered: bool = False
    swaps_one_in: int = 0
    deaf: bool = False


class OpenDoor:
    """Lets everybody in."""

    def authenticate(
        self, mechanism: str, response: bytes, peer_host: str, peer_name: str | None
    ) -> str:
        return "guest"

    def open_virtual_host(self, user: str, virtual_host: str) -> None:
        return None


@dataclass
class Message:
    position: int
    body: bytes
    redelivered: bool = False


@dataclass
class Session:
    endpoint: Endpoint
    queue: str = ""
    consumer_tag: str = ""
    prefetch_count: int = 0
    published: int = 0
    delivered: int = 0
    unacknowledged: dict[int, Message] = field(default_factory=dict)


class ToyBroker:
    """One node; the machine of the simulation's own tests."""

    def __init__(self, flaws: Flaws | None = None) -> None:
        self.flaws = flaws or Flaws()
        self.queues: dict[str, deque[Message]] = {}
        self.sessions: dict[int, Session] = {}
        self.last_position = 0

    def inspect(self) -> dict[str, dict[str, Any]]:
        held = {
            queue: [(message.position, crc32(message.body)) for message in messages]
            for queue, messages in self.queues.items()
        }
        for session in self.sessions.values():
            for message in session.unacknowledged.values():
                held[session.queue].append((message.position, crc32(message.body)))
        return {
            queue: {
                "role": "leader",
                "epoch": 1,
                "position": self.last_position,
                "messages": sorted(messages),
                "in_sync": ("toy",),
            }
            for queue, messages in held.items()
        }

    def step(self, event: m.Event, now: int) -> list[m.Effect]:
        effects: list[m.Effect] = []
        if isinstance(event, m.LinkOpened):
            endpoint = Endpoint("server", now, authenticator=OpenDoor(), heartbeat_s=1)
            self.sessions[event.link] = Session(endpoint)
        elif isinstance(event, m.BytesReceived) and event.link in self.sessions:
            session = self.sessions[event.link]
            for command in session.endpoint.receive_bytes(event.data, now):
                self.take(session, command)
        elif isinstance(event, m.LinkFinished):
            effects.append(m.CloseLink(event.link))
        elif isinstance(event, m.LinkClosed):
            self.forget(event.link)
        if isinstance(event, m.Started | m.TimerFired):
            for session in self.sessions.values():
                session.endpoint.tick(now)
            effects.append(m.SetTimer("tick", now + 500_000))
        for session in self.sessions.values():
            self.deliver(session)
        for link, session in list(self.sessions.items()):
            data = session.endpoint.take_bytes(now)
            if data:
                effects.append(m.SendBytes(link, data))
            if session.endpoint.finished:
                effects.append(m.CloseLink(link))
                self.forget(link)
        return effects

    def forget(self, link: int) -> None:
        session = self.sessions.pop(link, None)
        if session is not None:
            for tag in sorted(session.unacknowledged):
                self.requeue(session.queue, session.unacknowledged[tag])

    def requeue(self, queue: str, message: Message) -> None:
        message.redelivered = not self.flaws.forgets_redelivered
        messages = self.queues[queue]
        messages.append(message)
        self.queues[queue] = deque(sorted(messages, key=lambda each: each.position))

    def take(self, session: Session, command: Command) -> None:
        if self.flaws.deaf:
            return
        method = command.method()
        send = session.endpoint.send_method
        if isinstance(method, BasicPublish):
            for content in command.contents:
                self.publish(session, method.routing_key, content_body(content))
        elif isinstance(method, BasicAck):
            tags = [t for t in session.unacknowledged if t <= method.delivery_tag]
            for tag in tags if method.multiple else [method.delivery_tag]:
                session.unacknowledged.pop(tag)
        elif isinstance(method, BasicNack):
            self.requeue(session.queue, session.unacknowledged.pop(method.delivery_tag))
        elif isinstance(method, ChannelOpen):
            send(1, ChannelOpenOk())
        elif isinstance(method, QueueDeclare):
            self.queues.setdefault(method.queue, deque())
            send(1, QueueDeclareOk(queue=method.queue))
        elif isinstance(method, ConfirmSelect):
            send(1, ConfirmSelectOk())
        elif isinstance(method, BasicQos):
            session.prefetch_count = method.prefetch_count
            send(1, BasicQosOk())
        elif isinstance(method, BasicConsume):
            session.queue, session.consumer_tag = method.queue, method.consumer_tag
            send(1, BasicConsumeOk(consumer_tag=method.consumer_tag))
        else:
            raise AssertionError(f"the toy broker knows no {method.name}")

    def publish(self, session: Session, queue: str, body: bytes) -> None:
        self.last_position += 1
        session.published += 1
        flaws, position = self.flaws, self.last_position
        if not (flaws.loses_one_in and position % flaws.loses_one_in == 0):
            messages = self.queues[queue]
            messages.append(Message(position, body))
            if flaws.swaps_one_in and position % flaws.swaps_one_in == 0:
                messages.rotate(1)
        session.endpoint.send_method(1, BasicAck(session.published))

    def deliver(self, session: Session) -> None:
        messages = self.queues.get(session.queue)
        if not messages or not session.consumer_tag or session.endpoint.state != "open":
            return
        while messages and len(session.unacknowledged) < session.prefetch_count:
            message = messages.popleft()
            session.delivered += 1
            session.unacknowledged[session.delivered] = message
            session.endpoint.send_content(
                1,
                BasicDeliver(session.consumer_tag, session.delivered, message.redelivered),
                BasicProperties(),
                message.body,
            )
