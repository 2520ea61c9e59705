"""Direct reply-to over the cluster: answers find the node of the channel that they are for.

Owns the reply consumers of this node's channels and the questions to other nodes whether one is
there. An answer is sent once, over the link between the two nodes, and lost where that is down or
the channel has gone: as in RabbitMQ, nobody confirms it.

RabbitMQ: rabbit_channel.erl deliver_reply/2, deliver_reply_local/3, declare_fast_reply_to/1.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from rabbitry.broker.direct_reply_to import (
    ReplyAddress,
    ReplyConsumer,
    origin_digest,
    reply_address,
)
from rabbitry.broker.message import Message, Routes, run_of
from rabbitry.cluster.records import (
    AnswerSent,
    ReplyConsumerAsked,
    ReplyConsumerTold,
    ReplyRecord,
)


class ReplyPeers(Protocol):
    """What answers need of the links to other nodes: `rabbitry.cluster.peers.Peers`."""

    def up(self) -> list[str]:
        """Return the names of the nodes to which records can be sent."""
        ...

    def origin_of(self, name: str) -> str:
        """Return the process of a peer that is up."""
        ...

    def send(self, name: str, record: ReplyRecord) -> None:
        """Send a record to a peer."""
        ...


class Replies:
    """See the module. `origin` names this process: node and incarnation."""

    def __init__(self, origin: str, peers: ReplyPeers, routes: Routes) -> None:
        self._digest = origin_digest(origin)
        self._peers = peers
        self._routes = routes
        self._consumers: dict[int, ReplyConsumer] = {}
        self._next_question = 1
        self._questions: dict[int, tuple[str, Callable[[bool], None]]] = {}

    def set_consumer(self, channel: int, consumer: ReplyConsumer | None) -> None:
        """Give what comes for the channel to `consumer`, or to nobody."""
        if consumer is None:
            self._consumers.pop(channel, None)
        else:
            self._consumers[channel] = consumer

    def send(self, name: str, message: Message) -> None:
        """Send a message to the address `name`; it is lost where there is no such consumer."""
        address = reply_address(name)
        if address is None:
            return
        if address.origin == self._digest:
            consumer = self._consumer(address.channel, address.key)
            if consumer is not None:
                consumer.deliver(message)
            return
        peer = self._peer(address)
        if peer is not None:
            self._peers.send(peer, AnswerSent(address.channel, address.key, run_of([message])))

    def ask(self, name: str, on_answer: Callable[[bool], None]) -> None:
        """Ask whether somebody consumes at the address `name`."""
        address = reply_address(name)
        if address is None:
            on_answer(False)
        elif address.origin == self._digest:
            on_answer(self._consumer(address.channel, address.key) is not None)
        else:
            peer = self._peer(address)
            if peer is None:
                on_answer(False)
                return
            number = self._next_question
            self._next_question += 1
            self._questions[number] = (peer, on_answer)
            self._peers.send(peer, ReplyConsumerAsked(number, address.channel, address.key))

    def take(self, peer: str, record: ReplyRecord) -> None:
        """Take a record of another node."""
        match record:
            case AnswerSent():
                consumer = self._consumer(record.channel, record.key)
                if consumer is not None:
                    for message in self._routes.messages(record.run):
                        consumer.deliver(message)
            case ReplyConsumerAsked():
                found = self._consumer(record.channel, record.key) is not None
                self._peers.send(peer, ReplyConsumerTold(record.number, found))
            case ReplyConsumerTold():
                _, on_answer = self._questions.pop(record.number, (peer, lambda _found: None))
                on_answer(record.found)

    def peer_down(self, peer: str) -> None:
        """Questions to this node are not answered any more: nobody is there."""
        for number, (asked, on_answer) in list(self._questions.items()):
            if asked == peer:
                del self._questions[number]
                on_answer(False)

    def _consumer(self, channel: int, key: str) -> ReplyConsumer | None:
        consumer = self._consumers.get(channel)
        return consumer if consumer is not None and consumer.key == key else None

    def _peer(self, address: ReplyAddress) -> str | None:
        for name in self._peers.up():
            if origin_digest(self._peers.origin_of(name)) == address.origin:
                return name
        return None
